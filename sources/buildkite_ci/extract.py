"""Families of tables as dlt resources: hidden pages, fetched once, and a reader for each table on top of them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import dlt

from . import asks, errands, graphql, rest, warehouse
from .catalog import TABLES, catalog, families, twin, with_families
from .choice import Choice, Filter
from .errors import BudgetSpent, BuildkiteError, NotFound, ScopeMissing, TokenRefused
from .privacy import Privacy
from .rest import Page
from .sync import State, sync
from .table import Also, Errand, GraphQL, Item, Rest, Table
from .wire import Wire

if TYPE_CHECKING:
    import pyarrow as pa
    from dlt.extract import DltResource, DltSource

ERRANDS = {"REST": 100, "GraphQL": 500}
"""Rows of a work list that are asked for in one load package, some minutes' work at the most."""
HELD = """
SELECT id FROM {table} WHERE organization_slug = %s AND created_at >= %s AND created_at < %s AND gone_at IS NULL
"""
KINDS = {"email": "text", "ip": "text", "url": "text", "env": "json", "variable": "text"}
"""The data types of ours that dlt does not know, as its own."""


@dataclass
class Report:
    """What became of a run, filled while it runs."""

    rows: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, BuildkiteError] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    """Tables that this run's own limits left undone."""
    states: dict[str, State] = field(default_factory=dict)
    """What is covered of the listings that are read in windows."""
    spans: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    """How far this run has read of each listing that is read in windows: moments of creation, from the newest back."""
    empty: set[str] = field(default_factory=set)
    """Snapshot tables whose listing held nothing."""
    more: bool = False
    """Whether windows of the selection are left for another package."""


