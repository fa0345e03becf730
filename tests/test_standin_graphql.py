"""The stand-in's GraphQL: what it refuses, what it sees, and how it says it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import orjson
import pytest
from graphql import (
    build_client_schema,
    get_introspection_query,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_non_null_type,
    parse,
    validate,
)

from buildkite_elt.standin import Budgets, Standin, graphql
from buildkite_elt.standin.life import Life
from lively import GATE, Row, data, execute, lively, message, nodes, organization, send


@pytest.fixture
def life() -> Life:
    return lively()


# What is refused


@pytest.mark.parametrize("body", [b"", b"query", b"[]", b"{}", b'{"query": 1}', b'{"query": "{a}", "variables": 3}'])
def test_a_body_without_a_query_is_400(life: Life, body: bytes) -> None:
    result = send(life.world, body)
    assert (result.status, result.requested, result.write) == (400, None, False)
    assert message(result)


def test_errors_come_as_200_with_their_place(life: Life) -> None:
    for query, place in (("{ organization(", (1, 16)), ('{ organization(slug: "acme") { nam } }', (1, 32))):
        result = execute(life.world, query)
        assert result.status == 200
        [error] = result.body["errors"]
        assert error["message"]
        assert error["locations"] == [{"line": place[0], "column": place[1]}]


def test_a_wrong_variable_is_an_error_without_data(life: Life) -> None:
    query = "query($o: ID!, $n: Int) { organization(slug: $o) { pipelines(first: $n) { count } } }"
    assert "Variable" in message(execute(life.world, query))
    assert "Variable" in message(execute(life.world, query, o="acme", n="many"))
    assert "errors" not in execute(life.world, query, o="acme", n=None).body


def test_the_schema_can_be_asked_for(life: Life) -> None:
    told = build_client_schema(data(life.world, get_introspection_query(descriptions=False)))
    assert set(told.type_map) == set(graphql.schema().type_map)


def test_a_deprecated_field_is_refused_by_its_name(life: Life) -> None:
    query = '{ organization(slug: "acme") { pipelines(first: 1) { edges { node { public } } } } }'
    assert "Pipeline.public" in message(execute(life.world, query))


@pytest.mark.parametrize(
    "query",
    [
        'mutation { buildCancel(input: {id: "x"}) { build { number } } }',
        'query A { viewer { id } } mutation B { buildCancel(input: {id: "x"}) { build { number } } }',
        "mutation { whatever }",
        "subscription { whatever }",
    ],
)
def test_what_is_not_a_query_is_an_attempt_to_write(life: Life, query: str) -> None:
    states = [build["state"] for build in life.organization.builds.values()]
    result = send(life.world, orjson.dumps({"query": query, "operationName": "A" if "A" in query else None}))
    assert result.write
    assert result.status == 200
    assert "only reads" in message(result)
    assert states == [build["state"] for build in life.organization.builds.values()]


def test_a_mutation_is_refused_although_it_is_valid() -> None:
    query = 'mutation { buildCancel(input: {id: "x"}) { build { number } } }'
    assert not validate(graphql.schema(), parse(query))


def test_too_much_is_refused_before_it_runs(life: Life) -> None:
    query = '{ organization(slug: "acme") { pipelines { edges { node { builds { edges { node { number } } } } } } } }'
    result = execute(life.world, query, Budgets())
    assert message(result) == "Query has complexity of 251503, which exceeds max complexity of 50000"
    assert (result.status, result.requested, result.actual) == (200, 251_503, None)


def test_depth_counts_the_leaves(life: Life) -> None:
    """A query of 15 levels runs, one of 16 does not."""
    inner = "{ defaultQueue { cluster " * 6 + "%s" + " } }" * 6
    query = f'{{ organization(slug: "acme") {{ cluster(id: "x") {inner} }} }}'
    assert "errors" not in execute(life.world, query % "{ name }", Budgets()).body
    deep = execute(life.world, query % "{ createdBy { name } }", Budgets())
    assert message(deep) == "Query has depth of 16, which exceeds max depth of 15"
    assert (deep.status, deep.actual) == (200, None)


# What is seen


def test_the_unknown_and_the_invisible_are_null_without_an_error(life: Life) -> None:
    query = '{ organization(slug: "acme") { name } pipeline(slug: "acme/app") { name } nobody: organization { name } }'
    assert data(life.world, query)["organization"] == {"name": "Acme"}
    next(iter(life.world.tokens.values())).organizations = ()
    assert data(life.world, query) == {"organization": None, "pipeline": None, "nobody": None}
    unknown = '{ organization(slug: "x") { name } build(slug: "acme/app/9") { id } job(uuid: "x") { __typename } }'
    assert data(life.world, unknown) == {"organization": None, "build": None, "job": None}


def test_roots_find_by_slug_uuid_and_global_id(life: Life) -> None:
    world = life.world
    build = data(world, '{ build(slug: "acme/app/1") { id uuid number pipeline { slug } } }')["build"]
    assert build["number"] == 1
    assert build["pipeline"] == {"slug": "app"}
    assert base64.b64decode(build["id"]).decode() == f"Build---{build['uuid']}"
    both = "query($b: ID!, $u: ID!) { build(uuid: $u) { number } node(id: $b) { ... on Build { number } } }"
    again = data(world, both, b=build["id"], u=build["uuid"])
    assert again == {"build": {"number": 1}, "node": {"number": 1}}
    viewer = data(world, "{ viewer { user { name } organizations { edges { node { slug } } } } }")["viewer"]
    assert (viewer["user"]["name"], nodes(viewer["organizations"])) == ("Ada Admin", [{"slug": "acme"}])


def test_every_field_of_the_schema_answers(life: Life) -> None:
    """Each root, two objects deep, over every type behind a union or interface: no error, no null that may not be."""
    roots = {
        "organization": ('slug: "acme"', "Organization"),
        "pipeline": ('slug: "acme/app"', "Pipeline"),
        "build": ('slug: "acme/app/1"', "Build"),
        "team": ('slug: "acme/web"', "Team"),
    }
    for field, (argument, kind) in roots.items():
        query = f"{{ {field}({argument}) {selection(graphql.schema().get_type(kind), 2)} }}"
        assert data(life.world, query)[field] is not None


def selection(kind: Any, deep: int) -> str:
    """Every field of a type that is not deprecated and needs no argument; relations as far as `deep` goes."""
    if is_abstract_type(kind):
        parts = (f"... on {one.name} {selection(one, deep)}" for one in graphql.schema().get_possible_types(kind))
        return "{ __typename " + " ".join(parts) + " }"
    return "{ __typename " + " ".join(fields(kind, deep)) + " }"


def fields(kind: Any, deep: int) -> Iterator[str]:
    for name, field in kind.fields.items():
        gives = get_named_type(field.type)
        if field.deprecation_reason or any(is_non_null_type(one.type) for one in field.args.values()):
            continue
        said = name if kind.name.endswith(("Connection", "Edge")) else f"{kind.name}_{name}: {name}"
        inside = name in ("edges", "node", "pageInfo")
        if is_leaf_type(gives):
            yield said
        elif inside or deep:
            yield said + ("(first: 3) " if "first" in field.args else " ") + selection(gives, deep - (not inside))


def test_the_token_of_another_organization_does_not_see_the_job(life: Life) -> None:
    job = next(iter(life.organization.builds.values()))["jobs"][0]["id"]
    query = f'{{ job(uuid: "{job}") {{ __typename }} }}'
    assert data(life.world, query)["job"] == {"__typename": "JobTypeCommand"}
    next(iter(life.world.tokens.values())).organizations = ("other",)
    assert data(life.world, query)["job"] is None


# Spelling


def test_a_command_job_speaks_graphql(life: Life) -> None:
    inner = """jobs(type: COMMAND, step: {key: ["ship"]}) { edges { node { ... on JobTypeCommand {
        state passed exitStatus label matrix env concurrency { group limit } priority { number } agent { name }
        cluster { name } clusterQueue { key } step { key } build { number } canceledAt
        events { count edges { node { __typename type actor { type node { ... on Agent { name } } }
            ... on JobEventFinished { exitStatus } ... on JobEventAssigned { assignedAgent { name } } } } } } } } }"""
    [job] = nodes(organization(life.world, inner)["jobs"])
    assert (job["state"], job["passed"], job["exitStatus"]) == ("FINISHED", True, "0")
    assert json.loads(job["matrix"]) == {"os": "linux"}
    assert "TO=prod" in job["env"]
    assert job["concurrency"] == {"group": "ship", "limit": 1}
    assert (job["cluster"], job["clusterQueue"]) == ({"name": "Linux"}, {"key": "default"})
    assert (job["agent"], job["step"], job["build"]) == ({"name": "default-1"}, {"key": "ship"}, {"number": 1})
    events = nodes(job["events"])
    assert len(events) == job["events"]["count"]
    by_type = {event["type"]: event for event in events}
    assert by_type["FINISHED"]["exitStatus"] == 0
    assert by_type["FINISHED"]["__typename"] == "JobEventFinished"
    assert by_type["ASSIGNED"]["assignedAgent"] == {"name": "default-1"}
    assert by_type["STARTED"]["__typename"] == "JobEventGeneric"
    assert by_type["STARTED"]["actor"] == {"type": "AGENT", "node": {"name": "default-1"}}


def test_a_retry_points_both_ways(life: Life) -> None:
    inner = """jobs(step: {key: ["test"]}, order: RECENTLY_CREATED) { edges { node { ... on JobTypeCommand {
        uuid passed retried retryType retriesCount retrySource { ... on JobTypeCommand { uuid retried } }
        retryRules { manual automatic { limit } }
        events { edges { node { ... on JobEventRetried { retriedInJob { uuid } automaticRule { limit } } } } }
        } } } }"""
    build = data(life.world, f'{{ build(slug: "acme/app/1") {{ {inner} }} }}')["build"]
    new, old = sorted(nodes(build["jobs"]), key=lambda job: bool(job["retried"]))
    assert (new["passed"], old["passed"], old["retryType"], new["retriesCount"]) == (True, False, "AUTOMATIC", 1)
    assert new["retrySource"] == {"uuid": old["uuid"], "retried": True}
    assert {"uuid": new["uuid"]} in [event.get("retriedInJob") for event in nodes(old["events"])]


def test_a_build_speaks_graphql(life: Life) -> None:
    inner = """state env source { name __typename } createdBy { __typename } metaData { count }
        jobs { count edges { node { __typename ... on JobTypeTrigger { triggered { number triggeredFrom { uuid } } }
        ... on JobTypeBlock { label state } } } }"""
    build = data(life.world, f'{{ build(slug: "acme/app/1") {{ {inner} }} }}')["build"]
    assert (build["state"], build["env"]) == ("PASSED", ["A=1=2"])
    assert build["source"]["__typename"] == "BuildSourceFrontend"
    assert build["metaData"] == {"count": 1}
    kinds = {job["__typename"]: job for job in nodes(build["jobs"])}
    assert set(kinds) == {"JobTypeCommand", "JobTypeWait", "JobTypeBlock", "JobTypeTrigger"}
    assert kinds["JobTypeBlock"]["state"] == "UNBLOCKED"
    assert kinds["JobTypeTrigger"]["triggered"]["triggeredFrom"]["uuid"]


def test_a_blocked_build_is_blocked(life: Life) -> None:
    life.build("app", plan=[{"name": "a", "key": "a"}, GATE])
    life.world.advance(timedelta(hours=1))
    inner = "builds(state: BLOCKED) { count edges { node { number state blockedState } } }"
    builds = data(life.world, f'{{ pipeline(slug: "acme/app") {{ {inner} }} }}')["pipeline"]["builds"]
    assert builds["count"] == 1
    assert nodes(builds) == [{"number": 3, "state": "BLOCKED", "blockedState": "PASSED"}]


@pytest.mark.parametrize(
    ("author", "seen"),
    [
        (None, None),
        ("eve@example.com", {"name": None, "email": "eve@example.com"}),
        ({"username": "eve", "name": "Eve", "email": "eve@example.com"}, {"name": "Eve", "email": "eve@example.com"}),
    ],
)
def test_who_is_no_user_is_an_unregistered_one(life: Life, author: Any, seen: Row | None) -> None:
    life.build("app", creator=None, author=author)
    query = '{ build(slug: "acme/app/3") { createdBy { ... on UnregisteredUser { name email } } } }'
    assert data(life.world, query)["build"]["createdBy"] == seen


# Over HTTP


def test_over_http(life: Life) -> None:
    with Standin(life.world) as standin:
        headers = {"Authorization": f"Bearer {standin.token}"}
        query = {"query": "query($o: ID!) { organization(slug: $o) { name } }", "variables": {"o": "acme"}}
        answer = httpx.post(standin.graphql_url, json=query, headers=headers)
        assert answer.json() == {"data": {"organization": {"name": "Acme"}}}
        assert answer.headers["RateLimit-Complexity-Requested"] == answer.headers["RateLimit-Complexity-Actual"] == "1"
        mutation = {"query": 'mutation { buildCancel(input: {id: "x"}) { build { number } } }'}
        assert httpx.post(standin.graphql_url, json=mutation, headers=headers).status_code == 200
        assert standin.count("graphql").writes == 1
