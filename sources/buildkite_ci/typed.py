"""Long lists inside an item (a build's jobs) as typed objects: reader.py's columns at a quarter of its time.

msgspec decodes each row straight into an object with a place for each value that a column promises, and a column is
one look at each of these. What is out of the ordinary (a field that no column promises, a value of another type, NUL)
is left to reader.py, a whole page of it, which knows what becomes of it; the rows are the same either way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, overload

import msgspec
import orjson

from .reader import FITS, UNFIT, converter, paths_of, tree
from .table import ARROW, Item, Table

if TYPE_CHECKING:
    import pyarrow as pa

    from .privacy import Privacy

TYPES: Mapping[str, Any] = {
    **dict.fromkeys(("text", "timestamp", "email", "ip", "url"), str | None),
    "bigint": int | None,
    "bool": bool | None,
    "json": msgspec.Raw,
}
"""What a value must be for its column; other kinds of columns are not for here."""
ODD = r"\\u(?:0000|[dD])"
"""NUL, and halves of pairs, which may stand alone."""


class Odd(Exception):
    """Something out of the ordinary: reader.py is to read this."""


class Rows(Sequence[Item]):
    """Rows as typed objects, and as what they are in JSON for whoever wants that."""

    def __init__(self, typed: list[Any], raw: msgspec.Raw) -> None:
        self.typed, self._raw = typed, raw
        self._items: list[Item] | None = None

    @property
    def items(self) -> list[Item]:
        if self._items is None:
            self._items = orjson.loads(bytes(self._raw))
        return self._items

    def inside(self, name: str) -> Iterator[tuple[str, int]]:
        """(id, place of the row) of the objects that rows hold under a name."""
        for at, row in enumerate(self.typed):
            held = getattr(row, f"{name}_")
            if held is not None and held.id_ is not None:
                yield held.id_, at

    def __len__(self) -> int:
        return len(self.typed)

    @overload
    def __getitem__(self, at: int) -> Item: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Item]: ...
    def __getitem__(self, at: int | slice) -> Item | Sequence[Item]:
        return self.items[at]


class Typed:
    """How the rows of one table are decoded and read; see `Table.apart`."""

    def __init__(self, table: Table) -> None:
        if table.apart is None:
            raise ValueError(f"{table.name} is not read from lists inside items")
        self.declared, self.apart = table, table.apart
        elsewhere = [tuple(path.split(".")) for path in table.elsewhere]
        self.kinds = {c.path: c.type for c in table.columns}
        self.whole = set(elsewhere)
        self.nested: dict[tuple[str, ...], Any] = {}
        self.struct = self._struct((), tree([*paths_of(table), *elsewhere], both=True))
        self._items = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
        self._rows = msgspec.json.Decoder(list[self.struct])  # type: ignore[name-defined]

    def _struct(self, path: tuple[str, ...], below: Mapping[str, Any]) -> Any:
        fields = []
        for name, inside in below.items():
            here = (*path, name)
            kind = self._struct(here, inside) | None if inside else TYPES.get(self.kinds.get(here, "json"))
            if kind is None:
                raise ValueError(f"{self.declared.name}: no column of type {self.kinds[here]} is read here")
            fields.append((f"{name}_", kind, msgspec.Raw(b"null") if kind is msgspec.Raw else None))
        made = msgspec.defstruct(
            "_".join(("row", *path)),
            fields,
            rename={f"{name}_": name for name in below},
            forbid_unknown_fields=path not in self.whole,
            gc=False,
        )
        self.nested[path] = made()
        return made

    def decode(self, content: bytes) -> list[dict[str, Any]]:
        """The items of a page, JSON; their lists as Rows if all of them are as they should be."""
        with suppress(Odd, msgspec.MsgspecError, ValueError):
            _look(content)
            return [self._item(one) for one in self._items.decode(content)]
        found: list[dict[str, Any]] = orjson.loads(content)
        return found

    def _item(self, raw: dict[str, msgspec.Raw]) -> dict[str, Any]:
        item = {name: orjson.loads(bytes(value)) for name, value in raw.items() if name != self.apart.name}
        if self.apart.name in raw:
            rows = raw[self.apart.name]
            item[self.apart.name] = Rows(self._rows.decode(rows), rows)
        return item

    def table(self, items: Sequence[Item], given: Item, privacy: Privacy) -> pa.Table:
        """What `Table.read` makes of the items. Raises Odd where it has to be read in another way."""
        import pyarrow as pa

        lists = [rows for item in items if isinstance(rows := item.get(self.apart.name), Rows)]
        if len(lists) < len(items):
            raise Odd
        above = [(dict(self.apart.above(item)), len(one)) for item, one in zip(items, lists, strict=True)]
        reading = _Reading(self, [row for one in lists for row in one.typed], given, privacy)
        if above:
            for name in above[0][0]:
                reading.known[name] = [value for told, count in above for value in [told[name]] * count]
        try:
            columns = [reading.column(column.name) for column in self.declared.all_columns]
            return pa.Table.from_arrays(columns, schema=self.declared.schema())
        except (*UNFIT, orjson.JSONDecodeError) as error:
            raise Odd from error


class _Reading:
    def __init__(self, how: Typed, rows: list[Any], given: Item, privacy: Privacy) -> None:
        self.how, self.rows, self.given, self.privacy = how, rows, given, privacy
        self.known: dict[str, list[Any]] = {}
        self.columns = {column.name: column for column in how.declared.columns}
        self.parents: dict[tuple[str, ...], list[Any]] = {(): rows}
        self.places: dict[tuple[str, ...], dict[str, list[Any]]] = {}

    def inside(self, path: tuple[str, ...]) -> list[Any]:
        """The objects at `path`, one a row; an empty one where there is none, and no list where no row has any."""
        if path not in self.parents:
            found, none = self.values(path), self.how.nested[path]
            held = len(found) - found.count(None)
            self.parents[path] = [none if one is None else one for one in found] if held else []
        return self.parents[path]

    def beside(self, path: tuple[str, ...]) -> dict[str, list[Any]]:
        """What stands in the objects at `path`, by name, one a row; JSON as bytes. Each object is looked at once: they
        are far apart in memory."""
        if path not in self.places:
            names = type(self.how.nested[path]).__struct_encode_fields__
            told = list(chain.from_iterable(map(msgspec.structs.astuple, self.inside(path))))
            self.places[path] = {name: told[at :: len(names)] for at, name in enumerate(names)} if told else {}
            for name, values in self.places[path].items():
                if isinstance(values[0], msgspec.Raw):
                    self.places[path][name] = list(map(bytes, values))
        return self.places[path]

    def values(self, path: tuple[str, ...]) -> list[Any]:
        """What stands at `path`, one a row."""
        return self.beside(path[:-1]).get(path[-1]) or [None] * len(self.rows)

    def column(self, name: str) -> Any:
        import pyarrow as pa

        if name not in self.columns:  # more
            return pa.nulls(len(self.rows), pa.string())
        column, to = self.columns[name], ARROW[self.columns[name].type]()
        if name in self.given:
            return pa.repeat(arrow([self.given[name]], to)[0], len(self.rows))
        derived = self.how.apart.derived.get(name)
        if derived:
            values = self._derived(*derived)
        elif name in self.known:
            values = self.known[name]
            if not set(map(type, values)) <= FITS[column.type]:
                raise Odd
        elif not self.inside(column.path[:-1]):
            return pa.nulls(len(self.rows), to)
        else:
            values = self._converted(column.type, self.values(column.path))
        if name in self.how.declared.key and (None in values or len(set(values)) < len(values)):
            raise Odd
        return arrow(values, to)

    def _converted(self, kind: str, values: list[Any]) -> Any:
        convert = converter(kind, self.privacy)
        if convert is None:
            return values
        if kind == "url" and (plain := _plain(values)):
            return plain
        if kind == "json":
            convert = partial(_of_json, convert)
        seen: dict[Any, Any] = {None: None}
        for value in values:
            if value not in seen:
                seen[value] = convert(value)
        return [seen[value] for value in values]

    def _derived(self, make: Callable[[Item], Any], paths: Iterable[str]) -> list[Any]:
        """What `make` makes of each row, of which it sees what stands at the paths."""
        ways = [tuple(path.split(".")) for path in paths]
        told = [self.values(way) for way in ways]
        seen: dict[tuple[Any, ...], Any] = {}
        made = []
        for row in zip(*told, strict=True):
            if row not in seen:
                seen[row] = make(_item(ways, row))
            made.append(seen[row])
        return made


def _look(content: bytes) -> None:
    """Raise Odd or ValueError where it holds ODD or is no UTF-8. Arrow makes no text of four bytes a letter for that,
    and is eight times as fast as Python."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ends = pa.array([0, len(content)], pa.int64()).buffers()[1]
    text = pa.LargeStringArray.from_buffers(1, ends, pa.py_buffer(content))
    text.validate(full=True)
    if pc.match_substring_regex(text, ODD)[0].as_py():
        raise Odd


