"""The stand-in's GraphQL of events and builds: what only it tells, and that it agrees with the world."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from typing import Any

import pytest

from buildkite_elt.standin import World, graphql
from buildkite_elt.standin.cast import SECRET
from buildkite_elt.standin.demo import demo
from buildkite_elt.standin.life import Life
from lively import Row, data, execute, lively, nodes


@pytest.fixture
def life() -> Life:
    return lively()


@cache
def demo_world() -> World:
    """Looked at only; a test that moves the clock makes its own."""
    return demo(days=16, pipelines=12, builds_per_day=20)


def acme(world: World, inner: str, **variables: Any) -> Row:
    query = f'query($after: String) {{ organization(slug: "acme-inc") {{ {inner} }} }}'
    found: Row = data(world, query, **variables)["organization"]
    return found


def walked(world: World, field: str, arguments: str, node: str) -> Iterator[Row]:
    """Every node of a connection of the demo's organization, page by page."""
    page: Row = {"hasNextPage": True, "endCursor": None}
    while page["hasNextPage"]:
        told = f"pageInfo {{ hasNextPage endCursor }} edges {{ node {node} }}"
        found = acme(world, f"{field}({arguments}, after: $after) {{ {told} }}", after=page["endCursor"])[field]
        yield from nodes(found)
        page = found["pageInfo"]


# Events

EVENT = """{ __typename id uuid type timestamp actor { type uuid node { __typename ... on User { uuid }
    ... on Agent { uuid } } } job { uuid }
    ... on JobEventAssigned { assignedAgent { uuid } }
    ... on JobEventBuildStepUploadCreated { buildStepUpload { id uuid definition { json yaml } } }
    ... on JobEventCanceled { exitStatus signal signalReason }
    ... on JobEventChanged { changedChanges }
    ... on JobEventFinished { exitStatus signal signalReason }
    ... on JobEventPromisedExitStatus { promisedExitStatus promisedExitStatusReason }
    ... on JobEventReprioritized { changedPriorityBeforeValue changedPriorityAfterValue }
    ... on JobEventRetried { automaticRule { exitStatus limit signal signalReason } retriedInJob { uuid } }
    ... on JobEventRetryFailed { retryFailedReason }
    ... on JobEventStackError { errorDetail }
    ... on JobEventStackFinished { detail }
    ... on JobEventStackNotification { message }
    ... on JobEventTimedOut { exitStatus signal signalReason } }"""

OWN = {
    "JobEventAssigned": "assignedAgent",
    "JobEventBuildStepUploadCreated": "buildStepUpload",
    "JobEventCanceled": "exitStatus",
    "JobEventChanged": "changedChanges",
    "JobEventFinished": "exitStatus",
    "JobEventPromisedExitStatus": "promisedExitStatus",
    "JobEventReprioritized": "changedPriorityAfterValue",
    "JobEventRetried": "retriedInJob",
    "JobEventRetryFailed": "retryFailedReason",
    "JobEventStackError": "errorDetail",
    "JobEventStackFinished": "detail",
    "JobEventStackNotification": "message",
    "JobEventTimedOut": "exitStatus",
}
"""What each type has of its own; JobEventGeneric has nothing."""


@cache
def told_events() -> list[Row]:
    """Every event of the demo, as the graph tells it."""
    node = f"{{ ... on JobTypeCommand {{ uuid exitStatus events(first: 500) {{ edges {{ node {EVENT} }} }} }} }}"
    jobs = walked(demo_world(), "jobs", "first: 500, type: COMMAND", node)
    return [event for job in jobs for event in nodes(job["events"])]


