"""Many builds at once, made without living through them."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from . import bodies
from .answer import iso
from .logs import log
from .plan import Step
from .world import Row

if TYPE_CHECKING:
    from .life import Life

PLAIN = Step()


def history(life: Life, pipeline: Row, count: int, jobs: int, since: datetime, until: datetime) -> list[Row]:
    """See Life.history: one build in ten failed, jobs of one to ten minutes; agents are named but not occupied."""
    gap = (until - since) / max(count, 1)
    made = [_settled(life, pipeline, since + gap * at, jobs) for at in range(count)]
    builds = life.organization.builds
    if len(builds) > count and next(iter(made))["created_at"] < list(builds.values())[-count - 1]["created_at"]:
        ordered = sorted(builds.items(), key=lambda one: one[1]["created_at"])
        builds.clear()
        builds.update(ordered)
    return made


def _settled(life: Life, pipeline: Row, at: datetime, jobs: int) -> Row:
    random, created = life.random, iso(at)
    fails = random.random() < 0.1
    facts = {"created_at": created, "scheduled_at": created, "started_at": iso(at + timedelta(seconds=3))}
    build = _bare(life, pipeline, facts)
    agents, queue = _crew(life, pipeline), life.queue_of(pipeline, life._queue_key(pipeline))
    pool = life.pool(queue, life._queue_key(pipeline))
    runnable, longest = iso(at + timedelta(seconds=1)), 0
    for index in range(jobs):
        wait, takes = random.randrange(2, 90), random.randrange(60, 600)
        longest = max(longest, wait + takes)
        job = _job(life, build, created, queue, pool.key, index)
        failed = fails and index == jobs - 1
        job["state"], job["exit_status"] = ("failed", 1) if failed else ("passed", 0)
        job["runnable_at"] = runnable
        job["started_at"] = iso(at + timedelta(seconds=wait))
        job["finished_at"] = iso(at + timedelta(seconds=wait + takes))
        job["agent"] = agents[index % len(agents)]
        life.organization.logs[job["id"]] = partial(log, job)
        if failed:
            build["_bad"].add(job["id"])
            build["failing_at"] = job["finished_at"]
    build["finished_at"] = iso(at + timedelta(seconds=longest))
    pipeline["scheduled_builds_count"] -= 1
    build["state"] = "failed" if fails else "passed"
    return build


def _bare(life: Life, pipeline: Row, facts: Row) -> Row:
    build = life._row(pipeline, "main", None, "webhook", life.somebody(), facts)
    build["_stages"] = [{"gate": None, "jobs": build["jobs"], "left": 0}]
    return build


def _crew(life: Life, pipeline: Row) -> list[Row]:
    """Agents of the pipeline's queue, made if there are none."""
    key = life._queue_key(pipeline)
    pool = life.pool(life.queue_of(pipeline, key), key)
    while len(pool.agents) < 10 and pool.elastic:
        life._connect(pool, None, {})
    return pool.agents


def _job(life: Life, build: Row, at: str, queue: Row | None, key: str, index: int) -> Row:
    job = bodies.script(life.uuid(), build, at, queue, life.uuid())
    job["name"] = f"Test {index}"
    job["step_key"] = f"test-{index}"
    job["command"] = f"make test-{index}"
    job["agent_query_rules"] = [f"queue={key}"]
    job["_env"], job["_step"] = build["_job_env"], PLAIN
    build["jobs"].append(job)
    return job


def big_build(life: Life, pipeline: Row, jobs: int, takes: float) -> Row:
    """See Life.big_build."""
    now = life.stamp()
    build = _bare(life, pipeline, {"message": "Everything :boom:"})
    build["_stages"] = [{"gate": None, "jobs": [], "left": jobs}]
    agents, queue = _crew(life, pipeline), life.queue_of(pipeline, life._queue_key(pipeline))
    pool = life.pool(queue, life._queue_key(pipeline))
    for index in range(jobs):
        job = _job(life, build, now, queue, pool.key, index)
        build["_stages"][0]["jobs"].append(job)
        job["runnable_at"] = job["started_at"] = now
        job["agent"] = agents[index % len(agents)]
        job["state"] = "running"
    pipeline["running_jobs_count"] += jobs
    life.began(build)
    life.later(takes, lambda: None if build["state"] != "running" else life.finish(build))
    return build
