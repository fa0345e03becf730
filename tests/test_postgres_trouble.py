"""PostgreSQL, or the way to it, fails before or amid a load: one sentence, nothing half, and the next load is right."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import psycopg
import pytest

from buildkite_elt import warehouse
from buildkite_elt.loads import LoadFailed, Target
from buildkite_elt.standin import Standin
from conftest import Command
from faults import PLENTY, SCALE, go_on, into, tried, world
from postgres import Server
from proxy import proxy
from test_kill import Seen, builds
from test_week import world_of_twenty
from truth import wrong

pytestmark = pytest.mark.slow
TABLES = ("builds", "jobs", "pipelines", "team_members")
LOAD = ("load", *TABLES, "--destination", "postgres", "-o", "acme", "--since", "2020-01-01", "--quiet")
STAYS = "What was committed stays, and the next load goes on from there"


@pytest.fixture
def standin() -> Iterator[Standin]:
    with Standin(world(), budgets=PLENTY) as here:
        yield here


@pytest.fixture
def weak(postgres: Server) -> Iterator[str]:
    """The URL of a user who may connect, and nothing more."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE weak LOGIN PASSWORD 'weak'")
        yield postgres.url.replace(f"postgres:{postgres.password}", "weak:weak")
        connection.execute("DROP OWNED BY weak CASCADE; DROP ROLE weak")


def half(url: str, before: Seen, after: Seen) -> list[str]:
    """What a reader who keeps to completed loads (those in _dlt_loads) finds that is neither old nor new."""
    with psycopg.connect(url) as connection:
        complete = {one for (one,) in connection.execute("SELECT load_id FROM ci._dlt_loads").fetchall()}
        jobs = connection.execute("SELECT build_id, id, state, _dlt_load_id FROM ci.jobs ORDER BY id").fetchall()
        rows = connection.execute("SELECT id, state, _dlt_load_id FROM ci.builds").fetchall()
    found = [] if len({one for one, *_ in rows}) == len(rows) else ["builds are there twice"]
    for one, state, load in rows:
        mine = [job for job in jobs if job[0] == one]
        whole = {load, *(job[3] for job in mine)} <= complete
        if whole and (state, tuple(job[1:3] for job in mine)) not in (before.get(one), after[one]):
            found.append(f"build {one} is {state} with {mine}")
    return found


