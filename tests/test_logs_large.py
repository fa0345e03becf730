"""Job logs that are larger than the memory, that change while they are read, and what a plan says of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from buildkite_ci.choice import Choice
from buildkite_elt.standin import Log, Standin
from buildkite_elt.standin.demo import demo, empty
from buildkite_elt.standin.life import Life
from conftest import ENOUGH
from faults import PLENTY
from lively import ask, into
from planned import Both

MIB = 1 << 20
LINE = b"\x1b_bk;t=1700000000000\x07one of very many lines of a build that says all that it does, ok in 0.123s\r\n"
BLOCK = LINE * (MIB // len(LINE))
CHILD = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
import buildkite_ci.joblog, buildkite_ci.signatures, duckdb, numpy, pyarrow.compute, pyarrow.parquet
from buildkite_ci.choice import Choice
from buildkite_elt.loads import Origin, Target, load
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) >> 10
before, (token, rest, graphql, file, whole) = peak(), sys.argv[1:]
origin = Origin(("acme",), token, rest, graphql, choices={"job_logs": Choice(states=("all",), whole=whole == "whole")})
(outcome,) = load(origin, Target(database=Path(file)), ("job_logs",), datetime(2020, 1, 1, tzinfo=UTC))
print(json.dumps({"grown": peak() - before, "lines": outcome.rows["job_log_lines"], "failed": outcome.failed}))
"""


def blocks(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield BLOCK


def one_job(log: Any) -> Life:
    """A world of one job that has ended, with this log."""
    world = empty()
    life = Life(world, "acme")
    build = life.build(life.pipeline("app"), plan=[{"queue": None}])
    world.advance(3600)
    (job,) = build["jobs"]
    life.organization.logs[job["id"]] = log
    return life


def loaded(standin: Standin, file: Path, whole: str) -> dict[str, Any]:
    """The logs loaded by a process of its own: {grown: MiB of memory, lines, failed}."""
    words = [sys.executable, "-c", CHILD, standin.token, standin.rest_url, standin.graphql_url, str(file), whole]
    told: dict[str, Any] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return told


@pytest.mark.slow
@pytest.mark.parametrize("how", ["whole", "range-ignored"])
def test_a_log_of_300_mib_is_loaded_where_512_mib_are_free(tmp_path: Path, how: str) -> None:
    """Where all of it is wanted, and where the server sends all of it though its end was asked for."""
    file, lines = tmp_path / "buildkite.duckdb", 300 * (MIB // len(LINE))
    life = one_job(Log(lambda: blocks(300), 300 * len(BLOCK)))
    with Standin(life.world, budgets=PLENTY) as standin:
        into(standin, file, "builds")
        if how != "whole":
            standin.trouble.add(how, path="/log")
        told = loaded(standin, file, how)
    assert told["failed"] == {}
    assert told["lines"] == lines
    assert ask(file, "SELECT count(*), sum(bytes)::BIGINT FROM ci.job_log_lines") == [(lines, 300 * len(BLOCK))]
    assert told["grown"] <= 450


def test_a_job_that_is_retried_while_its_log_is_read(tmp_path: Path) -> None:
    """The log is that of the attempt; the next one has a row of its own."""
    file = tmp_path / "buildkite.duckdb"
    world = empty()
    life = Life(world, "acme")
    build = life.build(life.pipeline("app"), plan=[{"queue": None, "outcome": "failed"}])
    world.advance(3600)
    (job,) = build["jobs"]

    def retrying() -> Iterator[bytes]:
        yield LINE
        if len(build["jobs"]) == 1:
            with world.lock:
                life.retry(build, job)
        yield LINE

    life.organization.logs[job["id"]] = Log(retrying, 2 * len(LINE))
    with Standin(world, budgets=PLENTY) as standin:
        into(standin, file, "builds", "job_logs")
        assert len(build["jobs"]) == 2
        world.advance(3600)
        into(standin, file, "builds", "job_logs")
    told = "SELECT j.retried FROM ci.jobs AS j JOIN ci.job_logs AS l ON l.job_id = j.id WHERE NOT l.gone"
    assert (True,) in ask(file, told)
    assert ask(file, "SELECT count(*) FROM ci.job_log_lines WHERE job_id = ?", job["id"]) == [(2,)]


def test_the_plan_tells_a_request_for_each_log(tmp_path: Path) -> None:
    with Standin(demo(days=16, pipelines=12, builds_per_day=4), budgets=ENOUGH) as standin:
        both = Both(standin, tmp_path / "buildkite.duckdb")
        both.load("builds")
        both.origin = replace(both.origin, choices={"job_logs": Choice(at_most=25)})
        found = both.compare("job_logs")
        (line,) = (one for one in found["tables"] if one["table"] == "job_logs")
        assert line["rest_requests"] == line["rows"] == 25
