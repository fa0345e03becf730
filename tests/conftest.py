"""What many tests need: a small Buildkite over HTTP, the demo's file, and the command in this process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from filelock import FileLock
from typer.testing import CliRunner, Result

from buildkite_elt import watching
from buildkite_elt.cli import app
from buildkite_elt.loads import Target
from buildkite_elt.standin import Budgets, Standin
from buildkite_elt.standin.demo import demo

if TYPE_CHECKING:
    from postgres import Server

Command = Callable[..., Result]
Configured = Callable[[str], None]

ENOUGH = Budgets(rest=10**6, rest_user=10**6, graphql=10**6, graphql_user=10**6)
"""No waiting: the small world's clock stands still."""


@pytest.fixture
def standin() -> Iterator[Standin]:
    """A hundred builds of twelve pipelines, at rest."""
    with Standin(demo(days=16, pipelines=12, builds_per_day=3), budgets=ENOUGH) as here:
        yield here


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "buildkite.duckdb"


@pytest.fixture(scope="session")
def demo_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's buildkite.duckdb, made once for all workers (40 s). Read it; who writes copies it."""
    mine = tmp_path_factory.getbasetemp()
    folder = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine
    file = folder / "demo" / "buildkite.duckdb"
    with FileLock(folder / "demo.lock"):
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            making = file.with_name("making.duckdb")
            making.unlink(missing_ok=True)
            command = [sys.executable, "-c", "from buildkite_elt.cli import main; main()", "demo", "-d", str(making)]
            said = subprocess.run(command, check=True, capture_output=True, text=True)
            assert "could not be made" not in said.stdout
            making.rename(file)
    return file


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server, one for each worker. What a test commits there, it takes away again."""
    from postgres import MISSING, server

    if MISSING:
        pytest.skip(MISSING)
    with server() as here:
        yield here


@pytest.fixture
def into_postgres(postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """What dlt needs for loads into that server, and a dataset, which is gone afterwards."""
    pytest.importorskip("psycopg2", reason="dlt loads into PostgreSQL by psycopg2, which is not here")
    import psycopg

    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", postgres.url)
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    yield Target("postgres")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS ci, ci_staging CASCADE")


@pytest.fixture
def environment(standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in configured as a user would, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BUILDKITE_ORGANIZATION", raising=False)
    monkeypatch.setenv("BUILDKITE_API_TOKEN", standin.token)
    monkeypatch.setenv("BUILDKITE_REST_URL", standin.rest_url)
    monkeypatch.setenv("BUILDKITE_GRAPHQL_URL", standin.graphql_url)


@pytest.fixture
def command(environment: None) -> Iterator[Command]:
    """`command("load", "builds")` -> exit_code, stdout, stderr, of the stand-in's world."""
    yield lambda *words, **more: CliRunner().invoke(app, [str(word) for word in words], **more)
    watching.lines(False)


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Configured]:
    """`configured(text)`: dlt's configuration, as if the process had begun in a folder with that config.toml."""
    context = Container()[PluggableRunContext]

    def write(text: str) -> None:
        (tmp_path / ".dlt").mkdir(exist_ok=True)
        (tmp_path / ".dlt" / "config.toml").write_text(text, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        context.reload_providers()

    yield write
    monkeypatch.undo()
    context.reload_providers()