def test_all_fourteen_types_of_event_occur_with_what_is_their_own() -> None:
    kinds = {one.name for one in graphql.schema().get_possible_types(graphql.schema().type_map["JobEvent"])}  # type: ignore[arg-type]
    seen = Counter(event["__typename"] for event in told_events())
    assert set(seen) == kinds == {*OWN, "JobEventGeneric"}
    assert len(kinds) == 14
    for event in told_events():
        own = OWN.get(event["__typename"])
        assert own is None or event[own] is not None, event
        assert (event["actor"]["node"] is None) or event["actor"]["type"] in ("AGENT", "USER")
    uuids = {event["uuid"] for event in told_events()}
    assert len(uuids) == len(told_events())


def test_the_types_of_events_that_the_demo_never_shows() -> None:
    every = set(graphql.schema().type_map["JobEventType"].values)  # type: ignore[attr-defined]
    never = {"ACCEPTED_EXPIRED", "AGENT_DISCONNECTED", "ASSIGNED_EXPIRED", "LOG_SIZE_LIMIT_EXCEEDED", "NOTIFICATION"}
    never |= {"PLATFORM_LIMITED", "RESERVED_EXPIRED"}
    assert every - {event["type"] for event in told_events()} == never


def first(kind: str) -> Row:
    return next(event for event in told_events() if event["__typename"] == kind)


def test_an_exit_status_is_a_number_on_events_and_text_on_jobs(life: Life) -> None:
    query = """{ build(slug: "acme/app/2") { jobs { edges { node { ... on JobTypeCommand { exitStatus
        events { edges { node { ... on JobEventFinished { status: exitStatus } } } } } } } } } }"""
    [job] = nodes(data(life.world, query)["build"]["jobs"])
    assert job["exitStatus"] == "1"
    assert {"status": 1} in nodes(job["events"])


def test_json_is_text_to_be_read_once_more() -> None:
    changed = json.loads(first("JobEventChanged")["changedChanges"])
    assert changed == {"timeout_in_minutes": [60, 300]}
    upload = first("JobEventBuildStepUploadCreated")["buildStepUpload"]
    steps = json.loads(upload["definition"]["json"])["steps"]
    assert steps[0]["command"] == "bin/image"
    assert SECRET in steps[0]["env"].values(), "an upload shows the environment, as the real one does"


def test_events_say_what_the_jobs_say() -> None:
    jobs = {job["id"]: job for _, job in demo_world().organizations["acme-inc"].jobs()}
    for event in told_events():
        job, kind = jobs[event["job"]["uuid"]], event["__typename"]
        if kind == "JobEventFinished":
            assert event["exitStatus"] == job["exit_status"]
        elif kind == "JobEventRetried":
            assert event["retriedInJob"]["uuid"] == job["retried_in_job_id"]
            assert (event["automaticRule"] is None) == (job["retry_type"] == "manual")
        elif kind == "JobEventPromisedExitStatus":
            assert event["promisedExitStatus"] == job["promised_exit_status"]
        elif kind == "JobEventReprioritized":
            assert event["changedPriorityAfterValue"] == job["priority"]["number"]
        elif kind == "JobEventTimedOut":
            assert job["state"] == "timed_out"
        elif kind == "JobEventStackError":
            assert job["signal_reason"] == "stack_error"


def test_somebody_puts_a_job_forward(life: Life) -> None:
    bob = next(one["_user"] for one in life.organization.members.values() if one["_user"]["name"] == "Bob")
    [job] = life.build("app", jobs=1, takes=600)["jobs"]
    life.reprioritize(job, 5, bob)
    inner = f"... on JobTypeCommand {{ priority {{ number }} events {{ edges {{ node {EVENT} }} }} }}"
    told = data(life.world, f'{{ job(uuid: "{job["id"]}") {{ {inner} }} }}')["job"]
    event = next(one for one in nodes(told["events"]) if one["type"] == "REPRIORITIZED")
    assert told["priority"] == {"number": 5}
    assert (event["changedPriorityBeforeValue"], event["changedPriorityAfterValue"]) == (0, 5)
    assert event["actor"]["node"] == {"__typename": "User", "uuid": bob["id"]}


# Builds


