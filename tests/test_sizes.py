"""T1 and T20: every listing at the sizes where pages begin and end, and loads that have nothing to change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from buildkite_ci.catalog import catalog
from buildkite_elt.loads import Target
from buildkite_elt.standin import Standin
from buildkite_elt.standin.demo import demo, empty
from buildkite_elt.standin.life import Life
from faults import PLENTY, SCALE, Memory, into, small_pages, wired
from truth import wrong

PAGE = 100
SIZES = [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 10 * PAGE]
Make = Callable[[Life, int], Any]


def one_queue(life: Life, n: int) -> None:
    life.queue(life.organization.clusters[first(life.organization.clusters)], f"q{n}")


def first(rows: dict[str, Any]) -> str:
    return next(iter(rows))


def one_agent(life: Life, _: int) -> None:
    life.agent(life.organization.queues[first(life.organization.queues)])


def one_schedule(life: Life, n: int) -> None:
    life.schedule(life.organization.pipelines[first(life.organization.pipelines)], label=f"S{n}")


def one_team_member(life: Life, n: int) -> None:
    life.team_has(life.organization.teams[first(life.organization.teams)], life.user(f"User {n}"), "member")


def one_team_pipeline(life: Life, n: int) -> None:
    life.team_has(life.organization.teams[first(life.organization.teams)], life.pipeline(f"p{n}"), "read_only")


def one_emoji(life: Life, n: int) -> None:
    life.organization.emojis.append({"name": f"e{n}", "url": f"https://example.com/{n}.png"})


def one_build(life: Life, n: int) -> None:
    life.world.advance(1)
    life.build("main", 1, takes=0.5)


MAKE: dict[str, Make] = {
    "pipelines": lambda life, n: life.pipeline(f"p{n}"),
    "members": lambda life, n: life.user(f"User {n}"),
    "teams": lambda life, n: life.team(f"Team {n}"),
    "clusters": lambda life, n: life.cluster(f"Cluster {n}"),
    "agents": one_agent,
    "cluster_queues": one_queue,
    "pipeline_schedules": one_schedule,
    "team_members": one_team_member,
    "team_pipelines": one_team_pipeline,
    "emojis": one_emoji,
    "builds": one_build,
}
PARENTS = {"cluster_queues": 1, "agents": 0}
"""Rows that are there before: a cluster has a queue."""


def grown(table: str, size: int) -> Life:
    """A world with `size` rows in this listing."""
    life = Life(empty(), "acme")
    if table in ("cluster_queues", "agents"):
        life.cluster("Main")
    if table in ("pipeline_schedules", "builds"):
        life.pipeline("main")
    if table.startswith("team_"):
        life.team("Main")
    if table == "members":
        life.organization.members.clear()
    for n in range(size - PARENTS.get(table, 0)):
        MAKE[table](life, n)
    life.world.advance(3600)
    return life


@pytest.mark.parametrize("size", SIZES if SCALE > 1 else SIZES[:-1])
@pytest.mark.parametrize("table", MAKE)
def test_a_listing_of_any_size_is_read_whole_and_once(table: str, size: int) -> None:
    life, memory = grown(table, size), Memory()
    with Standin(life.world, budgets=PLENTY) as standin, wired(standin) as wire:
        for _ in range(2):
            run = memory.load(wire, [table])
            assert not run.report.failed
            assert memory.wrong(life.world, [table]) == []
        rows = len(memory.rows[table])
    assert rows == max(size, PARENTS.get(table, 0))


@pytest.mark.parametrize("size", [0, 1, 4, 5, 6, 10, 50])
@pytest.mark.parametrize("table", MAKE)
def test_a_listing_of_ten_pages_is_read_whole_and_once(table: str, size: int) -> None:
    with small_pages(5):
        test_a_listing_of_any_size_is_read_whole_and_once(table, size)


@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 200])
def test_the_graph_at_the_edges_of_its_pages(size: int) -> None:
    life, memory = grown("pipelines", size), Memory()
    with Standin(life.world, budgets=PLENTY) as standin, wired(standin) as wire:
        assert not memory.load(wire, ["pipeline_metrics"]).report.failed
        assert len(standin.seen) == max(-(-size // PAGE), 1)
    held = [(row["pipeline_id"], row["label"]) for row in memory.rows["pipeline_metrics"]]
    assert len(held) == len(set(held)) == 3 * size


# --- T20: through DuckDB ---

PASSING = {"last_seen_at", "first_seen_at", "_dlt_load_id", "_dlt_id", "_dlt_valid_from", "observed_at"}
"""Says when it was looked at, not what was seen."""
BOOKS = {"api_usage", "sync_runs", "load_coverage", "errands", "pipeline_metrics"}
"""A row a load, or about loads."""


def content(file: Path, *, without: set[str] = PASSING) -> dict[str, list[tuple[Any, ...]]]:
    """Every table's rows, sorted."""
    found = {}
    with duckdb.connect(str(file), read_only=True) as connection:
        there = {
            row[0]
            for row in connection.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'ci'").fetchall()
        }
        for name in sorted((catalog().keys() - BOOKS) & there):
            columns = [row[0] for row in connection.execute(f"DESCRIBE ci.{name}").fetchall() if row[0] not in without]
            told = ", ".join(f'"{column}"' for column in sorted(columns))
            found[name] = sorted(connection.execute(f"SELECT {told} FROM ci.{name}").fetchall(), key=repr)
    return found


def differing(some: dict[str, list[tuple[Any, ...]]], others: dict[str, list[tuple[Any, ...]]]) -> list[str]:
    return sorted(name for name in some.keys() | others.keys() if some.get(name) != others.get(name))


def test_a_second_run_changes_nothing_and_a_fresh_file_holds_the_same(tmp_path: Path) -> None:
    with Standin(demo(days=16, pipelines=12, builds_per_day=3), budgets=PLENTY) as standin:
        one, other = Target(database=tmp_path / "one.duckdb"), Target(database=tmp_path / "other.duckdb")
        slug = next(iter(standin.world.organizations))
        assert into(standin, one, slug=slug).exit_code == 0
        before = content(one.database)
        assert into(standin, one, slug=slug).exit_code == 0
        assert differing(content(one.database), before) == []
        assert into(standin, other, slug=slug).exit_code == 0
        assert differing(content(other.database), before) == []
        assert wrong(one.database, standin.world, slug) == []
