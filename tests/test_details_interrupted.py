"""Work lists that break off: at any document, by Ctrl-C, by a kill. What was answered is not asked for again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from buildkite_ci import batch, extract, graphql
from buildkite_elt.loads import LoadFailed
from buildkite_elt.standin import Standin
from buildkite_elt.standin.answer import Seen
from buildkite_elt.standin.demo import empty
from buildkite_elt.standin.life import Life
from faults import PLENTY
from lively import ask, differ, heard, into, values
from test_details import ended, job_events

RED = {"key": "red", "outcome": "failed", "parallelism": 12, "takes": 60}
DOCUMENT, PACKAGE = 2, 4
"""Jobs in one document, and in one load package, of the loads below: twelve are six documents in three packages."""


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Standin, Path, Life]]:
    """Twelve failed jobs, whose builds are loaded and whose events are not."""
    monkeypatch.setattr(batch, "AT_ONCE", DOCUMENT)
    monkeypatch.setitem(extract.ERRANDS, "GraphQL", PACKAGE)
    life = Life(empty(), "acme")
    life.build(life.pipeline("site"), plan=[RED])
    life.world.advance(3600)
    file = tmp_path / "buildkite.duckdb"
    with Standin(life.world, budgets=PLENTY) as standin:
        assert into(standin, file, "builds").exit_code == 0
        yield standin, file, life


def whole(file: Path, life: Life) -> None:
    """No event is missing or doubled, none is of anything else, and every job is entered once as asked for."""
    assert differ(file, "job_events", job_events(life.organization)) == []
    jobs = [(job["id"],) for job, _ in ended(life.organization)]
    assert sorted(ask(file, "SELECT item_id FROM ci.errands WHERE table_name = 'job_events'")) == sorted(jobs)


def asked_before(file: Path) -> set[str]:
    """The jobs whose events are committed."""
    if not ask(file, "SELECT 1 FROM duckdb_tables() WHERE table_name = 'errands'"):
        return set()
    return {one for (one,) in ask(file, "SELECT item_id FROM ci.errands WHERE table_name = 'job_events'")}


def resumed(standin: Standin, file: Path, life: Life, asked: list[str], lost: int) -> None:
    """The next load makes it whole, and asks again for the `lost` last ones, whose answer did not arrive, alone."""
    assert len(asked) == len(set(asked))
    assert asked_before(file) <= set(asked)
    bodies = heard(standin)
    assert into(standin, file, "job_events").exit_code == 0
    again = values(bodies, "JobEvents", "job")
    assert len(again) == len(set(again))
    assert set(again) & set(asked) == set(asked[len(asked) - lost :])
    assert {*again, *asked} == {job["id"] for job, _ in ended(life.organization)}
    whole(file, life)
    assert not list(file.parent.glob("*.kept"))


@pytest.mark.slow
@pytest.mark.parametrize("document", range(1, 7))
def test_a_load_that_breaks_off_at_any_document_is_made_whole_by_the_next(
    broken: tuple[Standin, Path, Life], monkeypatch: pytest.MonkeyPatch, document: int
) -> None:
    standin, file, life = broken
    bodies, real, sent = heard(standin), graphql.execute, count(1)

    def breaks_off(*arguments: Any) -> Any:
        answer = real(*arguments)
        if next(sent) == document:
            raise MemoryError
        return answer

    monkeypatch.setattr(batch, "execute", breaks_off)
    with pytest.raises(LoadFailed):
        into(standin, file, "job_events")
    monkeypatch.setattr(batch, "execute", real)
    asked = values(bodies, "JobEvents", "job")
    assert len(asked) == document * DOCUMENT
    assert len(asked_before(file)) == (document - 1) * DOCUMENT // PACKAGE * PACKAGE
    resumed(standin, file, life, asked, DOCUMENT)


@pytest.mark.parametrize("under_way", [False, True])
def test_a_load_that_is_asked_to_stop_commits_what_was_answered(
    broken: tuple[Standin, Path, Life], monkeypatch: pytest.MonkeyPatch, under_way: bool
) -> None:
    """Ctrl-C after the third document, or while it is under way: only that one is asked again then, else nothing."""
    standin, file, life = broken
    bodies, real, sent = heard(standin), graphql.execute, count(1)

    def stops(*arguments: Any) -> Any:
        if next(sent) != 3:
            return real(*arguments)
        if under_way:
            standin.trouble.between(lambda _, seen: os.kill(os.getpid(), signal.SIGINT))
        answer = real(*arguments)
        os.kill(os.getpid(), signal.SIGINT)
        return answer

    monkeypatch.setattr(batch, "execute", stops)
    with pytest.raises(KeyboardInterrupt):
        into(standin, file, "job_events")
    monkeypatch.setattr(batch, "execute", real)
    standin.trouble.clear()
    asked = values(bodies, "JobEvents", "job")
    assert len(asked) == 3 * DOCUMENT
    assert asked_before(file) == set(asked[: 2 * DOCUMENT] if under_way else asked)
    resumed(standin, file, life, asked, DOCUMENT if under_way else 0)


SMALL = f"""
from buildkite_ci import batch, extract
from buildkite_elt.cli import main
batch.AT_ONCE, extract.ERRANDS["GraphQL"] = {DOCUMENT}, {PACKAGE}
main()
"""
"""The command, with documents and packages as small as above."""


@pytest.mark.slow
def test_a_killed_process_is_made_whole_by_the_next_load(broken: tuple[Standin, Path, Life]) -> None:
    standin, file, life = broken
    bodies = heard(standin)
    words = ("load", "job_events", "-o", "acme", "-d", str(file), "--quiet", "--since", "2020-01-01")
    told = {"API_TOKEN": standin.token, "REST_URL": standin.rest_url, "GRAPHQL_URL": standin.graphql_url}
    env = os.environ | {f"BUILDKITE_{name}": value for name, value in told.items()}
    process: list[subprocess.Popen[bytes]] = []

    def kill(_: int, seen: Seen) -> None:
        if len(values(bodies, "JobEvents", "job")) == 5 * DOCUMENT and "JobEvents" in (seen.document or ""):
            process[0].kill()

    standin.trouble.between(kill)
    with standin.world.lock:
        process.append(subprocess.Popen([sys.executable, "-c", SMALL, *words], env=env, cwd=file.parent))
    assert process[0].wait(120) == -signal.SIGKILL
    standin.trouble.clear()
    assert len(asked_before(file)) == 2 * PACKAGE
    resumed(standin, file, life, values(bodies, "JobEvents", "job"), DOCUMENT)


def test_what_was_answered_waits_while_the_warehouse_does_not_take_it(
    broken: tuple[Standin, Path, Life], monkeypatch: pytest.MonkeyPatch
) -> None:
    standin, file, life = broken
    bodies = heard(standin)
    monkeypatch.setattr(extract.Run, "placed", breaks)
    with pytest.raises(LoadFailed):
        into(standin, file, "job_events")
    monkeypatch.undo()
    asked = values(bodies, "JobEvents", "job")
    assert len(asked) >= DOCUMENT
    assert asked_before(file) == set()
    resumed(standin, file, life, asked, 0)


def test_an_item_that_changed_meanwhile_is_asked_again(
    broken: tuple[Standin, Path, Life], monkeypatch: pytest.MonkeyPatch
) -> None:
    standin, file, life = broken
    monkeypatch.setattr(extract.Run, "placed", breaks)
    bodies = heard(standin)
    with pytest.raises(LoadFailed):
        into(standin, file, "job_events")
    monkeypatch.undo()
    old = life.organization.jobs()
    (build, job) = next((build, job) for build, job in old if job["id"] == values(bodies, "JobEvents", "job")[0])
    life.retry(build, job)
    life.world.advance(3600)
    assert into(standin, file, "builds").exit_code == 0
    assert into(standin, file, "job_events").exit_code == 0
    assert values(bodies, "JobEvents", "job").count(job["id"]) == 2
    whole(file, life)


def test_what_was_read_to_be_shown_is_not_stored_by_a_load_that_hides_it(
    broken: tuple[Standin, Path, Life], monkeypatch: pytest.MonkeyPatch
) -> None:
    standin, file, life = broken
    (build,) = life.organization.builds.values()
    build["env"] = {"COLOUR": "vermilion"}
    monkeypatch.setattr(extract.Run, "placed", breaks)
    with pytest.raises(LoadFailed):
        into(standin, file, "build_env", show=("env",))
    monkeypatch.undo()
    assert into(standin, file, "build_env").exit_code == 0
    assert ask(file, "SELECT name, value FROM ci.build_env") == [("COLOUR", None)]


def breaks(*_: Any) -> Any:
    raise MemoryError
