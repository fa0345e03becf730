"""T3: faults through dlt into DuckDB, and what the command then says.

Exit code 0 only with the truth in the file; any other, and one clean load later it is there.
BUILDKITE_ELT_SCALE=10 takes every kind at five positions, without it each kind has one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildkite_elt.loads import Target
from buildkite_elt.standin import Standin
from faults import PLENTY, REST_KINDS, SCALE, STALLS, go_on, into, small_pages, tried, world
from truth import wrong

TABLES = ("builds", "jobs", "pipelines", "team_members")
KINDS = [kind for kind in REST_KINDS if kind not in STALLS | {"slow"}]
"""A stall costs its minute of patience here; test_faults.py has them at every position."""
POSITIONS = (1, 4, 7, 10, 13)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Standin, bytes]]:
    """A stand-in that stands still, and the file that a first load of the world before left."""
    file = tmp_path_factory.mktemp("old") / "buildkite.duckdb"
    with small_pages(5), Standin(world(), budgets=PLENTY) as standin:
        assert into(standin, Target(database=file), *TABLES).exit_code == 0
        go_on(standin.world)
        yield standin, file.read_bytes()


def cases() -> list[tuple[str, int, bool]]:
    """(kind, position, whether the file is new)"""
    every = [(kind, position, at % 2 == 0) for kind in KINDS for at, position in enumerate(POSITIONS)]
    return every if SCALE > 1 else [every[5 * at + at % 5] for at in range(len(KINDS))][::2]


@pytest.mark.parametrize(("kind", "position", "fresh"), cases())
def test_success_means_the_truth_and_failure_is_made_good_by_the_next_load(
    scene: tuple[Standin, bytes], tmp_path: Path, kind: str, position: int, fresh: bool
) -> None:
    standin, old = scene
    target = Target(database=tmp_path / "buildkite.duckdb")
    if not fresh:
        target.database.write_bytes(old)
    rule = standin.trouble.add(kind, nth=position)
    outcome = tried(lambda: into(standin, target, *TABLES))
    standin.trouble.clear()
    code = 1 if isinstance(outcome, Exception) else outcome.exit_code
    assert rule.hit == 1
    assert code in (0, 1, 3)
    if code:
        assert into(standin, target, *TABLES).exit_code == 0
    assert wrong(target.database, standin.world, "acme", TABLES) == []
    assert not target.work.exists()


COMMANDS = [("503", "/pipelines", 1, 0), ("half-json", "/builds", 1, 0), ("404", "/teams", 1, 3)]
COMMANDS += [("403", "/teams$|/teams[?]", 1, 3), ("401", "/builds", 1, 1), ("link-foreign", "/builds", 1, 3)]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "path", "nth", "code"), COMMANDS if SCALE > 1 else COMMANDS[::2])
def test_the_exit_code_of_the_command_says_what_became_of_it(
    scene: tuple[Standin, bytes], tmp_path: Path, kind: str, path: str, nth: int, code: int
) -> None:
    standin, _ = scene
    command = [sys.executable, "-c", "from buildkite_elt.cli import main; main()"]
    command += ["load", *TABLES, "-o", "acme", "-d", str(tmp_path / "b.duckdb"), "--since", "2020-01-01", "--quiet"]
    urls = {"BUILDKITE_REST_URL": standin.rest_url, "BUILDKITE_GRAPHQL_URL": standin.graphql_url}
    env = os.environ | urls | {"BUILDKITE_API_TOKEN": standin.token}
    standin.trouble.add(kind, path=path, nth=nth)
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    standin.trouble.clear()
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if code:
        again = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert again.returncode == 0, again.stderr
    assert wrong(tmp_path / "b.duckdb", standin.world, "acme", TABLES) == []
