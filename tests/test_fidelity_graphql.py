"""The stand-in's GraphQL schema is a strict subset of the published one: nothing in it is made up."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from graphql import DocumentNode, GraphQLSchema, build_schema, parse, print_ast
from graphql.language import ast

from buildkite_elt import standin
from buildkite_elt.standin.complexity import question

OURS = Path(standin.__file__).parent / "buildkite.graphql"
REAL = Path(__file__).parents[2] / "shared" / "buildkite" / "schema.graphql"

published = pytest.mark.skipif(not REAL.exists(), reason="the published schema is not beside this checkout")

WHOLE = (ast.EnumTypeDefinitionNode, ast.UnionTypeDefinitionNode, ast.InputObjectTypeDefinitionNode)
"""Of these a subset would be wrong: a good query could not say, or would never meet, what was left out."""

Facts = dict[tuple[str, ...], str]


@cache
def document(path: Path) -> DocumentNode:
    return parse(path.read_text(encoding="utf-8"), no_location=True)


def deprecated(node: Any) -> str:
    return " deprecated" if any(one.name.value == "deprecated" for one in node.directives or ()) else ""


def argument(node: ast.InputValueDefinitionNode) -> str:
    default = f" = {print_ast(node.default_value)}" if node.default_value else ""
    return print_ast(node.type) + default + deprecated(node)


def facts(definition: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """Everything that a type says, each under its path: `(Type, field, argument)` -> type and default."""
    name = definition.name.value
    yield (name,), definition.kind
    for interface in getattr(definition, "interfaces", None) or ():
        yield (name, "implements", interface.name.value), ""
    for member in getattr(definition, "types", None) or ():
        yield (name, "member", member.name.value), ""
    for value in getattr(definition, "values", None) or ():
        yield (name, "value", value.name.value), deprecated(value)
    for field in getattr(definition, "fields", None) or ():
        path = (name, field.name.value)
        if isinstance(field, ast.InputValueDefinitionNode):
            yield path, argument(field)
            continue
        yield path, print_ast(field.type) + deprecated(field)
        for one in field.arguments or ():
            yield (*path, one.name.value), argument(one)


def every(path: Path) -> Facts:
    return {key: fact for one in document(path).definitions for key, fact in facts(one)}


@published
def test_everything_of_ours_is_in_the_published_schema_and_the_same() -> None:
    real = every(REAL)
    wrong = {".".join(key): (fact, real.get(key)) for key, fact in every(OURS).items() if real.get(key) != fact}
    assert not wrong, f"buildkite.graphql says what the published schema does not: {wrong}"


@published
def test_a_field_of_ours_takes_every_argument_of_the_real_one() -> None:
    """An argument left out would make a good query invalid; and enums, unions and inputs are whole."""
    ours, real = every(OURS), every(REAL)
    whole = {one.name.value for one in document(OURS).definitions if isinstance(one, WHOLE)}
    asked = [
        key for key in real if key[0] in whole or key[1:2] == ("implements",) or (len(key) == 3 and key[:2] in ours)
    ]
    missing = [".".join(key) for key in asked if key[:1] in ours and key not in ours]
    assert not missing


def test_a_fact_that_differs_is_seen() -> None:
    """The comparison itself: a default, a null and a deprecation each make another fact."""
    texts = ("a(b: Int): C", "a(b: Int = 1): C", "a(b: Int): C!", "a(b: Int): C @deprecated")
    seen = [dict(facts(parse(f"type T {{ {text} }}").definitions[0])) for text in texts]
    assert all(one != two for at, one in enumerate(seen) for two in seen[at + 1 :])


TABLE = [
    (
        904,
        'organization(slug: "o") { pipelines(first: 100) { PAGE edges { node { metrics(first: 6) { edges { node { '
        "label } } } } } } }",
    ),
    (
        50_303,
        'organization(slug: "o") { pipelines(first: 100) { edges { node { metrics { edges { node { label } } } } } } }',
    ),
    (
        25_153,
        'organization(slug: "o") { pipelines(first: 50) { edges { node { metrics { edges { node { label } } } } } } }',
    ),
    (
        2_004,
        'organization(slug: "o") { pipelines(first: 500) { PAGE edges { node { builds(first: 1) { edges { node { '
        "createdAt } } } } } } }",
    ),
    (
        804,
        'organization(slug: "o") { members(first: 100) { PAGE edges { node { user { name } security { '
        "twoFactorEnabled } sso { authorizations(first: 1) { PAGE edges { node { uuid } } } } } } } }",
    ),
    (
        2_354,
        'organization(slug: "o") { invitations(first: 50) { PAGE edges { node { createdBy { name } acceptedBy { '
        "name } revokedBy { name } sso { mode } teams(first: 20) { edges { node { team { slug } } } } } } } }",
    ),
    (
        404,
        'organization(slug: "o") { auditEvents(first: 100) { PAGE edges { node { actor { uuid } subject { uuid } '
        "context { ... on AuditAPIContext { requestIpAddress } } } } } }",
    ),
    (
        83,
        'organization(slug: "o") { ssoProviders(first: 20) { edges { node { createdBy { name } enabledBy { name } '
        "disabledBy { name } } } } }",
    ),
    (
        7_653,
        'organization(slug: "o") { clusters(first: 50) { edges { node { queues(first: 50) { edges { node { metrics'
        " { waitTimeSec { p50 } } } } } } } } }",
    ),
    (
        10_304,
        'organization(slug: "o") { pipelines(first: 100) { PAGE edges { node { schedules(first: 50) { edges { node'
        " { createdBy { name } } } } } } } }",
    ),
    (
        1_503,
        'organization(slug: "o") { agentTokens(first: 500) { edges { node { createdBy { name } revokedBy { name } '
        "} } } }",
    ),
    (
        904,
        'organization(slug: "o") { jobs(first: 100) { PAGE edges { node { ... on JobTypeCommand { agent { uuid } '
        "build { uuid } pipeline { uuid } cluster { uuid } clusterQueue { uuid } step { key } priority { number } "
        "concurrency { group } } } } } }",
    ),
    (
        5_154,
        'pipeline(slug: "o/p") { builds(first: 50) { PAGE edges { node { jobs(first: 100) { edges { node { '
        "__typename } } } } } } }",
    ),
    (104, 'pipeline(slug: "o/p") { builds(first: 100) { PAGE edges { node { env } } } }'),
    (103, 'build(uuid: "b") { jobs(first: 100) { edges { node { ... on JobTypeCommand { env } } } } }'),
    (
        3_084,
        'build(uuid: "b") { jobs(first: 20) { PAGE edges { node { ... on JobTypeCommand { events(first: 50) { PAGE'
        " edges { node { actor { node { ... on User { name } } } } } } } } } } }",
    ),
    (
        5_204,
        'build(uuid: "b") { jobs(first: 50) { PAGE edges { node { ... on JobTypeCommand { events(first: 50) { PAGE'
        " edges { node { actor { type } } } } } } } } }",
    ),
    (2, 'pipeline(slug: "o/p") { builds(branch: ["x"]) { count } }'),
    (
        5,
        'job(uuid: "j") { ... on JobTypeCommand { retrySource { __typename } retriedBy { name } retryRules { '
        "automatic { limit } } } }",
    ),
]
"""Rows of api.md 5.1, by their cost; PAGE is a pageInfo. The row of an organization's jobs takes a `concurrency`
besides the seven objects that it names, which make only 804."""


@cache
def real_schema() -> GraphQLSchema:
    return build_schema(REAL.read_text(encoding="utf-8"))


@published
@pytest.mark.parametrize(("cost", "text"), TABLE)
def test_the_planned_queries_cost_what_the_table_says(cost: int, text: str) -> None:
    """Over the whole published schema, as some of them ask for what ours leaves out."""
    assert (
        question(real_schema(), parse("{" + text.replace("PAGE", "pageInfo { hasNextPage }") + "}"), {}).complexity
        == cost
    )
