"""What the DuckDB file tells of earlier loads, read-only: the state that dlt keeps in it, and what they came to."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from buildkite_ci import asks, errands, queues
from buildkite_ci.catalog import catalog
from buildkite_ci.choice import Choice
from buildkite_ci.table import Errand

from .database import DatabaseTrouble
from .status import opened, tables
from .warehouse import pipeline_name

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from .warehouse import Target

Row = dict[str, Any]
NO_ERRANDS = "(SELECT NULL AS table_name, NULL AS item_id, NULL AS state, NULL AS finished_at)"
LAST_ROWS = """
SELECT table_name, rows FROM sync_runs WHERE organization_slug = ? AND outcome <> 'failed'
QUALIFY row_number() OVER (PARTITION BY table_name ORDER BY finished_at DESC) = 1
"""
OF_JOBS = """
SELECT count(DISTINCT build_id) FILTER (scope = 'job' AND gone_at IS NULL)
    / (SELECT nullif(count(*), 0) FROM errands WHERE table_name = 'annotations' AND organization_slug = $1)
FROM annotations WHERE organization_slug = $1
"""


@dataclass
class Waiting:
    """Rows of a work list that wait: how many, and some of those that would be asked for first."""

    count: int = 0
    some: list[Row] = field(default_factory=list)


@dataclass
class Known:
    """What the file tells: the state of the listing that is read in windows, and what earlier loads came to."""

    kept: dict[str, Any] = field(default_factory=dict)
    begun: dict[str, Any] = field(default_factory=dict)
    """The state of each listing, by table."""
    rows: dict[str, int] = field(default_factory=dict)
    size: dict[str, float] = field(default_factory=dict)
    """Bytes of a row, by family."""
    jobs: float | None = None
    """Jobs of a build."""
    waiting: dict[str, Waiting] = field(default_factory=dict)
    """Rows of each work list that wait."""
    of_jobs: float | None = None
    """The part of the builds whose jobs have annotations."""
    branches: dict[str, list[str]] = field(default_factory=dict)
    """Each pipeline's branches, those that are built most first."""
    groups: list[str] = field(default_factory=list)
    """Concurrency groups, those of the newest jobs first."""
    unclustered: int = 0
    """Queues of no cluster."""


def read(
    target: Target, slug: str, since: datetime, choices: Mapping[str, Choice], newest: datetime | None = None
) -> Known:
    """What the file knows; nothing where there is none yet, or where rows go to another destination. newest: when the
    newest build will have been created by the time that work lists are read; None for what the file holds."""
    if target.destination != "duckdb" or not target.database.exists():
        return Known()
    try:
        connection = opened(target.database, target.dataset)
    except DatabaseTrouble as error:
        if "has no dataset" in str(error):
            return Known()
        raise
    with connection:
        there = tables(connection)
        begun = state(connection, slug)
        known = Known(begun.get("builds", {}), begun)
        if {"api_usage", "sync_runs"} <= there.keys():
            known.rows = dict(connection.execute(LAST_ROWS, [slug]).fetchall())
            known.size = dict(
                connection.execute(
                    "SELECT u.table_name, sum(u.bytes) / sum(s.rows) FROM api_usage AS u "
                    "JOIN sync_runs AS s USING (run_id, organization_slug, table_name) "
                    "WHERE organization_slug = ? GROUP BY ALL HAVING sum(s.rows) > 0",
                    [slug],
                ).fetchall()
            )
        if {"builds", "jobs"} <= there.keys():
            sql = "SELECT (SELECT count(*) FROM jobs WHERE organization_slug = $1) / nullif(count(*), 0) FROM builds"
            known.jobs = (connection.execute(f"{sql} WHERE organization_slug = $1", [slug]).fetchone() or [None])[0]
            done = "errands" if "errands" in there else NO_ERRANDS
            known.waiting = {
                name: wanted(
                    connection, errands.List(table, table.fetch, slug, since, choices.get(name, Choice())), done
                )
                for name, table in catalog().items()
                if isinstance(table.fetch, Errand)
            }
        _asked(connection, slug, there, known)
    return known


def _asked(connection: duckdb.DuckDBPyConnection, slug: str, there: Container[str], known: Known) -> None:
    """What the load takes from the file to know what it asks GraphQL for (asks.py, queues.py)."""

    def rows(sql: str, *tables: str) -> list[tuple[Any, ...]]:
        if not all(table in there for table in tables):
            return []
        placed = sql.format(**{table: table for table in tables}).replace("%s", "$1")
        return connection.execute(placed, [slug]).fetchall()

    for pipeline, branch in rows(asks.BUILT_MOST, "builds"):
        known.branches.setdefault(pipeline, []).append(branch)
    known.groups = [group for (group,) in rows(asks.KNOWN_GROUPS, "job_details")][: asks.GROUPS]
    known.unclustered = len(rows(queues.UNCLUSTERED, "jobs"))
    known.of_jobs = next((share for (share,) in rows(OF_JOBS, "annotations", "errands")), None)


def state(connection: duckdb.DuckDBPyConnection, slug: str) -> dict[str, Any]:
    """The source's own state of one organization, as dlt keeps it in the file: {table: its state}."""
    from dlt.common.versioned_state import decompress_state

    sql = "SELECT state FROM _dlt_pipeline_state WHERE pipeline_name = ? ORDER BY version DESC, created_at DESC LIMIT 1"
    try:
        row = connection.execute(sql, [pipeline_name(slug)]).fetchone()
    except Exception as error:
        if type(error).__name__ != "CatalogException":
            raise
        row = None
    sources = decompress_state(row[0]).get("sources", {}) if row else {}
    kept: dict[str, Any] = sources.get("buildkite_ci", {}).get(slug, {})
    return kept


def done(target: Target, ids: Sequence[str]) -> pa.Table | None:
    """What has been asked for of these rows, as the table errands has it; None where that is not there."""
    if target.destination != "duckdb" or not target.database.exists():
        return None
    try:
        connection = opened(target.database, target.dataset)
    except DatabaseTrouble:
        return None
    with connection:
        if "errands" not in tables(connection):
            return None
        sql = "SELECT table_name, item_id, state, finished_at FROM errands WHERE item_id IN (SELECT unnest(?))"
        return connection.sql(sql, params=[list(ids)]).to_arrow_table()


def wanted(
    connection: duckdb.DuckDBPyConnection, todo: errands.List, done: str = NO_ERRANDS, newest: datetime | None = None
) -> Waiting:
    """What waits of a work list, by the connection's own tables builds and jobs; `done`: what has been asked for."""
    errand = todo.errand
    names = todo.columns
    most = todo.choice.at_most or errand.at_most
    sql, values = todo.query(", ".join(["count(*) OVER ()", *(f"o.{name}" for name in names)]))
    placed = sql.format(of=errand.of, errands=done, builds="builds").replace("%s", "?")
    if newest:
        placed = placed.replace("max(created_at)", f"max(TIMESTAMPTZ '{newest.isoformat()}')")
    found = connection.execute(f"{placed} ORDER BY {todo.order} LIMIT {most}", values).fetchall()
    return Waiting(found[0][0] if found else 0, [dict(zip(names, row[1:], strict=True)) for row in found[:most]])
