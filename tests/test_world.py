"""The stand-in's world: what lives in it, that it lives on, and that its rows agree with one another."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any

import orjson
import pytest

from buildkite_elt.standin.cast import SECRET
from buildkite_elt.standin.course import settled
from buildkite_elt.standin.demo import NOW, TOKEN, demo, empty
from buildkite_elt.standin.life import Life
from buildkite_elt.standin.plan import Step
from buildkite_elt.standin.work import BUILDS_COUNTED, COUNTED, ENDED
from buildkite_elt.standin.world import Organization, Row, World, public

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


@pytest.fixture
def life() -> Life:
    return Life(empty())


def when(text: str | None) -> datetime:
    assert text is not None
    return datetime.fromisoformat(text)


def picture(world: World) -> bytes:
    """Everything that REST could tell, as bytes."""
    rows: list[Any] = []
    for here in world.organizations.values():
        for store in (here.pipelines, here.builds, here.agents, here.teams, here.queues):
            rows += map(public, store.values())
        rows += [*here.annotations.values()]
    return orjson.dumps(rows)


def counted(here: Organization) -> dict[str, Counter[str]]:
    """The pipelines' counters, counted anew from builds and jobs."""
    found: dict[str, Counter[str]] = {slug: Counter() for slug in (one["slug"] for one in here.pipelines.values())}
    for build in here.builds.values():
        counts = found[build["pipeline"]["slug"]]
        if not build["blocked"]:
            counts[BUILDS_COUNTED.get(build["state"], "")] += 1
        counts.update(COUNTED.get(job["state"], "") for job in build["jobs"] if job["type"] == "script")
    return found


def assert_counters_hold(here: Organization) -> None:
    for slug, counts in counted(here).items():
        pipeline = here.pipeline(slug)
        assert pipeline is not None
        for key in {*COUNTED.values(), *BUILDS_COUNTED.values()}:
            assert pipeline[key] == counts[key], (slug, key)


def assert_consistent(here: Organization) -> None:
    """What must hold of every build at every moment."""
    created = [build["created_at"] for build in here.builds.values()]
    assert created == sorted(created)
    for build in here.builds.values():
        scripts = [job for job in build["jobs"] if job["type"] == "script"]
        assert (build["finished_at"] is not None) == (settled(build) or build["blocked"]), build["state"]
        if settled(build):
            assert all(job["state"] in ENDED or job["state"].endswith("_failed") for job in scripts)
        bad = [
            job
            for job in build["jobs"]
            if job["type"] in ("script", "trigger")
            and not job.get("retried")
            and not job.get("soft_failed")
            and job["state"] in ("failed", "timed_out", "expired", "canceled")
        ]
        if build["state"] in ("passed", "failed") and not build["blocked"]:
            assert bool(bad) == (build["state"] == "failed"), (build["number"], build["message"])
        for job in scripts:
            assert_job(job, build)


def assert_job(job: Row, build: Row) -> None:
    assert (job["finished_at"] is not None) == (job["state"] in ENDED)
    assert job["retried"] == (job["retried_in_job_id"] is not None)
    if job["state"] in ("passed", "failed"):
        assert job["agent"] is not None
        assert job["exit_status"] is not None
        times = [when(job[key]) for key in ("created_at", "runnable_at", "started_at", "finished_at")]
        assert times == sorted(times)
    if job["state"] in ("broken", "skipped", "expired"):
        assert job["started_at"] is None
    if job["retry_source"]:
        old = next(one for one in build["jobs"] if one["id"] == job["retry_source"]["job_id"])
        assert old["retried_in_job_id"] == job["id"]
        assert old["retry_type"] == job["retry_source"]["retry_type"]
        assert (old["retried_by"] is not None) == (old["retry_type"] == "manual")
        assert job["retries_count"] == (old["retries_count"] or 0) + 1


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
    begin = time.perf_counter()
    here = demo().organizations["acme-inc"]
    assert time.perf_counter() - begin < 4
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


def test_time_brings_news() -> None:
    world = demo(9)
    here = world.organizations["acme-inc"]
    before, opened = len(here.builds), [b for b in here.builds.values() if b["state"] in ("running", "failing")]
    retried = next(b for b in here.builds.values() if b["message"] == "Late luck" and b["state"] == "failed")
    world.advance(timedelta(days=3))
    assert len(here.builds) > before + 20
    assert all(settled(build) for build in opened if build["pipeline"]["slug"] != "soak" and not build["blocked"])
    assert retried["state"] == "passed"
    assert when(retried["finished_at"]) > NOW + timedelta(days=1)
    world.advance(timedelta(days=3))
    assert all(settled(build) for build in opened if not build["blocked"])


