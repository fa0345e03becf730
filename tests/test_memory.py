"""Memory of a backfill does not grow with history: pages are let go one by one, and a package is the most it holds."""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from buildkite_ci.rest import Page
from buildkite_elt import warehouse
from buildkite_elt.loads import LoadFailed, Origin, Outcome, Target, load
from buildkite_elt.standin import Budgets, Standin
from buildkite_elt.standin.demo import empty
from buildkite_elt.standin.life import Life
from lively import ask, into

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_pages_are_let_go_while_a_package_is_read(tmp_path: Path) -> None:
    world = empty()
    life, now = Life(world, "acme"), world.clock.now()
    life.history(life.pipeline("app"), 600, 1, now - timedelta(days=20), now - timedelta(hours=2))
    alive: list[int] = []

    def progress(outcome: Outcome, table: str, rows: int, budget: Any) -> None:
        gc.collect()
        pages = [one.items for one in gc.get_objects() if isinstance(one, Page) and len(one.items) > 50]
        alive.append(len({id(items) for items in pages}))

    with Standin(world, budgets=Budgets(rest=10**6, rest_user=10**6)) as standin:
        origin = Origin(("acme",), standin.token, standin.rest_url, standin.graphql_url)
        target, since = Target(database=tmp_path / "buildkite.duckdb"), datetime(2020, 1, 1, tzinfo=UTC)
        load(origin, target, ("builds",), since, progress=progress)
        (again,) = load(origin, target, ("builds",), since)
    assert len(alive) > 10  # six pages and more, of builds and of jobs
    assert max(alive) <= 3, alive  # dlt asks for the next one while the last one's readers still stand in line
    assert again.failed == {}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process's peak in /proc")
def test_a_package_is_the_most_that_a_load_holds() -> None:
    """12,000 and 120,000 jobs. A million take 7 % more than 100,000, which takes minutes to see:
    docs/benchmarks-speed.md."""
    words = [sys.executable, "-m", "bench.memory", "300", "40"]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    peaks = [int(one) for one in re.findall(r"jobs: (\d+) MiB", said)]
    jobs = [int(one.replace(",", "")) for one in re.findall(r"([\d,]+) jobs:", said)]
    assert jobs[1] > 9 * jobs[0] > 100_000, said
    assert peaks[1] <= 1.6 * peaks[0], said
    assert peaks[1] <= 545, said


def test_rows_that_do_not_fit_into_duckdbs_memory_are_loaded_with_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without more it fails and says so; the next load, which may take more, finishes the package."""
    world, file = empty(), tmp_path / "buildkite.duckdb"
    life, now = Life(world, "acme"), world.clock.now()
    life.history(life.pipeline("app"), 40, 50, now - timedelta(days=20), now - timedelta(hours=2))
    for _, job in life.organization.jobs():
        job["command"] = os.urandom(20_000).hex()
    monkeypatch.setattr(warehouse, "MEMORY", "50MB")
    with Standin(world, budgets=Budgets(rest=10**6, rest_user=10**6)) as standin:
        with monkeypatch.context() as little:
            little.setattr(warehouse, "MORE", "50MB")
            with pytest.raises(LoadFailed, match="Out of Memory"):
                into(standin, file, "builds")
        into(standin, file, "builds")
    assert ask(file, "SELECT count(*), count(DISTINCT id), min(length(command)) FROM ci.jobs") == [(2000, 2000, 40_000)]
