"""How a script job comes to run: concurrency groups, queues, agents, and what each step leaves in its row."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from . import bodies
from .answer import iso
from .logs import log
from .plan import ENDS, End
from .world import Organization, Row, World

WAITING = frozenset({"pending", "waiting", "blocked", "platform_limiting", "platform_limited"})
FAILED_WAITING = {"waiting": "waiting_failed", "blocked": "blocked_failed", "unblocked": "unblocked_failed"}
RUNNING = frozenset({"assigned", "accepted", "running", "canceling", "timing_out"})
ENDED = frozenset({"passed", "failed", "canceled", "timed_out", "expired", "skipped", "broken"})
COUNTED = {
    **dict.fromkeys(RUNNING, "running_jobs_count"),
    **dict.fromkeys(("scheduled", "reserved"), "scheduled_jobs_count"),
    **dict.fromkeys(WAITING, "waiting_jobs_count"),
}
"""Which counter of the pipeline a script job in a state belongs to; REST calls a limited job scheduled."""
BUILDS_COUNTED = {
    **dict.fromkeys(("running", "failing", "canceling"), "running_builds_count"),
    **dict.fromkeys(("creating", "scheduled"), "scheduled_builds_count"),
}


@dataclass(repr=False)
class Pool:
    """The agents of one queue and the jobs that wait for them; elastic: an agent is made when none is free."""

    key: str
    queue: Row | None
    elastic: bool = True
    agents: list[Row] = field(default_factory=list)
    free: deque[Row] = field(default_factory=deque)
    waiting: deque[Row] = field(default_factory=deque)
    ended: Counter[str] = field(default_factory=Counter)
    """How many jobs ended in which state since somebody last looked (days.meter)."""


@dataclass(repr=False)
class Group:
    """A concurrency group: how many of its jobs hold it, and which wait."""

    limit: int
    holding: int = 0
    waiting: deque[Row] = field(default_factory=deque)


@dataclass(repr=False)
class Floor:
    """What is remembered besides the rows. `expiry`: how long a job may wait for an agent (api.md 7.1)."""

    random: Random
    pools: dict[str, Pool] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    expiry: timedelta = timedelta(days=30)


class Work:
    """A hand over one organization's jobs and agents; any number of them share the organization's floor."""

    def __init__(self, world: World, organization: Organization | str | None = None, seed: int = 7) -> None:
        if not isinstance(organization, Organization):
            organization = world.organizations[organization or next(iter(world.organizations))]
        if organization.floor is None:
            organization.floor = Floor(Random(f"{seed} {organization.slug}"))  # noqa: S311
        self.world, self.organization = world, organization
        self.floor: Floor = organization.floor
        self.random = self.floor.random

    def stamp(self, after: float = 0.0) -> str:
        """Now, or some seconds later, as the API writes it."""
        return iso(self.world.now() + timedelta(seconds=after))

    def later(self, seconds: float, happens: Callable[[], Any]) -> None:
        self.world.at(self.world.now() + timedelta(seconds=seconds), happens)

    def uuid(self) -> str:
        return bodies.uuid(self.random)

    def event(self, job: Row, kind: str, actor: str = "SYSTEM", node: Row | None = None, **extra: Any) -> None:
        job["_events"].append(bodies.event(self.uuid(), kind, self.stamp(), actor, node, extra))

    def note(self, job: Row, kind: str, actor: str = "SYSTEM", node: Row | None = None, **extra: Any) -> None:
        """An event whose uuid comes from its place and not from chance: one more of them changes nothing else."""
        one = str(uuid5(NAMESPACE_URL, f"{job['id']}/{len(job['_events'])}/{kind}"))
        job["_events"].append(bodies.event(one, kind, self.stamp(), actor, node, extra))

    def job_is(self, job: Row, state: str, hidden: str | None = None) -> None:
        """Change a job's state, and the pipeline's counters; `hidden` is what only GraphQL calls it."""
        if job["type"] == "script":
            pipeline = job["_build"]["pipeline"]
            before, after = COUNTED.get(job["state"]), COUNTED.get(state)
            if before != after:
                if before:
                    pipeline[before] -= 1
                if after:
                    pipeline[after] += 1
            job["_state"] = hidden
        job["state"] = state

    def build_is(self, build: Row, state: str, blocked: bool = False) -> None:
        """Change a build's state, and the pipeline's counters; a blocked build counts nowhere."""
        pipeline = build["pipeline"]
        before = None if build["blocked"] else BUILDS_COUNTED.get(build["state"])
        after = None if blocked else BUILDS_COUNTED.get(state)
        if before:
            pipeline[before] -= 1
        if after:
            pipeline[after] += 1
        build["state"], build["blocked"] = state, blocked

    def done(self, job: Row) -> None:
        """A job ended; course.py says what follows."""
        raise NotImplementedError

    def began(self, build: Row) -> None:
        """A job of the build started; course.py says what follows."""
        raise NotImplementedError

    # Before an agent

    def ready(self, job: Row) -> None:
        """Nothing before the job keeps it any more: it may meet a concurrency group, then a queue."""
        step = job["_step"]
        outcome = step.ends(job["retries_count"] or 0) if step else "passed"
        if outcome in ("broken", "skipped"):
            job["broken_reason"] = step.broken_reason if outcome == "broken" else None
            self.close(job, End(outcome))
            return
        job["concurrency_wait_time_ms"] = 0
        limits = job["_concurrency"]
        if limits:
            group = self.floor.groups.setdefault(limits["group"], Group(limits["limit"]))
            if group.holding >= group.limit:
                self.job_is(job, "scheduled", "limited")
                job["_limited_at"] = self.world.now()
                job["concurrency_wait_time_ms"] = None
                self.event(job, "LIMITED")
                group.waiting.append(job)
                return
            group.holding += 1
            job["_holds"] = group
        self.runnable(job)

    def runnable(self, job: Row) -> None:
        """The job waits for an agent from now on (api.md 7.4: runnable_at)."""
        self.job_is(job, "scheduled")
        job["runnable_at"] = self.stamp()
        self.event(job, "SCHEDULED")
        step = job["_step"]
        if step and step.ends(job["retries_count"] or 0) == "stuck":
            self.later(self.floor.expiry.total_seconds(), partial(self.expire, job))
        elif step and step.wait:
            self.later(step.wait, partial(self.enqueue, job))
        else:
            self.enqueue(job)

    def pool(self, queue: Row | None, key: str | None = None) -> Pool:
        """The pool of a cluster queue, or of unclustered agents with the tag queue=key (none: default)."""
        name = queue["id"] if queue else f"queue={key or 'default'}"
        found = self.floor.pools.get(name)
        if found is None:
            found = self.floor.pools[name] = Pool(queue["key"] if queue else key or "default", queue)
        return found

    def pool_of(self, job: Row) -> Pool:
        """Where a job's agents are: its cluster queue, else its `queue=` rule, else default."""
        if job["_queue"]:
            return self.pool(job["_queue"])
        rules = (rule.partition("=")[2] for rule in job["agent_query_rules"] if rule.startswith("queue="))
        return self.pool(None, next(rules, None))

    def enqueue(self, job: Row) -> None:
        if job["state"] != "scheduled":
            return
        pool = self.pool_of(job)
        pool.waiting.append(job)
        self.dispatch(pool)
        if job["state"] == "scheduled":
            self.later(self.floor.expiry.total_seconds(), partial(self.expire, job))

    def expire(self, job: Row) -> None:
        """Nobody picked it up."""
        if job["state"] == "scheduled":
            job["expired_at"] = self.stamp()
            self.close(job, End("expired"))

    def dispatch(self, pool: Pool) -> None:
        """Give waiting jobs to free agents, first come, first served."""
        while pool.waiting and not (pool.queue and pool.queue["dispatch_paused"]):
            job = pool.waiting[0]
            if job["state"] == "scheduled":
                agent = self.free_agent(pool)
                if agent is None:
                    return
                self.assign(job, agent)
            pool.waiting.popleft()

    # Agents

    def agent(self, queue: Row | str | None = None, name: str | None = None, **facts: Any) -> Row:
        """An agent that connects now: of a cluster queue, or unclustered with a tag. Its queue is elastic no more."""
        row, key = (queue, queue["key"]) if isinstance(queue, dict) else (None, queue or "default")
        pool = self.pool(row, key)
        pool.elastic = False
        agent = self._connect(pool, name, facts)
        self.dispatch(pool)
        return agent

    def _connect(self, pool: Pool, name: str | None, facts: Row) -> Row:
        name = name or f"{pool.key}-{len(pool.agents) + 1}"
        slug = self.organization.slug
        agent = bodies.agent(self.uuid(), slug, name, self.stamp(), pool.queue, pool.key, facts)
        agent["_pool"] = pool
        self.organization.agents[agent["id"]] = agent
        pool.agents.append(agent)
        pool.free.append(agent)
        return agent

    def free_agent(self, pool: Pool) -> Row | None:
        if not pool.free and pool.elastic:
            self._connect(pool, None, {})
        return pool.free.popleft() if pool.free else None

    def busy_with(self, agent: Row, job: Row | None) -> None:
        """Show in the agent's row which job it runs; the job inside shows no agent, as in the docs' sample."""
        agent["_job"] = job
        if job is None:
            agent["job"] = None
        else:
            told = {key: value for key, value in job.items() if key[0] != "_"}
            agent["job"] = told | {"agent": None, "script_path": job["command"]}

    def leave(self, agent: Row, state: str) -> None:
        """The agent is connected no more: disconnected, stopped or lost."""
        agent["connection_state"] = state
        agent[f"{state}_at"] = self.stamp()
        if agent in agent["_pool"].free:
            agent["_pool"].free.remove(agent)

    # With an agent

    def assign(self, job: Row, agent: Row) -> None:
        self.job_is(job, "assigned")
        job["agent"] = agent
        self.event(job, "ASSIGNED", "DISPATCH", assigned_agent=agent)
        self.busy_with(agent, job)
        self.later(self.random.uniform(1.0, 3.0), partial(self.start_job, job))

    def start_job(self, job: Row) -> None:
        """The agent accepted the job and began it."""
        if job["state"] not in ("assigned", "accepted"):
            return
        agent, step = job["agent"], job["_step"]
        self.event(job, "ACCEPTED", "AGENT", agent)
        self.event(job, "STARTED", "AGENT", agent)
        self.job_is(job, "running")
        job["started_at"] = self.stamp()
        self.busy_with(agent, job)
        self.began(job["_build"])
        outcome = step.ends(job["retries_count"] or 0)
        if step.promise is not None:
            self.later(step.takes / 2, partial(self.promise, job, step.promise))
        if outcome == "lost":
            self.later(step.takes, lambda: self.lose_agent(agent) if agent["_job"] is job else None)
        elif outcome in ENDS:
            self.later(step.takes, partial(self.end_job, job, ENDS[outcome]))

    def promise(self, job: Row, status: int) -> None:
        """The job declares early how it will end."""
        if job["state"] == "running":
            job["promised_exit_status"] = status
            job["promised_exit_status_at"] = self.stamp()
            reason = "declared by the command"
            extra = {"promised_exit_status": status, "promised_exit_status_reason": reason}
            self.event(job, "PROMISED_EXIT_STATUS", "AGENT", job["agent"], **extra)

    def end_job(self, job: Row, end: End) -> None:
        if job["state"] == "running":
            self.close(job, end)

    def lose_agent(self, agent: Row) -> None:
        """The agent's host is gone: the job it ran ends with exit_status -1 (api.md 7.4)."""
        job = agent["_job"]
        self.leave(agent, "lost")
        if job is not None:
            self.event(job, "AGENT_LOST", node=agent)
            self.close(job, ENDS["lost"])
        if not agent["_pool"].elastic:
            self._connect(agent["_pool"], agent["name"], {"creator": agent["creator"]})
            self.dispatch(agent["_pool"])

    def disconnect_agent(self, agent: Row, state: str = "disconnected") -> None:
        """The agent goes: at once, or (busy) it is stopping until its job has ended. `state` may be stopped."""
        if agent["_job"] is None:
            self.leave(agent, state)
        else:
            agent["connection_state"], agent["_then"] = "stopping", state

    # After

    def close(self, job: Row, end: End) -> None:
        """A script job ends: passed, failed, canceled, timed_out, expired, skipped or broken."""
        step = job["_step"]
        self.job_is(job, end.state)
        job["exit_status"], job["signal"], job["signal_reason"] = end.exit_status, end.signal, end.signal_reason
        job["soft_failed"] = bool(step and step.soft_fail and end.state in ("failed", "timed_out"))
        job["finished_at"] = self.stamp()
        self._closing_event(job, end)
        if job["started_at"]:
            self.organization.logs[job["id"]] = partial(log, job)
        group = job.pop("_holds", None)
        if group is not None:
            group.holding -= 1
            self._next_of(group)
        agent = job["agent"]
        if agent is not None and agent["_job"] is job:
            agent["_pool"].ended[end.state] += 1
            self._release(agent)
        self.done(job)

    def _closing_event(self, job: Row, end: End) -> None:
        kind = {"canceled": "CANCELED", "timed_out": "TIMED_OUT", "expired": "EXPIRED"}.get(end.state)
        if kind == "EXPIRED":
            self.event(job, kind)
        elif kind or job["started_at"]:
            extra: Row = {"exit_status": end.exit_status if end.exit_status is not None else -1}
            extra |= {"signal": end.signal, "signal_reason": end.signal_reason}
            self.event(job, kind or "FINISHED", "AGENT" if job["agent"] else "SYSTEM", job["agent"], **extra)

    def _next_of(self, group: Group) -> None:
        while group.waiting and group.holding < group.limit:
            job = group.waiting.popleft()
            if job["_state"] == "limited":
                waited = self.world.now() - job["_limited_at"]
                job["concurrency_wait_time_ms"] = round(waited.total_seconds() * 1000)
                group.holding += 1
                job["_holds"] = group
                self.runnable(job)

    def _release(self, agent: Row) -> None:
        self.busy_with(agent, None)
        agent["last_job_finished_at"] = self.stamp()
        if agent["connection_state"] == "connected":
            agent["_pool"].free.append(agent)
            self.dispatch(agent["_pool"])
        elif agent["connection_state"] == "stopping":
            self.leave(agent, agent["_then"])
