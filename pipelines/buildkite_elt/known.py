"""What the DuckDB file tells of earlier loads, read-only: the state that dlt keeps in it, and what they came to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from buildkite_ci import errands
from buildkite_ci.catalog import catalog
from buildkite_ci.choice import Choice
from buildkite_ci.table import Errand

from .database import DatabaseTrouble
from .status import opened, tables
from .warehouse import pipeline_name

if TYPE_CHECKING:
    import duckdb

    from .warehouse import Target


@dataclass
class Known:
    """What the file tells: the state of the listing that is read in windows, and what earlier loads came to."""

    kept: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    size: dict[str, float] = field(default_factory=dict)
    """Bytes of a row, by family."""
    jobs: float | None = None
    """Jobs of a build."""
    waiting: dict[str, int] = field(default_factory=dict)
    """Rows of each work list that wait."""


def read(target: Target, slug: str, since: datetime, choices: Mapping[str, Choice]) -> Known:
    """What the file knows; nothing where there is none yet, or where rows go to another destination."""
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
        known = Known(state(connection, slug).get("builds", {}))
        if {"api_usage", "sync_runs"} <= there.keys():
            last = "run_id = (SELECT max_by(run_id, finished_at) FROM sync_runs WHERE table_name = s.table_name)"
            sql = f"SELECT table_name, rows FROM sync_runs AS s WHERE organization_slug = ? AND {last}"  # noqa: S608
            known.rows = dict(connection.execute(sql, [slug]).fetchall())
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
            known.waiting = dict(_waiting(connection, slug, since, choices, "errands" in there))
    return known


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


def _waiting(
    connection: duckdb.DuckDBPyConnection, slug: str, since: datetime, choices: Mapping[str, Choice], begun: bool
) -> Iterator[tuple[str, int]]:
    done = "errands" if begun else "(SELECT NULL AS table_name, NULL AS item_id, NULL AS state, NULL AS finished_at)"
    for name, table in catalog().items():
        if isinstance(table.fetch, Errand):
            todo = errands.List(table, table.fetch, slug, since, choices.get(name, Choice()))
            sql, values = todo.query("count(*)")
            placed = sql.format(of=table.fetch.of, errands=done, builds="builds").replace("%s", "?")
            row = connection.execute(placed, values).fetchone()
            yield name, row[0] if row else 0
