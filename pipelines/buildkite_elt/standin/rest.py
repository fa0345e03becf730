"""What each REST route finds in the world (api.md 4.1): rows, one row, or a whole Answer. routes.py has the table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from . import builds
from .answer import Ask, Refusal
from .budget import Meter, rate_limit_body
from .params import Params
from .tokens import Token
from .world import Organization, Row, World, public

LISTED_AGENTS = {"connected", "stopping"}
ARTIFACT_STATES = {"new", "error", "finished", "deleted", "expired"}
ANNOTATION_SCOPES = {"build", "job", "all"}


@dataclass
class Call:
    """One request with what its handler needs; `parts` are the named parts of the path."""

    world: World
    ask: Ask
    parts: dict[str, str]
    params: Params
    meter: Meter
    organization: Organization | None = None
    memo: dict[int, Row] = field(default_factory=dict)
    """Copies of what many rows of one answer share, by the id() of the original."""

    @property
    def org(self) -> Organization:
        if self.organization is None:
            raise Refusal(404, "No organization found")
        return self.organization

    @property
    def token(self) -> Token:
        if self.ask.token is None:
            raise Refusal(401, "Authentication required")
        return self.ask.token


def visible(world: World, token: Token) -> list[Organization]:
    """The organizations that a token sees, in the order in which they were made."""
    return [one for one in world.organizations.values() if token.sees(one.slug)]


def found(row: Row | None, noun: str) -> Row:
    if row is None:
        raise Refusal(404, f"No {noun} found")
    return row


def root(call: Call) -> Row:
    return {"message": "The stand-in is here", "timestamp": int(call.ask.now.timestamp())}


def meta(call: Call) -> Row:
    return {"webhook_ips": list(call.world.webhook_ips)}


def access_token(call: Call) -> Row:
    """Its times are not ISO: `2026-01-31 09:30:00 UTC` (api.md 1.3)."""
    token, user = call.token, call.world.users[call.token.user_id]
    return {
        "uuid": token.uuid,
        "scopes": list(token.scopes),
        "description": token.description,
        "created_at": _spelled(token.created_at),
        "expires_at": _spelled(token.expires_at),
        "user": {"name": user["name"], "email": user["email"]},
    }


def _spelled(moment: datetime | None) -> str | None:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC") if moment else None


def user(call: Call) -> Row:
    return found(call.world.users.get(call.token.user_id), "user")


def organizations(call: Call) -> list[Row]:
    return [one.body for one in visible(call.world, call.token)]


def organization(call: Call) -> Row:
    return call.org.body


def rate_limit(call: Call) -> Row:
    meter, slug, now = call.meter, call.org.slug, call.ask.now
    levels = {scope: meter.level(scope, slug, now) for scope in ("rest", "graphql")}
    return rate_limit_body(levels, now, meter.budgets.enforced)


def emojis(call: Call) -> list[Row]:
    return call.org.emojis


def pipelines(call: Call) -> list[Row]:
    name, repository = call.params.one("name") or "", call.params.one("repository") or ""
    return [
        one
        for one in call.org.pipelines.values()
        if name.lower() in one["name"].lower() and repository.lower() in (one["repository"] or "").lower()
    ]


def pipeline(call: Call) -> Row:
    return found(call.org.pipeline(call.parts["pipeline"]), "pipeline")


def schedules(call: Call) -> list[Row]:
    """Newest first."""
    owner = pipeline(call)["id"]
    return [one for one in reversed(call.org.schedules.values()) if one["pipeline"]["id"] == owner]


def schedule(call: Call) -> Row:
    return found(_by_id(schedules(call), call.parts["id"]), "schedule")


def all_builds(call: Call) -> list[Row]:
    every = (build for one in visible(call.world, call.token) for build in one.builds.values())
    return builds.newest(every, call.params)


def organization_builds(call: Call) -> list[Row]:
    return builds.newest(call.org.builds.values(), call.params)


def pipeline_builds(call: Call) -> list[Row]:
    owner = pipeline(call)
    return builds.newest((one for one in call.org.builds.values() if one["pipeline"] is owner), call.params)


def build(call: Call) -> Row:
    number = call.parts["number"]
    row = call.org.build(call.parts["pipeline"], int(number)) if number.isascii() and number.isdecimal() else None
    return found(row, "build")


def jobs(call: Call) -> list[Row]:
    return builds.jobs_of(build(call), call.params)


def job(call: Call) -> Row:
    """By its UUID alone, or below its build; any other build is as wrong as no build."""
    pairs: Iterable[tuple[Row, Row]] = call.org.jobs()
    if "number" in call.parts:
        owner = build(call)
        pairs = ((owner, one) for one in owner["jobs"])
    return found(next((one for _, one in pairs if one["id"] == call.parts["job"]), None), "job")


def job_env(call: Call) -> Row:
    pairs = (text.partition("=") for text in job(call).get("_env") or ())
    return {"env": {key: value for key, _, value in pairs}}


def build_annotations(call: Call) -> list[Row]:
    scopes = call.params.choices("scope", ANNOTATION_SCOPES) or ["build"]
    rows = call.org.annotations.get(build(call)["id"], [])
    return [one for one in rows if scopes[-1] in ("all", one["scope"])]


def job_annotations(call: Call) -> list[Row]:
    owner = job(call)["id"]
    return [one for rows in call.org.annotations.values() for one in rows if one["job_id"] == owner]


def show_annotation(call: Call, row: Row) -> Row:
    body = public(row)
    if call.params.flag("omit_body"):
        body.pop("body_html", None)
    return body


def artifacts(call: Call) -> list[Row]:
    """Of a build, or of a job; the deleted ones only for who asks for that state (api.md 4.7)."""
    states = call.params.choices("state", ARTIFACT_STATES, 422)
    path = call.params.one("path") or "*"
    if "job" in call.parts:
        owner = job(call)["id"]
        rows = [one for kept in call.org.artifacts.values() for one in kept if one["job_id"] == owner]
    else:
        rows = call.org.artifacts.get(build(call)["id"], [])
    kept = states or sorted(ARTIFACT_STATES - {"deleted"})
    return [one for one in rows if one["state"] in kept and fnmatchcase(one["path"], path)]


def artifact(call: Call) -> Row:
    owner = job(call)["id"]
    rows = (one for kept in call.org.artifacts.values() for one in kept if one["job_id"] == owner)
    row = found(_by_id(rows, call.parts["id"]), "artifact")
    return found(row if row["state"] != "deleted" else None, "artifact")


def agents(call: Call) -> list[Row]:
    """Only the connected and stopping ones (api.md 4.1)."""
    queue = call.params.uuid("cluster_queue_id")
    asked = [(key, call.params.one(key)) for key in ("name", "hostname", "version")]
    return [
        one
        for one in call.org.agents.values()
        if one["connection_state"] in LISTED_AGENTS
        and all(value is None or one[key] == value for key, value in asked)
        and (queue is None or (one["cluster_queue_url"] or "").endswith(f"/{queue}"))
    ]


def agent(call: Call) -> Row:
    return found(call.org.agents.get(call.parts["id"]), "agent")


def show_agent(_: Call, row: Row) -> Row:
    """An agent with the job it runs; the job's own agent is null, else they hold each other."""
    running = row["job"]
    body = public(row | {"job": None})
    body["job"] = public(running | {"agent": None}) if running else None
    return body


