"""`verify`: what is missing, stale, doubled or lost is found and named, and a right file is said to be right."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from buildkite_ci.budget import Limits
from buildkite_elt.database import DatabaseTrouble
from buildkite_elt.loads import Origin, Target, load
from buildkite_elt.standin import Standin, World
from buildkite_elt.standin.demo import demo, empty
from buildkite_elt.standin.life import Life
from buildkite_elt.verify import verify
from conftest import ENOUGH
from truth import wrong

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
ALL = 10_000
SCALE = int(os.environ.get("BUILDKITE_ELT_SCALE", "1"))
"""Parts that a week is loaded in."""
Row = dict[str, Any]


class Pair:
    """A stand-in and a file that is loaded from it."""

    def __init__(self, standin: Standin, file: Path) -> None:
        self.standin, self.target = standin, Target(database=file)
        (self.slug,) = standin.world.organizations
        self.origin = Origin((self.slug,), standin.token, standin.rest_url, standin.graphql_url)

    @property
    def world(self) -> World:
        return self.standin.world

    def load(self, since: datetime = LONG_AGO, *, again: bool = False) -> None:
        origin = replace(self.origin, again=again)
        (outcome,) = load(origin, self.target, ("builds",), since, sleep=self.standin.clock.sleep)
        assert outcome.exit_code == 0

    def verify(self, sample: int = 0, limits: Limits | None = None, since: datetime | None = None) -> Row:
        origin = replace(self.origin, limits=limits)
        (found,) = verify(origin, self.target, since, sample, sleep=self.standin.clock.sleep)
        assert self.standin.count().writes == 0
        return found

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.target.database)) as connection:
            return connection.execute(text).fetchall()


def sixty() -> World:
    """Sixty builds of two pipelines; the same ones each time."""
    world = empty()
    life = Life(world, "acme")
    now = world.clock.now()
    for slug in ("app", "site"):
        life.history(life.pipeline(slug), 30, 2, now - timedelta(days=10), now - timedelta(hours=2))
    return world


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the sixty builds."""
    with Standin(sixty(), budgets=ENOUGH) as standin:
        made = Pair(standin, tmp_path_factory.mktemp("loaded") / "buildkite.duckdb")
        made.load()
    return made.target.database


@pytest.fixture
def pair(loaded: Path, tmp_path: Path) -> Iterator[Pair]:
    with Standin(sixty(), budgets=ENOUGH) as standin:
        yield Pair(standin, Path(shutil.copy(loaded, tmp_path)))


def right(found: Row) -> bool:
    builds = found["builds"]
    return bool(
        (found["exit_code"], found["recall"], builds["missing"], builds["stale"], found["orphan_jobs"])
        == (0, 1.0, 0, 0, 0)
        and not found["undone"]
        and not found["doubled"]
    )


def test_a_clean_load_is_complete_and_every_field_is_right(pair: Pair) -> None:
    found = pair.verify(ALL)
    assert right(found), found
    assert found["builds"]["in_api"] == found["builds"]["in_warehouse"] == found["sampled"] == 60
    assert found["spent"]["requests"] == pair.standin.count().requests


def test_a_deleted_row_is_missing_its_jobs_are_orphans_and_its_number_is_a_gap(pair: Pair) -> None:
    ((lost, number, created),) = pair.sql(
        "SELECT id, number, created_at FROM ci.builds WHERE pipeline_slug = 'app' ORDER BY created_at LIMIT 1 OFFSET 9"
    )
    pair.sql(f"DELETE FROM ci.builds WHERE id = '{lost}'")
    found = pair.verify()
    assert (found["exit_code"], found["builds"]["missing"], found["orphan_jobs"]) == (1, 1, 2)
    assert found["recall"] == pytest.approx(59 / 60)
    assert [(one["id"], one["number"]) for one in found["missing"]] == [(lost, number)]
    (command, *_) = [text for text in found["next"] if "--again" in text]
    assert f"--since {created.astimezone(UTC):%Y-%m-%dT%H:%M}" in command
    pair.load()
    assert not right(pair.verify())
    pair.load(created, again=True)
    assert right(pair.verify())
    assert wrong(pair.target.database, pair.world, "acme", ("builds", "jobs")) == []


