"""One query asked for many things at once: what copies share, how pages are turned, and what one refusal stops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from gql import GraphQLRequest
from graphql import build_schema, print_ast, specified_rules, validate
from graphql.validation import NoDeprecatedCustomRule

from buildkite_ci import batch, graphql
from buildkite_ci.batch import Found, copies, many, plain
from buildkite_ci.budget import Limits, cost
from buildkite_ci.catalog import TABLES
from buildkite_ci.errors import BadAnswer, BudgetSpent, QueryRefused
from buildkite_ci.wire import Wire
from buildkite_elt.standin import Standin
from buildkite_elt.standin.complexity import question
from buildkite_elt.standin.demo import demo, empty
from buildkite_elt.standin.graphql import schema
from buildkite_elt.standin.life import Life
from faults import PLENTY, wired
from lively import Row

SDL = Path(__file__).parents[2] / "shared" / "buildkite" / "schema.graphql"
EVENTS = TABLES / "job_events.graphql"
COUNTS = TABLES / "branch_build_counts.graphql"


@pytest.fixture(scope="module")
def scene() -> Iterator[tuple[Life, Standin]]:
    """Six pipelines with a job each of some events, and one pipeline with a job of more than two pages of them."""
    life = Life(empty(), "acme")
    for n in range(6):
        life.build(life.pipeline(f"p{n}"), 1)
    talkative = life.build(life.pipeline("loud"), 1, takes=100_000)["jobs"][0]
    life.world.advance(60)
    for n in range(60):
        life.reprioritize(talkative, n)
    life.world.advance(3600)
    with Standin(life.world, budgets=PLENTY) as standin:
        yield life, standin


@pytest.fixture
def wire(scene: tuple[Life, Standin]) -> Iterator[Wire]:
    standin = scene[1]
    standin.clear()
    with wired(standin, tries=2) as one:
        yield one
    standin.trouble.clear()


def job_ids(life: Life) -> list[str]:
    """Those that the world began with, the one with many events last."""
    return [job["id"] for _, job in life.organization.jobs()][:7]


def asked(wire: Wire, file: Path, asks: Sequence[Mapping[str, Any]], **shared: Any) -> dict[int, Found]:
    """What each of the asks was answered; every one once."""
    found = list(many(wire, file, asks, shared))
    told = {one.number: one for one in found}
    assert len(found) == len(told) == len(asks)
    return told


def events_of(life: Life, job: str) -> list[str]:
    [row] = [row for _, row in life.organization.jobs() if row["id"] == job]
    return sorted(one["uuid"] for one in row["_events"])


def ids(found: Found) -> list[str]:
    assert found.items is not None
    return sorted(item["id"] for item in found.items)


def written(folder: Path, text: str) -> Path:
    file = folder / "some.graphql"
    file.write_text(text, encoding="utf-8")
    return file


# What comes back


def test_all_pages_of_each_are_read_and_told_apart(scene: tuple[Life, Standin], wire: Wire) -> None:
    """By count and cursor: 68 events are three pages of 25, and only theirs are asked for again."""
    life, standin = scene
    jobs = job_ids(life)
    found = asked(wire, EVENTS, [{"job": one} for one in jobs])
    assert {number: ids(one) for number, one in found.items()} == {
        n: events_of(life, one) for n, one in enumerate(jobs)
    }
    assert max(len(ids(one)) for one in found.values()) > 50
    assert all(one.at == standin.clock.now() and one.error is None for one in found.values())
    assert standin.count("graphql").requests == 3
    assert [(seen.document or "").count("job(uuid") for seen in standin.seen] == [7, 1, 1]
    assert wire.budget.spent["graphql"].points == standin.count().points


PAGED = """query Builds($pipeline: ID!, $after: String) { pipeline(slug: $pipeline) { builds(first: 2, after: $after) {
pageInfo { hasNextPage endCursor } edges { node { uuid number } } } } }"""


def test_pages_may_be_told_by_page_info(scene: tuple[Life, Standin], wire: Wire, tmp_path: Path) -> None:
    life, _ = scene
    for _ in range(4):
        life.build("p0", 1)  # five now
    found = asked(wire, written(tmp_path, PAGED), [{"pipeline": f"acme/p{n}"} for n in range(3)])
    for n, one in found.items():
        own = [build["id"] for build in life.organization.builds.values() if build["pipeline"]["slug"] == f"p{n}"]
        assert ids(one) == sorted(own)
    assert len(ids(found[0])) == 5


def test_what_is_not_there_has_no_items_and_what_is_empty_has_none(
    scene: tuple[Life, Standin], wire: Wire, tmp_path: Path
) -> None:
    life, _ = scene
    life.pipeline("bare")
    found = asked(
        wire, written(tmp_path, PAGED), [{"pipeline": f"acme/{name}"} for name in ("no", "bare", "p1", "no2")]
    )
    assert [found[n].items is None for n in range(4)] == [True, False, False, True]
    assert (found[1].items, found[0].error, len(ids(found[2]))) == ([], None, 1)


def test_nothing_asked_is_nothing_sent(scene: tuple[Life, Standin], wire: Wire) -> None:
    assert asked(wire, EVENTS, []) == {}
    assert scene[1].seen == []


def test_what_the_query_does_not_declare_is_left_out(scene: tuple[Life, Standin], wire: Wire) -> None:
    """A row of a work list knows more than a query needs."""
    life, standin = scene
    found = asked(wire, EVENTS, [{"job": one, "number": 7, "state": "x"} for one in job_ids(life)[:2]])
    assert [ids(found[n]) for n in (0, 1)] == [events_of(life, one) for one in job_ids(life)[:2]]
    assert "number" not in (standin.seen[0].document or "")


def test_copies_with_the_same_root_share_it(scene: tuple[Life, Standin], wire: Wire) -> None:
    """A pipeline once, and a count for each of its branches: a point each."""
    standin = scene[1]
    branches = ("main", "x", "y")
    asks = [{"pipeline": f"acme/p{n}", "branch": [branch]} for n in (1, 2) for branch in branches]
    found = asked(wire, COUNTS, [ask | {"state": None} for ask in asks])
    assert [found[n].items for n in range(6)] == [[{"builds": {"count": n % 3 == 0}}] for n in range(6)]
    [seen] = standin.seen
    assert (seen.document or "").count("pipeline(slug") == 2
    assert (seen.requested, seen.actual) == (8, 8)


def test_more_than_a_document_holds_are_several(
    scene: tuple[Life, Standin], wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    life, standin = scene
    monkeypatch.setattr(batch, "AT_ONCE", 3)
    asked(wire, EVENTS, [{"job": one} for one in job_ids(life)[:6] if len(events_of(life, one)) < 25])
    assert [(seen.document or "").count("job(uuid") for seen in standin.seen] == [3, 3]
    monkeypatch.setattr(batch, "AT_ONCE", 100)
    monkeypatch.setattr(batch, "DOCUMENT", 4 * cost(graphql.read(EVENTS).document))
    standin.clear()
    asked(wire, EVENTS, [{"job": one} for one in job_ids(life)[:6]])
    assert [(seen.document or "").count("job(uuid") for seen in standin.seen] == [4, 2]


def test_the_events_of_500_failed_jobs_cost_at_most_9000_points() -> None:
    """Those of the demo that failed last: what job_events says of its cost, to the point."""
    world = demo()
    jobs = [job for _, job in world.organizations["acme-inc"].jobs() if job["type"] == "script"]
    failed = sorted(
        (job for job in jobs if job["state"] in ("failed", "timed_out")), key=lambda job: str(job["created_at"])
    )[-500:]
    events = [one for job in failed for one in job["_events"]]
    more = sum(one.get(key) is not None for one in events for key in OBJECTS)
    with Standin(world, budgets=PLENTY) as standin, wired(standin) as one:
        found = asked(one, EVENTS, [{"job": job["id"]} for job in failed])
        points = standin.count("graphql").points
    assert sum(len(ids(each)) for each in found.values()) == len(events)
    assert len(failed) == 500
    assert points == 3 * 500 + 2 * len(events) + more
    assert points <= 9000


OBJECTS = ("assigned_agent", "automatic_rule", "retried_in_job", "build_step_upload")
"""What an event may hold, a point each."""


# What goes wrong


def refuse(standin: Standin, *jobs: str) -> None:
    """From now on each answer that tells of one of these jobs comes with an error, and the others' data."""
    answer = standin.answer

    def answering(ask: Any) -> Any:
        told = answer(ask)
        if any(one in str(ask.body) for one in jobs):
            told.put(told.json() | {"errors": [{"message": "Something went wrong"}]})
        return told

    setattr(standin, "answer", answering)  # noqa: B010 - mypy lets no method be replaced


