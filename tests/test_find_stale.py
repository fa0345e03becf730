"""`find` in a world that goes on after the load: stale, gone and new builds and jobs, and texts that mean no good."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from buildkite_elt.standin import Standin
from buildkite_elt.standin.life import Life
from conftest import ENOUGH
from lively import GATE, Row, into, lively
from test_find import Find, builds, script, told, typed


def change(file: Path, sql: str) -> None:
    with duckdb.connect(str(file)) as connection:
        connection.execute(sql)


def gated() -> Life:
    """A small world whose last build waits for somebody; the same one each time."""
    life = lively()
    life.build(pipeline(life), plan=[GATE], message="gate")
    life.world.advance(120)
    return life


def pipeline(life: Life) -> Row:
    found = life.organization.pipeline("app")
    assert found
    return found


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is loaded from that world."""
    file = tmp_path_factory.mktemp("gated") / "buildkite.duckdb"
    with Standin(gated().world, budgets=ENOUGH) as standin:
        assert into(standin, file, "builds").exit_code == 0
    return file


@pytest.fixture
def living(loaded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Life, Standin, Find]]:
    """Such a world and a copy of the file, to change."""
    life = gated()
    shutil.copy(loaded, tmp_path)
    with Standin(life.world, budgets=ENOUGH) as standin:
        yield life, standin, typed(standin, tmp_path, monkeypatch)


def right_after(command: Find, one: str) -> str:
    """What `find` says to type; that puts it right."""
    (words,) = told(command("find", one, "--json"))["next"]
    shown = command("find", one)
    assert f"  {words}\n" in shown.stdout
    assert command(*words.split()[1:]).exit_code == 0
    found = told(command("find", one, "--json"))
    assert (found["stale"], found["next"]) == (False, [])
    return str(words)


def test_what_happened_since_the_load_is_stale_until_the_next_one(living: tuple[Life, Standin, Find]) -> None:
    life, _, command = living
    failed, gate = builds(life)[1], builds(life)[-1]
    job = next(one for one in failed["jobs"] if one["state"] == "failed")
    again = life.retry(failed, job)
    life.world.advance(7200)
    life.unblock(gate)
    life.world.advance(60)
    assert told(command("find", gate["id"], "--json"))["stale"] is True
    found = told(command("find", again["id"], "--json"))
    assert (found["warehouse"], found["stale"], found["next"]) == (None, None, ["buildkite-elt load"])
    assert "does not have this job" in command("find", again["id"]).stdout
    assert "Stale: it is otherwise at Buildkite" in command("find", gate["id"]).stdout
    assert right_after(command, failed["id"]) == "buildkite-elt load"
    for one in (gate["id"], gate["jobs"][0]["id"], again["id"]):
        assert told(command("find", one, "--json"))["stale"] is False


def test_a_build_that_is_newer_than_the_file(living: tuple[Life, Standin, Find]) -> None:
    life, _, command = living
    life.world.advance(3600)
    new = life.build(pipeline(life), 1, takes=60)
    life.world.advance(3600)
    found = told(command("find", new["id"], "--json"))
    assert (found["warehouse"], found["stale"]) == (None, None)
    assert right_after(command, new["id"]) == "buildkite-elt load"


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE ci.builds SET state = 'canceled' WHERE number = 2",
        "UPDATE ci.builds SET finished_at = finished_at + INTERVAL 1 SECOND WHERE number = 2",
        "UPDATE ci.builds SET finished_at = NULL WHERE number = 2",
        "DELETE FROM ci.builds WHERE number = 2",
        "DELETE FROM ci.builds WHERE number = 2; DELETE FROM ci.jobs WHERE build_number = 2",
    ],
)
def test_what_is_wrong_here_is_read_again(living: tuple[Life, Standin, Find], tmp_path: Path, sql: str) -> None:
    life, _, command = living
    change(tmp_path / "buildkite.duckdb", sql.replace("number = 2", "number = 2 AND pipeline_slug = 'app'"))
    found = told(command("find", "acme/app/2", "--json"))
    assert found["stale"] is (True if sql.startswith("UPDATE") else None)
    assert right_after(command, builds(life)[1]["id"]).startswith("buildkite-elt load builds --again --since ")


