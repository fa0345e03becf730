"""The command: what each word does, over real HTTP to the stand-in and into a real DuckDB file."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

import buildkite_elt
from buildkite_ci.catalog import catalog
from buildkite_elt import config, show
from buildkite_elt.loads import Outcome, Target
from buildkite_elt.outcomes import code
from buildkite_elt.standin import Standin
from buildkite_elt.standin.demo import demo
from buildkite_elt.warehouse import alone
from conftest import Command

SCRIPT = Path(sys.executable).with_name("buildkite-elt")
HEAVY = {"dlt", "duckdb", "pyarrow", "pandas", "httpx", "gql", "graphql", "starlette", "uvicorn", "buildkite_ci"}


def truth(standin: Standin) -> dict[str, set[str]]:
    """The ids that the stand-in's world holds."""
    (organization,) = standin.world.organizations.values()
    return {"builds": set(organization.builds), "jobs": {job["id"] for _, job in organization.jobs()}}


def ids(database: Path, table: str) -> list[str]:
    with duckdb.connect(str(database), read_only=True) as connection:
        return [row[0] for row in connection.execute(f"SELECT id FROM ci.{table}").fetchall()]


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, typer.testing, buildkite_elt\nfrom buildkite_elt.cli import app\n"
        "for words in (['--help'], ['load', '--help'], ['--version']):\n"
        "    assert typer.testing.CliRunner().invoke(app, words).exit_code == 0\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_the_library_face_is_there() -> None:
    for name in buildkite_elt.__all__:
        assert getattr(buildkite_elt, name)
    with pytest.raises(AttributeError):
        _ = buildkite_elt.nonsense


def test_the_bare_word_prints_help_and_the_version_is_the_projects(command: Command) -> None:
    assert "Commands:" in command().output
    assert command("--version").stdout == f"buildkite-elt {buildkite_elt.__version__}\n"
    assert command("frobnicate").exit_code == 2
    project = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{buildkite_elt.__version__}"\n' in project


def test_tables_tells_every_table(command: Command) -> None:
    told = command("tables").stdout
    rows = json.loads(command("tables", "--json").stdout)
    assert [row["table"] for row in rows] == list(catalog())
    for row in rows:
        (line,) = [line for line in told.splitlines() if line.split()[:1] == [row["table"]]]
        assert all(row[key] in line for key in ("scope", "api", "load", "grain"))


def test_tables_tells_the_columns_of_one(command: Command) -> None:
    one = json.loads(command("tables", "builds", "--json").stdout)
    assert [column["name"] for column in one["columns"]] == [c.name for c in catalog()["builds"].all_columns]
    told = command("tables", "builds").stdout
    assert "No build is ever final" in told
    assert all(column["name"] in told and column["type"] in told for column in one["columns"])


def test_the_markdown_holds_every_column_and_is_the_same_twice(command: Command) -> None:
    told = command("tables", "--markdown").stdout
    assert told == command("tables", "--markdown").stdout
    for table in catalog().values():
        section = told.partition(f"\n## {table.name}\n")[2].partition("\n## ")[0]
        assert all(f"\n| `{c.name}` | {c.type} | {c.doc}" in section for c in table.all_columns), table.name


def test_load_then_status_then_sql(command: Command, standin: Standin, database: Path) -> None:
    first = command("load", "-o", "acme-inc", "--since", "2026-01-01", "--json")
    assert first.exit_code == 0, first.output
    (outcome,) = json.loads(first.stdout)["organizations"]
    assert outcome["requests"] == standin.count().requests
    assert outcome["points"] == standin.count().points > 0
    assert (outcome["skipped"], outcome["failed"]) == ({}, {})
    for table, expected in truth(standin).items():
        assert sorted(ids(database, table)) == sorted(expected)
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    assert not Target(database=database).work.exists()

    again = command("load", "builds", "--since", "2026-01-01")
    assert again.exit_code == 0
    assert "rows in 2 tables" in again.stdout
    assert sorted(ids(database, "jobs")) == sorted(truth(standin)["jobs"])

    told = json.loads(command("status", "--json").stdout)
    rows = {one["table"]: one for one in told["tables"]}
    assert set(rows) >= {name for name, table in catalog().items() if table.by_default}
    (organization,) = standin.world.organizations.values()
    assert rows["builds"]["rows"] == len(organization.builds)
    assert rows["pipelines"]["rows"] == len(organization.pipelines)
    newest = max(build["created_at"] for build in organization.builds.values())
    assert datetime.fromisoformat(rows["builds"]["newest"]) == datetime.fromisoformat(newest)
    assert 0 <= rows["builds"]["age_seconds"] < 600
    assert f"{len(organization.builds):,}" in command("status").stdout