def test_a_missing_build_is_found_by_its_gap_where_the_counts_agree(pair: Pair) -> None:
    """One build that was deleted upstream hides one that is missing here."""
    builds = [b for b in pair.world.organizations["acme"].builds.values() if b["pipeline"]["slug"] == "app"]
    gone, lost = builds[3], builds[7]
    gone_here = {"id": gone["id"], "state": gone["state"]}
    lost["state"] = gone["state"]
    pair.load(again=True)
    Life(pair.world, "acme").delete_build(gone)
    pair.sql(f"DELETE FROM ci.builds WHERE id = '{lost['id']}'")
    assert pair.sql(f"SELECT id, state FROM ci.builds WHERE id = '{gone['id']}'") == [tuple(gone_here.values())]
    found = pair.verify()
    assert found["gaps"] == {"asked": 1, "deleted": 0, "alive": 1, "left": 0}
    assert (found["exit_code"], found["builds"]["missing"], found["missing"][0]["id"]) == (1, 1, lost["id"])


def test_a_stale_state_is_found_by_the_counts(pair: Pair) -> None:
    ((stale, number),) = pair.sql("SELECT id, number FROM ci.builds WHERE state = 'passed' ORDER BY id LIMIT 1")
    pair.sql(f"UPDATE ci.builds SET state = 'failed' WHERE id = '{stale}'")
    found = pair.verify()
    assert (found["exit_code"], found["recall"], found["builds"]["stale"]) == (1, 1.0, 1)
    assert f" {number}: state" in found["stale"][0]
    pair.load(again=True)
    assert right(pair.verify())


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ("UPDATE ci.builds SET message = 'other' WHERE id = (SELECT min(id) FROM ci.builds)", "message"),
        ("UPDATE ci.jobs SET exit_status = 7 WHERE id = (SELECT min(id) FROM ci.jobs)", "jobs.exit_status"),
        ("DELETE FROM ci.jobs WHERE id = (SELECT min(id) FROM ci.jobs)", "jobs.id"),
    ],
)
def test_a_stale_field_is_found_by_the_sample(pair: Pair, change: str, column: str) -> None:
    pair.sql(change)
    found = pair.verify(ALL)
    assert (found["exit_code"], found["builds"]["stale"]) == (1, 1)
    assert found["stale"][0].endswith(column)


def test_a_doubled_row_is_found(pair: Pair) -> None:
    pair.sql("INSERT INTO ci.builds SELECT * FROM ci.builds ORDER BY id LIMIT 1")
    pair.sql("INSERT INTO ci.jobs SELECT * FROM ci.jobs ORDER BY id LIMIT 1")
    found = pair.verify()
    assert (found["exit_code"], found["recall"]) == (1, 1.0)
    assert sorted(one.split()[0] for one in found["doubled"]) == ["build", "job"]
    pair.load(again=True)
    assert right(pair.verify())


def test_two_builds_that_claim_one_number_are_found(pair: Pair) -> None:
    pair.sql("UPDATE ci.builds SET number = number + 1 WHERE pipeline_slug = 'site' AND number = 4")
    found = pair.verify()
    assert (found["exit_code"], found["doubled"]) == (1, ["number site 5"])


def test_a_gap_is_asked_for_once(pair: Pair) -> None:
    life = Life(pair.world, "acme")
    app = life.organization.pipeline("app")
    assert app
    for _ in range(3):
        life.build(app, 1, takes=60)
    pair.world.advance(timedelta(hours=1))
    life.delete_build(life.organization.builds[list(life.organization.builds)[-2]])
    pair.load()
    asked = []
    for _ in range(2):
        before = len(pair.standin.seen)
        found = pair.verify()
        assert right(found), found
        asked.append(sum(seen.status == 404 for seen in pair.standin.seen[before:]))
    assert asked == [1, 0]
    assert pair.sql("SELECT number, found FROM ci.build_gaps") == [(32, False)]
    pair.load()
    assert wrong(pair.target.database, pair.world, "acme", ("builds", "jobs")) == []


def test_a_ghost_here_is_found_and_one_upstream_is_no_fault(pair: Pair) -> None:
    ((ghost,),) = pair.sql("SELECT min(id) FROM ci.builds")
    pair.sql(f"UPDATE ci.builds SET state = 'running', finished_at = NULL WHERE id = '{ghost}'")
    found = pair.verify()
    assert (found["exit_code"], found["ghosts"], found["builds"]["stale"]) == (1, {"here": 1, "also_in_api": 0}, 1)
    pair.load(again=True)
    upstream = pair.world.organizations["acme"].builds[ghost]
    upstream |= {"state": "running", "finished_at": None}
    pair.load()
    found = pair.verify()
    assert found["ghosts"] == {"here": 1, "also_in_api": 1}
    assert right(found), found


