"""What may happen in an organization, as acts that a test draws: each takes a number that says to whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from buildkite_elt.standin import World
from buildkite_elt.standin.course import settled
from buildkite_elt.standin.demo import empty
from buildkite_elt.standin.life import Life
from truth import Row

Act = Callable[[Life, int], None]
"""Does nothing where there is nobody."""


def one(rows: Any, pick: int) -> Any:
    """One of some rows, by a number; None of none."""
    rows = list(rows)
    return rows[pick % len(rows)] if rows else None


PLANS: tuple[Row, ...] = (
    {"jobs": 2, "takes": 60},
    {"jobs": 1, "takes": 7 * 86400},
    {"jobs": 1, "state": "failed", "takes": 600},
    {"jobs": 2, "state": "canceled", "takes": 3600},
    {"jobs": 1, "state": "blocked", "takes": 60},
    {"jobs": 1, "state": "skipped"},
    {"jobs": 1, "state": "not_run"},
    {"jobs": 1, "state": "running"},
    {"jobs": 1, "state": "scheduled"},
    {"jobs": 1, "creating": 90.0},
    {"plan": [{"outcome": "failed", "soft_fail": True}, {"type": "waiter"}, {"outcome": "failed,passed", "retry": 1}]},
    {"plan": [{"type": "manual"}, {"takes": 600.0, "concurrency": ("one", 1)}]},
)


def begin(life: Life, pick: int) -> None:
    pipeline = one(life.organization.pipelines.values(), pick // len(PLANS))
    if pipeline:
        life.build(pipeline, **PLANS[pick % len(PLANS)])


def burst(life: Life, pick: int) -> None:
    """Up to twelve builds in one millisecond: more than two pages of five."""
    for _ in range(pick % 12):
        begin(life, pick)


def builds(life: Life, wanted: Callable[[Row], bool]) -> list[Row]:
    return [build for build in life.organization.builds.values() if wanted(build)]


def queued(build: Row) -> bool:
    return build["state"] in ("scheduled", "creating")


def start(life: Life, pick: int) -> None:
    if build := one(builds(life, queued), pick):
        life.start(build)


def finish(life: Life, pick: int) -> None:
    if build := one(builds(life, lambda b: not settled(b) and not b["blocked"] and b["jobs"]), pick):
        life.finish(build, ("passed", "failed", "canceled")[pick % 3])


def cancel(life: Life, pick: int) -> None:
    if build := one(builds(life, lambda b: not settled(b) and b["state"] != "canceling"), pick):
        life.cancel(build, reason=("", "Superseded")[pick % 2] or None)


def retry(life: Life, pick: int) -> None:
    again = ("failed", "timed_out", "canceled", "passed", "expired")
    jobs = [
        (build, job)
        for build, job in life.organization.jobs()
        if build["state"] not in ("canceled", "canceling", "creating")
        and job["type"] == "script"
        and not job["retried"]
        and job["state"] in again
    ]
    if found := one(jobs, pick):
        life.retry(*found)


def rebuild(life: Life, pick: int) -> None:
    if build := one(life.organization.builds.values(), pick):
        life.rebuild(build)


def block(life: Life, pick: int) -> None:
    if build := one(builds(life, lambda b: not b["blocked"] and b["state"] in ("passed", "running")), pick):
        life.block(build, ("passed", "failed", "running")[pick % 3])


def unblock(life: Life, pick: int) -> None:
    if build := one(builds(life, lambda b: b["blocked"]), pick):
        life.unblock(build)


def skip(life: Life, pick: int) -> None:
    if build := one(builds(life, queued), pick):
        life.not_run(build, ("skipped", "not_run")[pick % 2])


def delete_build(life: Life, pick: int) -> None:
    if build := one(life.organization.builds.values(), pick):
        life.delete_build(build)


def make_pipeline(life: Life, pick: int) -> None:
    taken = {pipeline["slug"] for pipeline in life.organization.pipelines.values()}
    slug = next(f"p{n}" for n in range(99) if f"p{n}" not in taken)
    life.pipeline(slug, cluster=one(life.organization.clusters.values(), pick))


def rename(life: Life, pick: int) -> None:
    """To a free name, which may be one that another pipeline had."""
    if pipeline := one(life.organization.pipelines.values(), pick):
        taken = {other["slug"] for other in life.organization.pipelines.values()}
        life.rename_pipeline(pipeline, next(f"p{n}" for n in range(99) if f"p{n}" not in taken))


def archive(life: Life, pick: int) -> None:
    if pipeline := one(life.organization.pipelines.values(), pick):
        life.archive_pipeline(pipeline)


def delete_pipeline(life: Life, pick: int) -> None:
    if pipeline := one(life.organization.pipelines.values(), pick):
        life.delete_pipeline(pipeline)


def lose_agent(life: Life, pick: int) -> None:
    agents = [agent for agent in life.organization.agents.values() if agent["connection_state"] == "connected"]
    if agent := one(agents, pick):
        life.lose_agent(agent)


def pause_queue(life: Life, pick: int) -> None:
    if queue := one(life.organization.queues.values(), pick):
        (life.resume_queue if queue["dispatch_paused"] else life.pause_queue)(queue)


def add_queue(life: Life, pick: int) -> None:
    if cluster := one(life.organization.clusters.values(), pick):
        life.queue(cluster, f"q{len(life.organization.queues)}")


def join(life: Life, pick: int) -> None:
    life.team_has(one(life.organization.teams.values(), pick), life.user(f"User {len(life.world.users)}"), "member")


def leave(life: Life, pick: int) -> None:
    """Somebody who is not the token's owner."""
    if user := one(list(life.organization.members)[1:], pick):
        del life.organization.members[user]
        for team in life.organization.teams.values():
            team["_members"] = [one for one in team["_members"] if one["user_id"] != user]


ACTS: dict[str, Act] = {
    act.__name__: act
    for act in (
        *(begin, burst, start, finish, cancel, retry, rebuild, block, unblock, skip, delete_build),
        *(make_pipeline, rename, archive, delete_pipeline, lose_agent, pause_queue, add_queue, join, leave),
    )
}


def small_world() -> World:
    """Two pipelines, a cluster with agents, a team; and builds, some of them open, over three days."""
    world = empty()
    life = Life(world, "acme")
    cluster = life.cluster("Linux")
    life.agent(next(iter(life.organization.queues.values())))
    for slug in ("p0", "p1"):
        life.pipeline(slug, cluster=cluster if slug == "p0" else None)
    life.team("Web")
    for n in range(9):
        begin(life, n)
        world.advance(8 * 3600)
    return world
