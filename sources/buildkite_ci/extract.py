"""One extraction of an organization: the pages of each family of tables, and what became of them."""

from __future__ import annotations

import gc
import hashlib
import shutil
import uuid
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import dlt

from . import asks, errands, graphql, logs, rest, warehouse
from .answers import Answers
from .catalog import TABLES, catalog, twin
from .choice import Choice, Filter
from .errors import (
    BadInput,
    BudgetSpent,
    BuildkiteError,
    ForAdministrators,
    NotFound,
    Null,
    QueryRefused,
    ScopeMissing,
    TokenRefused,
)
from .keep import Keep
from .privacy import Privacy
from .rest import TICK, Page
from .sync import State, newer, sync
from .table import Errand, GraphQL, Item, Rest, Table
from .times import instant, told
from .wire import Wire

if TYPE_CHECKING:
    import pyarrow as pa

ERRANDS = {"REST": 100, "GraphQL": 500}
"""Rows of a work list that are asked for in one load package, some minutes' work at the most."""
MUCH = 32 << 20
"""Bytes of JSON in a package after which answers that hold themselves are let go: not beside the destination's load."""
FATAL = (BadInput, TokenRefused)
"""No other family would fare better."""
HELD = """
SELECT id FROM {table} WHERE organization_slug = %s AND created_at >= %s AND created_at < %s AND gone_at IS NULL
"""

