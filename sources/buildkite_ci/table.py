"""What a table is: a grain, where its rows come from, a key, and its columns, each with a type and a sentence.

A table is one file in `tables/`; the file's name is the table's name and its docstring the table's documentation.
Here is what such a file may say, and how items (the objects of an API page) become one typed Arrow table. No I/O.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

import pyarrow as pa

from .privacy import Privacy

Item = Mapping[str, Any]
Load = Literal["merge", "replace", "append", "scd2"]

NOWHERE: Item = {}
ROW_HASH = "row_hash"
BUILD_ENDED = "o.gone_at IS NULL AND (o.blocked OR o.state IN ('passed', 'failed', 'canceled', 'skipped', 'not_run'))"
"""A build that has ended, for now: a retry opens it again (api.md 7.1)."""
JOB_ENDED = "o.type = 'script' AND o.finished_at IS NOT NULL"
"""A job that an agent ran, or that ended without one."""
LOG_ENDED = f"{JOB_ENDED} AND o.started_at IS NOT NULL"
"""A job that an agent ran and that has ended: its log is final (api.md 6.5)."""
TROUBLED = ("failed", "timed_out", "soft_failed", "retried")
"""Jobs that people ask about."""


@dataclass(frozen=True)
class Column:
    """A promise: `name` holds what the API calls `path`, as `type`.

    Types: text, bigint, double, bool, timestamp (UTC, microseconds), json (a string), and five that store text or
    json after `privacy` has seen it: email, ip, url, env, and variable, which is one `[name, value]` of an env.
    `now`: a reading of the moment (a counter). With load="scd2" it makes no new version of a row, so what is stored
    is the reading of when the version began.
    """

    name: str
    type: str
    doc: str
    path: tuple[str, ...]
    now: bool = False


def col(name: str, type: str, doc: str, path: str = "", *, now: bool = False) -> Column:  # noqa: A002
    """A column; `path` is dotted and defaults to the name."""
    if type not in ARROW:
        raise ValueError(f"{name}: no type {type!r}; there are {', '.join(ARROW)}")
    return Column(name, type, doc, tuple((path or name).split(".")), now)


def user(name: str, who: str) -> tuple[Column, ...]:
    """The columns of a user object (api.md 4.2): id, graphql_id, name, email, avatar_url, created_at."""
    return (
        col(f"{name}_id", "text", f"{who}: user UUID.", f"{name}.id"),
        col(f"{name}_graphql_id", "text", f"{who}: GraphQL id.", f"{name}.graphql_id"),
        col(f"{name}_name", "text", f"{who}: name.", f"{name}.name"),
        col(f"{name}_email", "email", f"{who}: e-mail, its domain only unless asked for.", f"{name}.email"),
        col(f"{name}_avatar_url", "url", f"{who}: picture.", f"{name}.avatar_url"),
        col(f"{name}_created_at", "timestamp", f"{who}: when the user signed up.", f"{name}.created_at"),
    )


def part(item: Item, name: str) -> Item:
    """The object that `item` holds under `name`; an empty one where there is none."""
    found = item.get(name)
    return found if isinstance(found, Mapping) else NOWHERE


def named(folder: str, url: Any) -> str | None:
    """The name that follows `/folder/` in an address: named("pipelines", "…/pipelines/deploy/builds/1") is deploy."""
    found = re.search(rf"/{folder}/([^/?#]+)", url) if isinstance(url, str) else None
    return found and found[1]


def decoded(text: Any) -> Any:
    """GraphQL sends JSON as text, to be read once more (api.md 5.0); what cannot be read stays as it is."""
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text


@dataclass(frozen=True)
class Since:
    """How a listing that cannot be asked for changes is still kept right (api.md 7.2): what is new and what ended (by
    the filter `finished`) is read from `lag` before where the last load stood, what is in an `open` state each time.
    """

    finished: str
    open: tuple[str, ...]
    lag: timedelta


@dataclass(frozen=True)
class Rest:
    """GET `path` (below /v2/), all its pages. `{organization}` and the names in `bind` are filled in.

    each: asked once for every item of that table's listing, the parent; bind: {name in the path: field of the parent};
    given: {column of the child: field of the parent}, which the child's items do not say themselves.
    one: the answer is a single object. paged: whether it takes page and per_page (api.md 3.2 names those that do not).
    apart: the table whose rows stand in lists inside the items.
    """

    path: str
    each: str = ""
    bind: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    one: bool = False
    paged: bool = True
    params: Mapping[str, str] = field(default_factory=dict)
    since: Since | None = None
    apart: str = ""


@dataclass(frozen=True)
class GraphQL:
    """The table's `.graphql` twin, all pages of the connection that takes `$after`.

    many: it is asked for many things, as the function of the table's name in asks.py says. named: only where a load
    names it. since: the column of the moment that `$since` of the query bounds; a row never changes after it, so a
    later load asks for what is newer than the newest one. admin: nobody else may read it.
    """

    many: bool = False
    named: bool = False
    since: str = ""
    admin: bool = False


@dataclass(frozen=True)
class Inside:
    """Read from the pages of another table: no request of its own. named: as that table."""

    table: str
    named: bool = False


@dataclass(frozen=True)
class Errand:
    """Asked once for each row `o` of the table `of` in the warehouse (api.md 7.7): the table's `.graphql` twin, many in
    one document, where there is one and the token may; else GET `path`, all its pages.

    bind: {name in the path, or variable of the twin: column of that row}; `{pipeline}` is the slug that the row's
    pipeline has now. given: {column here: column of that row}. when: SQL of the rows that it can be asked for; states:
    those of them that are wanted unless told otherwise. version: SQL; it is asked for again when that or finished_at
    has changed. at_most: in one load. told: whether the twin has told all of a row; where not, `path` is asked too.
    one: the path answers with a single object. log: with a job's log, which logs.py reads into tables `Inside`.
    Costs a request or some points a row, so it is loaded only when it is named.
    """

    of: str
    path: str = ""
    bind: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)
    when: str = BUILD_ENDED
    states: tuple[str, ...] = ()
    version: str = "o.state"
    params: Mapping[str, str] = field(default_factory=dict)
    at_most: int = 500
    told: Callable[[Iterable[Item]], bool] | None = None
    one: bool = False
    log: bool = False


@dataclass(frozen=True)
class Ours:
    """Written by the loader itself; no request at all."""


@dataclass(frozen=True)
class Also:
    """Items that another table's pages show in passing; they say less than the listing, so they only make rows for
    what has none yet. They stand as `name` in the rows of the list `rows` of that table's items."""

    table: str
    rows: str
    name: str