# One act at a time, in an empty world


def test_a_build_follows_its_jobs(life: Life) -> None:
    build = life.build(life.pipeline("web"), jobs=3, takes=300)
    assert (build["state"], build["finished_at"]) == ("scheduled", None)
    life.world.advance(10)
    assert (build["state"], build["pipeline"]["running_jobs_count"]) == ("running", 3)
    assert all(agent["job"]["state"] == "running" for agent in life.organization.agents.values())
    life.world.advance(300)
    assert build["state"] == "passed"
    assert build["finished_at"] == max(job["finished_at"] for job in build["jobs"])
    assert all(agent["job"] is None for agent in life.organization.agents.values())
    assert_consistent(life.organization)
    assert_counters_hold(life.organization)


def test_a_build_can_be_started_and_ended_by_hand(life: Life) -> None:
    pipeline = life.pipeline("web")
    build = life.build(pipeline, state="scheduled")
    life.start(build)
    assert (build["state"], {job["state"] for job in build["jobs"]}) == ("running", {"running"})
    life.world.advance(timedelta(days=2))
    assert build["state"] == "running"
    life.finish(build, "failed")
    assert [job["state"] for job in build["jobs"]] == ["passed", "passed", "failed"]
    assert (build["state"], when(build["finished_at"])) == ("failed", life.world.now())
    with pytest.raises(ValueError, match="has ended"):
        life.finish(build)
    plan = [Step(name="A"), Step(type="waiter"), Step(name="B"), Step(type="manual"), Step(name="C")]
    staged = life.build(pipeline, plan=plan)
    life.finish_job(staged["jobs"][0], "out_of_memory", signal_reason="agent_stop")
    assert (staged["state"], staged["jobs"][0]["exit_status"]) == ("failed", 137)
    other = life.build(pipeline, plan=plan)
    life.finish(other)
    assert [job["state"] for job in other["jobs"]] == ["passed", "passed", "passed", "unblocked", "passed"]
    life.cancel_job(life.build(pipeline, takes=60)["jobs"][0])
    life.world.advance(100)
    assert list(life.organization.builds.values())[-1]["state"] == "failed"
    assert_counters_hold(life.organization)


@pytest.mark.parametrize("state", ["passed", "failed", "canceled", "blocked", "skipped", "not_run"])
def test_a_build_becomes_what_was_asked(life: Life, state: str) -> None:
    build = life.build(life.pipeline("web"), takes=60, state=state)
    life.world.advance(120)
    if state == "blocked":
        assert (build["state"], build["blocked"], build["blocked_state"]) == ("passed", True, "passed")
    else:
        assert (build["state"], build["blocked"]) == (state, False)
    assert build["finished_at"] is not None
    assert_counters_hold(life.organization)


def test_a_retry_days_later_reopens_and_rewrites_the_end(life: Life) -> None:
    build = life.build(life.pipeline("web"), takes=60, state="failed")
    life.world.advance(120)
    first, failing = build["finished_at"], build["failing_at"]
    assert build["state"] == "failed"
    life.world.advance(timedelta(days=3))
    old = next(job for job in build["jobs"] if job["state"] == "failed")
    by = life.user("Rita Retry")
    new = life.retry(build, old, by)
    assert (build["state"], build["finished_at"], build["failing_at"]) == ("running", None, failing)
    assert (old["retried"], old["retried_in_job_id"], old["retry_type"], old["retried_by"]) == (
        *(True, new["id"], "manual", by),
    )
    assert new["retry_source"] == {"job_id": old["id"], "retry_type": "manual"}
    assert (new["retries_count"], new["retry_type"], new["scheduled_at"]) == (1, None, old["scheduled_at"])
    life.world.advance(120)
    assert (build["state"], old["state"], new["state"]) == ("passed", "failed", "passed")
    assert when(build["finished_at"]) > when(first) + timedelta(days=3)
    with pytest.raises(ValueError, match="cannot be retried"):
        life.retry(build, old)
    assert_consistent(life.organization)
    assert_counters_hold(life.organization)