@dataclass
class Run:
    """One extraction of one organization.

    since: builds created at or after it are selected. at_most: rows of a since-listing in one load package, None for
    all. forgiving: a family that fails is noted in the report and the others go on. sweep: look for what changed.
    again: read what was created since `since` once more, though it is covered. choices: by table, what of it is wanted.
    filter: the pipelines that are asked one by one.
    """

    wire: Wire
    organization: str
    since: datetime
    privacy: Privacy = field(default_factory=Privacy)
    at_most: int | None = None
    forgiving: bool = False
    sweep: bool = True
    again: bool = False
    choices: Mapping[str, Choice] = field(default_factory=dict)
    filter: Filter = field(default_factory=Filter)
    report: Report = field(default_factory=Report)
    progress: Callable[[str, int], None] = lambda table, rows: None
    errands_done: dict[str, int] = field(default_factory=dict)
    _listings: dict[str, list[Page]] = field(default_factory=dict)
    _chosen: frozenset[str] | None = None
    _answered: bool = False
    _last: datetime | None = None

    def listing(self, table: Table) -> list[Page]:
        """Every page of a snapshot, whole before the first row of it goes on: a listing that breaks off retires
        nothing. Kept, since the tables below it (`each`) walk it too."""
        if table.name not in self._listings:
            asked_for, self.wire.budget.doing = self.wire.budget.doing, table.name
            found = list(self._fetch(table))
            self.wire.budget.doing = asked_for
            if not found and isinstance(table.fetch, Rest) and table.fetch.each:
                found = [Page([], self.listing(catalog()[table.fetch.each])[-1].at)]
            self._listings[table.name] = found
        return self._listings[table.name]

    def listed(self, table: Table) -> list[Page]:
        """The pages of a listing that was read already; none if it was not, or could not be."""
        return self._listings.get(table.name, [])

    def _fetch(self, table: Table) -> Iterator[Page]:
        fetch, names = table.fetch, {"organization": self.organization}
        if isinstance(fetch, GraphQL):
            yield from graphql.pages(self.wire, twin(table), {**names, **self.filter.variables()})
        elif isinstance(fetch, Rest) and fetch.each:
            for parent in self.parents(fetch.each):
                yield from self._below(fetch, parent)
        elif isinstance(fetch, Rest) and fetch.one:
            yield rest.one(self.wire, fetch.path.format(**names))
        elif isinstance(fetch, Rest):
            yield from rest.pages(self.wire, fetch.path.format(**names), fetch.params, paged=fetch.paged)

    def parents(self, name: str) -> Iterator[Item]:
        """The items of a listing that are asked one by one; of pipelines, those that the filter leaves."""
        chosen = self._filtered() if name == "pipelines" and self.filter != Filter() else None
        for page in self.listing(catalog()[name]):
            yield from (item for item in page.items if chosen is None or item["id"] in chosen)

    def _filtered(self) -> frozenset[str]:
        if self._chosen is None:
            names = {"organization": self.organization, **self.filter.variables()}
            found = graphql.pages(self.wire, TABLES / "_filtered_pipelines.graphql", names)
            self._chosen = frozenset(item["id"] for page in found for item in page.items)
        return self._chosen

    def _below(self, fetch: Rest, parent: Item, again: bool = True) -> Iterator[Page]:
        """The child listing of one parent. Where it is not found, the parents are listed once more: one that went away
        has none, one that was renamed has them there, and for one that is as it was the 404 is an error."""
        names = {"organization": self.organization, **{name: parent[of] for name, of in fetch.bind.items()}}
        above = {column: parent.get(of) for column, of in fetch.given.items()}
        try:
            for page in rest.pages(self.wire, fetch.path.format(**names), fetch.params, paged=fetch.paged):
                yield Page([{**above, **item} for item in page.items], page.at)
        except NotFound:
            if not again:
                raise
            for page in self._fetch(catalog()[fetch.each]):
                for item in page.items:
                    if item["id"] == parent["id"]:
                        yield from self._below(fetch, item, again=False)

    def pages(self, table: Table) -> Iterator[Page]:
        """The pages of one family. What is forbidden is skipped and named; see `forgiving` for the rest."""
        try:
            lacks = self.wire.scopes is not None and table.scope and table.scope not in self.wire.scopes
            if lacks:
                raise ScopeMissing(table.scope)
            for page in self._counted(table):
                self._answered |= not (isinstance(table.fetch, Rest) and "{organization}" not in table.fetch.path)
                yield page
        except ScopeMissing as error:
            self.report.skipped[table.name] = str(error)
        except BudgetSpent as error:
            self.report.waiting[table.name] = str(error)
        except TokenRefused:
            raise
        except NotFound as error:
            if not (self.forgiving and self._answered):
                raise
            self.report.failed[table.name] = error
        except BuildkiteError as error:
            if not self.forgiving:
                raise
            self.report.failed[table.name] = error

    def _counted(self, table: Table) -> Iterator[Page]:
        """The pages, each asked for on this table's account: dlt takes a page of one family, then of another."""
        pages = self._walked(table)
        while True:
            self.wire.budget.doing = table.name
            try:
                page = next(pages)
            except StopIteration:
                return
            yield page

    def _walked(self, table: Table) -> Iterator[Page]:
        """The pages, at least one: an empty one makes the table where there is nothing to read."""
        fetch, page = table.fetch, None
        if isinstance(fetch, Rest) and fetch.since:
            pages = self._windows(table, fetch, fetch.since.lag)
        elif isinstance(fetch, Errand):
            pages = self._errands(table, fetch)
        elif isinstance(fetch, GraphQL) and fetch.many:
            pages = asks.ASKS[table.name](self, table)
        else:
            pages = self._snapshot(table)
        for page in pages:
            yield page
        if page is None:
            yield Page([], datetime.now(UTC))

    def _windows(self, table: Table, fetch: Rest, lag: timedelta) -> Iterator[Page]:
        kept = dlt.current.source_state().setdefault(self.organization, {}).setdefault(table.name, {})
        state = State(kept, self.since, lag)
        if self.again and self.sweep:
            state.uncover(self.since)
        path = fetch.path.format(organization=self.organization)
        self.report.states[table.name] = state
        pages = sync(self.wire, path, fetch, state, at_most=self.at_most, sweep=self.sweep)
        for page in self._missed(table, pages) if self.again else pages:
            if page.whole:
                newest = self.report.spans.get(table.name, page.whole)[1]
                self.report.spans[table.name] = page.whole[0], newest
            yield page
        self.report.more |= state.gap() is not None

    def _snapshot(self, table: Table) -> Iterator[Page]:
        listed = self.listing(table)
        if not any(page.items for page in listed):
            self.report.empty.add(table.name)
        yield from listed

    def _missed(self, table: Table, pages: Iterator[Page]) -> Iterator[Page]:
        """The pages; where one holds all of a window, with what the warehouse has of it and the API no more."""
        before: set[str] = set()
        for page in pages:
            if page.whole is None:
                yield page
                continue
            here = {item["id"] for item in page.items}
            held = warehouse.select(HELD, {"table": table.name}, (self.organization, *page.whole))
            gone = {row["id"] for row in held} - here - before
            before = here
            yield replace(page, gone=(*page.gone, *sorted(gone)))

    def _errands(self, table: Table, errand: Errand) -> Iterator[Page]:
        todo, done = self.todo(table), self.errands_done.get(table.name, 0)
        most = todo.choice.at_most or errand.at_most
        at_most = min(ERRANDS["GraphQL" if errands.by_twin(table, errand, self.wire) else "REST"], most - done)
        rows = todo.todo(at_most + 1)  # one more tells whether any is left
        left = len(rows) > at_most
        for page in errands.pages(self.wire, todo, self._slugs, rows[:at_most], partial(self._refused, table)):
            self.errands_done[table.name] = done = done + 1
            yield page
        self.report.more |= left and done < most
        if left and done >= most:
            self.report.waiting[table.name] = f"one load asks for {most} at most: the next one goes on"

    def todo(self, table: Table) -> errands.List:
        """The work list of a table."""
        if not isinstance(table.fetch, Errand):
            raise TypeError(f"{table.name} is no work list")
        return errands.List(table, table.fetch, self.organization, self.since, self.choice(table))

    def choice(self, table: Table) -> Choice:
        return self.choices.get(table.name, Choice())

    def _slugs(self) -> dict[str, str]:
        """The slug that each pipeline has now."""
        return {p["id"]: p["slug"] for page in self.listing(catalog()["pipelines"]) for p in page.items}

    def _refused(self, table: Table, error: BuildkiteError) -> None:
        self.report.failed[table.name] = error

    def read(self, table: Table, page: Page) -> pa.Table:
        """A page as one table sees it."""
        seen = self._seen(page.at)
        if any(column.name == "first_seen_at" for column in table.columns):
            known = warehouse.rows(table.name, "id", [item["id"] for item in page.items], ("id", "first_seen_at"))
            first = {row["id"]: row["first_seen_at"].isoformat() for row in known if row["first_seen_at"]}
            for item in page.items:
                item["first_seen_at"] = first.get(item["id"], seen)
        given = {"organization_slug": self.organization, "observed_at": page.at.isoformat(), "last_seen_at": seen}
        rows = table.read(page.items, given, self.privacy)
        self.report.rows[table.name] += rows.num_rows
        self.progress(table.name, rows.num_rows)
        return rows

    def _seen(self, at: datetime) -> str:
        """The server's clock, which tells seconds, counted on by a microsecond a reading: of two readings of one row
        in a load the later one is told apart, and wins."""
        tick = timedelta(microseconds=1)
        self._last = at if self._last is None or at > self._last else self._last + tick
        return self._last.isoformat()


