"""What a user wants of what could be asked for without end: which jobs, said by options and by dlt's configuration."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import duckdb
import pytest
from typer.testing import CliRunner

from buildkite_ci.catalog import catalog
from buildkite_ci.choice import Choice, Filter
from buildkite_ci.errands import List
from buildkite_ci.errors import BadInput
from buildkite_ci.table import TROUBLED, Errand
from buildkite_ci.times import instant
from buildkite_elt.choices import choices, filtered, seconds
from buildkite_elt.cli import app
from buildkite_elt.loads import Target
from buildkite_elt.standin import Organization, Standin
from buildkite_elt.warehouse import pipeline
from conftest import Configured
from faults import LONG_AGO, PLENTY
from lively import Row, ask, eventful, heard, into, values

EARLY = datetime(2026, 10, 1, 10, 30, tzinfo=UTC)
"""Between the first builds of the world and the last ones."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Organization, Standin, Path]]:
    """A world with everything in it, and a file of its builds and jobs."""
    life, file = eventful(), tmp_path_factory.mktemp("choices") / "buildkite.duckdb"
    with Standin(life.world, budgets=PLENTY) as standin:
        assert into(standin, file, "builds").exit_code == 0
        yield life.organization, standin, file


@pytest.fixture
def copied(scene: tuple[Organization, Standin, Path], tmp_path: Path) -> Path:
    """A file of one's own."""
    return Path(shutil.copy(scene[2], tmp_path / "buildkite.duckdb"))


def ended(organization: Organization) -> list[Row]:
    return [job for _, job in organization.jobs() if job["type"] == "script" and job["finished_at"]]


# Which jobs are asked for their events


def soft(job: Row) -> bool:
    return bool(job["soft_failed"])


def lasted(job: Row) -> float:
    ran = job["started_at"] and (instant(job["finished_at"]) - instant(job["started_at"])).total_seconds()
    return ran or 0.0


def troubled(job: Row) -> bool:
    return job["state"] in ("failed", "timed_out") or job["soft_failed"] or job["retried"]


WANTED: list[tuple[Choice, Callable[[Row], bool]]] = [
    (Choice(), troubled),
    (Choice(states=("all",)), lambda job: True),
    (Choice(states=("expired", "canceled")), lambda job: job["state"] in ("expired", "canceled")),
    (Choice(states=("soft_failed",)), soft),
    (Choice(states=("retried",)), lambda job: job["retried"]),
    (Choice(states=("soft_failed",), slower=4000), lambda job: soft(job) or lasted(job) >= 4000),
    (Choice(slower=60), lambda job: troubled(job) or lasted(job) >= 60),
    (Choice(sample=0.3), lambda job: troubled(job) or int(job["id"][-4:], 16) < 0.3 * 0x10000),
    (Choice(states=("all",), pipelines=("site",)), lambda job: job["_build"]["pipeline"]["slug"] == "site"),
    (Choice(states=("all",), branches=("feature/x",)), lambda job: job["_build"]["branch"] == "feature/x"),
    (Choice(pipelines=("app",), branches=("feature/x",)), lambda job: False),
    (Choice(states=("all",), since=EARLY), lambda job: job["created_at"] >= "2026-10-01T10:30"),
    (Choice(states=("all",), until=EARLY), lambda job: job["created_at"] < "2026-10-01T10:30"),
]


@pytest.mark.parametrize(("choice", "wanted"), WANTED)
def test_the_policy_says_which_jobs(
    scene: tuple[Organization, Standin, Path], copied: Path, choice: Choice, wanted: Callable[[Row], bool]
) -> None:
    organization, _, _ = scene
    table = catalog()["job_events"]
    assert isinstance(table.fetch, Errand)
    todo = List(table, table.fetch, "acme", LONG_AGO, choice)
    with pipeline(Target(database=copied), "acme"):
        found, few, tally = todo.todo(1000), todo.todo(2), todo.tally()
    right = {job["id"] for job in ended(organization) if wanted(job)}
    assert {row["id"] for row in found} == right
    assert few == found[:2]
    assert tally == (len(right), len(right), min((row["created_at"] for row in found), default=None))
    states = {job["id"]: job["state"] for job in ended(organization)}
    order = [(states[row["id"]] not in ("failed", "timed_out"), -row["created_at"].timestamp()) for row in found]
    assert order == sorted(order)  # the failed ones first, and of each the newest


def test_one_load_asks_for_so_many_at_most_and_the_coverage_says_so(
    scene: tuple[Organization, Standin, Path], copied: Path
) -> None:
    organization, standin, _ = scene
    every, bodies = sum(troubled(job) for job in ended(organization)), heard(standin)
    coverage = "SELECT selected, loaded, waiting, reason FROM ci.load_coverage WHERE table_name = 'job_events'"
    outcome = into(standin, copied, "job_events", choices={"job_events": Choice(at_most=4)})
    assert (outcome.exit_code, list(outcome.waiting)) == (3, ["job_events"])
    first = values(bodies, "JobEvents", "job")
    assert len(first) == len(set(first)) == 4
    states = {job["id"]: job["state"] for job in ended(organization)}
    assert {states[one] for one in first} <= {"failed", "timed_out"}
    assert ask(copied, coverage) == [(every, 4, every - 4, "budget")]
    assert into(standin, copied, "job_events").exit_code == 0
    asked = values(bodies, "JobEvents", "job")
    assert len(asked) == len(set(asked)) == every
    assert (every, every, 0, None) in ask(copied, coverage)


