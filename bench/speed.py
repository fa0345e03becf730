"""From response bytes to rows in DuckDB, as Markdown: `python -m bench.speed [--jobs N] [--runs N]`.

The stand-in's answers are kept (replay.py), so that each load reads the same bytes over HTTP and nobody waits for them
to be made. Each load is a process of its own; its imports are not measured. Against it: the same bytes by msgspec and
by DuckDB's JSON reader straight into a table, without keys or state; and dlt as its docs write it, with dicts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from buildkite_elt.standin import Budgets, Standin
from buildkite_elt.standin.answer import iso
from buildkite_elt.standin.demo import empty
from buildkite_elt.standin.life import Life

from .logs import Figure
from .replay import Replay
from .told import machine, row

PLENTY = Budgets(rest=10**9, rest_user=10**9)
JOBS = 50
"""Jobs of a build."""
PEAK = """
import json, os, resource, sys, time
from datetime import UTC, datetime
from pathlib import Path
def peak():
    told = Path("/proc/self/status").read_text()
    return int(told.split("VmHWM:")[1].split()[0]) >> 10
def told(rows, began, used):
    now = os.times()
    spent = now.user + now.system - used.user - used.system
    print(json.dumps({"rows": rows, "seconds": time.perf_counter() - began, "cpu": spent, "peak": peak()}))
"""
OURS = """
import duckdb, pyarrow, pandas
import buildkite_ci
from buildkite_ci.catalog import catalog
from buildkite_ci.resources import source
from buildkite_elt import books, views
from buildkite_elt.loads import Origin, Target, load
url, token, file = sys.argv[1:]
catalog()
origin = Origin(("acme",), token, f"{url}/v2", f"{url}/v1")
began, used = time.perf_counter(), os.times()
(outcome,) = load(origin, Target(database=Path(file)), ("builds",), datetime(2020, 1, 1, tzinfo=UTC))
assert outcome.exit_code == 0, outcome
told(outcome.rows.get("jobs", 0), began, used)
"""
MSGSPEC = """
import duckdb, pyarrow
from buildkite_ci.privacy import Privacy
from buildkite_ci.typed import typed
folder, file = sys.argv[1:]
began, used, rows, how = time.perf_counter(), os.times(), 0, typed("jobs")
given = {"organization_slug": "acme", "last_seen_at": "2026-01-01T00:00:00Z"}
with duckdb.connect(file) as connection:
    for path in sorted(Path(folder).glob("*.json")):
        page = how.table(how.decode(path.read_bytes()), given, Privacy())
        connection.execute("INSERT INTO jobs FROM page" if rows else "CREATE TABLE jobs AS FROM page")
        rows += len(page)
told(rows, began, used)
"""
READER = """
import duckdb
folder, file = sys.argv[1:]
began, used = time.perf_counter(), os.times()
with duckdb.connect(file) as connection:
    pages = f"read_json('{folder}/*.json', maximum_object_size=268435456)"
    connection.execute(f"CREATE TABLE jobs AS SELECT unnest(job) FROM (SELECT unnest(jobs) AS job FROM {pages})")
    (rows,) = connection.execute("SELECT count(*) FROM jobs").fetchone()
told(rows, began, used)
"""
DICTS = """
import dlt, duckdb
folder, file, form = sys.argv[1:]
os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL"}
began, used = time.perf_counter(), os.times()
@dlt.resource(primary_key="id", write_disposition="merge")
def builds():
    for path in sorted(Path(folder).glob("*.json")):
        yield json.loads(path.read_bytes())
pipeline = dlt.pipeline("dicts", destination=dlt.destinations.duckdb(file), dataset_name="ci",
                        pipelines_dir=str(Path(file).parent / "work"))
pipeline.run(builds(), loader_file_format=form or None)
with duckdb.connect(file) as connection:
    (rows,) = connection.execute("SELECT count(*) FROM ci.builds__jobs").fetchone()
