"""How long `logs search` takes in seven million lines, and how large they are in the file; made by SQL, no network.

    python -m bench.log_search               # some two minutes

Seconds by the clock, from opening the file until the last hit is read, without Python's start (told by itself): the
median of the runs, the least and the most; and of the processor. Lines are 82 characters long, of words, numbers and
hashes that vary; a tenth of the jobs has a log.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

from buildkite_ci.catalog import catalog
from buildkite_elt import database, status
from buildkite_elt.log_search import Query, search

LINES, OF_A_LOG, JOBS_OF_A_LOG = 7_000_000, 1_000, 10
WORDS = (
    "alpha cache config worker session handler registry loader parser builder scheduler queue client server storage "
    "index merge filter token buffer stream socket request response header cookie"
)
JOB_ID = (
    "printf('%08x-%04x-7%03x-8%03x-%012x', 432000000 + {n}, hash({n}) % 65536, (hash({n}) >> 20) % 4096, "
    "(hash({n}) >> 32) % 4096, hash({n}) % 281474976710655)"
)
"""As Buildkite's: they begin with the moment. `n` counts jobs; every tenth has a log."""
BUILDS = """
INSERT INTO builds BY NAME SELECT 'b' || b AS id, 'acme' AS organization_slug, 'pipeline-' || b % 50 AS pipeline_slug,
    b AS number, 'main' AS branch, 'failed' AS state, now() - INTERVAL 29 DAY + b * INTERVAL 5 MINUTE AS created_at
FROM range($jobs // 10) AS r(b)
"""
JOBS = f"""
INSERT INTO jobs BY NAME SELECT {JOB_ID.format(n="n")} AS id, 'acme' AS organization_slug,
    'pipeline-' || (n // 10) % 50 AS pipeline_slug, 'b' || n // 10 AS build_id, n // 10 AS build_number,
    'script' AS type, 'Test' AS name, 'test' AS step_key, CASE WHEN n % 10 = 0 THEN 'failed' ELSE 'passed' END AS state,
    now() AS created_at, now() AS started_at, now() AS finished_at
FROM range($jobs) AS r(n)
"""  # noqa: S608
LOGS = f"""
INSERT INTO job_logs BY NAME SELECT {JOB_ID.format(n="n")} AS job_id, 'acme' AS organization_slug, FALSE AS gone,
    FALSE AS truncated, {OF_A_LOG} AS lines FROM range(0, $jobs, {JOBS_OF_A_LOG}) AS r(n)
"""  # noqa: S608
TEXT = """
CASE i % 4
WHEN 0 THEN printf('src/%s/%s_%s.py:%d: %s %s took %d ms', w(h, 0), w(h, 8), w(h, 16), h % 2000, w(h, 24), w(h, 32),
    (h >> 12) % 100000)
WHEN 1 THEN printf('ok   test_%s_%s_%s (%x) ... passed in %d.%03d s', w(h, 0), w(h, 8), w(h, 16), h, (h >> 7) % 100,
    (h >> 9) % 1000)
WHEN 2 THEN printf('Downloading %s-%s-%d.%d.%d.tar.gz sha256:%016x%016x%016x', w(h, 0), w(h, 8), h % 10, (h >> 3) % 20,
    (h >> 5) % 30, h, hash(i + 1), hash(i + 2))
ELSE printf('[%d/1000] %s: the %s of the %s waits for %s, then goes on with %s number %d', i % 1000, w(h, 0), w(h, 8),
    w(h, 16), w(h, 24), w(h, 32), (h >> 22) % 10000) END
|| CASE WHEN i % 70001 = 5 THEN ' Connection reset by peer' ELSE '' END
"""
WORD = f"CREATE TEMP MACRO w(h, n) AS (string_split('{WORDS}', ' '))[((h >> n) % 26 + 1)::INTEGER]"
MADE = f"""
INSERT INTO job_log_lines BY NAME SELECT {JOB_ID.format(n=f"(i // {OF_A_LOG} * {JOBS_OF_A_LOG})")} AS job_id,
    'acme' AS organization_slug, i % {OF_A_LOG} + 1 AS line, now() - INTERVAL 29 DAY + i * INTERVAL 37 MILLISECOND
    AS at,
    i % {OF_A_LOG} // 100 + 1 AS group_number, {TEXT} AS text, CASE WHEN i % 70001 = 5 THEN 256 ELSE 0 END AS flags,
    h % 200 AS bytes
FROM (SELECT i, hash(i) AS h FROM range($lines) AS r(i))
"""  # noqa: S608
REGEX = Query("connection (reset|refused|timed out)", regex=True, ignore_case=True)
ASKED: dict[str, tuple[Query, float | None]] = {
    "literal, 100 hits": (Query("Connection reset"), 1),
    "literal, 1,750,000 hits": (Query("waits for"), None),
    "literal, ignoring case": (Query("connection RESET", ignore_case=True), None),
    "regex, ignoring case": (REGEX, 3),
    "the same, one pipeline of 50": (replace(REGEX, pipelines=("pipeline-10",)), None),
    "errors only": (Query("", errors=True), None),
}
"""What is looked for, and how many seconds it may take."""