@dataclass(frozen=True)
class Apart:
    """Rows that stand in a list inside an item, called `name`, and may be many: typed.py reads them.

    above: columns that an item gives to each of its rows. derived: {column: (what makes it of a row, the paths that it
    looks at, which are columns' too)}.
    """

    name: str
    above: Callable[[Item], Item]
    derived: Mapping[str, tuple[Callable[[Item], Any], tuple[str, ...]]] = field(default_factory=dict)

    def rows(self, item: Item) -> Iterator[Item]:
        """The rows of one item."""
        held = item.get(self.name)
        above = self.above(item)
        for row in held if isinstance(held, Sequence) and not isinstance(held, str) else ():
            if isinstance(row, Mapping):
                yield {**row, **above, **{name: make(row) for name, (make, _) in self.derived.items()}}


@dataclass(frozen=True)
class Table:
    """One table of the warehouse.

    rows: makes the rows of one item (default: the item itself). elsewhere: fields that are another table's rows, or
    that repeat one of this row's columns. scope: what the token needs, "" for none. whole: a column; the rows that
    share its value come together, and replace all that had it. apart: where its rows stand in lists inside items;
    `rows` is its `rows` then.
    """

    grain: str
    fetch: Rest | GraphQL | Inside | Errand | Ours
    key: tuple[str, ...]
    scope: str
    load: Load
    columns: tuple[Column, ...]
    rows: Callable[[Item], Iterable[Item]] | None = None
    elsewhere: tuple[str, ...] = ()
    also: Also | None = None
    whole: str = ""
    apart: Apart | None = None
    name: str = ""
    doc: str = ""

    @property
    def family(self) -> str:
        """The table whose pages this one is read from."""
        return self.fetch.table if isinstance(self.fetch, Inside) else self.name

    @property
    def api(self) -> str:
        """Which API it is asked of: REST, GraphQL, or - for none."""
        if isinstance(self.fetch, Ours):
            return "-"
        return "GraphQL" if self.scope == "graphql" else "REST"

    @property
    def by_default(self) -> bool:
        """Whether a load that names no table loads it."""
        return not (
            isinstance(self.fetch, Errand | Ours) or (isinstance(self.fetch, GraphQL | Inside) and self.fetch.named)
        )

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """The file's columns and those that every table has."""
        last: tuple[Column, ...] = (
            col("more", "json", "What the API sent and no column promises yet, as JSON; null mostly."),
        )
        if self.load == "scd2":
            last += (col(ROW_HASH, "text", "Hash of the columns that make a new version of a row."),)
        return self.columns + last

    def schema(self) -> pa.Schema:
        return pa.schema(
            [pa.field(c.name, ARROW[c.type](), nullable=c.name not in (*self.key, ROW_HASH)) for c in self.all_columns]
        )

    def read(self, items: Iterable[Item], given: Item = NOWHERE, privacy: Privacy = Privacy()) -> pa.Table:  # noqa: B008
        """Items of a page -> Arrow, one row each (or as `rows` says); keys unique, the last of a key wins.

        given: what the extractor knows and the items do not say, {column: value of every row} (organization_slug,
        observed_at, last_seen_at). It fills the columns of that name that this table promises, over whatever an
        item says; the rest of it is not looked at. Nothing an item holds makes this fail: see reader.py.
        """
        from .reader import Reader

        if self.apart:
            from .typed import Odd, typed

            try:
                return typed(self.name).table([*items], given, privacy)
            except Odd:
                pass
        rows = [row for item in items for row in (self.rows(item) if self.rows else (item,))]
        return Reader(self, rows, given, privacy).table()

    def placed(self, rows: pa.Table, given: Item = NOWHERE) -> pa.Table:
        """Rows that are Arrow already, in this table's columns; `given` as in `read`, what neither has is null."""
        columns = []
        for one in self.schema():
            if one.name in rows.schema.names:
                columns.append(rows[one.name].cast(one.type))
            else:
                columns.append(pa.repeat(pa.scalar(given.get(one.name), one.type), len(rows)))
        return pa.table(columns, schema=self.schema())


ARROW: Mapping[str, Callable[[], Any]] = {
    "text": lambda: pa.string(),
    "bigint": lambda: pa.int64(),
    "double": lambda: pa.float64(),
    "bool": lambda: pa.bool_(),
    "timestamp": lambda: pa.timestamp("us", tz="UTC"),
    "json": lambda: pa.string(),
    "env": lambda: pa.string(),
    "variable": lambda: pa.string(),
    "email": lambda: pa.string(),
    "ip": lambda: pa.string(),
    "url": lambda: pa.string(),
}
"""A column's type in Arrow. Functions, because `dlt init` imports a source before pyarrow is there."""
