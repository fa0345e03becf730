"""What one GraphQL request sees: objects of the world with their place, and the indexes that it needs, made once."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from graphql import GraphQLError

from .answer import parse_time
from .bodies import gid
from .budget import Budgets
from .tokens import Token
from .world import Organization, Row, World

JOBS = {
    "script": "JobTypeCommand",
    "manual": "JobTypeBlock",
    "waiter": "JobTypeWait",
    "trigger": "JobTypeTrigger",
}
"""REST's job types, and the types of the Job union (api.md 5.0)."""


@dataclass(frozen=True, slots=True)
class At:
    """An object of the graph: its GraphQL type, its row, and the organization and the build that it belongs to."""

    type: str
    row: Row
    org: Organization | None = None
    build: Row | None = None

    @property
    def home(self) -> Organization:
        """Its organization. Raises GraphQLError for what belongs to none."""
        if self.org is None:
            raise GraphQLError(f"{self.type} belongs to no organization here")
        return self.org


class Inside:
    """One organization, indexed."""

    def __init__(self, org: Organization) -> None:
        self.org = org

    @cached_property
    def builds(self) -> dict[str, list[Row]]:
        """Builds by the id of their pipeline."""
        found: dict[str, list[Row]] = {}
        for build in self.org.builds.values():
            found.setdefault(build["pipeline"]["id"], []).append(build)
        return found

    @cached_property
    def jobs(self) -> dict[str, At]:
        """Every job by its id."""
        return {job["id"]: job_at(self.org, build, job) for build, job in self.org.jobs()}

    @cached_property
    def queued(self) -> dict[str | None, list[Row]]:
        """Jobs by the id of their cluster queue."""
        found: dict[str | None, list[Row]] = {}
        for _, job in self.org.jobs():
            found.setdefault(job.get("cluster_queue_id"), []).append(job)
        return found


class Look:
    """One request: the world as its token sees it, and the points that it cost so far."""

    def __init__(self, world: World, token: Token | None, budgets: Budgets | None = None) -> None:
        self.world, self.token, self.budgets = world, token, budgets or Budgets()
        self.points = 0
        self._inside: dict[str, Inside] = {}

    def organizations(self) -> list[Organization]:
        """Those that were selected on the token."""
        return [one for one in self.world.organizations.values() if self.token and self.token.sees(one.slug)]

    def organization(self, slug: str | None, uuid: str | None = None) -> Organization | None:
        return next((o for o in self.organizations() if o.slug == slug or o.body["id"] == uuid), None)

    def inside(self, org: Organization) -> Inside:
        return self._inside.setdefault(org.slug, Inside(org))

    def job(self, uuid: str | None) -> At | None:
        """A job of any visible organization."""
        return next(filter(None, (self.inside(org).jobs.get(uuid or "") for org in self.organizations())), None)

    def user(self, row: Row | None, uuid: str | None) -> At | None:
        """A user: the row if there is one, else the user of that id."""
        found = row or self.world.users.get(uuid or "")
        return At("User", found) if found else None


def job_at(org: Organization, build: Row, job: Row) -> At:
    return At(JOBS[job["type"]], job, org, build)


def held(org: Organization, kind: str, store: dict[str, Row], uuid: str | None) -> At | None:
    """The object of that id in one of the organization's stores."""
    row = store.get(uuid or "")
    return At(kind, row, org) if row else None


def last_part(url: str | None) -> str | None:
    """The id at the end of a URL."""
    return url.rsplit("/", 1)[-1] if url else None


def queue_of(at: At) -> At | None:
    """The cluster queue of an agent or of a job."""
    row = at.row
    uuid = row.get("cluster_queue_id") or last_part(row.get("cluster_queue_url"))
    return held(at.home, "ClusterQueue", at.home.queues, uuid)


def cluster_of(at: At) -> At | None:
    """The cluster of a pipeline, a build, a job, a queue or an agent."""
    row = at.row
    uuid = row.get("cluster_id") or last_part(row.get("cluster_url"))
    return held(at.home, "Cluster", at.home.clusters, uuid)


def derived(*parts: str) -> str:
    """A uuid that stays the same for the same parts, for what REST gives none."""
    return str(uuid5(NAMESPACE_URL, "/".join(parts)))


def global_id(kind: str, uuid: str) -> str:
    """base64 of Type---uuid; every kind of job is a Job (api.md 5.0)."""
    return gid(next((one for one in ("JobType", "JobEvent") if kind.startswith(one)), kind).removesuffix("Type"), uuid)


def kind_and_uuid(given: str) -> tuple[str, str]:
    """What a global id holds; two empty words if it is none. Samples have a line end in theirs (api.md 5.0)."""
    try:
        kind, _, uuid = base64.b64decode(given, validate=True).decode().strip().partition("---")
    except ValueError:
        return "", ""
    return kind, uuid


def uuid_of(given: str, kind: str, where: str) -> str:
    """The uuid in a global id. Raises GraphQLError for anything else: a bare uuid would match nothing."""
    found, uuid = kind_and_uuid(given)
    if found != kind or not uuid:
        raise GraphQLError(f"`{where}` takes the global id of a {kind}, not {given!r}")
    return uuid


def moment(given: Any, where: str) -> datetime | None:
    """An argument of type DateTime: a time with its zone, or a date, which is its midnight UTC."""
    if given is None:
        return None
    text = str(given)
    found = parse_time(f"{text}T00:00:00Z" if len(text) == len("2026-01-01") else text)
    if found is None:
        raise GraphQLError(f"`{where}` is no ISO 8601 time with a zone: {text!r}")
    return found


def within(row: Row, arguments: dict[str, Any], key: str = "created_at") -> bool:
    """createdAtFrom <= the row's time < createdAtTo."""
    since, until = (moment(arguments.get(name), name) for name in ("createdAtFrom", "createdAtTo"))
    if since is None and until is None:
        return True
    at = parse_time(row.get(key) or "")
    return at is not None and (since is None or since <= at) and (until is None or at < until)


def on_day(row: Row, given: Any) -> bool:
    """Whether a job finished on that day; whether the real one means "since" is not known (api.md 5.4)."""
    day = moment(given, "finishedAt")
    at = parse_time(row.get("finished_at") or "")
    return day is None or (at is not None and day <= at < day + timedelta(days=1))
