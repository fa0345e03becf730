"""The nine most asked views in Apache Spark and in DuckDB, over the same rows: `python -m bench.spark`.

Parquet files of five million jobs and two hundred million log lines are made, and Delta and Iceberg out of them. DuckDB
answers from Parquet, Spark from each of the three, and every row is held against the other's; the page, as Markdown,
goes to standard output. Spark needs Java 17 or newer, and is installed from uv.lock into an environment of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import sqlglot

from buildkite_ci.catalog import catalog
from buildkite_elt import lake, views
from buildkite_elt.views import engines

from . import spark_lakes, spark_rows
from .told import machine

NINE = {
    "W1": "queue_waits_hourly",
    "F1": "flaky_steps",
    "F4": "failure_classes_weekly",
    "S1": "build_times_weekly",
    "S2": "step_slowdowns",
    "C1": "costs_daily",
    "C2": "retry_costs_weekly",
    "L1": "build_log_lines",
    "Q2": "load_costs",
}
"""The questions that are asked most often and in most places, and of the views that answer each one that sums up."""
ASKED = {"build_log_lines": "WHERE text LIKE '%connection reset by peer%' AND age_days < 30"}
"""What is asked of a view that has a row for each line."""
NEAR = 1e-9
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Answer:
    """A view: rows, and seconds by the clock, in DuckDB; Spark's seconds by format; how many rows of all differ."""

    rows: int
    duckdb: float
    spark: dict[str, float]
    different: int


