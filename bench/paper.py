"""The tables of cost.py, and the page around them (docs/benchmarks-cost.md)."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .peers import STRATEGIES

Row = Mapping[str, Any]


def tables(found: Sequence[Row]) -> str:
    """The week, then the backfill; a task that was not run has no table."""
    return "\n\n".join(part for part in (week(found), backfill(found)) if part)


def week(found: Sequence[Row]) -> str:
    rows = [one for one in found if one["task"] == "week"]
    head = ("strategy", "first sync", "a later one", "in all", "× ours", "points", "limit", "waited", "429")
    cost = [
        (
            name(one),
            f"{one['first']:,}",
            f"{(one['requests'] - one['first']) / max(one['syncs'] - 1, 1):,.1f}",
            f"{one['requests']:,}",
            times(one, rows),
            f"{one['points']:,}",
            f"{one['minutes']:,.1f}",
            f"{one['waited']:,.0f}",
            str(one["refused"]),
        )
        for one in rows
    ]
    lost = [(name(one), *(f"{one[what]:,}" for what in WRONG), f"{one['failed']} of {one['syncs']}") for one in rows]
    told = ("strategy", "builds missing", "builds stale", "jobs missing", "jobs stale", "syncs that failed")
    return f"{table(head, cost)}\n\n{table(told, lost)}" if rows else ""


WRONG = ("builds_missing", "builds_stale", "jobs_missing", "jobs_stale")


def backfill(found: Sequence[Row]) -> str:
    rows = [one for one in found if one["task"] == "backfill"]
    head = ("strategy", "requests", "× ours", "points", "limit", "waited", "429", "missing", "stale")
    cells = [
        (
            name(one),
            f"{one['requests']:,}",
            times(one, rows),
            f"{one['points']:,}",
            f"{one['minutes']:,.1f}",
            f"{one['waited']:,.0f}",
            str(one["refused"]),
            f"{one['builds_missing'] + one['jobs_missing']:,}",
            f"{one['builds_stale'] + one['jobs_stale']:,}",
        )
        for one in rows
    ]
    return table(head, cells) if rows else ""


def name(one: Row) -> str:
    title = STRATEGIES[one["strategy"]][0]
    return f"**{title}**" if one["strategy"] == "ours" else title


def times(one: Row, rows: Iterable[Row]) -> str:
    """Its requests, as a multiple of ours; nothing where ours did not run."""
    ours = next((other["requests"] for other in rows if other["strategy"] == "ours"), 0)
    return f"{one['requests'] / ours:.1f}" if ours else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is words, the others are figures."""
    lines = [head, ("---", *("---:" for _ in head[1:])), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


PAGE = """\
# Benchmarks of requests, and of what is lost

Written by `make bench-cost`; do not edit.
{date}{about}.

The figures are counts of the stand-in and minutes of its clock, no real seconds, so they do not depend on how fast the
machine is.

## What it costs to know builds and jobs, and what is wrong in the end

Each strategy works on a stand-in of its own with the same organization: {history} days of CI behind it, about
{per_day:g} builds on a weekday, and the limits that Buildkite documents (50 REST requests a minute and 5,000 GraphQL
points in five minutes for one user). After the first sync {days:g} days go by, with one sync every {every:g} hours:
{builds:,} builds and {jobs:,} jobs in the end. A build may end hours later; of those that fail some are retried after
half an hour and some after days; some wait for people.

The last sync has no limits, so that the world stands still while it reads. Then every copy is held against the world.
A build is stale if its state or finished_at differs, a job if its state, finished_at or retried does.

{week}

first sync, a later one, in all: requests, those answered 429 too. × ours: all of them, as a multiple of ours. limit:
minutes of the user's limit that the requests (50 a minute) or the points (1,000 a minute) use up, whichever is more.
waited: simulated minutes that syncs slept for a 429, or not to meet one.

## {backfill_builds:,} builds × {backfill_jobs} jobs: a backfill

All ended long ago, in ten pipelines, so nothing is stale, and every attempt is the first. Each line is a run of the
strategy on such a world, none is a formula; but dlt's run has {nested} jobs in a build. They come inside the builds, so
they change none of its requests, and with fifty it took over three gigabytes of memory.

{backfill}

## What each strategy does

buildkite-elt and dlt's rest_api are run as they are. The others are a few lines of ours (bench/peers.py) that ask what
the original asks, in its order; no code is theirs, and what they read besides builds and jobs is left out. They have
the benefit of every doubt: they wait for a 429 as long as the headers say (the originals guess, or give up), and
nothing else goes wrong in this week: no half page, no timeout, no deleted row. One line shows what a 429 does to the
original.

{strategies}
"""


def page(found: Sequence[Row], size: Row, date: str, about: str) -> str:
    """docs/benchmarks-cost.md. Needs both tasks."""
    one = next(one for one in found if one["task"] == "week")
    facts = {name: size[name] for name in ("history", "per_day", "days", "every")}
    return PAGE.format(
        date=f"{date}, " if date else "",
        about=about,
        **facts,
        builds=one["builds"],
        jobs=one["jobs"],
        backfill_builds=size["builds"],
        backfill_jobs=size["jobs"],
        nested=size["nested"],
        week=week(found),
        backfill=backfill(found),
        strategies="\n".join(strategies()),
    )


def strategies() -> Iterable[str]:
    """What the functions say of themselves, a list item each."""
    for title, made in STRATEGIES.values():
        text = " ".join((inspect.getdoc(made) or "").split())
        yield textwrap.fill(f"* **{title}**: {text}", 119, subsequent_indent="  ")
