"""The views of failures, flakes, deploys and merges over the demo's world, held against counts in pandas and Python."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import duckdb
import pandas as pd
import pytest

from buildkite_ci.choice import Choice
from buildkite_elt import views
from buildkite_elt.standin import Standin
from buildkite_elt.standin.demo import demo
from conftest import ENOUGH
from planned import Both

VIEWS = (
    "build_outcomes", "default_branch_breaks", "default_branch_weekly", "deploys", "deploys_weekly",
    "failure_classes_weekly", "flaky_steps", "job_failures", "manual_retries_weekly", "merges", "merges_weekly",
    "pull_request_ci_times", "rebuilds_weekly", "retry_chains", "schedule_health", "step_flake_rates",
    "step_results_weekly", "team_failures_weekly", "trigger_chains", "trigger_roots", "triggered_step_failures",
)  # fmt: skip
FAILED = ("failed", "timed_out", "expired")
RAW = ("builds", "jobs", "job_logs", "pipelines", "pipeline_schedules", "schedule_builds", "team_pipelines")


class Loaded:
    """The demo's tables as frames, and its views by query."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self.tables = {name: self.view(name) for name in RAW}
        for name, table in self.tables.items():
            if "_dlt_valid_to" in table:
                self.tables[name] = table[table["_dlt_valid_to"].isna()]
        self.builds = self.tables["builds"].set_index("id", drop=False)
        self.jobs = self.tables["jobs"].set_index("id", drop=False)
        self.scripts = self.jobs[self.jobs["type"] == "script"]
        self.now = self.builds["last_seen_at"].max()

    def view(self, name: str) -> Any:
        """A frame; not by DuckDB's df(), of which pandas 3.1 warns."""
        cursor = self.connection.execute(f"FROM ci.{name}")
        return pd.DataFrame(cursor.fetchall(), columns=[column for column, *_ in cursor.description])

    def outcome(self, build: Any) -> str:
        return str(build.blocked_state if build.blocked and build.blocked_state else build.state)

    def default_branches(self) -> dict[str, Any]:
        """Ended builds of each pipeline's default branch, in the order of their ends."""
        default = self.tables["pipelines"].set_index("id")["default_branch"]
        chosen = self.builds[
            (self.builds["branch"] == self.builds["pipeline_id"].map(default).fillna("main"))
            & self.builds["pull_request_id"].isna()
            & self.builds["state"].isin(["passed", "failed"])
            & self.builds["finished_at"].notna()
        ]
        chosen = chosen.assign(outcome=[self.outcome(one) for one in chosen.itertuples()])
        chosen = chosen[chosen["outcome"].isin(["passed", "failed"])]
        return {
            str(slug): frame.sort_values(["finished_at", "number"]) for slug, frame in chosen.groupby("pipeline_slug")
        }

    def chains(self) -> list[list[Any]]:
        """Attempts of each job that was retried, first to last."""
        rows = {job.id: job for job in self.jobs.itertuples()}
        later = {job.retried_in_job_id for job in rows.values()}
        found = []
        for job in self.scripts[self.scripts["retried_in_job_id"].notna()]["id"]:
            if job not in later:
                found.append([rows[job]])
                while found[-1][-1].retried_in_job_id in rows:
                    found[-1].append(rows[found[-1][-1].retried_in_job_id])
        return found

    def flakes(self) -> list[list[Any]]:
        return [one for one in self.chains() if one[-1].state == "passed" and any(job.state in FAILED for job in one)]


