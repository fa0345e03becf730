"""Queries made up from the stand-in's own schema: whatever is asked, it answers with data or errors, and counts right.

hypothesis-graphql makes selections of each type, which are shallow; they are put into one another, aimed at what the
world has. BUILDKITE_ELT_SCALE=10 makes ten times as many, and others in every run.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import graphql as core
import httpx
import pytest
from graphql import REMOVE, GraphQLField, GraphQLObjectType, GraphQLSchema, TypeInfo, TypeInfoVisitor, Visitor
from graphql.language import ast
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from hypothesis_graphql import Mode, nodes, queries

from buildkite_elt import standin
from buildkite_elt.standin import Budgets, Standin, World
from buildkite_elt.standin.bodies import gid
from buildkite_elt.standin.demo import demo

SCALE = int(os.environ.get("BUILDKITE_ELT_SCALE", "1"))
SEED = 7 if SCALE == 1 else Random().randrange(2**32)
DEEP = 12
LARGE = 200
"""Levels of fields, and how many of them: whatever is beyond is asked for its type only."""
FREE = Budgets(query=10**12, depth=100, enforced=False)
NOTHING = ast.SelectionSetNode(selections=(ast.FieldNode(name=ast.NameNode(value="__typename")),))
ROOTS = ("organization", "pipeline", "build", "job", "node", "viewer", "agent", "team", "pipelineSchedule")
SDL = Path(standin.__file__).parent / "buildkite.graphql"
TIME = st.sampled_from(["2026-09-20T00:00:00Z", "2026-09-28", "2026-09-28 00:00", "x"]).map(nodes.String)
WORD = st.sampled_from(["web", "!web", "platform", ""]).map(nodes.String)
SCALARS = {"DateTime": TIME, **dict.fromkeys(("TeamSelector", "PipelineSelector", "UserSelector"), WORD)}


class Current(Visitor):
    """Takes away what is deprecated, which is refused, and what writes."""

    def enter_field_definition(self, node: ast.FieldDefinitionNode, *_: Any) -> Any:
        return REMOVE if any(one.name.value == "deprecated" for one in node.directives or ()) else None

    def enter_object_type_definition(self, node: ast.ObjectTypeDefinitionNode, *_: Any) -> Any:
        return REMOVE if node.name.value == "Mutation" else None


SCHEMA: GraphQLSchema = core.build_ast_schema(core.visit(core.parse(SDL.read_text(encoding="utf-8")), Current()))


@pytest.fixture(scope="module")
def world() -> World:
    return demo(days=16, pipelines=12, builds_per_day=6)


def targets(world: World) -> dict[str, list[str]]:
    """What arguments may name, by field and argument or by argument: most of it is there, some is not."""
    org = next(iter(world.organizations.values()))
    pipelines, builds = list(org.pipelines.values()), list(org.builds.values())[-40:]
    jobs = [job["id"] for build in builds for job in build["jobs"]]
    queues, clusters = [[gid(kind, one) for one in store] for kind, store in
                        (("ClusterQueue", org.queues), ("Cluster", org.clusters))]  # fmt: skip
    ids = [one["graphql_id"] for one in (*pipelines, *builds, *org.agents.values(), *org.schedules.values())]
    return {
        "organization.slug": [org.slug],
        "pipeline.slug": [f"{org.slug}/{one['slug']}" for one in pipelines],
        "build.slug": [f"{org.slug}/{one['pipeline']['slug']}/{one['number']}" for one in builds],
        "agent.slug": [f"{org.slug}/{one}" for one in org.agents],
        "team.slug": [f"{org.slug}/{one['slug']}" for one in org.teams.values()],
        "pipelineSchedule.slug": [f"{org.slug}/{one['pipeline']['slug']}/{key}" for key, one in org.schedules.items()],
        "build.uuid": [one["id"] for one in builds],
        "pipeline.uuid": list(org.pipelines),
        "organization.uuid": [org.body["id"]],
        "job.uuid": jobs,
        "cluster.id": list(org.clusters),
        "node.id": [*ids, *(gid("Job", one) for one in jobs), *queues, *clusters],
        "clusterQueue": queues,
        "cluster": clusters,
        "branch": ["main", "%default", "feature/*"],
        "agentQueryRules": ["queue=default", "queue=gpu"],
    }


KINDS = {name: one for name, one in SCHEMA.type_map.items() if isinstance(one, GraphQLObjectType) and name[:2] != "__"}
EVERY = GraphQLSchema(
    GraphQLObjectType("Every", {name: GraphQLField(kind) for name, kind in KINDS.items()}),
    types=[kind for name, kind in SCHEMA.type_map.items() if name[:2] != "__"],
)
"""Has every object at its root, so that one is made by itself."""

Bank = dict[str, list[ast.SelectionSetNode]]


def made(strategy: st.SearchStrategy[Any], many: int) -> list[ast.SelectionSetNode]:
    """What the queries of a strategy select."""
    found: list[ast.SelectionSetNode] = []

    @seed(SEED)
    @settings(max_examples=many, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def keep(document: Any) -> None:
        found.append(document.definitions[0].selection_set)

    keep()
    return found


def whole(document: Any) -> Any:
    """A document as it is, not as text."""
    return document


@pytest.fixture(scope="module")
def bank() -> Bank:
    """Some selections of every type that is an object, and of the query by each root."""
    found: Bank = {}
    for name in KINDS:
        strategy = queries(EVERY, fields=[name], custom_scalars=SCALARS, print_ast=whole)
        fields: list[Any] = [one.selections[0] for one in made(strategy, 6)]
        found[name] = [one.selection_set for one in fields]
    for name in ROOTS:
        found[name] = made(queries(SCHEMA, fields=[name], custom_scalars=SCALARS, print_ast=whole), 10)
    return found


class Aim(Visitor):
    """Goes deeper than a query went: other selections of the same types, of what the world has, in small pages."""

    def __init__(self, info: TypeInfo, names: dict[str, list[str]], bank: Bank, random: Random) -> None:
        super().__init__()
        self.info, self.names, self.bank, self.random = info, names, bank, random
        self.field, self.level, self.count = "", 0, 0

    def enter_field(self, node: ast.FieldNode, *_: Any) -> ast.FieldNode:
        self.field, self.level = node.name.value, self.level + 1
        known, kind = self.info.get_field_def(), core.get_named_type(self.info.get_type())
        arguments = list(node.arguments or ())
        if known and "first" in known.args and not {"first", "last"} & {one.name.value for one in arguments}:
            arguments.append(argument("first", ast.IntValueNode(value="2")))
        if self.level == 1 and not arguments and (found := self.names.get(f"{self.field}.uuid")):
            arguments.append(argument("uuid", ast.StringValueNode(value=self.random.choice(found))))
        below = node.selection_set
        if isinstance(kind, GraphQLObjectType):
            below = self.below(kind) if self.level < DEEP and self.count < LARGE else NOTHING
        self.count += 1
        alias = ast.NameNode(value=f"{node.name.value}_{self.count}")
        return ast.FieldNode(alias=alias, name=node.name, arguments=tuple(arguments), selection_set=below)

    def below(self, kind: GraphQLObjectType) -> ast.SelectionSetNode:
        """Some selections of a type in one; each field has a name of its own, so that none is in another's way."""
        many = self.level < 3 or kind.name.endswith(("Connection", "Edge"))
        some = self.random.choices(self.bank[kind.name], k=9 if many else 4)
        return ast.SelectionSetNode(selections=tuple(field for one in some for field in one.selections))

    def leave_field(self, *_: Any) -> None:
        self.level -= 1

    def enter_argument(self, node: ast.ArgumentNode, *_: Any) -> Any:
        """One of sixteen stays as it is; a cursor does not, as nobody gave it."""
        name, random = node.name.value, self.random
        pool = self.names.get(f"{self.field}.{name}") or self.names.get(name)
        if random.random() < 1 / 16:
            return None
        if name in ("first", "last"):
            return argument(name, ast.IntValueNode(value=str(random.randrange(4))))
        if pool:
            return argument(name, ast.StringValueNode(value=random.choice(pool)))
        return REMOVE if name in ("after", "before") else None


