"""What the queue page shows of a cluster queue: one minute of its jobs and agents (api.md 5.14, 7.4)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from .answer import iso
from .graphql_lists import assigned_at, job_state
from .look import At, Look
from .world import Row

LEFT = ("disconnected_at", "lost_at", "stopped_at")


def reading(look: Look, at: At) -> Row | None:
    """The latest full minute of a queue, null in an organization that has not the advanced queue metrics.

    The same minute reads the same, whenever it is asked for; `timestamp` is its end.
    """
    if all(queue.get("_metrics") is None for queue in at.home.queues.values()):
        return None
    minute = look.world.now().replace(second=0, microsecond=0)
    until, since = iso(minute), iso(minute - timedelta(minutes=1))
    jobs = [job for job in look.inside(at.home).queued.get(at.row["id"], ()) if _matters(job, since)]
    ended = [job["state"] for job in jobs if since < (job["finished_at"] or "") <= until]
    began = [datetime.fromisoformat(job["runnable_at"]) for job in waiting(jobs, until)]
    waits = sorted((minute - one).total_seconds() for one in began)
    return {
        "timestamp": until,
        "connected_agents_count": sum(_connected(agent, at.row, until) for agent in at.home.agents.values()),
        "running_jobs_count": sum(_begun(job, until) and _open(job, until) for job in jobs),
        "waiting_jobs_count": len(waits),
        "jobs_passed_count": ended.count("passed"),
        "jobs_failed_count": ended.count("failed"),
        "wait_time_sec": spread(waits or [0.0]),
    }


def spread(waits: list[float]) -> Row:
    """Seconds, the shortest first."""
    last = len(waits) - 1
    return {"min": waits[0], "max": waits[last], "p50": waits[last // 2], "p95": waits[last * 19 // 20]}


def waiting(jobs: Iterable[Row], at: str) -> list[Row]:
    """Those that were SCHEDULED: runnable and not with an agent; nor kept back by a limit, as far as that lasts."""
    return [
        job
        for job in jobs
        if job["runnable_at"] and job["runnable_at"] <= at and not _begun(job, at) and _open(job, at)
        if assigned_at(job) or job["finished_at"] or job_state(job) == "SCHEDULED"
    ]


def _matters(job: Row, since: str) -> bool:
    return job["finished_at"] is None or bool(job["finished_at"] > since)


def _begun(job: Row, at: str) -> bool:
    begun = assigned_at(job)
    return begun is not None and begun <= at


def _open(job: Row, at: str) -> bool:
    return job["finished_at"] is None or bool(job["finished_at"] > at)


def _connected(agent: Row, queue: Row, at: str) -> bool:
    connected = agent.get("_cluster_queue") is queue and agent["connected_at"] and agent["connected_at"] <= at
    return bool(connected) and not any(agent[key] and agent[key] <= at for key in LEFT)
