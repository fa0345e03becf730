"""`find`: each way to name a build or job, over HTTP to the stand-in by one query, and what the file says beside it."""

from __future__ import annotations

import json
import shlex
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from buildkite_ci.errors import BadInput
from buildkite_elt.cli import app
from buildkite_elt.find import wanted
from buildkite_elt.standin import Standin
from buildkite_elt.standin.life import Life
from conftest import ENOUGH
from lively import Row, eventful, into

TABLES = ("builds", "annotations", "job_events", "build_details", "queue_jobs")
NOBODY = "01890000-0000-4000-8000-000000000000"
Find = Callable[..., Result]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Life, Standin, Path]]:
    """A world of every kind of build and job that nobody changes, and a file that is loaded from it."""
    life = eventful()
    with Standin(life.world, budgets=ENOUGH) as standin:
        file = tmp_path_factory.mktemp("find") / "buildkite.duckdb"
        assert into(standin, file, *TABLES).exit_code == 0
        yield life, standin, file


def typed(standin: Standin, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Find:
    """The command as a user has it in this folder: any of its words."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BUILDKITE_API_TOKEN", standin.token)
    monkeypatch.setenv("BUILDKITE_ORGANIZATION", "acme")
    monkeypatch.setenv("BUILDKITE_REST_URL", standin.rest_url)
    monkeypatch.setenv("BUILDKITE_GRAPHQL_URL", standin.graphql_url)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def command(scene: tuple[Life, Standin, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Find]:
    """With a copy of the loaded file."""
    _, standin, file = scene
    shutil.copy(file, tmp_path)
    standin.clear()
    yield typed(standin, tmp_path, monkeypatch)
    standin.trouble.clear()


def told(result: Result, code: int = 0) -> Row:
    assert result.exit_code == code, result.output
    found: Row = json.loads(result.stdout)
    return found


def builds(life: Life) -> list[Row]:
    return list(life.organization.builds.values())


def script(build: Row) -> Row:
    found: Row = next(job for job in build["jobs"] if job["type"] == "script")
    return found


# What is typed

BUILDS = [
    "{id}",
    "  {ID}\n",
    "acme/app/1",
    "https://buildkite.com/acme/app/builds/1",
    "http://www.buildkite.com/acme/app/builds/1/",
    "buildkite.com/acme/app/builds/1#annotation-failures",
    "https://buildkite.com/acme/app/builds/1/steps/canvas?sid={job}&tab=output",
    "https://api.buildkite.com/v2/organizations/acme/pipelines/app/builds/1",
    "https://api.buildkite.com/v2/organizations/acme/pipelines/app/builds/1/annotations?page=2",
    "{rest_url}/organizations/acme/pipelines/app/builds/1",
]
JOBS = [
    "{job}",
    "https://buildkite.com/acme/app/builds/1#{job}",
    "https://buildkite.com/acme/app/builds/1#{JOB}/12-34",
    "https://buildkite.com/acme/app/builds/1/steps/canvas?jid={job}&tab=output",
    "https://buildkite.com/acme/app/builds/1/canvas?sid={id}&jid={job}",
    "https://buildkite.com/organizations/acme/pipelines/app/builds/1/jobs/{job}/download.txt",
    "https://api.buildkite.com/v2/organizations/acme/pipelines/app/builds/1/jobs/{job}/log",
]


@pytest.mark.parametrize(("kind", "text"), [*(("build", one) for one in BUILDS), *(("job", one) for one in JOBS)])
def test_every_way_to_name_it_takes_one_request(
    scene: tuple[Life, Standin, Path], command: Find, kind: str, text: str
) -> None:
    life, standin, _ = scene
    build = builds(life)[0]
    one, job = build["id"], script(build)["id"]
    found = told(
        command(
            "find",
            text.format(id=one, ID=one.upper(), job=job, JOB=job.upper(), rest_url=standin.rest_url),
            "--json",
        )
    )
    assert (found["kind"], found["id"], found["stale"]) == (kind, one if kind == "build" else job, False)
    assert found["url"] == (build if kind == "build" else script(build))["web_url"]
    assert (standin.count("graphql").requests, standin.count("rest").requests) == (1, 0)
    assert (found["requests"], found["points"]) == (1, standin.count("graphql").points)
    assert found["points"] == (17 if kind == "build" else 7)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "1",
        "acme/app",
        "acme/app/one",
        "acme/app/1/2",
        "../app/1",
        "acme/a pp/1",
        "acme/app/٣",
        "acme/app/" + "9" * 40,
        "https://buildkite.com/acme/app",
        "https://buildkite.com/acme/app/1",
        "https://elsewhere.example/acme/app/builds/1",
        "https://buildkite.com.elsewhere.example/acme/app/builds/1",
        "ftp://buildkite.com/acme/app/builds/1",
        "http://[buildkite.com/acme/app/builds/1",
        NOBODY[:-1],
        f"{{{NOBODY}}}",
    ],
)
def test_anything_else_is_refused_before_anybody_is_asked(
    scene: tuple[Life, Standin, Path], command: Find, text: str
) -> None:
    result = command("find", "--json", "--", text)
    assert result.exit_code == 2, result.output
    assert "is no build and no job: give a UUID" in result.stderr
    assert "https://buildkite.com/acme/web/builds/123" in result.stderr
    assert (result.stdout, scene[1].seen) == ("", [])


def test_a_token_that_was_pasted_is_not_told(command: Find) -> None:
    result = command("find", "bkua_0123456789abcdef")
    assert result.exit_code == 2
    assert "bkua_0123" not in result.output
    with pytest.raises(BadInput):
        wanted("https://127.0.0.1/acme/app/builds/1")
    assert wanted("https://127.0.0.1/acme/app/builds/1", ["127.0.0.1"]).slug == "acme/app/1"


# What is found


def test_every_build_is_told_as_it_is(scene: tuple[Life, Standin, Path], command: Find) -> None:
    states, sources = set(), set()
    for build in builds(scene[0]):
        found = told(command("find", build["id"], "--json"))
        state = "blocked" if build["blocked"] else build["state"]
        counts = Counter(job["state"] for job in build["jobs"])
        counts["running"] = sum(counts.pop(one, 0) for one in ("running", "assigned", "accepted", "canceling"))
        waiting = counts.pop("pending", 0) + counts.pop("waiting", 0)
        ended = Counter({one: n for one, n in counts.items() if one in ("passed", "failed", "canceled", "timed_out")})
        assert found["api"]["state"] == found["warehouse"]["state"] == state
        for side in ("api", "warehouse"):
            assert found[side]["jobs"].items() >= ended.items()
            assert sum(found[side]["jobs"].values()) == len(build["jobs"])
            assert [found[side][name] for name in ("branch", "commit", "message", "number", "source")] == [
                build[name] for name in ("branch", "commit", "message", "number", "source")
            ]
        assert found["api"]["jobs"].get("running", 0) == counts["running"]
        assert found["api"]["jobs"].get("waiting", 0) == waiting
        assert (found["stale"], found["next"], found["api_error"], found["warehouse_error"]) == (False, [], None, None)
        assert found["warehouse"]["rows"].get("jobs", 0) == len(build["jobs"])
        states.add(state)
        sources.add(build["source"])
    assert states >= {"passed", "failed", "canceled", "blocked", "running"}
    assert sources == {"ui", "api", "webhook", "schedule", "trigger_job"}


def test_every_job_is_told_as_it_is(scene: tuple[Life, Standin, Path], command: Find) -> None:
    seen: Counter[str] = Counter()
    for build, job in scene[0].organization.jobs():
        found = told(command("find", job["id"], "--json"))
        api, here = found["api"], found["warehouse"]
        trigger = job["type"] == "trigger" and job["state"] in ("passed", "failed")
        assert (api["state"], here["state"]) == ("finished" if trigger else job["state"], job["state"])
        assert (found["kind"], found["stale"], api["type"], here["type"]) == ("job", False, job["type"], job["type"])
        assert found["url"] == f"{build['web_url']}#{job['id']}"
        for side in (api, here):
            assert (side["build"]["id"], side["build"]["number"]) == (build["id"], build["number"])
            assert side["name"] == (job.get("name") or job.get("label"))
        if job["type"] == "script":
            assert {name: api[name] for name in api.keys() & here.keys() - {"build", "run_seconds"}} == {
                name: here[name] for name in api.keys() & here.keys() - {"build", "run_seconds"}
            }
            assert api["exit_status"] == job["exit_status"]
            assert api["agent"] == (job["agent"] or {}).get("name")
        seen[job["type"]] += 1
    assert seen.keys() >= {"script", "manual", "trigger"}


def test_for_people(scene: tuple[Life, Standin, Path], command: Find) -> None:
    build = builds(scene[0])[0]
    shown = command("find", "acme/app/1").stdout
    for words in ("Build acme/app 1", build["commit"], "72 job_events", "15 jobs", "As it is at Buildkite"):
        assert words in shown
    assert shown.endswith(f"{build['web_url']}\nSpent 1 requests and 17 points\n")
    job = script(build)
    shown = command("find", job["id"]).stdout
    for words in (f"Job, of acme/app 1, {job['id']}", job["name"], job["agent"]["name"], "exit status", "its build"):
        assert words in shown


# The file


def test_without_a_file_buildkite_answers_alone(command: Find, tmp_path: Path) -> None:
    found = told(command("find", "acme/app/1", "--json", "-d", "none.duckdb"))
    assert (found["warehouse"], found["stale"], found["next"]) == (None, None, [])
    assert "There is no none.duckdb yet" in command("find", "acme/app/1", "-d", "none.duckdb").stdout
    assert not (tmp_path / "none.duckdb").exists()


def test_a_file_that_cannot_be_read_leaves_buildkite_and_exit_3(command: Find, tmp_path: Path) -> None:
    held = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", held, "buildkite.duckdb"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"open\n"
        found = told(command("find", "acme/app/1", "--json"), 3)
        assert (found["api"]["number"], found["warehouse"]) == (1, None)
        assert "is open in another program" in found["warehouse_error"]
        assert "Not known: buildkite.duckdb is open in another program" in command("find", "acme/app/1").stdout
        assert command("find", NOBODY).exit_code == 1
    (tmp_path / "text.duckdb").write_text("name,rows\n" * 2000)
    assert (
        "is not a DuckDB file"
        in told(command("find", "acme/app/1", "--json", "-d", "text.duckdb"), 3)["warehouse_error"]
    )
    assert "no dataset" in told(command("find", "acme/app/1", "--json", "--dataset", "other"), 3)["warehouse_error"]


def test_what_only_other_tables_tell_of(scene: tuple[Life, Standin, Path], command: Find, tmp_path: Path) -> None:
    """A file of queue_jobs alone, which needs no builds."""
    life, standin, _ = scene
    file = tmp_path / "queue.duckdb"
    into(standin, file, "queue_jobs")
    build = builds(life)[0]
    job = script(build)
    found = told(command("find", job["id"], "--json", "-d", file.name))
    assert (found["warehouse"], found["stale"]) == ({"rows": {"queue_jobs": 1}}, None)
    assert "does not have this job" in command("find", job["id"], "-d", file.name).stdout
    standin.trouble.add("500", times=None)
    for one, kind in ((job["id"], "job"), (build["id"], "build")):
        found = told(command("find", one, "--json", "-d", file.name), 3)
        assert (found["kind"], list(found["warehouse"]["rows"])) == (kind, ["queue_jobs"])
        assert command("find", one, "-d", file.name).exit_code == 3


# Buildkite


def test_in_neither_is_exit_1(command: Find) -> None:
    for text in (NOBODY, "acme/app/999", f"https://buildkite.com/acme/app/builds/1#{NOBODY}"):
        for words in ((), ("-d", "none.duckdb"), ("--json",)):
            result = command("find", text, *words)
            assert (result.exit_code, result.stdout) == (1, "")
            assert "is not there, or this token may not see it" in result.stderr


def no_scope(standin: Standin, _: pytest.MonkeyPatch) -> str:
    token = standin.world.tokens[standin.token]
    token.scopes = tuple(one for one in token.scopes if one != "graphql")
    return "lacks the scope graphql"


def no_token(_: Standin, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("BUILDKITE_API_TOKEN")
    return "No API token"


def wrong_token(_: Standin, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("BUILDKITE_API_TOKEN", "bkua_wrong0wrong0wrong0")
    return "refused this API token"


def no_network(_: Standin, monkeypatch: pytest.MonkeyPatch) -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("BUILDKITE_GRAPHQL_URL", f"http://127.0.0.1:{port}/v1")
    return "did not answer"


@pytest.mark.parametrize("trouble", [no_scope, no_token, wrong_token, no_network])
def test_where_buildkite_does_not_tell_the_file_does(
    scene: tuple[Life, Standin, Path], command: Find, monkeypatch: pytest.MonkeyPatch, trouble: Callable[..., str]
) -> None:
    life, standin, _ = scene
    token = standin.world.tokens[standin.token]
    scopes, build = token.scopes, builds(life)[0]
    try:
        why = trouble(standin, monkeypatch)
        for text in (build["id"], "acme/app/1", script(build)["id"], script(build)["web_url"]):
            found = told(command("find", text, "--json"), 3)
            assert (found["api"], found["stale"], found["points"]) == (None, None, 0)
            assert why in found["api_error"]
            assert found["warehouse"]["state"] == (build if found["kind"] == "build" else script(build))["state"]
            assert found["url"].startswith(build["web_url"])
        shown = command("find", "acme/app/1")
        assert shown.exit_code == 3
        assert "Buildkite was not asked, or did not tell, so this is the file's word" in shown.stdout
        assert build["commit"] in shown.stdout
        nowhere = command("find", NOBODY)
        assert (nowhere.exit_code, nowhere.stdout) == (1, "")
        assert f"{NOBODY} was not found: buildkite.duckdb does not hold it" in nowhere.stderr
        assert why in nowhere.stderr
        assert "no none.duckdb yet" in command("find", build["id"], "-d", "none.duckdb").stderr
        assert "bkua_wrong" not in shown.output + nowhere.output
    finally:
        token.scopes = scopes


def test_a_setting_that_is_wrong_is_no_answer_of_the_file(command: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDKITE_API_TOKEN", "bkua_half half")
    result = command("find", "acme/app/1")
    assert (result.exit_code, result.stdout, "copy it again" in result.stderr) == (2, "", True)


def test_a_passing_fault_is_asked_through(scene: tuple[Life, Standin, Path], command: Find) -> None:
    scene[1].trouble.add("500", api="graphql")
    found = told(command("find", "acme/app/1", "--json"))
    assert (found["requests"], found["api_error"]) == (2, None)


def test_the_readme_says_how(command: Find) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert "| `find acme/web/123` |" in readme
    (line,) = [line for line in readme.splitlines() if line.startswith("$ .venv/bin/buildkite-elt find ")]
    assert wanted(shlex.split(line)[3]).kind == "job"
    assert "17 points for a build and 7 for a job" in " ".join(readme.split())
    assert "whether the file is behind" in command("find", "--help").stdout
