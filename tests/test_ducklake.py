"""dlt's own destination ducklake, with its catalogue in PostgreSQL, in an environment that has DuckDB's extensions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from environments import ROOT, needs_uv, uv
from postgres import Server


@needs_uv
@pytest.mark.slow
def test_loads_into_ducklake_with_its_catalogue_in_postgres(postgres: Server, tmp_path: Path) -> None:
    locked, python = tmp_path / "locked.txt", tmp_path / "venv" / "bin" / "python"
    uv("export", "-q", "--locked", "--no-dev", "--group", "ducklake", "--no-emit-project", "--no-hashes", "-o", locked)
    uv("venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
    uv("pip", "install", "--quiet", "--python", python, "--requirements", locked)
    found = [str(ROOT / name) for name in ("sources", "pipelines", "tests")]
    run = subprocess.run(
        [python, ROOT / "tests" / "ducklake_loads.py", postgres.url, tmp_path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(found)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    assert (told["wrong"], told["not"], told["versions"]) == ([], {}, 2)
    assert told["rows"][1] < told["rows"][0]
    assert told["views"] > 20
