"""GraphQL listings: the page found in the document, errors that name file, line and column, and no writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gql import GraphQLRequest

from buildkite_ci.budget import Limits
from buildkite_ci.catalog import catalog, twin
from buildkite_ci.errors import BadAnswer, BudgetSpent, NotFound, QueryRefused, WriteRefused
from buildkite_ci.graphql import execute, page_path, pages, read, rest_spelling, snake
from buildkite_ci.wire import Wire
from buildkite_elt.standin import Standin
from hand_made import pipeline, world

METRICS = twin(catalog()["pipeline_metrics"])
ACME = {"organization": "acme"}


@contextmanager
def wired(count: int = 0) -> Iterator[tuple[Standin, Wire]]:
    made = world()
    for n in range(count):
        told = {"name": f"P{n}", "created_at": f"2026-01-01T00:{n // 60:02d}:{n % 60:02d}.000Z"}
        one = pipeline(f"p{n}", id=f"{n:08d}", _metrics=[{"label": "Speed", "value": f"{n}m"}], **told)
        made.organizations["acme"].pipelines[one["id"]] = one
    app = made.organizations["acme"].pipeline("app")
    assert app
    app.setdefault("created_at", "2026-01-02T00:00:00.000Z")
    with (
        Standin(made) as standin,
        Wire(standin.token, standin.rest_url, standin.graphql_url, sleep=standin.clock.sleep, tries=2) as wire,
    ):
        yield standin, wire


def written(folder: Path, text: str) -> Path:
    file = folder / "some.graphql"
    file.write_text(text, encoding="utf-8")
    return file


def test_every_page_is_turned_and_spelled_like_rest() -> None:
    with wired(230) as (standin, wire):
        found = [item for page in pages(wire, METRICS, ACME) for item in page.items]
        assert len({item["id"] for item in found}) == 231
        assert {item["slug"] for item in found} >= {"p0", "p229", "app"}
        assert (standin.count("graphql").requests, standin.count("graphql").refused) == (3, 0)


def test_the_page_is_the_connection_that_takes_after() -> None:
    assert page_path(read(METRICS), "x") == ["organization", "pipelines"]
    with pytest.raises(QueryRefused, match="no field takes"):
        page_path(GraphQLRequest("{ viewer { user { uuid } } }"), "x")


def test_an_error_names_file_line_and_column(tmp_path: Path) -> None:
    with wired() as (_, wire):
        with pytest.raises(QueryRefused, match=r"some\.graphql:2:3: .*nonsense"):
            execute(wire, read(written(tmp_path, "{\n  nonsense\n}")), {}, "some.graphql")
        with pytest.raises(QueryRefused, match=r"some\.graphql:1:3: "):
            read(written(tmp_path, "{ ("))


@pytest.mark.parametrize("kind", ["mutation", "subscription"])
def test_what_is_no_query_is_refused_before_it_is_sent(kind: str, tmp_path: Path) -> None:
    text = f"query Fine {{ viewer {{ user {{ uuid }} }} }}\n{kind} Bad {{ x }}"
    with wired() as (standin, wire):
        with pytest.raises(WriteRefused, match=kind):
            execute(wire, read(written(tmp_path, text)), {}, "some.graphql")
        assert standin.seen == []


def test_an_organization_that_is_not_there_is_named() -> None:
    with wired() as (_, wire), pytest.raises(NotFound, match="Organization 'nobody'"):
        list(pages(wire, METRICS, {"organization": "nobody"}))


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("graphql-errors", QueryRefused),
        ("graphql-partial", QueryRefused),
        ("graphql-null-node", BadAnswer),
        ("graphql-busy", BadAnswer),
        ("graphql-cursor-loop", BadAnswer),
        ("graphql-cursor-null", BadAnswer),
    ],
)
def test_no_trouble_of_graphql_is_taken_for_an_end(kind: str, error: type[Exception]) -> None:
    with wired(150) as (standin, wire):
        standin.trouble.add(kind, api="graphql", nth=2, times=None)
        with pytest.raises(error):
            list(pages(wire, METRICS, ACME))


def test_busy_is_waited_for() -> None:
    with wired(150) as (standin, wire):
        standin.trouble.add("graphql-busy", api="graphql")
        assert sum(len(page.items) for page in pages(wire, METRICS, ACME)) == 151


def test_the_token_never_goes_into_a_document_or_a_url() -> None:
    with wired(3) as (standin, wire):
        list(pages(wire, METRICS, ACME))
        assert all(standin.token not in f"{s.path}{s.query}{s.document}" for s in standin.seen)


def test_spelling() -> None:
    assert [snake(n) for n in ("createdAt", "ssoURL", "__typename", "p95", "waitTimeSec")] == [
        "created_at", "sso_url", "__typename", "p95", "wait_time_sec",
    ]  # fmt: skip
    assert rest_spelling({"id": "X", "uuid": "u", "a": [{"bC": 1, "id": "y"}]}) == {
        "graphql_id": "X",
        "id": "u",
        "a": [{"b_c": 1, "id": "y"}],
    }


@pytest.mark.parametrize("kind", ["504", "stall"])
def test_a_page_that_is_too_heavy_is_asked_for_smaller(kind: str) -> None:
    with wired(150) as (standin, wire):
        wire.client.timeout = 0.5
        standin.trouble.add(kind, api="graphql", times=2, seconds=1)
        found = [item["id"] for page in pages(wire, METRICS, ACME) for item in page.items]
        assert len(found) == len(set(found)) == 151
        assert [
            f"first: {n}" in (seen.document or "") for n, seen in zip((100, 50, 25), standin.seen, strict=False)
        ] == [
            True,
            True,
            True,
        ]


def test_a_run_with_few_points_left_asks_for_as_many_pipelines_as_they_buy() -> None:
    with wired(150) as (standin, wire):
        wire.budget.limits = Limits(points=300)
        with pytest.raises(BudgetSpent):
            list(pages(wire, METRICS, ACME))
        assert 0 < standin.count("graphql").points <= 300


def test_a_document_that_no_page_size_makes_cheap_enough_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    heavy = "builds { edges { node { jobs { edges { node { __typename } } } } } }"
    page = f"pageInfo {{ hasNextPage endCursor }} edges {{ node {{ {heavy} }} }}"
    listing = f"organization(slug: $organization) {{ pipelines(first: 100, after: $after) {{ {page} }} }}"
    text = f"query ($organization: ID!, $after: String) {{ {listing} }}"
    with wired() as (standin, wire):
        with pytest.raises(QueryRefused, match="50000"):
            list(pages(wire, written(tmp_path, text), ACME))
        assert standin.seen == []
