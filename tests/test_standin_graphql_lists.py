"""The stand-in's GraphQL listings: filters, counts, and pages that do not shift."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from buildkite_elt.standin import World
from buildkite_elt.standin.demo import demo
from buildkite_elt.standin.life import Life
from lively import Row, data, execute, lively, nodes, organization


@pytest.fixture
def life() -> Life:
    return lively()


def test_metrics_of_every_pipeline(life: Life) -> None:
    inner = """pipelines(first: 100) { edges { node { slug nextBuildNumber tags { label }
        metrics(first: 6) { edges { node { id label value url } } } } } }"""
    pipelines = {one["slug"]: one for one in nodes(organization(life.world, inner)["pipelines"])}
    assert set(pipelines) == {"app", "site", "old"}
    assert pipelines["app"]["nextBuildNumber"] == 3
    assert pipelines["app"]["tags"] == [{"label": "web"}]
    for one in pipelines.values():
        assert [metric["label"] for metric in nodes(one["metrics"])] == ["Speed", "Reliability", "Builds"]
    ids = [metric["id"] for one in pipelines.values() for metric in nodes(one["metrics"])]
    assert len(set(ids)) == 9


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ("", 2),
        ('branch: ["main"]', 1),
        ('branch: "%default"', 1),
        ('branch: "feature/*"', 1),
        ('branch: ["main", "feature/x"]', 2),
        ('branch: ["none"]', 0),
        ("state: [FAILED]", 1),
        ("state: PASSED", 1),
        ('branch: "main", state: FAILED', 0),
        ('createdAtFrom: "2026-10-01T09:30:00Z"', 2),
        ('createdAtTo: "2026-10-01T09:30:00Z"', 0),
        ('createdAtFrom: "2026-10-01T09:30:00.001Z"', 0),
    ],
)
def test_builds_are_counted_by_branch_state_and_time(life: Life, arguments: str, count: int) -> None:
    """From is inclusive, to is not."""
    query = f'{{ pipeline(slug: "acme/app") {{ builds({arguments}) {{ count }} }} }}'.replace("()", "")
    result = execute(life.world, query)
    assert result.body == {"data": {"pipeline": {"builds": {"count": count}}}}
    assert (result.requested, result.actual) == (2, 2)


def test_a_time_without_a_zone_is_an_error(life: Life) -> None:
    query = '{ pipeline(slug: "acme/app") { builds(createdAtFrom: "2026-10-01 09:30") { count } } }'
    [error] = execute(life.world, query).body["errors"]
    assert "createdAtFrom" in error["message"]
    assert error["path"] == ["pipeline", "builds"]


def gid(kind: str, store: Row) -> str:
    return base64.b64encode(f"{kind}---{next(iter(store))}".encode()).decode()


def test_jobs_are_filtered_by_every_argument(life: Life) -> None:
    org = life.organization
    queue, cluster = gid("ClusterQueue", org.queues), gid("Cluster", org.clusters)
    every = organization(life.world, "jobs { count }")["jobs"]["count"]
    assert every == sum(1 for _ in org.jobs())
    unclustered = sum(job.get("cluster_id") is None for _, job in org.jobs())
    for arguments, count in (
        ("clustered: true", every),
        ("clustered: false", unclustered),
        (f'clusterQueue: ["{queue}"]', 4),
        (f'cluster: "{cluster}"', 4),
        ("passed: false", 2),
        ("state: FINISHED, type: COMMAND", 7),
        ("type: [BLOCK, WAIT]", 2),
        ('concurrency: {group: ["ship"]}', 1),
        ('concurrency: {group: ["other"]}', 0),
        ('step: {key: ["test"]}', 3),
        ("priority: {number: [0]}, type: COMMAND", 7),
        ("priority: {number: [1]}", 0),
        ('finishedAt: "2026-10-01", type: COMMAND', 7),
        ('finishedAt: "2026-09-30"', 0),
        ('createdAtFrom: "2026-10-01T10:00:00Z", type: COMMAND', 3),
    ):
        assert organization(life.world, f"jobs({arguments}) {{ count }}")["jobs"]["count"] == count, arguments
    rules = organization(life.world, 'jobs(clustered: false, agentQueryRules: ["queue=default"]) { count }')["jobs"]
    assert rules["count"] == sum("queue=default" in job.get("agent_query_rules", ()) for _, job in org.jobs()
                                 if job.get("cluster_id") is None)  # fmt: skip


def test_a_filter_wants_the_global_id(life: Life) -> None:
    uuid = next(iter(life.organization.queues))
    query = f'{{ organization(slug: "acme") {{ jobs(clusterQueue: ["{uuid}"]) {{ count }} }} }}'
    [error] = execute(life.world, query).body["errors"]
    assert "clusterQueue" in error["message"]
    cluster = next(iter(life.organization.clusters))
    assert organization(life.world, f'cluster(id: "{cluster}") {{ name }}')["cluster"] == {"name": "Linux"}


@pytest.mark.parametrize(
    ("arguments", "slugs"),
    [
        ("order: NAME", ["app", "old", "site"]),
        ("archived: false, order: NAME", ["app", "site"]),
        ("archived: true", ["old"]),
        ("clustered: false, order: NAME", ["old", "site"]),
        ('search: "SIT"', ["site"]),
        ('tags: ["web"]', ["app"]),
        ('tags: ["web", "no"]', []),
        ('team: "web"', ["app"]),
        ('team: "!web", order: NAME', ["old", "site"]),
        ("favorite: true", []),
        ('createdAtTo: "2026-01-01T00:00:00Z"', []),
    ],
)
def test_pipelines_are_filtered(life: Life, arguments: str, slugs: list[str]) -> None:
    found = organization(life.world, f"pipelines({arguments}) {{ count edges {{ node {{ slug }} }} }}")["pipelines"]
    assert [one["slug"] for one in nodes(found)] == slugs
    assert found["count"] == len(slugs)


def test_members_and_teams(life: Life) -> None:
    inner = """members(role: MEMBER) { edges { node { uuid role sso { mode } security { twoFactorEnabled }
        user { uuid name } teams { edges { node { role team { slug } } } } } } }
        teams { edges { node { slug isDefaultTeam privacy members { count }
            pipelines { edges { node { accessLevel pipeline { slug } } } } } } }"""
    found = organization(life.world, inner)
    [bob] = nodes(found["members"])
    assert bob["uuid"] != bob["user"]["uuid"]
    assert (bob["user"]["name"], bob["role"], bob["sso"]) == ("Bob", "MEMBER", {"mode": "REQUIRED"})
    assert nodes(bob["teams"]) == [{"role": "MAINTAINER", "team": {"slug": "web"}}]
    [team] = nodes(found["teams"])
    assert (team["privacy"], team["members"]) == ("VISIBLE", {"count": 1})
    assert nodes(team["pipelines"]) == [{"accessLevel": "READ_ONLY", "pipeline": {"slug": "app"}}]


def test_queue_metrics_may_be_null(life: Life) -> None:
    queues = "queues { edges { node { key dispatchPaused metrics { waitTimeSec { p50 } } } } }"
    inner = f"clusters {{ edges {{ node {{ {queues} }} }} }}"
    [cluster] = nodes(organization(life.world, inner)["clusters"])
    assert nodes(cluster["queues"]) == [{"key": "default", "dispatchPaused": False, "metrics": None}]


# Pages

PAGE = """query($after: String, $first: Int = 2) { pipeline(slug: "acme/app") { builds(first: $first, after: $after) {
    count pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { cursor node { number } } } } }"""


def page(world: World, **variables: Any) -> Row:
    found: Row = data(world, PAGE, **variables)["pipeline"]["builds"]
    return found


def test_pages_do_not_shift_when_builds_come_and_go(life: Life) -> None:
    for _ in range(5):
        life.build("app")
    seen: list[int] = []
    after = None
    while True:
        found = page(life.world, after=after)
        seen += [one["number"] for one in nodes(found)]
        life.build("app")
        gone = next(iter(sorted(life.organization.builds.values(), key=lambda one: one["number"] != seen[-1])))
        if gone["pipeline"]["slug"] == "app":
            del life.organization.builds[gone["id"]]
        after = found["pageInfo"]["endCursor"]
        if not found["pageInfo"]["hasNextPage"]:
            break
    assert seen == [7, 6, 5, 4, 3, 2, 1]


def test_page_info_tells_both_ends(life: Life) -> None:
    first = page(life.world, first=1)
    info = first["pageInfo"]
    assert (first["count"], info["hasNextPage"], info["hasPreviousPage"]) == (2, True, False)
    assert info["startCursor"] == info["endCursor"] == first["edges"][0]["cursor"]
    last = page(life.world, first=1, after=info["endCursor"])
    assert [one["number"] for one in nodes(last)] == [1]
    assert (last["pageInfo"]["hasNextPage"], last["pageInfo"]["hasPreviousPage"]) == (False, True)
    beyond = page(life.world, after=last["pageInfo"]["endCursor"])
    assert (nodes(beyond), beyond["pageInfo"]["hasNextPage"], beyond["pageInfo"]["endCursor"]) == ([], False, None)
    query = '{ pipeline(slug: "acme/app") { builds(last: 1, before: "%s") { edges { node { number } } } } }'
    back = data(life.world, query % last["edges"][0]["cursor"])["pipeline"]["builds"]
    assert [one["number"] for one in nodes(back)] == [2]


@pytest.mark.parametrize("arguments", ['after: "nonsense"', 'after: "WyJ4Il0="', "first: -1"])
def test_a_bad_page_is_an_error(life: Life, arguments: str) -> None:
    result = execute(life.world, f'{{ pipeline(slug: "acme/app") {{ builds({arguments}) {{ edges {{ cursor }} }} }} }}')
    assert len(result.body["errors"]) == 1


# The demo's world

SLUG = "acme-inc"


@pytest.fixture(scope="module")
def world() -> World:
    return demo(organizations=(SLUG,))


def walked(world: World, field: str, arguments: str, node: str) -> list[Row]:
    """Every node of a connection of the organization, page by page; its count is the number of them."""
    page = f"count pageInfo {{ hasNextPage endCursor }} edges {{ node {node} }}"
    inner = f"{field}(after: $after, {arguments}) {{ {page} }}"
    found: list[Row] = []
    after = None
    while True:
        query = f'query($after: String) {{ organization(slug: "{SLUG}") {{ {inner} }} }}'
        one = data(world, query, after=after)["organization"][field]
        found += nodes(one)
        after = one["pageInfo"]["endCursor"]
        if not one["pageInfo"]["hasNextPage"]:
            assert len(found) == one["count"]
            return found


def test_every_job_of_some_days_comes_once_newest_first(world: World) -> None:
    node = "{ __typename ... on JobInterface { uuid } ... on JobTypeCommand { createdAt state passed exitStatus } }"
    since = "2026-09-28T00:00:00.000Z"
    jobs = walked(world, "jobs", f'first: 100, createdAtFrom: "{since}"', node)
    every = world.organizations[SLUG].jobs()
    truth = {job["id"]: job for build, job in every if (job.get("created_at") or build["created_at"]) >= since}
    assert len(truth) > 1000
    assert sorted(job["uuid"] for job in jobs) == sorted(truth)
    commands = [job for job in jobs if job["__typename"] == "JobTypeCommand"]
    times = [job["createdAt"] for job in commands]
    assert times == sorted(times, reverse=True)
    for job in commands:
        row = truth[job["uuid"]]
        assert job["passed"] is (row["state"] == "passed")
        assert (job["state"] == "FINISHED") is (row["state"] in ("passed", "failed"))
        assert job["exitStatus"] == (None if row["exit_status"] is None else str(row["exit_status"]))


def test_every_pipeline_of_the_demo_has_its_metrics_and_its_counts(world: World) -> None:
    states = ("PASSED", "FAILED", "BLOCKED", "RUNNING", "CANCELED", "SKIPPED", "NOT_RUN")
    counts = " ".join(f"{state}: builds(state: {state}) {{ count }}" for state in states)
    latest = "builds(first: 1) { count edges { node { number createdAt } } }"
    metrics = "metrics(first: 6) { edges { node { label value } } }"
    pipelines = walked(world, "pipelines", "first: 7", f"{{ uuid {metrics} {latest} {counts} }}")
    organization = world.organizations[SLUG]
    assert {one["uuid"] for one in pipelines} == set(organization.pipelines)
    for one in pipelines:
        builds = [build for build in organization.builds.values() if build["pipeline"]["id"] == one["uuid"]]
        assert one["builds"]["count"] == len(builds)
        assert [node["number"] for node in nodes(one["builds"])] == [max(b["number"] for b in builds)][: len(builds)]
        assert nodes(one["metrics"]) == [{"label": m["label"], "value": m["value"]} for m in
                                         organization.pipelines[one["uuid"]]["_metrics"]]  # fmt: skip
        for state in states:
            told = sum(state == "BLOCKED" if b["blocked"] else b["state"].upper() == state for b in builds)
            assert one[state]["count"] == told


def test_every_event_of_the_demo_is_one_of_its_types(world: World) -> None:
    node = """{ ... on JobTypeCommand { uuid events(first: 50) { edges { node { __typename type timestamp actor { type }
        ... on JobEventFinished { exitStatus } ... on JobEventCanceled { exitStatus } } } } } }"""
    state, since = "FINISHED, CANCELED, TIMED_OUT", '"2026-09-30T00:00:00Z"'
    jobs = walked(world, "jobs", f"first: 100, type: COMMAND, state: [{state}], createdAtFrom: {since}", node)
    rows = {job["id"]: job for _, job in world.organizations[SLUG].jobs()}
    own = {"FINISHED": "JobEventFinished", "CANCELED": "JobEventCanceled", "STARTED": "JobEventGeneric"}
    for job in jobs:
        events = nodes(job["events"])
        assert sorted(e["type"] for e in events) == sorted(e["type"] for e in rows[job["uuid"]]["_events"])
        assert [e["timestamp"] for e in events] == sorted(e["timestamp"] for e in events)
        assert all(e["__typename"] == own[e["type"]] for e in events if e["type"] in own)
