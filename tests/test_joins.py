"""How tables join, as docs/tables.md draws it, over everything that the local Buildkite can be loaded of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buildkite_ci.catalog import catalog
from buildkite_ci.table import Ours
from buildkite_elt import connect, joins


def test_the_diagrams_are_of_tables_and_each_table_in_them_joins() -> None:
    for title, tables in joins.DIAGRAMS.items():
        assert {*tables} <= {*catalog()}, title
        lines = joins.drawn(tables)
        assert {*tables} <= {name for one in lines for name in (one.table, one.other)}, title


def test_a_join_is_by_columns_that_are_there() -> None:
    for one in joins.joins():
        for table, columns in ((one.table, one.columns), (one.other, one.other_columns)):
            assert {*columns} <= {column.name for column in catalog()[table].columns}, one


def test_short_cuts_are_not_drawn() -> None:
    drawn = {(one.table, one.columns) for one in joins.drawn(("pipelines", "builds", "jobs", "annotations"))}
    assert ("builds", ("pipeline_id",)) in drawn
    assert ("jobs", ("build_id",)) in drawn
    assert ("jobs", ("pipeline_id",)) not in drawn, "its build has it"
    assert ("annotations", ("build_id",)) in drawn, "not each has a job"


def test_logs_join_by_job_and_line() -> None:
    assert joins.told("log_numbers") == (
        "`job_id` = `job_logs.job_id`; `job_id` = `job_log_lines.job_id` and `line` = `job_log_lines.line`"
    )


QUIET = {
    ("build_details", "canceled_by_id"),
    ("build_details", "rebuilt_from_id"),
    ("build_gaps", "pipeline_id"),
    ("concurrency_group_jobs", "build_id"),
    ("concurrency_group_jobs", "job_id"),
    ("concurrency_group_jobs", "pipeline_id"),
}
"""Joins of which this test has no rows: nobody canceled in person, `verify` found no gap, no group was named."""


@pytest.mark.slow
def test_each_join_finds_rows(command: Callable[..., Any], tmp_path: Path, demo_file: Path) -> None:
    """In a file of every table of a small organization, or else in the demo's."""
    file = tmp_path / "all.duckdb"
    tables = [table.name for table in catalog().values() if not isinstance(table.fetch, Ours)]
    done = command("load", *tables, "--database", file, "--since", "2026-09-01")
    assert done.exit_code == 0, done.stderr
    assert quiet(file) & quiet(demo_file) == QUIET


def quiet(file: Path) -> set[tuple[str, str]]:
    """Table and column of the joins that find nothing there. What is told to be always there is."""
    found = set()
    with connect(file) as warehouse:
        there = {name for (name,) in warehouse.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        for one in joins.joins():
            rows, held, met = counts(warehouse, one) if {one.table, one.other} <= there else (0, 0, 0)
            assert held == rows or not one.always, one
            if not met:
                found.add((one.table, one.columns[-1]))
    return found


def counts(warehouse: Any, one: joins.Join) -> tuple[int, int, int]:
    """Rows, those that have the column, and those whose other row is there."""
    pairs = zip(one.columns, one.other_columns, strict=True)
    on = " AND ".join(f'here."{column}" = there."{other}"' for column, other in pairs)
    met = f"count(*) FILTER (EXISTS (FROM {one.other} AS there WHERE {on}))"
    row: tuple[int, int, int] = warehouse.execute(
        f'SELECT count(*), count("{one.columns[-1]}"), {met} FROM {one.table} AS here'
    ).fetchone()
    return row
