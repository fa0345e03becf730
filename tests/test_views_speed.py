"""The views of speed, logs, governance and data quality over the demo's world, held against counts in pandas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import duckdb
import pandas as pd
import pytest

from buildkite_ci.choice import Choice
from buildkite_elt import views
from buildkite_elt.standin import Standin
from buildkite_elt.standin.demo import NOW, demo
from conftest import ENOUGH
from planned import Both

VIEWS = (
    "agent_versions", "block_steps", "branch_builds", "build_log_lines", "build_number_gaps", "build_times",
    "build_times_weekly", "builds_daily", "critical_paths", "error_messages", "fast_host_build_times_weekly",
    "first_failures", "ghost_builds", "host_speeds", "load_costs", "log_number_series", "log_sections", "log_sizes",
    "member_reviews", "parallel_steps", "pipeline_activity", "retention_risks", "setting_changes", "step_slowdowns",
    "step_timeouts", "table_costs_daily", "tokens", "webhook_ip_changes",
)  # fmt: skip
DAYS = 18
SETTLED = ("passed", "failed", "canceled")
BASE = ("builds", "pipelines", "members", "cluster_queues", "agents", "webhook_ips")
MORE = (
    "job_logs", "audit_events", "api_access_tokens", "agent_tokens", "member_security", "sso_authorizations",
    "branch_build_counts", "pipeline_latest_builds",
)  # fmt: skip


class Loaded:
    """The demo's tables and the views over them, as frames."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, deleted: str) -> None:
        self.connection, self.deleted = connection, deleted
        self.builds, self.jobs = self("builds"), self("jobs")
        self.scripts = self.jobs[self.jobs["type"] == "script"]
        self.now = self.builds["last_seen_at"].max()

    def __call__(self, name: str) -> Any:
        cursor = self.connection.execute(f"FROM ci.{name}")
        return pd.DataFrame(cursor.fetchall(), columns=[one[0] for one in cursor.description])

    def passed_runs(self) -> Any:
        """Passed attempts with their step and seconds."""
        found = self.scripts[(self.scripts["state"] == "passed") & self.scripts["started_at"].notna()].copy()
        found["step"] = found["step_key"].fillna(found["name"])
        found["seconds"] = (found["finished_at"] - found["started_at"]).dt.total_seconds()
        return found[found["seconds"] >= 0]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """A first load; then a build is deleted, a pipeline edited and an address added; and a load that finds it."""
    world = demo(days=DAYS, pipelines=12, builds_per_day=8)
    with Standin(world, budgets=ENOUGH) as standin:
        both = Both(standin, tmp_path_factory.mktemp("views") / "buildkite.duckdb")
        both.load(*BASE)
        organization = world.organizations["acme-inc"]
        deleted = next(
            one["id"] for one in organization.builds.values() if one["state"] == "running" and not one["blocked"]
        )
        del organization.builds[deleted]
        organization.pipeline("engine")["configuration"] = "steps: []\n"  # type: ignore[index]
        world.webhook_ips.append("192.0.2.7/32")
        both.choose(job_logs=Choice(at_most=60))
        both.load(*BASE, *MORE)
    with duckdb.connect(str(both.target.database)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        tables = (
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'ci' AND table_type LIKE 'BASE%'"
        )
        views.create(connection.execute, "ci", [name for (name,) in connection.execute(tables).fetchall()], {})
        yield Loaded(connection, deleted)


@pytest.mark.parametrize("name", VIEWS)
def test_it_has_rows_on_the_demo(loaded: Loaded, name: str) -> None:
    assert len(loaded(name))


def covered(spans: Iterable[tuple[pd.Timestamp, pd.Timestamp]]) -> float:
    """Seconds in which at least one span goes on."""
    total, until = timedelta(), None
    for began, ended in sorted(spans):
        begin = began if until is None else max(began, until)
        total += max(ended - begin, timedelta())
        until = ended if until is None else max(until, ended)
    return total.total_seconds()


def test_build_times_are_the_union_of_what_ran_and_what_waited(loaded: Loaded) -> None:
    builds, told = loaded.builds, loaded("build_times").set_index("build_id")
    settled = builds[builds["state"].isin(SETTLED) & ~builds["blocked"]].set_index("id")
    seen = set()
    for name, jobs in loaded.jobs[loaded.jobs["build_id"].isin(settled.index)].groupby("build_id"):
        ran, all_spans = [], []
        for job in jobs.itertuples():
            if job.type in ("script", "trigger") and pd.notna(job.started_at) and pd.notna(job.finished_at):
                ran += [(job.started_at, job.finished_at)]
            until = job.started_at if pd.notna(job.started_at) else job.finished_at
            if job.type == "script" and pd.notna(job.runnable_at) and pd.notna(until):
                all_spans += [(job.runnable_at, until)]
        ran = [one for one in ran if one[1] > one[0]]
        all_spans = [one for one in all_spans if one[1] > one[0]] + ran
        if all_spans:
            seen.add(name)
            row = told.loc[name]
            begin = min(settled.loc[name, "created_at"], min(all_spans)[0])
            total = (max(ended for _, ended in all_spans) - begin).total_seconds()
            run = covered(ran)
            wait = covered(all_spans) - run
            assert (row["total_seconds"], row["run_seconds"], row["wait_seconds"]) == pytest.approx((total, run, wait))
            parts = row["run_seconds"] + row["wait_seconds"] + row["held_seconds"]
            assert parts == pytest.approx(row["total_seconds"])
            assert row["job_seconds"] == pytest.approx(sum((end - start).total_seconds() for start, end in ran))
    assert seen == set(told.index)
    assert told["held_seconds"].max() > 3_600, "no build was blocked"


def weeks(moments: Any) -> Any:
    day = moments.dt.tz_convert("UTC").dt.tz_localize(None).dt.normalize()
    return day - pd.to_timedelta(day.dt.day_of_week, unit="D")


def test_weeks_of_builds(loaded: Loaded) -> None:
    times = loaded("build_times")
    times = times[times["state"].isin(("passed", "failed"))]
    grouped = times.groupby(["pipeline_slug", weeks(times["created_at"])])
    told = loaded("build_times_weekly").set_index(["pipeline_slug", "week"]).sort_index()
    assert told["builds"].to_dict() == grouped.size().to_dict()
    for part, name, share in (("total", "p50", 0.5), ("total", "p90", 0.9), ("run", "p90", 0.9), ("wait", "p50", 0.5)):
        wanted = grouped[f"{part}_seconds"].quantile(share).to_dict()
        assert told[f"{part}_{name}_seconds"].to_dict() == pytest.approx(wanted)
    fast = loaded("fast_host_build_times_weekly").set_index(["pipeline_slug", "week"])
    assert (fast["builds"] + fast["builds_left_out"]).to_dict() == told["builds"].to_dict()


def test_days_of_builds(loaded: Loaded) -> None:
    builds, told = loaded.builds, loaded("builds_daily").set_index(["pipeline_slug", "day"])
    day = builds["created_at"].dt.tz_convert("UTC").dt.tz_localize(None).dt.normalize()
    assert told["builds"].to_dict() == builds.groupby(["pipeline_slug", day]).size().to_dict()
    parts = [name for name in told.columns if name.startswith("builds_")]
    assert (told[parts].sum(axis=1) == told["builds"]).all()
    state = builds["state"].where(~builds["blocked"], "blocked")
    for name in SETTLED:
        assert told[f"builds_{name}"].sum() == (state == name).sum() > 0
    assert told["builds_not_run"].sum() == state.isin(("skipped", "not_run")).sum() > 0
    assert told["build_minutes"].sum() * 60 == pytest.approx(loaded("build_times")["run_seconds"].sum())


def test_first_results_and_failures(loaded: Loaded) -> None:
    ended = loaded.scripts[loaded.scripts["finished_at"] >= loaded.scripts["started_at"]]
    created = loaded.builds.set_index("id")["created_at"]
    told = loaded("first_failures").set_index("build_id")
    failed = ended[ended["state"].isin(("failed", "timed_out")) & (ended["soft_failed"] != True)]  # noqa: E712
    for name, of in (("first_result_seconds", ended), ("first_failure_seconds", failed)):
        after = (of.groupby("build_id")["finished_at"].min() - created).dropna().dt.total_seconds()
        assert told[name].dropna().to_dict() == pytest.approx(after[after >= 0].to_dict())
    assert 0 < told["first_failure_seconds"].count() < len(told)


def test_a_critical_path_is_what_one_finds_going_back(loaded: Loaded) -> None:
    told = loaded("critical_paths").set_index("job_id")
    jobs = loaded.jobs[loaded.jobs["id"].isin(told.index)].copy()
    jobs["ended"] = jobs["finished_at"].fillna(jobs["unblocked_at"])
    lengths = []
    for _, mine in jobs.groupby("build_id"):
        rows = sorted(mine.to_dict("records"), key=lambda row: (row["ended"], row["id"]))
        by_id, path = {row["id"]: row for row in rows}, []
        at = min((row for row in rows if row["ended"] == rows[-1]["ended"]), key=lambda row: row["id"])
        while at:
            path.append(at["id"])
            manual = at["type"] == "manual"
            gate = at["unblocked_at"] if manual else at["runnable_at"]
            before = [row for row in rows if (row["ended"] < gate if manual else row["ended"] <= gate)]
            last = [row for row in before if row["ended"] == before[-1]["ended"]]
            at = by_id.get(at["retry_source_job_id"]) or min(last, key=lambda row: row["id"], default=None)
        found = told.loc[list(by_id)]
        critical = found[found["is_critical"]].sort_values("from_the_end")
        assert list(critical.index) == path
        assert list(critical["from_the_end"]) == list(range(1, len(path) + 1))
        lengths.append(len(path))
    assert max(lengths) >= 4
    assert (told["slack_seconds"] >= 0).all()


def test_blocks_and_parallel_steps(loaded: Loaded) -> None:
    manual = loaded.jobs[loaded.jobs["type"] == "manual"]
    told = loaded("block_steps")
    assert set(told["job_id"]) == set(manual[manual["unblocked_at"].notna() | (manual["state"] == "blocked")]["id"])
    assert (told["blocked_seconds"] >= 0).all()
    ran = loaded.scripts[(loaded.scripts["parallel_group_total"] > 1) & loaded.scripts["state"].isin(SETTLED[:2])]
    ran = ran[ran["retried"] != True].copy()  # noqa: E712
    ran["seconds"] = (ran["finished_at"] - ran["started_at"]).dt.total_seconds()
    seconds = ran.groupby(["build_id", "step_id"])["seconds"]
    wanted = (seconds.max() - seconds.mean())[seconds.count() > 1]
    steps = loaded("parallel_steps").set_index(["build_id", "step_id"])
    assert steps["uneven_seconds"].to_dict() == pytest.approx(wanted.to_dict(), abs=1e-6)


def test_the_step_that_the_demo_makes_slower_and_since_when(loaded: Loaded) -> None:
    """The demo's compiler takes 260 seconds instead of 160 from the middle of its days on (standin.cast)."""
    row = loaded("step_slowdowns").set_index("step").loc["compile"]
    runs = loaded.passed_runs()
    mine = runs[(runs["pipeline_slug"] == "engine") & (runs["step"] == "compile")]
    assert row["since_at"] == mine[mine["started_at"] >= NOW - timedelta(days=DAYS / 2)]["started_at"].min()
    recent = mine["started_at"] >= loaded.now - timedelta(days=7)
    assert row["recent_p50_seconds"] == pytest.approx(mine[recent]["seconds"].median())
    assert row["baseline_p50_seconds"] == pytest.approx(mine[~recent]["seconds"].median())


def test_hosts_against_the_median_of_their_steps(loaded: Loaded) -> None:
    runs = loaded.passed_runs()
    runs = runs[(runs["seconds"] > 0) & runs["agent_hostname"].notna()]
    usual = runs.groupby(["pipeline_slug", "step"])["seconds"].transform("median")
    wanted = (runs["seconds"] / usual).groupby(runs["agent_hostname"]).median()
    told = loaded("host_speeds").set_index("agent_hostname")
    assert told["run_p50_ratio"].to_dict() == pytest.approx(wanted.to_dict())
    assert told["jobs"].sum() == len(runs)


def test_timeouts_are_those_of_the_steps(loaded: Loaded) -> None:
    pipelines = loaded("pipelines")
    pipelines = pipelines[pipelines["_dlt_valid_to"].isna()]
    minutes = {
        (row["slug"], step["name"]): step["timeout_in_minutes"]
        for row in pipelines.to_dict("records")
        for step in json.loads(row["steps"] or "[]")
        if step["type"] == "script" and step["timeout_in_minutes"]
    }
    told = loaded("step_timeouts").set_index(["pipeline_slug", "step"])
    found = (told["timeout_seconds"] / 60).to_dict()
    mine = {step: limit for step, limit in minutes.items() if step in found}
    assert len(mine) > 10
    assert {step: found[step] for step in mine} == pytest.approx(mine)
    assert told["passed_jobs"].sum() == len(loaded.passed_runs())


def test_logs_are_counted_whole(loaded: Loaded) -> None:
    logs, groups = loaded("job_logs"), loaded("job_log_groups")
    assert len(loaded("build_log_lines")) == len(loaded("job_log_lines"))
    assert len(loaded("log_number_series")) == len(loaded("log_numbers"))
    sections = loaded("log_sections")
    assert sections["sections"].sum() == groups["duration_ms"].count()
    assert sections["total_seconds"].sum() == pytest.approx(groups["duration_ms"].sum() / 1000)
    assert sections.groupby("pipeline_slug")["time_share"].sum().to_numpy() == pytest.approx(1)
    sizes = loaded("log_sizes")
    assert sizes["log_bytes"].sum() == logs["bytes"].sum()
    assert (sizes["size_rank"] == 1).sum() == logs["pipeline_slug"].nunique()
    failed = set(loaded.jobs[loaded.jobs["state"].isin(("failed", "timed_out"))]["id"])
    of_failed = logs[logs["job_id"].isin(failed) & (logs["gone"] != True)]  # noqa: E712
    errors = loaded("error_messages")
    assert errors["jobs"].sum() == len(of_failed)
    assert errors[errors["error_class"].notna()]["jobs"].sum() == of_failed["error_line"].count()


def test_what_loads_cost_adds_up(loaded: Loaded) -> None:
    usage, runs = loaded("api_usage"), loaded("load_costs")
    assert len(runs) == 2
    assert runs["rows_read"].sum() == loaded("sync_runs")["rows"].sum()
    assert runs["graphql_points"].sum() == usage["points"].sum() > 0
    assert runs["rest_requests"].sum() + runs["graphql_requests"].sum() == usage["requests"].sum()
    tables = loaded("table_costs_daily")
    assert tables["requests"].sum() == usage["requests"].sum()
    assert tables["answer_bytes"].sum() == runs["answer_bytes"].sum() == usage["bytes"].sum()
    waits = loaded("retention_risks").set_index("table_name")
    assert waits.loc["job_logs", "waiting"] == waits.loc["job_logs", "selected"] - 60


def test_counts_agree_with_buildkites_and_the_deleted_build_is_a_ghost(loaded: Loaded) -> None:
    branches = loaded("branch_builds")
    assert branches["builds_loaded"].sum() == len(loaded.builds) - 1
    assert branches["builds_at_buildkite"].count() > 10
    assert (branches["difference"].dropna() == 0).all()
    assert loaded("build_number_gaps")["builds"].sum() == len(loaded.builds)
    ghosts = loaded("ghost_builds").set_index("build_id")
    assert list(ghosts[ghosts["kind"] == "gone"].index) == [loaded.deleted]
    assert set(loaded("orphan_jobs")["job_id"]) == set(
        loaded.jobs[~loaded.jobs["build_id"].isin(loaded.builds["id"])]["id"]
    )


def test_governance_has_who_is_there_and_what_changed(loaded: Loaded) -> None:
    changes = loaded("setting_changes")
    assert (changes["told_by"] == "audit log").sum() == len(loaded("audit_events")) > 0
    edited = changes[changes["what"] == "pipeline configuration"]
    assert list(edited["subject_name"]) == ["engine"]
    assert list(edited["value_after"]) == ["steps: []\n"]
    ranges = loaded("webhook_ip_changes").set_index("range")["change"]
    assert ranges.to_dict().pop("192.0.2.7/32") == "added"
    assert (ranges == "there before").sum() == len(ranges) - 1
    members = loaded("members")
    assert len(loaded("member_reviews")) == members["_dlt_valid_to"].isna().sum()
    used = loaded("agent_versions")
    assert used["agents_known"].sum() == loaded("agents")["version"].count()
    assert used["is_newest"].sum() == 1
    kinds = loaded("tokens")["kind"].value_counts().to_dict()
    agent_tokens = loaded("agent_tokens")
    assert kinds == {"api": len(loaded("api_access_tokens")), "agent": agent_tokens["revoked_at"].isna().sum()}
    activity = loaded("pipeline_activity")
    latest = pd.concat(
        [
            loaded("pipeline_latest_builds")[["pipeline_slug", "build_created_at"]],
            loaded.builds[["pipeline_slug", "created_at"]].rename(columns={"created_at": "build_created_at"}),
        ]
    )
    newest = latest.groupby("pipeline_slug")["build_created_at"].max().dropna()
    assert activity.set_index("pipeline_slug")["last_build_at"].dropna().to_dict() == newest.to_dict()
