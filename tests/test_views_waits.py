"""The views of waits, agents and costs over the demo's world: their totals, worked out again from the raw tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from buildkite_ci.choice import Choice
from buildkite_elt import views
from buildkite_elt.standin import Standin
from buildkite_elt.standin.demo import demo
from conftest import ENOUGH
from lively import into

TABLES = (
    "builds",
    "agents",
    "cluster_queues",
    "pipelines",
    "team_pipelines",
    "queue_metrics",
    "job_details",
    "artifacts",
)
VIEWS = (
    "agent_activity",
    "agent_hours",
    "agent_losses_weekly",
    "artifact_sizes",
    "concurrency_groups",
    "concurrency_waits",
    "connected_agents",
    "costs_daily",
    "host_use_hourly",
    "job_costs",
    "queue_agents_needed",
    "queue_costs",
    "queue_depths",
    "queue_oldest_waits_hourly",
    "queue_use_hourly",
    "retry_costs_weekly",
    "team_costs_monthly",
    "wait_reasons_daily",
    "waiting_jobs",
    "wasted_costs_weekly",
)
PRICES = {"default": 0.25, "gpu": 3.0}
QUEUE = ["cluster_id", "queue_key"]


class Loaded:
    """The file's tables and views as frames."""

    def __init__(self, file: Path) -> None:
        self.connection = duckdb.connect(str(file))
        self.connection.execute("SET TimeZone = 'UTC'")

    def __call__(self, name: str) -> pd.DataFrame:
        frame: pd.DataFrame = self.connection.sql(f"FROM ci.{name}").to_arrow_table().to_pandas()
        return frame

    def now(self) -> pd.Timestamp:
        return pd.Timestamp(self("builds")["last_seen_at"].max())

    def scripts(self) -> pd.DataFrame:
        """Jobs that agents run, with their waits and times in seconds and their price, by pandas."""
        jobs = self("jobs")
        jobs = jobs[jobs["type"] == "script"].copy()
        jobs["wait"] = (jobs["started_at"] - jobs["runnable_at"]).dt.total_seconds()
        jobs["run"] = (jobs["finished_at"] - jobs["started_at"]).dt.total_seconds()
        jobs["usd"] = jobs["run"] / 3600 * jobs["queue_key"].map(PRICES)
        jobs["cluster_id"] = jobs["cluster_id"].fillna("")
        return jobs


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    folder = tmp_path_factory.mktemp("waits")
    file, prices = folder / "demo.duckdb", folder / "prices.csv"
    prices.write_text("queue_key,usd_per_hour\n" + "".join(f"{key},{usd}\n" for key, usd in PRICES.items()))
    choices = {"job_details": Choice(at_most=100), "artifacts": Choice(at_most=30)}
    with Standin(demo(days=16, pipelines=12, builds_per_day=12, organizations=("acme",)), budgets=ENOUGH) as standin:
        outcome = into(standin, file, *TABLES, choices=choices)
    assert not outcome.failed
    found = Loaded(file)
    named = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'ci'"
    there = [name for (name,) in found.connection.execute(named).fetchall()]
    failed = views.create(found.connection.execute, "ci", there, {"price_list": str(prices)})
    assert not failed.keys() & {*VIEWS}
    yield found
    found.connection.close()


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_has_rows_that_differ_in_its_grain(loaded: Loaded, view: str) -> None:
    rows = loaded(view)
    assert len(rows)
    assert not rows.duplicated().any()


def test_jobs_that_wait_are_those_that_no_agent_has(loaded: Loaded) -> None:
    jobs = loaded.scripts()
    waits = jobs["state"].isin(
        ["scheduled", "reserved", "limited", "limiting", "platform_limited", "platform_limiting"]
    )
    told = loaded("waiting_jobs")
    assert {*told["job_id"]} == {*jobs[waits]["id"]}
    assert (told[told["queue_key"] == "sparc"]["reason"] == "no agent in the queue").all()
    assert (told["queue_rank"] == 1).sum() == len(told[QUEUE].drop_duplicates())