def test_a_sample_is_about_its_share_and_the_same_ones_each_time() -> None:
    """UUIDs of version 4 and of version 7, whose beginning is a time: the end of both is random."""
    draw = Random(7)
    random = [UUID(int=draw.getrandbits(128), version=4) for _ in range(5000)]
    timed = [UUID(int=(0x0199_0000_0000 + n) << 80 | draw.getrandbits(80)) for n in range(5000)]
    drawn: dict[float, set[str]] = {}
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE o (id VARCHAR, state VARCHAR, soft_failed BOOL, retried BOOL)")
        every = [str(one) for one in random + timed]
        connection.execute("INSERT INTO o SELECT unnest($1), 'passed', FALSE, FALSE", [every])
        for share in (0.0, 0.05, 0.2, 1.0):
            sql, given = Choice(sample=share).where("jobs", TROUBLED, "builds")
            rows = connection.execute(f"SELECT id FROM o WHERE {sql.replace('%s', '?')}", given).fetchall()
            drawn[share] = {one for (one,) in rows}
    for share, kind in product((0.05, 0.2), (random, timed)):
        assert abs(len(drawn[share] & {str(one) for one in kind}) / len(kind) - share) < 0.02
    assert drawn[0.0] == set()
    assert drawn[0.05] < drawn[0.2] < drawn[1.0]
    assert len(drawn[1.0]) == 10_000


# As it is typed and configured


def test_options_are_of_the_tables_that_are_named() -> None:
    assert choices(["builds"]) == {}
    told = choices(
        ["job_events", "job_details"],
        pipelines=["app,site", " web "],
        branches=None,
        states=["failed"],
        slower="10m",
        sample="5%",
        at_most=7,
        until="2026-01-02",
    )
    wanted = Choice(
        pipelines=("app", "site", "web"),
        states=("failed",),
        slower=600.0,
        sample=0.05,
        at_most=7,
        until=datetime(2026, 1, 2, tzinfo=UTC),
    )
    assert told == {"job_events": wanted, "job_details": wanted}


def test_settings_of_a_table_stand_under_its_name_and_options_overrule_them(configured: Configured) -> None:
    configured(
        """
        [sources.buildkite_ci.job_events]
        states = ["failed", "soft_failed"]
        slower = "90s"
        at_most = 20
        [sources.buildkite_ci.branch_build_counts]
        branches = "main, develop"
        since = "2025-01-01"
        [sources.buildkite_ci.filter]
        archived = false
        tags = ["web"]
        team = "!web"
        created_from = 2025-02-03T00:00:00Z
        """
    )
    counts = Choice(branches=("main", "develop"), since=datetime(2025, 1, 1, tzinfo=UTC))
    events = Choice(states=("failed", "soft_failed"), slower=90.0, at_most=20)
    assert choices(()) == {"job_events": events, "branch_build_counts": counts}
    told = choices(["job_events"], states=["all"], at_most=3)
    assert told["job_events"] == Choice(states=("all",), slower=90.0, at_most=3)
    since = datetime(2025, 2, 3, tzinfo=UTC)
    assert filtered() == Filter(archived=False, tags=("web",), team="!web", created_from=since)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[sources.buildkite_ci.job_events]\nstate = 'failed'", "no setting 'state'.*states"),
        ("[sources.buildkite_ci.job_events]\nslower = 'long'", "job_events.slower 'long'"),
        ("[sources.buildkite_ci.job_events]\nsample = '200%'", "job_events.sample '200%'"),
        ("[sources.buildkite_ci.job_events]\nuntil = 'soon'", "job_events.until 'soon'"),
        ("[sources.buildkite_ci.filter]\nteams = 'web'", "no setting 'teams'.*team"),
    ],
)
def test_a_setting_that_means_nothing_is_named(configured: Configured, text: str, error: str) -> None:
    configured(text)
    with pytest.raises(BadInput, match=error):
        filtered() if "filter" in text else choices(())


def test_spans_of_time() -> None:
    assert [seconds(text) for text in ("90s", "10m", "2h", " 1.5 m")] == [90, 600, 7200, 90]
    for text in ("", "10", "m", "-5s", "10d", "1m30s"):
        with pytest.raises(BadInput, match="no span of time"):
            seconds(text)


def run(standin: Standin, file: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    monkeypatch.setenv("BUILDKITE_API_TOKEN", standin.token)
    monkeypatch.setenv("BUILDKITE_REST_URL", standin.rest_url)
    monkeypatch.setenv("BUILDKITE_GRAPHQL_URL", standin.graphql_url)
    monkeypatch.chdir(file.parent)
    return CliRunner().invoke(app, ["load", "-o", "acme", "-d", str(file), "--since", "2020-01-01", "--json", *words])


def test_the_command_asks_for_what_is_typed(
    scene: tuple[Organization, Standin, Path], copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization, standin, _ = scene
    bodies = heard(standin)
    words = ("job_events", "--state", "soft_failed", "--slower", "4000s", "--pipeline", "app", "--branch", "main")
    result = run(standin, copied, monkeypatch, *words)
    assert result.exit_code == 0, result.output
    wanted = [job for job in ended(organization) if soft(job) or lasted(job) >= 4000]
    assert sorted(values(bodies, "JobEvents", "job")) == sorted(job["id"] for job in wanted)
    assert len(wanted) == 2
    (told,) = json.loads(result.stdout)["organizations"]
    assert told["exit_code"] == 0
    result = run(standin, copied, monkeypatch, "job_events", "--slower", "never")
    assert (result.exit_code, "--slower 'never'" in result.output + str(result.exception)) == (2, True)
