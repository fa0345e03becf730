"""One load: extract and load package by package, say what became of each table, and write that into the warehouse too.

The first package brings what is new, what changed and the snapshots; the next ones go back through what is not read
yet, newest first; then come the work lists. Each is committed by itself: whatever ends a load costs one package.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from buildkite_ci.choice import Choice, Filter
from buildkite_ci.errors import NotFound, Passing
from buildkite_ci.privacy import redact
from buildkite_ci.wire import GRAPHQL_URL, REST_URL

from . import database, lake, warehouse
from .stop import Stop
from .warehouse import DLT, Busy, LoadFailed, Target, alone, give_back, named, pipeline, retire_empty

if TYPE_CHECKING:
    from dlt import Pipeline

    from buildkite_ci.budget import Budget, Limits, Spent
    from buildkite_ci.extract import Report, Run

__all__ = ["Busy", "LoadFailed", "Origin", "Outcome", "Target", "load"]

PACKAGE = 240_000
"""Builds and jobs in one load package, and a page more. DuckDB writes whole row groups (122,880 rows) while it reads
them, and what is left of one with each package; with 50 jobs a build these jobs stay within two. sync.py has what else
ends a package: JSON of 512 MB, or 100 pages."""


VIEWED = ("duckdb", "ducklake", "postgres")
"""Destinations that get the views."""


@dataclass(frozen=True)
class Origin:
    """Where rows come from, and what may be spent on them.

    reserve: the part of each rate limit that is left for others. limits: what this load may spend at most. again:
    builds since `since` are read again, those that are here too. retention: how long Buildkite keeps builds (30, 90 or
    365 days, by plan), for a warning before it is too late. choices: by table, what of it is wanted. filter: the
    pipelines that are asked one by one. views: a user's own files of the tables that are data (views.DATA). exports: a
    folder or a bucket with build exports, which are read in Buildkite's stead; `since` and `again` say nothing then.
    """

    organizations: tuple[str, ...]
    token: str = field(repr=False)
    rest_url: str = REST_URL
    graphql_url: str = GRAPHQL_URL
    show: tuple[str, ...] = ()
    hash_key: str = field(default="", repr=False)
    reserve: float = 0.2
    limits: Limits | None = None
    again: bool = False
    retention: timedelta | None = None
    choices: Mapping[str, Choice] = field(default_factory=dict)
    filter: Filter = field(default_factory=Filter)
    views: Mapping[str, str] = field(default_factory=dict)
    exports: str = ""


@dataclass
class Outcome:
    """What one organization's load came to. run_id: the load's. skipped, failed, waiting, warnings: {table: why}.

    unfinished: tables that it had not done with when an error ended it. oldest_missing: {table: when the oldest of what
    waits was created}; covered: {table: until when every build has been read}; missing_builds: those that `verify`
    found and that are not here; spending: {API: what was spent}. reached: builds created since then have been read by
    this load; share: the part of the way back to `since` that is. published: {table: rows written into the lake}; with
    the last organization, for all of them.
    """

    organization: str
    run_id: str = ""
    rows: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, str] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)
    unfinished: tuple[str, ...] = ()
    oldest_missing: dict[str, datetime] = field(default_factory=dict)
    covered: dict[str, datetime] = field(default_factory=dict)
    missing_builds: int = 0
    reached: datetime | None = None
    share: float = 0.0
    packages: int = 0
    requests: int = 0
    points: int = 0
    refused: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    spending: dict[str, Spent] = field(default_factory=dict, repr=False)
    published: dict[str, int] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 all loaded, 1 nothing loaded and something failed, 3 some tables are missing."""
        if self.failed and not self.rows:
            return 1
        return 3 if self.failed or self.skipped or self.waiting else 0

    def told(self, report: Report) -> None:
        self.skipped, self.waiting = report.skipped, report.waiting
        self.failed = {table: str(error) for table, error in report.failed.items()}

    def spent(self, budget: Budget) -> None:
        self.spending = budget.spent
        ours = self.spending.values()
        self.requests, self.points = sum(one.requests for one in ours), sum(one.points for one in ours)
        self.refused, self.waited = sum(one.refused for one in ours), sum(one.waited for one in ours)


Progress = Callable[[Outcome, str, int, Any], None]
"""Told after each page: the outcome so far, the table, its new rows, and the budget (buildkite_ci.budget.Budget)."""


def load(
    origin: Origin,
    target: Target,
    tables: tuple[str, ...] = (),
    since: datetime | None = None,
    *,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
    run_id: str = "",
    outcomes: list[Outcome] | None = None,
    wait: float = 0.0,
) -> list[Outcome]:
    """Load these tables (for none: those asked for always) of each organization, builds created at or after `since`.

    since: 30 days back for None. sleep, now: a clock in seconds, for tests. run_id: the load's in every table and log,
    a new UUID if empty. outcomes: a list that each organization's outcome is put into as it begins, for who wants to
    know what came of it where this raises. wait: seconds to wait for another load of the dataset to end.

    Raises Busy, before any request, where that runs for longer; KeyboardInterrupt, or SystemExit(143), where it was
    asked to stop, after what was read is committed; LoadFailed and what errors.py lists otherwise.
    """
    from buildkite_ci.catalog import find

    find(tables)
    os.environ.update(DLT)
    give_back()
    with alone(target, wait) as still, Stop(sleep) as stop, lake.copied(target) as published:

        def watched(*page: Any) -> None:
            still()
            if progress:
                progress(*page)

        if target.destination == "duckdb":
            database.prepare(target.database)
        since = since or datetime.now(UTC) - timedelta(days=30)
        outcomes, run_id = [] if outcomes is None else outcomes, run_id or str(uuid.uuid4())
        for slug in origin.organizations:
            outcome = Outcome(slug, run_id)
            outcomes.append(outcome)
            try:
                _organization(origin, outcome, target, tables, since, watched, stop, now)
            except (NotFound, Passing) as error:
                told = NotFound(f"The organization {slug!r}") if isinstance(error, NotFound) else error
                if len(origin.organizations) == 1:
                    raise told from None
                outcome.failed = {"organization": str(told)}
        stop.obey()
        outcomes[-1].published = published
        return outcomes


