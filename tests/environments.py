"""Empty environments for the tests of what is shipped: made by uv, filled in the lock's versions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
UV = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))

needs_uv = pytest.mark.skipif(UV is None, reason="uv, which builds and installs, is not there")


def uv(*args: str | Path) -> None:
    """Run uv in the clone."""
    assert UV
    env = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run([UV, *map(str, args)], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def environment(folder: Path, package: str | Path) -> Path:
    """A new environment in `folder` that holds `package` and what it asks for; the folder of its commands."""
    locked = folder / "locked.txt"
    uv("export", "--quiet", "--locked", "--no-dev", "--no-emit-project", "--no-hashes", "--output-file", locked)
    uv("venv", "--quiet", "--python", sys.executable, folder / "venv")
    commands = folder / "venv" / "bin"
    uv("pip", "install", "--quiet", "--python", commands / "python", "--constraints", locked, package)
    return commands


def ducklake(catalog: str, folder: Path, builds_per_day: int) -> dict[str, Any]:
    """What ducklake_loads.py tells, in the environment that has DuckDB's extensions. catalog: a PostgreSQL database."""
    locked, python = folder / "locked.txt", folder / "venv" / "bin" / "python"
    uv("export", "-q", "--locked", "--no-dev", "--group", "ducklake", "--no-emit-project", "--no-hashes", "-o", locked)
    uv("venv", "--quiet", "--python", sys.executable, folder / "venv")
    uv("pip", "install", "--quiet", "--python", python, "--requirements", locked)
    found = [str(ROOT / name) for name in ("sources", "pipelines", "tests")]
    run = subprocess.run(
        [python, ROOT / "tests" / "ducklake_loads.py", catalog, folder, str(builds_per_day)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(found)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    told: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return told
