"""The jobs of queues in a time frame, how deep queues are, and who holds and awaits a concurrency group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from buildkite_ci.choice import Choice
from buildkite_ci.times import instant
from buildkite_elt.cli import app
from buildkite_elt.standin import Organization, Standin, World
from buildkite_elt.standin.demo import empty
from buildkite_elt.standin.life import Life
from faults import PLENTY
from lively import Row, ask, differ, eventful, into

BEGIN = datetime(2026, 10, 1, 9, 0, tzinfo=UTC)
END = datetime(2026, 10, 1, 18, 0, tzinfo=UTC)
HANG = {"outcome": "hang"}


def busy() -> Life:
    """The eventful world with a second cluster that has a queue `default` as well, and unclustered queues `default` and
    `legacy`; in each of them a job runs and one waits."""
    life = eventful()
    mac = life.cluster("Mac")
    life.agent(next(one for one in life.organization.queues.values() if one["_cluster"] is mac))
    life.agent("default")
    life.agent("legacy")
    ios = life.pipeline("ios", cluster=mac)
    life.world.advance(30)
    life.build(ios, plan=[HANG, HANG])
    life.build("site", plan=[HANG | {"queue": "legacy"}, {"queue": "legacy"}])
    life.build("site", plan=[HANG, {}])
    life.world.advance(30)
    return life


def queue_of(job: Row) -> Row:
    """What a row says of its queue; a job that names none is of `default`."""
    if job["cluster_id"]:
        queue = job["_queue"]
        return {"queue_id": queue["id"], "queue_key": queue["key"], "cluster_id": job["cluster_id"]}
    key = next((rule[6:] for rule in job["agent_query_rules"] if rule.startswith("queue=")), "default")
    return {"queue_id": f"queue={key}", "queue_key": key, "cluster_id": None}


SAME = (
    *("id", "name", "step_key", "state", "soft_failed", "exit_status", "signal", "signal_reason", "broken_reason"),
    *("command", "agent_query_rules", "web_url", "created_at", "scheduled_at", "runnable_at", "started_at"),
    *("finished_at", "expired_at", "retried", "retries_count", "parallel_group_index", "parallel_group_total"),
)
"""Columns that jobs has as well: REST and GraphQL say the same, in the same words."""


def queue_jobs(organization: Organization, begin: datetime = BEGIN, end: datetime = END) -> Iterator[Row]:
    for build, job in organization.jobs():
        if job["type"] == "script" and begin <= instant(job["created_at"]) < end:
            yield {
                **{name: job[name] for name in SAME},
                **queue_of(job),
                "pipeline_id": build["pipeline"]["id"],
                "pipeline_slug": build["pipeline"]["slug"],
                "build_id": build["id"],
                "build_number": build["number"],
                "agent_id": job["agent"] and job["agent"]["id"],
                "canceled_at": job["_canceled_at"],
            }


@pytest.fixture(scope="module")
def scene() -> Iterator[tuple[Life, Standin]]:
    """It stands still: what a test changes it puts back."""
    life = busy()
    with Standin(life.world, budgets=PLENTY) as standin:
        yield life, standin


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "buildkite.duckdb"


def load(standin: Standin, file: Path, *queues: str, begin: datetime = BEGIN, end: datetime | None = END) -> None:
    chosen = {"queue_jobs": Choice(queues=queues, since=begin, until=end)}
    outcome = into(standin, file, "queue_jobs", choices=chosen)
    assert (outcome.skipped, outcome.failed, outcome.waiting) == ({}, {}, {})


# The jobs of queues


def test_all_jobs_of_all_queues_without_loading_builds(scene: tuple[Life, Standin], file: Path) -> None:
    life, standin = scene
    standin.clear()
    for _ in range(2):
        load(standin, file)
        assert differ(file, "queue_jobs", queue_jobs(life.organization)) == []
    assert {seen.api for seen in standin.seen} == {"graphql"}
    queues = ask(file, "SELECT queue_key, count(DISTINCT queue_id) FROM ci.queue_jobs GROUP BY 1 ORDER BY 1")
    assert queues == [("default", 3), ("legacy", 1), ("pods", 1)]
    assert ask(file, "SELECT count(*) - count(DISTINCT id) FROM ci.queue_jobs") == [(0,)]
    assert ask(file, "SELECT count(more) FROM ci.queue_jobs") == [(0,)]


def test_one_queue_several_or_those_of_a_key(scene: tuple[Life, Standin], file: Path) -> None:
    """A key is that of queues in several clusters and of an unclustered one; a UUID is one queue's."""
    life, standin = scene
    every = list(queue_jobs(life.organization))
    pods = next(one["id"] for one in life.organization.queues.values() if one["key"] == "pods")
    for n, (queues, keys) in enumerate(
        ((("default",), {"default"}), (("legacy", "pods"), {"legacy", "pods"}), ((pods,), {"pods"}))
    ):
        own = file.with_stem(f"file{n}")
        load(standin, own, *queues)
        wanted = [row for row in every if row["queue_key"] in keys]
        assert wanted
        assert differ(own, "queue_jobs", wanted) == []


