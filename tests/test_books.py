"""What a load says of itself: what it cost, what waits and why, how far it has come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from buildkite_ci.budget import Limits
from buildkite_ci.catalog import with_families
from buildkite_elt.loads import Origin, Target, load
from buildkite_elt.standin import Standin
from buildkite_elt.standin.demo import demo, empty
from test_loads import LONG_AGO, PLENTY, loader, one_build
from truth import wrong


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "buildkite.duckdb"


def test_a_limit_of_requests_leaves_the_rest_for_the_next_load_and_says_so(file: Path) -> None:
    world = empty()
    life, app = one_build(world)
    now = world.clock.now()
    life.history(app, 900, 1, now - timedelta(days=20), now - timedelta(hours=2))
    with Standin(world, budgets=PLENTY) as standin:
        origin = Origin(("acme",), standin.token, standin.rest_url, standin.graphql_url, limits=Limits(requests=4))
        codes: list[int] = []
        while not codes or codes[-1]:
            (outcome,) = load(origin, Target(database=file), ("builds",), LONG_AGO)
            codes.append(outcome.exit_code)
            assert outcome.requests <= 4
    assert codes == [3, 3, 3, 3, 3, 3, 0]
    assert wrong(file, world, "acme", ("builds", "jobs")) == []
    with duckdb.connect(str(file), read_only=True) as connection:
        rows = connection.execute(
            "SELECT reason, missing_from IS NULL FROM ci.load_coverage WHERE table_name = 'builds' ORDER BY observed_at"
        ).fetchall()
    assert rows[0] == ("budget", False)
    assert rows[-1] == (None, True)


def test_builds_that_leave_retention_before_they_are_loaded_are_warned_of(file: Path) -> None:
    world = empty(now=datetime.now(UTC))
    life, app = one_build(world)
    now = world.clock.now()
    life.history(app, 900, 1, now - timedelta(days=29), now - timedelta(hours=2))
    with Standin(world, budgets=PLENTY) as standin:
        given = (("acme",), standin.token, standin.rest_url, standin.graphql_url)
        few = Origin(*given, limits=Limits(requests=4), retention=timedelta(days=30))
        since = now - timedelta(days=30)
        (outcome,) = load(few, Target(database=file), ("builds",), since)
        assert "30 days" in outcome.warnings["builds"]
        (outcome,) = load(Origin(*given, retention=timedelta(days=90)), Target(database=file), ("builds",), since)
        assert outcome.warnings == {}
    with duckdb.connect(str(file), read_only=True) as connection:
        told = "SELECT reason FROM ci.load_coverage WHERE table_name = 'builds' ORDER BY observed_at"
        assert connection.execute(told).fetchall() == [("retention",), (None,)]


def test_the_books_say_what_the_stand_in_counted(file: Path) -> None:
    with Standin(demo(builds_per_day=3, days=16), budgets=PLENTY) as standin:
        loader(standin, file)()
        rest, graphql = standin.count("rest"), standin.count("graphql")
    with duckdb.connect(str(file), read_only=True) as connection:
        told = connection.execute("SELECT api, sum(requests), sum(points) FROM ci.api_usage GROUP BY 1 ORDER BY 1")
        assert told.fetchall() == [("graphql", graphql.requests, graphql.points), ("rest", rest.requests, 0)]
        runs = connection.execute("SELECT count(*), count(DISTINCT table_name) FROM ci.sync_runs").fetchone()
        assert runs == (len(with_families()),) * 2


def test_progress_tells_how_far_back_a_load_has_come(file: Path) -> None:
    world = empty()
    life, app = one_build(world)
    now = world.clock.now()
    life.history(app, 500, 1, now - timedelta(days=20), now - timedelta(hours=2))
    told: list[tuple[datetime | None, float]] = []
    with Standin(world, budgets=PLENTY) as standin:
        origin = Origin(("acme",), standin.token, standin.rest_url, standin.graphql_url)
        load(
            origin,
            Target(database=file),
            ("builds",),
            now - timedelta(days=20),
            progress=lambda outcome, *_: told.append((outcome.reached, outcome.share)),
        )
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert 0.1 < shares[0] < 0.5
    assert shares[-1] == pytest.approx(1.0, abs=0.01)
    assert all(reached and reached <= now for reached, _ in told)
