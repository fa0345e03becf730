"""Days of a living organization under loads that go wrong now and then: in the end nothing is missing, doubled or old.

BUILDKITE_ELT_SCALE=10 lives the whole week through DuckDB too, hour by hour, and seven days of 5,000 builds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random

import httpx
import orjson
import pytest

from buildkite_ci.budget import Budget
from buildkite_ci.errors import BuildkiteError
from buildkite_ci.wire import Wire
from buildkite_elt.loads import Origin, Target, load
from buildkite_elt.standin import Standin, World
from buildkite_elt.standin.demo import demo, empty
from buildkite_elt.standin.life import Life
from faults import LONG_AGO, PLENTY, REST_KINDS, SCALE, STALLS
from hand_made import TLS
from test_machine import Copy
from truth import wrong

KINDS = [kind for kind in REST_KINDS if kind not in STALLS | {"slow"}]
FAMILIES = ("builds", "pipelines", "agents", "members", "clusters", "pipeline_schedules", "teams")
TABLES = ("builds", "jobs", "pipelines", "members", "clusters", "pipeline_schedules", "teams")
QUARTER = timedelta(minutes=15)


def world_of_twenty() -> World:
    """Twenty builds on a weekday, with all that the demo has."""
    return demo(builds_per_day=20, pipelines=12, days=16, organizations=("acme",))


@contextmanager
def wired(standin: Standin) -> Iterator[Wire]:
    with Wire(
        standin.token,
        standin.rest_url,
        standin.graphql_url,
        budget=Budget(lambda: standin.clock.now().timestamp()),
        sleep=standin.clock.sleep,
        tries=3,
        inner=httpx.HTTPTransport(verify=TLS),
    ) as wire:
        yield wire


def five_percent(standin: Standin, random: Random, requests: int = 60) -> None:
    """Of the next requests one in twenty goes wrong, somehow, for one to four tries."""
    standin.trouble.clear()
    for nth in range(1, requests + 1):
        if random.random() < 0.05:
            standin.trouble.add(random.choice(KINDS), nth=nth, times=random.choice((1, 1, 2, 4)))


@pytest.mark.slow
def test_a_week_of_hours_and_quarters_with_five_percent_faults_ends_with_the_truth() -> None:
    world, random = world_of_twenty(), Random(7)
    copy, failed, loads, sizes = Copy(), 0, 0, []
    with Standin(world, budgets=PLENTY) as standin, wired(standin) as wire:
        for hour in range(7 * 24):
            for _ in range(4 if hour < 6 else 1):
                world.advance(QUARTER if hour < 6 else 4 * QUARTER)
                five_percent(standin, random)
                loads += 1
                try:
                    report = copy.sync(wire, FAMILIES, LONG_AGO, 1000).report
                    failed += bool(report.failed or report.skipped)
                except BuildkiteError:
                    failed += 1
            sizes.append(len(orjson.dumps(copy.state)))
        standin.trouble.clear()
        copy.sync(wire, FAMILIES, LONG_AGO, 1000)
        assert copy.wrong(world, TABLES) == []
        before = len(standin.seen)
        copy.sync(wire, ["builds"], LONG_AGO, 1000)
        assert len(standin.seen) - before <= 3
        assert len(world.organizations["acme"].builds) > 16 * 15
    assert 20 < failed < loads / 2
    assert max(sizes[100:]) < 2 * max(sizes[:50])


@pytest.mark.slow
def test_days_through_duckdb_with_five_percent_faults_end_with_the_truth(tmp_path: Path) -> None:
    world, random = world_of_twenty(), Random(8)
    file, hours, codes = tmp_path / "buildkite.duckdb", 1 if SCALE > 1 else 24, []
    with Standin(world, budgets=PLENTY) as standin:
        origin = Origin(("acme",), standin.token, standin.rest_url, standin.graphql_url)
        for number in range(7 * 24 // hours + 1):
            world.advance(timedelta(hours=hours))
            five_percent(standin, random)
            if number == 7 * 24 // hours:
                standin.trouble.clear()
            try:
                [outcome] = load(origin, Target(database=file), FAMILIES, LONG_AGO, sleep=standin.clock.sleep)
                codes.append(outcome.exit_code)
            except BuildkiteError:
                codes.append(1)
    assert codes[-1] == 0
    assert any(codes)
    assert wrong(file, world, "acme", TABLES) == []


def test_at_5000_builds_a_day_a_load_every_quarter_costs_four_requests_and_the_state_does_not_grow() -> None:
    world = empty()
    life = Life(world, "acme")
    app, copy, requests, sizes = life.pipeline("app"), Copy(), [], []
    with Standin(world, budgets=PLENTY) as standin, wired(standin) as wire:
        copy.sync(wire, ["builds"], LONG_AGO, 1000)
        for quarter in range(48 if SCALE == 1 else 7 * 96):
            world.advance(QUARTER)
            life.history(app, 51, 2, world.now() - QUARTER, world.now())
            life.build(app, 2, takes=(60 + 10 * (quarter % 17)) * 60, state=("passed", "failed")[quarter % 2])
            before = len(standin.seen)
            copy.sync(wire, ["builds"], LONG_AGO, 1000)
            requests.append(len(standin.seen) - before)
            sizes.append(len(orjson.dumps(copy.state)))
        assert copy.wrong(world, ["builds", "jobs"]) == []
        assert len(copy.rows["builds"]) == 52 * len(requests)
    assert max(requests) <= 4
    assert max(sizes[-20:]) <= max(sizes[20:40]) * 1.2


@pytest.mark.parametrize("away", [1, 9])
def test_after_days_without_a_load_the_first_one_makes_all_good(away: int) -> None:
    world = world_of_twenty()
    copy = Copy()
    with Standin(world, budgets=PLENTY) as standin, wired(standin) as wire:
        for _ in range(3):
            copy.sync(wire, FAMILIES, LONG_AGO, 1000)
            assert copy.wrong(world, TABLES) == []
            world.advance(timedelta(days=away))
