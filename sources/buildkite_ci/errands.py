"""Work lists: what is asked once for each row that the warehouse holds, such as the annotations of a build.

The warehouse itself is the list: rows of the selection without an entry in `errands`, or changed since that entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from . import rest, warehouse
from .errors import NotFound
from .rest import Page
from .table import Errand, Table
from .wire import Wire

UNDONE = """
SELECT {columns} FROM {of} AS o LEFT JOIN {errands} AS e ON e.table_name = %s AND e.item_id = o.id
WHERE o.organization_slug = %s AND o.gone_at IS NULL AND o.created_at >= %s
  AND (o.blocked OR o.state IN ({states}))
  AND (e.item_id IS NULL OR e.state <> o.state OR e.finished_at IS DISTINCT FROM o.finished_at)
"""
ALL = """
SELECT count(*) FROM {of} AS o
WHERE o.organization_slug = %s AND o.gone_at IS NULL AND o.created_at >= %s AND (o.blocked OR o.state IN ({states}))
"""
NEEDED = ("id", "number", "pipeline_id", "pipeline_slug", "state", "finished_at", "created_at")


def todo(table: Table, errand: Errand, organization: str, since: datetime, at_most: int) -> list[dict[str, Any]]:
    """The rows that are still to be asked for, newest first: {column of NEEDED: value}."""
    columns = ", ".join(f"o.{name} AS {name}" for name in NEEDED)
    found = warehouse.select(
        f"{UNDONE} ORDER BY o.created_at DESC, o.id LIMIT {int(at_most)}",
        {"of": errand.of, "errands": "errands"},
        {"columns": columns, "states": _marks(errand)},
        (table.name, organization, since, *errand.settled),
    )
    return found[:at_most]  # DuckDB 2.0.0 forgets the LIMIT of a prepared left join with an empty table


def tally(table: Table, errand: Errand, organization: str, since: datetime) -> tuple[int, int, datetime | None]:
    """How many rows the selection holds, how many of them wait, and when the oldest of these was created."""
    names = {"of": errand.of, "errands": "errands"}
    every = warehouse.select(ALL, names, {"states": _marks(errand)}, (organization, since, *errand.settled))
    what = {"columns": "count(*) AS waiting, min(o.created_at) AS oldest", "states": _marks(errand)}
    left = warehouse.select(UNDONE, names, what, (table.name, organization, since, *errand.settled))
    if not every or not left:
        return 0, 0, None
    return next(iter(every[0].values())), left[0]["waiting"], left[0]["oldest"]


def _marks(errand: Errand) -> str:
    return ", ".join(["%s"] * len(errand.settled))


def pages(
    wire: Wire,
    table: Table,
    errand: Errand,
    organization: str,
    slugs: Mapping[str, str],
    rows: list[dict[str, Any]],
) -> Iterator[Page]:
    """A page for each row: its items, what the warehouse has of it that is gone, and the entry for `errands`."""
    for row in rows:
        slug = slugs.get(row["pipeline_id"], row["pipeline_slug"])
        names = {"organization": organization, "pipeline": slug, **{n: row[of] for n, of in errand.bind.items()}}
        above = {column: row[of] for column, of in errand.given.items()}
        try:
            answers = list(rest.pages(wire, errand.path.format(**names), errand.params))
            outcome, at = "read", answers[-1].at
            items = [{**above, **item} for answer in answers for item in answer.items]
        except NotFound:
            items, outcome, at = [], "gone", row["finished_at"] or row["created_at"]
        had = {
            one["id"]
            for one in warehouse.rows(table.name, "build_id", [row["id"]], ("id", "gone_at"))
            if not one["gone_at"]
        }
        gone = tuple(sorted(had - {item["id"] for item in items}))
        entry = {
            "table_name": table.name,
            "item_id": row["id"],
            "state": row["state"],
            "finished_at": row["finished_at"] and row["finished_at"].isoformat(),
            "outcome": outcome,
            "found": len(items),
        }
        yield Page(items, at, gone=gone, entry=entry)
