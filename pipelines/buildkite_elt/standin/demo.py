"""Worlds to look at: empty(), and demo(), organizations with thirty days of CI behind them and more to come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random

from . import places
from .answer import iso
from .bodies import uuid
from .cast import EMOJIS, PARTS, PEOPLE, SECRET, TEAMS, Moment, Part, service
from .clock import Clock
from .days import Days
from .life import Life
from .odd import oddities
from .office import govern
from .tokens import Token
from .world import Organization, Row, World

NOW = datetime(2026, 10, 1, 9, 30, tzinfo=UTC)
TOKEN = "bkua_" + "5tand1n0" * 5
AGENTS = (("Linux", "default", 6), ("Linux", "gpu", 1), ("Linux", "deploy", 3), ("Mac", "default", 5))
UNCLUSTERED = (("default", ("ansi",) * 3), ("legacy", ("lines", "none", "ansi")))
"""How many agents each queue has (of the unclustered ones: how each tells the time in logs, logs.stamps); `gpu` has too
few, `soak` and `spare` make them when needed."""


def empty(slug: str = "acme", now: datetime = NOW, running: bool = False) -> World:
    """One organization, one admin, one token that may read everything; nothing else."""
    world = World(Clock(now, running=running))
    _found(world, slug, 7)
    return world


def _found(world: World, slug: str, seed: int) -> None:
    """Found an organization; the first member of the first one owns the token."""
    name = slug.replace("-", " ").title()
    one = uuid(Random(f"{seed} {slug}"))  # noqa: S311
    organization = Organization(places.organization(one, name, slug, "2020-02-03T04:05:06.789Z"))
    world.organizations[slug] = organization
    life = Life(world, organization, seed)
    if world.users:
        life.join(next(iter(world.users.values())), "admin")
    else:
        admin = life.user("Ada Admin", role="admin", sso="optional")
        world.tokens[TOKEN] = Token(TOKEN, admin["id"], created_at=world.now())
        world.webhook_ips = ["100.24.182.113/32", "35.172.45.249/32", "54.85.125.32/32"]


def demo(
    seed: int = 7,
    *,
    now: datetime | None = None,
    days: int = 30,
    pipelines: int = 25,
    builds_per_day: float | None = None,
    running: bool = False,
    organizations: Sequence[str] = ("acme-inc",),
    big: bool = False,
) -> World:
    """The first organization has about 50 builds on a weekday, others a quarter of that; `big` adds one of 4,000 jobs.

    `pipelines` is at least the twelve of cast.PARTS, `days` at least 16. The same arguments give the same world, and
    the same future: builds go on, and new ones arrive, as the clock moves on.
    """
    if pipelines < len(PARTS) or days < 16:
        raise ValueError(f"the demo needs {len(PARTS)} pipelines and 16 days")
    end = (now or NOW).astimezone(UTC)
    world = World(Clock(end, running=running))
    for at, slug in enumerate(organizations):
        per_day = (builds_per_day or 50.0) / (4 if at else 1)
        began = end - timedelta(days=days)
        world.at(began - timedelta(days=400), partial(_found, world, slug, seed))
        world.at(began - timedelta(days=90), partial(_furnish, world, slug, pipelines, per_day, began, end))
        if big:
            world.at(end - timedelta(hours=40), partial(_big, world, slug))
    world.settle()
    world.tokens[TOKEN].expires_at = end + timedelta(days=90)
    return world


def _big(world: World, slug: str) -> None:
    life = Life(world, slug)
    engine = life.organization.pipeline("engine")
    if engine is not None:
        life.big_build(engine)


def _furnish(world: World, slug: str, pipelines: int, per_day: float, began: datetime, end: datetime) -> None:
    """Make all that stands, and put the days and the oddities into the calendar."""
    life = Life(world, slug)
    life.floor.expiry = timedelta(days=10)
    life.organization.emojis += [places.emoji(name, aliases) for name, aliases in EMOJIS]
    _people(life)
    clusters = _clusters(life)
    services = (Part(f"service-{at:02d}", service, share=0.8) for at in range(pipelines - len(PARTS)))
    red = end - timedelta(days=9, hours=-3)
    calendar = Days(life, [], per_day, end - (end - began) / 2, (red, red + timedelta(hours=6)))
    for part in (*PARTS, *services):
        calendar.parts.append((part, _pipeline(life, calendar, part, clusters)))
    _teams(life, calendar)
    for part, pipeline in calendar.parts:
        if part.nightly:
            env = {"SCHEDULE_TOKEN": SECRET}
            life.schedule(pipeline, env=env, cronline="0 2 * * *", next_build_at=iso(began + timedelta(days=1)))
    broken = {
        "enabled": False,
        "failed_message": "The branch does not exist",
        "failed_at": life.stamp(),
        "label": "Weekly",
    }
    life.schedule(calendar.parts[0][1], branch="gone", cronline="@weekly", **broken)
    oddities(calendar, end)
    govern(life, world.tokens[TOKEN], end)
    midnight = began.replace(hour=0, minute=0, second=0, microsecond=0)
    world.at(began, partial(calendar.day, midnight))
    world.at(end - timedelta(hours=1), calendar.meter)


def _people(life: Life) -> None:
    for name in PEOPLE:
        life.user(name)
    robot = life.user("Robo Bot", "robot@acme.example", sso="optional")
    robot["_bot"] = robot["_machine_user"] = True
    robot["_has_password"] = False


def _clusters(life: Life) -> dict[str, Row]:
    linux, mac = life.cluster("Linux"), life.cluster("Mac", emoji=":apple:", hosted_git_mirror_enabled=True)
    for key in ("gpu", "soak", "spare"):
        life.queue(linux, key)
    life.queue(linux, "deploy", hosted=True, hosted_agents=places.hosted(), retry_agent_affinity="prefer-different")
    clusters = {"Linux": linux, "Mac": mac}
    for name, key, count in AGENTS:
        queue = next(
            q for q in life.organization.queues.values() if q["key"] == key and q["_cluster"] is clusters[name]
        )
        for _ in range(count):
            life.agent(queue, creator=life.somebody(), version=life.random.choice(("3.98.0", "3.104.0")))
    for key, stamps in UNCLUSTERED:
        for how in stamps:
            life.agent(key, _stamps=how)
    life.cluster_token(linux, "Autoscaler", "2027-01-01T00:00:00Z")
    life.cluster_token(mac, "Mac minis")
    return clusters


RICH: Row = {
    "description": "The shop :convenience_store:",
    "branch_configuration": "main feature/* gh-readonly-queue/*",
    "skip_queued_branch_builds": True,
    "skip_queued_branch_builds_filter": "!main",
    "cancel_running_branch_builds": True,
    "cancel_running_branch_builds_filter": "feature/*",
    "env": {"NPM_TOKEN": SECRET, "RAILS_ENV": "test"},
    "tags": ["critical", "shop"],
    "emoji": ":convenience_store:",
    "color": "#FFE0F1",
    "visibility": "public",
    "pipeline_template_uuid": "018c5ad7-28f1-45d4-867e-b59fa0451000",
    "clone_mirror_url": "https://mirror.acme.example/web.git",
    "default_command_step_timeout": 60,
    "maximum_command_step_timeout": 240,
}
"""What only some pipelines have."""


def _pipeline(life: Life, calendar: Days, part: Part, clusters: dict[str, Row]) -> Row:
    cluster = None if part.cluster is None else list(clusters.values())[part.cluster]
    plan = part.plan(Moment(Random(0), "main", red=False, slow=False))  # noqa: S311
    facts = dict(RICH) if part.slug == "web" else {}
    pipeline = life.pipeline(part.slug, cluster=cluster, plan=plan, provider_id=part.provider, **facts)
    pipeline["_planner"] = lambda: part.plan(calendar.moment("main"))
    return pipeline


def _teams(life: Life, calendar: Days) -> None:
    members = [one["_user"] for one in life.organization.members.values()]
    for at, name in enumerate(TEAMS):
        team = life.team(name, default=at == 0, privacy="secret" if at == 3 else "visible", description=f"Team {name}")
        for user in members[at::3]:
            life.team_has(team, user, "maintainer" if user is members[at] else "member")
        for _, pipeline in calendar.parts[at::3]:
            life.team_has(team, pipeline, ("read_only", "build_and_read", "manage_build_and_read")[at % 3])
        life.team_suite(team, f"suite-{at}", "read", "edit")
    linux, mac = life.organization.clusters.values()
    life.maintainer(linux, members[0])
    life.maintainer(mac, next(iter(life.organization.teams.values())))
