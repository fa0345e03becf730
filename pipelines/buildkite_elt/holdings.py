"""What the file holds of one organization's builds and jobs, in SQL: for `verify`, which compares it with the API."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from buildkite_ci.catalog import catalog
from buildkite_ci.table import Rest

from . import status

if TYPE_CHECKING:
    import duckdb

Row = dict[str, Any]

STATE = "CASE WHEN blocked THEN 'blocked' ELSE state END"
"""A blocked build counts as blocked, as the filters of both APIs see it (api.md 4.3)."""
ENDED = ["passed", "failed", "timed_out", "canceled", "expired", "skipped", "broken"]
ENDED += ["unblocked", "waiting_failed", "blocked_failed", "unblocked_failed"]
"""States of a job that has ended (api.md 7.5)."""
GHOST = "30 minutes"
COLUMNS = "id, pipeline_id, pipeline_slug, number, created_at, finished_at, " + STATE + " AS state"


def open_states() -> tuple[str, ...]:
    fetch = catalog()["builds"].fetch
    return fetch.since.open if isinstance(fetch, Rest) and fetch.since else ()


@dataclass
class Holdings:
    """Builds created in [begin, end) that are not marked as gone, unless a method says otherwise."""

    connection: duckdb.DuckDBPyConnection
    organization: str
    begin: datetime
    end: datetime

    def rows(self, sql: str, *values: Any) -> list[Row]:
        cursor = self.connection.execute(sql, list(values))
        names = [one[0] for one in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _mine(self, sql: str, *values: Any) -> list[Row]:
        where = "organization_slug = ? AND created_at >= ? AND created_at < ? AND gone_at IS NULL"
        return self.rows(sql.replace("MINE", where), self.organization, self.begin, self.end, *values)

    def counts(self) -> dict[tuple[str, str], int]:
        """(pipeline, state) -> builds."""
        sql = f"SELECT pipeline_id, {STATE} AS state, count(DISTINCT id) AS n FROM builds WHERE MINE GROUP BY ALL"  # noqa: S608
        return {(row["pipeline_id"] or "", row["state"]): row["n"] for row in self._mine(sql)}

    def builds(self, pipeline: str = "") -> dict[str, Row]:
        """The builds of one pipeline, or of all, by id."""
        also, values = (" AND pipeline_id = ?", (pipeline,)) if pipeline else ("", ())
        return {row["id"]: row for row in self._mine(f"SELECT {COLUMNS} FROM builds WHERE MINE{also}", *values)}  # noqa: S608

    def these(self, ids: Iterable[str]) -> dict[str, Row]:
        """Builds by id, whenever they were created."""
        sql = f"SELECT {COLUMNS} FROM builds WHERE organization_slug = ? AND list_contains(?, id)"  # noqa: S608
        return {row["id"]: row for row in self.rows(sql, self.organization, list(ids))}

    def open(self) -> dict[str, Row]:
        sql = f"SELECT {COLUMNS} FROM builds WHERE MINE AND list_contains(?, {STATE})"  # noqa: S608
        return {row["id"]: row for row in self._mine(sql, list(open_states()))}

    def some(self, count: int) -> dict[str, Row]:
        """Builds drawn by lot."""
        sql = f"SELECT {COLUMNS} FROM builds WHERE MINE ORDER BY random() LIMIT {int(count)}"  # noqa: S608
        return {row["id"]: row for row in self._mine(sql)}

    def whole(self, build: str) -> tuple[Row, dict[str, Row]]:
        """Every column of a build and of its jobs."""
        (one, *_) = self.rows("SELECT * FROM builds WHERE id = ?", build)
        return one, {job["id"]: job for job in self.rows("SELECT * FROM jobs WHERE build_id = ?", build)}

    def ghosts(self) -> dict[str, Row]:
        """Builds that were open when they were last read, though all their jobs had ended half an hour before."""
        sql = f"""
            SELECT {COLUMNS} FROM builds AS b WHERE MINE AND NOT blocked AND list_contains(?, state)
              AND last_seen_at - INTERVAL '{GHOST}' > (
                SELECT CASE WHEN bool_and(list_contains(?, j.state)) THEN max(j.finished_at) END
                FROM jobs AS j WHERE j.build_id = b.id)"""  # noqa: S608
        return {row["id"]: row for row in self._mine(sql, list(open_states()), ENDED)}

    def orphans(self) -> list[Row]:
        """Jobs whose build is not here: id, build_id, created_at."""
        sql = "SELECT id, build_id, created_at FROM jobs AS j WHERE organization_slug = ? AND NOT EXISTS"
        return self.rows(f"{sql} (FROM builds WHERE id = j.build_id)", self.organization)

    def doubled(self) -> list[Row]:
        """What stands here twice, as what and when it was created: ids of builds and of jobs, numbers of builds."""
        return self.rows(
            "SELECT 'build ' || id AS what, min(created_at) AS created_at FROM builds WHERE organization_slug = $1 "
            "GROUP BY id HAVING count(*) > 1 UNION ALL "
            "SELECT 'number ' || any_value(pipeline_slug) || ' ' || number, min(created_at) FROM builds "
            "WHERE organization_slug = $1 AND pipeline_id IS NOT NULL GROUP BY pipeline_id, number "
            "HAVING count(DISTINCT id) > 1 UNION ALL "
            "SELECT 'job ' || id, (SELECT min(created_at) FROM builds WHERE id = any_value(j.build_id)) "
            "FROM jobs AS j WHERE organization_slug = $1 GROUP BY id HAVING count(*) > 1",
            self.organization,
        )

    def gaps(self, spans: Sequence[tuple[datetime, datetime]]) -> list[tuple[str, int]]:
        """Numbers that are missing among the builds of a pipeline, newest first, without those known to be deleted."""
        sql = """
            WITH n AS (SELECT pipeline_id, number, lead(number) OVER (PARTITION BY pipeline_id ORDER BY number) AS next
                FROM (SELECT DISTINCT pipeline_id, number, created_at FROM builds WHERE organization_slug = ?
                    AND created_at >= ? AND created_at < ? AND pipeline_id IS NOT NULL AND number IS NOT NULL))
            SELECT pipeline_id, unnest(range(number + 1, least(next, number + 100001))) AS number FROM n
            WHERE next > number + 1 ORDER BY number DESC"""
        found = [self.rows(sql, self.organization, max(b, self.begin), min(e, self.end)) for b, e in spans]
        known: set[tuple[str, int]] = set()
        if "build_gaps" in status.tables(self.connection):
            sql = "SELECT pipeline_id, number FROM build_gaps WHERE NOT found"
            known = {(row["pipeline_id"], row["number"]) for row in self.rows(sql)}
        every = ((row["pipeline_id"], row["number"]) for rows in found for row in rows)
        return [one for one in every if one not in known]
