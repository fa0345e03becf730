"""Tables of a large organization as Parquet, a file for each day of a table: TABLE/_day=2026-09-01/0.parquet.

DuckDB makes the rows from small choices, each by a hash of what it is for, so that they are the same every time.
Moments are whole milliseconds, as Buildkite tells them: of microseconds DuckDB's epoch rounds the last bit otherwise.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from buildkite_ci.catalog import catalog
from buildkite_elt import views

DAYS = 60
STEPS = 19
"""Steps of each build; with the attempts after the first, twenty jobs."""

MACROS = """
CREATE MACRO u(b, s, a, what) AS (hash(b, s, a, what) % 1000000) / 1e6;
CREATE MACRO id(b, s, a, what) AS CAST(CAST(md5(concat_ws('-', b, s, a, what)) AS UUID) AS VARCHAR);
CREATE MACRO seconds(x) AS to_milliseconds(CAST(x * 1e3 AS BIGINT));
"""

BUILDS = """
SELECT
    id(b, 0, 0, 'build') AS id, 'acme' AS organization_slug,
    'pipeline-' || (b % 40) AS pipeline_slug, 'p-' || (b % 40) AS pipeline_id, b // 40 + 1 AS number,
    CASE WHEN u(b, 0, 0, 'state') < 0.72 THEN 'passed' WHEN u(b, 0, 0, 'state') < 0.94 THEN 'failed'
        ELSE 'canceled' END AS state,
    FALSE AS blocked, md5(CAST(b AS VARCHAR)) AS commit,
    CASE WHEN u(b, 0, 0, 'branch') < 0.4 THEN 'main' ELSE 'feature-' || (hash(b, 'branch') % 500) END AS branch,
    'webhook' AS source, 'creator ' || (hash(b, 'creator') % 300) AS creator_name,
    'creator-' || (hash(b, 'creator') % 300) AS creator_id,
    CASE WHEN b % 3 > 0 THEN 'author ' || (hash(b, 'author') % 300) END AS author_name,
    CASE WHEN u(b, 0, 0, 'branch') >= 0.4 THEN CAST(hash(b, 'pull') % 9000 AS VARCHAR) END AS pull_request_id,
    $began + seconds((b - $first) * 86400.0 / $builds + u(b, 0, 0, 'created')) AS created_at,
    $began + seconds(86400) AS last_seen_at,
    $began AS first_seen_at, 'https://buildkite.com/acme/' || b AS web_url
