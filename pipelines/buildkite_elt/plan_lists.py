"""What the work lists would cost: how many rows wait, by the file and a page of the builds that a load would bring, and
what a few of them take, by asking for them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from buildkite_ci import graphql
from buildkite_ci.batch import at_once, many
from buildkite_ci.budget import cost
from buildkite_ci.catalog import catalog, twin
from buildkite_ci.choice import Choice
from buildkite_ci.errands import List, by_twin
from buildkite_ci.extract import ERRANDS
from buildkite_ci.probe import SAMPLE, Cost, Probe
from buildkite_ci.table import Errand, Item, Table
from buildkite_ci.times import instant, told

from .known import Known, Waiting, wanted

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

READ = 200
"""Builds that are read to see which of them, and of their jobs, a work list asks for."""
SCATTER = (5**0.5 - 1) / 2
"""The golden ratio: its multiples never come close to one another."""
REACH = re.compile(r"max\(created_at\) - INTERVAL '(\d+) days'")
"""How a work list says that it goes back some days only."""


@dataclass(frozen=True)
class Tasted:
    """What some rows of a work list took together, and gave. `untold`: those of them that REST is asked for as well."""

    asked: int
    points: int
    pages: int
    rows: int
    untold: int


@dataclass
class Lists:
    """The work lists of one plan. `coming`: builds that the load would bring, as REST filters them and how many they
    are; None where the load brings none. `done`: what has been asked for of some rows (known.done)."""

    probe: Probe
    known: Known
    since: datetime
    choices: Mapping[str, Choice]
    done: Callable[[Sequence[str]], pa.Table | None]
    coming: tuple[Mapping[str, Any], int] | None = None
    _page: list[dict[str, Any]] | None = field(default=None, repr=False)

    def cost(self, table: Table, errand: Errand) -> Cost:
        """What one of them takes."""
        choice = self.choices.get(table.name, Choice())
        rows, some = self._rows(table, errand, choice)
        rows = min(rows, choice.at_most or errand.at_most)
        if not by_twin(table, errand, self.probe.wire):
            return Cost(rows, rows=rows if errand.log else None)
        if not rows or not some:
            return Cost(rows=0)
        tasted = taste(self.probe, table, errand, spread(some, SAMPLE))
        of_jobs = self.known.of_jobs
        untold = rows * (tasted.untold / tasted.asked if of_jobs is None else of_jobs)
        each = rows / tasted.asked
        return Cost(
            # What is rare is not among so few rows: until a load has told, one row of the list is taken to have it.
            max(round(untold), of_jobs is None) if errand.told else 0,
            documents(table, rows, tasted),
            round(each * tasted.points),
            round(each * tasted.rows),
        )

    def _rows(self, table: Table, errand: Errand, choice: Choice) -> tuple[int, list[dict[str, Any]]]:
        """How many rows wait, and some of them."""
        had, new = self.known.waiting.get(table.name, Waiting()), Waiting()
        if self.coming and self.coming[1]:
            todo = List(table, errand, self.probe.organization, self.since, choice)
            with self._sample() as sample:
                new = wanted(sample, todo, "errands")
        twice = {row["id"] for row in new.some} & {row["id"] for row in had.some}
        return had.count + round((new.count - len(twice)) * self._share(errand)), [*new.some, *had.some]

    def _share(self, errand: Errand) -> float:
        """Builds that the load would bring, for each of the page; where a work list goes back some days only, of a
        first load those of these days."""
        page, (params, count), reach = self._page or [], self.coming or ({}, 0), REACH.search(errand.when)
        if not reach or self.known.kept.get("covered"):
            return count / max(len(page), 1)
        begin = max((self.probe.at or self.since) - timedelta(days=int(reach[1])), self.since)
        path, what = "organizations/{organization}/builds", f"builds of the last {reach[1]} days"
        within = self.probe.count(path, what, {**params, "created_from": told(begin)}) or 0
        return within / max(sum(instant(build["created_at"]) >= begin for build in page), 1)

    def _sample(self) -> duckdb.DuckDBPyConnection:
        """The page of builds as the tables that the work lists are asked of."""
        import duckdb

        if self._page is None:
            self._page = self.probe.builds(dict(self.coming[0]) if self.coming else {}, READ)
        connection = duckdb.connect(":memory:")
        given = {"organization_slug": self.probe.organization}
        builds, jobs = (catalog()[name].read(self._page, given) for name in ("builds", "jobs"))
        done = self.done([*builds["id"].to_pylist(), *jobs["id"].to_pylist()])
        tables = {"builds": builds, "jobs": jobs, "errands": catalog()["errands"].read(()) if done is None else done}
        for name, table in tables.items():
            connection.register(name, table)
        return connection


def taste(probe: Probe, table: Table, errand: Errand, rows: Sequence[Item]) -> Tasted:
    """Ask a work list's query for some rows: {column: value}, of those that it would be asked for."""
    file = twin(table)
    request, asks = graphql.read(file), [{name: row[of] for name, of in errand.bind.items()} for row in rows]
    with probe.asking(f"{table.name} (GraphQL, {len(rows)} rows)"):
        found = [one for one in many(probe.wire, file, asks, {}) if one.items is not None]
    items, untold = [], 0
    for one in found:
        told_ = one.items or []
        above = {column: rows[one.number][of] for column, of in errand.given.items()}
        items += [{**above, **item} for item in told_]
        untold += bool(errand.told and not errand.told(told_))
    turns = "$after" in file.read_text(encoding="utf-8")
    size = graphql.page_size(request) if turns else 1
    pages = sum(max(math.ceil(len(one.items or ()) / size), 1) for one in found)
    held = table.read(items, {"organization_slug": probe.organization}).num_rows
    return Tasted(len(rows), probe.asked[-1].points, pages, held, untold)


def spread(rows: Sequence[Any], size: int) -> list[Any]:
    """`size` of the rows, scattered, as what repeats itself in them should not meet the same place each time."""
    return [rows[int(at * SCATTER * len(rows)) % len(rows)] for at in range(size)] if len(rows) > size else list(rows)


def documents(table: Table, rows: int, tasted: Tasted) -> int:
    """Documents of a twin for so many rows: batch.many puts as many copies as fit into each, a package at a time."""
    one = cost(graphql.read(twin(table)).document)
    size = at_once(one)
    package, pages = ERRANDS["GraphQL"], tasted.pages / tasted.asked
    whole, rest = divmod(rows, package)
    return whole * math.ceil(package * pages / size) + math.ceil(rest * pages / size)