def source(run: Run, tables: Sequence[str] = ()) -> DltSource:
    """A dlt source of a prepared run, as `buildkite()` is one of settings."""
    made = dlt.source(resources, name="buildkite_ci", max_table_nesting=0)
    return made(run, with_families(tables))


class _KnownDifference(logging.Filter):
    """dlt warns, page by page, that a JSON column is a string in Arrow; it is, on purpose (dlt has no other way)."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "several column hints were different" not in record.getMessage()


KNOWN_DIFFERENCE = _KnownDifference()


def resources(run: Run, tables: Mapping[str, Table]) -> Iterator[DltResource]:
    """A dlt resource for each table; a family's pages are fetched once for all its readers."""
    logging.getLogger("dlt").addFilter(KNOWN_DIFFERENCE)
    done = catalog()["errands"]
    yield dlt.resource([done.read(())], name=done.name, **hints(done))
    pages: dict[str, DltResource] = {}
    for family, readers in families(tables.values()).items():
        how = catalog()[family].fetch
        other = isinstance(how, GraphQL) and not how.many  # a budget of its own; who asks the warehouse stays here
        fetched = run.pages(catalog()[family])
        pages[family] = dlt.resource(fetched, name=f"{family}_pages", selected=False, parallelized=other)
        for table in readers:
            yield pages[family] | dlt.transformer(_reader(run, table), name=table.name, **hints(table))
    for table in tables.values():
        if isinstance(table.fetch, Errand):
            told, name = hints(done) | {"table_name": done.name}, f"errands_of_{table.name}"
            yield pages[table.name] | dlt.transformer(_entries(run, done), name=name, **told)
        if table.also and table.also.table in pages:
            told, name = hints(table) | {"table_name": table.name}, f"{table.name}_in_{table.also.table}"
            yield pages[table.also.table] | dlt.transformer(_in_passing(run, table, table.also), name=name, **told)


