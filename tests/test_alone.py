"""T15: one load at a time, readers beside it, what an earlier load left behind, and an end on request."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dlt import Pipeline

from buildkite_ci.errors import BuildkiteError
from buildkite_elt.loads import Busy, LoadFailed, Origin, Outcome, Target, load
from buildkite_elt.standin import Standin
from buildkite_elt.standin.demo import demo, empty
from buildkite_elt.standin.life import Life
from faults import LONG_AGO, PLENTY, SCALE
from truth import wrong

SCRIPT = Path(sys.executable).with_name("buildkite-elt")
TABLES = ("builds", "pipelines")


@pytest.fixture
def standin() -> Iterator[Standin]:
    """300 builds over twenty days."""
    world = empty()
    life, now = Life(world, "acme"), world.clock.now()
    life.history(life.pipeline("app"), 300, 2, now - timedelta(days=20), now - timedelta(hours=2))
    with Standin(world, budgets=PLENTY) as here:
        yield here


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "buildkite.duckdb"


def into(standin: Standin, file: Path, *tables: str, progress: Callable[..., None] | None = None) -> list[Outcome]:
    """One load of every organization."""
    origin = Origin(tuple(standin.world.organizations), standin.token, standin.rest_url, standin.graphql_url)
    target = Target(database=file)
    return load(origin, target, tables or TABLES, LONG_AGO, progress=progress, sleep=standin.clock.sleep)


def command(standin: Standin, file: Path) -> list[str]:
    return [str(SCRIPT), "load", *TABLES, "-o", "acme", "--since", "2020-01-01", "-d", str(file), "--quiet"]


def environment(standin: Standin) -> dict[str, str]:
    urls = {"BUILDKITE_REST_URL": standin.rest_url, "BUILDKITE_GRAPHQL_URL": standin.graphql_url}
    return os.environ | urls | {"BUILDKITE_API_TOKEN": standin.token}


def started(standin: Standin, file: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(standin, file), env=environment(standin), cwd=file.parent, stderr=subprocess.PIPE, text=True
    )


def until(true: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_of_two_loads_in_one_process_the_second_is_refused_before_any_request(standin: Standin, file: Path) -> None:
    tried: list[Exception | None] = []

    def other(*_: object) -> None:
        if not tried:
            tried.append(None)
            before = len(standin.seen)
            with pytest.raises(Busy) as caught:
                into(standin, file)
            tried[0] = caught.value
            assert len(standin.seen) == before

    assert [one.exit_code for one in into(standin, file, progress=other)] == [0]
    assert isinstance(tried[0], Busy)
    assert wrong(file, standin.world, "acme", ("builds", "jobs", "pipelines")) == []


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(SCALE))
def test_of_two_processes_one_wins_and_the_other_exits_with_4_at_once(
    standin: Standin, file: Path, round_: int
) -> None:
    both = [started(standin, file) for _ in range(2)]
    codes = sorted(one.wait(120) for one in both)
    said = "".join(one.stderr.read() for one in both if one.stderr)
    for one in both:
        assert one.stderr
        one.stderr.close()
    asked = len(standin.seen)
    assert codes == [0, 4], said
    assert "running" in said
    assert wrong(file, standin.world, "acme", ("builds", "jobs", "pipelines")) == []
    alone = into(standin, file.with_name("alone.duckdb"))[0].requests
    assert asked == alone


def test_a_lock_that_a_dead_process_left_holds_nobody_up(standin: Standin, file: Path) -> None:
    file.with_name(f"{file.name}.load.ci.lock").touch()
    assert [one.exit_code for one in into(standin, file)] == [0]


def test_a_reader_sees_whole_packages_while_a_load_runs(
    standin: Standin, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader of the same process (DuckDB lets another one in only while nobody writes)."""
    monkeypatch.setattr("buildkite_elt.loads.PACKAGE", 50)
    into(standin, file, "pipelines")
    counts: set[int] = set()
    refused: list[duckdb.Error] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            try:
                with duckdb.connect(str(file)) as reader:
                    counts.update(reader.execute("SELECT count(*) FROM ci.builds").fetchone() or ())
            except duckdb.Error as error:
                refused.append(error)
            time.sleep(0.001)

    reading = [threading.Thread(target=read) for _ in range(3)]
    for reader in reading:
        reader.start()
    try:
        assert [one.exit_code for one in into(standin, file)] == [0]
    finally:
        over.set()
        for reader in reading:
            reader.join()
    assert len(counts) >= 2
    assert counts <= {0, 100, 199, 298, 300}, "a package is a page of 100, of which one is known from the page before"
    assert wrong(file, standin.world, "acme", ("builds", "jobs", "pipelines")) == []


