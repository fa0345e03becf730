"""The second life: the wheel, in an environment that holds nothing else, run from a folder that is not the clone."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import duckdb
import pytest

from environments import ROOT, environment, needs_uv, uv

ROOTS = {"buildkite_ci": ROOT / "sources", "buildkite_elt": ROOT / "pipelines"}

pytestmark = [pytest.mark.slow, needs_uv]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--wheel", "--out-dir", folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bin_folder(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("installed"), wheel)


def run(bin_folder: Path, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """`buildkite-elt ARGS` of the wheel, in `folder`, with nothing of ours in its environment."""
    clean = {"PATH": os.defpath, "HOME": str(folder), "DLT_DATA_DIR": str(folder / "dlt")}
    command = [str(bin_folder / "buildkite-elt"), *args]
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True, timeout=300)


def test_the_wheel_holds_both_packages_whole_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        held = {name for name in opened.namelist() if ".dist-info/" not in name}
    ours = {
        str(path.relative_to(root))
        for package, root in ROOTS.items()
        for path in (root / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == ours


def test_the_wheel_carries_the_licence_and_the_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        (entry,) = (name for name in names if name.endswith(".dist-info/entry_points.txt"))
        assert b"buildkite-elt = buildkite_elt.cli:main" in opened.read(entry)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_installed_command_helps_and_lists_its_tables(bin_folder: Path, tmp_path: Path) -> None:
    told = run(bin_folder, tmp_path, "--help")
    assert told.returncode == 0, told.stderr
    for command in ("demo", "serve", "check", "tables", "load", "status", "sql"):
        assert command in told.stdout
    told = run(bin_folder, tmp_path, "tables", "--json")
    assert told.returncode == 0, told.stderr
    shipped = {path.stem for path in (ROOTS["buildkite_ci"] / "buildkite_ci" / "tables").glob("[!_]*.py")}
    assert {table["table"] for table in json.loads(told.stdout)} == shipped


def test_the_installed_demo_loads_a_warehouse(bin_folder: Path, tmp_path: Path) -> None:
    database = tmp_path / "demo.duckdb"
    done = run(bin_folder, tmp_path, "demo", "--database", str(database))
    assert done.returncode == 0, done.stdout + done.stderr
    with duckdb.connect(str(database), read_only=True) as opened:
        (schema,) = opened.execute(
            "select table_schema from information_schema.tables where table_name = 'jobs'"
        ).fetchone() or ("",)
        builds, jobs = (
            opened.execute(f"select count(*), count(distinct id) from {schema}.{table}").fetchone() or (0, 0)
            for table in ("builds", "jobs")
        )
    assert builds[0] == builds[1] > 100
    assert jobs[0] == jobs[1] > builds[0]
    assert oct(database.stat().st_mode & 0o777) == "0o600"
