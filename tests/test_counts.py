"""What pipelines are like now: builds of each branch, the newest build, Buildkite's own metrics; which pipelines are
asked; and what became of settings."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from buildkite_ci.catalog import catalog
from buildkite_ci.choice import Choice, Filter
from buildkite_ci.extract import Run
from buildkite_elt.standin import Organization, Standin
from buildkite_elt.standin.demo import empty
from buildkite_elt.standin.life import Life
from faults import LONG_AGO, PLENTY, wired
from lively import Row, ask, differ, into

BRANCHES = {"main": 5, "develop": 3, "fix": 2, "rare": 1}
METRICS = (
    {"label": "Speed", "value": "17.5m"},
    {"label": "Reliability", "value": "98%"},
    {"label": "Builds", "value": "1,204/week"},
    {"label": "Mood", "value": "rather good"},
    {"label": "Cost", "value": None},
)
PARSED = {"17.5m": (17.5, "m"), "98%": (98.0, "%"), "1,204/week": (1204.0, "/week"), "3m": (3.0, "m")}
"""What is printed, as a number and its unit; the rest is none."""


def several() -> Life:
    """Pipelines that differ in what can be filtered by; `app` has builds on four branches, `bare` has none."""
    life = Life(empty(now=datetime(2026, 9, 1, tzinfo=UTC)), "acme")
    world, cluster = life.world, life.cluster("Linux")
    app = life.pipeline("app", cluster=cluster, tags=["web", "critical"], repository="git@example.com:acme/app.git")
    life.pipeline("bare", default_branch="trunk", tags=["web"])
    old = life.pipeline("old", name="Attic App")
    life.archive_pipeline(old)
    team = life.team("Web")
    life.team_has(team, app, "read_only")
    for one in list(life.organization.pipelines.values()):
        one["_metrics"] = [dict(metric) for metric in METRICS]
        life.schedule(one, label=f"Nightly {one['slug']}")
    for branch, count in BRANCHES.items():
        for n in range(count):
            life.build(app, 1, branch=branch, state=("passed", "failed", "blocked")[n % 3])
            world.advance(3600)
    life.build(old, 1)
    world.advance(timedelta(days=30))
    late = life.pipeline("late", _metrics=[])
    life.schedule(late)
    life.build(late, 1)
    world.advance(3600)
    return life


@pytest.fixture(scope="module")
def scene() -> Iterator[tuple[Life, Standin]]:
    """It stands still: no test changes it."""
    life = several()
    with Standin(life.world, budgets=PLENTY) as standin:
        yield life, standin


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "buildkite.duckdb"


# Counts


def said(build: Row) -> str:
    """A build's state as GraphQL has it: a blocked one is neither passed nor failed (api.md 4.3)."""
    return "blocked" if build["blocked"] else str(build["state"])


def counted(organization: Organization, branches: dict[str, list[str]], states: tuple[str, ...], **frame: str) -> Any:
    """The rows of branch_build_counts: of each pipeline these branches, and of each these states."""
    begin, end = frame.get("begin", ""), frame.get("end", "")
    for pipeline in organization.pipelines.values():
        builds = [one for one in organization.builds.values() if one["pipeline"] is pipeline]
        builds = [one for one in builds if begin <= one["created_at"] and (not end or one["created_at"] < end)]
        for branch, state in itertools.product(branches[pipeline["slug"]], states):
            yield {
                "pipeline_id": pipeline["id"],
                "pipeline_slug": pipeline["slug"],
                "branch": branch,
                "state": state,
                "created_from": begin,
                "created_to": end,
                "builds": sum(one["branch"] == branch and state in ("all", said(one)) for one in builds),
            }


def test_branches_are_the_default_one_and_those_built_most(scene: tuple[Life, Standin], file: Path) -> None:
    life, standin = scene
    assert into(standin, file, "branch_build_counts").exit_code == 0
    own = {"app": ["main"], "bare": ["trunk"], "old": ["main"], "late": ["main"]}
    assert differ(file, "branch_build_counts", counted(life.organization, own, ("all",))) == []
    assert into(standin, file, "builds").exit_code == 0
    first = ask(file, "SELECT max(_dlt_load_id) FROM ci.branch_build_counts")[0][0]
    assert into(standin, file, "branch_build_counts").exit_code == 0
    own["app"] = ["main", "develop", "fix"]
    later = f"_dlt_load_id > '{first}'"
    assert differ(file, "branch_build_counts", counted(life.organization, own, ("all",)), later) == []


