"""T2 and T9: every kind of fault at every request of a small sync, extraction alone.

Either the run recovers, or it says that it failed and the next clean run makes it good: never success with a row
missing, doubled or stale. BUILDKITE_ELT_SCALE=10 takes every position, without it every tenth, another one a kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

import pytest

from buildkite_ci.wire import Wire
from buildkite_elt.standin import Standin
from faults import GRAPHQL_KINDS, PLENTY, REST_KINDS, SCALE, STALLS, Memory, go_on, small_pages, tried, wired, world

EVERY = max(10 // SCALE, 1)


@dataclass
class Stage:
    """A stand-in that stands still, what a first load of the world before held, and the requests of a load."""

    standin: Standin
    patient: Wire
    hurried: Wire
    before: Memory
    requests: dict[str, int]

    def case(self, memory: Memory, hurried: bool = False) -> tuple[bool, list[str]]:
        """Whether a load called itself a success, and what is wrong in what it left."""
        done = tried(lambda: memory.load(self.hurried if hurried else self.patient))
        good = not isinstance(done, Exception) and not done.report.failed and not done.report.skipped
        return good, memory.wrong(self.standin.world)

    def start(self, which: str) -> Memory:
        return Memory() if which == "first" else deepcopy(self.before)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    made = world()
    with (
        small_pages(5),
        Standin(made, budgets=PLENTY) as standin,
        wired(standin) as patient,
        wired(standin, timeout=0.1) as hurried,
    ):
        found = Stage(standin, patient, hurried, Memory(), {})
        assert found.case(found.before) == (True, [])
        go_on(made)
        for which in ("first", "second"):
            count = len(standin.seen)
            assert found.case(found.start(which)) == (True, [])
            found.requests[which] = len(standin.seen) - count
        yield found


@pytest.fixture(autouse=True)
def calm(stage: Stage) -> Iterator[None]:
    stage.standin.seen.clear()
    yield
    stage.standin.trouble.clear()


def test_the_small_sync_has_eighty_requests_and_there_are_more_than_thirty_kinds(stage: Stage) -> None:
    assert sum(stage.requests.values()) >= 60
    assert len(REST_KINDS) >= 30


@pytest.mark.parametrize("which", ["first", "second"])
@pytest.mark.parametrize("kind", REST_KINDS)
def test_a_fault_at_any_request_never_passes_for_success(stage: Stage, kind: str, which: str) -> None:
    bad = []
    for position in range(1 + REST_KINDS.index(kind) % EVERY, stage.requests[which] + 1, EVERY):
        memory = stage.start(which)
        rule = stage.standin.trouble.add(kind, nth=position, seconds=0.3, pieces=5)
        good, wrong = stage.case(memory, kind in STALLS)
        path = next((seen.path for seen in stage.standin.seen if seen.trouble), "")
        stage.standin.trouble.clear()
        stage.standin.seen.clear()
        if not rule.hit:
            bad.append(f"{position}: never reached")
        if good and wrong:
            bad.append(f"{position} {path}: success with {wrong[:3]}")
        if not good and stage.case(memory) != (True, []):
            bad.append(f"{position} {path}: not made good, {memory.wrong(stage.standin.world)[:3]}")
    assert bad == []


LASTING = ["429", "500", "502", "503", "504", "408", "reset-before-headers", "truncated", "html", "empty", "half-json"]


@pytest.mark.parametrize("kind", LASTING)
def test_what_passes_within_the_tries_is_recovered_in_the_same_run(stage: Stage, kind: str) -> None:
    for position in range(1 + LASTING.index(kind) % EVERY, stage.requests["second"] + 1, EVERY):
        memory = stage.start("second")
        stage.standin.trouble.add(kind, nth=position, times=2)
        assert stage.case(memory) == (True, []), position
        stage.standin.trouble.clear()


@pytest.mark.parametrize("kind", REST_KINDS)
def test_what_stays_is_an_error_and_the_next_clean_run_is_right(stage: Stage, kind: str) -> None:
    position = 1 + 7 * REST_KINDS.index(kind) % stage.requests["second"]
    memory = stage.start("second")
    stage.standin.trouble.add(kind, nth=position, times=None, seconds=0.3, pieces=5)
    good, wrong = stage.case(memory, kind in STALLS)
    stage.standin.trouble.clear()
    assert not (good and wrong)
    assert stage.case(memory) == (True, [])


# --- GraphQL (T9) ---


def metrics(memory: Memory) -> dict[str, int]:
    """How many readings each pipeline has."""
    found: dict[str, int] = {}
    for row in memory.rows.get("pipeline_metrics", []):
        found[row["pipeline_id"]] = found.get(row["pipeline_id"], 0) + 1
    return found


def read(stage: Stage, hurried: bool = False) -> tuple[bool, dict[str, int]]:
    memory = Memory()
    done = tried(lambda: memory.load(stage.hurried if hurried else stage.patient, ["pipeline_metrics"]))
    good = not isinstance(done, Exception) and not done.report.failed and not done.report.skipped
    return good, metrics(memory)


@pytest.fixture
def whole(stage: Stage) -> dict[str, int]:
    return dict.fromkeys(stage.standin.world.organizations["acme"].pipelines, 3)


@pytest.mark.parametrize("kind", GRAPHQL_KINDS)
def test_a_graphql_fault_never_passes_for_success(stage: Stage, whole: dict[str, int], kind: str) -> None:
    stage.standin.trouble.add(kind, api="graphql", seconds=0.3, pieces=5)
    good, found = read(stage, kind in STALLS)
    assert found == whole if good else True
    stage.standin.trouble.clear()
    assert read(stage) == (True, whole)


NULLABLE = [
    "organization",
    "organization.pipelines",
    "organization.pipelines.pageInfo",
    "organization.pipelines.edges",
    "organization.pipelines.edges.0",
    "organization.pipelines.edges.6",
    "organization.pipelines.edges.2.node",
    "organization.pipelines.edges.2.node.metrics",
    "organization.pipelines.edges.2.node.metrics.edges",
    "organization.pipelines.edges.2.node.metrics.edges.1",
    "organization.pipelines.edges.2.node.metrics.edges.1.node",
]
"""Where the schema lets a null stand in our query, leaves apart: a value that is null is a reading (api.md 5.2)."""


@pytest.mark.parametrize("kind", ["graphql-null-node", "graphql-partial"])
@pytest.mark.parametrize("at", NULLABLE)
def test_a_null_where_there_should_be_an_object_is_no_silent_skip(
    stage: Stage, whole: dict[str, int], kind: str, at: str
) -> None:
    stage.standin.trouble.add(kind, api="graphql", at=at)
    good, found = read(stage)
    assert found == whole if good else True


def test_an_unknown_type_and_an_unknown_field_harm_nothing(stage: Stage, whole: dict[str, int]) -> None:
    node = {"__typename": "Unheard", "uuid": next(iter(whole)), "slug": "x", "isNew": {"deep": [1]}}
    label = {"id": "1", "label": "Novel", "value": "1 parsec", "url": None, "kind": "UNHEARD"}
    edges = [{"node": node | {"metrics": {"edges": [{"node": label}]}}}]
    page = {"pageInfo": {"hasNextPage": False, "endCursor": None}, "edges": edges}
    stage.standin.trouble.add("wrong-type", api="graphql", body={"data": {"organization": {"pipelines": page}}})
    assert read(stage) == (True, {next(iter(whole)): 1})


@pytest.mark.parametrize("cursors", [("a", "a"), ("a", "b", "a"), ("a", None), (None,)])
def test_cursors_that_lead_nowhere_end_in_an_error(stage: Stage, cursors: tuple[str | None, ...]) -> None:
    for number, cursor in enumerate(cursors, 1):
        page = {"pageInfo": {"hasNextPage": True, "endCursor": cursor}, "edges": []}
        body = {"data": {"organization": {"pipelines": page}}}
        stage.standin.trouble.add("wrong-type", api="graphql", nth=number, body=body)
    good, _ = read(stage)
    assert not good
    assert len(stage.standin.seen) == len(cursors)


def test_a_query_that_costs_too_much_is_an_error_with_its_reason(stage: Stage) -> None:
    stage.standin.trouble.add("graphql-errors", api="graphql", times=None, message="Query has complexity of 50001")
    memory = Memory()
    done = tried(lambda: memory.load(stage.patient, ["pipeline_metrics"]))
    assert "complexity" in str(done.report.failed["pipeline_metrics"])
