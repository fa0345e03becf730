"""How fast job logs are read, what of them is stored, and the memory for it; made-up logs like real ones, no network.

    python -m bench.logs --json logs.json             # some ten minutes
    python -m bench.logs --only exact --streams 100000

CPU seconds stand beside wall seconds, as others may use the machine; a figure is the median of the runs, with the least
and the most. Two ratios are of the same runs and tell more than a machine's MB/s: to counting LFs, and to the plain
specification. pandas, which pyarrow imports when it is first used, is imported before anything is measured.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import dlt
import duckdb
import pandas  # noqa: F401 - see above
import pyarrow as pa
import pyarrow.parquet as pq

from buildkite_ci.joblog import read, read_many
from buildkite_ci.joblog_spec import any_line
from buildkite_ci.redaction import Redactor
from buildkite_ci.signatures import Signatures

from . import log_corpus

MB = 1_000_000
TESTS = Path(__file__).parents[1] / "tests"
SAMPLES = Path(__file__).parents[2] / "shared" / "buildkite" / "samples" / "logs"
LEVEL = 3
"""zstd's, in Parquet."""
ROWS = 1 << 18
"""Lines in a row group, about."""
PEAK = """
import json, sys
import pandas, pyarrow.compute
from buildkite_ci.joblog import read
from pathlib import Path
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
def blocks(path, times):
    for _ in range(times):
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                yield block
list(read([b"warm"]))
before, reading = peak(), read(blocks(sys.argv[1], int(sys.argv[2])))
lines = sum(len(batch) for batch in reading)
print(json.dumps({"peak": peak() - before, "bytes": reading.summary["bytes"], "lines": lines}))
"""
"""A log is a file, as often as told, without an end of line between; MiB above imports."""


@dataclass
class Figure:
    """One thing measured: its runs, and what it is to be (at least, or at most where `most`)."""

    name: str
    unit: str
    runs: list[float]
    target: float | None = None
    most: bool = False

    def told(self) -> str:
        middle = median(self.runs)
        line = f"{self.name:<52} {middle:>10,.1f} {self.unit:<16} ({min(self.runs):,.1f} to {max(self.runs):,.1f})"
        if self.target is None:
            return line
        met = middle <= self.target if self.most else middle >= self.target
        return f"{line:<112} {'at most' if self.most else 'at least'} {self.target:,.0f}: {'met' if met else 'NOT MET'}"


