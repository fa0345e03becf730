"""Each destination through the same course, as Markdown: `PYTHONPATH=tests python -m bench.destinations`.

A first load, a second one with nothing new, and one after half a day in which builds went on, were retried and ended,
and a team got another description; before it the DuckDB file of a lake is taken away. What is there then is compared,
row by row and field by field, with the world that the stand-in served; of a lake, as it is restored from there.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

import environments
import lakes
import postgres as server
import thrice
import truth
from buildkite_elt import lake
from buildkite_elt.loads import Target

from .told import machine

PER_DAY = 3
PAGE = """# Benchmarks of destinations

Written by `make bench-destinations`; do not edit.
{machine}

The local Buildkite's small organization goes through the same course into each destination: a first load, a second one
with nothing new, and a third after twelve hours in which builds went on, ended and were retried, and a team got
another description. Before the third one the DuckDB file of a lake is taken away. Then every row and field of twelve
tables is compared with what Buildkite has, of a lake after it was restored once more. Seconds include publishing, and
the last column what sets a destination up: of DuckLake, with its catalogue in PostgreSQL, a whole environment. S3 is
moto, a server on the same machine.

{table}
"""
HEADER = """| destination | first load | second load | late update, s | rows right | history | views | all, s |
|---|---|---|---|---|---|---|---|"""
VIEWS = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'ci' AND table_type = 'VIEW'"
VERSIONS = thrice.versions("ci.teams")
Reader = Callable[[], tuple[Path | str, Callable[[str], int]]]
"""What reads a destination afterwards: where tests/truth.py finds it, and the number that a query of it gives."""


@contextmanager
def at_postgres(patch: pytest.MonkeyPatch, folder: Path) -> Iterator[tuple[Target, Reader]]:
    """A new server: the target, and what reads it."""
    patch.setenv("DLT_DATA_DIR", str(folder / "dlt"))
    with server.server() as here:
        patch.setenv("DESTINATION__POSTGRES__CREDENTIALS", here.url)

        def number(sql: str) -> int:
            with psycopg.connect(here.url) as connection:
                return int(connection.execute(sql.encode()).fetchall()[0][0])

        yield Target("postgres"), lambda: (here.url, number)


@contextmanager
def at_file(
    patch: pytest.MonkeyPatch, folder: Path, table_format: str = "", *, s3: bool = False
) -> Iterator[tuple[Target, Reader]]:
    """A DuckDB file, alone or with a lake in a folder or at an S3 server: the target, and what reads it."""
    target = Target(database=folder / "buildkite.duckdb", lake=table_format)

    def number(sql: str) -> int:
        with duckdb.connect(str(target.database), read_only=True) as file:
            return int(file.execute(sql).fetchall()[0][0])

    def read() -> tuple[Path, Callable[[str], int]]:
        if table_format:
            target.database.unlink()
            lake.restore(target)
        return target.database, number

    with ExitStack() as stack:
        if s3:
            stack.enter_context(lakes.s3(patch))
        else:
            patch.setenv(f"{lakes.SETTINGS}__BUCKET_URL", str(folder / "lake"))
        yield target, read


Course = tuple[list[thrice.Took], list[str], int, int]
"""The loads; what is wrong then; versions of the team that changed; views."""
DUCKLAKE = "ducklake, PostgreSQL"
DESTINATIONS: dict[str, Callable[[pytest.MonkeyPatch, Path], Any]] = {
    "duckdb": at_file,
    "postgres": at_postgres,
    **{f"{one}, folder": partial(at_file, table_format=one) for one in lake.FORMATS},
    **{f"{one}, S3": partial(at_file, table_format=one, s3=True) for one in lake.FORMATS},
}


def course(name: str) -> str:
    """A line of the table. Raises AssertionError where a load did not do all that was asked."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        took, wrong, versions, made = in_ducklake(Path(folder)) if name == DUCKLAKE else here(name, Path(folder))
    seconds = time.perf_counter() - began
    loads = [f"{one.seconds:.1f} s, {one.requests} requests" for one in took[:2]]
    same = "all" if not wrong else f"{len(wrong)} differ: {wrong[0]}"
    changed = "both versions" if versions == 2 else f"{versions} versions of 2"
    return f"| {name} | {' | '.join(loads)} | {took[2].seconds:.1f} | {same} | {changed} | {made} | {seconds:.0f} |"


def here(name: str, folder: Path) -> Course:
    """In this process."""
    with (
        pytest.MonkeyPatch.context() as patch,
        DESTINATIONS[name](patch, folder) as (target, read),
        thrice.served(PER_DAY) as standin,
    ):
        took = thrice.loads(standin, target, target.database.unlink if target.lake else lambda: None)
        where, number = read()
        return took, truth.wrong(where, standin.world, "acme-inc"), number(VERSIONS), number(VIEWS)


def in_ducklake(folder: Path) -> Course:
    """In an environment of its own (tests/ducklake_loads.py), which it takes a while to make."""
    with server.server() as catalog:
        told = environments.ducklake(catalog.url, folder, PER_DAY)
    return [thrice.Took(**load) for load in told["loads"]], told["wrong"], told["versions"], told["views"]


def main() -> None:
    """Print the page."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--date", required=True)
    words.add_argument("names", nargs="*", help=", ".join((*DESTINATIONS, DUCKLAKE)))
    given = words.parse_args()
    lines = [HEADER, *(course(name) for name in given.names or (*DESTINATIONS, DUCKLAKE))]
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    sys.stdout.write(PAGE.format(table="\n".join(lines), machine=machine(given.date, load)))


if __name__ == "__main__":
    main()