def test_the_oldest_wait_of_all_hours_is_the_longest_wait(loaded: Loaded) -> None:
    jobs = loaded.scripts()
    ended = jobs["started_at"].fillna(jobs["finished_at"]).fillna(loaded.now())
    jobs["waited"] = (ended - jobs["runnable_at"]).dt.total_seconds()
    longest = jobs[jobs["waited"] >= 0].groupby(QUEUE)["waited"].max()
    told = loaded("queue_oldest_waits_hourly").fillna({"cluster_id": ""})
    pd.testing.assert_series_equal(
        told.groupby(QUEUE)["oldest_wait_seconds"].max(), longest, check_names=False, atol=1e-3
    )


def test_the_reasons_of_waits_add_up_to_the_waits(loaded: Loaded) -> None:
    jobs = loaded.scripts()
    jobs = jobs[jobs["wait"] >= 0]
    told = loaded("wait_reasons_daily")
    assert told["jobs"].sum() == len(jobs)
    assert (told["agent_seconds"] + told["paused_seconds"]).sum() == pytest.approx(jobs["wait"].sum())
    assert told["concurrency_seconds"].sum() == pytest.approx(jobs["concurrency_wait_time_ms"].sum() / 1000)
    before = (jobs["runnable_at"] - jobs["created_at"]).dt.total_seconds().clip(lower=0)
    assert (told["dependency_seconds"] + told["concurrency_seconds"]).sum() == pytest.approx(before.sum(), rel=1e-3)


def test_concurrency_groups_have_the_waits_of_their_jobs(loaded: Loaded) -> None:
    jobs = loaded("job_details").merge(loaded.scripts(), on="id").dropna(subset=["concurrency_group"])
    assert jobs["concurrency_wait_time_ms"].sum() > 0
    told = loaded("concurrency_groups").set_index("concurrency_group")
    waits = jobs.groupby("concurrency_group")["concurrency_wait_time_ms"].sum() / 1000
    assert told["concurrency_seconds"].to_dict() == pytest.approx(waits.to_dict())
    assert len(loaded("concurrency_waits")) == jobs["started_at"].notna().sum()


def test_agents_are_busy_for_as_long_as_their_jobs_ran(loaded: Loaded) -> None:
    jobs = loaded.scripts()
    jobs = jobs[jobs["agent_id"].notna() & jobs["started_at"].notna()]
    began = max(jobs["started_at"].min(), loaded.now() - pd.Timedelta(days=30))
    ran = jobs["finished_at"].fillna(loaded.now()) - jobs["started_at"].clip(lower=began)
    told = loaded("agent_hours")
    assert told["busy_seconds"].sum() == pytest.approx(ran.dt.total_seconds().clip(lower=0).sum())
    assert (told["connected_seconds"] <= 3600).all()
    assert (told["busy_seconds"] <= told["connected_seconds"] + 1e-6).all()
    assert not told.duplicated(["agent_id", "hour"]).any()
    for view, columns in (
        ("host_use_hourly", ("connected_seconds", "busy_seconds", "idle_seconds")),
        ("queue_use_hourly", ("connected_agents", "busy_agents", "idle_agents")),
        ("queue_costs", ("connected_hours", "busy_hours", "idle_hours")),
    ):
        unit = 1 if view == "host_use_hourly" else 3600
        for column, of in zip(columns, ("connected_seconds", "busy_seconds", "idle_seconds"), strict=True):
            assert loaded(view)[column].sum() * unit == pytest.approx(told[of].sum())


def test_idle_dollars_are_idle_hours_at_the_price(loaded: Loaded) -> None:
    told = loaded("queue_costs")
    wanted = told["idle_hours"] * told["queue_key"].map(PRICES)
    pd.testing.assert_series_equal(told["idle_usd"], wanted, check_names=False)
    assert told["idle_usd"].isna().any()
    assert loaded("queue_use_hourly")["idle_usd"].sum() == pytest.approx(wanted.sum())


