"""Bad input gets one sentence that says what to do, an exit code, and no traceback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from buildkite_elt.show import Progress
from buildkite_elt.standin import Standin
from buildkite_elt.standin.demo import empty
from conftest import Command

SCRIPT = Path(sys.executable).with_name("buildkite-elt")


def refused(result: Any, code: int, *words: str) -> None:
    """The exit code, and a sentence with these words on standard error instead of a traceback."""
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 2, result.stderr


def test_no_token(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BUILDKITE_API_TOKEN")
    refused(command("load"), 1, "BUILDKITE_API_TOKEN", "secrets.toml", "--token-file", "api-access-tokens")
    refused(command("check"), 1, "BUILDKITE_API_TOKEN")


@pytest.mark.parametrize("words", [("load",), ("load", "-o", "acme-inc"), ("check",)])
def test_a_wrong_token(command: Command, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    monkeypatch.setenv("BUILDKITE_API_TOKEN", "bkua_wrong0wrong0wrong0")
    told = command(*words)
    refused(told, 1, "refused this API token (401)", "Make a new one")
    assert "bkua_wrong" not in told.output


def test_a_token_with_a_space(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDKITE_API_TOKEN", "bkua_half half")
    refused(command("check"), 2, "copy it again")


def test_a_token_without_a_scope(command: Command, standin: Standin) -> None:
    token = standin.world.tokens[standin.token]
    token.scopes = tuple(scope for scope in token.scopes if scope != "read_agents")
    told = command("load", "agents", "teams")
    assert told.exit_code == 3
    assert "Left out agents: this token lacks the scope read_agents" in told.stdout
    assert command("sql", "SELECT count(*) > 0 AS some FROM teams", "--csv").stdout == "some\nTrue\n"


def test_an_unknown_organization(command: Command) -> None:
    refused(command("load", "-o", "no-such-org"), 1, "no-such-org", "Check the spelling")
    refused(command("check", "-o", "no-such-org"), 1, "no-such-org", "this token sees acme-inc")


@pytest.mark.parametrize("slug", ["../../user", "a/b", "a b", "ä", "\x1b[31m", "..", "%2f", "a\nb"])
def test_what_is_no_slug(command: Command, standin: Standin, slug: str) -> None:
    refused(command("load", "-o", slug), 2, "is no organization slug")
    assert standin.seen == []


def test_an_unknown_table(command: Command, standin: Standin) -> None:
    refused(command("load", "bulids"), 2, "There is no table 'bulids'", "Did you mean builds")
    refused(command("tables", "agent"), 2, "Did you mean agents")
    refused(command("load", "zzz"), 2, "`buildkite-elt tables` lists them")
    assert standin.seen == []


@pytest.mark.parametrize("since", ["yesterday", "30", "2026-13-01", "30 days", "-3d", "99999999999d"])
def test_a_bad_since(command: Command, standin: Standin, since: str) -> None:
    refused(command("load", f"--since={since}"), 2, "is no moment: say 30d", "a date such as 20")
    assert standin.seen == []


def test_a_since_that_is_to_come(command: Command) -> None:
    refused(command("load", "--since", "2999-01-01"), 2, "lies in the future")


def test_names_that_are_not_known(command: Command, standin: Standin) -> None:
    refused(command("load", "--destination", "duckbd"), 2, "--destination", "Did you mean duckdb")
    refused(command("load", "--show", "email"), 2, "--show", "Did you mean emails")
    refused(command("load", "--dataset", 'x"; drop table r; --'), 2, "--dataset")
    refused(command("load", "--dataset", "buildkite"), 2, "may not have the same name")
    assert standin.seen == []


def test_a_database_that_another_program_has_open(command: Command, database: Path, standin: Standin) -> None:
    held = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", held, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"open\n"
        for words in (("load", "-o", "acme-inc"), ("status",), ("sql", "SELECT 1")):
            refused(command(*words), 1, "is open in another program", "close it there")
    assert standin.seen == []


def test_a_file_that_is_not_duckdb(command: Command, database: Path) -> None:
    database.write_text("name,rows\nbuilds,3\n" * 2000)
    for words in (("load", "-o", "acme-inc"), ("status",), ("sql", "SELECT 1")):
        refused(command(*words), 1, "is not a DuckDB file", "another --database")
    assert database.read_text().startswith("name,rows")


def test_a_file_where_the_folder_should_be(command: Command, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    refused(command("load", "-o", "acme-inc", "-d", "taken/buildkite.duckdb"), 1, "taken", "another --database")
    (tmp_path / "folder").mkdir()
    refused(command("load", "-o", "acme-inc", "-d", "folder"), 1, "is a folder", "give a file name")


def test_no_file_yet_and_no_such_dataset(command: Command, database: Path) -> None:
    refused(command("status"), 1, "There is no buildkite.duckdb yet", "buildkite-elt load")
    assert not database.exists()
    with duckdb.connect(str(database)) as connection:
        connection.execute("CREATE SCHEMA other")
    refused(command("sql", "SELECT 1"), 1, "has no dataset 'ci'", "it holds other")


def test_a_url_that_does_not_answer(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Progress, "sleep", lambda self, seconds: None)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("BUILDKITE_REST_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}/v2")
        for words in (("check",), ("load",)):
            refused(command(*words), 1, "/v2/", "did not answer")


@pytest.mark.parametrize(
    ("url", "word"),
    [("http://buildkite.example/v2", "https://"), ("nonsense", "https://"), ("https://a:b@c/", "password")],
)
def test_a_url_that_cannot_be_meant(command: Command, monkeypatch: pytest.MonkeyPatch, url: str, word: str) -> None:
    monkeypatch.setenv("BUILDKITE_REST_URL", url)
    refused(command("check"), 2, "REST URL must", word)


def test_an_organization_with_no_builds_at_all(
    command: Command, monkeypatch: pytest.MonkeyPatch, database: Path
) -> None:
    with Standin(empty()) as bare:
        monkeypatch.setenv("BUILDKITE_API_TOKEN", bare.token)
        monkeypatch.setenv("BUILDKITE_REST_URL", bare.rest_url)
        monkeypatch.setenv("BUILDKITE_GRAPHQL_URL", bare.graphql_url)
        told = command("load")
    assert told.exit_code == 0, told.output
    with duckdb.connect(str(database), read_only=True) as connection:
        for table in ("builds", "jobs", "agents", "pipelines", "pipeline_metrics"):
            columns = {row[0] for row in connection.execute(f"DESCRIBE ci.{table}").fetchall()}
            assert {"more", "_dlt_load_id"} <= columns
            assert len(columns) > 8
            assert connection.execute(f"SELECT count(*) FROM ci.{table}").fetchone() == (0,)


def mounted(folder: Path, options: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`load` into a tmpfs of its own; skips where mounting is not allowed."""
    if not shutil.which("unshare"):
        pytest.skip("unshare is not there, so no disk can be made for the test")
    folder.mkdir()
    probe = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    if subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here, so no disk can be made for the test")
    script = f'mount -t tmpfs -o {options} tmpfs "$1" && exec "$2" load -d "$1/buildkite.duckdb" --quiet'
    words = ["unshare", "-m", "sh", "-c", script, "sh", str(folder), str(SCRIPT)]
    return subprocess.run(words, capture_output=True, text=True, env=environment)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("ro", ("cannot be written", "Read-only file system", "another --database")),
        ("size=700k", ("is full", "free some")),
    ],
)
def test_a_disk_that_takes_nothing(environment: None, tmp_path: Path, options: str, words: tuple[str, ...]) -> None:
    told = mounted(tmp_path / "disk", options, dict(os.environ))
    assert told.returncode == 1, told.stderr
    assert "Traceback" not in told.stderr
    for word in words:
        assert word in told.stderr
