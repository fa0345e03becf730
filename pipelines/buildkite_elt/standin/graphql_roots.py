"""Where a query begins: the objects that a root field finds, or null (api.md 5.0).

What is unknown and what the token does not see look the same (api.md 1.6).
"""

from __future__ import annotations

import re

from .graphql_governance import by_id
from .look import At, Look, global_id, held, kind_and_uuid, last_part


def organization(look: Look, slug: str | None, uuid: str | None) -> At | None:
    org = look.organization(slug, uuid)
    return At("Organization", org.body, org) if org else None


def pipeline(look: Look, slug: str | None, uuid: str | None) -> At | None:
    """`org/pipeline`, or a uuid."""
    if uuid:
        found = (held(org, "Pipeline", org.pipelines, uuid) for org in look.organizations())
        return next(filter(None, found), None)
    org_slug, _, rest = (slug or "").partition("/")
    org = look.organization(org_slug)
    row = org.pipeline(rest) if org else None
    return At("Pipeline", row, org) if row else None


def build(look: Look, slug: str | None, uuid: str | None) -> At | None:
    """`org/pipeline/number`, or a uuid."""
    if uuid:
        found = (held(org, "Build", org.builds, uuid) for org in look.organizations())
        return next(filter(None, found), None)
    org_slug, _, rest = (slug or "").partition("/")
    name, _, number = rest.partition("/")
    org = look.organization(org_slug)
    row = org.build(name, int(number)) if org and re.fullmatch(r"[0-9]{1,9}", number) else None
    return At("Build", row, org) if row else None


def by_slug(look: Look, kind: str, slug: str) -> At | None:
    """`org/uuid` of an agent, `org/slug` of a team, `org/pipeline/uuid` of a schedule."""
    org = look.organization(slug.partition("/")[0])
    last = last_part(slug)
    if org is None:
        return None
    if kind == "Team":
        row = next((one for one in org.teams.values() if one["slug"] == last), None)
        return At(kind, row, org) if row else None
    return held(org, kind, org.agents if kind == "Agent" else org.schedules, last)


STORES = {
    "Pipeline": "pipelines",
    "Build": "builds",
    "Agent": "agents",
    "Cluster": "clusters",
    "ClusterQueue": "queues",
    "PipelineSchedule": "schedules",
    "Team": "teams",
}


def node(look: Look, given: str) -> At | None:
    """Any global id of what has a store; null for what is unknown, or not findable by id here."""
    kind, uuid = kind_and_uuid(given)
    if kind == "Job":
        return look.job(uuid)
    if kind == "User":
        return look.user(None, uuid)
    if kind == "Organization":
        return organization(look, None, uuid)
    if kind not in STORES:
        return by_id(look, given)
    found = (held(org, kind, getattr(org, STORES[kind]), uuid) for org in look.organizations())
    return next(filter(None, found), None)


def viewer(look: Look) -> At | None:
    """The owner of the token."""
    user = look.user(None, look.token.user_id if look.token else None)
    return At("Viewer", {"graphql_id": global_id("Viewer", user.row["id"]), "user": user}) if user else None
