"""The state is the destination's: an empty machine goes on from it, and loads of one dataset do not disturb others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import duckdb
import psycopg
import pytest

from buildkite_elt.loads import Busy, Origin, Target, load
from buildkite_elt.server_lock import Lost, key
from buildkite_elt.standin import Standin
from buildkite_elt.standin.demo import demo
from buildkite_elt.warehouse import alone
from conftest import Command
from faults import LONG_AGO, PLENTY
from postgres import Server

SCRIPT = Path(sys.executable).with_name("buildkite-elt")
TABLES = ("builds", "teams", "pipelines", "annotations")


def started(folder: Path, standin: Standin, postgres: Server, *words: str) -> subprocess.Popen[str]:
    """A load as a machine of its own begins it: a folder, a home, and nothing else."""
    folder.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "BUILDKITE_API_TOKEN": standin.token}
    env |= {"BUILDKITE_REST_URL": standin.rest_url, "BUILDKITE_GRAPHQL_URL": standin.graphql_url}
    env |= {"DESTINATION__POSTGRES__CREDENTIALS": postgres.url}
    where = ("--destination", "postgres", "--dataset", "loaded", "--since", "2020-01-01", "--quiet")
    command = [str(SCRIPT), "load", *words, *where]
    return subprocess.Popen(command, env=env, cwd=folder, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def dataset(postgres: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A dataset of the server, for dlt to find, and gone afterwards."""
    pytest.importorskip("psycopg2", reason="dlt loads into PostgreSQL by psycopg2, which is not here")
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", postgres.url)
    yield "loaded"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS loaded, loaded_staging CASCADE")


def asked(standin: Standin, target: Target) -> list[str]:
    """What a load asks for, in order of the alphabet, with the names of its parameters (moments are the load's own)."""
    before, slugs = len(standin.seen), tuple(standin.world.organizations)
    origin = Origin(slugs, standin.token, standin.rest_url, standin.graphql_url)
    load(origin, target, TABLES, LONG_AGO, sleep=standin.clock.sleep)
    return sorted(f"{one.method} {one.path} {sorted({*parse_qs(one.query)})}" for one in standin.seen[before:])


def small() -> Standin:
    return Standin(demo(days=16, pipelines=12, builds_per_day=1), budgets=PLENTY)


@pytest.mark.slow
def test_machines_with_nothing_ask_what_one_asks_that_kept_its_folder(
    tmp_path: Path, postgres: Server, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each load of these is in a new folder with a new home: of the load before there is the database alone."""
    kept, server = Target(database=tmp_path / "kept" / "buildkite.duckdb"), Target("postgres", dataset=dataset)
    with small() as here, small() as there, small() as beyond:
        for number in range(2):
            fresh = tmp_path / f"fresh{number}"
            fresh.mkdir()
            monkeypatch.chdir(fresh)
            monkeypatch.setenv("HOME", str(fresh))
            monkeypatch.setenv("DLT_DATA_DIR", str(fresh / "dlt"))
            if number:
                shutil.copy(tmp_path / "fresh0" / "buildkite.duckdb", fresh)
            mine = asked(here, kept)
            assert asked(there, Target()) == mine
            assert asked(beyond, server) == mine
            left = {str(path.relative_to(fresh)) for path in fresh.rglob("*") if path.is_file()}
            assert left - {"buildkite.duckdb"} == {path for path in left if path.endswith(".lock")}
            for standin in (here, there, beyond):
                standin.world.advance(8 * 3600)  # builds go on, and new ones arrive
        assert any("finished_from" in one for one in mine), "the second load of each went on from the first"
        builds = "SELECT id, state, last_seen_at FROM {}.builds ORDER BY id"
        rows = []
        for file in (kept.database, fresh / "buildkite.duckdb"):
            with duckdb.connect(str(file), read_only=True) as duck:
                rows.append(duck.execute("SET TimeZone = 'UTC'; " + builds.format("ci")).fetchall())
        with psycopg.connect(postgres.url, options="-c timezone=UTC") as connection:
            rows.append(connection.execute(builds.format(dataset).encode()).fetchall())
    assert rows[0] == rows[1] == rows[2]
    assert len(rows[0]) > 36


@pytest.mark.slow
def test_two_schedules_for_two_organizations_on_one_dataset_wait_for_each_other_and_lose_nothing(
    tmp_path: Path, postgres: Server, dataset: str
) -> None:
    """At once, from two machines: the news of both, and a part of the history of one."""
    with Standin(demo(days=16, builds_per_day=3, organizations=("acme", "beta")), budgets=PLENTY) as standin:
        standin.trouble.add("slow", path="/builds", times=None, pieces=2, pause=0.2)
        told = [
            started(tmp_path / "one", standin, postgres, "builds", "-o", "acme,beta", "--wait", "2m"),
            started(
                tmp_path / "other", standin, postgres, "builds", "-o", "beta", "--wait", "2m", "--max-requests", "2"
            ),
        ]
        said = [(one.communicate(timeout=120)[1], one.returncode) for one in told]
        assert said in ([("", 0), ("", 0)], [("", 0), ("", 3)])
        truth = {
            "builds": [(slug, one) for slug, here in standin.world.organizations.items() for one in here.builds],
            "jobs": [(slug, job["id"]) for slug, here in standin.world.organizations.items() for _, job in here.jobs()],
        }
    with psycopg.connect(postgres.url) as connection:
        for table, rows in truth.items():
            found = connection.execute(f"SELECT organization_slug, id FROM {dataset}.{table}".encode()).fetchall()
            assert sorted(found) == sorted(rows)
        runs = f"SELECT min(started_at), max(finished_at) FROM {dataset}.sync_runs GROUP BY run_id ORDER BY 1"
        (_, first_ended), (second_began, _) = connection.execute(runs.encode()).fetchall()
        assert first_ended <= second_began


def test_a_load_waits_for_another_one_of_the_file(command: Command, database: Path) -> None:
    holding, held = threading.Event(), threading.Event()

    def hold() -> None:
        with alone(Target(database=database)):
            held.set()
            holding.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(30)
    assert command("load", "emojis", "--wait", "0.001m").exit_code == 4
    threading.Timer(0.5, holding.set).start()
    assert command("load", "emojis", "--wait", "1m").exit_code == 0
    holder.join()
    assert "--wait 'long' is no span" in command("load", "emojis", "--wait", "long").stderr


@pytest.fixture
def target(dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
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