def _plain(urls: list[str | None]) -> Any:
    """Addresses as Arrow, where all are as `Privacy.url` would leave them: each of its patterns holds @ or =."""
    made = arrow(urls, ARROW["url"]())
    letters = made.buffers()[2]
    told = letters.to_pybytes() if letters else b""
    return None if b"@" in told or b"=" in told else made


def _of_json(convert: Callable[[Any], Any], raw: bytes) -> Any:
    return convert(orjson.loads(raw))


def _item(ways: Sequence[tuple[str, ...]], values: Iterable[Any]) -> Item:
    item: dict[str, Any] = {}
    for way, value in zip(ways, values, strict=True):
        below = item
        for name in way[:-1]:
            below = below.setdefault(name, {})
        below[way[-1]] = orjson.loads(value) if isinstance(value, bytes) else value
    return item


def arrow(values: Any, to: Any) -> Any:
    import pyarrow as pa

    if isinstance(values, pa.Array):
        return values
    if pa.types.is_timestamp(to):
        return pa.array(values, pa.string()).cast(to)
    return pa.array(values, to)


def in_passing(rows: Any, name: str) -> Iterator[tuple[str, Callable[[], Item]]]:
    """The objects that rows hold under a name: the id of each, and what gives it."""
    if isinstance(rows, Rows):
        yield from ((one, partial(lambda at: rows[at][name], at)) for one, at in rows.inside(name))
    for row in rows if isinstance(rows, list) else ():
        held = row.get(name) if isinstance(row, Mapping) else None
        if isinstance(held, Mapping) and isinstance(held.get("id"), str):
            yield held["id"], partial(dict, held)


@cache
def typed(name: str) -> Typed:
    """Of the table of this name."""
    from .catalog import catalog

    return Typed(catalog()[name])
