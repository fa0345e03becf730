"""What many tests need: a small Buildkite over HTTP, a place for a file, and the command in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from buildkite_elt.cli import app
from buildkite_elt.standin import Budgets, Standin
from buildkite_elt.standin.demo import demo

Command = Callable[..., Result]

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


@pytest.fixture
def environment(standin: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in configured as a user would, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BUILDKITE_ORGANIZATION", raising=False)
    monkeypatch.setenv("BUILDKITE_API_TOKEN", standin.token)
    monkeypatch.setenv("BUILDKITE_REST_URL", standin.rest_url)
    monkeypatch.setenv("BUILDKITE_GRAPHQL_URL", standin.graphql_url)


@pytest.fixture
def command(environment: None) -> Command:
    """`command("load", "builds")` -> exit_code, stdout, stderr, of the stand-in's world."""
    return lambda *words, **more: CliRunner().invoke(app, [str(word) for word in words], **more)
