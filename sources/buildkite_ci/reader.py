"""Items -> Arrow: one row each, every promised column with its type, and what no column promised in `more`. No I/O."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
import pyarrow as pa

from .privacy import Privacy, kind
from .table import ARROW, NOWHERE, ROW_HASH, Column, Item, Table
from .times import instant


class Reader:
    """One reading of rows into columns.

    A value that does not fit its column's type becomes null there and is kept in `more` under "misfits", by column.
    A key that is no text becomes one: its JSON, or an empty text for nothing at all.
    A character that no database stores (NUL, half a surrogate pair) becomes U+FFFD.
    """

    def __init__(self, table: Table, rows: Sequence[Item], given: Item, privacy: Privacy) -> None:
        self.declared, self.given, self.privacy = table, given, privacy
        self.misfits: dict[int, dict[str, Any]] = {}
        self.rows = self.distinct(rows)
        self.parents: dict[tuple[str, ...], Sequence[Item]] = {(): self.rows}

    def distinct(self, rows: Sequence[Item]) -> Sequence[Item]:
        """The rows, the last one of each key."""
        paths = [c.path for c in self.declared.columns if c.name in self.declared.key and c.name not in self.given]
        return list({tuple(_key(_at(row, path)) for path in paths): row for row in rows}.values())

    def table(self) -> pa.Table:
        values = {c.name: self.column(c) for c in self.declared.columns}
        values["more"] = pa.array(self.more(), pa.string())
        schema = self.declared.schema()
        if ROW_HASH in schema.names:
            values[ROW_HASH] = pa.array(self.hashes(values), pa.string())
        return pa.Table.from_arrays([values[name] for name in schema.names], schema=schema)

    def inside(self, path: tuple[str, ...]) -> Sequence[Item]:
        """The objects at `path`, one a row; an empty one where there is none."""
        if path not in self.parents:
            found = [above.get(path[-1]) for above in self.inside(path[:-1])]
            self.parents[path] = [one if isinstance(one, Mapping) else NOWHERE for one in found]
        return self.parents[path]

    def column(self, column: Column) -> pa.Array:
        to, given = ARROW[column.type](), column.name in self.given
        if given:
            values = [self.given[column.name]] * len(self.rows)
        else:
            name = column.path[-1]
            values = [one.get(name) for one in self.inside(column.path[:-1])]
        convert = converter(column.type, self.privacy)
        if convert:
            values = [None if value is None else convert(value) for value in values]
        must = column.name in self.declared.key and not given and column.type == "text"
        if {type(value) for value in values} <= FITS[column.type] - ({type(None)} if must else set()):
            try:
                return _arrow(values, to)
            except UNFIT:
                pass  # at least one of them: look at each
        fitted = [self.fit(row, column, value, to) for row, value in enumerate(values)]
        if must:
            fitted = [_key(was) if value is None else value for value, was in zip(fitted, values, strict=True)]
        return _arrow(fitted, to)

    def fit(self, row: int, column: Column, value: Any, to: pa.DataType) -> Any:
        """`value` as the column takes it, else null, and a note in `more`."""
        try:
            if type(value) not in FITS[column.type]:
                raise TypeError(column.type)
            if isinstance(value, str):
                value = instant(value) if column.type == "timestamp" else _mended(value)
            _arrow([value], to)
        except UNFIT:
            self.misfits.setdefault(row, {})[column.name] = value
            return None
        return value

    def more(self) -> list[str | None]:
        """What no column promised, a JSON object a row; null where nothing is left."""
        known = tree([*paths_of(self.declared), *(tuple(p.split(".")) for p in self.declared.elsewhere)])
        left = [_left(row, known) for row in self.rows]
        for row, misfits in self.misfits.items():
            left[row] = {**(left[row] or {}), "misfits": misfits}
        return [_json(self.privacy.scrub(one)) if one else None for one in left]

    def hashes(self, values: Mapping[str, pa.Array]) -> list[str]:
        """One hash a row over what it says, but for the readings of the moment.

        Nulls do not count: a column that is promised later makes no new version of a row that has nothing there.
        """
        names = [c.name for c in self.declared.columns if not c.now] + ["more"]
        told = zip(*(values[name].to_pylist() for name in names), strict=True)
        said = ([(n, v) for n, v in zip(names, row, strict=True) if v is not None] for row in told)
        return [hashlib.blake2b(repr(row).encode(), digest_size=16).hexdigest() for row in said]


def converter(kind: str, privacy: Privacy) -> Callable[[Any], Any] | None:
    """What makes of a value, which is not null, what is stored in a column of this type; None if it is that already."""
    masks: dict[str, Callable[[str], str]] = {"email": privacy.email, "ip": privacy.ip, "url": privacy.url}
    if kind in masks:
        mask = masks[kind]
        return lambda value: mask(value) if isinstance(value, str) else value
    if kind == "variable":
        return lambda pair: privacy.variable(*pair) if _is_pair(pair) else None
    if kind == "env":
        return lambda value: _json(privacy.env(value))
    if kind == "json":
        return lambda value: _json(privacy.scrub(value))
    return None


def paths_of(table: Table) -> list[tuple[str, ...]]:
    """Where the columns' values stand in an item."""
    return [column.path for column in table.columns]


