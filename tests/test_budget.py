"""What may still be spent, as headers tell it; and what a GraphQL document will cost."""

from __future__ import annotations

import pytest
from graphql import parse

from buildkite_ci.budget import Budget, Limits, Spent, cost, seconds
from buildkite_ci.errors import BudgetSpent


def pipelines(node: str, first: str = "") -> str:
    return f'{{ organization(slug: "a") {{ pipelines{first} {{ edges {{ node {{ {node} }} }} }} }} }}'


BUILDS = "builds { edges { node { %s } } }"
METRICS = "metrics(first: 6) { edges { node { label } } }"
TOKENS = "agentTokens(first: 500) { edges { node { createdBy { uuid } revokedBy { uuid } } } }"


@pytest.mark.parametrize(
    ("document", "points"),
    [
        # The three figures that Buildkite published (api.md 2.2).
        (pipelines("slug"), 503),
        (pipelines(BUILDS % "id"), 251_503),
        (pipelines(BUILDS % "createdBy { id }"), 501_503),
        # api.md 5.1 (without pageInfo)
        (pipelines(METRICS, "(first: 100)"), 903),
        ('{ pipeline(slug: "a/b") { builds(branch: ["main"]) { count } } }', 2),
        ('{ pipeline(slug: "a/b") { a: builds(branch: "x") { count } b: builds(branch: "y") { count } } }', 3),
        (f'{{ organization(slug: "a") {{ {TOKENS} }} }}', 1503),
    ],
)
def test_a_document_costs_what_buildkite_says(document: str, points: int) -> None:
    assert cost(parse(document)) == points


def test_a_page_size_may_come_from_a_variable_and_a_fragment_is_opened() -> None:
    document = parse(
        'query ($n: Int) { organization(slug: "a") { members(first: $n) { ...page } } }'
        " fragment page on OrganizationMemberConnection { pageInfo { hasNextPage } edges { node { user { name } } } }"
    )
    assert cost(document, {"n": 10}) == 1 + 3 + 10 * 2
    assert cost(document) == 1 + 3 + 500 * 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [("42", 42.0), ("0", 0.0), ("-3", 0.0), ("1.5", 1.5), ("1e9", 120.0), ("soon", None), (None, None), ("nan", None)],
)
def test_a_reset_is_never_longer_than_its_window(text: str | None, expected: float | None) -> None:
    assert seconds(text, "rest") == expected


def told(budget: Budget, org: tuple[int, int, int], user: tuple[int, int, int], api: str = "rest") -> None:
    headers: dict[str, str] = {}
    for name, (limit, left, reset) in {"RateLimit": org, "RateLimit-User": user}.items():
        headers |= {f"{name}-Limit": str(limit), f"{name}-Remaining": str(left), f"{name}-Reset": str(reset)}
    budget.told(api, headers, 10, False)


def test_an_empty_bucket_is_waited_for_and_the_tighter_one_counts() -> None:
    now = [0.0]
    budget = Budget(now=lambda: now[0], reserve=0.0)
    told(budget, (200, 150, 30), (50, 3, 30))
    assert (budget.left("rest"), budget.pause("rest")) == (3, 0.0)
    told(budget, (200, 0, 30), (50, 2, 12))
    assert (budget.left("rest"), budget.pause("rest")) == (0, 31.0)
    told(budget, (20_000, 0, 200), (5_000, 10, 200), "graphql")
    assert budget.pause("rest") == 31.0
    now[0] = 32.0
    assert (budget.left("rest"), budget.pause("rest"), budget.pause("graphql")) == (None, 0.0, 169.0)


def test_a_reserve_of_every_window_is_left_for_others() -> None:
    budget = Budget(now=lambda: 0.0, reserve=0.2)
    told(budget, (200, 150, 30), (50, 11, 30))
    assert budget.pause("rest") == 0.0
    told(budget, (200, 150, 30), (50, 10, 30))
    assert budget.pause("rest") == 31.0
    told(budget, (20_000, 15_000, 200), (5_000, 1_500, 100), "graphql")
    assert (budget.pause("graphql", 500), budget.pause("graphql", 501)) == (0.0, 101.0)


def test_a_document_larger_than_a_window_waits_for_a_full_one_only() -> None:
    budget = Budget(now=lambda: 0.0, reserve=0.2)
    told(budget, (20_000, 20_000, 200), (5_000, 5_000, 100), "graphql")
    assert budget.pause("graphql", 9_000) == 0.0
    told(budget, (20_000, 20_000, 200), (5_000, 4_900, 100), "graphql")
    assert budget.pause("graphql", 9_000) == 101.0


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(requests=2), "2 REST requests"),
        (Limits(points=40), "40 GraphQL points"),
        (Limits(minutes=1), "1 minutes"),
    ],
)
def test_a_run_spends_no_more_than_it_may(limits: Limits, said: str) -> None:
    now = [0.0]
    budget = Budget(now=lambda: now[0], limits=limits)
    for api, headers in (("rest", {}), ("graphql", {"RateLimit-Complexity-Actual": "30"})):
        budget.allow(api, 10)
        budget.told(api, headers, 10, False)
    now[0] = 59.0
    budget.allow("rest")
    budget.told("rest", {}, 10, False)
    now[0] = 61.0
    api = "graphql" if limits.points else "rest"
    with pytest.raises(BudgetSpent, match=said):
        budget.allow(api, 20)


def test_what_is_spent_is_kept_by_table() -> None:
    budget = Budget()
    budget.doing = "builds"
    budget.told("rest", {}, 100, False)
    budget.waited("rest", 2.0)
    budget.doing = "pipeline_metrics"
    budget.told("graphql", {"RateLimit-Complexity-Actual": "901"}, 50, True)
    assert budget.by_table == {
        ("rest", "builds"): Spent(requests=1, bytes=100, waited=2.0),
        ("graphql", "pipeline_metrics"): Spent(requests=1, points=901, bytes=50, refused=1),
    }
    assert budget.spent["graphql"].points == 901
