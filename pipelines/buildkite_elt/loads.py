"""One load: lock, finish what an earlier one left, extract and load package by package, say what became of it.

The state lives in the destination and commits with each package, so a load may start from an empty working directory;
that directory exists only while a load runs, and after one that failed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildkite_ci.errors import BuildkiteError
from buildkite_ci.wire import GRAPHQL_URL, REST_URL

from . import database

if TYPE_CHECKING:
    from dlt import Pipeline

    from buildkite_ci.extract import Report

PACKAGE = 1_000
"""Builds in one load package: a crash costs at most so many, about ten requests."""

DLT = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "CRITICAL",
    "NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID": "true",
    "LOAD__DELETE_COMPLETED_JOBS": "true",
    "LOAD__TRUNCATE_STAGING_DATASET": "true",
}
"""dlt's settings that are not for the user to choose: quiet, and nothing left lying about."""


class Busy(BuildkiteError):
    """Another load of the same destination and dataset is running."""


class LoadFailed(BuildkiteError):
    """dlt or the destination failed; what was committed before stays, and the next load goes on from there."""


@dataclass(frozen=True)
class Target:
    """Where rows go. `database` is the DuckDB file; other destinations take their settings from dlt's configuration."""

    destination: str = "duckdb"
    database: Path = Path("buildkite.duckdb")
    dataset: str = "ci"

    @property
    def work(self) -> Path:
        """The working directory of a load: beside the DuckDB file, or where dlt has its own."""
        if self.destination == "duckdb":
            return self.database.with_name(self.database.name + ".load")
        from dlt.common.pipeline import get_dlt_pipelines_dir

        return Path(get_dlt_pipelines_dir()) / f"buildkite-elt-{self.destination}-{self.dataset}"


@dataclass(frozen=True)
class Origin:
    """Where rows come from."""

    organizations: tuple[str, ...]
    token: str = field(repr=False)
    rest_url: str = REST_URL
    graphql_url: str = GRAPHQL_URL
    show: tuple[str, ...] = ()
    hash_key: str = field(default="", repr=False)


@dataclass
class Outcome:
    """What one organization's load came to."""

    organization: str
    rows: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    packages: int = 0
    requests: int = 0
    points: int = 0
    refused: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    @property
    def exit_code(self) -> int:
        """0 all loaded, 1 nothing loaded and something failed, 3 some tables are missing."""
        if self.failed and not self.rows:
            return 1
        return 3 if self.failed or self.skipped else 0


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
) -> list[Outcome]:
    """Load these tables (all for none) of each organization, builds created at or after `since` (30 days back).

    Raises Busy at once where another load runs, before any request; LoadFailed and what errors.py lists otherwise.
    """
    from buildkite_ci.catalog import find

    find(tables)
    os.environ.update(DLT)
    with alone(target):
        if target.destination == "duckdb":
            database.prepare(target.database)
        since = since or datetime.now(UTC) - timedelta(days=30)
        return [_organization(origin, slug, target, tables, since, progress, sleep) for slug in origin.organizations]


