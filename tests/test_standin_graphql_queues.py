"""The stand-in's GraphQL of pipelines, queues and searches for jobs: true numbers, 504s, and in time."""

from __future__ import annotations

import base64
import time
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import GraphQLSchema, build_schema

from buildkite_elt.standin import Budgets, Standin, World, graphql
from buildkite_elt.standin.demo import NOW, demo, empty
from buildkite_elt.standin.life import Life
from lively import Row, data, execute, lively, message, nodes, organization

REAL = Path(__file__).parents[2] / "shared" / "buildkite" / "schema.graphql"
SMALL: dict[str, Any] = {"days": 16, "pipelines": 12, "builds_per_day": 8}
QUEUES = """clusters { edges { node { queues { edges { node { id uuid key dispatchPaused dispatchPausedAt
    dispatchPausedNote dispatchPausedBy { name } metrics { timestamp connectedAgentsCount runningJobsCount
    waitingJobsCount jobsPassedCount jobsFailedCount waitTimeSec { min max p50 p95 } } } } } } } }"""


@pytest.fixture
def life() -> Life:
    return lively()


def queues(world: World, slug: str) -> list[Row]:
    told = data(world, f'{{ organization(slug: "{slug}") {{ {QUEUES} }} }}')["organization"]
    return [queue for cluster in nodes(told["clusters"]) for queue in nodes(cluster["queues"])]


# Pipelines


def test_the_next_number_is_one_more_than_any_number_was(life: Life) -> None:
    life.history(life.pipeline("busy"), 5, 1, NOW - timedelta(days=2), NOW)
    newest = list(life.organization.builds.values())[-1]
    life.delete_build(newest)
    inner = "pipelines { edges { node { slug nextBuildNumber builds(first: 1) { edges { node { number } } } } } }"
    told = {one["slug"]: one for one in nodes(organization(life.world, inner)["pipelines"])}
    assert {slug: one["nextBuildNumber"] for slug, one in told.items()} == {"app": 3, "site": 2, "old": 1, "busy": 6}
    assert nodes(told["app"]["builds"]) == [{"number": 2}]


def test_every_next_number_of_the_demo_is_true() -> None:
    world = demo(organizations=("acme",), **SMALL)
    life = Life(world)
    greatest: dict[str, int] = {}
    for build in life.organization.builds.values():
        greatest[build["pipeline"]["id"]] = max(build["number"], greatest.get(build["pipeline"]["id"], 0))
    inner = "pipelines { edges { node { uuid nextBuildNumber } } }"
    told = {one["uuid"]: one["nextBuildNumber"] for one in nodes(organization(world, inner)["pipelines"])}
    assert told == {one: greatest.get(one, 0) + 1 for one in life.organization.pipelines}


def test_what_only_the_graph_tells_of_a_pipeline(life: Life) -> None:
    ada = life.somebody()
    uuid = "018c5ad7-28f1-45d4-867e-b59fa0451000"
    life.pipeline("rich", tags=["a", "b"], pipeline_template_uuid=uuid, provider_id="gitlab")
    inner = """pipelines(order: NAME) { edges { node { slug archived archivedAt archivedBy { uuid } commitShortLength
        tags { label } pipelineTemplate { uuid name createdBy { uuid } } repository { url provider { name } } } } }"""
    told = {one["slug"]: one for one in nodes(organization(life.world, inner)["pipelines"])}
    assert ada is not None
    assert told["rich"]["tags"] == [{"label": "a"}, {"label": "b"}]
    assert told["rich"]["pipelineTemplate"] == {"uuid": uuid, "name": "Template", "createdBy": {"uuid": ada["id"]}}
    assert told["rich"]["repository"]["provider"] == {"name": "GitLab"}
    assert (told["old"]["archived"], told["old"]["archivedBy"]) == (True, {"uuid": ada["id"]})
    assert (told["app"]["archived"], told["app"]["archivedAt"], told["app"]["archivedBy"]) == (False, None, None)
    assert {one["commitShortLength"] for one in told.values()} == {10}


