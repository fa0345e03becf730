"""The bench of job logs: its logs have the shape of real ones, and a small run tells what it is to tell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


def run(folder: Path, *words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.logs", "--runs", "1", "--json", str(folder / "out.json"), *words]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    told: dict[str, Any] = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    return told | {figure["name"].strip(): figure for figure in told["figures"]}


@pytest.mark.slow
def test_a_small_run(tmp_path: Path) -> None:
    told = run(tmp_path, "--only", "parquet", "exact", "--logs", "40", "--streams", "60")
    assert told["Random streams read as specified"]["runs"] == [60]
    assert 5 < told["Parquet's size"]["runs"][0] < 20
    assert told["two processes, by the clock"]["runs"][0] > 0
    shape = told["corpus"]  # of real logs: 134 bytes and 7 control bytes a line, zstd leaves 13 to 16 %
    assert shape["bytes"] == pytest.approx(134, abs=4)
    assert shape["controls"] == pytest.approx(7, abs=0.5)
    assert 0.12 < shape["zstd"] < 0.16


@pytest.mark.slow
def test_memory_is_that_of_a_block_however_long_a_log_or_a_line_is(tmp_path: Path) -> None:
    told = run(tmp_path, "--only", "memory", "--size", "300")
    peaks = {figure["name"]: figure["runs"][0] for figure in told["figures"]}
    assert len(peaks) == 5
    assert max(peaks.values()) <= 256, peaks
    short, long = (peaks[f"Memory above imports, {size} MB log"] for size in (30, 300))
    assert long <= short + 40, peaks  # what is kept of the groups, and the allocator's whims
