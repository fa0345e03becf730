"""The file's part of `find`: the row of one build or job, what other tables hold of it, and whether it is behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from buildkite_ci.catalog import catalog
from buildkite_ci.privacy import Privacy
from buildkite_ci.table import Ours, part
from buildkite_ci.times import instant, told

from . import known, status
from .holdings import STATE, Row, open_states

if TYPE_CHECKING:
    import duckdb

    from .find import Found, Wanted

BUILD = f"""
SELECT id, organization_slug AS organization, pipeline_slug AS pipeline, number, web_url AS url, {STATE} AS state,
    branch, "commit", message, coalesce(creator_name, author_name) AS creator, source,
    created_at, started_at, finished_at, last_seen_at, gone_at FROM builds
"""  # noqa: S608
IN_PLACE = """
WHERE organization_slug = ? AND pipeline_slug = ? AND number = ?
ORDER BY gone_at DESC NULLS FIRST, created_at DESC LIMIT 1
"""
"""Of several, as a pipeline's name may be given away, one that is still there."""
JOB = """
SELECT j.id, j.organization_slug AS organization, j.pipeline_slug AS pipeline, j.build_id, j.build_number AS number,
    j.web_url AS url, j.type, coalesce(j.name, j.label) AS name, j.step_key, j.state, j.exit_status, j.signal,
    j.signal_reason, j.soft_failed, j.retried, j.agent_name AS agent, j.queue_key AS queue, j.created_at, j.runnable_at,
    j.started_at, j.finished_at, j.last_seen_at, b.gone_at, b.web_url AS build_url
FROM jobs AS j LEFT JOIN builds AS b ON b.id = j.build_id WHERE j.id = ?
"""
JOBS = "SELECT coalesce(state, 'other'), count(*) AS n FROM jobs WHERE build_id = ? GROUP BY ALL ORDER BY n DESC, 1"


def read(connection: duckdb.DuckDBPyConnection, what: Wanted, found: Found) -> None:
    """Put what the file knows into `found`, and what to type where it is behind."""
    there = status.tables(connection)
    if {"builds", "jobs"} <= there.keys():
        for kind, look in (("build", _build), ("job", _job)):
            row = look(connection, what, found.id) if found.kind in ("", kind) else None
            if row is not None:
                found.kind, found.id, found.warehouse = kind, row["id"], row
                break
    _others(connection, there, found)
    if found.api and itself(found.warehouse):
        found.stale = _differs(found.api, found.warehouse or {})
    if found.api and found.stale is not False:
        found.next.append(_next(connection, found.api, there))


def itself(row: Row | None) -> bool:
    """Whether the build or job itself is in the file, and not only rows of other tables that tell of it."""
    return row is not None and "last_seen_at" in row


def spans(ready: datetime | None, started: datetime | None, finished: datetime | None, now: datetime | None) -> Row:
    """Seconds of waiting and of running (so far); null for what cannot be told, or would be negative (api.md 7.4)."""
    end = finished or now
    wait = (started - ready).total_seconds() if started and ready else None
    ran = (end - started).total_seconds() if end and started else None
    return {
        "wait_seconds": None if wait is None or wait < 0 else wait,
        "run_seconds": None if ran is None or ran < 0 else ran,
    }


def person(name: Any) -> str | None:
    """A name; where it is an e-mail, its domain only."""
    return (Privacy().email(str(name)) if "@" in str(name) else str(name)) if name else None


def _one(connection: duckdb.DuckDBPyConnection, sql: str, *values: Any) -> Row | None:
    cursor = connection.execute(sql, list(values))
    row = cursor.fetchone()
    return dict(zip([one[0] for one in cursor.description or ()], row, strict=True)) if row else None


