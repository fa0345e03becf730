"""GraphQL connections: pages by key, not by number (api.md 3.3), so that what is made meanwhile shifts nothing."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson
from graphql import GraphQLError

Key = tuple[Any, ...]

MOST = 500
"""The largest page of a connection, and the page if neither `first` nor `last` is given (api.md 3.3)."""


class Connection:
    """What a listing holds, in order; the edges of the page that was asked for are made when somebody looks."""

    def __init__(
        self,
        rows: Iterable[Any],
        arguments: Mapping[str, Any],
        *,
        key: Callable[[Any], Key],
        node: Callable[[Any], Any],
        newest: bool = True,
        most: int = MOST,
    ) -> None:
        """`key` sorts and becomes the cursor: it has to be unique and to stay. `newest` puts the greatest first."""
        self.rows = sorted(((key(row), row) for row in rows), key=lambda pair: pair[0], reverse=newest)
        self.arguments, self.node, self.newest, self.most = arguments, node, newest, most

    @property
    def count(self) -> int:
        """Of the whole listing, whatever the page."""
        return len(self.rows)

    @property
    def edges(self) -> list[dict[str, Any]]:
        start, end = self._bounds()
        return [{"cursor": cursor(key), "node": self.node(row)} for key, row in self.rows[start:end]]

    @property
    def nodes(self) -> list[Any]:
        return [edge["node"] for edge in self.edges]

    @property
    def page_info(self) -> dict[str, Any]:
        start, end = self._bounds()
        keys = [key for key, _ in self.rows[start:end]]
        return {
            "has_previous_page": start > 0,
            "has_next_page": end < len(self.rows),
            "start_cursor": cursor(keys[0]) if keys else None,
            "end_cursor": cursor(keys[-1]) if keys else None,
        }

    def _bounds(self) -> tuple[int, int]:
        """The slice of the rows that `after`, `before`, `first` and `last` leave."""
        after, before = self.arguments.get("after"), self.arguments.get("before")
        start, end = 0, len(self.rows)
        if after is not None:
            start = self._place(after, beyond=True)
        if before is not None:
            end = max(self._place(before, beyond=False), start)
        first, last = (self._size(name) for name in ("first", "last"))
        if first is None and last is None:
            first = self.most
        if first is not None:
            end = min(end, start + first)
        if last is not None:
            start = max(start, end - last)
        return start, end

    def _size(self, name: str) -> int | None:
        size = self.arguments.get(name)
        if size is None:
            return None
        if size < 0:
            raise GraphQLError(f"`{name}` must not be negative")
        return min(int(size), self.most)

    def _place(self, text: str, *, beyond: bool) -> int:
        """How many rows come before a cursor; with its own row if `beyond`. The row itself may be gone."""
        at = keyed(text)

        def earlier(key: Key) -> bool:
            return (key > at if self.newest else key < at) or (beyond and key == at)

        try:
            return sum(earlier(key) for key, _ in self.rows)
        except TypeError:
            raise GraphQLError(f"{text!r} is not a cursor of this connection") from None


def cursor(key: Key) -> str:
    """Opaque to whoever reads it; the sort key to us."""
    return base64.b64encode(orjson.dumps(key)).decode()


def keyed(text: str) -> Key:
    """The sort key that a cursor holds. Raises GraphQLError if it is none of ours."""
    try:
        key = orjson.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        key = None
    if not isinstance(key, list):
        raise GraphQLError(f"{text!r} is not a cursor")
    return tuple(key)