@pytest.fixture
def refusing(scene: tuple[Life, Standin]) -> Iterator[Standin]:
    yield scene[1]
    vars(scene[1]).pop("answer", None)


def test_one_that_is_refused_by_itself_does_not_stop_the_others(
    scene: tuple[Life, Standin], wire: Wire, refusing: Standin
) -> None:
    """200 with errors and the data of the others: it is looked for by halves, and the others are told."""
    life, _ = scene
    jobs = job_ids(life)
    refuse(refusing, jobs[2])
    found = asked(wire, EVENTS, [{"job": one} for one in jobs])
    assert isinstance(found[2].error, QueryRefused)
    assert "Something went wrong" in str(found[2].error)
    assert (found[2].items, found[2].at) == (None, None)
    for n in (0, 1, 3, 4, 5, 6):
        assert ids(found[n]) == events_of(life, jobs[n])


def test_three_that_are_refused_are_the_query_itself(
    scene: tuple[Life, Standin], wire: Wire, refusing: Standin
) -> None:
    jobs = job_ids(scene[0])
    refuse(refusing, *jobs)
    found: list[Found] = []
    with pytest.raises(QueryRefused, match=r"job_events\.graphql: Something went wrong"):
        found.extend(many(wire, EVENTS, [{"job": one} for one in jobs], {}))
    assert [(one.number, one.items) for one in found] == [(0, None), (1, None)]