def _reader(run: Run, table: Table) -> Callable[[Page], Iterator[pa.Table]]:
    def read(page: Page) -> Iterator[pa.Table]:
        yield run.read(table, page)
        if page.gone and any(column.name == "gone_at" for column in table.columns):
            yield _gone(table, page)

    return read


def _entries(run: Run, table: Table) -> Callable[[Page], Iterator[pa.Table]]:
    def read(page: Page) -> Iterator[pa.Table]:
        if page.entry:
            yield run.read(table, Page([dict(page.entry)], page.at))

    return read


def _in_passing(run: Run, table: Table, also: Also) -> Callable[[Page], Iterator[pa.Table]]:
    """Reads what other pages show of a table, as far as neither this load nor the warehouse has it."""
    had: set[str] = set()

    def read(page: Page) -> Iterator[pa.Table]:
        listed = {item["id"] for one in run.listed(table) for item in one.items}
        shown = {item["id"]: item for each in page.items for item in also.items(each)}
        new = shown.keys() - had - listed
        new -= {row["id"] for row in warehouse.rows(table.name, "id", new, ("id",))}
        had.update(new)
        if new:
            yield run.read(table, Page([dict(shown[one]) for one in sorted(new)], page.at))

    return read


def _gone(table: Table, page: Page) -> pa.Table:
    """The rows of what is not there any more, as they were, marked."""
    import pyarrow as pa

    schema = table.schema()
    kept = warehouse.rows(table.name, "id", page.gone, schema.names)
    return pa.Table.from_pylist([{**row, "gone_at": row["gone_at"] or page.at} for row in kept], schema=schema)


def hints(table: Table) -> dict[str, Any]:
    """How dlt loads a table: its key, its columns, and what a new row does to an old one.

    A snapshot (replace, scd2) speaks for one organization, so it replaces or retires that organization's rows only.
    """
    names = [column.name for column in table.all_columns]
    columns: dict[str, Any] = {
        c.name: {"data_type": KINDS.get(c.type, c.type), "description": c.doc, "nullable": c.name not in table.key}
        for c in table.all_columns
    }
    bound = "organization_slug" if "organization_slug" in names else None
    if table.load == "append":
        return {"write_disposition": "append", "columns": columns}
    if table.load == "scd2":
        how = {"disposition": "merge", "strategy": "scd2", "row_version_column_name": "row_hash"}
        return {"write_disposition": how, "columns": columns, "merge_key": bound}
    if "last_seen_at" in names:
        columns["last_seen_at"]["dedup_sort"] = "desc"
    how = {"disposition": "merge", "strategy": "delete-insert"}
    # With a primary key as well, dlt deletes what has the one or the other: every row is held against every row.
    keys = {"merge_key": bound} if table.load == "replace" and bound else {"primary_key": table.key}
    return {"write_disposition": how, "columns": columns, **keys}