SPAN = "SELECT min(created_at) AS oldest, max(created_at) AS newest FROM {table} WHERE organization_slug = %s"


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
    filter: the pipelines that are asked one by one. keep: where what was read of work lists waits for the warehouse.
    noted: tables that are no work lists and have entries in `errands` all the same.
    run_id: the load, a UUID of its own.
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
    keep: Path | None = None
    noted: tuple[str, ...] = ()
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    _listings: dict[str, list[Page]] = field(default_factory=dict)
    _chosen: frozenset[str] | None = None
    _answered: bool = False
    _last: datetime | None = None
    _held: list[tuple[datetime, datetime]] | None = None

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
            given = {**names, **self.filter.variables()}
            pages = graphql.pages(self.wire, twin(table), given)
            yield from self._newer(table, fetch.since, given) if fetch.since else pages
        elif isinstance(fetch, Rest) and fetch.each:
            for parent in self.parents(fetch.each):
                yield from self._below(fetch, parent)
        elif isinstance(fetch, Rest) and fetch.one:
            yield rest.one(self.wire, fetch.path.format(**names))
        elif isinstance(fetch, Rest):
            yield from rest.pages(self.wire, fetch.path.format(**names), fetch.params, paged=fetch.paged)

    def _newer(self, table: Table, column: str, given: Mapping[str, Any]) -> Iterator[Page]:
        """Of a listing whose rows never change, those that no load has read; once all are, the state says so."""
        kept = dlt.current.source_state().setdefault(self.organization, {}).setdefault(table.name, {})
        newest = begin = newer(kept, self.since)
        for page in graphql.pages(self.wire, twin(table), {**given, "since": told(begin)}):
            yield page
            newest = max([newest, *(instant(item[column]) for item in page.items)])
        kept |= {"since": min(told(self.since), kept.get("since") or told(self.since)), "newest": told(newest)}

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
                del page
        except BuildkiteError as error:
            self._note(table, error)

    def _note(self, table: Table, error: BuildkiteError) -> None:
        """Say in the report what became of a family; raise what ends the run."""
        if isinstance(table.fetch, GraphQL) and table.fetch.admin and isinstance(error, Null | QueryRefused):
            error = ForAdministrators(error)
        if isinstance(error, ScopeMissing):
            self.report.skipped[table.name] = str(error)
        elif isinstance(error, BudgetSpent):
            self.report.waiting[table.name] = str(error)
        elif not self.forgiving or isinstance(error, FATAL if self._answered else (*FATAL, NotFound)):
            raise error
        else:
            self.report.failed[table.name] = error

    def _counted(self, table: Table) -> Iterator[Page]:
        """The pages, each asked for on this table's account: dlt takes a page of one family, then of another."""
        warehouse.client()  # made while no page is here
        pages = self._walked(table)
        while True:
            self.wire.budget.doing = table.name
            try:
                page = next(pages)
            except StopIteration:
                return
            yield page
            del page

    def _walked(self, table: Table) -> Iterator[Page]:
        """The pages, at least one: an empty one makes the table where there is nothing to read."""
        fetch, empty = table.fetch, True
        if isinstance(fetch, Rest) and fetch.since:
            pages = self._windows(table, fetch, fetch.since.lag)
        elif isinstance(fetch, Errand):
            pages = self._errands(table, fetch)
        elif isinstance(fetch, GraphQL) and fetch.many:
            pages = asks.ASKS[table.name](self, table)
        else:
            pages = self._snapshot(table)
        for page in pages:
            empty = False
            yield page
            del page
        if empty:
            yield Page([], self.wire.at or datetime.now(UTC))

    def _windows(self, table: Table, fetch: Rest, lag: timedelta) -> Iterator[Page]:
        kept = dlt.current.source_state().setdefault(self.organization, {}).setdefault(table.name, {})
        state = State(kept, self.since, lag)
        if self.again and self.sweep:
            state.uncover(self.since)
        path = fetch.path.format(organization=self.organization)
        self.report.states[table.name], self._held = state, None
        pages, size = sync(self.wire, path, fetch, state, at_most=self.at_most, sweep=self.sweep), 0
        for page in self._missed(table, pages) if self.again else pages:
            if page.whole:
                newest = self.report.spans.get(table.name, page.whole)[1]
                self.report.spans[table.name] = page.whole[0], newest
            size += page.size
            yield page
            del page
        self.report.more |= state.gap() is not None
        if size > MUCH:
            gc.collect()

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
        most, why = self._most(todo, done)
        at_most = min(ERRANDS["GraphQL" if errands.by_twin(table, errand, self.wire) else "REST"], most - done)
        rows = todo.todo(at_most + 1)  # one more tells whether any is left
        left, rows, refused = len(rows) > at_most, rows[:at_most], partial(self._refused, table)
        if errand.log:
            pages = logs.pages(self._logs(table), todo, self._slugs() if rows else {}, rows, refused)
        else:
            ask = partial(errands.pages, self.wire, todo, self._slugs, refused=refused)
            pages = Answers(table.name, self._kept(table), partial(self._rows, table)).pages(rows, ask)
        for page in pages:
            self.errands_done[table.name] = done = done + len(page.entries)
            yield page
        self.report.more |= left and done < most
        if left and done >= most:
            self.report.waiting[table.name] = f"{why} asks for {most} at most: a later one goes on"

    def _most(self, todo: errands.List, done: int) -> tuple[int, str]:
        """How many rows this load may have asked for in the end, and what says so."""
        most, choice = todo.choice.at_most or todo.errand.at_most, todo.choice
        if choice.a_day is not None:
            since = (self.wire.at or self.listing(catalog()["pipelines"])[-1].at) - timedelta(days=1)
            left = done + max(choice.a_day - todo.asked(since), 0)
            if left < most:
                return left, f"with {choice.a_day} a day, this load"
        return most, "one load"

    def _logs(self, table: Table) -> logs.Reader:
        return logs.Reader(self.wire, self._kept(table), self.choice(table), "secrets" not in self.privacy.show)

    def _kept(self, table: Table) -> Keep:
        """What was read of a table as it would be read now: not by a load that was to show more, or less."""
        if self.keep is None:
            self.keep = Path(mkdtemp(prefix="buildkite-"))
            weakref.finalize(self, shutil.rmtree, self.keep, ignore_errors=True)
        choice = self.choice(table)
        how = (sorted(self.privacy.show), self.privacy.key, choice.secrets, choice.signatures, choice.whole)
        return Keep(self.keep / table.name / hashlib.sha256(repr(how).encode()).hexdigest()[:16])

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
        return self._told(table, self._rows(table, page))

    def _rows(self, table: Table, page: Page) -> pa.Table:
        seen = self._seen(page.at)
        if any(column.name == "first_seen_at" for column in table.columns):
            known = warehouse.rows(table.name, "id", self._maybe_held(table, page.items), ("id", "first_seen_at"))
            first = {row["id"]: row["first_seen_at"].isoformat() for row in known if row["first_seen_at"]}
            for item in page.items:
                item["first_seen_at"] = first.get(item["id"], seen)
        given = {"organization_slug": self.organization, "observed_at": page.at.isoformat(), "last_seen_at": seen}
        given["run_id"] = self.run_id
        return table.read(page.items, given, self.privacy)

    def _maybe_held(self, table: Table, items: Iterable[Item]) -> list[str]:
        """The ids of items that the warehouse may hold, by when they were created: asked of it once a package."""
        if self._held is None:
            found = warehouse.select(SPAN, {"table": table.name}, (self.organization,))
            self._held = [(row["oldest"], row["newest"]) for row in found if row["oldest"]]
        span = [(oldest - TICK, newest) for oldest, newest in self._held]
        return [item["id"] for item in items if any(a <= instant(item["created_at"]) <= b for a, b in span)]

    def placed(self, table: Table, rows: pa.Table) -> pa.Table:
        """Rows of a page that are Arrow already, as the table has them."""
        return self._told(table, table.placed(rows, {"organization_slug": self.organization}))

    def _told(self, table: Table, rows: pa.Table) -> pa.Table:
        self.report.rows[table.name] += rows.num_rows
        self.progress(table.name, rows.num_rows)
        return rows

    def _seen(self, at: datetime) -> str:
        """The server's clock, which tells seconds, counted on by a microsecond a reading: of two readings of one row
        in a load the later one is told apart, and wins."""
        tick = timedelta(microseconds=1)
        self._last = at if self._last is None or at > self._last else self._last + tick
        return self._last.isoformat()
