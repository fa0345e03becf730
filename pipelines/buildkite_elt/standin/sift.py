"""What the listings of GraphQL have in common: their order, and how an argument narrows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .connection import Connection, Key
from .look import At
from .world import Organization, Row

Arguments = dict[str, Any]


def listing(kind: str, org: Organization | None, rows: Iterable[Row], a: Arguments, order: str = "") -> Connection:
    """Rows of one type, newest first, or in the order of their `name` or `key`."""

    def key(row: Row) -> Key:
        return (str(row.get(order or "created_at") or row.get("_created_at") or ""), str(row.get("_uuid") or row["id"]))

    return Connection(rows, a, key=key, node=lambda row: At(kind, row, org), newest=not order)


def plain(kind: str, rows: list[At], a: Arguments, most: int = 500) -> Connection:
    """Objects in the order in which they stand."""
    return Connection(enumerate(rows), a, key=lambda pair: (pair[0],), node=lambda p: p[1], newest=False, most=most)


def has(needle: Any, hay: Any) -> bool:
    """A case-insensitive part of it; everything has None."""
    return needle is None or str(needle).casefold() in str(hay or "").casefold()


def one_of(value: Any, wanted: list[Any] | None) -> bool:
    """Everything is one of None."""
    return wanted is None or value in wanted
