"""What `logs search` and `logs show` have in common: the tables they need, and printing as rows come."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import COLOR_SYSTEMS
from rich.style import Style

from buildkite_ci.errors import BuildkiteError

from . import show, status

if TYPE_CHECKING:
    import duckdb

NEEDED = ("builds", "jobs", "job_logs", "job_log_lines", "job_log_groups", "job_log_matches")
FETCHED = 1_000
"""Rows that are held at once."""
HEADER, OVERWRITTEN, ERROR = 1, 16, 256
"""Of job_log_lines.flags."""
Part = tuple[str, str]
"""A text and its style, as rich spells styles."""


def ready(connection: duckdb.DuckDBPyConnection) -> None:
    """Raise BuildkiteError where the file has no tables of logs."""
    there = status.tables(connection)
    missing = [name for name in NEEDED if name not in there]
    if missing:
        raise BuildkiteError(
            f"No log was loaded into this file yet, it has no {' and no '.join(missing)}: `buildkite-elt load builds "
            "job_logs` loads the logs of jobs that failed, timed out or were retried"
        )


def fetched(cursor: duckdb.DuckDBPyConnection) -> Iterable[tuple[Any, ...]]:
    """The rows of a query that was just executed, some at a time."""
    while rows := cursor.fetchmany(FETCHED):
        yield from rows


def named(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """All rows of a query that was just executed, {column: value} each."""
    names = [one[0] for one in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def text(value: Any) -> str:
    """What a log says, safe to print; tabs stay, as logs line up by them."""
    return show.clean(value, keep="\t")


class Screen:
    """Standard output, line by line: with styles on a terminal, without them into a pipe. A log may be very long, and
    rich's own print takes a hundred microseconds a line."""

    def __init__(self) -> None:
        to = show.console()
        self.colors = None if to.no_color or to.legacy_windows else COLOR_SYSTEMS.get(to.color_system or "")

    def line(self, *parts: Part) -> None:
        """The parts are clean already."""
        styled = (Style.parse(style).render(part, color_system=self.colors) if style else part for part, style in parts)
        sys.stdout.write("".join(styled) + "\n")


def as_json(head: Mapping[str, Any], name: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON document on standard output: `head`, and the rows under `name`, written as they come; in ASCII."""
    told = json.dumps(head, indent=2, default=show.plain, allow_nan=False).removesuffix("\n}")
    sys.stdout.write(f"{told},\n  {json.dumps(name)}: [")
    comma = ""
    for row in rows:
        sys.stdout.write(f"{comma}\n    {json.dumps(row, default=show.plain, allow_nan=False)}")
        comma = ","
    sys.stdout.write("\n  ]\n}\n" if comma else "]\n}\n")