def test_an_outage_amid_a_load_is_told_and_the_next_load_is_right(
    postgres: Server, into_postgres: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At some byte the server is gone, or each connection; a load gets over the latter by itself, or says so."""
    life, random, told = world_of_twenty(), Random(9), []
    with Standin(life, budgets=PLENTY) as standin, proxy(postgres.port) as way:
        url = postgres.url.replace(f":{postgres.port}/", f":{way.port}/")
        monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", url)
        assert into(standin, into_postgres, *TABLES).exit_code == 0
        for nth in range(4 if SCALE == 1 else 20):
            before, crash = builds(standin), nth % 2 == 0
            life.advance(timedelta(hours=8))
            way.at = way.sent + ((20_000, 60_000, 100_000, 150_000)[nth] if nth < 4 else random.randrange(200_000))
            way.do = (lambda: postgres.stop(signal.SIGQUIT)) if crash else way.reset
            outcome = tried(lambda: into(standin, into_postgres, *TABLES))
            way.at = None
            if crash:
                postgres.stop()
                postgres.start()
            if isinstance(outcome, LoadFailed):
                told.append(str(outcome))
            else:
                assert outcome.exit_code == 0
            assert half(postgres.url, before, builds(standin)) == []
            assert into(standin, into_postgres, *TABLES).exit_code == 0
            assert wrong(postgres.url, life, "acme", TABLES) == []
            assert not into_postgres.work.exists()
    assert len(told) >= 2
    assert [one for one in told if not re.fullmatch(rf"Loading into postgres failed: [^\n]*\. {STAYS}", one)] == []


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("password", "password authentication failed for user .* Give another user or password under"),
        ("database", "database .nowhere. does not exist. Create it, or name another one"),
        ("create", "permission denied for database postgres. Let this user create schemas"),
        ("schema", "permission denied for schema ci. Let this user create .* owner of ci and ci_staging"),
        ("statements", "statement.* Give its statements more time: ALTER ROLE"),
        ("stopped", "Connection refused. See that the server runs"),
    ],
)
def test_what_refuses_a_load_is_told_with_what_to_do(
    command: Command,
    postgres: Server,
    into_postgres: Target,
    weak: str,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    says: str,
) -> None:
    ways = {
        "password": (postgres.url.replace(postgres.password, "wrong"), ""),
        "database": (postgres.url.removesuffix("postgres") + "nowhere", ""),
        "create": (weak, ""),
        "schema": (weak, "CREATE SCHEMA ci; GRANT USAGE ON SCHEMA ci TO weak"),
        "statements": (weak, "GRANT CREATE ON DATABASE postgres TO weak; ALTER ROLE weak SET statement_timeout = 1"),
        "stopped": (f"postgresql://postgres:any@127.0.0.1:{postgres.port + 1}/postgres", ""),
    }
    url, first = ways[what]
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(first.encode())
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", url)
    result = command(*LOAD)
    assert result.exit_code == 1
    assert re.search(says, " ".join(result.stderr.split()))
    assert "Traceback" not in result.output


def test_a_reader_who_keeps_a_view_keeps_all_of_them_and_no_load_waits_for_him(
    standin: Standin, postgres: Server, into_postgres: Target
) -> None:
    """Views and their data are old together, rows are new; once he is gone, the views are new too."""
    told = "SELECT count(*), min(obj_description(oid)), max(obj_description(oid)) FROM pg_class WHERE relkind = 'v'"
    told += " AND relnamespace = 'ci'::regnamespace"
    assert into(standin, into_postgres, *TABLES).exit_code == 0
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        views = [one for (one,) in connection.execute("SELECT viewname FROM pg_views WHERE schemaname = 'ci'")]
        for name in views:
            connection.execute(f"COMMENT ON VIEW ci.{name} IS 'old'".encode())
        connection.execute("DELETE FROM ci.failure_rules")
        with psycopg.connect(postgres.url) as reader:
            reader.execute("SELECT * FROM ci.job_attempts")
            go_on(standin.world)
            outcome = into(standin, into_postgres, *TABLES)
            assert outcome.exit_code == 0
            assert [one[:24] for one in outcome.warnings.values()] == ["The views stay as they w"]
            assert connection.execute(told.encode()).fetchone() == (len(views), "old", "old")
            assert connection.execute("SELECT count(*) FROM ci.failure_rules").fetchone() == (0,)
            assert wrong(postgres.url, standin.world, "acme", TABLES) == []
        assert into(standin, into_postgres, *TABLES).warnings == {}
        assert "old" not in (connection.execute(told.encode()).fetchone() or ())
        assert connection.execute("SELECT count(*) > 0 FROM ci.failure_rules").fetchone() == (True,)


def test_a_load_that_must_change_a_table_waits_so_long_for_its_reader_and_no_longer(
    standin: Standin, postgres: Server, into_postgres: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert into(standin, into_postgres, *TABLES).exit_code == 0
    with warehouse.pipeline(into_postgres, "acme") as pipe, pipe.sql_client() as client:
        assert client.execute_sql("SHOW lock_timeout") == [("30s",)]
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", f"{postgres.url}?options=-c%20lock_timeout%3D300ms")
    with psycopg.connect(postgres.url, autocommit=True) as connection:  # as a version without this column left it
        connection.execute("ALTER TABLE ci.jobs DROP COLUMN more CASCADE; DELETE FROM ci._dlt_version")
        with psycopg.connect(postgres.url) as reader:
            reader.execute("SELECT * FROM ci.jobs")
            with pytest.raises(
                LoadFailed, match=r"lock timeout\. Another session's transaction holds what the load must"
            ):
                into(standin, into_postgres, *TABLES)
        go_on(standin.world)
        assert into(standin, into_postgres, *TABLES).exit_code == 0
        assert connection.execute("SELECT more FROM ci.jobs").fetchone() is not None
    assert wrong(postgres.url, standin.world, "acme", TABLES) == []


@pytest.mark.parametrize(("nth", "code"), [(1, 1), (5, 3)])
def test_the_api_is_gone_for_longer_than_retries(
    standin: Standin, postgres: Server, into_postgres: Target, nth: int, code: int
) -> None:
    assert into(standin, into_postgres, *TABLES).exit_code == 0
    before = builds(standin)
    go_on(standin.world)
    standin.trouble.add("reset-before-headers", nth=nth, times=None)
    outcome = into(standin, into_postgres, *TABLES)
    assert outcome.exit_code == code
    assert {"builds", "team_members"} <= outcome.failed.keys()
    assert [one for one in outcome.failed.values() if not one.endswith("check the URL and the network")] == []
    assert half(postgres.url, before, builds(standin)) == []
    standin.trouble.clear()
    assert into(standin, into_postgres, *TABLES).exit_code == 0
    assert wrong(postgres.url, standin.world, "acme", TABLES) == []


@pytest.fixture
def small_disk(postgres: Server, into_postgres: Target) -> Iterator[Path]:
    """A tablespace of 8 MB, for all that is made: the folder it is in."""
    folder = postgres.folder / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=777", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk takes root, and a machine where root may mount one")
    space = folder / "space"
    space.mkdir()
    shutil.chown(space, "postgres")
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        try:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{space}'".encode())
            connection.execute("ALTER ROLE postgres SET default_tablespace = small")
            yield folder
        finally:
            connection.execute("ALTER ROLE postgres RESET default_tablespace")
            connection.execute("DROP SCHEMA IF EXISTS ci, ci_staging CASCADE")
            connection.execute("CHECKPOINT")  # else files of what is dropped wait for one
            connection.execute("DROP TABLESPACE small")
            subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_once_there_is_space_the_next_load_is_right(
    standin: Standin, postgres: Server, into_postgres: Target, small_disk: Path
) -> None:
    assert into(standin, into_postgres, *TABLES).exit_code == 0
    go_on(standin.world)
    filling = small_disk / "filling"
    with filling.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 12))
    failed = tried(lambda: into(standin, into_postgres, *TABLES))
    assert isinstance(failed, LoadFailed)
    assert str(failed).startswith("The disk of postgres is full. What was committed stays; free some space")
    filling.unlink()
    assert into(standin, into_postgres, *TABLES).exit_code == 0
    assert wrong(postgres.url, standin.world, "acme", TABLES) == []