def test_the_frame_holds_its_begin_and_not_its_end(scene: tuple[Life, Standin], file: Path) -> None:
    life, standin = scene
    times = sorted({instant(job["created_at"]) for _, job in life.organization.jobs() if job["type"] == "script"})
    begin, end = times[1], times[-2]
    load(standin, file, begin=begin, end=end)
    wanted = list(queue_jobs(life.organization, begin, end))
    assert differ(file, "queue_jobs", wanted) == []
    created = {instant(row["created_at"]) for row in wanted}
    assert (begin in created, end in created) == (True, False)
    assert ask(file, "SELECT min(created_at) = ?, max(created_at) < ? FROM ci.queue_jobs", begin, end) == [(True, True)]


HEAVY: dict[str, tuple[Row, bool]] = {
    "smaller pages": ({"heavy_page": 25}, False),
    "narrower windows": ({"heavy": timedelta(hours=1)}, False),
    "both": ({"heavy": timedelta(hours=1), "heavy_page": 50}, False),
    "pipeline by pipeline": ({"heavy": timedelta(minutes=1)}, True),
}
"""What the stand-in finds too much, and whether that leads to each pipeline."""


@pytest.mark.parametrize("how", HEAVY)
def test_what_is_too_heavy_is_asked_for_otherwise(scene: tuple[Life, Standin], file: Path, how: str) -> None:
    """504 for a page, or for a window: smaller ones, then each pipeline by itself; the rows are the same."""
    life, _ = scene
    budgets, by_pipeline = HEAVY[how]
    begin, end = BEGIN, BEGIN + timedelta(hours=5)
    if by_pipeline:
        end = BEGIN + timedelta(hours=1)  # enough, and few windows
    with Standin(life.world, budgets=replace(PLENTY, **budgets)) as standin:
        load(standin, file, begin=begin, end=end)
        documents = [seen.document or "" for seen in standin.seen]
    assert any(seen.status == 504 for seen in standin.seen)
    assert any("query PipelineJobs" in text for text in documents) is by_pipeline
    wanted = list(queue_jobs(life.organization, begin, end))
    assert differ(file, "queue_jobs", wanted) == []
    assert len(wanted) > 10


def test_they_join_and_agree_with_jobs(scene: tuple[Life, Standin], file: Path) -> None:
    life, standin = scene
    load(standin, file)
    assert into(standin, file, "builds").exit_code == 0
    columns = [name for name in SAME if name not in ("id", "agent_query_rules")]
    other = " + ".join(f"count_if(q.{name} IS DISTINCT FROM j.{name})" for name in (*columns, "queue_key", "agent_id"))
    [(count, differences)] = ask(file, f"SELECT count(*), {other} FROM ci.queue_jobs q JOIN ci.jobs j USING (id)")
    assert (count, differences) == (len(list(queue_jobs(life.organization))), 0)
    assert ask(file, "SELECT count(*) FROM ci.queue_jobs q ANTI JOIN ci.builds b ON b.id = q.build_id") == [(0,)]


def test_what_went_on_is_right_after_the_next_load(file: Path) -> None:
    life = busy()
    with Standin(life.world, budgets=PLENTY) as standin:
        load(standin, file)
        life.cancel(next(one for one in life.organization.builds.values() if one["pipeline"]["slug"] == "ios"))
        life.build("site", plan=[{"queue": None}])
        life.world.advance(3600)
        load(standin, file)
        assert differ(file, "queue_jobs", queue_jobs(life.organization)) == []