def make(file: Path, lines: int) -> None:
    """The file as a load makes it, with so many lines."""
    database.prepare(file)
    with database.connect(file, read_only=False) as connection:
        connection.execute("CREATE SCHEMA ci")
        connection.execute("SET schema = 'ci'")
        for name in ("builds", "jobs", "job_logs", "job_log_lines", "job_log_groups", "job_log_matches"):
            connection.register("empty", catalog()[name].schema().empty_table())
            connection.execute(f'CREATE TABLE "{name}" AS FROM empty')
        connection.execute(WORD)
        jobs = lines // OF_A_LOG * JOBS_OF_A_LOG
        for sql in (BUILDS, JOBS, LOGS):
            connection.execute(sql, {"jobs": jobs})
        connection.execute(MADE, {"lines": lines})


def stored(file: Path) -> tuple[float, float, str]:
    """Megabytes of the file and of the lines' texts, and how DuckDB packs these."""
    with status.opened(file, "ci") as connection:
        chars = connection.execute("SELECT sum(strlen(text)) FROM job_log_lines").fetchone() or (0,)
        sql = (
            "SELECT string_agg(DISTINCT compression, ', ') FROM pragma_storage_info('job_log_lines') "
            "WHERE column_name = 'text' AND segment_type = 'VARCHAR'"
        )
        how = connection.execute(sql).fetchone() or ("",)
    return file.stat().st_size / 1e6, chars[0] / 1e6, str(how[0])


def once(file: Path, query: Query) -> int:
    """All of a search; how many lines it showed."""
    with status.opened(file, "ci") as connection:
        found = search(connection, query)
        found.jobs()
        return sum(1 for _ in found.lines())


def timed(work: Callable[[], object], runs: int) -> tuple[list[float], list[float]]:
    """Seconds by the clock and of the processor, of this process and those that it starts."""
    clock, cpu = [], []
    for _ in range(runs):
        began, used = time.perf_counter(), _cpu()
        work()
        clock.append(time.perf_counter() - began)
        cpu.append(_cpu() - used)
    return clock, cpu


def _cpu() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


def tell(name: str, clock: list[float], cpu: list[float], most: float | None = None) -> None:
    met = "" if most is None else f"   at most {most:g} s: {'met' if median(clock) <= most else 'NOT MET'}"
    line = (
        f"{name:<28} {median(clock):>6.2f} s ({min(clock):.2f} to {max(clock):.2f}), of processors {median(cpu):.2f} s"
    )
    sys.stdout.write(line + met + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--lines", type=int, default=LINES)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "logs.duckdb"
        make(file, given.lines)
        size, texts, how = stored(file)
        load = f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
        sys.stdout.write(f"{given.lines:,} lines, {texts:,.0f} MB of text, a file of {size:,.0f} MB ({how}); {load}\n")
        for name, (query, most) in ASKED.items():
            tell(name, *timed(lambda query=query: once(file, query), given.runs), most)  # type: ignore[misc]
        program = str(Path(sys.executable).with_name("buildkite-elt"))
        command = [program, "logs", "search", "Connection reset", "--json", "-d", str(file)]
        told = timed(lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True), given.runs)  # noqa: S603
        tell("the command, its start too", *told)


if __name__ == "__main__":
    main()