def _organization(
    origin: Origin,
    outcome: Outcome,
    target: Target,
    tables: tuple[str, ...],
    since: datetime,
    progress: Progress,
    stop: Stop,
    now: Callable[[], float],
) -> None:
    """One organization: a dlt pipeline of its own, so that its state is nobody else's."""
    from buildkite_ci.budget import Budget, Limits
    from buildkite_ci.exports import Exports, Place
    from buildkite_ci.extract import Run
    from buildkite_ci.privacy import Privacy
    from buildkite_ci.wire import Wire

    from . import books

    slug, began = outcome.organization, datetime.now(UTC)
    budget = Budget(now, origin.reserve, origin.limits or Limits(), lambda: stop.asked is not None, stop.blocking)
    wire = Wire(origin.token, origin.rest_url, origin.graphql_url, budget=budget, sleep=stop.sleep)
    with wire, pipeline(target, slug) as pipe:
        kind: Callable[..., Run] = partial(Exports, place=Place(origin.exports)) if origin.exports else Run
        run = kind(wire, slug, since, Privacy(frozenset(origin.show), origin.hash_key), PACKAGE, forgiving=True)
        run.again, run.choices, run.filter, run.keep = origin.again, origin.choices, origin.filter, target.kept / slug
        run.run_id = outcome.run_id

        def told(table: str, rows: int) -> None:
            outcome.rows[table] = outcome.rows.get(table, 0) + rows
            outcome.seconds = (datetime.now(UTC) - began).total_seconds()
            for begin, end in run.report.spans.values():
                outcome.reached, outcome.share = begin, (end - begin) / (end - since) if end > since else 1.0
            progress(outcome, table, rows, budget)

        run.progress = told
        try:
            _packages(pipe, run, tables, target, outcome)
            shutil.rmtree(run.keep, ignore_errors=True)
            with contextlib.suppress(OSError):  # another organization's are there, or nothing is
                target.kept.rmdir()
        except Exception as error:
            outcome.told(run.report)
            outcome.failed |= dict.fromkeys(outcome.unfinished, redact(str(error)))
            _noted(pipe, run, outcome, began, error)
            raise
        finally:
            outcome.spent(budget)
            outcome.seconds = (datetime.now(UTC) - began).total_seconds()
        outcome.told(run.report)
        outcome.warnings = books.leaving(run, origin.retention, datetime.now(UTC))
        with named(target):
            warehouse.run(pipe, books.of(run, outcome, began))
            if target.destination in VIEWED:
                outcome.warnings |= _views(pipe, origin, target, stop)


def _noted(pipe: Pipeline, run: Run, outcome: Outcome, began: datetime, error: Exception) -> None:
    """Write a failure into the books: now, or, where a package waits since the destination failed, by the next load.

    A first load of an organization that is not there leaves nothing. Whatever fails here is no worse than the failure
    itself, which is raised."""
    from . import books

    if isinstance(error, NotFound) and pipe.first_run:
        return
    with contextlib.suppress(Exception):
        warehouse.run(pipe, books.failure(run, outcome, began), later=pipe.has_pending_data)


def _views(pipe: Pipeline, origin: Origin, target: Target, stop: Stop) -> dict[str, str]:
    """Make the views anew: {view: why it could not be made}."""
    from . import views

    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s AND table_type = 'BASE TABLE'"
    with named(target), pipe.sql_client() as client:
        dataset = client.dataset_name
        there = [name for (name,) in client.execute_sql(tables, dataset) or ()]
        if target.destination == "postgres":
            from . import postgres

            try:
                failed = postgres.make_views(client.native_connection, dataset, there, origin.views, stop.sleep)
            except postgres.Held as error:
                return {"views": str(error)}
        else:
            failed = views.create(client.execute_sql, dataset, there, origin.views)
    return {name: f"The view {name} could not be made: {why}" for name, why in failed.items()}


def _packages(pipe: Pipeline, run: Run, tables: tuple[str, ...], target: Target, outcome: Outcome) -> None:
    """Every package of one load: news and snapshots, then what is further back, then the work lists."""
    from buildkite_ci.catalog import with_families
    from buildkite_ci.resources import source
    from buildkite_ci.table import Errand, Rest

    selected = with_families(tables)
    lists = tuple(name for name, table in selected.items() if isinstance(table.fetch, Errand))
    windows = tuple(n for n, t in selected.items() if isinstance(t.fetch, Rest) and t.fetch.since)
    first = tuple(name for name in selected if name not in lists)
    outcome.unfinished = tuple(selected)
    for wanted, again in ((first, windows), (lists, lists)):
        while wanted:
            run.report.more = False
            with named(target):
                warehouse.run(pipe, source(run, wanted))
            retire_empty(pipe, run.report, run.organization)
            outcome.packages += 1
            run.sweep = False
            ended = run.report.failed.keys() | run.report.waiting.keys()
            wanted = tuple(name for name in again if name not in ended) if run.report.more else ()
            outcome.unfinished = (*wanted, *(lists if again is windows else ()))
