"""How long each view takes over a million jobs, as Markdown: `python -m bench.views [--jobs N] [--runs N]`.

The demo's organization is copied until it has so many jobs: with other ids, into twelve times its pipelines, and month
after month into the past. Of each view every column of every row is computed, and none is handed on.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb

from buildkite_ci.catalog import catalog
from buildkite_ci.choice import Choice
from buildkite_ci.table import Ours
from buildkite_elt import views
from buildkite_elt.loads import Origin, Target, load
from buildkite_elt.standin import Standin
from buildkite_elt.standin.demo import demo

from .told import machine

LIMIT = 2.0
"""Seconds that a view may take, on two cores."""
BESIDE, APART = 12, 28
"""Copies side by side, of other pipelines, and the days between one such set and the next."""
KEPT = ("organization_slug", "organization_id", "cluster_id", "cluster_queue_id", "queue_id", "run_id")


def loaded(file: Path) -> None:
    """Every table of the demo's world, of its logs those of four days."""
    tables = [table.name for table in catalog().values() if not isinstance(table.fetch, Ours)]
    with Standin(demo()) as here:
        origin = Origin(tuple(here.world.organizations), here.token, here.rest_url, here.graphql_url)
        origin = replace(origin, choices={"job_logs": Choice(since=here.clock.now() - timedelta(days=4))})
        since = here.clock.now() - timedelta(days=31)
        load(origin, Target(database=file), tuple(tables), since, sleep=lambda _: here.meter.clear())


def copied(column: str, kind: str) -> str:
    """SQL of a column in copy `k`."""
    name = f'"{column}"'
    if kind.startswith("TIMESTAMP"):
        return f"{name} - to_days({APART} * (k // {BESIDE})) AS {name}"
    if column in KEPT or kind != "VARCHAR":
        return name
    if column == "pipeline_slug" or column.startswith("pipeline_"):
        return f"{name} || '-' || (k % {BESIDE}) AS {name}"
    return f"{name} || '-' || k AS {name}" if column == "id" or column.endswith("_id") else name


def made(connection: duckdb.DuckDBPyConnection, small: Path, jobs: int) -> int:
    """The tables of a file, so often that there are so many jobs, and the views over them; how many jobs they are."""
    connection.execute(f"ATTACH '{small}' AS small (READ_ONLY); CREATE SCHEMA ci; USE ci")
    tables = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'small' AND schema_name = 'ci'"
    names = [name for (name,) in connection.execute(tables).fetchall()]
    (held,) = connection.execute("SELECT count(*) FROM small.ci.jobs").fetchone() or (1,)
    copies = -(-jobs // held)
    for name in names:
        columns = connection.execute(f"DESCRIBE small.ci.{name}").fetchall()
        told = ", ".join(copied(column, kind) for column, kind, *_ in columns)
        many = copies if any(column in ("build_id", "job_id", "pipeline_id") for column, *_ in columns) else 1
        many = copies if name in ("builds", "jobs") else min(many, BESIDE) if name == "pipelines" else many
        connection.execute(f"CREATE TABLE {name} AS SELECT {told} FROM small.ci.{name}, range({many}) AS t(k)")  # noqa: S608 - names of ours
    connection.execute("DETACH small")
    views.create(connection.execute, "ci", names, {})
    (found,) = connection.execute("SELECT count(*) FROM jobs").fetchone() or (0,)
    return int(found)


def timed(connection: duckdb.DuckDBPyConnection, name: str, runs: int) -> list[float]:
    """Seconds by the clock."""
    took = []
    for _ in range(runs):
        began = time.perf_counter()
        connection.execute(f"SELECT count(*), bit_xor(hash(v)) FROM {name} AS v").fetchall()  # noqa: S608
        took.append(time.perf_counter() - began)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--date", default="today")
    asked = parser.parse_args()
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(str(Path(folder, "big.duckdb"))) as connection:
        small = Path(folder, "buildkite.duckdb")
        loaded(small)
        connection.execute("SET TimeZone = 'UTC'")
        jobs = made(connection, small, asked.jobs)
        there = connection.execute("SELECT view_name FROM duckdb_views() WHERE schema_name = 'ci'").fetchall()
        for (name,) in sorted(there):
            figures[name] = timed(connection, name, asked.runs)
    sys.stdout.write(page(figures, jobs, asked.date))
    sys.exit(any(statistics.median(took) > LIMIT for took in figures.values()))


def page(figures: dict[str, list[float]], jobs: int, date: str) -> str:
    """docs/benchmarks-views.md."""
    ordered = sorted(figures.items(), key=lambda one: -statistics.median(one[1]))
    slow = sum(statistics.median(took) > LIMIT for _, took in ordered)
    lines = [
        "# Benchmarks of the views",
        "",
        "Written by `make bench-views`; do not edit.",
        machine(date, f"{os.getloadavg()[0]:.1f}"),
        "",
        f"All columns of all rows of each of {len(figures)} views over {jobs:,} jobs, by the clock: medians of "
        f"{len(ordered[0][1])} runs, the least and the most. {slow or 'None'} took more than {LIMIT:.0f} s.",
        "",
        "| view | seconds | |",
        "|---|---:|---:|",
        *(f"| {name} | {statistics.median(took):.2f} | {min(took):.2f} – {max(took):.2f} |" for name, took in ordered),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