@pytest.mark.parametrize("kind", ["graphql-errors", "graphql-partial"])
def test_an_error_that_passes_costs_a_smaller_document(scene: tuple[Life, Standin], wire: Wire, kind: str) -> None:
    life, standin = scene
    standin.trouble.add(kind, api="graphql", times=1)
    jobs = job_ids(life)
    found = asked(wire, EVENTS, [{"job": one} for one in jobs])
    assert [ids(found[n]) for n in range(7)] == [events_of(life, one) for one in jobs]


def test_what_is_too_heavy_is_asked_for_by_halves(scene: tuple[Life, Standin], wire: Wire) -> None:
    life, standin = scene
    standin.trouble.add("504", api="graphql", times=2)
    jobs = job_ids(life)[:6]
    found = asked(wire, EVENTS, [{"job": one} for one in jobs])
    assert [ids(found[n]) for n in range(6)] == [events_of(life, one) for one in jobs]
    assert [(seen.document or "").count("job(uuid") for seen in standin.seen][:3] == [6, 3, 1]


def test_a_run_with_few_points_asks_for_as_many_as_they_buy(scene: tuple[Life, Standin], wire: Wire) -> None:
    life, standin = scene
    few = 2 * cost(graphql.read(EVENTS).document)
    wire.budget.limits = Limits(points=few)
    found: list[Found] = []
    with pytest.raises(BudgetSpent):
        found.extend(many(wire, EVENTS, [{"job": one} for one in job_ids(life)], {}))
    assert found
    assert len(found) < 7
    assert 0 < standin.count("graphql").points <= few


@pytest.mark.parametrize("kind", ["graphql-cursor-loop", "graphql-cursor-null", "graphql-null-node"])
def test_a_page_that_does_not_move_on_is_an_error(
    scene: tuple[Life, Standin], wire: Wire, tmp_path: Path, kind: str
) -> None:
    standin = scene[1]
    standin.trouble.add(kind, api="graphql", times=None)
    with pytest.raises(BadAnswer):
        list(many(wire, written(tmp_path, PAGED), [{"pipeline": "acme/p0"}, {"pipeline": "acme/p1"}], {}))
    assert len(standin.seen) <= 3