def cpu() -> float:
    """Seconds of this process and of its children that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


def seconds(work: Callable[[], Any]) -> tuple[float, float]:
    """Of the processor, and by the clock."""
    began, used = time.perf_counter(), cpu()
    work()
    return cpu() - used, time.perf_counter() - began


def drained(batches: Iterable[Any]) -> int:
    return sum(len(batch) for batch in batches)


def parse(runs: int, folder: Path) -> Iterator[Figure]:
    """All columns of one log of 64 MB, alone and with what else is done to its texts; floors and ratios."""
    log, redactor, errors = log_corpus.one(64 * MB), Redactor(), Signatures.read().errors
    size, count, small = len(log) / MB, log.count(b"\n"), log[: 2 * MB].split(b"\n")

    works: dict[str, Callable[[], Any]] = {
        "count": lambda: log.count(b"\n"),
        "spec": lambda: [any_line(line) for line in small],
        "read": lambda: drained(read([log])),
        "masked": lambda: drained(read([log], redactor=redactor)),
        "both": lambda: drained(read([log], redactor=redactor, errors=errors)),
    }
    took: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(runs):  # one after the other, so that what else the machine does touches all
        for name, work in works.items():
            took[name].append(seconds(work)[0])
    yield Figure("Parse, all columns", "MB per CPU-s", [size / one for one in took["read"]], 140)
    yield Figure("  the same in lines", "1,000 per CPU-s", [count / 1000 / one for one in took["read"]])
    pairs = list(zip(took["read"], took["count"], took["spec"], took["masked"], took["both"], strict=True))
    yield Figure("  as often as long as counting LFs", "times", [read / lfs for read, lfs, *_ in pairs])
    yield Figure("  faster than the specification", "times", [spec * size / 2 / read for read, _, spec, *_ in pairs])
    yield Figure("Secrets masked: on top of parsing", "%", [100 * (one[3] / one[0] - 1) for one in pairs])
    both = [100 * (one[4] / one[0] - 1) for one in pairs]
    yield Figure("Secrets and signatures: on top of parsing", "%", both, 60, most=True)


def samples(runs: int, folder: Path) -> Iterator[Figure]:
    """The same for the real logs that are at hand, each repeated."""
    for path in sorted(SAMPLES.glob("*.log")):
        raw = path.read_bytes()
        log = raw * (16 * MB // len(raw))
        took = [seconds(lambda log=log: drained(read([log])))[0] for _ in range(runs)]  # type: ignore[misc]
        yield Figure(f"Parse {path.name[:40]}", "MB per CPU-s", [len(log) / MB / one for one in took])


def written(files: list[Path], out: Path) -> float:
    """The lines of these logs as Parquet; the CPU seconds it took."""
    began, writer, held, rows = time.process_time(), None, list[Any](), 0
    for batch in read_many((path.stem, path.read_bytes()) for path in files):
        held.append(batch.lines)
        rows += len(batch.lines)
        if not writer:
            encoding = dict.fromkeys(batch.lines.schema.names, "DELTA_BINARY_PACKED")
            encoding["text"] = "DELTA_LENGTH_BYTE_ARRAY"
            del encoding["job_id"]
            writer = pq.ParquetWriter(
                out,
                batch.lines.schema,
                compression="zstd",
                compression_level=LEVEL,
                use_dictionary=["job_id"],
                column_encoding=encoding,
            )
        if rows >= ROWS:
            writer.write_table(pa.concat_tables(held))
            held, rows = [], 0
    if writer:
        if held:
            writer.write_table(pa.concat_tables(held))
        writer.close()
    return time.process_time() - began


def warm(_: int) -> None:
    """What a worker needs is imported, and both are there."""
    drained(read([b"warm\n"]))
    time.sleep(0.5)


def parquet(runs: int, folder: Path, logs: int = 10_000) -> Iterator[Figure]:
    """Many logs, as files, to zstd Parquet: in one process, and in two with a file each."""
    files = []
    for at, log in enumerate(log_corpus.logs(logs)):
        files.append(folder / f"{at:08x}-0000-4000-8000-000000000000.log")
        files[-1].write_bytes(log)
    size = sum(path.stat().st_size for path in files) / MB
    one, two, busier = [], [], []
    for _ in range(runs):
        one.append(seconds(lambda: written(files, folder / "0.parquet")))
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
            list(pool.map(warm, range(2)))
            began, outs = time.perf_counter(), [folder / "1.parquet", folder / "2.parquet"]
            busier.append(max(pool.map(written, (files[::2], files[1::2]), outs)))
            two.append(time.perf_counter() - began)
    yield Figure(f"{logs:,} logs ({size:,.0f} MB) to Parquet", "MB per CPU-s", [size / took[0] for took in one], 90)
    yield Figure("  by the clock", "MB/s", [size / took[1] for took in one])
    yield Figure("  two processes, by the clock", "MB/s", [size / took for took in two], 150)
    yield Figure("  two processes, by the CPU-s of the busier one", "MB per CPU-s", [size / took for took in busier])
    share = 100 * (folder / "0.parquet").stat().st_size / MB / size
    yield Figure("  Parquet's size", "% of the raw one", [share], 14, most=True)


def rows(runs: int, folder: Path) -> Iterator[Figure]:
    """Bytes to rows in a DuckDB file: straight from the record batches, and through dlt."""
    log = log_corpus.one(64 * MB)
    count = log.count(b"\n") + 1
    straight, through = [], []

    def insert(path: Path) -> None:
        with duckdb.connect(path) as connection:
            batches = iter(read([log]))
            first = next(batches)
            reader = pa.RecordBatchReader.from_batches(first.schema, itertools.chain([first], batches))
            connection.register("reader", reader)
            connection.execute("create table lines as from reader")

    def load(path: Path) -> None:
        pipeline = dlt.pipeline("bench_logs", pipelines_dir=str(path.parent / path.stem), dataset_name="logs",
                                destination=dlt.destinations.duckdb(str(path)))  # fmt: skip
        pipeline.run(dlt.resource(lambda: read([log]), name="lines"))

    for at in range(runs):
        straight.append(seconds(lambda: insert(folder / f"straight-{at}.duckdb")))  # noqa: B023 - now
        through.append(seconds(lambda: load(folder / f"through-{at}.duckdb")))  # noqa: B023 - now
    for name, took in (("Bytes to rows in DuckDB", straight), ("  through dlt", through)):
        yield Figure(name, "1,000 per CPU-s", [count / 1000 / one[0] for one in took])
        yield Figure("  by the clock", "1,000 lines/s", [count / 1000 / one[1] for one in took], 200)


def memory(runs: int, folder: Path, size: int = 1000) -> Iterator[Figure]:
    """Peaks of child processes that read a long log of `size` MB, a tenth of it, long lines, and too many lines."""
    stamp = b"\x1b_bk;t=1745322209921\x07"
    inputs = {
        f"{size // 10:,} MB log": (log_corpus.one(size * MB // 10), 1),
        f"{size:,} MB log": (log_corpus.one(size * MB // 10), 10),
        "100 MB line": ((b"x" * 79 + b" ") * (100 * MB // 80), 1),
        "100 MB progress bar": ((b"\x1b[32m 42%\x1b[0m\r\x1b[K" + stamp) * (2 * MB), 1),
        "20 million line ends": (b"\n" * (20 * MB), 1),
    }
    for name, (log, times) in inputs.items():
        (folder / "log").write_bytes(log)
        words = [sys.executable, "-c", PEAK, str(folder / "log"), str(times)]
        told = [json.loads(subprocess.run(words, check=True, capture_output=True).stdout) for _ in range(runs)]  # noqa: S603 - ours
        if told[0]["bytes"] != times * len(log):
            raise ValueError(f"{name}: {told[0]}")
        yield Figure(f"Memory above imports, {name}", "MiB", [one["peak"] for one in told], 256, most=True)


def streams(some: range) -> int:
    """Whether random streams and their blocks are read as the specification says; raises AssertionError."""
    sys.path.insert(0, str(TESTS))
    from logs_made import any_log
    from test_joblog_fuzz import agree

    for seed in some:
        random = Random(f"bench {seed}")  # noqa: S311 - no secret
        agree(any_log(random), random)
    return len(some)


def exact(runs: int, folder: Path, count: int = 1000) -> Iterator[Figure]:
    """Random streams that are read as the specification says, whole and in blocks of any size."""
    shares = [range(at, min(at + 500, count)) for at in range(0, count, 500)]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("spawn")) as pool:
        yield Figure("Random streams read as specified", "streams", [sum(pool.map(streams, shares))], count)


MEASURES = {"parse": parse, "samples": samples, "parquet": parquet, "rows": rows, "memory": memory, "exact": exact}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.logs", description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--logs", type=int, default=10_000, help="logs that become Parquet")
    parser.add_argument("--size", type=int, default=1000, help="MB of the long log")
    parser.add_argument("--streams", type=int, default=100_000, help="random ones that are held to the specification")
    parser.add_argument("--json", type=Path, help="write the figures and all runs to this file")
    asked = parser.parse_args()
    found: list[Figure] = []
    more = {"parquet": {"logs": asked.logs}, "memory": {"size": asked.size}, "exact": {"count": asked.streams}}
    for name in asked.only:
        with tempfile.TemporaryDirectory() as folder:
            for figure in MEASURES[name](asked.runs, Path(folder), **more.get(name, {})):
                sys.stdout.write(figure.told() + "\n")
                sys.stdout.flush()
                found.append(figure)
    if asked.json:
        shape = log_corpus.shape(log_corpus.one(16 * MB))
        about = {"runs": asked.runs, "load": os.getloadavg(), "cores": os.cpu_count(), "corpus": shape}
        asked.json.write_text(json.dumps({**about, "figures": [asdict(one) for one in found]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
