"""`plan` of what GraphQL tells: work lists, and what is asked for branches, queues and groups."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from buildkite_ci.catalog import catalog, twin
from buildkite_ci.choice import Choice, Filter
from buildkite_ci.table import Errand, GraphQL
from buildkite_elt.plan_asks import COSTS
from buildkite_elt.plan_lists import spread
from buildkite_elt.standin import Standin
from buildkite_elt.standin.bodies import annotation
from buildkite_elt.standin.demo import demo
from conftest import ENOUGH
from planned import LONG_AGO, Both, Row

LISTS = tuple(n for n, t in catalog().items() if isinstance(t.fetch, Errand) and twin(t).exists())
ASKED = tuple(name for name, table in catalog().items() if isinstance(table.fetch, GraphQL) and table.fetch.many)


@pytest.fixture
def both(standin: Standin, tmp_path: Path) -> Both:
    return Both(standin, tmp_path / "buildkite.duckdb")


def line(found: Row, table: str) -> Row:
    (one,) = (line for line in found["tables"] if line["table"] == table)
    return dict(one)


def test_every_table_that_is_asked_for_many_things_is_planned() -> None:
    assert set(ASKED) == COSTS.keys()


@pytest.mark.slow
def test_every_graphql_table_of_the_demo_world(tmp_path: Path) -> None:
    """First, and with what a day brings."""
    every = tuple(name for name, table in catalog().items() if table.api == "GraphQL")
    with Standin(demo(), budgets=ENOUGH) as standin:
        both = Both(standin, tmp_path / "buildkite.duckdb")
        first = both.compare("builds", "annotations", *every)
        assert line(first, "job_events")["points"] > 0
        standin.world.advance(timedelta(hours=25))
        both.compare("builds", "annotations", *every)
        both.compare(*LISTS)


def test_work_lists_first_and_a_day_later(both: Both) -> None:
    first = both.compare("builds", *LISTS)
    assert all(line(first, name)["points"] for name in LISTS)
    assert {one["what"] for one in first["probes"]} >= {f"{name} (GraphQL, 5 rows)" for name in LISTS}
    both.standin.world.advance(timedelta(days=1))
    both.compare("builds", *LISTS)
    nothing = both.compare(*LISTS)
    assert nothing["total"]["points"] == nothing["total"]["requests"] == 0


def test_a_choice_and_its_most_rows_are_what_is_planned(both: Both) -> None:
    both.compare("builds")
    both.choose(job_events=Choice(states=("all",), at_most=9), build_env=Choice(pipelines=("web",)))
    found = both.plan("job_events", "build_env")
    (outcome,) = (both.load("job_events", "build_env"),)
    assert line(found, "build_env")["points"] == found["total"]["points"] - line(found, "job_events")["points"]
    assert outcome.points == pytest.approx(found["total"]["points"], rel=0.15)
    assert line(found, "job_events")["requests"] == 1


def test_annotations_of_jobs_are_asked_of_rest(both: Both) -> None:
    acme = both.standin.world.organizations["acme-inc"]
    for at, build in enumerate(acme.builds.values()):
        jobs = [job for job in build["jobs"] if job["type"] == "script"]
        if jobs and at % 2:
            one = annotation(f"0000-{at}", "junit", None, jobs[0]["id"], "<p>1</p>", build["created_at"], 3)
            acme.annotations.setdefault(build["id"], []).append(one)
    both.compare("builds")
    some = both.plan("annotations")
    assert line(some, "annotations")["rest_requests"] > 0
    assert line(some, "pipelines")["rest_requests"] == 1
    both.choose(annotations=Choice(at_most=40))
    both.load("annotations")
    told = both.compare("annotations")  # by the file's own
    assert 10 <= line(told, "annotations")["rest_requests"] <= 25


def test_without_graphql_a_row_is_a_request(both: Both) -> None:
    token = both.standin.world.tokens[both.standin.token]
    token.scopes = tuple(one for one in token.scopes if one != "graphql")
    both.choose(annotations=Choice(at_most=12))
    found = both.compare("builds", "annotations")
    assert line(found, "annotations")["rest_requests"] == 12


def test_branches_queues_and_groups_first_and_with_what_the_file_knows(both: Both) -> None:
    both.compare("builds", *ASKED)
    both.choose(job_details=Choice(at_most=300))
    both.load("job_details")
    acme = both.standin.world.organizations["acme-inc"]
    for queue in acme.queues.values():
        queue["_metrics"] = True
    both.standin.world.advance(timedelta(hours=5))
    found = both.compare(*ASKED)
    assert line(found, "branch_build_counts")["rows"] > len(acme.pipelines)
    assert line(found, "concurrency_group_jobs")["points"] > 0


CHOICES: tuple[tuple[str, Choice], ...] = (
    ("branch_build_counts", Choice(branches=("main", "other"), states=("passed", "failed", "all"))),
    ("branch_build_counts", Choice(branches=("main",), since=LONG_AGO)),
    ("queue_jobs", Choice(queues=("default",))),
    ("queue_jobs", Choice(queues=("legacy", "gpu"))),
    ("concurrency_group_jobs", Choice(groups=tuple(f"group {n}" for n in range(30)))),
)


@pytest.mark.parametrize(("table", "choice"), CHOICES)
def test_what_is_chosen_is_what_is_planned(table: str, choice: Choice, both: Both) -> None:
    both.choose(**{table: choice})
    found = both.compare(table)
    assert line(found, table)["points"] > 0


def test_a_filter_leaves_pipelines_out_of_the_plan_too(both: Both) -> None:
    asked = ("branch_build_counts", "pipeline_schedules", "pipeline_metrics", "pipeline_latest_builds")
    every = both.plan(*asked)
    both.choose(Filter(search="e"))
    found = both.compare(*asked)
    assert 0 < line(found, "pipeline_schedules")["requests"] < line(every, "pipeline_schedules")["requests"]
    assert 0 < line(found, "pipeline_metrics")["points"] < line(every, "pipeline_metrics")["points"]
    assert line(found, "pipelines")["requests"] == 1


def test_a_table_that_is_refused_is_told_and_the_others_are_planned(both: Both) -> None:
    both.standin.world.tokens[both.standin.token].admin = False
    found = both.plan("agent_tokens", "audit_events", "pipeline_metrics")
    assert line(found, "audit_events")["why"]
    assert line(found, "pipeline_metrics")["points"]


def test_a_sample_is_scattered() -> None:
    assert spread(range(3), 5) == [0, 1, 2]
    found = spread(range(100), 5)
    assert len(set(found)) == 5
    assert {one // 34 for one in found} == {0, 1, 2}