def test_a_history_counts_what_is_current(command: Command, database: Path) -> None:
    command("load", "teams")
    with duckdb.connect(str(database)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM ci.teams").fetchone() or (0,)
        connection.execute("UPDATE ci.teams SET _dlt_valid_to = now() WHERE id = (SELECT min(id) FROM ci.teams)")
    (teams,) = [one for one in json.loads(command("status", "--json").stdout)["tables"] if one["table"] == "teams"]
    assert teams["rows"] == count - 1


@pytest.fixture
def small(database: Path) -> None:
    """A file with a few rows that a terminal would not like."""
    with duckdb.connect(str(database)) as connection:
        connection.execute("CREATE SCHEMA ci")
        connection.execute(
            "CREATE TABLE ci.notes AS SELECT * FROM (VALUES "
            "(1, chr(27) || '[31mred' || chr(8238), TIMESTAMPTZ '2026-10-01 09:30:00+00'), (2, NULL, NULL)"
            ") AS t(n, message, seen)"
        )


def test_sql_as_json_and_csv(command: Command, small: None) -> None:
    rows = json.loads(command("sql", "SELECT * FROM notes ORDER BY n", "--json").stdout)
    assert rows[0] == {"n": 1, "message": "\x1b[31mred\u202e", "seen": "2026-10-01T09:30:00+00:00"}
    assert rows[1] == {"n": 2, "message": None, "seen": None}
    told = command("sql", "SELECT * FROM ci.notes ORDER BY n", "--csv").stdout
    assert told == "n,message,seen\n1,[31mred,2026-10-01T09:30:00+00:00\n2,,\n"
    assert json.loads(command("sql", "SELECT 1 AS a, 2 AS a; SELECT 3 AS b", "--json").stdout) == [
        [{"a": 1, "a_2": 2}],
        [{"b": 3}],
    ]


def test_sql_into_a_parquet_file(command: Command, small: None, tmp_path: Path) -> None:
    file = tmp_path / "notes.parquet"
    told = command("sql", "SELECT n FROM notes ORDER BY n", "--parquet", str(file))
    assert (told.exit_code, told.stdout) == (0, f"2 rows are in {file}\n")
    assert duckdb.connect().execute(f"FROM '{file}'").fetchall() == [(1,), (2,)]
    assert command("sql", "DELETE FROM notes", "--parquet", str(file)).exit_code == 2
    assert command("sql", "SELECT 1", "--parquet", str(file), "--csv").exit_code == 2


def test_sql_for_people_steers_no_terminal_and_says_what_it_cut(command: Command, small: None) -> None:
    told = command("sql", "SELECT * FROM notes; SELECT repeat('x', 100) AS long")
    assert told.exit_code == 0
    assert "[31mred" in told.stdout
    assert "\x1b" not in told.stdout
    assert "\u202e" not in told.stdout
    assert "Values are cut at 60 characters" in told.stdout
    assert "Only the first 3 rows" in command("sql", "FROM range(9)", "--rows", "3").stdout
    assert "Only the first" not in command("sql", "FROM range(3)", "--rows", "3").stdout


def test_sql_from_a_file_and_from_standard_input(command: Command, small: None, tmp_path: Path) -> None:
    (tmp_path / "count.sql").write_text("SELECT count(*) AS rows FROM notes")
    assert command("sql", "count.sql", "--csv").stdout == "rows\n2\n"
    assert command("sql", "-", "--csv", input="SELECT sum(n) AS total FROM notes").stdout == "total\n3\n"
    missing = command("sql", "missing.sql")
    assert (missing.exit_code, missing.stderr) == (1, "missing.sql: No such file or directory\n")


def test_sql_that_is_wrong_or_writes(command: Command, small: None) -> None:
    wrong = command("sql", "SELEC 1")
    assert wrong.exit_code == 1
    assert 'syntax error at or near "SELEC"' in wrong.stderr
    writes = command("sql", "DELETE FROM notes")
    assert writes.exit_code == 1
    assert "read-only" in writes.stderr
    assert command("sql", "SELECT 1", "--json", "--csv").exit_code == 2


def test_another_load_is_running(command: Command, standin: Standin, database: Path) -> None:
    with alone(Target(database=database)):
        told = command("load", "-o", "acme-inc")
    assert told.exit_code == 4
    assert "Another load into ci is running" in told.stderr
    assert standin.seen == []


def test_a_load_with_json_or_quiet_says_nothing_besides(command: Command) -> None:
    for words in (("--json",), ("--quiet",)):
        assert command("load", "teams", *words).stderr == ""


def test_emails_are_stored_as_asked(command: Command, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("a key of our own")
    key.chmod(0o600)
    told = []
    for name, words in (("a", ()), ("b", ("--hash-key-file", key)), ("c", ("--show", "emails"))):
        assert command("load", "members", "-d", f"{name}.duckdb", *words).exit_code == 0
        told.append(command("sql", "SELECT min(email) FROM members", "--csv", "-d", f"{name}.duckdb").stdout.split()[1])
    domain, hashed, whole = told
    assert domain.startswith("…@")
    assert len(hashed.partition("@")[0]) == 16
    assert whole.partition("@")[0] not in ("…", "", hashed.partition("@")[0])


def test_check_tells_who_the_token_is_and_never_the_token(command: Command, standin: Standin) -> None:
    token = standin.world.tokens[standin.token]
    token.scopes = (*token.scopes, "write_builds", "delete_packages")
    told, found = command("check"), json.loads(command("check", "--json").stdout)
    assert told.exit_code == 0
    assert token.value not in told.output + json.dumps(found)
    assert found["token"]["uuid"] == token.uuid
    email = str(standin.world.users[token.user_id]["email"])
    assert found["token"]["email"] == "…@" + email.partition("@")[2]
    assert email not in told.output
    assert found["organizations"] == ["acme-inc"]
    assert found["too_much"] == ["delete_packages", "graphql", "write_builds"]
    assert f"Can fill {len(catalog())} of {len(catalog())} tables" in told.stdout
    whose = {(one["api"], one["whose"]): (one["left"], one["limit"]) for one in found["limits"]}
    budgets = standin.budgets
    assert whose["graphql", "user"] == (budgets.graphql_user, budgets.graphql_user)
    assert whose["rest", "user"][1] == budgets.rest_user
    assert whose["rest", "acme-inc"][0] < budgets.rest
    assert standin.count().writes == 0


def test_check_names_the_scope_that_is_missing(command: Command, standin: Standin) -> None:
    standin.world.tokens[standin.token].scopes = ("read_builds", "read_organizations")
    told = command("check")
    assert told.exit_code == 3
    assert "Lacks read_teams, so these stay empty: team_members, team_pipelines, teams" in told.stdout
    assert "Lacks graphql" in told.stdout
    found = json.loads(command("check", "--json").stdout)
    assert found["tables"]["agents"] == "read_agents"
    assert found["tables"]["jobs"] == found["tables"]["emojis"] == ""


def test_check_without_read_organizations(command: Command, standin: Standin) -> None:
    standin.world.tokens[standin.token].scopes = ("read_builds",)
    told = command("check")
    assert told.exit_code == 3
    assert "not told without read_organizations" in told.stdout


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain – ünïcode 🚀", "plain – ünïcode 🚀"),
        ("\x1b]0;title\x07x", "]0;titlex"),
        ("\x9b31mred", "31mred"),
        ("a\r\nb\tc", "a b c"),
        ("\u202egnp.exe\u2066", "gnp.exe"),
        ("nul\0 \x7f half \ud83d", "nul  half "),
        ("line\u2028break", "linebreak"),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert show.clean(text) == cleaned
    assert show.clean(cleaned, keep="\n") == cleaned


def test_the_exit_code_of_several_organizations() -> None:
    good, partly, bad = (
        Outcome("a", rows={"x": 1}),
        Outcome("b", rows={"x": 1}, skipped={"y": "no"}),
        Outcome("c", failed={"x": "no"}),
    )
    assert [code([good]), code([partly]), code([bad])] == [0, 3, 1]
    assert [code([good, good]), code([good, bad]), code([bad, bad]), code([good, partly])] == [0, 3, 1, 3]


def test_an_interrupted_load_says_so(environment: None, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        slow = dict(os.environ, BUILDKITE_REST_URL=f"http://127.0.0.1:{silent.getsockname()[1]}/v2")
        with subprocess.Popen(
            [str(SCRIPT), "load", "-o", "acme-inc"], env=slow, cwd=tmp_path, stderr=subprocess.PIPE, text=True
        ) as load:
            connection, _ = silent.accept()
            with connection:
                assert connection.recv(10)
                load.send_signal(signal.SIGINT)
                _, told = load.communicate(timeout=30)
    assert load.returncode == 130, told
    assert told.startswith("Interrupted. What was committed stays, and the next load goes on from there (run ")


def test_what_nobody_expected_is_a_sentence_too(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("Bearer bkua_0123456789abcdef")

    monkeypatch.setattr(config, "target", broken)
    told = command("load")
    assert told.exit_code == 1
    assert "Something unexpected happened, KeyError" in told.stderr
    assert "bkua_0123" not in told.output
    monkeypatch.setenv("BUILDKITE_ELT_DEBUG", "1")
    assert isinstance(command("load").exception, KeyError)


@pytest.mark.slow
def test_serve_until_interrupted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [str(SCRIPT), "serve", "--port", str(port), "--days", "16"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout
        lines = [serving.stdout.readline().strip() for _ in range(5)]
        told = dict(line.removeprefix("export ").split("=", 1) for line in lines[2:])
        assert set(told) == {"BUILDKITE_API_TOKEN", "BUILDKITE_REST_URL", "BUILDKITE_GRAPHQL_URL"}
        wire = httpx.HTTPTransport(retries=5)
        with httpx.Client(transport=wire, headers={"Authorization": f"Bearer {told['BUILDKITE_API_TOKEN']}"}) as client:
            answer = client.get(told["BUILDKITE_REST_URL"] + "/organizations")
        assert [one["slug"] for one in answer.json()] == ["acme-inc"]
        serving.send_signal(signal.SIGINT)
        assert serving.wait(30) == 0


@pytest.mark.slow
def test_the_demo_twice(command: Command, database: Path) -> None:
    """The file holds the stand-in's truth, keys are unique, and the second run changes nothing and costs less."""
    first = command("demo", "--json")
    assert first.exit_code == 0, first.output
    told = json.loads(first.stdout)
    assert all(told["answers"].values()), told["answers"]
    assert told["report"] == "buildkite-report.html"
    assert "CI health of acme-inc" in Path(told["report"]).read_text(encoding="utf-8")
    world = demo()
    world.settle()
    (organization,) = world.organizations.values()
    second = command("demo")
    assert second.exit_code == 0
    for table, expected in (
        ("builds", set(organization.builds)),
        ("jobs", {job["id"] for _, job in organization.jobs()}),
    ):
        assert sorted(ids(database, table)) == sorted(expected)
    for words in ("How builds end", "Slowest pipelines", "GraphQL points", "elt status", "buildkite-report.html"):
        assert words in second.stdout


def test_a_limit_leaves_the_rest_for_the_next_load(command: Command, standin: Standin, database: Path) -> None:
    words = ("load", "builds", "-o", "acme-inc", "--since", "2026-01-01", "--json")
    first = command(*words, "--max-requests", "1", "--reserve", "0.5")
    assert first.exit_code == 3, first.output
    assert standin.count("rest").requests == 1
    (outcome,) = json.loads(first.stdout)["organizations"]
    assert "1 REST requests" in outcome["waiting"]["builds"]
    assert command(*words).exit_code == 0
    assert sorted(ids(database, "builds")) == sorted(truth(standin)["builds"])
    assert command("load", "--reserve", "120%").exit_code == command("load", "--max-points", "0").exit_code == 2


def test_verify_says_what_is_missing_and_how_to_get_it(command: Command, standin: Standin, database: Path) -> None:
    assert command("verify").exit_code == 1
    assert command("load", "builds", "-o", "acme-inc", "--since", "2026-01-01").exit_code == 0
    told = command("verify", "-o", "acme-inc", "--sample", "3")
    assert (told.exit_code, "Recall 100 %, 0 stale" in told.stdout) == (0, True), told.output
    with duckdb.connect(str(database)) as connection:
        connection.execute("DELETE FROM ci.builds WHERE id = (SELECT min(id) FROM ci.builds)")
    told = command("verify", "-o", "acme-inc", "--json")
    assert told.exit_code == 1
    (found,) = json.loads(told.stdout)["organizations"]
    (again,) = [text.partition(": ")[0].split()[1:] for text in found["next"] if "--again" in text]
    assert "Recall 99" in command("verify", "-o", "acme-inc").stdout
    assert command(*again, "-o", "acme-inc").exit_code == 0
    assert command("verify", "-o", "acme-inc").exit_code == 0