def test_branches_states_and_times_may_be_named(scene: tuple[Life, Standin], file: Path) -> None:
    """Also a time before the first loaded build: nothing is loaded here at all."""
    life, standin = scene
    begin, end = "2026-09-01T02:00:00.000Z", "2026-09-01T06:00:00.000Z"
    states, branches = ("passed", "failed", "blocked", "all"), ("main", "develop", "none")
    since, until = (datetime.fromisoformat(one.replace("Z", "+00:00")) for one in (begin, end))
    chosen = {"branch_build_counts": Choice(branches=branches, states=states, since=since, until=until)}
    assert into(standin, file, "branch_build_counts", choices=chosen).exit_code == 0
    own = {pipeline["slug"]: list(branches) for pipeline in life.organization.pipelines.values()}
    wanted = list(counted(life.organization, own, states, begin=begin, end=end))
    assert differ(file, "branch_build_counts", wanted) == []
    assert Counter(row["builds"] for row in wanted)[0] < len(wanted)
    app = "FROM ci.branch_build_counts WHERE pipeline_slug = 'app' AND branch = 'main'"
    assert ask(file, f"SELECT state, builds {app} ORDER BY 1") == [
        ("all", 3),
        ("blocked", 1),
        ("failed", 1),
        ("passed", 1),
    ]


# The newest build


def latest(organization: Organization) -> Iterator[Row]:
    for pipeline in organization.pipelines.values():
        builds = [one for one in organization.builds.values() if one["pipeline"] is pipeline]
        newest = max(builds, key=lambda one: one["number"], default=None)
        yield {
            "pipeline_id": pipeline["id"],
            "pipeline_slug": pipeline["slug"],
            "pipeline_name": pipeline["name"],
            **{f"build_{name}": newest and newest[name] for name in ("id", "number", "branch", "created_at")},
            "build_state": newest and said(newest),
        }


def test_every_pipeline_has_its_newest_build_or_none(scene: tuple[Life, Standin], file: Path) -> None:
    life, standin = scene
    assert into(standin, file, "pipeline_latest_builds").exit_code == 0
    assert differ(file, "pipeline_latest_builds", latest(life.organization)) == []
    assert ask(file, "SELECT pipeline_slug FROM ci.pipeline_latest_builds WHERE build_id IS NULL") == [("bare",)]


# Metrics


def metrics(organization: Organization) -> Iterator[Row]:
    for pipeline in organization.pipelines.values():
        for one in pipeline["_metrics"]:
            number, unit = PARSED.get(one["value"], (None, None))
            told = {"pipeline_id": pipeline["id"], "pipeline_slug": pipeline["slug"], "url": pipeline["web_url"]}
            yield told | one | {"value_number": number, "value_unit": unit}


def test_metrics_are_a_history_of_readings(file: Path) -> None:
    life = several()
    with Standin(life.world, budgets=PLENTY) as standin:
        columns = "SELECT observed_at, value_number, value_unit FROM ci.pipeline_metrics "
        speed = f"{columns} WHERE pipeline_slug = 'app' AND label = 'Speed' ORDER BY 1"
        assert into(standin, file, "pipeline_metrics").exit_code == 0
        first = life.world.now()
        ids = {row[0]: row[1] for row in ask(file, "SELECT (pipeline_id, label), graphql_id FROM ci.pipeline_metrics")}
        wanted = [row | {"graphql_id": ids[row["pipeline_id"], row["label"]]} for row in metrics(life.organization)]
        assert differ(file, "pipeline_metrics", wanted) == []
        assert len(set(ids.values())) == len(ids)
        app = life.organization.pipeline("app")
        assert app
        app["_metrics"][0]["value"] = "3m"
        life.world.advance(86400)
        assert into(standin, file, "pipeline_metrics").exit_code == 0
        assert ask(file, speed) == [(first, 17.5, "m"), (first + timedelta(days=1), 3.0, "m")]
        assert ask(file, "SELECT count(*) FROM ci.pipeline_metrics") == [(2 * len(wanted),)]


# Cost


def test_a_hundred_pipelines_for_at_most_1600_points_and_six_requests() -> None:
    """Metrics, newest builds, and the counts of three branches each (api.md 2.2, 5.1-5.3)."""
    life = Life(empty(), "acme")
    for n in range(100):
        life.build(life.pipeline(f"p{n}", _metrics=[dict(one) for one in METRICS[:3]]), 1)
    life.world.advance(3600)
    tables = ("pipeline_metrics", "pipeline_latest_builds", "branch_build_counts")
    chosen = {"branch_build_counts": Choice(branches=("main", "develop", "fix"))}
    with Standin(life.world, budgets=PLENTY) as standin, wired(standin) as wire:
        run = Run(wire, "acme", LONG_AGO, choices=chosen)
        rows = {name: sum(len(page.items) for page in run.pages(catalog()[name])) for name in tables}
        spent, requested = standin.count("graphql"), sum(seen.requested or 0 for seen in standin.seen)
        assert rows == {"pipeline_metrics": 100, "pipeline_latest_builds": 100, "branch_build_counts": 300}
        assert len(standin.seen) <= 6
        assert spent.points <= 1600
        assert wire.budget.spent["graphql"].points == spent.points <= requested


# Which pipelines