def environment(folder: Path) -> Path:
    """Python with PySpark, in the versions of the lock. RuntimeError, with uv's words, where it cannot be made."""
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if not uv:
        raise RuntimeError("uv, which installs PySpark, is not there")
    env = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    env |= {"UV_PROJECT_ENVIRONMENT": str(folder), "UV_COMPILE_BYTECODE": "0"}
    words = ["sync", "--quiet", "--locked", "--no-default-groups", "--only-group", "spark", "--python", sys.executable]
    done = subprocess.run([uv, *words], cwd=ROOT, env=env, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise RuntimeError(done.stderr)
    return folder / "bin" / "python"


def asked(name: str) -> str:
    return f"SELECT * FROM {name} {ASKED.get(name, '')}"  # noqa: S608 - names of ours


def in_duckdb(connection: duckdb.DuckDBPyConnection, folder: Path, answers: Path) -> dict[str, float]:
    """Views over the files, and each answer in ANSWERS/NAME.parquet; seconds by view."""
    connection.execute("CREATE SCHEMA ci; USE ci")
    names = sorted(path.name for path in folder.iterdir())
    for name in names:
        connection.execute(f"CREATE VIEW {name} AS FROM read_parquet('{folder}/{name}/**/*.parquet')")
    for view in views.views().values():
        if view.reads <= {*names, *views.views()}:
            connection.execute(f"CREATE VIEW {view.name} AS {view.sql}") if _made(view, names) else None
    took = {}
    for name in NINE.values():
        began = time.perf_counter()
        connection.execute(f"COPY ({asked(name)}) TO '{answers}/{name}.parquet' (FORMAT parquet)")
        took[name] = time.perf_counter() - began
    return took


def _made(view: views.View, names: Iterable[str]) -> bool:
    """Whether all that it reads is there, and all that those read."""
    known = views.views()
    return all(one in names or (one in known and _made(known[one], names)) for one in view.reads)


def in_spark(python: Path, files: Mapping[str, spark_lakes.Files], answers: Path, memory: str) -> dict[str, Any]:
    """The version of Spark and its seconds by format and view; all our views are made there, over empty tables if need
    be. files: by format."""
    names = next(iter(files.values()))
    written = [
        [view.name, engines.portable(sqlglot.parse_one(view.sql, read="duckdb"), "spark").sql("spark", comments=False)]
        for view in views.views().values()
    ]
    empty = [[name, sqlglot.transpile(views.empty(name), "duckdb", "spark")[0]] for name in catalog()]
    plan = {
        "files": files,
        "answers": str(answers),
        "views": [*(one for one in empty if one[0] not in names), *written],
        "asked": [[name, asked(name)] for name in NINE.values()],
        "cores": os.cpu_count(),
        "settings": {
            "spark.driver.memory": memory,
            "spark.local.dir": str(answers),
            "spark.sql.warehouse.dir": str(answers),
            "spark.sql.shuffle.partitions": str(4 * (os.cpu_count() or 1)),
        },
    }
    file = answers / "plan.json"
    file.write_text(json.dumps(plan), encoding="utf-8")
    words = [str(python), str(Path(__file__).with_name("spark_side.py")), str(file)]
    env = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(words, env=env, cwd=answers, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def different(connection: duckdb.DuckDBPyConnection, name: str, answers: Path, form: str) -> tuple[int, int]:
    """Rows of DuckDB's answer, and how many rows of either are not the other's, in order of the view's key; the other's
    are in ANSWERS/FORM/NAME."""
    key = ", ".join(f'"{column}"' for column in views.views()[name].key)
    here, there = f"'{answers}/{name}.parquet'", f"'{answers}/{form}/{name}/*.parquet'"
    columns = connection.execute(f"DESCRIBE FROM {here}").fetchall()
    told = connection.execute(f"DESCRIBE FROM {there}").fetchall()
    assert [row[0] for row in columns] == [row[0] for row in told], name
    same = " AND ".join(_same(column, kind) for column, kind, *_ in columns)
    query = f"""
        WITH a AS (SELECT *, row_number() OVER (ORDER BY {key}) AS place FROM {here}),
        b AS (SELECT *, row_number() OVER (ORDER BY {key}) AS place FROM {there})
        SELECT count(a.place), count(*) FILTER (WHERE a.place IS NULL OR b.place IS NULL OR NOT ({same}))
        FROM a FULL JOIN b ON a.place = b.place"""  # noqa: S608
    rows, wrong = connection.execute(query).fetchone() or (0, 0)
    return rows, wrong


def _same(column: str, kind: str) -> str:
    one, other = f'a."{column}"', f'CAST(b."{column}" AS {kind})'
    if kind != "DOUBLE":
        return f"{one} IS NOT DISTINCT FROM {other}"
    near = f"abs({one} - {other}) <= {NEAR} * greatest(1, abs({one}))"
    return f"(({one} IS NULL AND {other} IS NULL) OR coalesce({near}, FALSE))"


def compared(
    python: Path, folder: Path, jobs: int, lines: int, memory: str, forms: Sequence[str] = (*lake.FORMATS,)
) -> tuple[spark_rows.Made, str, dict[str, Answer]]:
    """What was made, Spark's version, and the answers by view. folder: for files, the answers among them."""
    answers = folder / "answers"
    shutil.rmtree(answers, ignore_errors=True)
    answers.mkdir(parents=True)
    with duckdb.connect(str(answers / "answers.duckdb")) as connection:
        connection.execute("SET TimeZone = 'UTC'; SET memory_limit = '4GB'; SET preserve_insertion_order = FALSE")
        made = spark_rows.make(connection, folder / "tables", jobs, lines)
        files = {form: spark_lakes.files(connection, folder / "tables", form) for form in forms}
        here = in_duckdb(connection, folder / "tables", answers)
        told = in_spark(python, files, answers, memory)
        if told["refused"]:
            raise RuntimeError(f"Spark refuses views: {told['refused']}")
        found = {}
        for name, took in here.items():
            seconds = {form: told["seconds"][form][name] for form in files}
            wrong = [different(connection, name, answers, form) for form in files]
            found[name] = Answer(wrong[0][0], took, seconds, sum(count for _, count in wrong))
    return made, told["version"], found


def page(made: spark_rows.Made, version: str, found: dict[str, Answer], date: str) -> str:
    """docs/benchmarks-spark.md."""
    numbers = {view: number for number, view in NINE.items()}
    forms = [*next(iter(found.values())).spark]
    wrong = sum(answer.different for answer in found.values())
    lines = [
        "# Benchmarks of Apache Spark",
        "",
        "Written by `make bench-spark`; do not edit.",
        machine(date, f"{os.getloadavg()[0]:.1f}"),
        "",
        f"PySpark {version}, on this one machine, and DuckDB answer the same questions of the same rows: "
        f"{made.rows['jobs']:,} jobs and {made.rows['job_log_lines']:,} log lines of {spark_rows.DAYS} days, made up. "
        "DuckDB reads Parquet, a file for each day of a table; Spark reads that, and the other formats as our lakes "
        "write them, ten days a publish. Its own readers of Delta and Iceberg are jars that Python's packages do not "
        "bring, so it is given the files that deltalake and pyiceberg name for the newest version. It is told the "
        "views' SQL as sqlglot and `views/engines.py` write it. Every row of each answer is held against DuckDB's, "
        f"fractions within {NEAR:g}: {wrong or 'none'} differ{'s' if wrong == 1 else ''}.",
        "",
        "The views are those of the nine questions that are asked most. Of build_log_lines, which has a row for each "
        f"line, this is asked: `{ASKED['build_log_lines']}`. One run each, by the clock, from the files to a file.",
        "",
        f"| question | view | rows | DuckDB, s | {' | '.join(f'Spark, {form}, s' for form in forms)} | differ |",
        f"|---|---|---:|---:|{'---:|' * len(forms)}---:|",
        *(
            f"| {numbers[name]} | {name} | {one.rows:,} | {one.duckdb:.1f} | "
            f"{' | '.join(f'{took:.1f}' for took in one.spark.values())} | {one.different} |"
            for name, one in found.items()
        ),
        "",
        "| table | rows | bytes of Parquet | bytes a row |",
        "|---|---:|---:|---:|",
        *(
            f"| {name} | {rows:,} | {made.bytes[name]:,} | {made.bytes[name] / rows:.1f} |"
            for name, rows in made.rows.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=5_000_000)
    parser.add_argument("--lines", type=int, default=40, help="of log, a job")
    parser.add_argument("--formats", nargs="+", choices=[*lake.FORMATS], default=[*lake.FORMATS])
    parser.add_argument("--memory", default="4g", help="of Spark's driver")
    parser.add_argument("--python", type=Path, help="that has PySpark; one is installed unless told")
    parser.add_argument("--folder", type=Path, help="where the files stay, and are found by the next run")
    parser.add_argument("--date", default="today")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        python = told.python or environment(Path(folder, "environment"))
        where = told.folder or Path(folder)
        made, version, found = compared(python, where, told.jobs, told.lines, told.memory, told.formats)
    sys.stdout.write(page(made, version, found, told.date))
    sys.exit(any(answer.different or not answer.rows for answer in found.values()))


if __name__ == "__main__":
    main()