def test_a_canceled_build_says_who_when_and_why(life: Life) -> None:
    ada = life.somebody()
    build = life.build("app", jobs=1, takes=600)
    life.world.advance(60)
    life.cancel(build, ada, "Not needed")
    asked = life.stamp()
    life.world.advance(60)
    query = """{ build(slug: "acme/app/3") { state canceledAt canceledBy { uuid } cancelReason blockedState
        jobs { edges { node { ... on JobTypeCommand { state canceledAt exitStatus } } } } } }"""
    told = data(life.world, query)["build"]
    assert ada is not None
    assert (told["state"], told["canceledAt"], told["canceledBy"]) == ("CANCELED", asked, {"uuid": ada["id"]})
    assert (told["cancelReason"], told["blockedState"]) == ("Not needed", None)
    assert nodes(told["jobs"]) == [{"state": "CANCELED", "canceledAt": asked, "exitStatus": "255"}]


def test_where_a_build_comes_from(life: Life) -> None:
    schedule = next(iter(life.organization.schedules.values()))
    source = {"type": "schedule", "schedule_id": schedule["id"], "trigger_job_id": None}
    life.build("app", source="schedule", creator=None, _source=source)
    first = next(iter(life.organization.builds.values()))
    life.rebuild(first)
    query = """{ scheduled: build(slug: "acme/app/3") { createdBy { __typename }
            source { __typename ... on BuildSourceSchedule { pipelineSchedule { uuid } } } }
        rebuilt: build(slug: "acme/app/4") { rebuiltFrom { uuid } source { __typename } createdBy { __typename } }
        triggered: build(slug: "acme/site/1") { source { __typename } triggeredFrom { uuid build { number } } } }"""
    told = data(life.world, query)
    assert told["scheduled"]["createdBy"] is None
    assert told["scheduled"]["source"] == {
        "__typename": "BuildSourceSchedule",
        "pipelineSchedule": {"uuid": schedule["id"]},
    }
    assert told["rebuilt"]["rebuiltFrom"] == {"uuid": first["id"]}
    assert told["rebuilt"]["createdBy"] == {"__typename": "User"}
    assert told["triggered"]["source"] == {"__typename": "BuildSourceTriggerJob"}
    assert told["triggered"]["triggeredFrom"]["build"] == {"number": 1}
    inner = "env builds(first: 5) { edges { node { number } } }"
    query = f'{{ pipelineSchedule(slug: "acme/app/{schedule["id"]}") {{ {inner} }} }}'
    told = data(life.world, query)["pipelineSchedule"]
    assert (told["env"], nodes(told["builds"])) == (["NIGHT=1"], [{"number": 3}])


def test_a_webhook_is_kept_for_seven_days(life: Life) -> None:
    life.build("app", source="webhook", author={"username": "eve", "name": "Eve", "email": "eve@example.com"})
    query = '{ build(slug: "acme/app/3") { source { name ... on BuildSourceWebhook { uuid headers payload } } } }'
    told = data(life.world, query)["build"]["source"]
    payload = json.loads(told["payload"])
    assert payload["ref"] == "refs/heads/main"
    assert payload["commits"][0]["author"]["email"] == "eve@example.com"
    assert "X-GitHub-Event: push" in told["headers"]
    assert told["uuid"]
    life.world.advance(timedelta(days=7) - timedelta(milliseconds=1))
    assert data(life.world, query)["build"]["source"] == told
    life.world.advance(0.001)
    assert data(life.world, query)["build"]["source"] == {**told, "uuid": None, "headers": None, "payload": None}


def test_a_build_shows_its_own_annotations_unless_asked_for_those_of_jobs(life: Life) -> None:
    build = next(iter(life.organization.builds.values()))
    life.annotate(build, "whole")
    life.annotate(build, "part", job=build["jobs"][0])
    inner = (
        "a: annotations { count } b: annotations(scope: [JOB]) { count } c: annotations(scope: [BUILD, JOB]) { count }"
    )
    told = data(life.world, f'{{ build(slug: "acme/app/1") {{ {inner} }} }}')["build"]
    assert told == {"a": {"count": 1}, "b": {"count": 1}, "c": {"count": 2}}