FILTERS = {
    "archived": (Filter(archived=True), {"old"}),
    "in use": (Filter(archived=False), {"app", "bare", "late"}),
    "tags": (Filter(tags=("web",)), {"app", "bare"}),
    "all of the tags": (Filter(tags=("web", "critical")), {"app"}),
    "team": (Filter(team="web"), {"app"}),
    "not of the team": (Filter(team="!web"), {"bare", "old", "late"}),
    "search": (Filter(search="attic"), {"old"}),
    "repository": (Filter(repository="git@example.com:acme/app.git"), {"app"}),
    "created since": (Filter(created_from=datetime(2026, 9, 15, tzinfo=UTC)), {"late"}),
    "created before": (Filter(created_to=datetime(2026, 9, 15, tzinfo=UTC)), {"app", "bare", "old"}),
    "several": (Filter(archived=False, tags=("web",), team="!web"), {"bare"}),
    "none": (Filter(search="nothing like it"), set()),
    "no filter": (Filter(), {"app", "bare", "old", "late"}),
}
WALKING = ("pipeline_schedules", "pipeline_metrics", "pipeline_latest_builds", "branch_build_counts")


def walked(standin: Standin, chosen: Filter) -> dict[str, set[Any]]:
    """The pipelines that each table tells of."""
    with wired(standin) as wire:
        counts = {"branch_build_counts": Choice(branches=("main",))}
        run = Run(wire, "acme", LONG_AGO, choices=counts, filter=chosen)
        found = {}
        for name in WALKING:
            tables = [run.read(catalog()[name], page) for page in run.pages(catalog()[name])]
            found[name] = {slug for table in tables for slug in table.column("pipeline_slug").to_pylist()}
    assert run.report.failed == {}
    return found


@pytest.mark.parametrize("how", FILTERS)
def test_a_filter_of_pipelines_is_honoured_by_all_that_walk_them(scene: tuple[Life, Standin], how: str) -> None:
    _, standin = scene
    chosen, slugs = FILTERS[how]
    standin.clear()
    found = walked(standin, chosen)
    assert found.pop("pipeline_metrics") == slugs - {"late"}  # it has none
    assert found == dict.fromkeys(found, slugs)
    schedules = [seen for seen in standin.seen if seen.path.endswith("/schedules")]
    assert len(schedules) == len(slugs)


def test_a_filter_by_cluster_takes_its_uuid(scene: tuple[Life, Standin]) -> None:
    life, standin = scene
    found = walked(standin, Filter(cluster=next(iter(life.organization.clusters))))
    assert found == {name: {"app"} for name in WALKING}


def test_a_filtered_load_stores_what_it_asked_for_and_pipelines_stay_whole(
    scene: tuple[Life, Standin], file: Path
) -> None:
    _, standin = scene
    chosen = {"branch_build_counts": Choice(branches=("main",))}
    assert into(standin, file, "pipelines", *WALKING, filter=Filter(tags=("web",)), choices=chosen).exit_code == 0
    slugs = {name: {row[0] for row in ask(file, f"SELECT pipeline_slug FROM ci.{name}")} for name in WALKING}
    assert slugs == {name: {"app", "bare"} for name in WALKING}
    assert ask(file, "SELECT count(*) FROM ci.pipelines") == [(4,)]


# History


def test_when_was_the_queue_paused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version begins when a load sees it: so dlt's clock is the world's here. What did not change has no new one."""
    life = Life(empty(), "acme")
    world, ticks = life.world, itertools.count()
    now = "dlt.common.storages.load_package.increasing_precise_time"
    monkeypatch.setattr(now, lambda: world.clock.now().timestamp() + next(ticks) / 1000)
    life.cluster("Linux")
    queue = next(iter(life.organization.queues.values()))
    bob = life.user("Bob")
    paused_at = world.now() + timedelta(hours=2)
    with Standin(world, budgets=PLENTY) as standin:
        for hour in range(6):
            if hour == 2:
                life.pause_queue(queue, bob, "Out of disk")
            if hour == 4:
                life.resume_queue(queue)
            assert into(standin, file, "cluster_queues").exit_code == 0
            world.advance(3600)
    told = (
        "SELECT dispatch_paused_at, dispatch_paused_by_name, dispatch_paused_note, "
        "date_trunc('hour', _dlt_valid_to) - date_trunc('hour', _dlt_valid_from) "
        "FROM ci.cluster_queues WHERE key = 'default' AND dispatch_paused"
    )
    assert ask(file, told) == [(paused_at, "Bob", "Out of disk", timedelta(hours=2))]
    assert ask(file, "SELECT count(*) FROM ci.cluster_queues") == [(3,)]


TOGETHER = ("queue_metrics", "concurrency_group_jobs", "queue_jobs", *WALKING)


def test_they_load_together(scene: tuple[Life, Standin], file: Path) -> None:
    """What asks GraphQL is read beside REST's, and some of it asks the warehouse what it holds. Twice: first there is
    nothing, then there is something."""
    _, standin = scene
    for _ in range(2):
        outcome = into(standin, file, "builds", "agents", *TOGETHER)
        assert (outcome.failed, outcome.skipped, outcome.waiting) == ({}, {}, {})
        assert {*TOGETHER} <= outcome.rows.keys()