def _build(connection: duckdb.DuckDBPyConnection, what: Wanted, one: str | None) -> Row | None:
    """By UUID, else by its place."""
    place = str(what.slug).split("/")
    row = _one(connection, f"{BUILD} WHERE id = ?", one) if one else _one(connection, BUILD + IN_PLACE, *place)
    if row is None:
        return None
    jobs = dict(connection.execute(JOBS, [row["id"]]).fetchall())
    times = spans(row["created_at"], row["started_at"], row["finished_at"], None)
    return row | times | {"creator": person(row["creator"]), "jobs": jobs}


def _job(connection: duckdb.DuckDBPyConnection, what: Wanted, one: str | None) -> Row | None:
    row = _one(connection, JOB, one)
    if row is None:
        return None
    names = {"build_id": "id", "organization": "organization", "pipeline": "pipeline", "number": "number"}
    build = {new: row.pop(name) for name, new in {**names, "build_url": "url"}.items()}
    return row | spans(row["runnable_at"], row["started_at"], row["finished_at"], None) | {"build": build}


def _others(connection: duckdb.DuckDBPyConnection, there: Mapping[str, list[str]], found: Found) -> None:
    """How many rows of each other table tell of it; of a UUID that is in neither builds nor jobs also what it is."""
    if not found.id:
        return
    if not found.kind and _count(connection, there, found.id, ("build_id",)):
        found.kind = "build"
    rows = _count(connection, there, found.id, ("id", f"{found.kind or 'job'}_id"), f"{found.kind}s")
    if rows or found.warehouse:
        found.kind, found.warehouse = found.kind or "job", (found.warehouse or {}) | {"rows": rows}


def _count(
    connection: duckdb.DuckDBPyConnection,
    there: Mapping[str, list[str]],
    one: str,
    columns: Iterable[str],
    without: str = "",
) -> dict[str, int]:
    """Rows by table where one of these columns holds this UUID; what the loader wrote for itself is left out."""
    found: dict[str, int] = {}
    for name, table in catalog().items():
        wheres = [f"{column} = $1" for column in columns if column in there.get(name, ())]
        if wheres and name != without and not isinstance(table.fetch, Ours):
            sql = f"SELECT count(*) AS n FROM {status.quoted(name)} WHERE {' OR '.join(wheres)}"  # noqa: S608
            count = (_one(connection, sql, one) or {"n": 0})["n"]
            found |= {name: count} if count else {}
    return found


def _differs(api: Row, here: Row) -> bool:
    """Whether the file says another state or end. Where GraphQL only says finished, or no time at all, any will do; it
    may tell no fractions of a second."""
    states = ("passed", "failed") if api["state"] == "finished" else (api["state"],)
    if here["state"] is not None and here["state"] not in states:
        return True
    if "finished_at" not in api:
        return False
    ends = api["finished_at"], here["finished_at"]
    return abs(ends[0] - ends[1]) >= timedelta(seconds=1) if all(ends) else any(ends)


def _next(connection: duckdb.DuckDBPyConnection, api: Row, there: Iterable[str]) -> str:
    """What to type, so that the file has it as it is. A load by itself reads what is newer than the file, what ended
    since the last one, and what is open here or there; anything else has to be named."""
    build = part(api, "build") or api
    kept = known.state(connection, str(build["organization"])).get("builds", {})
    covered = [(instant(begin), instant(end)) for begin, end in kept.get("covered", ())]
    created, ended = build["created_at"], build["finished_at"]
    if created is None or not covered:
        return "buildkite-elt load builds" + (f" --since {told(created)}" if created else "")
    row = _one(connection, f"{BUILD} WHERE id = ?", build["id"]) if "builds" in there else None
    is_open = {build["state"], (row or {}).get("state")} & {*open_states()}
    if created >= covered[-1][1] or (row and (ended >= instant(kept["swept"]) if ended else is_open)):
        return "buildkite-elt load"
    again = " --again" if any(begin <= created < end for begin, end in covered) else ""
    return f"buildkite-elt load builds{again} --since {told(created)}"
