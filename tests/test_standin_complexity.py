"""What the stand-in counts for a GraphQL query, before and after it runs (api.md 2.2)."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import parse, validate

from buildkite_elt.standin import graphql
from buildkite_elt.standin.complexity import question
from buildkite_elt.standin.life import Life
from lively import execute, lively, send


@pytest.fixture
def life() -> Life:
    return lively()


def cost(query: str, name: str | None = None, **variables: Any) -> int:
    return question(graphql.schema(), parse(query), variables, name).complexity


BUILDS = '{ pipeline(slug: "o/p") { builds%s { %s } } }'


@pytest.mark.parametrize(
    ("query", "points"),
    [
        ('{ organization(slug: "o") { pipelines { edges { node { name } } } } }', 503),
        ('{ organization(slug: "o") { pipelines { edges { node { builds { edges { node { id } } } } } } } }', 251_503),
        ('{ organization(slug: "o") { pipelines { edges { node { builds { edges { node { createdBy { __typename } '
         '} } } } } } } }', 501_503),
        (BUILDS % ("", "count"), 2),
        (BUILDS % ("(first: 10)", "count pageInfo { hasNextPage }"), 3),
        (BUILDS % ("(first: 10)", "edges { cursor }"), 3),
        (BUILDS % ("(last: 10)", "edges { node { number } }"), 13),
        ('{ pipeline(slug: "o/p") { a: builds { count } b: builds { count } } }', 3),
        ('{ pipeline(slug: "o/p") { builds { count } builds { count } } }', 2),
        ('{ pipeline(slug: "o/p") { ...F builds { count } } } fragment F on Pipeline { builds { count } }', 2),
        ('{ job(uuid: "j") { ... on JobTypeCommand { agent { name } build { id } } ... on JobTypeWait { build { id } } '
         '} }', 3),
        ('{ viewer { user @skip(if: true) { name } } }', 1),
        ('{ viewer { user @include(if: true) { name } } }', 2),
    ],
)  # fmt: skip
def test_requested_complexity(query: str, points: int) -> None:
    """The three published figures first (api.md 2.2); of the types of a union the dearest counts."""
    assert not validate(graphql.schema(), parse(query))
    assert cost(query) == points


def test_requested_complexity_reads_variables() -> None:
    query = 'query Q($n: Int = 7) { pipeline(slug: "o/p") { builds(first: $n) { edges { node { number } } } } }'
    assert [cost(query), cost(query, n=3), cost(query, n=None)] == [10, 6, 503]
    with pytest.raises(LookupError):
        cost("query A { viewer { id } } query B { viewer { id } }")
    assert cost("query A { viewer { id } } query B { viewer { user { name } } }", "B") == 2


def test_actual_complexity_counts_what_came(life: Life) -> None:
    query = """{ pipeline(slug: "acme/app") { builds(first: 50) { pageInfo { hasNextPage }
        edges { node { number createdBy { __typename } canceledBy { name } } } } } }"""
    result = execute(life.world, query)
    assert (result.requested, result.actual) == (1 + 3 + 50 * 3, 1 + 3 + 2 * 2)
    nobody = execute(life.world, query.replace("acme/app", "acme/nope"))
    assert (nobody.requested, nobody.actual) == (154, 0)


def test_stats_on_demand(life: Life) -> None:
    body = b'{"query": "{ viewer { user { name } } }"}'
    result = send(life.world, body, headers={"buildkite-include-query-stats": "true"})
    assert result.body["stats"] == {"requestedComplexity": 2, "actualComplexity": 2}
    assert "stats" not in send(life.world, body).body
