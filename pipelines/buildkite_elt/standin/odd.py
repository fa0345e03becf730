"""What the demo must hold besides plain days: rare ends, changes of what stands, and every state at its end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from .cast import Part
from .days import Days
from .plan import ENDS, Step
from .work import COUNTED
from .world import Row

HOUR = timedelta(hours=1)


def oddities(days: Days, now: datetime) -> None:
    """Put the one-off happenings into the calendar; `now` is the demo's end, each happens that many hours before."""
    happenings: tuple[tuple[float, Callable[[Days], Any]], ...] = (
        (360, stuck),
        (300, every_end),
        (240, lambda d: d.life.rename_pipeline(_pipeline(d, "catalogue"), "product-catalogue")),
        (200, lambda d: d.life.archive_pipeline(_pipeline(d, "attic"))),
        (168, lambda d: fails_and_is_retried(d, 96)),
        (150, lambda d: d.life.delete_pipeline(_pipeline(d, "prototype"))),
        (120, leavings),
        (100, lambda d: d.life.pause_queue(_queue(d, "gpu"), note="Driver upgrade")),
        (96, lambda d: d.life.resume_queue(_queue(d, "gpu"))),
        (72, unblocked_failed),
        (50, lambda d: fails_and_is_retried(d, 98)),
        (30, lambda d: d.life.build("soak", plan=_part(d, "soak").plan(d.moment("main")))),
        (24, agents),
        (20, lambda d: d.life.pause_queue(_queue(d, "spare"), note="Not in use")),
    )
    for hours, happens in happenings:
        days.life.world.at(now - hours * HOUR, partial(happens, days))
    days.life.world.at(now - timedelta(seconds=240), partial(early, days))
    days.life.world.at(now - timedelta(seconds=0.5), partial(poses, days))


def _pipeline(days: Days, slug: str) -> Row:
    return next(row for part, row in days.parts if part.slug == slug)


def _part(days: Days, slug: str) -> Part:
    return next(part for part, _ in days.parts if part.slug == slug)


def _queue(days: Days, key: str) -> Row:
    return next(one for one in days.life.organization.queues.values() if one["key"] == key)


def stuck(days: Days) -> None:
    """A rule that no agent fits: the job expires."""
    plan = [Step(name="Sparc", key="sparc", command="make", queue="sparc", outcome="stuck"), Step(name="x86")]
    days.life.build(_pipeline(days, "monolith"), plan=plan, message="Port to SPARC")


def every_end(days: Days) -> None:
    """A build with a job for every way to end (plan.ENDS)."""
    plan = [
        Step(name=f"Ends {word}", key=word, command=f"bin/{word}", outcome=word, takes=30, soft_fail=word == "failed")
        for word in (*ENDS, "skipped", "broken")
    ]
    lines = ("true", "cat core", "make verbose")
    logs = [Step(name=f":scroll: {line}", command=line, queue="soak", takes=40) for line in lines]
    promise = Step(name="Promise", key="promise", command="bin/p", outcome="failed", promise=3, takes=60)
    days.life.build(_pipeline(days, "engine"), plan=[*plan, *logs, promise], message="Chaos day", branch="chaos")


def fails_and_is_retried(days: Days, hours: float) -> None:
    """A build of web that fails, and passes when somebody retries it days later."""
    life = days.life
    build = life.build(_pipeline(days, "web"), jobs=4, state="failed", branch="release", message="Late luck")
    life.later(hours * 3600, partial(days.again, build))


def unblocked_failed(days: Days) -> None:
    """A job before a block step is retried after somebody unblocked it, and fails."""
    life = days.life
    plan = [
        Step(name="Check", key="check", command="bin/check", outcome="passed,failed", takes=20),
        Step(type="manual", name="Go on?", key="go"),
        Step(name="Then", key="then", command="bin/then", takes=20),
    ]
    build = life.build(_pipeline(days, "billing"), plan=plan, message="Twice")
    life.later(600, lambda: life.unblock(build, by=days.someone()))
    life.later(1200, lambda: life.retry(build, build["jobs"][0], days.someone()))