def clusters(call: Call) -> list[Row]:
    return list(call.org.clusters.values())


def cluster(call: Call) -> Row:
    return found(call.org.clusters.get(call.parts["cluster"]), "cluster")


def _in_cluster(call: Call, store: dict[str, Row]) -> list[Row]:
    owner = cluster(call)
    return [one for one in store.values() if one["_cluster"] is owner]


def queues(call: Call) -> list[Row]:
    return _in_cluster(call, call.org.queues)


def queue(call: Call) -> Row:
    return found(_by_id(queues(call), call.parts["id"]), "queue")


def cluster_tokens(call: Call) -> list[Row]:
    return _in_cluster(call, call.org.cluster_tokens)


def cluster_token(call: Call) -> Row:
    return found(_by_id(cluster_tokens(call), call.parts["id"]), "token")


def maintainers(call: Call) -> list[Row]:
    return _in_cluster(call, call.org.cluster_maintainers)


def maintainer(call: Call) -> Row:
    return found(_by_id(maintainers(call), call.parts["id"]), "maintainer")


def members(call: Call) -> list[Row]:
    return list(call.org.members.values())


def member(call: Call) -> Row:
    return found(_by_id(members(call), call.parts["id"]), "member")


def teams(call: Call) -> list[Row]:
    who = call.params.uuid("user_id")
    return [
        one
        for one in call.org.teams.values()
        if who is None or any(each["user_id"] == who for each in one.get("_members", ()))
    ]


def team(call: Call) -> Row:
    return found(call.org.teams.get(call.parts["team"]), "team")


def team_members(call: Call) -> list[Row]:
    return list(team(call).get("_members", ()))


def team_pipelines(call: Call) -> list[Row]:
    return list(team(call).get("_pipelines", ()))


def team_suites(call: Call) -> list[Row]:
    return list(team(call).get("_suites", ()))


def _by_id(rows: Iterable[Row], identity: str) -> Row | None:
    return next((one for one in rows if one["id"] == identity), None)


def show(_: Call, row: Any) -> Any:
    return public(row)
