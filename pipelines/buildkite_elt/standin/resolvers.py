"""How a field gets its value: a listing, an exception of the tables, else the REST body's word in snake_case."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson
from graphql import (
    GraphQLResolveInfo,
    get_nullable_type,
    is_composite_type,
    is_enum_type,
    is_list_type,
)

from .answer import iso, parse_time
from .connection import Connection
from .graphql_fields import ABSENT, FIELDS, RENAMED
from .graphql_lists import LISTS
from .look import At, Look
from .world import Row

ROOT = At("Query", {})


def resolve(source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
    """The one resolver of every field. An object that is given costs a point: that is the actual complexity."""
    look: Look = info.context
    value = _value(look, source, info.parent_type.name, info.field_name, arguments)
    said = _said(value, info.return_type, source)
    if isinstance(said, list | At | Connection) and _gives_objects(info.return_type):
        look.points += 1
        if info.field_name == "nodes" and isinstance(said, list):
            look.points += len(said)
    return said


def type_of(value: At, *_: Any) -> str:
    """The concrete type of an object behind an interface or a union."""
    return value.type


def _gives_objects(kind: Any) -> bool:
    kind = get_nullable_type(kind)
    return _gives_objects(kind.of_type) if is_list_type(kind) else is_composite_type(kind)


def _value(look: Look, source: Any, kind: str, name: str, arguments: dict[str, Any]) -> Any:
    """What the world says, not yet in GraphQL's spelling."""
    if isinstance(source, Connection):
        return getattr(source, snake(name))
    if (kind, name) in LISTS:
        return LISTS[kind, name](look, source, arguments)
    exception = FIELDS.get((kind, name)) or (None if kind in PLAIN else FIELDS.get(("*", name)))
    if exception:
        return exception(look, source, arguments)
    value = plain(source.row, RENAMED.get((kind, name)) or snake(name))
    return ABSENT.get((kind, name)) if value is None else value


PLAIN = ("JobEventActor", "Query")
"""Types whose rows were made for the graph, so that no exception holds."""


def plain(row: Row, key: str) -> Any:
    """A fact of the row: what only GraphQL tells comes before what REST tells."""
    if key == "uuid":
        return row.get("id") or row.get("uuid")
    if key == "url":
        return row.get("web_url") or row.get("url")
    private = row.get(f"_{key}")
    return row.get(key) if private is None else private


def _said(value: Any, kind: Any, source: Any) -> Any:
    """A value as its type has it: rows as objects, enums in capitals, scalars as GraphQL writes them."""
    kind = get_nullable_type(kind)
    if value is None or isinstance(value, At | Connection):
        return value
    if is_list_type(kind):
        return [_said(one, kind.of_type, source) for one in value]
    if is_enum_type(kind):
        return str(value).upper() or None
    if is_composite_type(kind):
        place = (source.org, source.build) if isinstance(source, At) else (None, None)
        return At(kind.name, value, *place)
    return SCALARS[kind.name](value) if kind.name in SCALARS else value


def _moment(value: str) -> str:
    """The other form of a time in REST bodies (api.md 4.8) as ISO 8601."""
    found = None if value[10:11] == "T" else parse_time(value)
    return iso(found) if found else value


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


SCALARS: dict[str, Callable[[Any], Any]] = {"DateTime": _moment, "JSON": _json}
"""How the world's values are said: times as ISO 8601, JSON as text that is to be read once more (api.md 5.0)."""


CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake(name: str) -> str:
    """`createdAt` -> `created_at`, `downloadURL` -> `download_url`."""
    return CAPITAL.sub("_", name).lower()
