"""A DuckDB file with builds, jobs and their logs as a load leaves them, made without one; and the command on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from typer.testing import CliRunner, Result

from buildkite_ci.catalog import catalog
from buildkite_elt.cli import app

Row = dict[str, Any]

NOW = datetime.now(UTC).replace(microsecond=0)
TABLES = ("builds", "jobs", "job_logs", "job_log_lines", "job_log_groups", "job_log_matches")
HEADER, OVERWRITTEN, ERROR = 1, 16, 256


def uuid(number: int) -> str:
    return f"0199a1b2-0000-4000-8000-{number:012d}"


def moment(days: float, seconds: float = 0) -> str:
    """So many days ago, and so many seconds later."""
    return (NOW - timedelta(days=days) + timedelta(seconds=seconds)).isoformat()


def job(number: int, name: str | None, key: str | None, state: str, days: float, **more: Any) -> Row:
    times = {"created_at": moment(days), "started_at": moment(days, 5), "finished_at": moment(days, 65)}
    return {"id": uuid(number), "type": "script", "name": name, "step_key": key, "state": state, **times, **more}


def build(number: int, pipeline: str, branch: str, days: float, jobs: Iterable[Row], **more: Any) -> Row:
    return {
        "id": uuid(1000 + number),
        "number": number,
        "branch": branch,
        "state": "failed",
        "created_at": moment(days),
        "web_url": f"https://buildkite.com/acme/{pipeline}/builds/{number}",
        "pipeline": {"id": uuid(2000), "slug": pipeline},
        "jobs": list(jobs),
        **more,
    }


def log(number: int, lines: Iterable[str | tuple[str, int]], days: float, **more: Any) -> dict[str, list[Row]]:
    """The rows of one log, table by table: a line of it or (line, flags), a second and a half apart; `truncated`
    numbers them from the end."""
    told = [(one, 0) if isinstance(one, str) else one for one in lines]
    first = -len(told) if more.get("truncated") else 1
    rows, groups, matches = list[Row](), list[Row](), list[Row]()
    for n, (text, flags) in enumerate(told):
        line, at = first + n, moment(days, 10 + 1.5 * n)
        if flags & HEADER:
            groups.append({"number": len(groups) + 1, "marker": text[:3], "name": text[4:], "first_line": line})
            groups[-1] |= {"started_at": at, "duration_ms": 12_300, "lines": 1, "last_line": line}
        at_group = groups[-1]["number"] if groups else None
        rows.append({"line": line, "at": at, "group_number": at_group, "text": text, "flags": flags, "bytes": 9})
        if flags & ERROR:
            matches.append({"line": line, "at": at, "signature": "told", "class": "test", "weight": 1.0, "text": text})
    size = sum(len(one["text"]) for one in rows)
    about: Row = {"bytes": size, "read_bytes": size, "lines": len(rows), "error_lines": len(matches), "gone": False}
    about |= {"truncated": False, "first_at": moment(days, 10) if rows else None, "fetched_at": moment(0)}
    tables = {
        "job_logs": [about | more],
        "job_log_lines": rows,
        "job_log_groups": groups,
        "job_log_matches": matches,
    }
    return {name: [{"job_id": uuid(number), **row} for row in found] for name, found in tables.items()}


def gone(number: int) -> dict[str, list[Row]]:
    return {"job_logs": [{"job_id": uuid(number), "gone": True, "truncated": False, "fetched_at": moment(0)}]}


def make(
    file: Path, builds: Iterable[Row] = (), logs: Iterable[Mapping[str, list[Row]]] = (), tables: Iterable[str] = TABLES
) -> Path:
    """The file with these tables, each read as a load reads it."""
    given, builds, logs = {"organization_slug": "acme"}, list(builds), list(logs)
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE SCHEMA ci")
        connection.execute("SET schema = 'ci'")
        for name in tables:
            items = builds if name in ("builds", "jobs") else [row for one in logs for row in one.get(name, ())]
            rows = catalog()[name].read(items, given)
            connection.register("made", rows)
            connection.execute(f'CREATE TABLE "{name}" AS FROM made')
            connection.unregister("made")
    return file


# A world of two pipelines

BELLS = "\x1b[31mred\x1b[0m \x07 \u202eevil\u202c \x9b2J\x01mark\x02 tab\there"
TEST, LINT, GONE, TAIL, FLAKE, OLD, ODD, OTHER, WAIT, RUNS, NEVER = map(uuid, range(1, 12))
BUILDS = [
    build(
        2,
        "web",
        "main",
        1,
        [
            job(1, ":rspec: Test", "test", "failed", 1, step={"id": uuid(3001)}, retries_count=1),
            job(5, ":rspec: Test", "test", "failed", 1.01, step={"id": uuid(3001)}, retried=True),
            job(2, "Lint", "lint", "passed", 1),
            job(3, "Deploy", None, "failed", 1),
            job(9, None, "wait", "finished", 1, type="waiter", started_at=None),
            job(10, "Slow", "slow", "running", 1, finished_at=None),
            job(11, "Never", "never", "expired", 1, started_at=None),
        ],
    ),
    build(1, "web", "fix/x", 3, [job(4, "Build", "build", "failed", 3, soft_failed=True)]),
    build(7, "api", "main", 5, [job(7, "Odd\x1b]0;evil\x07", "odd", "passed", 5, web_url="https://example.com/odd")]),
    build(8, "api", "main", 6, [job(8, "Other", "other", "canceled", 6)]),
    build(3, "web", "main", 40, [job(6, "Old", "test", "failed", 40)]),
]
LOGS = [
    log(
        1,
        [
            ("--- Setup", HEADER),
            "installing 100%_done",
            "installing 100 xdone",
            "nothing here",
            ("+++ Test", HEADER),
            "one",
            ("E   Connection reset by peer", ERROR),
            "two",
            "three",
            ("50% of it", OVERWRITTEN),
            "four",
            "five",
            "connection RESET again",
        ],
        1,
    ),
    log(5, ["first attempt", "Connection reset by peer"], 1.01),
    log(
        4,
        ["c", "Connection lost", "b", ("a Connection reset", ERROR)],
        3,
        truncated=True,
        bytes=9_000,
        read_bytes=4_000,
    ),
    log(7, [BELLS, r"C:\new\tab", "ÄRGER mit Grüßen 日本語 🚨", "x" * 1_000 + "needle" + "y" * 1_000], 5),
    log(8, [], 6),
    log(6, ["Connection reset in the past"], 40),
    gone(3),
]


def run(file: Path, command: str, *words: object) -> Result:
    """`buildkite-elt logs` on the file, in this process."""
    return CliRunner().invoke(app, ["logs", command, "--database", str(file), *map(str, words)])
