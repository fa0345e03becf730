"""The destination of a load: one load at a time, a dlt pipeline for each organization, and errors that help.

The state lives in the destination and commits with each package, so a load may start from an empty working directory;
that directory exists only while a load runs, and while a package of a failed one is still to be loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildkite_ci.errors import BadInput, BuildkiteError

from . import database

if TYPE_CHECKING:
    from dlt import Pipeline

    from buildkite_ci.extract import Report

DLT = {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "CRITICAL",
    "NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID": "true",
    "LOAD__DELETE_COMPLETED_JOBS": "true",
    "LOAD__TRUNCATE_STAGING_DATASET": "true",
}
"""dlt's settings that are not for the user to choose: quiet, and nothing left lying about."""


MEMORY = "200MB"
"""What DuckDB may hold while it loads, before it spills to disk; it would keep most of the file otherwise."""
MORE = "70%"
"""What it may hold of this machine's memory where a package does not fit: a few very large rows are enough for that."""


LARGE = 4 << 20
"""Bytes of what is given back to the system as soon as it is free."""


@cache
def give_back() -> None:
    """Have glibc give back what is free, and Arrow ask glibc: else a long load keeps ever more of it, in pieces."""
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        for setting, value in ((M_MMAP_THRESHOLD, LARGE), (M_ARENA_MAX, 2)):
            mallopt(setting, value)


M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8


class Busy(BuildkiteError):
    """Another load of the same destination and dataset is running."""


class LoadFailed(BuildkiteError):
    """dlt or the destination failed; what was committed before stays, and the next load goes on from there."""


@dataclass(frozen=True)
class Target:
    """Where rows go. `database` is the DuckDB file; other destinations take their settings from dlt's configuration.

    lake: the table format of a copy of that file, by dlt's settings of the destination filesystem; "" for none.
    """

    destination: str = "duckdb"
    database: Path = Path("buildkite.duckdb")
    dataset: str = "ci"
    lake: str = ""

    @property
    def work(self) -> Path:
        """The working directory of a load: beside the DuckDB file, or where dlt has its own."""
        if self.destination == "duckdb":
            return self.database.with_name(self.database.name + ".load")
        from dlt.common.pipeline import get_dlt_pipelines_dir

        return Path(get_dlt_pipelines_dir()) / f"buildkite-elt-{self.destination}-{self.dataset}"

    @property
    def kept(self) -> Path:
        """Where what was read of work lists waits for a killed load's successor."""
        return self.work.with_name(f"{self.work.name.removesuffix('.load')}.kept")