def argument(name: str, value: ast.ValueNode) -> ast.ArgumentNode:
    return ast.ArgumentNode(name=ast.NameNode(value=name), value=value)


def grown(names: dict[str, list[str]], bank: Bank, root: str, random: Random) -> str:
    """A query that begins at this field."""
    info = TypeInfo(SCHEMA)
    document = core.parse(core.print_ast(random.choice(bank[root])))
    return core.print_ast(core.visit(document, TypeInfoVisitor(info, Aim(info, names, bank, random))))


def answered(served: Standin, client: httpx.Client, query: str) -> tuple[str, int]:
    """What came of a query, and its points; every answer is checked."""
    answer = client.post(served.graphql_url, json={"query": query})
    assert answer.status_code == 200, answer.text
    body, seen = answer.json(), served.seen[-1]
    assert body
    assert set(body) <= {"data", "errors"}
    assert all(one["message"] for one in body.get("errors", ()))
    if "data" not in body:
        return "refused", 0
    assert seen.requested is not None
    assert seen.actual is not None
    assert 0 <= seen.actual <= seen.requested
    return "errors" if "errors" in body else "data", seen.actual


@pytest.fixture(scope="module")
def served(world: World) -> Iterator[Standin]:
    """Without limits: a query that is refused is refused for what it is."""
    with Standin(world, budgets=FREE) as here:
        yield here
        assert here.bugs == []


@pytest.fixture(scope="module")
def client(served: Standin) -> Iterator[httpx.Client]:
    with httpx.Client(headers={"Authorization": f"Bearer {served.token}"}, timeout=60) as one:
        yield one


@pytest.mark.slow
def test_good_queries_are_answered(served: Standin, client: httpx.Client, bank: Bank) -> None:
    names, random = targets(served.world), Random(SEED)
    came: Counter[str] = Counter()
    spent = []
    for at in range(1_000 * SCALE):
        query = grown(names, bank, ROOTS[at % len(ROOTS)], random)
        try:
            what, points = answered(served, client, query)
        except Exception as error:
            error.add_note(query)
            raise
        came[what] += 1
        spent.append(points)
    assert not came["refused"]
    assert sum(spent) > 5 * came.total(), "the queries find nothing in the world, and try nothing"


def test_bad_queries_are_refused(served: Standin, client: httpx.Client) -> None:
    """Each breaks the schema in one place."""
    for selected in made(queries(SCHEMA, mode=Mode.NEGATIVE, custom_scalars=SCALARS, print_ast=whole), 200 * SCALE):
        what, _ = answered(served, client, core.print_ast(selected))
        assert what == "refused", core.print_ast(selected)