def test_what_failed_with_it_waits_again_when_a_job_is_retried(life: Life) -> None:
    plan: list[Any] = [
        {"name": "Test", "outcome": "failed,passed", "takes": 10},
        {"type": "waiter"},
        {"name": "Ship", "takes": 10},
    ]
    build = life.build(life.pipeline("web"), plan=plan)
    life.world.advance(60)
    test, wait, ship = build["jobs"]
    assert (build["state"], wait["state"], ship["state"]) == ("failed", "waiting_failed", "waiting_failed")
    life.retry(build, test)
    life.world.advance(60)
    assert (build["state"], wait["state"], ship["state"]) == ("passed", "passed", "passed")
    assert_counters_hold(life.organization)


def test_automatic_retries_stop_at_their_limit(life: Life) -> None:
    build = life.build(life.pipeline("web"), plan=[Step(name="Flaky", outcome="failed", retry=2, takes=5)])
    life.world.advance(120)
    assert [job["retries_count"] for job in build["jobs"]] == [None, 1, 2]
    assert [job["retry_type"] for job in build["jobs"]] == ["automatic", "automatic", None]
    assert build["state"] == "failed"


def test_a_blocked_build_goes_on_when_somebody_unblocks_it(life: Life) -> None:
    plan = [
        Step(name="Test", takes=5),
        Step(type="manual", name="Go?", blocked_state="failed"),
        Step(name="Ship", takes=5),
    ]
    build = life.build(life.pipeline("web"), plan=plan)
    life.world.advance(60)
    gate, ship = build["jobs"][1:]
    assert (build["state"], build["blocked"], gate["unblockable"], ship["state"]) == ("failed", True, True, "blocked")
    assert build["finished_at"] is not None
    life.world.advance(3600)
    life.unblock(build, gate)
    assert (build["state"], build["blocked"], build["finished_at"]) == ("running", False, None)
    assert (gate["state"], gate["unblocked_by"]["name"]) == ("unblocked", "Ada Admin")
    life.world.advance(60)
    assert (build["state"], ship["state"]) == ("passed", "passed")
    gate = life.block(build, "running")
    assert (build["state"], build["blocked"]) == ("running", True)
    life.unblock(build)
    assert (build["state"], gate["state"]) == ("passed", "unblocked")
    assert_counters_hold(life.organization)


def test_a_canceled_build_is_canceling_first(life: Life) -> None:
    build = life.build(life.pipeline("web"), takes=600)
    life.world.advance(30)
    life.cancel(build, life.somebody(), "Wrong branch")
    assert (build["state"], {job["state"] for job in build["jobs"]}) == ("canceling", {"canceling"})
    life.world.advance(30)
    assert (build["state"], build["cancel_reason"]) == ("canceled", "Wrong branch")
    assert {job["exit_status"] for job in build["jobs"]} == {255}
    with pytest.raises(ValueError, match="canceled build"):
        life.retry(build, build["jobs"][0])
    waiting = life.build(build["pipeline"], state="scheduled")
    life.cancel(waiting)
    assert (waiting["state"], waiting["started_at"]) == ("canceled", None)
    assert_counters_hold(life.organization)


def test_an_agent_that_is_lost_takes_its_job_with_it(life: Life) -> None:
    build = life.build(life.pipeline("web"), jobs=2, takes=600)
    life.world.advance(30)
    job, other = build["jobs"]
    agent = job["agent"]
    life.lose_agent(agent)
    assert (job["state"], job["exit_status"], agent["connection_state"]) == ("failed", -1, "lost")
    assert (build["state"], build["failing_at"]) == ("failing", job["finished_at"])
    life.disconnect_agent(other["agent"])
    assert other["agent"]["connection_state"] == "stopping"
    life.world.advance(900)
    assert (build["state"], other["agent"]["connection_state"]) == ("failed", "disconnected")


def test_few_agents_a_paused_queue_and_a_group_make_jobs_wait(life: Life) -> None:
    cluster = life.cluster("Main")
    queue = life.queue(cluster, "small")
    life.agent(queue)
    pipeline = life.pipeline("web", cluster=cluster)
    one, two = (life.build(pipeline, plan=[Step(name="A", queue="small", takes=100)])["jobs"][0] for _ in range(2))
    life.world.advance(50)
    assert (one["state"], two["state"]) == ("running", "scheduled")
    life.world.advance(200)
    assert (when(two["started_at"]) - when(two["runnable_at"])).total_seconds() > 95
    life.pause_queue(queue, note="Upgrade")
    held = life.build(pipeline, plan=[Step(name="A", queue="small")])["jobs"][0]
    life.world.advance(3600)
    assert (held["state"], queue["dispatch_paused_note"]) == ("scheduled", "Upgrade")
    life.resume_queue(queue)
    assert held["state"] == "assigned"
    step = Step(name="Deploy", queue="default", takes=60, concurrency=("deploy", 1))
    first, second = life.build(pipeline, plan=[step, step])["jobs"]
    assert (first["state"], second["state"], second["_state"]) == ("assigned", "scheduled", "limited")
    life.world.advance(300)
    assert first["concurrency_wait_time_ms"] == 0
    assert second["concurrency_wait_time_ms"] > 59_000