@contextlib.contextmanager
def alone(target: Target, wait: float = 0.0) -> Iterator[Callable[[], None]]:
    """Hold the lock of a destination and dataset; Busy where somebody else holds it for longer than `wait` seconds.

    It is a file on this machine, and in PostgreSQL one of the server besides. Gives what is to be called now and then:
    it raises an error where the lock is no longer ours.
    """
    import filelock

    if target.destination == "duckdb":
        database.sane(target.database)
    lock = target.work.with_name(f"{target.work.name}.{target.dataset}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(lock, timeout=wait, mode=0o600), _on_server(target, wait) as still:
            yield still
    except filelock.Timeout:
        raise _busy(target, str(lock)) from None
    except OSError as error:
        raise database.DatabaseTrouble(
            f"{lock.parent} cannot be written ({error.strerror}): give another --database"
        ) from error


def _busy(target: Target, lock: str) -> Busy:
    return Busy(
        f"Another load into {target.dataset} is running (it holds {lock}): wait for it, as --wait does, or stop it"
    )


@contextlib.contextmanager
def _on_server(target: Target, wait: float) -> Iterator[Callable[[], None]]:
    """The lock that machines share, where the destination has such: PostgreSQL."""
    import dlt

    where = _destination(target)
    if not isinstance(where, dlt.destinations.postgres):
        yield lambda: None
        return
    from dlt.common.schema import Schema

    from . import server_lock

    with contextlib.ExitStack() as stack:
        with named(target):
            client = where.client(Schema("buildkite_ci"), where.spec()._bind_dataset_name(target.dataset))
            try:
                still = stack.enter_context(server_lock.held(client.sql_client, target.dataset, wait))
            except server_lock.Taken as taken:
                raise _busy(target, f"a lock by {taken}") from None
        yield still


@contextlib.contextmanager
def pipeline(target: Target, slug: str) -> Iterator[Pipeline]:
    """The organization's dlt pipeline, its state fetched from the destination, a pending package loaded first.

    Its working directory goes, unless it holds a package that is still to be loaded.
    """

    where = _destination(target)
    if not {"delete-insert", "scd2"} <= set(where.capabilities().supported_merge_strategies or ()):
        raise BadInput(
            f"The destination {target.destination} cannot replace rows that changed, so they would be there twice: "
            "use duckdb, postgres, another SQL warehouse that dlt merges into, or --destination filesystem, which "
            "keeps a copy of the DuckDB file as Parquet, Delta or Iceberg"
        )
    with named(target):
        pipe = _made(target, slug, where)
        if not _finished(pipe):
            shutil.rmtree(target.work)
            pipe = _made(target, slug, where)
        pipe.sync_destination()
    try:
        yield pipe
    finally:
        pipe.deactivate()
        if not pipe.has_pending_data:
            shutil.rmtree(target.work, ignore_errors=True)


def _made(target: Target, slug: str, where: Any) -> Pipeline:
    import dlt

    target.work.mkdir(parents=True, exist_ok=True, mode=0o700)
    return dlt.pipeline(
        pipeline_name=pipeline_name(slug),
        destination=where,
        dataset_name=target.dataset,
        pipelines_dir=str(target.work),
    )


def _finished(pipe: Pipeline) -> bool:
    """Load what an earlier load left pending. False where a killed load was in the middle of a package (dlt would load
    its staging table twice, which a history cannot tell from two rows), where a server's connection broke amid a file
    (it may have been committed, and could not be again), or where there are files that dlt cannot go on from: then
    these are to be dropped, and what the destination's own state does not cover is read again."""
    from dlt.common.storages.exceptions import StorageException
    from dlt.pipeline.exceptions import PipelineStepFailed

    packages = [pipe.get_load_package_info(one).jobs for one in pipe.list_normalized_load_packages()]
    if any(jobs["started_jobs"] for jobs in packages):
        return False
    served = pipe.destination.destination_name != "duckdb"
    if served and any(job.job_file_info.retry_count for jobs in packages for job in jobs["new_jobs"]):
        return False
    try:
        if pipe.has_pending_data:
            run(pipe)
    except PipelineStepFailed as error:
        if not isinstance(error.exception, StorageException):
            raise
        return False
    return True


def run(pipe: Pipeline, data: Any = None, later: bool = False) -> None:
    """Extract and load `data`, or what is pending. Where DuckDB has not memory enough for a package, with more.
    `later`: leave the data pending."""
    from dlt.pipeline.exceptions import PipelineStepFailed

    credentials = pipe.destination.config_params.get("credentials")
    try:
        if data is not None:
            pipe.extract(data)
            pipe.normalize()
        if later:
            return
        with _open(pipe):
            pipe.load() if data is not None else pipe.run()
    except PipelineStepFailed as error:
        settings = getattr(credentials, "global_config", None)
        if "Out of Memory Error" not in str(error) or not settings or settings["memory_limit"] == MORE:
            raise
        settings["memory_limit"] = MORE
        pipe.run()


@contextlib.contextmanager
def _open(pipe: Pipeline) -> Iterator[None]:
    """The DuckDB file kept open while a package is loaded: dlt opens it for each statement, and writes all of it out
    each time that it closes it. dlt is given this connection: beside readers in other threads, DuckDB may forget that
    it has a file open, and refuses to open it again."""
    import duckdb
    from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials

    told = pipe.destination.config_params
    credentials = told.get("credentials")
    if not isinstance(credentials, DuckDbCredentials):
        yield
        return
    with database.patient()(duckdb.connect, credentials.database) as connection:
        told["credentials"] = DuckDbCredentials(connection, global_config=credentials.global_config)
        try:
            yield
        finally:
            told["credentials"] = credentials


def _destination(target: Target) -> Any:
    """The destination as dlt knows it. Raises BadInput where it does not."""
    from dlt.common.destination import Destination
    from dlt.common.destination.exceptions import DestinationException
    from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials

    if target.destination == "duckdb":
        from .duck import Duck

        settings = {"memory_limit": MEMORY}
        return Duck(DuckDbCredentials(str(target.database), global_config=settings), destination_name="duckdb")
    try:
        if target.destination == "postgres":
            from .postgres import Postgres

            return Postgres(destination_name="postgres")
        return Destination.from_reference(target.destination)
    except (DestinationException, ImportError, ValueError):
        raise BadInput(f"dlt knows no destination {target.destination!r}: try duckdb or postgres") from None


def pipeline_name(slug: str) -> str:
    """A pipeline's name, which dlt wants in small letters and underscores; no two slugs have the same."""
    plain = re.sub(r"[^a-z0-9]+", "_", slug)
    if plain == slug and len(slug) <= 40:
        return f"buildkite_{slug}"
    return f"buildkite_{plain[:40].strip('_')}_{hashlib.blake2b(slug.encode(), digest_size=4).hexdigest()}"


@contextlib.contextmanager
def named(target: Target) -> Iterator[None]:
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
    from dlt.common.configuration.exceptions import ConfigFieldMissingException
    from dlt.common.exceptions import MissingDependencyException

    deepest = error
    while deepest.__cause__ or deepest.__context__:
        deepest = deepest.__cause__ or deepest.__context__ or deepest
    first = (str(deepest).strip() or type(deepest).__name__).splitlines()[0]
    where = str(target.database) if target.destination == "duckdb" else target.destination
    if "No space left" in str(error) or "No space left" in first:
        here = target.destination == "duckdb" or isinstance(deepest, OSError)
        disk = "The disk" if here else f"The disk of {where}"
        return f"{disk} is full. What was committed stays; free some space and load again, nothing is lost"
    if isinstance(deepest, ConfigFieldMissingException):
        told = f"[destination.{target.destination}.credentials] in .dlt/secrets.toml"
        return (
            f"dlt lacks {', '.join(deepest.fields)} of {where}: put it under {told}, or into its environment variables"
        )
    if isinstance(deepest, MissingDependencyException):
        return f"{where} needs packages that are not here: pip install 'dlt[{target.destination}]'"
    hint = ""
    if target.destination == "postgres":
        from . import postgres

        hint = postgres.hint(str(error) + first, target.dataset)
    return f"Loading into {where} failed: {first}. {hint}What was committed stays, and the next load goes on from there"


def retire_empty(pipe: Pipeline, report: Report, slug: str) -> None:
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
