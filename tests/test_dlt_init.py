"""The third life: `dlt init buildkite_ci duckdb --location REPOSITORY` copies a source that runs without the rest."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import duckdb
import pytest
from packaging.requirements import Requirement

from environments import ROOT, environment, needs_uv

SOURCE = ROOT / "sources" / "buildkite_ci"
HERE = Path(sys.executable).parent
NOT_COPIED = ("py.typed", "requirements.txt")
"""dlt leaves these two where they are (it merges the requirements into the project's own)."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="dlt init reads a git repository, and this is none"),
]


def surroundings(home: Path, **more: str) -> dict[str, str]:
    """An environment with nothing of this one but the way to git; dlt keeps its own files under `home`."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "DLT_DATA_DIR": str(home / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "PYTHONDONTWRITEBYTECODE": "1",
        **more,
    }


def init(dlt: Path, project: Path) -> str:
    """dlt init in `project`; what it printed."""
    project.mkdir()
    command = [str(dlt), "--non-interactive", "init", "buildkite_ci", "duckdb", "--location", str(ROOT)]
    home = project.with_name(f"{project.name}-home")
    done = subprocess.run(command, cwd=project, env=surroundings(home), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def given_away() -> set[str]:
    files = (path for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(SOURCE)) for path in files if path.name not in NOT_COPIED}


def needs(requirements: Path) -> dict[str, str]:
    """A requirements file's lines by package, each written the one way."""
    lines = [Requirement(line) for line in requirements.read_text().splitlines()]
    return {line.name: str(line) for line in lines}


def check(project: Path) -> None:
    """What dlt init must have left in a project."""
    copied = project / "buildkite_ci"
    assert {str(path.relative_to(copied)) for path in copied.rglob("*") if path.is_file()} == given_away()
    assert (copied / "tables" / "pipeline_metrics.graphql").exists()
    assert "destination='duckdb'" in (project / "buildkite_ci_pipeline.py").read_text()
    asked, wanted = needs(project / "requirements.txt"), needs(SOURCE / "requirements.txt")
    assert asked.pop("dlt") == f"dlt[duckdb]{wanted.pop('dlt').removeprefix('dlt')}"
    assert asked == wanted
    secrets = tomllib.loads((project / ".dlt" / "secrets.toml").read_text())
    config = tomllib.loads((project / ".dlt" / "config.toml").read_text())
    assert list(secrets["sources"]["buildkite_ci"]) == ["api_token"]
    assert list(config["sources"]["buildkite_ci"]) == ["organization"]


def test_dlt_init_copies_a_source_that_loads_by_itself(tmp_path: Path) -> None:
    from buildkite_elt.standin import Budgets, Standin
    from buildkite_elt.standin.demo import demo

    project = tmp_path / "project"
    init(HERE / "dlt", project)
    check(project)
    plenty = Budgets(rest=10**6, rest_user=10**6, graphql=10**6, graphql_user=10**6)
    with Standin(demo(builds_per_day=3, days=16), budgets=plenty) as buildkite:
        given = {
            "SOURCES__BUILDKITE_CI__ORGANIZATION": next(iter(buildkite.world.organizations)),
            "SOURCES__BUILDKITE_CI__API_TOKEN": buildkite.token,
            "SOURCES__BUILDKITE_CI__REST_URL": buildkite.rest_url,
            "SOURCES__BUILDKITE_CI__GRAPHQL_URL": buildkite.graphql_url,
            "SOURCES__BUILDKITE_CI__SINCE": "2000-01-01T00:00:00Z",
        }
        script = "import buildkite_ci, buildkite_ci_pipeline as it; print(buildkite_ci.__file__); it.load()"
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=project,
            env=surroundings(tmp_path / "home", **given),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        truth = buildkite.world.organizations[given["SOURCES__BUILDKITE_CI__ORGANIZATION"]]
    assert Path(done.stdout.splitlines()[0]) == project / "buildkite_ci" / "__init__.py"
    with duckdb.connect(str(project / "buildkite_ci.duckdb"), read_only=True) as opened:
        loaded = {one for (one,) in opened.execute("select id from ci.builds").fetchall()}
        jobs = opened.execute("select count(*), count(distinct id) from ci.jobs").fetchone()
    assert loaded == set(truth.builds)
    every = sum(len(build["jobs"]) for build in truth.builds.values())
    assert jobs == (every, every)


@needs_uv
def test_dlt_init_needs_nothing_but_dlt(tmp_path: Path) -> None:
    """The source is imported before its packages are installed, so importing it must not use them."""
    bare = environment(tmp_path, "dlt")
    missing = subprocess.run([bare / "python", "-c", "import pyarrow"], capture_output=True, text=True)
    assert "No module named 'pyarrow'" in missing.stderr
    project = tmp_path / "project"
    init(bare / "dlt", project)
    check(project)
