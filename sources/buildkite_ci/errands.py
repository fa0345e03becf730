"""Work lists: what is asked once for each row that the warehouse holds, such as the annotations of a build.

The warehouse itself is the list: rows of the selection without an entry in `errands`, or changed since that entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

from . import rest, warehouse
from .batch import Found, answers
from .catalog import twin
from .choice import Choice
from .errors import NotFound, QueryRefused
from .rest import Page
from .table import Errand, Table
from .wire import Wire

Row = dict[str, Any]

ALL = "FROM {of} AS o WHERE o.organization_slug = %s AND o.created_at >= %s AND {when} AND {wanted}"
UNDONE = (
    "FROM {of} AS o LEFT JOIN {errands} AS e ON e.table_name = %s AND e.item_id = o.id "
    "WHERE o.organization_slug = %s AND o.created_at >= %s AND {when} AND {wanted} "
    "AND (e.item_id IS NULL OR e.state <> {version} OR e.finished_at IS DISTINCT FROM o.finished_at)"
)
ASKED = """
SELECT count(*) AS asked FROM {errands} WHERE organization_slug = %s AND table_name = %s AND last_seen_at > %s
"""
FAILED_FIRST = "CASE WHEN o.state IN ('failed', 'timed_out') THEN 0 ELSE 1 END, o.created_at DESC, o.id"
ALWAYS = ("id", "finished_at", "created_at", "pipeline_id", "pipeline_slug")


@dataclass(frozen=True)
class List:
    """The work list of one table: `errand`'s rows of an organization, created at or after `since`, that are wanted."""

    table: Table
    errand: Errand
    organization: str
    since: datetime
    choice: Choice

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a row that asking for it takes."""
        return tuple(dict.fromkeys((*ALWAYS, *self.errand.bind.values(), *self.errand.given.values())))

    @property
    def order(self) -> str:
        """SQL: the failed ones first, then the newest."""
        return FAILED_FIRST if self.errand.of == "jobs" else "o.created_at DESC, o.id"

    def _parts(self) -> tuple[dict[str, str], tuple[Any, ...]]:
        wanted, values = self.choice.where(self.errand.of, self.errand.states, "{builds}")
        parts = {"when": self.errand.when, "wanted": wanted, "version": self.errand.version}
        return parts, (self.organization, self.since, *values)

    def query(self, what: str, undone: bool = True) -> tuple[str, tuple[Any, ...]]:
        """SELECT `what` of the rows, all or those that are still to be asked for, and its values. `{of}`, `{errands}`
        and `{builds}` in it stand for tables."""
        parts, values = self._parts()
        for name, part in parts.items():
            what = what.replace(f"{{{name}}}", part)
        sql = (UNDONE if undone else ALL).format(of="{of}", errands="{errands}", **parts)
        return f"SELECT {what} {sql}", (self.table.name, *values) if undone else values

    def _select(self, what: str, undone: bool = True, more: str = "") -> list[Row]:
        sql, values = self.query(what, undone)
        tables = {"of": self.errand.of, "errands": "errands", "builds": "builds"}
        return warehouse.select(sql + more, tables, values)

    def todo(self, at_most: int) -> list[Row]:
        """The rows that are still to be asked for, the failed ones first, then the newest: {column: value}, and
        `version`."""
        what = ", ".join([*(f"o.{name} AS {name}" for name in self.columns), "{version} AS version"])
        found = self._select(what, more=f" ORDER BY {self.order} LIMIT {int(at_most)}")
        return found[:at_most]  # DuckDB 2.0.0 forgets the LIMIT of a prepared left join with an empty table

    def asked(self, since: datetime) -> int:
        """How many rows have been asked for since then."""
        found = warehouse.select(ASKED, {"errands": "errands"}, (self.organization, self.table.name, since))
        return int(found[0]["asked"]) if found else 0

    def tally(self) -> tuple[int, int, datetime | None]:
        """How many rows the selection holds, how many of them wait, and when the oldest of these was created."""
        every = self._select("count(*) AS held", undone=False)
        left = self._select("count(*) AS waiting, min(o.created_at) AS oldest")
        return (every[0]["held"], left[0]["waiting"], left[0]["oldest"]) if every and left else (0, 0, None)


def by_twin(table: Table, errand: Errand, wire: Wire) -> bool:
    """Whether the table's query is asked, and not its path; what the token may is asked for where nothing has told."""
    if not errand.path or not twin(table).exists():
        return not errand.path
    if wire.scopes is None:
        wire.get("access-token", shape=dict)
    return "graphql" in (wire.scopes or ())