def test_what_changed_since_the_load_is_not_stale(pair: Pair) -> None:
    life = Life(pair.world, "acme")
    app = life.organization.pipeline("app")
    assert app
    running, failed = life.build(app, 2, takes=3600), life.build(app, 2, takes=60, state="failed")
    pair.world.advance(timedelta(minutes=10))
    pair.load()
    life.retry(failed, next(job for job in failed["jobs"] if job["state"] == "failed"))
    life.build(app, 2, takes=60)
    pair.world.advance(timedelta(hours=3))
    assert running["state"] == "passed"
    found = pair.verify(ALL)
    assert right(found), found
    assert found["builds"]["changed_since_the_load"] == 2
    assert any(text.startswith("buildkite-elt load: 2 builds") for text in found["next"])
    pair.load()
    assert pair.verify(ALL)["builds"]["changed_since_the_load"] == 0


def test_deleted_upstream_is_told_and_is_no_fault(pair: Pair) -> None:
    life = Life(pair.world, "acme")
    life.delete_build(next(iter(life.organization.builds.values())))
    found = pair.verify()
    assert right(found), found
    assert found["builds"]["gone_upstream"] == 1


def test_builds_before_what_is_loaded_are_missing_and_the_load_that_fetches_them_is_named(tmp_path: Path) -> None:
    world = empty()
    life, now = Life(world, "acme"), world.clock.now()
    life.history(life.pipeline("app"), 30, 1, now - timedelta(days=10), now - timedelta(hours=2))
    with Standin(world, budgets=ENOUGH) as standin:
        pair = Pair(standin, tmp_path / "buildkite.duckdb")
        with pytest.raises(DatabaseTrouble):
            pair.verify()
        pair.load(now - timedelta(days=5))
        assert right(pair.verify())
        found = pair.verify(since=LONG_AGO)
        assert 10 < found["builds"]["missing"] < 20
        (command,) = found["next"]
        since = command.partition("--since ")[2].partition(": ")[0]
        pair.load(datetime.fromisoformat(since))
        assert right(pair.verify(since=LONG_AGO))


def test_without_graphql_it_counts_by_rest(pair: Pair) -> None:
    token = pair.world.tokens[pair.standin.token]
    token.scopes = tuple(one for one in token.scopes if one != "graphql")
    assert right(pair.verify())
    ((lost, stale),) = pair.sql("SELECT min(id), max(id) FROM ci.builds WHERE state = 'passed'")
    pair.sql(f"DELETE FROM ci.builds WHERE id = '{lost}'")
    pair.sql(f"UPDATE ci.builds SET state = 'failed' WHERE id = '{stale}'")
    before = pair.standin.count("graphql").requests
    found = pair.verify()
    assert [one["id"] for one in found["missing"]] == [lost]
    assert (found["exit_code"], found["builds"]["stale"]) == (1, 1)
    assert pair.standin.count("graphql").requests == before


def test_a_budget_that_ends_leaves_the_rest_undone_and_says_so(pair: Pair) -> None:
    for most in (1, 2, 3, 6):
        before = pair.standin.count("rest").requests
        found = pair.verify(sample=5, limits=Limits(requests=most))
        assert found["undone"]
        assert pair.standin.count("rest").requests - before <= most
        assert (found["exit_code"] == 1) == (found["recall"] is None)
    found = pair.verify(limits=Limits(points=10))
    assert (found["exit_code"], found["recall"], found["undone"]) == (1, None, ["the counts"])
    pair.sql("DELETE FROM ci.builds WHERE id = (SELECT min(id) FROM ci.builds)")
    found = pair.verify(limits=Limits(requests=3))
    assert (found["exit_code"], found["builds"]["missing"]) == (1, 1)


@pytest.mark.slow
def test_the_demo_world_is_complete_after_a_load_and_a_week_later(tmp_path: Path) -> None:
    with Standin(demo(), budgets=ENOUGH) as standin:
        pair = Pair(standin, tmp_path / "buildkite.duckdb")
        for part in range(SCALE + 1):
            pair.load()
            found = pair.verify(25)
            assert right(found), found
            builds = found["builds"]
            assert builds["in_api"] == builds["in_warehouse"] - builds["gone_upstream"], part
            standin.world.advance(timedelta(days=7) / SCALE)
            found = pair.verify(10)
            assert right(found), found
        assert found["builds"]["changed_since_the_load"] > 0