def test_the_command_takes_queue_since_and_until(
    scene: tuple[Life, Standin], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life, standin = scene
    told = {"API_TOKEN": standin.token, "REST_URL": standin.rest_url, "GRAPHQL_URL": standin.graphql_url}
    for name, value in told.items():
        monkeypatch.setenv(f"BUILDKITE_{name}", value)
    frame = ("--since", "2026-10-01T10:00:00Z", "--until", "2026-10-01T13:41:00Z")
    words = ["load", "queue_jobs", "-o", "acme", "-d", str(file), "--queue", "default", "--queue", "legacy", *frame]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    begin, end = (datetime.fromisoformat(frame[at].replace("Z", "+00:00")) for at in (1, 3))
    wanted = [row for row in queue_jobs(life.organization, begin, end) if row["queue_key"] in ("default", "legacy")]
    assert wanted
    assert differ(file, "queue_jobs", wanted) == []


# How deep they are

RUNNING = {"assigned", "accepted", "running", "canceling", "timing_out"}


def jobs_of(organization: Organization, queue_id: str) -> list[Row]:
    return [j for _, j in organization.jobs() if j["type"] == "script" and queue_of(j)["queue_id"] == queue_id]


def depth(organization: Organization, queue_id: str, key: str, cluster: str | None, paused: bool | None) -> Row:
    """The queue as it is now."""
    jobs = jobs_of(organization, queue_id)
    agents = [one for one in organization.agents.values() if one["connection_state"] in ("connected", "stopping")]
    own = [one for one in agents if (one["_cluster_queue"] or {}).get("id", f"queue={one['_pool'].key}") == queue_id]
    return {
        "queue_id": queue_id,
        "queue_key": key,
        "cluster_id": cluster,
        "dispatch_paused": paused,
        "waiting_jobs_count": sum(job["state"] == "scheduled" and job["_state"] is None for job in jobs),
        "running_jobs_count": sum(job["state"] in RUNNING for job in jobs),
        "connected_agents_count": len(own),
    }


SPREAD = ("min", "max", "p50", "p95")
UNKNOWN = ("jobs_passed_count", "jobs_failed_count", *(f"wait_seconds_{name}" for name in SPREAD))


def queue_metrics(world: World, measured: bool) -> list[Row]:
    """Every queue, clustered ones as Buildkite measures them or by counts, at the minute that is now."""
    acme = world.organizations["acme"]
    rows = [depth(acme, q["id"], q["key"], q["_cluster"]["id"], q["dispatch_paused"]) for q in acme.queues.values()]
    for row in rows:
        row |= {"source": "metrics"} if measured else {"source": "counts", **dict.fromkeys(UNKNOWN)}
        row |= {} if measured else {"dispatch_paused": None}
    rows += [
        depth(acme, f"queue={key}", key, None, None) | {"source": "counts", **dict.fromkeys(UNKNOWN)}
        for key in ("default", "legacy")
    ]
    minute = world.now().replace(second=0, microsecond=0)
    for row in rows:
        row["timestamp"] = minute
        if row["source"] == "metrics":
            ended = [j for j in jobs_of(acme, row["queue_id"]) if j["finished_at"]]
            last = [j["state"] for j in ended if minute - timedelta(minutes=1) < instant(j["finished_at"]) <= minute]
            row |= {"jobs_passed_count": last.count("passed"), "jobs_failed_count": last.count("failed")}
            row |= dict(
                zip((f"wait_seconds_{name}" for name in SPREAD), waits(acme, row["queue_id"], minute), strict=True)
            )
    return rows


def waits(organization: Organization, queue_id: str, now: datetime) -> list[float]:
    """Shortest, longest, median and 95th percentile of what waits; at most one job does in each queue here."""
    jobs = [job for job in jobs_of(organization, queue_id) if job["state"] == "scheduled" and job["_state"] is None]
    assert len(jobs) <= 1
    return [(now - instant(jobs[0]["runnable_at"])).total_seconds() if jobs else 0.0] * 4


@pytest.mark.parametrize("measured", [True, False])
def test_the_depth_of_queues_is_a_series_of_minutes(file: Path, measured: bool) -> None:
    """Measured by Buildkite, or (where that is not bought) by counts: the unclustered ones always so."""
    life = busy()
    life.world.advance(60 - life.world.now().second)
    for queue in life.organization.queues.values():
        queue["_metrics"] = {} if measured else None
    life.pause_queue(next(iter(life.organization.queues.values())))
    with Standin(life.world, budgets=PLENTY) as standin:
        assert into(standin, file, "builds", "queue_metrics").exit_code == 0
        assert into(standin, file, "queue_metrics").exit_code == 0
        first = queue_metrics(life.world, measured)
        assert differ(file, "queue_metrics", first) == []
        life.world.advance(20)
        assert into(standin, file, "queue_metrics").exit_code == 0
        assert ask(file, "SELECT count(*) FROM ci.queue_metrics") == [(len(first),)]
        life.cancel(next(one for one in life.organization.builds.values() if one["pipeline"]["slug"] == "ios"))
        life.world.advance(40)
        assert into(standin, file, "queue_metrics").exit_code == 0
        assert differ(file, "queue_metrics", [*first, *queue_metrics(life.world, measured)]) == []


# Concurrency groups


def test_who_holds_a_group_and_who_waits_in_which_order(file: Path) -> None:
    life = Life(empty(), "acme")
    site = life.pipeline("site")
    ship = {"name": "Ship", "concurrency": ("ship", 2), "outcome": "hang"}
    jobs = []
    for n in range(5):
        jobs.append(life.build(site, plan=[ship])["jobs"][0])
        life.build(site, plan=[ship | {"concurrency": (f"other {n}", 1)}])
        life.world.advance(60)
    chosen = {"concurrency_group_jobs": Choice(groups=("ship", "of nobody"))}
    where = "FROM ci.concurrency_group_jobs WHERE observed_at = ? ORDER BY position NULLS FIRST, created_at"
    with Standin(life.world, budgets=PLENTY) as standin:
        assert into(standin, file, "concurrency_group_jobs", choices=chosen).exit_code == 0
        assert differ(file, "concurrency_group_jobs", group(life.organization, "ship", [None, None, 1, 2, 3])) == []
        before, now = life.world.now(), ask(file, "SELECT DISTINCT observed_at FROM ci.concurrency_group_jobs")
        assert now == [(before,)]
        life.finish_job(jobs[0])
        life.world.advance(60)
        assert into(standin, file, "concurrency_group_jobs", choices=chosen).exit_code == 0
        seen = ask(file, f"SELECT job_id, state, position {where}", life.world.now())
        assert seen == [
            (jobs[1]["id"], "RUNNING", None),
            (jobs[2]["id"], "RUNNING", None),
            (jobs[3]["id"], "LIMITED", 1),
            (jobs[4]["id"], "LIMITED", 2),
        ]
        assert ask(file, f"SELECT job_id, position {where}", before)[2:] == [
            (jobs[2]["id"], 1),
            (jobs[3]["id"], 2),
            (jobs[4]["id"], 3),
        ]
        assert {row[0] for row in ask(file, "SELECT concurrency_group FROM ci.concurrency_group_jobs")} == {"ship"}


def group(organization: Organization, name: str, positions: list[int | None]) -> Iterator[Row]:
    """The open jobs of a group in the order of their making."""
    jobs = [(b, j) for b, j in organization.jobs() if j["_concurrency"]["group"] == name and not j["finished_at"]]
    for (build, job), position in zip(jobs, positions, strict=True):
        yield {
            "concurrency_group": name,
            "job_id": job["id"],
            "job_name": job["name"],
            "state": (job["_state"] or job["state"]).upper(),
            "position": position,
            "concurrency_limit": job["_concurrency"]["limit"],
            "build_id": build["id"],
            "build_number": build["number"],
            "pipeline_id": build["pipeline"]["id"],
            "pipeline_slug": build["pipeline"]["slug"],
            **{at: job[at] for at in ("created_at", "runnable_at", "started_at")},
        }


def test_groups_are_known_from_loaded_jobs(file: Path) -> None:
    life = eventful()
    with Standin(life.world, budgets=PLENTY) as standin:
        assert into(standin, file, "builds", "job_details").exit_code == 0
        assert into(standin, file, "concurrency_group_jobs").exit_code == 0
    found = ask(
        file, "SELECT concurrency_group, state, count(*) FROM ci.concurrency_group_jobs GROUP BY ALL ORDER BY 2"
    )
    assert found == [("ship", "LIMITED", 2), ("ship", "RUNNING", 1)]