@pytest.fixture(scope="module")
def demo_views(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    with Standin(demo(pipelines=12, builds_per_day=20), budgets=ENOUGH) as standin:
        both = Both(standin, tmp_path_factory.mktemp("views") / "buildkite.duckdb")
        both.load("builds", "pipelines", "pipeline_schedules", "teams", "team_pipelines")
        both.choose(job_logs=Choice(at_most=80))
        both.load("schedule_builds", "job_logs")
    with duckdb.connect(str(both.target.database)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        tables = (
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'ci' AND table_type = 'BASE TABLE'"
        )
        views.create(connection.execute, "ci", [name for (name,) in connection.execute(tables).fetchall()], {})
        yield Loaded(connection)


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_has_rows(demo_views: Loaded, name: str) -> None:
    assert len(demo_views.view(name)) > 0


@pytest.mark.parametrize("name", VIEWS)
def test_rows_are_the_same_in_every_time_zone(demo_views: Loaded, name: str) -> None:
    """In New Zealand the clock changed within the demo's month; threads, as sums of doubles depend on their order."""
    run = demo_views.connection.execute
    run(f"SET threads = 1; CREATE OR REPLACE TEMP TABLE in_utc AS FROM ci.{name}; SET TimeZone = 'Pacific/Auckland'")
    try:
        (differing,) = run(f"SELECT count(*) FROM (FROM ci.{name} EXCEPT ALL FROM in_utc)").fetchall()
    finally:
        run("SET TimeZone = 'UTC'; RESET threads")
    assert differing == (0,)


def test_every_failed_attempt_has_the_class_of_the_first_rule(demo_views: Loaded) -> None:
    with (views.FOLDER / "rules.csv").open(encoding="utf-8") as source:
        rules = sorted(csv.DictReader(source), key=lambda rule: int(rule["rank"]))
    logs = demo_views.tables["job_logs"].set_index("job_id")["error_class"].dropna()
    expected = {}
    for job in demo_views.scripts[demo_views.scripts["state"].isin(FAILED)].itertuples():
        status = None if pd.isna(job.exit_status) else str(int(job.exit_status))
        told = {"state": job.state, "signal_reason": job.signal_reason, "exit_status": status}
        told["error_class"] = logs.get(job.id)
        matching = (
            rule["class"]
            for rule in rules
            if isinstance(told[rule["column_name"]], str) and re.fullmatch(rule["pattern"], told[rule["column_name"]])
        )
        expected[job.id] = next(matching, "unknown")
    found = demo_views.view("job_failures")
    assert dict(zip(found["job_id"], found["class"], strict=True)) == expected
    assert len({*expected.values()}) > 4
    weekly = demo_views.view("failure_classes_weekly").groupby("class")[["failures", "run_seconds"]].sum()
    assert weekly["failures"].to_dict() == found["class"].value_counts().to_dict()
    assert weekly["run_seconds"].sum() == pytest.approx(found["run_seconds"].sum())


def test_retried_jobs_and_flakes(demo_views: Loaded) -> None:
    chains, flakes = demo_views.chains(), demo_views.flakes()
    found = demo_views.view("retry_chains").set_index("first_job_id")
    assert {chain[0].id: len(chain) for chain in chains} == found["attempts"].to_dict()
    assert {chain[0].id for chain in flakes} == {*found[found["is_flaky"]].index}
    recent = [one for one in flakes if one[0].created_at >= demo_views.now - timedelta(days=28)]
    assert 0 < len(recent) < len(flakes)
    lost = sum((job.finished_at - job.started_at).total_seconds() for one in recent for job in one[:-1])
    steps = demo_views.view("flaky_steps")
    assert steps["flakes"].sum() == len(recent)
    assert steps["lost_seconds"].sum() == pytest.approx(lost)
    assert (steps["flake_share"] <= 1).all()


def test_results_of_steps_and_retries_by_people(demo_views: Loaded) -> None:
    jobs, found = demo_views.scripts, demo_views.view("step_results_weekly")
    last = jobs[(jobs["retried"] == False) & jobs["state"].isin(["passed", *FAILED])]  # noqa: E712 - may be null
    assert found["jobs"].sum() == len(last)
    assert found["passed"].sum() == (last["state"] == "passed").sum()
    assert found["soft_failed"].sum() == (last["soft_failed"] == True).sum() > 0  # noqa: E712
    assert found["automatic_retries"].sum() == (jobs["retry_type"] == "automatic").sum() > 0
    assert found["manual_retries"].sum() == (jobs["retry_type"] == "manual").sum() > 0
    people = demo_views.view("manual_retries_weekly").groupby("retried_by_name")["retries"].sum()
    assert people.to_dict() == jobs[jobs["retry_type"] == "manual"]["retried_by_name"].value_counts().to_dict()


def test_commits_that_passed_and_failed(demo_views: Loaded) -> None:
    failures = demo_views.view("job_failures").set_index("job_id")["class"]
    commits = demo_views.builds["commit"]
    states: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for job in demo_views.scripts.itertuples():
        innocent = failures.get(job.id) in ("infrastructure", "capacity")
        if job.state in ("passed", "failed", "timed_out") and not innocent and commits[job.build_id] != "HEAD":
            step = job.step_key if isinstance(job.step_key, str) else job.name
            shard = None if pd.isna(job.parallel_group_index) else job.parallel_group_index
            states[job.pipeline_slug, step, commits[job.build_id], shard, str(job.matrix)].add(job.state)
    mixed = [one for one in states.values() if len(one) > 1 and "passed" in one]
    found = demo_views.view("step_flake_rates")
    assert found["commits"].sum() == len(states)
    assert found["mixed_commits"].sum() == len(mixed) > 0


def test_red_default_branches(demo_views: Loaded) -> None:
    breaks, seconds, open_ones = 0, 0.0, 0
    for builds in demo_views.default_branches().values():
        red = None
        for build in builds.itertuples():
            if build.outcome == "failed" and red is None:
                breaks, red = breaks + 1, build.finished_at
            elif build.outcome == "passed" and red is not None:
                seconds, red = seconds + (build.finished_at - red).total_seconds(), None
        if red is not None:
            seconds, open_ones = seconds + (demo_views.now - red).total_seconds(), open_ones + 1
    found, weekly = demo_views.view("default_branch_breaks"), demo_views.view("default_branch_weekly")
    assert len(found) == weekly["breaks"].sum() == breaks
    assert found["green_at"].isna().sum() == breaks - weekly["recoveries"].sum() == open_ones
    assert found["red_seconds"].sum() == pytest.approx(seconds)
    assert weekly["red_seconds"].sum() == pytest.approx(seconds)
    assert weekly["red_seconds"].max() <= 7 * 86400
    assert not weekly.duplicated(["pipeline_slug", "week"]).any()


def test_failed_builds_by_team(demo_views: Loaded) -> None:
    grants = demo_views.tables["team_pipelines"]
    order = ["manage_build_and_read", "build_and_read", "read_only"]
    best = grants["access_level"].map(order.index)
    owners = grants[best == best.groupby(grants["pipeline_id"]).transform("min")]
    failed = demo_views.builds[[demo_views.outcome(one) == "failed" for one in demo_views.builds.itertuples()]]
    expected = failed.merge(owners, on="pipeline_id", how="left")["team_slug"].fillna("no team").value_counts()
    found = demo_views.view("team_failures_weekly").groupby("team_slug")["failed"].sum()
    assert found[found > 0].to_dict() == expected.to_dict()


def test_rebuilds_and_builds_by_week(demo_views: Loaded) -> None:
    found = demo_views.view("rebuilds_weekly")
    assert found["builds"].sum() == len(demo_views.builds)
    assert found["rebuilds"].sum() == demo_views.builds["rebuilt_from_id"].notna().sum() > 0
    assert (found["week"].dt.day_of_week == 0).all()


def test_chains_of_triggers(demo_views: Loaded) -> None:
    rows, members = {build.id: build for build in demo_views.builds.itertuples()}, defaultdict(list)
    for build in rows.values():
        root = build
        while isinstance(root.triggered_from_build_id, str):
            root = rows[root.triggered_from_build_id]
        members[root.id].append(build)
    expected = {root: len(chain) for root, chain in members.items() if len(chain) > 1}
    found = demo_views.view("trigger_chains").set_index("build_id")
    assert found["builds"].to_dict() == expected
    for root, seconds in found["total_seconds"].dropna().items():
        last = max(build.finished_at for build in members[root])
        assert seconds == pytest.approx((last - rows[root].created_at).total_seconds())


def test_jobs_of_triggered_builds(demo_views: Loaded) -> None:
    jobs = demo_views.scripts[demo_views.scripts["state"].isin(["passed", *FAILED])]
    jobs = jobs[(jobs["retried"] == False) & (jobs["soft_failed"] != True)]  # noqa: E712 - may be null
    triggered = jobs[jobs["build_id"].map(demo_views.builds["triggered_from_build_id"]).notna()]
    found = demo_views.view("triggered_step_failures")
    assert found["triggered_jobs"].sum() == len(triggered)
    assert found["triggered_failed"].sum() == (triggered["state"] != "passed").sum() > 0


def test_deploys(demo_views: Loaded) -> None:
    builds = demo_views.builds[demo_views.builds["pull_request_id"].isna()]
    named = builds["pipeline_slug"].str.contains("deploy|release") | builds["branch"].str.match("deploy|release")
    found, weekly = demo_views.view("deploys").set_index("build_id"), demo_views.view("deploys_weekly")
    assert {*found.index} == {*builds[named.fillna(value=False)]["id"]}
    assert weekly["started"].sum() == len(found)
    assert weekly["failed"].sum() == (found["outcome"] == "failed").sum() > 0
    failed = found[found["failed_step"].notna()]
    assert (failed["outcome"] == "failed").all()
    assert len(failed) > 0
    assert (found["lead_seconds"].dropna() > 0).all()
    for _, group in found.groupby("pipeline_slug"):
        assert sorted(group["recency"]) == [*range(1, len(group) + 1)]


def test_ci_time_of_pull_requests(demo_views: Loaded) -> None:
    """By second: how many of them are inside any build."""
    repository = demo_views.tables["pipelines"].set_index("id")["repository"]
    spans: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for build in demo_views.builds[demo_views.builds["pull_request_id"].notna()].itertuples():
        end = build.finished_at if build.state in ("passed", "failed", "canceled", "skipped", "not_run") else None
        if end is None and demo_views.outcome(build) in ("running", "failing", "scheduled"):
            end = demo_views.now
        if end is not None and not pd.isna(end):
            key = repository[build.pipeline_id], build.pull_request_id
            spans[key].append((build.created_at.timestamp(), end.timestamp()))
    expected = {}
    for key, of_one in spans.items():
        moments = sorted({moment for span in of_one for moment in span})
        inside = (
            later - sooner
            for sooner, later in pairwise(moments)
            if any(begin <= sooner and later <= end for begin, end in of_one)
        )
        expected[key] = sum(inside)
    found = demo_views.view("pull_request_ci_times").set_index(["repository", "pull_request_id"])
    assert found["ci_seconds"].to_dict() == pytest.approx(expected, abs=0.01)
    assert (found["ci_seconds"] <= found["total_seconds"] + 0.01).all()


def test_merges(demo_views: Loaded) -> None:
    default = demo_views.tables["pipelines"].set_index("id")["default_branch"]
    builds = demo_views.builds
    pushed = builds[
        (builds["branch"] == builds["pipeline_id"].map(default))
        & builds["pull_request_id"].isna()
        & (builds["source"] == "webhook")
        & (builds["commit"] != "HEAD")
    ]
    found, weekly = demo_views.view("merges"), demo_views.view("merges_weekly")
    assert {*found["build_commit"]} == {*pushed["commit"]}
    assert weekly["merges"].sum() == len(found)
    failed = {build.commit for build in pushed.itertuples() if demo_views.outcome(build) == "failed"}
    assert weekly["failed_after"].sum() == len(failed) > 0


def test_schedules(demo_views: Loaded) -> None:
    found = demo_views.view("schedule_health").set_index("schedule_id")
    asked = demo_views.tables["schedule_builds"]["schedule_id"].value_counts()
    assert found["builds"].to_dict() == {
        one: asked.get(one, 0) for one in demo_views.tables["pipeline_schedules"]["id"]
    }
    assert found[~found["enabled"]]["problem"].str.startswith("switched off").all()