def test_a_trigger_job_waits_for_its_build(life: Life) -> None:
    life.pipeline("deploy")
    plan = [Step(type="trigger", name="Deploy", pipeline="deploy"), Step(type="waiter"), Step(name="Tell", takes=5)]
    build = life.build(life.pipeline("web"), plan=plan)
    child = next(one for one in life.organization.builds.values() if one["pipeline"]["slug"] == "deploy")
    assert child["triggered_from"]["build_id"] == build["id"]
    assert build["jobs"][0]["triggered_build"]["url"] == child["url"]
    life.world.advance(100)
    assert (build["state"], child["state"]) == ("running", "running")
    life.finish(child, "failed")
    assert (build["state"], build["jobs"][0]["state"]) == ("failed", "failed")


def test_a_renamed_pipeline_moves_every_url(life: Life) -> None:
    pipeline = life.pipeline("old-name")
    build = life.build(pipeline, takes=10)
    life.upload_artifact(build["jobs"][0])
    again = life.rebuild(build)
    life.world.advance(60)
    life.rename_pipeline(pipeline, "new-name")
    rows = [pipeline, build, again, *life.organization.artifacts[build["id"]]]
    assert b"old-name" not in orjson.dumps([public(row | {"repository": "", "provider": {}}) for row in rows[:1]])
    for row in rows[1:]:
        assert "/old-name/" not in orjson.dumps(public(row)).decode()
    assert again["rebuilt_from"]["url"] == build["url"]
    assert life.organization.build("new-name", 1) is build


def test_what_is_deleted_is_gone(life: Life) -> None:
    pipeline = life.pipeline("web")
    build, other = life.build(pipeline, takes=100), life.build(pipeline, takes=100)
    life.world.advance(10)
    first = life.annotate(build, "a", "<p>1</p>")
    life.world.advance(10)
    assert life.annotate(build, "a", "<p>2</p>") is first
    assert first["updated_at"] > first["created_at"]
    gone = life.annotate(build, "b", "<p>3</p>")
    life.delete_annotation(build, gone)
    assert life.organization.annotations[build["id"]] == [first]
    life.delete_build(build)
    assert list(life.organization.builds) == [other["id"]]
    assert_counters_hold(life.organization)
    life.world.advance(200)
    assert other["state"] == "passed"
    assert_counters_hold(life.organization)
    life.delete_pipeline(pipeline)
    here = life.organization
    assert not here.builds
    assert not here.logs
    assert not here.pipelines
    assert not here.annotations


def test_a_job_that_nobody_picks_up_expires(life: Life) -> None:
    build = life.build(life.pipeline("web"), jobs=1, state="scheduled")
    life.world.advance(timedelta(days=29))
    assert build["state"] == "scheduled"
    life.world.advance(timedelta(days=2))
    assert (build["state"], build["jobs"][0]["state"]) == ("failed", "expired")
    assert build["jobs"][0]["expired_at"] is not None


def test_history_is_quick_and_whole(life: Life) -> None:
    pipeline = life.pipeline("web")
    newest = life.build(pipeline, state="running")
    begin = time.perf_counter()
    builds = life.history(pipeline, 1000, 50, NOW - timedelta(days=90), NOW - timedelta(days=1))
    assert time.perf_counter() - begin < 3
    assert len(builds) == 1000
    assert list(life.organization.builds)[-1] == newest["id"]
    assert {build["state"] for build in builds} == {"passed", "failed"}
    life.world.advance(10)
    failed = next(build for build in builds if build["state"] == "failed")
    life.retry(failed, failed["jobs"][-1])
    life.world.advance(600)
    assert failed["state"] == "passed"
    assert_consistent(life.organization)
    assert_counters_hold(life.organization)


def test_a_big_build_runs_and_ends(life: Life) -> None:
    build = life.big_build(life.pipeline("web"), takes=600)
    assert (build["state"], len(build["jobs"])) == ("running", 4000)
    assert build["pipeline"]["running_jobs_count"] == 4000
    life.world.advance(601)
    assert (build["state"], {job["state"] for job in build["jobs"]}) == ("passed", {"passed"})
    assert_counters_hold(life.organization)
