"""The state is the destination's: an empty machine goes on from it, and loads of one dataset keep out of each other's way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from buildkite_elt.loads import Busy, Target
from buildkite_elt.server_lock import Lost, key
from buildkite_elt.standin import Standin
from buildkite_elt.standin.demo import demo, empty
from buildkite_elt.standin.life import Life
from buildkite_elt.warehouse import alone
from faults import PLENTY
from postgres import Server
from truth import wrong

SCRIPT = Path(sys.executable).with_name("buildkite-elt")
TABLES = ("builds", "teams", "pipelines", "annotations")
FEW = ("builds", "pipelines")


class Machine:
    """A machine as a container is: a folder, a home, and nothing else but what is put there."""

    def __init__(self, folder: Path, standin: Standin, postgres: Server | None = None) -> None:
        folder.mkdir()
        self.folder = folder
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder), "BUILDKITE_API_TOKEN": standin.token}
        self.env |= {"BUILDKITE_REST_URL": standin.rest_url, "BUILDKITE_GRAPHQL_URL": standin.graphql_url}
        if postgres:
            self.env["DESTINATION__POSTGRES__CREDENTIALS"] = postgres.url
        self.where = ("--destination", "postgres", "--dataset", "loaded") if postgres else ()

    def started(self, *words: str) -> subprocess.Popen[str]:
        command = [str(SCRIPT), "load", *words, "--since", "2020-01-01", "--quiet", *self.where]
        return subprocess.Popen(command, env=self.env, cwd=self.folder, stderr=subprocess.PIPE, text=True)

    def load(self, *words: str) -> None:
        one = self.started(*words)
        assert ended(one) == (0, "")


def ended(one: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = one.communicate(timeout=120)
    return one.returncode, said


@pytest.fixture
def dataset(postgres: Server) -> Iterator[str]:
    pytest.importorskip("psycopg2", reason="dlt loads into PostgreSQL by psycopg2, which is not here")
    yield "loaded"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS loaded, loaded_staging CASCADE")


def small() -> Standin:
    return Standin(demo(days=16, pipelines=4, builds_per_day=1), budgets=PLENTY)


def one_more(standin: Standin) -> None:
    """The world goes on: a build that is running, and the one before it has ended."""
    (slug,) = standin.world.organizations
    life = Life(standin.world, slug)
    life.build(next(iter(standin.world.organizations[slug].pipelines.values()))["slug"], 2, takes=300)
    standin.world.advance(200)


def requests(standin: Standin, machine: Machine) -> list[str]:
    """What one load asks for, in order of the alphabet; without moments, which differ by the load."""
    before = len(standin.seen)
    machine.load(*TABLES, "-o", next(iter(standin.world.organizations)))
    return sorted(f"{one.method} {one.path.partition('?')[0]}" for one in standin.seen[before:])


@pytest.mark.slow
def test_a_machine_with_nothing_but_the_file_asks_what_one_asks_that_kept_its_folder(tmp_path: Path) -> None:
    with small() as here, small() as there:
        kept, asked = Machine(tmp_path / "kept", here), []
        for number in range(3):
            fresh = Machine(tmp_path / f"fresh{number}", there)
            if number:
                shutil.copy(tmp_path / f"fresh{number - 1}" / "buildkite.duckdb", fresh.folder)
            asked.append((requests(here, kept), requests(there, fresh)))
            one_more(here), one_more(there)
        assert all(one == other for one, other in asked)
        assert len(asked[0][0]) > len(asked[1][0])
        (slug,) = there.world.organizations
        fresh.load(*TABLES, "-o", slug)
        assert wrong(fresh.folder / "buildkite.duckdb", there.world, slug, ("builds", "jobs", "pipelines")) == []
        assert {path.name for path in fresh.folder.iterdir() if path.is_dir()} <= {".dlt", ".cache"}


@pytest.mark.slow
def test_a_machine_with_nothing_goes_on_from_postgresql(tmp_path: Path, postgres: Server, dataset: str) -> None:
    with small() as here, small() as there:
        kept, asked = Machine(tmp_path / "kept", here), []
        for number in range(3):
            fresh = Machine(tmp_path / f"fresh{number}", there, postgres)
            asked.append((requests(here, kept), requests(there, fresh)))
            one_more(here), one_more(there)
        assert all(one == other for one, other in asked)
        builds = "SELECT id, state FROM {}.builds ORDER BY id"
        with duckdb.connect(str(kept.folder / "buildkite.duckdb"), read_only=True) as duck:
            rows = duck.execute(builds.format("ci")).fetchall()
        with psycopg.connect(postgres.url) as connection:
            assert connection.execute(builds.format(dataset).encode()).fetchall() == rows


@pytest.fixture
def two() -> Iterator[Standin]:
    """Two organizations with 200 builds each."""
    world = empty(organizations=("acme", "beta"))
    for slug in world.organizations:
        life, now = Life(world, slug), world.clock.now()
        life.history(life.pipeline("app"), 200, 2, now - timedelta(days=20), now - timedelta(hours=2))
    with Standin(world, budgets=PLENTY) as standin:
        yield standin


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["duckdb", "postgres"])
def test_schedules_of_two_organizations_on_one_dataset_wait_for_each_other_and_lose_nothing(
    two: Standin, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    """At once: the news of one, the history of the other in several loads, and of the first one too."""
    postgres = request.getfixturevalue("postgres") if kind == "postgres" else None
    if postgres:
        request.getfixturevalue("dataset")
    one = Machine(tmp_path / "one", two, postgres)
    other = Machine(tmp_path / "other", two, postgres) if postgres else one
    two.trouble.add("slow", path="/builds", times=None, pieces=2, pause=0.2)
    told = [
        one.started(*FEW, "-o", "acme", "--wait", "2m"),
        other.started(*FEW, "-o", "beta", "--wait", "2m", "--max-requests", "2"),
        other.started(*FEW, "-o", "acme,beta", "--wait", "2m"),
    ]
    codes = [ended(process) for process in told]
    assert [code for code, _ in codes] in ([0, 0, 0], [0, 3, 0]), codes
    if not postgres:
        for slug in ("acme", "beta"):
            file = one.folder / "buildkite.duckdb"
            assert wrong(file, two.world, slug, ("builds", "jobs", "pipelines")) == []
        return
    counts = "SELECT organization_slug, count(*), count(DISTINCT id) FROM loaded.{} GROUP BY 1 ORDER BY 1"
    with psycopg.connect(postgres.url) as connection:
        for table, number in (("builds", 200), ("jobs", 400), ("pipelines", 1)):
            rows = connection.execute(counts.format(table).encode()).fetchall()
            assert rows == [("acme", number, number), ("beta", number, number)]


@pytest.fixture
def target(postgres: Server, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", postgres.url)
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    return Target("postgres", dataset=dataset)


@pytest.mark.slow
def test_two_machines_keep_out_of_one_another_s_way_by_a_lock_of_the_server(
    target: Target, postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(postgres.url) as another:  # another machine: no file of ours is there
        another.execute("SELECT pg_advisory_lock(%s)", [key("loaded")])
        with (
            pytest.raises(Busy, match=rf"a lock by process {another.info.backend_pid} of the server, for 127"),
            alone(target),
        ):
            pass
        other: Any = Target("postgres", dataset="elsewhere")
        with alone(other):
            pass
    with alone(target, wait=10) as still:
        still()
        monkeypatch.setattr("buildkite_elt.server_lock.OFTEN", 0.0)
        still()
        with psycopg.connect(postgres.url, autocommit=True) as another:
            another.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            )
        with pytest.raises(Lost, match="the next load goes on from there"):
            still()
    with alone(target):
        pass