@pytest.mark.slow
def test_a_reader_of_another_process_makes_a_load_say_so_and_nothing_is_lost(standin: Standin, file: Path) -> None:
    into(standin, file)
    program = (
        f"import duckdb, sys; c = duckdb.connect({str(file)!r}, read_only=True); print(1, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout
        assert reader.stdout.readline() == "1\n"
        before = len(standin.seen)
        with pytest.raises(BuildkiteError, match="open in another program"):
            into(standin, file)
        assert len(standin.seen) == before
        reader.communicate("")
    assert [one.exit_code for one in into(standin, file)] == [0]


def test_two_organizations_in_one_file_and_one_of_them_fails(tmp_path: Path) -> None:
    world = demo(organizations=("acme-inc", "globex"), builds_per_day=3, days=16)
    file = tmp_path / "buildkite.duckdb"
    with Standin(world, budgets=PLENTY) as standin:
        standin.trouble.add("400", path="organizations/globex", times=None)
        assert [one.exit_code for one in into(standin, file)] == [0, 1]
        assert wrong(file, world, "acme-inc", ("builds", "jobs", "pipelines")) == []
        standin.trouble.clear()
        world.advance(3600)
        assert [one.exit_code for one in into(standin, file)] == [0, 0]
    for slug in world.organizations:
        assert wrong(file, world, slug, ("builds", "jobs", "pipelines")) == []


@pytest.mark.slow
@pytest.mark.parametrize(("step", "package"), [("load", 1), ("load", 2), ("normalize", 2)])
def test_a_package_that_a_failed_load_left_is_finished_first_and_nothing_is_lost(
    standin: Standin, file: Path, step: str, package: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buildkite_elt.loads.PACKAGE", 100)
    done, left = getattr(Pipeline, step), package

    def failing(pipe: Pipeline, *given: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError("the disk is away")
        return done(pipe, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, step, failing)
        with pytest.raises(LoadFailed, match="the disk is away"):
            into(standin, file)
    assert Target(database=file).work.exists()
    life = Life(standin.world, "acme")
    new = life.build("app", 2, takes=60)
    life.rename_pipeline(new["pipeline"], "renamed")
    standin.world.advance(3600)
    assert [one.exit_code for one in into(standin, file)] == [0]
    assert wrong(file, standin.world, "acme", ("builds", "jobs", "pipelines")) == []
    assert not Target(database=file).work.exists()
    with duckdb.connect(str(file), read_only=True) as connection:
        twice = "SELECT count(*), count(DISTINCT id) FROM ci."
        assert connection.execute(f"{twice}builds").fetchone() == (301, 301)
        assert connection.execute(f"{twice}jobs").fetchone() == (602, 602)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_load_with_what_was_read_committed_and_the_next_one_is_right(
    standin: Standin, file: Path, number: signal.Signals, code: int
) -> None:
    standin.trouble.add("slow", path="/builds", times=None, pieces=3, pause=0.4)
    process = started(standin, file)
    until(lambda: sum("/builds" in seen.path for seen in standin.seen) >= 2)
    process.send_signal(number)
    assert process.wait(60) == code
    assert process.stderr
    process.stderr.close()
    asked = sum("/builds" in seen.path for seen in standin.seen)
    assert asked <= 3
    standin.trouble.clear()
    with duckdb.connect(str(file), read_only=True) as connection:
        count = connection.execute("SELECT count(*) FROM ci.builds").fetchone()
    assert count in [(100,), (199,), (200,), (298,)]
    assert [one.exit_code for one in into(standin, file)] == [0]
    assert wrong(file, standin.world, "acme", ("builds", "jobs", "pipelines")) == []