def test_agents_needed_is_the_most_jobs_that_would_run_at_once(loaded: Loaded) -> None:
    jobs = loaded.scripts()
    jobs = jobs[(jobs["wait"] >= 0) & (jobs["run"] >= 0)]
    told = loaded("queue_agents_needed").fillna({"cluster_id": ""})
    assert told["jobs"].sum() == len(jobs)
    for queue, of in jobs.groupby(QUEUE):
        starts = of["runnable_at"]
        ends = starts + (of["finished_at"] - of["started_at"])
        most = max(int(((starts <= moment) & (ends > moment)).sum()) for moment in starts)
        needed = told[(told["cluster_id"] == queue[0]) & (told["queue_key"] == queue[1])]
        assert needed["agents_max"].max() == most


def test_agents_have_their_jobs_and_their_losses(loaded: Loaded) -> None:
    jobs = loaded.scripts()
    jobs = jobs[jobs["started_at"].notna() & jobs["agent_id"].notna()]
    lost = (jobs["exit_status"] == -1) & jobs["signal_reason"].isna()
    assert lost.sum() > 0
    losses, activity = loaded("agent_losses_weekly"), loaded("agent_activity")
    assert losses["jobs"].sum() == activity["jobs"].sum() == len(jobs)
    assert losses["lost_jobs"].sum() == activity["lost_jobs"].sum() == lost.sum()
    assert losses["lost_run_seconds"].sum() == pytest.approx(jobs[lost]["run"].sum())
    assert len(activity) == len(loaded("agents"))
    assert activity["is_connected"].sum() == (loaded("agents")["connection_state"] == "connected").sum()


def test_every_way_to_add_up_the_costs_comes_to_the_same(loaded: Loaded) -> None:
    jobs = loaded.scripts()
    jobs = jobs[jobs["run"] >= 0]
    usd, seconds = jobs["usd"].sum(), jobs["run"].sum()
    assert usd > 0
    assert jobs["usd"].isna().any()
    for view in ("costs_daily", "retry_costs_weekly", "wasted_costs_weekly"):
        told = loaded(view)
        assert told["cost_usd"].sum() == pytest.approx(usd)
        assert told["run_seconds"].sum() == pytest.approx(seconds)
        assert told["jobs"].sum() == len(jobs)
    for view in ("costs_daily", "wasted_costs_weekly"):
        assert loaded(view)["unpriced_jobs"].sum() == jobs["usd"].isna().sum()
    assert loaded("team_costs_monthly")["shared_cost_usd"].sum() == pytest.approx(usd)
    retried = jobs[jobs["retried"].fillna(False).astype(bool)]
    assert len(retried)
    assert loaded("retry_costs_weekly")["lost_usd"].sum() == pytest.approx(retried["usd"].sum())
    assert loaded("retry_costs_weekly")["lost_seconds"].sum() == pytest.approx(retried["run"].sum())


def test_the_fates_of_builds_are_of_all_builds(loaded: Loaded) -> None:
    builds, told = loaded("builds"), loaded("wasted_costs_weekly").groupby("fate")["builds"].sum()
    assert told.sum() == len(builds)
    assert told["canceled"] == builds["state"].isin(["canceled", "canceling"]).sum()
    assert told["skipped"] == (builds["state"] == "skipped").sum()


def test_artifacts_have_their_bytes_and_queues_their_readings(loaded: Loaded) -> None:
    artifacts, told = loaded("artifacts"), loaded("artifact_sizes")
    kept = artifacts[(artifacts["state"] == "finished") & artifacts["gone_at"].isna()]
    assert told["size_bytes"].sum() == kept["file_size"].sum() > 0
    assert told["artifacts"].sum() == len(kept)
    depths, metrics = loaded("queue_depths"), loaded("queue_metrics")
    assert depths["readings"].sum() == len(metrics)
    assert (depths["running_jobs"] * depths["readings"]).sum() == metrics["running_jobs_count"].sum()