def leavings(days: Days) -> None:
    """Annotations that change and go, artifacts in every state."""
    life = days.life
    web = _pipeline(days, "web")
    builds = list(life.organization.builds.values())
    build = next(one for one in reversed(builds) if one["pipeline"] is web and one["state"] == "passed")
    job = next(one for one in build["jobs"] if one["type"] == "script")
    life.annotate(build, "default", "<p>First</p>", None)
    life.annotate(build, "coverage", "<p>81 % covered</p>", "warning", priority=7)
    life.annotate(build, "details", "<p>Of one job</p>", "info", job=job)
    life.later(3600, lambda: life.annotate(build, "default", "<p>Second</p>", "success"))
    life.later(7200, lambda: life.delete_annotation(build, life.annotate(build, "coverage")))
    life.upload_artifact(job, "new.log", "new")
    life.upload_artifact(job, "broken.log", "error")
    life.later(86400, partial(life.delete_artifact, life.upload_artifact(job, "gone.log")))
    older = next(one for one in builds if one["id"] in life.organization.artifacts)
    life.expire_artifacts(older)
    life.later(86400 * 4.9, partial(life.delete_artifact, life.upload_artifact(job, "deleted.log")))


def agents(days: Days) -> None:
    """Agents in every state of connection, one paused."""
    life = days.life
    pool = life.pool(_queue(days, "spare"))
    life.pause_agent(life.agent(pool.queue, "paused-1", priority=5))
    life.disconnect_agent(life.agent(pool.queue, "gone-1"))
    life.disconnect_agent(life.agent(pool.queue, "stopped-1"), "stopped")
    life.lose_agent(life.agent(pool.queue, "lost-1"))
    ran = {job["agent"]["id"] for _, job in life.organization.jobs() if job.get("agent")}
    idle = [
        one for one in life.organization.agents.values() if one["id"] in ran and one["connection_state"] == "connected"
    ]
    for agent, state in zip(idle, ("disconnected", "stopped"), strict=False):
        agent["priority"] = 3
        life.disconnect_agent(agent, state)
    never = life.agent(pool.queue, "never-1", connected_at=None)
    never["connection_state"] = "never_connected"
    never["_pool"].free.remove(never)


LONG = Step(name="Long", key="long", command="bin/long", queue="soak", takes=2400)
"""On a queue that makes agents, so that it starts at once."""


def early(days: Days) -> None:
    """Minutes before the end: builds that will be running, failing, blocked, in a queue or in a group by then."""
    life = days.life
    web, engine, smoke = (_pipeline(days, slug) for slug in ("web", "engine", "smoke"))
    life.build(web, plan=[LONG, LONG], message="Running")
    life.build(web, plan=[Step(name="Fails", queue="soak", outcome="failed", takes=20), LONG], message="Failing")
    for kept in ("passed", "failed", "running"):
        gate = Step(type="manual", name="Ship it?", key="ship", blocked_state=kept)
        life.build(web, plan=[Step(name="Check", queue="soak", takes=10), gate, LONG], message=f"Blocked, {kept}")
    life.build(
        web, plan=[Step(name="Fails", queue="soak", outcome="failed", takes=9), Step(type="manual", name="Go?"), LONG]
    )
    life.build(engine, plan=[LONG, Step(type="waiter"), Step(name="After", queue="soak")], message="Waits")
    one = Step(name="Alone", key="alone", command="bin/alone", takes=1800, queue="soak", concurrency=("alone", 1))
    life.build(smoke, plan=[one, one], message="One at a time")
    life.build(_pipeline(days, "monolith"), plan=[Step(name="No agent", queue="sparc", outcome="stuck")])
    busy = next(agent for agent in life.pool(_queue(days, "soak")).agents if agent["_job"] is not None)
    life.disconnect_agent(busy)


def poses(days: Days) -> None:
    """At the very end: the states that last a moment only; a minute later each goes on."""
    life = days.life
    web = _pipeline(days, "web")
    life.build(web, creating=20, message="Creating", plan=[Step(name="Soon", queue="soak")])
    life.build(web, plan=[Step(name="Just assigned", queue="soak", takes=90)], message="Assigned")
    canceled = life.build(web, plan=[LONG, LONG], message="Canceling")
    for job in canceled["jobs"]:
        life.start_job(job)
    life.cancel(canceled, days.someone(), "Not needed any more")
    timed = life.build(web, plan=[LONG, LONG], message="Timing out")
    life.job_is(timed["jobs"][1], "accepted")
    job = timed["jobs"][0]
    life.start_job(job)
    life.job_is(job, "timing_out")
    life.later(30, lambda: life.close(job, ENDS["timed_out"]))
    waits = [Step(name=f"Waits {at}", wait=90) for at in range(5)]
    held = life.build(web, plan=waits, message="Kept from agents")
    names = ("reserved", "platform_limiting", "platform_limited", "pending", "limiting")
    for one, name in zip(held["jobs"], names, strict=True):
        life.job_is(one, name if name in COUNTED else "scheduled", None if name in COUNTED else name)
        life.later(60, partial(life.job_is, one, "scheduled"))
    life.build(web, plan=[Step(name="Never")], state="skipped", message="Superseded")
