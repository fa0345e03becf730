"""The stand-in's world: what lives in the demo, and that its rows agree with one another."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from statistics import fmean
from typing import Any

import orjson
import pytest

from buildkite_elt.standin.cast import SECRET
from buildkite_elt.standin.demo import NOW, TOKEN, demo, empty
from buildkite_elt.standin.work import ENDED
from buildkite_elt.standin.world import Organization, Row, World, public
from rules import assert_consistent, assert_counters_hold, when

BUILD_STATES = {
    *("creating", "scheduled", "running", "failing", "passed", "failed"),
    *("canceling", "canceled", "skipped", "not_run"),
}
JOB_STATES = {
    *("pending", "waiting", "waiting_failed", "blocked", "blocked_failed", "unblocked", "unblocked_failed"),
    *("scheduled", "assigned", "accepted", "running", "passed", "failed", "timed_out", "timing_out"),
    *("canceled", "canceling", "skipped", "broken", "expired", "limiting", "limited", "reserved"),
    *("platform_limiting", "platform_limited"),
}
"""All of api.md 4.3 and 4.4."""
NEVER = {
    "manual": {"web_url"},
    "artifact": {"glob_path", "original_path"},
}
"""Keys that the API itself says are always null."""


@pytest.fixture(scope="module")
def world() -> World:
    return demo(big=True)


@pytest.fixture(scope="module")
def acme(world: World) -> Organization:
    return world.organizations["acme-inc"]


def picture(world: World) -> bytes:
    """Everything that REST could tell, as bytes."""
    rows: list[Any] = []
    for here in world.organizations.values():
        for store in (here.pipelines, here.builds, here.agents, here.teams, here.queues):
            rows += map(public, store.values())
        rows += [*here.annotations.values()]
    return orjson.dumps(rows)


def test_the_same_seed_gives_the_same_world_and_the_same_future() -> None:
    one, two, other = (demo(seed, builds_per_day=8) for seed in (3, 3, 4))
    same = picture(one) == picture(two)
    assert same
    assert len(picture(one)) != len(picture(other))
    one.advance(86400)
    for _ in range(4):
        two.advance(6 * 3600)
    same = picture(one) == picture(two)
    assert same


def test_the_demo_is_as_large_as_it_should_be_and_quick() -> None:
    begin = time.process_time()
    here = demo().organizations["acme-inc"]
    assert time.process_time() - begin < 12
    assert 1000 <= len(here.builds) <= 1600
    assert 8000 <= sum(1 for _ in here.jobs()) <= 12000
    assert len(here.pipelines) == 24  # one was deleted


def test_every_state_is_there(acme: Organization) -> None:
    assert {build["state"] for build in acme.builds.values()} == BUILD_STATES
    assert {build["state"] for build in acme.builds.values() if build["blocked"]} == {"passed", "failed", "running"}
    jobs = [job for _, job in acme.jobs()]
    assert {job.get("_state") or job["state"] for job in jobs} == JOB_STATES
    assert {job["type"] for job in jobs} == {"script", "manual", "waiter", "trigger"}
    assert {"never_connected", "connected", "disconnected", "stopping", "stopped", "lost"} == {
        agent["connection_state"] for agent in acme.agents.values()
    }
    artifacts = [one["state"] for rows in acme.artifacts.values() for one in rows]
    assert set(artifacts) == {"new", "error", "finished", "deleted", "expired"}


def test_rows_agree_with_one_another_now_and_later() -> None:
    world = demo(5)
    here = world.organizations["acme-inc"]
    for days in (0, 0.01, 4):
        world.advance(days * 86400)
        assert_consistent(here)
        assert_counters_hold(here)


def test_numbers_are_dense(acme: Organization) -> None:
    numbers: dict[str, list[int]] = {}
    for build in acme.builds.values():
        numbers.setdefault(build["pipeline"]["id"], []).append(build["number"])
    for pipeline, found in numbers.items():
        assert found == list(range(1, len(found) + 1))
        assert acme.pipelines[pipeline]["_next_build_number"] == len(found) + 1


def unfilled(rows: Iterable[Row]) -> set[str]:
    """The public keys that say nothing in any of the rows."""
    found = [public(row) for row in rows]
    keys = set().union(*found)
    return {key for key in keys if all(row.get(key) in (None, "", [], {}) for row in found)}


def test_every_key_is_filled_somewhere(acme: Organization) -> None:
    stores: dict[str, Iterable[Row]] = {
        kind: [job for _, job in acme.jobs() if job["type"] == kind] for kind in ("script", "manual", "trigger")
    }
    stores |= {"pipeline": acme.pipelines.values(), "build": acme.builds.values(), "agent": acme.agents.values()}
    stores |= {"cluster": acme.clusters.values(), "queue": acme.queues.values(), "team": acme.teams.values()}
    stores |= {"token": acme.cluster_tokens.values(), "schedule": acme.schedules.values()}
    stores |= {"artifact": [one for rows in acme.artifacts.values() for one in rows]}
    stores |= {"annotation": [one for rows in acme.annotations.values() for one in rows]}
    for kind, rows in stores.items():
        assert unfilled(rows) == NEVER.get(kind, set()), kind


def test_the_demo_holds_what_is_rare(world: World, acme: Organization) -> None:
    builds, jobs = list(acme.builds.values()), [job for _, job in acme.jobs() if job["type"] == "script"]
    assert {type(build["author"]).__name__ for build in builds} == {"dict", "str", "NoneType"}
    assert any(build["creator"] is None for build in builds)
    requests = [build["pull_request"] for build in builds]
    assert None in requests
    assert {} in requests
    assert any(one and one["labels"] for one in requests)
    for key in ("merge_queue", "rebuilt_from", "triggered_from", "cancel_reason", "tag", "env", "failing_at"):
        assert any(build[key] for build in builds), key
    assert {build["source"] for build in builds} == {"webhook", "api", "ui", "trigger_job", "schedule"}
    own = Counter(key for build in builds for key in build["meta_data"] if key.startswith("run:"))
    assert len(own) > 900
    assert {job["signal_reason"] for job in jobs} == {
        *("agent_stop", "cancel", "process_run_error", "agent_refused", "signature_rejected", "stack_error"),
        *("agent_incompatible", None),
    }
    assert {-1, 0, 1, 137} <= {job["exit_status"] for job in jobs}
    assert {"automatic", "manual", None} == {job["retry_type"] for job in jobs}
    assert any(job["soft_failed"] for job in jobs)
    assert any(job["matrix"] for job in jobs)
    assert any(job["concurrency_wait_time_ms"] for job in jobs)
    assert any(job.get("promised_exit_status") for job in jobs)
    assert any(job["step"]["signature"] for job in jobs)
    assert max(len(build["jobs"]) for build in builds) == 4000
    late = [
        b for b in builds if b["finished_at"] and when(b["finished_at"]) - when(b["created_at"]) > timedelta(days=2)
    ]
    assert any(b["pipeline"]["slug"] == "soak" for b in late)
    assert any(job["retry_type"] == "manual" for b in late for job in b["jobs"] if job["type"] == "script")
    assert {one["provider"]["id"] for one in acme.pipelines.values()} >= {"github", "gitlab", "bitbucket", "origin"}
    assert acme.pipeline("catalogue") is None
    assert acme.pipeline("product-catalogue") is not None
    assert acme.pipeline("prototype") is None
    assert [one["key"] for one in acme.queues.values()].count("default") == 2
    unclustered = [job for job in jobs if job["cluster_id"] is None]
    assert {tuple(job["agent_query_rules"]) for job in unclustered} >= {("queue=legacy",), ()}
    assert {e["type"] for job in jobs for e in job["_events"]} >= {"LIMITED", "RETRIED", "AGENT_LOST", "EXPIRED"}


def test_waits_and_weeks_are_lifelike(acme: Organization) -> None:
    waits: dict[str, list[float]] = {}
    for _, job in acme.jobs():
        if job["type"] == "script" and job["started_at"] and job["_queue"]:
            wait = (when(job["started_at"]) - when(job["runnable_at"])).total_seconds()
            waits.setdefault(job["_queue"]["key"], []).append(wait)
    assert max(waits["gpu"]) > 1800
    assert sum(wait > 10 for wait in waits["default"]) > 20
    days = Counter(when(build["created_at"]).weekday() for build in acme.builds.values())
    assert days[5] + days[6] < days[2] / 2
    compile_times: dict[bool, list[float]] = {True: [], False: []}
    for _, job in acme.jobs():
        if job["type"] == "script" and job["step_key"] == "compile" and job["state"] == "passed":
            took = (when(job["finished_at"]) - when(job["started_at"])).total_seconds()
            compile_times[when(job["started_at"]) > NOW - timedelta(days=14)].append(took)
    assert fmean(compile_times[True]) > 1.3 * fmean(compile_times[False])
    red = [
        build
        for build in acme.builds.values()
        if build["pipeline"]["slug"] == "web" and build["branch"] == "main" and build["source"] != "trigger_job"
        if timedelta(hours=3) < when(build["created_at"]) - (NOW - timedelta(days=9)) < timedelta(hours=9)
    ]
    assert red
    assert all(build["failing_at"] or build["state"] not in ("passed", "failed") for build in red)
    metrics = {queue["key"]: queue["_metrics"] for queue in acme.queues.values()}
    assert metrics["soak"] is None
    assert when(metrics["default"]["timestamp"]) > NOW - timedelta(minutes=6)


def test_secrets_are_planted(acme: Organization) -> None:
    assert all(agent["access_token"].startswith("agent-secret-") for agent in acme.agents.values())
    assert all("webhook.buildkite.com" in one["provider"]["webhook_url"] for one in acme.pipelines.values())
    for rows in (acme.pipelines.values(), acme.builds.values(), acme.schedules.values()):
        assert any(SECRET in str(row["env"]) for row in rows)
    assert any(SECRET in str(job["_env"]) for _, job in acme.jobs() if job["type"] == "script")


def test_logs_are_made_of_markers_groups_and_errors(acme: Organization) -> None:
    jobs = {job["id"]: job for _, job in acme.jobs() if job["type"] == "script"}
    ended = {one for one, job in jobs.items() if job["started_at"] and job["state"] in ENDED}
    assert not ended ^ set(acme.logs)
    by_command = {jobs[one]["command"]: one for one in acme.logs}
    assert acme.logs[by_command["true"]]() == b""
    assert 800_000 < len(acme.logs[by_command["make verbose"]]()) < 2_000_000
    with pytest.raises(UnicodeDecodeError):
        acme.logs[by_command["cat core"]]().decode()
    failed = next(one for one in acme.logs if jobs[one]["state"] == "failed" and jobs[one]["exit_status"] == 2)
    text = acme.logs[failed]()
    assert text == acme.logs[failed]()
    stamps = [int(stamp) for stamp in re.findall(rb"\x1b_bk;t=(\d+)\x07", text)]
    assert stamps == sorted(stamps)
    begin, end = (when(jobs[failed][key]).timestamp() * 1000 for key in ("started_at", "finished_at"))
    assert begin - 1 <= stamps[0] <= stamps[-1] <= end
    assert b"The command exited with status 2" in text
    for part in (b"~~~ ", b"--- ", b"+++ ", b"\r\n", b"\x1b[K", b"%\rFetching"):
        assert part in text, part


def test_two_organizations_share_the_token_and_nothing_else() -> None:
    world = demo(organizations=("acme-inc", "beta"), builds_per_day=4)
    one, two = world.organizations.values()
    assert set(one.members) & set(two.members) == {world.tokens[TOKEN].user_id}
    assert not set(one.builds) & set(two.builds)
    assert 0 < len(two.builds) < len(one.builds)


def test_empty_is_empty() -> None:
    world = empty("acme")
    here = world.organizations["acme"]
    assert not here.pipelines
    assert not here.builds
    assert len(here.members) == 1
    assert list(world.tokens) == [TOKEN]
    assert re.fullmatch(r"bkua_\w{40}", TOKEN)
    assert "graphql" in world.tokens[TOKEN].scopes