def pages(
    wire: Wire,
    todo: List,
    slugs: Callable[[], Mapping[str, str]],
    rows: list[Row],
    refused: Callable[[QueryRefused], None],
) -> Iterator[Iterable[Page]]:
    """For each answer, a page for each row that it tells of: its items, what the warehouse has of it that is gone, and
    the entry for `errands`.

    slugs: {pipeline: the slug that it has now}. refused: told of a row that GraphQL refused by itself; it waits.
    """
    table, errand, had = todo.table, todo.errand, _had(todo.table, rows)
    if not by_twin(table, errand, wire):
        yield from ([_page(todo, row, had, *_by_path(wire, todo, slugs(), row))] for row in rows)
        return

    def told(found: Found) -> Iterator[Page]:
        row = rows[found.number]
        if found.error or found.at is None:
            refused(found.error or QueryRefused(table.name))
        elif found.items is not None and errand.told and not errand.told(found.items):
            yield _page(todo, row, had, *_by_path(wire, todo, slugs(), row))
        else:
            yield _page(todo, row, had, found.items, found.at)

    asks = [{name: row[of] for name, of in errand.bind.items()} for row in rows]
    for answer in answers(wire, twin(table), asks, {}):
        yield chain.from_iterable(map(told, answer))


def _by_path(
    wire: Wire, todo: List, slugs: Mapping[str, str], row: Row
) -> tuple[list[dict[str, Any]] | None, datetime]:
    """The items that a row's path lists, None where there is none, and the server's clock."""
    slug = slugs.get(row["pipeline_id"], row["pipeline_slug"])
    names = {"organization": todo.organization, "pipeline": slug}
    names |= {name: row[of] for name, of in todo.errand.bind.items()}
    path = todo.errand.path.format(**names)
    try:
        pages = [rest.one(wire, path)] if todo.errand.one else list(rest.pages(wire, path, todo.errand.params))
    except NotFound:
        return None, row["finished_at"] or row["created_at"]
    return [item for page in pages for item in page.items], pages[-1].at


def _had(table: Table, rows: list[Row]) -> dict[str, set[str]]:
    """What the warehouse holds of each row that may have gone: {row: ids}."""
    found: dict[str, set[str]] = {}
    if any(column.name == "gone_at" for column in table.columns):
        for one in warehouse.rows(table.name, "build_id", [row["id"] for row in rows], ("build_id", "id", "gone_at")):
            if not one["gone_at"]:
                found.setdefault(one["build_id"], set()).add(one["id"])
    return found


def _page(todo: List, row: Row, had: Mapping[str, set[str]], items: list[dict[str, Any]] | None, at: datetime) -> Page:
    above = {column: row[of] for column, of in todo.errand.given.items()}
    found = [{**above, **item} for item in items or ()]
    gone = had.get(row["id"], set()) - {item["id"] for item in found if "id" in item}
    outcome = "gone" if items is None else "read"
    return Page(found, at, gone=tuple(sorted(gone)), entries=(entry(todo, row, outcome, len(found)),))


def entry(todo: List, row: Row, outcome: str, found: int) -> dict[str, Any]:
    """What `errands` keeps of a row that has been asked for. outcome: read or gone; found: rows of the answer."""
    return {
        "table_name": todo.table.name,
        "item_id": row["id"],
        "state": row["version"],
        "finished_at": row["finished_at"] and row["finished_at"].isoformat(),
        "outcome": outcome,
        "found": found,
    }


def asked_for(entry: Mapping[str, Any]) -> tuple[str, datetime | None]:
    """How a row of the work list was when it was asked for: its version, and when it had finished."""
    at = entry["finished_at"]
    return entry["state"], datetime.fromisoformat(at) if isinstance(at, str) else at
