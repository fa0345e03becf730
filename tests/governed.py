"""The truth of what only administrators see: the stand-in's rows under the names of the columns."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from buildkite_ci.catalog import catalog
from buildkite_elt.loads import Origin, Outcome, Target, load
from buildkite_elt.standin import Budgets, Organization, Standin, World
from truth import flat, plain

PLENTY = Budgets(rest=10**6, rest_user=10**6, graphql=10**6, graphql_user=10**6)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
Row = dict[str, Any]
Load = Callable[..., Outcome]


def loader(standin: Standin, file: Path, *show: str) -> Load:
    """`load(*tables)` of the only organization; all of these tables for none. show: as in Origin."""

    def into(*tables: str, since: datetime = LONG_AGO) -> Outcome:
        slugs = tuple(standin.world.organizations)
        origin = Origin(slugs, standin.token, standin.rest_url, standin.graphql_url, show)
        (outcome,) = load(origin, Target(database=file), tables or tuple(TRUTH), since, sleep=standin.clock.sleep)
        return outcome

    return into


def ask(file: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(file), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(query, values).fetchall()


# The truth: the world's rows under the names of the columns.


def assigned(organization: Organization) -> Iterator[Row]:
    for one in organization.invitations.values():
        for team in one["teams"]:
            yield {
                "invitation_id": one["id"],
                "team_id": team["id"],
                "team_slug": team["slug"],
                "role": team["_role"],
                "graphql_id": None,
            }


def authorized(organization: Organization) -> Iterator[Row]:
    for member in organization.members.values():
        for one in member.get("_authorizations", ()):
            of = {"member_id": member["_uuid"], "user_id": member["id"], "sso_provider_id": one["_provider"]["id"]}
            yield one | of | {"graphql_id": None}


def members(organization: Organization) -> Iterator[Row]:
    for one in organization.members.values():
        user = one["_user"]
        yield {
            "id": one["_uuid"],
            "graphql_id": None,
            "user": user,
            "role": one["role"],
            "sso_mode": one["sso_mode"],
            "sso_authorizations_count": len(one.get("_authorizations", ())),
            **{name: user[f"_{name}"] for name in ("bot", "machine_user")},
            "password_set": user["_has_password"],
            **one["_security"],
            **{name: one[f"_{name}"] for name in ("complimentary", "created_at", "created_by")},
            "last_seen_at_buildkite": one["_last_seen_at"],
        }


def events(organization: Organization) -> Iterator[Row]:
    for one in organization.audit_events.values():
        actor, subject, way = one["actor"] or {}, one["subject"], one["context"]
        yield {
            **{name: one[name] for name in ("graphql_id", "occurred_at", "data")},
            "id": one["uuid"],
            "type": one["_type"],
            "actor_type": actor.get("_type", "").upper() or None,
            **{f"actor_{name}": actor.get(key) for name, key in PARTY.items()},
            "subject_type": subject["_type"],
            **{f"subject_{name}": subject[key] for name, key in PARTY.items()},
            "subject_name": None if "@" in subject["name"] else subject["name"],
            "subject_email": subject["name"] if "@" in subject["name"] else None,
            "context_type": way["type"],
            "request_ip_address": way["request_ip"],
            "request_user_agent": way.get("request_user_agent"),
            "request_api_access_token_id": way.get("_request_api_access_token_uuid"),
            "session_user_id": (way.get("_user") or {}).get("id"),
            "agent_id": way.get("_agent_uuid"),
            "organization_id": way.get("_organization_uuid"),
            **{name: way.get(f"_{name}") for name in CONTEXT},
        }


PARTY = {"id": "uuid", "graphql_id": "_graphql_id", "name": "name"}
CONTEXT = (
    *("session_created_at", "session_escalated_at", "session_ip_address"),
    *("authentication_type", "connection_state"),
)

TRUTH: dict[str, Callable[[Organization], Any]] = {
    "api_access_token_activity": lambda o: o.api_access_tokens.values(),
    "agent_tokens": lambda o: o.agent_tokens.values(),
    "api_access_tokens": lambda o: [one | {"scopes": sorted(one["scopes"])} for one in o.api_access_tokens.values()],
    "audit_events": events,
    "invitation_teams": assigned,
    "invitations": lambda o: [one | {"teams_count": len(one["teams"])} for one in o.invitations.values()],
    "member_activity": members,
    "member_security": members,
    "sso_authorizations": authorized,
    "sso_providers": lambda o: o.sso_providers.values(),
}
OURS = {"organization_slug", "last_seen_at", "more", "row_hash"}
UNNAMED = ("invitation_teams", "member_activity", "member_security", "sso_authorizations")
MADE = {(name, "graphql_id") for name in UNNAMED}
"""Global ids that the stand-in makes when it is asked; they are only looked at for being there."""


def wrong(file: Path, world: World, *tables: str) -> list[str]:
    """Every difference between the file, with nothing masked, and the world, in these tables or in all."""
    found = []
    for organization, (name, rows) in itertools.product(world.organizations.values(), TRUTH.items()):
        if tables and name not in tables:
            continue
        table, truth = catalog()[name], {}
        for row in rows(organization):
            told = dict(flat(row))
            truth[tuple(told.get(key, organization.slug) for key in table.key)] = told
        columns = [c.name for c in table.columns if c.name not in OURS]
        live = " AND _dlt_valid_to IS NULL" if table.load == "scd2" else ""
        names = ", ".join((*table.key, *columns))
        stored = ask(file, f"SELECT {names} FROM ci.{name} WHERE organization_slug = ?{live}", organization.slug)
        held = {row[: len(table.key)]: dict(zip(columns, row[len(table.key) :], strict=True)) for row in stored}
        found += [f"{name}: {key} is in one of both" for key in held.keys() ^ truth.keys()]
        if len(held) != len(stored):
            found.append(f"{name}: a key is there twice")
        for key in held.keys() & truth.keys():
            for column, value in held[key].items():
                right = value is not None if (name, column) in MADE else plain(value) == plain(truth[key].get(column))
                if not right:
                    found.append(f"{name}: {key} {column} is {value!r} and should be {truth[key].get(column)!r}")
    return found


def versions(file: Path) -> dict[str, int]:
    return {name: ask(file, f"SELECT count(*) FROM ci.{name}")[0][0] for name in TRUTH}