FITS: Mapping[str, set[type]] = {
    **{kind: {str, type(None)} for kind in ARROW},
    "bigint": {int, type(None)},
    "double": {float, int, type(None)},
    "bool": {bool, type(None)},
    "timestamp": {str, datetime, type(None)},
}
"""What Python calls a value that may stand in a column: Arrow would also take True or 5 for a moment of 1970."""

UNFIT = (TypeError, ValueError, OverflowError, NotImplementedError)
"""What Arrow (whose own errors are of these) and Python raise at a value that does not fit."""

Tree = dict[str, "Tree | None"]


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(one, str) for one in value)


def _arrow(values: list[Any], to: pa.DataType) -> pa.Array:
    if pa.types.is_string(to) and any(value and "\0" in value for value in values):
        raise ValueError("NUL")
    if pa.types.is_timestamp(to) and any(isinstance(value, str) for value in values):
        return pa.array(values, pa.string()).cast(to)
    return pa.array(values, to)


def _at(row: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        row = row.get(name) if isinstance(row, Mapping) else None
    return row


def _key(value: Any) -> str:
    """A key as text."""
    return _mended(value) if isinstance(value, str) else _json(value) or ""


def _mended(value: Any) -> Any:
    """`value` without what cannot be stored: see `Reader`; of numbers, NaN and the infinities are null."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {_mended(str(name)): _mended(kept) for name, kept in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mended(kept) for kept in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _json(value: Any) -> str | None:
    """JSON text with sorted keys; null for null and for the empty object, list and text, which the API mixes up."""
    if value in (None, {}, [], ""):
        return None
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str).decode()
    except TypeError:  # half a surrogate pair, or an integer of more than 64 bits
        text = "\\u0000"
    if "\\u0000" in text:
        return json.dumps(_mended(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return text


def tree(paths: Iterable[tuple[str, ...]], both: bool = False) -> Tree:
    """Paths as nested names; None below a name that is promised whole, unless what is promised inside counts, too."""
    found: Tree = {}
    for path in sorted(paths, key=len, reverse=True):
        below = found
        for name in path[:-1]:
            inner = below.get(name)
            if inner is None:
                inner = below[name] = {}
            below = inner
        if not (both and below.get(path[-1])):
            below[path[-1]] = None
    return found


def _left(item: Item, known: Tree) -> dict[str, Any] | None:
    """The part of `item` that `known` does not name; empties and secrets are nothing."""
    left: dict[str, Any] = {}
    for name in item.keys() - known.keys():
        if item[name] not in (None, {}, [], "") and kind(name) != "never":
            left[name] = item[name]
    for name, below in known.items():
        if below is not None and item.get(name):
            value = item[name]
            rest = _left(value, below) if isinstance(value, Mapping) else value
            if rest:
                left[name] = rest
    return left or None