told(rows, began, used)
"""


@dataclass
class Bench:
    """A world of so many jobs in front of which loads are measured."""

    life: Life
    replay: Replay
    token: str
    folder: Path
    made: list[Any] = field(default_factory=list)

    def run(self, script: str, *words: str) -> dict[str, float]:
        said = subprocess.run([sys.executable, "-c", PEAK + script, *words], check=True, capture_output=True, text=True)  # noqa: S603 - ours
        told: dict[str, float] = json.loads(said.stdout.splitlines()[-1])
        return told

    def load(self, phase: str, file: Path) -> dict[str, float]:
        self.replay.phase, self.replay.asked = phase, 0
        return self.run(OURS, self.replay.url, self.token, str(file))

    def fresh(self, of: Path | None = None) -> Path:
        """A place for a DuckDB file, or a copy of one."""
        place = Path(tempfile.mkdtemp(dir=self.folder)) / "buildkite.duckdb"
        if of:
            shutil.copy(of, place)
        return place

    def pages(self, phase: str, builds: int) -> Path:
        """A folder with the pages of a phase that hold the first builds, as files."""
        place = Path(tempfile.mkdtemp(dir=self.folder))
        for at, content in enumerate(self.replay.builds(phase)[: max(builds // 100, 1)]):
            items = json.loads(content)[:builds] if builds < 100 else None
            (place / f"{at:05}.json").write_bytes(json.dumps(items).encode() if items else content)
        return place


def first(bench: Bench, jobs: int, runs: int) -> Iterator[Figure]:
    """The first load of all, and what else reads the same bytes."""
    bench.load("first", bench.fresh())  # the answers are made
    took: dict[str, list[dict[str, float]]] = {"ours": [], "msgspec": [], "reader": []}
    folder = bench.pages("first", jobs // JOBS)
    for _ in range(runs):
        took["ours"].append(bench.load("first", bench.fresh()))
        took["msgspec"].append(bench.run(MSGSPEC, str(folder), str(bench.fresh())))
        took["reader"].append(bench.run(READER, str(folder), str(bench.fresh())))
    rate = {name: [one["rows"] / one["seconds"] for one in each] for name, each in took.items()}
    yield Figure(f"{jobs:,} jobs, first load", "jobs/s", rate["ours"], 20_000)
    yield Figure("the same per second of the processor", "jobs/s", [one["rows"] / one["cpu"] for one in took["ours"]])
    yield Figure("its peak memory", "MiB", [one["peak"] for one in took["ours"]], 600, most=True)
    yield Figure("msgspec straight into a table", "jobs/s", rate["msgspec"])
    yield Figure("DuckDB's JSON reader", "jobs/s", rate["reader"])
    pairs = list(zip(rate["ours"], rate["msgspec"], strict=True))
    yield Figure("ours by msgspec's", "times", [ours / floor for ours, floor in pairs], 0.6)
    yield from peers(bench, statistics.median(rate["ours"]))


def peers(bench: Bench, ours: float) -> Iterator[Figure]:
    """dlt with dicts, of few jobs: it takes its time."""
    for form, name, builds, aim in (("", "its default files", 40, 60), ("parquet", "Parquet files", 100, 5)):
        one = bench.run(DICTS, str(bench.pages("first", builds)), str(bench.fresh()), form)
        yield Figure(f"dlt with dicts and {name}, {one['rows']:,.0f} jobs", "jobs/s", [one["rows"] / one["seconds"]])
        yield Figure("ours by that", "times", [ours * one["seconds"] / one["rows"]], aim)


def later(bench: Bench, jobs: int, runs: int) -> Iterator[Figure]:
    """Loads of what changed: one build in a hundred, then nothing."""
    whole, settled = bench.fresh(), bench.fresh()
    took = [bench.load("first", whole)["seconds"]]
    now = bench.life.world.clock.now()
    for build in bench.made[::100]:
        build["finished_at"] = iso(now)
        for job in build["jobs"]:
            job["finished_at"] = build["finished_at"]
    bench.life.world.advance(timedelta(hours=1))
    shutil.copy(whole, settled)
    bench.load("changed", settled)
    changed = [bench.load("changed", bench.fresh(whole)) for _ in range(runs)]
    yield Figure("1 % changed, second load", "s", [one["seconds"] for one in changed])
    yield Figure("its part of the first", "%", [100 * one["seconds"] / took[0] for one in changed], 10, most=True)
    bench.life.world.advance(timedelta(hours=1))
    bench.load("nothing", bench.fresh(settled))
    nothing = [bench.load("nothing", bench.fresh(settled)) for _ in range(runs)]
    yield Figure("nothing changed", "s", [one["seconds"] for one in nothing], 3, most=True)
    yield Figure("its requests", "", [float(bench.replay.asked)])


def started(runs: int, file: Path) -> Iterator[Figure]:
    """What every command costs before it does anything."""
    main = "from buildkite_elt.cli import main; main()"
    for name, words, aim in (("--help", ["--help"], 0.5), ("status", ["status", "-d", str(file)], 2.0)):
        took = []
        for _ in range(runs):
            began = datetime.now(UTC)
            subprocess.run([sys.executable, "-c", main, *words], check=True, capture_output=True)  # noqa: S603 - ours
            took.append((datetime.now(UTC) - began).total_seconds())
        yield Figure(f"`buildkite-elt {name}`", "s", took, aim, most=True)


def measured(jobs: int, runs: int) -> Iterator[Figure]:
    world = empty()
    life, now = Life(world, "acme"), world.clock.now()
    span = now - timedelta(days=300), now - timedelta(hours=2)
    made = life.history(life.pipeline("app"), jobs // JOBS, JOBS, *span)
    with tempfile.TemporaryDirectory() as folder, Standin(world, budgets=PLENTY) as standin:
        upstream = standin.rest_url.removesuffix("/v2")
        with Replay(upstream) as replay:
            bench = Bench(life, replay, standin.token, Path(folder), made)
            yield from first(bench, jobs, runs)
            yield from later(bench, jobs, runs)
            yield from started(runs, max(Path(folder).glob("*/buildkite.duckdb"), key=lambda one: one.stat().st_size))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--date", default="today")
    asked = parser.parse_args()
    rows = [row(asdict(figure)) for figure in measured(asked.jobs, asked.runs)]
    lines = [
        "# Benchmarks of speed",
        "",
        "Written by `make bench-speed`; do not edit.",
        machine(asked.date, f"{os.getloadavg()[0]:.1f}"),
        "",
        "| what | unit | median | | runs | aim | met |",
        "|---|---|---:|---:|---:|---:|---|",
        *rows,
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