def test_a_count_that_promises_more_than_there_is_is_an_error(
    scene: tuple[Life, Standin], wire: Wire, refusing: Standin
) -> None:
    answer = refusing.answer

    def more(ask: Any) -> Any:
        told = answer(ask)
        body = told.json()
        body["data"]["job_0"]["events_0"] |= {"count": 99}
        return told.put(body)

    setattr(refusing, "answer", more)  # noqa: B010
    with pytest.raises(BadAnswer, match="next page"):
        list(many(wire, EVENTS, [{"job": job_ids(scene[0])[0]}], {}))


# The document


def test_numbers_are_told_apart() -> None:
    answer = {"builds_1": {"count": 1}, "builds_12": {"count": 2}, "name": "x", "edges": [{"node": {"a_1": 5, "b": 6}}]}
    assert plain(answer, 1) == {"builds": {"count": 1}, "name": "x", "edges": [{"node": {"a": 5, "b": 6}}]}
    assert plain(answer, 12)["builds"] == {"count": 2}


ASKS: dict[str, tuple[list[Row], Row]] = {
    "annotations": ([{"build": "a"}, {"build": "b"}], {}),
    "branch_build_counts": ([{"pipeline": "o/p", "branch": ["x"], "state": None}] * 2, {}),
    "build_details": ([{"build": "a"}, {"build": "b"}], {}),
    "build_env": ([{"build": "a"}, {"build": "b"}], {}),
    "build_webhooks": ([{"build": "a"}, {"build": "b"}], {}),
    "concurrency_group_jobs": ([{"group": "a"}, {"group": "b"}], {"organization": "o"}),
    "job_details": ([{"job": "a"}, {"job": "b"}], {}),
    "job_events": ([{"job": "a"}, {"job": "b"}], {}),
    "schedule_builds": ([{"build": "a"}, {"build": "b"}], {}),
    "_queue_depth": ([{"queue": ["a"], "clustered": True, "rules": None, "tags": None}] * 2, {"organization": "o"}),
}
"""Every query that is asked many times in one document, and two of the things that it is asked for."""


@pytest.mark.parametrize("name", ASKS)
def test_the_document_of_copies_is_valid_and_costs_what_the_standin_says(name: str) -> None:
    (asks, shared), request = ASKS[name], graphql.read(TABLES / f"{name}.graphql")
    made = copies(request, [ask | {str(n): n} for n, ask in enumerate(asks)], shared)
    rules = [*specified_rules, NoDeprecatedCustomRule]
    assert validate(schema(), made.document, rules) == []
    asked_for = question(schema(), made.document, {})
    assert asked_for.complexity == cost(made.document)
    assert asked_for.depth <= 12
    if SDL.exists():
        assert validate(build_schema(SDL.read_text(encoding="utf-8")), made.document, rules) == []


def test_a_document_of_one_is_the_file_itself_but_for_its_names() -> None:
    request = graphql.read(COUNTS)
    [one] = [copies(request, [{"pipeline": "p", "branch": ["x"]}], {})]
    assert isinstance(one, GraphQLRequest)
    text = " ".join(print_ast(one.document).split())
    assert "pipeline_0: pipeline(slug: $pipeline_0) { builds_0: builds( branch: $branch_0" in text


@pytest.mark.parametrize("path", sorted(TABLES.glob("*.graphql")), ids=lambda path: path.stem)
def test_every_query_is_valid_against_both_schemas(path: Path) -> None:
    """Nothing wrong, nothing deprecated, at most twelve deep; also those that are no table's (they begin with _)."""
    document, rules = graphql.read(path).document, [*specified_rules, NoDeprecatedCustomRule]
    assert validate(schema(), document, rules) == []
    asked_for = question(schema(), document, {})
    assert asked_for.depth <= 12
    assert asked_for.complexity == cost(document)
    if not SDL.exists():
        pytest.skip("the published schema is not here")
    assert validate(build_schema(SDL.read_text(encoding="utf-8")), document, rules) == []
