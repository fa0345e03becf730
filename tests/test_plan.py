"""`plan`: within 15 % of what the load then costs, table by table, by the stand-in's own counts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from buildkite_ci.budget import Limits
from buildkite_ci.catalog import with_families
from buildkite_ci.probe import listed, walked
from buildkite_ci.rest import pages, walk
from buildkite_ci.wire import Wire
from buildkite_elt.loads import load
from buildkite_elt.plan import plan, usable
from buildkite_elt.standin import Standin
from buildkite_elt.standin.demo import demo, empty
from buildkite_elt.standin.life import Life
from conftest import ENOUGH, Command
from hand_made import at, build, put, serving, world
from planned import LONG_AGO, Both, Row, near

DAYS = int(os.environ.get("BUILDKITE_ELT_SCALE", "1"))


def test_the_demo_world_first_then_day_by_day_and_nothing_new(tmp_path: Path) -> None:
    with Standin(demo(), budgets=ENOUGH) as standin:
        both = Both(standin, tmp_path / "buildkite.duckdb")
        first = both.compare()
        assert first["covered"] == []
        near(first["total"]["bytes"], standin.count().bytes, "bytes")
        assert {line["table"]: line["rows"] for line in first["tables"]}["builds"] == 1440
        for _ in range(DAYS):
            standin.world.advance(timedelta(hours=25))
            later = both.compare()
            assert later["covered"]
            assert later["total"]["requests"] < first["total"]["requests"]


@pytest.mark.parametrize(
    "tables", [("team_members", "cluster_queues"), ("jobs", "pipeline_metrics", "pipeline_schedules")]
)
def test_some_tables_cost_what_they_cost(tables: tuple[str, ...], tmp_path: Path, standin: Standin) -> None:
    found = Both(standin, tmp_path / "buildkite.duckdb").compare(*tables)
    assert sum(one["requests"] for one in found["probes"]) <= 5


def test_further_back_and_the_gap_between_are_planned(tmp_path: Path) -> None:
    made = empty()
    life, now = Life(made, "acme"), made.clock.now()
    life.history(life.pipeline("app"), 1200, 1, now - timedelta(days=20), now - timedelta(hours=2))
    with Standin(made, budgets=ENOUGH) as standin:
        both = Both(standin, tmp_path / "buildkite.duckdb")
        both.compare("builds", since=now - timedelta(days=3))
        both.compare("builds", since=now - timedelta(days=19))
        made.advance(timedelta(hours=1))
        assert both.compare("builds", since=now - timedelta(days=19))["total"]["requests"] == 3


def test_without_graphql_rest_tells_the_counts(tmp_path: Path, standin: Standin) -> None:
    token = standin.world.tokens[standin.token]
    token.scopes = tuple(one for one in token.scopes if one not in ("graphql", "read_teams"))
    both = Both(standin, tmp_path / "buildkite.duckdb")
    found = both.plan()
    (outcome,) = load(both.origin, both.target, (), LONG_AGO, sleep=standin.clock.sleep)
    assert standin.count("graphql").requests == 0
    near(found["total"]["requests"], outcome.requests, "requests")
    left_out = {line["table"] for line in found["tables"] if line["why"]}
    by_graphql = {name for name, table in with_families().items() if table.api == "GraphQL"}
    assert left_out == {*by_graphql, "teams", "team_members", "team_pipelines"}


def test_what_a_run_may_spend_leaves_the_rest_for_a_later_one(tmp_path: Path, standin: Standin) -> None:
    both = Both(standin, tmp_path / "buildkite.duckdb")
    total = both.plan()["total"]
    assert both.plan()["later"] == {"requests": 0, "points": 0}
    later = both.plan(limits=Limits(requests=10, points=20))["later"]
    assert later == {"requests": total["rest_requests"] - 10, "points": total["points"] - 20}


def test_minutes_are_those_of_the_windows_less_the_reserve(tmp_path: Path) -> None:
    made = demo(days=16, pipelines=12, builds_per_day=3)
    with Standin(made) as standin:
        both = Both(standin, tmp_path / "buildkite.duckdb")
        found = both.plan()
        total = found["total"]
        assert found["limits"]["rest"] == {"user": 50, "organization": 200}
        assert total["minutes_user"] == pytest.approx(total["rest_requests"] / 40, abs=0.01)
        assert total["minutes_organization"] == pytest.approx(total["rest_requests"] / 160, abs=0.01)
        (told,) = plan(replace(both.origin, reserve=0.5, limits=Limits(minutes=0.5)), both.target, (), LONG_AGO)
        assert told["later"]["requests"] == max(told["total"]["rest_requests"] - 25, 0)


def test_usable() -> None:
    assert [usable(50, 0.2), usable(200, 0.2), usable(50, 0.0), usable(1, 0.9)] == [40, 160, 50, 1]


def sized(count: int) -> Iterable[Row]:
    made = world()
    acme = made.organizations["acme"]
    app = acme.pipeline("app")
    assert app
    put(acme, *(build(app, number, created_at=at(number / 10)) for number in range(1, count + 1)))
    acme.teams.update({str(n): {"id": str(n), "slug": f"t{n}"} for n in range(count)})
    with (
        serving(made, budgets=ENOUGH) as (standin, _),
        Wire(standin.token, standin.rest_url, standin.graphql_url) as wire,
    ):
        for _ in walk(wire, "organizations/acme/builds", {}, LONG_AGO):
            pass
        walks = len(standin.seen)
        for _ in pages(wire, "organizations/acme/teams"):
            pass
        yield {"walked": walks, "listed": len(standin.seen) - walks}


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 198, 199, 250, 397])
def test_the_formulas_are_the_kernels(count: int) -> None:
    (real,) = sized(count)
    assert {"walked": walked(count), "listed": listed(count)} == real


def test_the_command_and_the_dry_run_tell_the_same(command: Command, standin: Standin, database: Path) -> None:
    words = ("-o", "acme-inc", "--since", "2026-01-01", "--json")
    told, dry = command("plan", *words), command("load", "--dry-run", *words)
    assert told.exit_code == dry.exit_code == 0, told.output + dry.output
    assert json.loads(told.stdout) == json.loads(dry.stdout)
    assert not database.exists()
    people = command("plan", "builds", "--since", "2026-01-01", "--max-requests", "1", "--reserve", "50%")
    assert people.exit_code == 0, people.output
    for words_ in ("A first load", "50% is left for others", "for a later one", "what the token may do: 1 requests"):
        assert words_ in people.stdout
    assert command("plan", "nonsense").exit_code == 2
    assert standin.count().writes == 0