# Queues


def count(world: World, arguments: str) -> int:
    found: int = organization(world, f"jobs(first: 1, {arguments}) {{ count }}")["jobs"]["count"]
    return found


def test_queue_metrics_agree_with_the_jobs_at_that_minute() -> None:
    """The clock is on whole minutes, so that the bucket ends now."""
    world = demo(organizations=("acme",), **SMALL)
    life = Life(world)
    life.build("billing", plan=[{"outcome": "failed", "takes": 400.0}])
    for slug in ("train", "train", "web", "engine", "billing"):
        life.build(slug)
    seen = {"runningJobsCount": 0, "waitingJobsCount": 0, "jobsPassedCount": 0, "jobsFailedCount": 0}
    for _ in range(15):
        world.advance(timedelta(minutes=1))
        for queue in queues(world, "acme"):
            metrics, mine = queue["metrics"], f'clusterQueue: ["{queue["id"]}"]'
            assert metrics["timestamp"] == life.stamp()
            running = count(world, f"{mine}, state: [ASSIGNED, ACCEPTED, RUNNING, CANCELING, TIMING_OUT]")
            waiting = count(world, f"{mine}, state: [SCHEDULED]")
            assert (metrics["runningJobsCount"], metrics["waitingJobsCount"]) == (running, waiting)
            waits = metrics["waitTimeSec"]
            assert 0 <= waits["min"] <= waits["p50"] <= waits["p95"] <= waits["max"]
            assert waiting or waits["max"] == 0
            for key in seen:
                seen[key] += metrics[key]
    assert all(seen.values()), seen


def test_the_same_minute_reads_the_same() -> None:
    world = demo(organizations=("acme",), **SMALL)
    world.advance(timedelta(minutes=1, seconds=1))
    first = queues(world, "acme")
    world.advance(50)
    assert queues(world, "acme") == first
    world.advance(10)
    assert {one["metrics"]["timestamp"] for one in queues(world, "acme")} == {"2026-10-01T09:32:00.000Z"}


def test_the_minute_counts_what_ended_in_it_and_failed(life: Life) -> None:
    [queue] = life.organization.queues.values()
    queue["_metrics"] = {}
    life.build("app", plan=[{"takes": 30.0}, {"takes": 30.0, "outcome": "failed"}, {"takes": 300.0}, {"takes": 9.0}])
    life.world.advance(120)
    [told] = queues(life.world, "acme")
    assert (told["metrics"]["runningJobsCount"], told["metrics"]["waitingJobsCount"]) == (1, 1)
    assert (told["metrics"]["jobsPassedCount"], told["metrics"]["jobsFailedCount"]) == (0, 1)
    assert told["metrics"]["waitTimeSec"]["max"] == 120
    assert told["metrics"]["connectedAgentsCount"] == 1


def test_without_the_advanced_metrics_there_are_none(life: Life) -> None:
    [queue] = life.organization.queues.values()
    bob = list(life.organization.members.values())[-1]["_user"]
    life.pause_queue(queue, bob, "Repairs")
    paused = life.stamp()
    [told] = queues(life.world, "acme")
    assert told["metrics"] is None
    assert (told["dispatchPaused"], told["dispatchPausedAt"], told["dispatchPausedNote"]) == (True, paused, "Repairs")
    assert told["dispatchPausedBy"] == {"name": bob["name"]}


# Searches for jobs


def test_every_rule_has_to_match_and_any_state_will_do(life: Life) -> None:
    [job, *_] = [job for _, job in life.organization.jobs() if job["type"] == "script"]
    job["agent_query_rules"] = ["queue=default", "os=linux"]
    assert count(life.world, 'agentQueryRules: ["queue=default", "os=linux"]') == 1
    assert count(life.world, 'agentQueryRules: ["os=linux", "os=mac"]') == 0
    both = count(life.world, "state: [FINISHED, UNBLOCKED]")
    assert both == count(life.world, "state: FINISHED") + count(life.world, "state: UNBLOCKED")


