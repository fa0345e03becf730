"""A small run of `make bench-cost`: ours ends with the truth, the others as docs/benchmarks-cost.md says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAPER = ROOT / "docs" / "benchmarks-cost.md"
WRONG = ("builds_missing", "builds_stale", "jobs_missing", "jobs_stale")
BUILDS = 200
SMALL = ("--days", "1", "--every", "12", "--per-day", "20", "--builds", str(BUILDS), "--jobs", "2", "--processes", "1")
Results = dict[tuple[str, str], dict[str, Any]]


def bench(*words: str) -> str:
    """What the script says, run as `make bench-cost` does, in a process of its own."""
    command = [sys.executable, "-m", "bench.cost", *SMALL, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def results(*words: str) -> Results:
    return {(one["task"], one["strategy"]): one for one in json.loads(bench("--json", *words))}


@pytest.fixture(scope="module")
def small() -> Results:
    """Every strategy at both tasks: one simulated day, and a backfill of 200 builds in ten pipelines."""
    return results()


pytestmark = pytest.mark.slow


def wrong(one: dict[str, Any]) -> tuple[int, ...]:
    return tuple(one[what] for what in WRONG)


def test_ours_ends_with_the_truth_and_meets_no_429(small: Results) -> None:
    for task in ("week", "backfill"):
        ours = small[task, "ours"]
        assert wrong(ours) == (0, 0, 0, 0)
        assert (ours["failed"], ours["refused"]) == (0, 0), ours["trouble"]
    assert small["week", "ours"]["builds"] > 300


@pytest.mark.parametrize("peer", ["dlt", "airbyte", "faros", "fivetran"])
def test_a_created_at_cursor_loses_no_build_and_never_sees_a_late_change(small: Results, peer: str) -> None:
    one = small["week", peer]
    assert one["failed"] == 0, one["trouble"]
    assert one["builds_missing"] == 0
    assert one["builds_stale"] > 0
    assert one["jobs_stale"] > 0


@pytest.mark.parametrize("peer", ["dlt", "airbyte"])
def test_jobs_that_come_with_the_builds_come_without_retried_attempts(small: Results, peer: str) -> None:
    assert small["week", peer]["jobs_missing"] > small["week", "fivetran"]["jobs_missing"]


def test_a_429_that_ends_a_sync_well_loses_builds_for_ever() -> None:
    one = results("--only", "faros-429", "--task", "week", "--per-day", "60")["week", "faros-429"]
    assert (one["failed"], one["refused"]) == (0, 1)
    assert one["builds_missing"] > 100


@pytest.mark.parametrize(
    ("strategy", "requests"),
    [
        ("dlt", BUILDS // 100),
        ("airbyte", 1 + 3 + 10 * (BUILDS // 10 // 5 + 1)),  # a last page that is empty tells that there is no more
        ("faros", 1 + 10 * (BUILDS // 10 // 10)),
        ("fivetran", BUILDS // 100 + BUILDS),
    ],
)
def test_a_backfill_takes_what_the_pattern_takes_and_all_of_it_arrives(
    small: Results, strategy: str, requests: int
) -> None:
    one = small["backfill", strategy]
    assert one["requests"] - one["refused"] == requests
    assert wrong(one) == (0, 0, 0, 0), "the oracle asks of a peer what the peer cannot tell"


def test_ours_takes_a_hundredth_of_a_request_a_build(small: Results) -> None:
    assert small["backfill", "ours"]["requests"] <= BUILDS // 100 + 2


def test_a_second_run_tells_the_same(small: Results) -> None:
    again = results("--only", "fivetran", "airbyte")
    for key, one in again.items():
        assert {**one, "seconds": 0} == {**small[key], "seconds": 0}


def test_the_paper_says_how_each_strategy_works_and_that_ours_lost_nothing(tmp_path: Path) -> None:
    fresh = tmp_path / "benchmarks-cost.md"
    bench("--only", "fivetran", "--write", str(fresh))
    told, kept = (path.read_text(encoding="utf-8") for path in (fresh, PAPER))
    _, _, strategies = told.partition("## What each strategy does")
    assert strategies
    assert kept.endswith(strategies)
    assert re.search(r"^\| \*\*buildkite-elt\*\*( \| 0){4} \| 0 of \d+ \|$", kept, re.MULTILINE)