@contextlib.contextmanager
def alone(target: Target) -> Iterator[None]:
    """Hold the lock of a destination and dataset; Busy at once where somebody else does."""
    import filelock

    lock = target.work.with_name(f"{target.work.name}.{target.dataset}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(lock, timeout=0, mode=0o600):
            yield
    except filelock.Timeout:
        raise Busy(
            f"Another load into {target.dataset} is running (it holds {lock}): wait for it, or stop it"
        ) from None
    except OSError as error:
        raise database.DatabaseTrouble(
            f"{lock.parent} cannot be written ({error.strerror}): give another --database"
        ) from error


def _organization(
    origin: Origin,
    slug: str,
    target: Target,
    tables: tuple[str, ...],
    since: datetime,
    progress: Progress | None,
    sleep: Callable[[float], None],
) -> Outcome:
    """One organization: a dlt pipeline of its own, so that its state is nobody else's."""
    from buildkite_ci.extract import Run, source
    from buildkite_ci.privacy import Privacy
    from buildkite_ci.wire import Wire

    outcome, began = Outcome(slug), time.monotonic()
    with Wire(origin.token, origin.rest_url, origin.graphql_url, sleep=sleep) as wire, _pipeline(target, slug) as pipe:
        run = Run(wire, slug, since, Privacy(frozenset(origin.show), origin.hash_key), PACKAGE, forgiving=True)

        def told(table: str, rows: int) -> None:
            outcome.rows[table] = outcome.rows.get(table, 0) + rows
            if progress:
                progress(outcome, table, rows, wire.budget)

        run.progress = told
        wanted = tables
        try:
            while True:
                run.report.more = False
                with _named(target):
                    pipe.run(source(run, wanted))
                _empty(pipe, run.report, slug)
                outcome.packages += 1
                if not run.report.more:
                    break
                run.sweep, wanted = False, tuple(_windowed())
        finally:
            spent = wire.budget.spent.values()
            outcome.requests, outcome.points = sum(s.requests for s in spent), sum(s.points for s in spent)
            outcome.refused, outcome.waited = sum(s.refused for s in spent), sum(s.waited for s in spent)
            outcome.seconds = time.monotonic() - began
        outcome.skipped, outcome.failed = run.report.skipped, {k: str(v) for k, v in run.report.failed.items()}
    return outcome


def _windowed() -> Iterator[str]:
    """The tables that are read in windows."""
    from buildkite_ci.catalog import catalog
    from buildkite_ci.table import Rest

    for name, table in catalog().items():
        if isinstance(table.fetch, Rest) and table.fetch.since:
            yield name


@contextlib.contextmanager
def _pipeline(target: Target, slug: str) -> Iterator[Pipeline]:
    """The organization's dlt pipeline, its state fetched from the destination, pending packages loaded first.

    Its working directory goes when all went well.
    """
    import dlt
    from dlt.common.destination import Destination

    where: Any = (
        dlt.destinations.duckdb(str(target.database))
        if target.destination == "duckdb"
        else Destination.from_reference(target.destination)
    )
    target.work.mkdir(parents=True, exist_ok=True, mode=0o700)
    pipe = dlt.pipeline(
        pipeline_name=_name(slug),
        destination=where,
        dataset_name=target.dataset,
        pipelines_dir=str(target.work),
    )
    with _named(target):
        if pipe.has_pending_data:
            pipe.run()
        pipe.sync_destination()
    yield pipe
    pipe.deactivate()
    shutil.rmtree(target.work, ignore_errors=True)


def _name(slug: str) -> str:
    """A pipeline's name, which dlt wants in small letters and underscores; no two slugs have the same."""
    plain = re.sub(r"[^a-z0-9]+", "_", slug)
    if plain == slug and len(slug) <= 40:
        return f"buildkite_{slug}"
    return f"buildkite_{plain[:40].strip('_')}_{hashlib.blake2b(slug.encode(), digest_size=4).hexdigest()}"


@contextlib.contextmanager
def _named(target: Target) -> Iterator[None]:
    """An error of ours as it was raised, however deep in dlt's; any other as LoadFailed."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause and not isinstance(cause, BuildkiteError | KeyboardInterrupt):
            cause = cause.__cause__ or cause.__context__
        if cause:
            raise cause from None
        raise LoadFailed(_sentence(error, target)) from error


def _sentence(error: BaseException, target: Target) -> str:
    deepest = error
    while deepest.__cause__ or deepest.__context__:
        deepest = deepest.__cause__ or deepest.__context__ or deepest
    first = (str(deepest).strip() or type(deepest).__name__).splitlines()[0]
    if "No space left" in str(error) or "No space left" in first:
        return "The disk is full. What was committed stays; free some space and load again, nothing is lost"
    where = str(target.database) if target.destination == "duckdb" else target.destination
    return f"Loading into {where} failed: {first}. What was committed stays, and the next load goes on from there"


def _empty(pipe: Pipeline, report: Report, slug: str) -> None:
    """Retire the rows of a snapshot that came back empty: dlt sees no row, so it would leave the old ones."""
    from buildkite_ci.catalog import catalog

    for name in report.empty:
        table = catalog()[name]
        if table.load not in ("scd2", "replace") or "organization_slug" not in table.schema().names:
            continue
        with pipe.sql_client() as client:
            qualified, quote = client.make_qualified_table_name(name), client.escape_column_name
            mine = f"{quote('organization_slug')} = %s"
            if table.load == "replace":
                client.execute_sql(f"DELETE FROM {qualified} WHERE {mine}", slug)  # noqa: S608 - quoted by dlt
            else:
                ends = quote("_dlt_valid_to")
                sql = f"UPDATE {qualified} SET {ends} = %s WHERE {mine} AND {ends} IS NULL"  # noqa: S608
                client.execute_sql(sql, datetime.now(UTC), slug)