def test_from_is_in_the_window_and_to_is_not(life: Life) -> None:
    at = next(iter(life.organization.builds.values()))["created_at"]
    then = (datetime.fromisoformat(at) + timedelta(milliseconds=1)).isoformat()
    here = sum((job.get("created_at") or build["created_at"]) == at for build, job in life.organization.jobs())
    assert here > 0
    assert count(life.world, f'createdAtFrom: "{at}", createdAtTo: "{then}"') == here
    assert count(life.world, f'createdAtTo: "{at}"') == 0


def test_the_order_is_of_making_or_of_giving_to_an_agent(life: Life) -> None:
    """Of two jobs that wait for one agent, the one that is given last comes first."""
    made = life.build("app", plan=[{"name": "a", "takes": 600.0}, {"name": "b"}])["jobs"]
    life.world.advance(700)
    events = "events { edges { node { type timestamp } } }"
    node = f"edges {{ node {{ ... on JobTypeCommand {{ uuid createdAt {events} }} }} }}"
    told = {
        order: nodes(organization(life.world, f"jobs(first: 9, type: COMMAND, order: {order}) {{ {node} }}")["jobs"])
        for order in ("RECENTLY_CREATED", "RECENTLY_ASSIGNED")
    }
    times = [job["createdAt"] for job in told["RECENTLY_CREATED"]]
    assert times == sorted(times, reverse=True)
    given = [
        e["timestamp"] for job in told["RECENTLY_ASSIGNED"] for e in nodes(job["events"]) if e["type"] == "ASSIGNED"
    ]
    assert given == sorted(given, reverse=True)
    assert [job["uuid"] for job in told["RECENTLY_ASSIGNED"]][:2] == [job["id"] for job in reversed(made)]


def test_the_jobs_of_a_group_that_wait(life: Life) -> None:
    life.build("app", plan=[{"concurrency": ("door", 1), "takes": 600.0}, {"concurrency": ("door", 1)}])
    life.world.advance(60)
    inner = """jobs(concurrency: {group: ["door"]}, type: [COMMAND], state: [LIMITED, LIMITING]) { count edges { node {
        ... on JobTypeCommand { state concurrency { group limit } retryRules { manual automatic { limit } } } } } }"""
    told = organization(life.world, inner)["jobs"]
    rules = {"manual": True, "automatic": []}
    assert nodes(told) == [{"state": "LIMITED", "concurrency": {"group": "door", "limit": 1}, "retryRules": rules}]


def test_what_is_unknown_is_null(life: Life) -> None:
    uuid = "00000000-0000-4000-8000-000000000000"
    ids = [base64.b64encode(f"{kind}---{uuid}".encode()).decode() for kind in ("Job", "Build", "Pipeline", "Nothing")]
    asked = [f'n{at}: node(id: "{one}") {{ id }}' for at, one in enumerate([*ids, "", "é"])]
    asked += [f'b: build(uuid: "{uuid}") {{ id }}', f'j: job(uuid: "{uuid}") {{ __typename }}', "e: build { id }"]
    asked += [f's{at}: build(slug: "acme/app/{one}") {{ id }}' for at, one in enumerate(("", "²", "-1", "9" * 5000))]
    asked += ['o: organization(slug: "acme") { cluster(id: "no") { id } }']
    assert data(life.world, "{" + " ".join(asked) + "}") == {
        **{one.partition(":")[0]: None for one in asked},
        "o": {"cluster": None},
    }