def test_every_build_of_the_demo_is_told_as_it_is() -> None:
    world = demo_world()
    node = """{ uuid state blockedState canceledAt canceledBy { uuid } cancelReason failingAt env rebuiltFrom { uuid }
        triggeredFrom { uuid } source { __typename } createdBy { __typename } }"""
    builds = {one["id"]: one for one in world.organizations["acme-inc"].builds.values()}
    seen: Counter[str] = Counter()
    for pipeline in walked(world, "pipelines", "first: 50", f"{{ builds(first: 500) {{ edges {{ node {node} }} }} }}"):
        for told in nodes(pipeline["builds"]):
            row = builds.pop(told["uuid"])
            assert told["state"] == ("BLOCKED" if row["blocked"] else row["state"].upper())
            assert (told["blockedState"] or "").lower() == row["blocked_state"]
            assert (told["canceledAt"] is not None) == (row["state"] in ("canceled", "canceling"))
            assert told["failingAt"] == row["failing_at"]
            assert told["env"] == [f"{key}={value}" for key, value in row["env"].items()]
            assert (told["rebuiltFrom"] or {}).get("uuid") == (row["rebuilt_from"] or {}).get("id")
            assert (told["triggeredFrom"] is not None) == (row["source"] == "trigger_job")
            seen[told["source"]["__typename"]] += 1
            seen[(told["createdBy"] or {"__typename": "nobody"})["__typename"]] += 1
            seen[str(told["blockedState"])] += 1
    assert not builds
    kinds = ("BuildSourceAPI", "BuildSourceFrontend", "BuildSourceSchedule", "BuildSourceTriggerJob")
    assert all(seen[kind] for kind in (*kinds, "BuildSourceWebhook", "User", "UnregisteredUser", "nobody"))
    assert all(seen[state] for state in ("PASSED", "FAILED", "RUNNING", "None"))


# Points


@pytest.mark.parametrize(
    ("inner", "requested", "actual"),
    [
        ("jobs(first: 9) { count }", 1, 1),
        ("jobs(first: 9) { edges { cursor } }", 2, 2),
        ("jobs(first: 9) { edges { node { __typename } } }", 11, 8),
        ("a: jobs(first: 9) { count } b: jobs(first: 9) { count }", 2, 2),
        ("jobs(first: 9) { count } jobs(first: 9) { count edges { cursor } }", 2, 2),
        ("createdBy { ... on User { avatar { url } } ... on UnregisteredUser { avatar { url } } }", 2, 2),
        ("createdBy { ... on User { a: avatar { url } } ... on UnregisteredUser { b: avatar { url } } }", 3, 2),
        ("pipeline { tags { label } }", 2, 2),
    ],
)
def test_points_of_a_build(life: Life, inner: str, requested: int, actual: int) -> None:
    """The build itself is one more. Fragments on several types count together, each response key once."""
    life.organization.pipeline("app")["tags"] = ["a", "b"]  # type: ignore[index]
    life.build("app", jobs=6)
    result = execute(life.world, f'{{ build(slug: "acme/app/3") {{ {inner} }} }}')
    assert (result.requested, result.actual) == (1 + requested, 1 + actual)


def test_nodes_cost_what_edges_cost() -> None:
    query = '{ organization(slug: "acme-inc") { apiAccessTokens(first: 2) { %s } } }'
    wanted = "{ owner { uuid } }"
    for inner in (f"edges {{ node {wanted} }}", f"nodes {wanted}"):
        result = execute(demo_world(), query % inner)
        assert (result.requested, result.actual) == (1 + 2 + 2 * 2, 1 + 2 + 2 * 2)