def test_a_wrong_job_is_read_again_and_a_fraction_of_a_second_is_none(
    living: tuple[Life, Standin, Find], tmp_path: Path
) -> None:
    life, _, command = living
    job = script(builds(life)[1])
    file = tmp_path / "buildkite.duckdb"
    change(file, f"UPDATE ci.jobs SET finished_at = date_trunc('second', finished_at) WHERE id = '{job['id']}'")
    assert told(command("find", job["id"], "--json"))["stale"] is False
    change(file, f"UPDATE ci.jobs SET state = 'running', finished_at = NULL WHERE id = '{job['id']}'")
    assert right_after(command, job["id"]).startswith("buildkite-elt load builds --again --since ")


def test_a_build_that_no_load_asked_for(living: tuple[Life, Standin, Find], tmp_path: Path) -> None:
    life, _, command = living
    (tmp_path / "buildkite.duckdb").unlink()
    since = builds(life)[-1]["created_at"]
    assert command("load", "builds", "--since", since).exit_code == 0
    assert right_after(command, builds(life)[0]["id"]).startswith("buildkite-elt load builds --since ")
    (tmp_path / "buildkite.duckdb").unlink()
    assert command("load", "teams").exit_code == 0
    assert right_after(command, builds(life)[0]["id"]).startswith("buildkite-elt load builds --since ")


def test_what_buildkite_has_no_more_is_told_from_the_file(living: tuple[Life, Standin, Find], tmp_path: Path) -> None:
    life, _, command = living
    build = builds(life)[0]
    job = script(build)
    life.delete_build(build)
    for text in (build["id"], "acme/app/1", job["id"], job["web_url"]):
        found = told(command("find", text, "--json"))
        assert (found["api"], found["api_error"], found["stale"]) == (None, None, None)
        assert found["warehouse"]["gone_at"] is None
        assert found["url"].startswith(build["web_url"])
        shown = command("find", text)
        assert (shown.exit_code, "Gone: Buildkite has it no more" in shown.stdout) == (0, True)
    change(tmp_path / "buildkite.duckdb", "UPDATE ci.builds SET gone_at = now() WHERE number = 1")
    for text in (build["id"], job["id"]):
        assert told(command("find", text, "--json"))["warehouse"]["gone_at"]


def test_of_two_builds_of_one_name_the_one_that_is_there(living: tuple[Life, Standin, Find], tmp_path: Path) -> None:
    """A pipeline was deleted and another one has its name."""
    life, standin, command = living
    kept = builds(life)[1]["id"]
    change(
        tmp_path / "buildkite.duckdb",
        "INSERT INTO ci.builds SELECT * REPLACE ('x' AS id, now() AS gone_at, now() AS created_at) FROM ci.builds "
        f"WHERE id = '{kept}'",
    )
    standin.trouble.add("500", times=None)
    assert told(command("find", "acme/app/2", "--json"), 3)["id"] == kept


# What must not be shown


def test_a_hostile_text_steers_no_terminal(living: tuple[Life, Standin, Find]) -> None:
    life, _, command = living
    build = builds(life)[1]
    evil = "\x1b]0;owned\x07\x1b[31mred\u202e\x9b2J"
    build["message"], build["branch"] = f"{evil} first\nsecond line {evil}", evil
    script(build)["name"] = evil
    for text in (build["id"], script(build)["id"]):
        shown = command("find", text).stdout
        assert "[31mred" in shown
        assert not {"\x1b", "\x07", "\u202e", "\x9b"} & {*shown}
        assert "second line" not in shown
        raw = command("find", text, "--json").stdout
        assert raw.isascii()
        assert "\x1b" not in raw
    assert told(command("find", build["id"], "--json"))["api"]["message"] == build["message"]


@pytest.mark.parametrize("author", ["eve@example.com", {"name": "eve@example.com", "email": "eve@example.com"}])
def test_no_e_mail_is_shown(living: tuple[Life, Standin, Find], author: Any) -> None:
    life, standin, command = living
    build = life.build(pipeline(life), 1, source="webhook", creator=None, author=author)
    life.world.advance(60)
    assert command("load", "builds").exit_code == 0
    for words in ((), ("--json",)):
        result = command("find", build["id"], *words)
        assert (result.exit_code, "eve@" in result.output) == (0, False)
    standin.trouble.add("500", times=None)
    for words in ((), ("--json",)):
        result = command("find", build["id"], *words)
        assert (result.exit_code, "eve@" in result.output) == (3, False)