FROM range($first, $first + $builds) AS t (b)
"""

JOBS = """
WITH tried AS (
    SELECT b, s, a, least(s // 5, 3) AS stage
    FROM range($first, $first + $builds) AS t (b), range({steps}) AS x (s), range(3) AS y (a)
    WHERE a = 0 OR (u(b, s, 1, 'retry') < 0.042 AND (a = 1 OR u(b, s, 2, 'retry') < 0.25))
),
timed AS (
    SELECT *,
        $began + seconds((b - $first) * 86400.0 / $builds + u(b, 0, 0, 'created') + 1 + a * 1500) AS created_at,
        stage * 300 + u(b, s, a, 'ready') * 20 AS ready,
        CASE WHEN u(b, s, a, 'wait') < 0.05 THEN 600 ELSE 30 END * u(b, s, a, 'waited') AS wait,
        (30 + 13 * s + (b % 40)) * (0.8 + 0.4 * u(b, s, a, 'run'))
            * CASE WHEN $day >= {days} - 7 AND (b % 40 + s) % 11 = 0 THEN 1.5 ELSE 1 END AS run,
        u(b, s, a + 1, 'retry') < CASE a WHEN 0 THEN 0.042 WHEN 1 THEN 0.25 ELSE 0 END AS retried,
        u(b, s, a, 'state') AS dice
    FROM tried
)
SELECT
    id(b, s, a, 'job') AS id, 'acme' AS organization_slug, id(b, 0, 0, 'build') AS build_id,
    'pipeline-' || (b % 40) AS pipeline_slug, 'p-' || (b % 40) AS pipeline_id, b // 40 + 1 AS build_number,
    'script' AS type, 'step ' || s AS name, CASE WHEN s % 2 = 0 THEN 'step-' || s END AS step_key,
    'cluster-' || (s % 2) AS cluster_id, CASE WHEN s % 3 > 0 THEN 'queue-' || (s % 6) END AS cluster_queue_id,
    'key-' || (s % 6) AS queue_key,
    CASE WHEN retried OR dice < 0.01 THEN CASE WHEN dice * 10 % 1 < 0.1 THEN 'timed_out' ELSE 'failed' END
        ELSE 'passed' END AS state,
    CASE WHEN retried OR dice < 0.01
        THEN CASE hash(b, s, a, 'exit') % 5 WHEN 0 THEN -1 WHEN 1 THEN 137 WHEN 2 THEN 126 ELSE 1 END
        ELSE 0 END AS exit_status,
    CASE WHEN retried AND hash(b, s, a, 'exit') % 5 = 0 THEN 'agent_stop' END AS signal_reason,
    dice < 0.001 AS soft_failed, retried,
    CASE WHEN retried THEN id(b, s, a + 1, 'job') END AS retried_in_job_id, a AS retries_count,
    CASE WHEN a + CAST(retried AS INTEGER) > 0 THEN CASE WHEN s % 4 = 0 THEN 'manual' ELSE 'automatic' END END
        AS retry_type,
    created_at, created_at + seconds(ready) AS runnable_at,
    created_at + seconds(ready) + seconds(wait) AS started_at,
    created_at + seconds(ready) + seconds(wait) + seconds(run) AS finished_at,
    'agent-' || (hash(b, s, a, 'agent') % 400) AS agent_id, 'host-' || (hash(b, s, a, 'agent') % 100) AS agent_hostname,
    'https://buildkite.com/acme/' || b || '#' || s AS web_url
FROM timed
"""

LOGS = """
SELECT
    id AS job_id, organization_slug, pipeline_id, pipeline_slug, build_id, $lines AS lines, started_at AS first_at,
    finished_at AS last_at,
    CASE WHEN state <> 'passed' THEN ['memory', 'network', 'test', 'git', NULL][1 + CAST(hash(id) % 5 AS BIGINT)] END
        AS error_class,
    CASE WHEN state <> 'passed' THEN 'error: exit status ' || exit_status END AS error_text
FROM jobs
"""

LINES = """
SELECT
    id AS job_id, organization_slug, i + 1 AS line,
    started_at + to_seconds(i) AS "at", 0 AS group_number,
    CASE WHEN hash(id, i) % 5000 = 0 THEN 'read tcp: connection reset by peer'
        ELSE ['ok   package/', 'Downloading layer ', '=== RUN test_', 'warning: unused value ', '--- PASS: test_',
            'Compiling crate ', 'npm http fetch GET 200 ', 'PASS src/page_'][1 + CAST(hash(id, i) % 8 AS BIGINT)]
            || (hash(id, i, 'n') % 1000) END AS text,
    0 AS flags, 40 AS bytes
FROM jobs, range($lines) AS t (i)
"""

LOADS = """
SELECT
    'run-' || $day || '-' || h AS run_id, 'acme' AS organization_slug, name AS table_name,
    CASE WHEN hash($day, h, name) % 50 = 0 THEN 'failed' ELSE 'loaded' END AS outcome,
    hash($day, h, name) % 9999 AS rows, $began + seconds(h * 3600.0) AS started_at,
    $began + seconds(h * 3600.0 + 60 + hash($day, h, name) % 600) AS finished_at
FROM range(24) AS t (h), (VALUES ('builds'), ('jobs'), ('agents'), ('job_logs')) AS n (name)
"""

USAGE = """
SELECT
    'run-' || $day || '-' || h AS run_id, 'acme' AS organization_slug, api, name AS table_name,
    hash($day, h, name) % 300 AS requests, CASE api WHEN 'graphql' THEN hash($day, h, name) % 5000 END AS points,
    hash($day, h, name) % 90000000 AS bytes, hash($day, h, name) % 3 AS refused,
    (hash($day, h, name) % 100000) / 1000.0 AS waited_seconds, $began AS observed_at
FROM range(24) AS t (h), (VALUES ('rest', 'builds'), ('graphql', 'jobs'), ('rest', 'job_logs')) AS n (api, name)
"""

QUEUES = """
SELECT 'queue-' || i AS id, 'acme' AS organization_slug, 'cluster-' || (i % 2) AS cluster_id,
    CASE WHEN old THEN 'old' ELSE 'queue' END || '-' || i AS key, TIMESTAMPTZ '2026-01-01 00:00:00Z' AS _dlt_valid_from,
    CASE WHEN old THEN TIMESTAMPTZ '2026-02-01 00:00:00Z' END AS _dlt_valid_to
FROM range(6) AS t (i), (VALUES (TRUE), (FALSE)) AS o (old)
"""

PRICES = "SELECT 'queue-' || i AS queue_key, 0.07 * (i + 1) AS usd_per_hour FROM range(4) AS t (i)"


@dataclass(frozen=True)
class Made:
    """rows by table; bytes of all files by table."""

    rows: dict[str, int]
    bytes: dict[str, int]


def make(connection: duckdb.DuckDBPyConnection, folder: Path, jobs: int, lines: int) -> Made:
    """About so many jobs, each with so many lines of log. folder: emptied first, unless an earlier call made it."""
    done = folder.with_name("made.json")
    if done.exists():
        return Made(**json.loads(done.read_text(encoding="utf-8")))
    shutil.rmtree(folder, ignore_errors=True)
    connection.execute(f"SET TimeZone = 'UTC'; {MACROS}")
    builds = max(40, -(-jobs // (20 * DAYS)))
    for day in range(DAYS):
        _day(connection, folder, day, builds, lines)
    _file(connection, folder / "cluster_queues", "cluster_queues", QUEUES)
    views_of = ", ".join(f"{name!r}: 'VARCHAR'" for name in views.DATA["failure_rules"][1])
    rules = f"SELECT * REPLACE (CAST(rank AS BIGINT) AS rank) FROM read_csv(?, columns = {{{views_of}}}, header = TRUE)"  # noqa: S608
    connection.execute("CREATE OR REPLACE TEMP TABLE rules AS " + rules, [str(views.FOLDER / "rules.csv")])
    _file(connection, folder / "failure_rules", "", "FROM rules")
    _file(connection, folder / "price_list", "", PRICES)
    connection.execute("DROP TABLE temp.jobs; DROP TABLE temp.rules")  # the views are to read the files
    names = sorted(path.name for path in folder.iterdir())
    made = Made(
        {name: count(connection, f"read_parquet('{folder}/{name}/**/*.parquet')") for name in names},
        {name: sum(file.stat().st_size for file in (folder / name).rglob("*.parquet")) for name in names},
    )
    done.write_text(json.dumps(asdict(made)), encoding="utf-8")
    return made


def count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    (found,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)  # noqa: S608 - names of ours
    return int(found)


def _day(connection: duckdb.DuckDBPyConnection, folder: Path, day: int, builds: int, lines: int) -> None:
    began = f"(TIMESTAMPTZ '2026-09-01 00:00:00Z' + to_days({day}))"
    (name,) = connection.execute(f"SELECT strftime({began}, '%Y-%m-%d')").fetchone() or ("",)
    values = {"$began": began, "$builds": builds, "$first": day * builds, "$day": day, "$lines": lines}

    def said(query: str) -> str:
        for word, value in values.items():
            query = query.replace(word, str(value))
        return query

    tables = {"builds": BUILDS, "sync_runs": LOADS, "api_usage": USAGE}
    connection.execute("CREATE OR REPLACE TEMP TABLE jobs AS " + said(JOBS.format(steps=STEPS, days=DAYS)))
    tables |= {"jobs": "FROM jobs", "job_logs": LOGS, "job_log_lines": LINES}
    for table, query in tables.items():
        _file(connection, folder / table / f"_day={name}", table, said(query))


def _file(connection: duckdb.DuckDBPyConnection, folder: Path, table: str, query: str) -> None:
    """One file, with all columns of the catalogue's table, and their types."""
    folder.mkdir(parents=True)
    if table:
        declared = {column.name: views.KINDS.get(column.type, "VARCHAR") for column in catalog()[table].all_columns}
        made = {row[0] for row in connection.execute(f"DESCRIBE {query}").fetchall()}
        assert made <= {*declared, "_dlt_valid_from", "_dlt_valid_to"}, made - {*declared}
        kept = [f'CAST({name!r} AS {kind}) AS "{name}"'.replace(repr(name), f'"{name}"' if name in made else "NULL")
                for name, kind in declared.items()]  # fmt: skip
        kept += [name for name in ("_dlt_valid_from", "_dlt_valid_to") if name in made]
        query = f"SELECT {', '.join(kept)} FROM ({query})"  # noqa: S608
    connection.execute(f"COPY ({query}) TO '{folder}/0.parquet' (FORMAT parquet, COMPRESSION zstd)")
