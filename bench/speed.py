"""From response bytes to rows in DuckDB: `python -m bench.speed [--jobs N] [--runs N] [--large]`, as Markdown.

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
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb

from buildkite_elt.standin import Budgets, Standin
from buildkite_elt.standin.answer import iso
from buildkite_elt.standin.demo import empty
from buildkite_elt.standin.life import Life

from .logs import Figure
from .replay import Replay
from .speed_scripts import DICTS, MSGSPEC, OURS, READER, TOLD
from .told import machine, row

PLENTY = Budgets(rest=10**9, rest_user=10**9, graphql=10**9, graphql_user=10**9)
JOBS = 50
"""Jobs of a build."""
DAYS = 300
FEW, SMALL, MIDDLE = 2_500, 50_000, 100_000
"""Jobs of the smaller first loads: the newest ones of the world."""
COPIES = 5
GRAPHQL = 5_000
"""Jobs of the world that is asked by GraphQL."""
Took = dict[str, Any]


@dataclass
class Bench:
    """A world, and what answers for it, again and again."""

    life: Life
    replay: Replay
    token: str
    folder: Path
    made: list[Any] = field(default_factory=list)
    first: list[Took] = field(default_factory=list)
    """The first loads of all of it; `whole` is the file of one."""
    whole: Path = Path()

    def run(self, script: str, *words: str) -> Took:
        said = subprocess.run([sys.executable, "-c", TOLD + script, *words], check=True, capture_output=True, text=True)  # noqa: S603 - ours
        told: Took = json.loads(said.stdout.splitlines()[-1])
        return told

    def load(self, phase: str, file: Path, tables: str = "builds", jobs: int = 0, **more: Any) -> Took:
        """A load of the newest `jobs`, all for 0."""
        self.replay.phase, self.replay.asked = phase, 0
        since = self.since(jobs) if jobs else datetime(2020, 1, 1, tzinfo=UTC)
        slugs, profiled = ",".join(more.get("slugs", ("acme",))), "yes" if more.get("profiled") else ""
        return self.run(OURS, self.replay.url, self.token, str(file), tables, since.isoformat(), slugs, profiled)

    def since(self, jobs: int) -> datetime:
        return datetime.fromisoformat(sorted(build["created_at"] for build in self.made)[-jobs // JOBS :][0])

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


def rates(took: list[Took], per: str = "seconds") -> list[float]:
    return [one["rows"] / one[per] for one in took]


def firsts(bench: Bench, runs: int) -> Iterator[Figure]:
    """First loads of two sizes."""
    for phase, jobs in (("small", SMALL), ("first", 0)):
        bench.load(phase, bench.fresh(), jobs=jobs)  # the answers are made
        files = [bench.fresh() for _ in range(runs)]
        bench.first, bench.whole = [bench.load(phase, file, jobs=jobs) for file in files], files[0]
        yield from _first(bench.first, None if jobs else 20_000)


def floors(bench: Bench, runs: int) -> Iterator[Figure]:
    """Whatever else reads the same bytes."""
    took: dict[str, list[Took]] = {"ours": [], "msgspec": [], "reader": []}
    bench.load("middle", bench.fresh(), jobs=MIDDLE)
    folder = bench.pages("middle", MIDDLE // JOBS)
    for _ in range(runs):
        took["ours"].append(bench.load("middle", bench.fresh(), jobs=MIDDLE))
        took["msgspec"].append(bench.run(MSGSPEC, str(folder), str(bench.fresh())))
        took["reader"].append(bench.run(READER, str(folder), str(bench.fresh())))
    yield from _first(took["ours"])
    yield Figure("msgspec straight into a table", "jobs/s", rates(took["msgspec"]))
    yield Figure("DuckDB's JSON reader", "jobs/s", rates(took["reader"]))
    for name, aim in (("msgspec", 0.6), ("reader", None)):
        pairs = zip(rates(took["ours"]), rates(took[name]), strict=True)
        yield Figure(f"ours by {name}'s, run by run", "times", [ours / floor for ours, floor in pairs], aim)


def _first(loads: list[Took], aim: float | None = None) -> Iterator[Figure]:
    yield Figure(f"{loads[0]['rows']:,} jobs, first load", "jobs/s", rates(loads), aim)
    yield Figure("the same per second of the processor", "jobs/s", rates(loads, "cpu"))
    yield Figure("its peak memory", "MiB", [one["peak"] for one in loads], 572, most=True)


def peers(bench: Bench, runs: int) -> Iterator[Figure]:
    """dlt with dicts, of few jobs: it takes its time, for each of 40,000 jobs as much as for each of 2,000."""
    folder, ours = str(bench.pages("middle", FEW // JOBS)), statistics.median(rates(bench.first))
    for form, name, aim in (("", "its default files", 60), ("parquet", "Parquet files", 5)):
        took = [bench.run(DICTS, folder, str(bench.fresh()), form) for _ in range(runs)]
        yield Figure(f"dlt with dicts and {name}, {took[0]['rows']:,.0f} jobs", "jobs/s", rates(took))
        ratios = [ours / rate for rate in rates(took)]
        yield Figure(f"ours, {bench.first[0]['rows']:,} jobs, by that", "times", ratios, aim)


def later(bench: Bench, runs: int) -> Iterator[Figure]:
    """Loads of what changed: one build in a hundred, then nothing; into a million jobs, and into five."""
    settled, first = bench.fresh(bench.whole), statistics.median(one["seconds"] for one in bench.first)
    now = bench.life.world.clock.now()
    for build in bench.made[::100]:
        build["finished_at"] = iso(now)
        for job in build["jobs"]:
            job["finished_at"] = build["finished_at"]
    bench.life.world.advance(timedelta(hours=1))
    bench.load("changed", settled)
    changed = [bench.load("changed", bench.fresh(bench.whole))["seconds"] for _ in range(runs)]
    yield Figure("1 % changed, second load", "s", changed)
    yield Figure("its part of the first", "%", [100 * one / first for one in changed], 10, most=True)
    large = copies(bench.whole, bench.fresh())
    into = [bench.load("changed", bench.fresh(large))["seconds"] for _ in range(runs)]
    yield Figure(f"the same into {COPIES} times as many", "s", into)
    bench.life.world.advance(timedelta(hours=1))
    bench.load("nothing", bench.fresh(settled))
    nothing = [bench.load("nothing", bench.fresh(settled))["seconds"] for _ in range(runs)]
    yield Figure("nothing changed", "s", nothing, 3, most=True)
    yield Figure("its requests", "", [float(bench.replay.asked)])
    yield from started(runs, large)


def copies(of: Path, file: Path) -> Path:
    """The file with its builds and jobs so often, with other ids, ever further back."""
    shutil.copy(of, file)
    with duckdb.connect(str(file)) as connection:
        for table in ("builds", "jobs"):
            told = ", ".join(_copied(*one) for one in connection.execute(f"DESCRIBE ci.{table}").fetchall())
            sql = f"INSERT INTO ci.{table} SELECT {told} FROM ci.{table}, range(1, {COPIES}) AS t(k)"  # noqa: S608 - names of ours
            connection.execute(sql)
    return file


def _copied(column: str, kind: str, *_: Any) -> str:
    if column in ("id", "build_id"):
        return f"\"{column}\" || '-' || k"
    return f'"{column}" - to_days({DAYS} * k)' if kind.startswith("TIMESTAMP") else f'"{column}"'


def started(runs: int, file: Path) -> Iterator[Figure]:
    """What every command costs before it does anything."""
    main = "from buildkite_elt.cli import main; main()"
    for name, program, words, aim in (
        ("import buildkite_ci", "import buildkite_ci", [], None),
        ("import buildkite_elt", "import buildkite_elt", [], None),
        ("buildkite-elt --help", main, ["--help"], 0.5),
        ("buildkite-elt status", main, ["status", "-d", str(file)], 2.0),
    ):
        took = []
        for _ in range(runs):
            began = datetime.now(UTC)
            subprocess.run([sys.executable, "-c", program, *words], check=True, capture_output=True)  # noqa: S603 - ours
            took.append((datetime.now(UTC) - began).total_seconds())
        yield Figure(f"`{name}`", "s", took, aim, most=True)


def graphql(runs: int) -> Iterator[Figure]:
    """A table that only GraphQL has; of a world of its own, as the stand-in looks at every job for each page."""
    with benched(GRAPHQL) as bench:
        bench.load("graphql", bench.fresh(), "queue_jobs")
        took = [bench.load("graphql", bench.fresh(), "queue_jobs") for _ in range(runs)]
    yield Figure(f"queue_jobs by GraphQL, {took[0]['rows']:,} rows", "rows/s", rates(took))
    yield Figure("its peak memory", "MiB", [one["peak"] for one in took])


def large(bench: Bench, _runs: int) -> Iterator[Figure]:
    """The same jobs for five organizations in one load, once: its memory. It waits for replay.py to write other ids."""
    slugs = ["acme", *(f"acme-{number}" for number in range(1, COPIES))]
    one = bench.load("first", bench.fresh(), slugs=slugs)
    yield Figure(f"{one['rows']:,} jobs of {COPIES} organizations, their ids rewritten", "jobs/s", rates([one]))
    yield Figure("its peak memory", "MiB", [one["peak"]], 572, most=True)


@contextmanager
def benched(jobs: int) -> Iterator[Bench]:
    """Of a world of so many jobs."""
    world = empty()
    life, now = Life(world, "acme"), world.clock.now()
    span = now - timedelta(days=DAYS), now - timedelta(hours=2)
    made = life.history(life.pipeline("app"), jobs // JOBS, JOBS, *span)
    with (
        tempfile.TemporaryDirectory() as folder,
        Standin(world, budgets=PLENTY) as standin,
        Replay(standin.rest_url.removesuffix("/v2")) as replay,
    ):
        yield Bench(life, replay, standin.token, Path(folder), made)


def measured(asked: argparse.Namespace) -> tuple[list[Figure], dict[str, float]]:
    """The figures, each told as it comes, and {part: seconds} of a load under the profiler."""
    figures = []
    with benched(asked.jobs) as bench:
        more = (part(bench, asked.runs) for part in (firsts, floors, peers, *([large] if asked.large else []), later))
        for figure in chain(graphql(asked.runs), *more):
            sys.stderr.write(f"{row(asdict(figure))}\n")
            figures.append(figure)
        parts = bench.load("middle", bench.fresh(), jobs=MIDDLE, profiled=True)["parts"]
    return figures, parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--large", action="store_true", help="five million jobs in one load, too")
    parser.add_argument("--date", default="today")
    asked = parser.parse_args()
    figures, parts = measured(asked)
    sys.stdout.write(page(figures, parts, asked.date))


def page(figures: list[Figure], parts: dict[str, float], date: str) -> str:
    """docs/benchmarks-speed.md."""
    whole = sum(parts.values())
    shares = sorted(parts.items(), key=lambda one: -one[1])
    lines = [
        "# Benchmarks of loads",
        "",
        "Written by `make bench-speed`; do not edit.",
        machine(date, f"{os.getloadavg()[0]:.1f}"),
        "",
        "The same answers over HTTP for every load, all columns, into a DuckDB file; imports are not measured. "
        "Medians, the least and the most; ratios of runs that took turns.",
        "",
        "| what | unit | median | | runs | aim | met |",
        "|---|---|---:|---:|---:|---:|---|",
        *(row(asdict(figure)) for figure in figures),
        "",
        "## Where the time goes",
        "",
        f"A first load of {MIDDLE:,} jobs under pyinstrument, {whole:.1f} s by the clock. [Decisions](decisions.md) "
        "say what was gained by what, under *Rows go into DuckDB from their Parquet files* and *Jobs are decoded into "
        "typed objects*.",
        "",
        "| part | seconds | % |",
        "|---|---:|---:|",
        *(f"| {name} | {took:.2f} | {took / whole:.0%} |" for name, took in shares if took >= 0.005),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
