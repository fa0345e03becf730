"""What `api_usage` says that GraphQL cost is what Buildkite counted, exactly; and what some tables promise to cost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from buildkite_ci.catalog import TABLES, catalog, twin
from buildkite_ci.choice import Choice
from buildkite_elt.costs import MEASURED, told
from buildkite_elt.database import connect
from buildkite_elt.standin import Standin
from buildkite_elt.standin.answer import Seen
from buildkite_elt.standin.demo import demo, empty
from buildkite_elt.standin.life import Life
from conftest import ENOUGH
from planned import LONG_AGO, Both, usage


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Both, list[Seen]]]:
    """Builds, then every GraphQL table once; and what the stand-in saw of the latter."""
    with Standin(demo(), budgets=ENOUGH) as standin:
        both = Both(standin, tmp_path_factory.mktemp("points") / "buildkite.duckdb")
        both.load("builds")
        before = len(standin.seen)
        few = Choice(at_most=120)
        both.choose(
            build_details=few, build_env=few, annotations=few, job_details=few, queue_jobs=Choice(queues=("gpu",))
        )
        both.load("annotations", *(name for name, table in catalog().items() if table.api == "GraphQL"))
        yield both, standin.seen[before:]


def asked(seen: Seen) -> str:
    """The name of a query."""
    named = re.match(r"query (\w+)", seen.document or "")
    assert named, seen.document
    return named[1]


def queries() -> dict[str, str]:
    """Query -> the table that it is the twin of."""
    return {
        re.findall(r"^query (\w+)", twin(table).read_text(encoding="utf-8"), re.MULTILINE)[0]: name
        for name, table in catalog().items()
        if twin(table).exists()
    }


def test_requests_and_points_are_the_stand_ins_own_counts(loaded: tuple[Both, list[Seen]]) -> None:
    both, seen = loaded
    told = usage(both.target.database)
    for api in ("graphql", "rest"):
        real = [one for one in seen if one.api == api]
        assert sum(requests for (of, _), (requests, _) in told.items() if of == api) == len(real)
        assert sum(points for (of, _), (_, points) in told.items() if of == api) == sum(one.actual or 0 for one in real)


def test_each_table_pays_for_its_own(loaded: tuple[Both, list[Seen]]) -> None:
    """But queue_jobs, which asks what queue_metrics asks: their sum."""
    both, seen = loaded
    requests, points = Counter[str](), Counter[str]()
    tables = {**queries(), "QueueDepth": "queues", "QueueMetrics": "queues", "QueueJobs": "queues"}
    for one in seen:
        if one.api == "graphql":
            requests[tables[asked(one)]] += 1
            points[tables[asked(one)]] += one.actual or 0
    ours: dict[str, tuple[int, int]] = {}
    for (api, name), (count, cost) in usage(both.target.database).items():
        table = "queues" if name.startswith("queue_") else name
        if api == "graphql":
            had = ours.get(table, (0, 0))
            ours[table] = had[0] + count, had[1] + cost
    assert ours == {name: (requests[name], points[name]) for name in requests}
    every = {name for name, table in catalog().items() if table.api == "GraphQL" and twin(table).exists()}
    assert every - {"queue_jobs", "queue_metrics", "concurrency_group_jobs"} <= ours.keys()


def test_what_a_document_might_cost_is_what_buildkite_says_it_asks_for(loaded: tuple[Both, list[Seen]]) -> None:
    _, seen = loaded
    for one in seen:
        if one.api == "graphql":
            assert one.requested is not None
            assert one.actual is not None
            assert one.actual <= one.requested <= 50_000, asked(one)


def test_the_events_of_five_hundred_failed_jobs(loaded: tuple[Both, list[Seen]]) -> None:
    both, seen = loaded
    mine = [one for one in seen if one.api == "graphql" and asked(one) == "JobEvents"]
    assert sum(len(re.findall(r"job_\d+: job\(", one.document or "")) for one in mine) >= 500
    assert sum(one.actual or 0 for one in mine) <= 9_000
    requests, points = usage(both.target.database)["graphql", "job_events"]
    assert (requests, points) == (len(mine), sum(one.actual or 0 for one in mine))


@pytest.mark.parametrize("table", MEASURED)
def test_the_figures_in_the_papers_are_these(table: str, loaded: tuple[Both, list[Seen]]) -> None:
    both, _ = loaded
    points = usage(both.target.database)["graphql", table][1]
    with connect(both.target.database) as connection:
        sql = "SELECT count(*) FROM ci.errands WHERE table_name = ?"
        (rows,) = connection.execute(sql, [table]).fetchone() or (0,)
    assert MEASURED[table] == pytest.approx(points / rows * 1_000, rel=0.15)


def test_what_is_computed_of_a_listing() -> None:
    assert told(catalog()["builds"]).startswith("11 requests for 1,000;")
    assert told(catalog()["pipelines"]) == "12 requests for 1,000 (computed)."
    assert told(catalog()["pipeline_latest_builds"]).startswith("4,016 points for 1,000 at most, 4 requests of GraphQL")
    assert told(catalog()["artifacts"]) == "1,000 requests for 1,000 builds that it is asked for (computed)."


def test_a_hundred_pipelines_cost_no_more_than_is_promised(tmp_path: Path) -> None:
    """Their metrics, their latest builds, and the builds of three branches each."""
    made = empty()
    life, now = Life(made, "acme"), made.clock.now()
    for number in range(100):
        pipeline = life.pipeline(f"app-{number}")
        life.history(pipeline, 6, 1, now - timedelta(days=2), now - timedelta(hours=2))
    for at, build in enumerate(made.organizations["acme"].builds.values()):
        build["branch"] = ("main", "one", "two")[at % 3]
    with Standin(made, budgets=ENOUGH) as standin:
        both = Both(standin, tmp_path / "buildkite.duckdb")
        both.load("builds")
        before = len(standin.seen)
        found = both.compare("pipeline_metrics", "pipeline_latest_builds", "branch_build_counts", since=LONG_AGO)
        planned = {line["table"]: line for line in found["tables"]}
        assert planned["branch_build_counts"]["rows"] == 300
        spent = standin.seen[before:][sum(one["requests"] for one in found["probes"]) :]
        assert sum(one.actual or 0 for one in spent) <= 1_600
        assert len(spent) <= 6


def test_every_query_has_a_table() -> None:
    hidden = {path.stem for path in TABLES.glob("_*.graphql")}
    assert hidden == {"_filtered_pipelines", "_find", "_pipeline_jobs", "_queue_depth"}
    assert queries().keys() >= {"JobEvents", "QueueMetrics"}
