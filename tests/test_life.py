"""The stand-in's life: each thing that may happen, and that its rows agree with one another after it."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import orjson
import pytest

from buildkite_elt.standin.course import settled
from buildkite_elt.standin.demo import NOW, demo, empty
from buildkite_elt.standin.life import Life
from buildkite_elt.standin.plan import Step
from buildkite_elt.standin.world import public
from rules import assert_consistent, assert_counters_hold, when


@pytest.fixture
def life() -> Life:
    return Life(empty())


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
    begin = time.process_time()
    builds = life.history(pipeline, 1000, 50, NOW - timedelta(days=90), NOW - timedelta(days=1))
    assert time.process_time() - begin < 10
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