HEAVY = Budgets(heavy=timedelta(days=7), heavy_page=100)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ('createdAtFrom: "2026-09-30T00:00:00Z", first: 100', 200),
        ('createdAtFrom: "2026-09-20T00:00:00Z", first: 100', 504),
        ('createdAtFrom: "2026-09-20T00:00:00Z", createdAtTo: "2026-09-27T00:00:00Z", first: 100', 200),
        ("first: 100", 504),
        ('createdAtFrom: "2026-09-30T00:00:00Z", first: 101', 504),
        ('createdAtFrom: "2026-09-30T00:00:00Z"', 504),
    ],
)
def test_a_heavy_search_of_all_jobs_is_a_504(life: Life, arguments: str, status: int) -> None:
    """That of one pipeline is not, however large (api.md 2.2)."""
    query = f'{{ organization(slug: "acme") {{ jobs({arguments}) {{ count }} }} }}'
    result = execute(life.world, query, HEAVY)
    assert (result.status, result.actual) == (status, 2 if status == 200 else None)
    assert status == 200 or message(result)
    assert execute(life.world, query).status == 200
    assert execute(life.world, '{ pipeline(slug: "acme/app") { jobs { count } } }', HEAVY).status == 200


def test_a_504_over_http_costs_nothing_and_is_no_bug(life: Life) -> None:
    with Standin(life.world, budgets=HEAVY) as standin:
        headers, query = (
            {"Authorization": f"Bearer {standin.token}"},
            '{ organization(slug: "acme") { jobs { count } } }',
        )
        answer = httpx.post(standin.graphql_url, json={"query": query}, headers=headers)
        assert (answer.status_code, standin.count("graphql").points) == (504, 0)


# Connections


@cache
def real() -> GraphQLSchema:
    return build_schema(REAL.read_text(encoding="utf-8"))


@pytest.mark.skipif(not REAL.exists(), reason="the published schema is not beside this checkout")
def test_a_connection_has_a_count_and_nodes_where_the_real_one_has() -> None:
    ours: dict[str, Any] = graphql.schema().type_map
    connections = [name for name in ours if name.endswith("Connection") and name != "Connection"]
    assert len(connections) > 15
    for name in connections:
        theirs: Any = real().type_map[name]
        for field in ("count", "nodes", "edges", "pageInfo"):
            assert (field in ours[name].fields) == (field in theirs.fields), f"{name}.{field}"


def test_where_there_is_no_cursor_a_page_is_all_one_gets(life: Life) -> None:
    query = '{ pipeline(slug: "acme/app") { schedules(after: "x") { count } metrics(after: "x") { count } } }'
    errors = execute(life.world, query).body["errors"]
    assert ["Unknown argument 'after'" in one["message"] for one in errors] == [True, True]


# Time


def test_searches_are_quick_among_ten_thousand_jobs() -> None:
    life = Life(empty())
    life.history(life.pipeline("app", cluster=life.cluster("Linux")), 1000, 10, NOW - timedelta(days=10), NOW)
    jobs = [job["id"] for _, job in life.organization.jobs()]
    many = " ".join(f'j{at}: job(uuid: "{one}") {{ ... on JobTypeCommand {{ state }} }}' for at, one in
                    enumerate(jobs[::100]))  # fmt: skip
    assert quickest(life.world, f"{{ {many} }}") < 0.3
    node = "{ ... on JobTypeCommand { uuid state agent { uuid } clusterQueue { uuid } } }"
    page = f"pageInfo {{ endCursor }} edges {{ node {node} }}"
    for arguments in ("", 'createdAtFrom: "2026-09-25T00:00:00Z", ', "order: RECENTLY_ASSIGNED, "):
        query = f'{{ organization(slug: "acme") {{ jobs({arguments}first: 100) {{ {page} }} }} }}'
        assert quickest(life.world, query) < 0.2, arguments


def quickest(world: World, query: str) -> float:
    """Seconds, the best of five: another process may be in the way."""

    def once() -> float:
        begun = time.perf_counter()
        data(world, query)
        return time.perf_counter() - begun

    return min(once() for _ in range(5))
