"""What GraphQL tells of an organization's settings, and to whom (api.md 5.7, 5.11-5.13).

All of it is for administrators. What another one gets is known of no field, so it is the strictest that the schema
allows and that a client may take for "there is none": null, without a word, where a field may be null (as is known of
roots, 1.6), and an error where it may not. Everybody sees what is his own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphql import GraphQLError

from .connection import Connection, Key
from .governance import PROVIDERS, SETTINGS
from .look import At, Look, global_id, held, kind_and_uuid, last_part, within
from .sift import Arguments, listing, one_of, plain
from .world import Organization, Row

Listing = Callable[[Look, At, Arguments], Connection | None]
Field = Callable[[Look, At, Arguments], Any]

SSO_TYPES = {
    "saml": "SSOProviderSAML",
    "github_app": "SSOProviderGitHubApp",
    "google_gsuite": "SSOProviderGoogleGSuite",
}
STORES = {
    "AgentToken": "agent_tokens",
    "AuditEvent": "audit_events",
    "OrganizationInvitation": "invitations",
    "SSOProvider": "sso_providers",
}
"""Kinds of global ids, and where their objects are; that of an SSO provider is a guess."""


def admin(look: Look) -> bool:
    return look.token is not None and look.token.admin


def agent_tokens(look: Look, at: At, a: Arguments) -> Connection:
    """Both kinds unless `revoked` says which."""
    rows = [
        row
        for row in at.home.agent_tokens.values()
        if a.get("revoked") is None or bool(row["revoked_at"]) is a["revoked"]
    ]
    return listing("AgentToken", at.org, rows, a)


def api_access_tokens(look: Look, at: At, a: Arguments) -> Connection:
    return listing("OrganizationAPIAccessToken", at.org, at.home.api_access_tokens.values(), a)


def invitations(look: Look, at: At, a: Arguments) -> Connection:
    rows = [row for row in at.home.invitations.values() if one_of(str(row["state"]).upper(), a.get("state"))]
    return listing("OrganizationInvitation", at.org, rows, a, "email" if a.get("order") == "EMAIL" else "")


def assignments(look: Look, at: At, a: Arguments) -> Connection:
    """The teams of an invitation; a page of them has no cursor to go on from (api.md 3.3)."""
    kind = "OrganizationInvitationTeamAssignment"
    rows = [{**team, "graphql_id": global_id(kind, f"{at.row['id']}/{team['id']}")} for team in at.row["teams"]]
    return plain(kind, [At(kind, row, at.org) for row in rows], a)


def sso_providers(look: Look, at: At, a: Arguments) -> Connection:
    def key(row: Row) -> Key:
        return (row["created_at"], row["id"])

    return Connection(at.home.sso_providers.values(), a, key=key, node=lambda row: provider(at.home, row))


def provider(org: Organization, row: Row) -> At:
    return At(SSO_TYPES[row["type"]], row, org)


def audit_events(look: Look, at: At, a: Arguments) -> Connection:
    """Newest first; occurredAtFrom <= an event's moment < occurredAtTo."""
    span = {"createdAtFrom": a.get("occurredAtFrom"), "createdAtTo": a.get("occurredAtTo")}
    rows = [
        row
        for row in at.home.audit_events.values()
        if one_of(row["_type"], a.get("type"))
        and _party(row["actor"], a.get("actor"), a.get("actorType"))
        and _party(row["subject"], a.get("subject"), a.get("subjectType"))
        and one_of((row["subject"] or {}).get("uuid"), a.get("subjectUUID"))
        and within(row, span, "occurred_at")
    ]
    return Connection(
        rows, a, key=lambda row: (row["occurred_at"], row["uuid"]), node=lambda row: At("AuditEvent", row, at.org)
    )


def _party(row: Row | None, ids: list[str] | None, types: list[str] | None) -> bool:
    """Whether an actor or a subject is one of these global ids and of these types."""
    row = row or {}
    return one_of(row.get("_graphql_id"), ids) and one_of(str(row.get("_type")).upper(), types)


def for_admins(listed: Listing) -> Listing:
    return lambda look, at, a: listed(look, at, a) if admin(look) else None


def refused(listed: Listing) -> Listing:
    """The same, of a connection that the schema does not let be null."""

    def told(look: Look, at: At, a: Arguments) -> Connection | None:
        if not admin(look):
            raise GraphQLError("You're not allowed to do that")
        return listed(look, at, a)

    return told


GOVERNANCE_LISTS: dict[tuple[str, str], Listing] = {
    ("Organization", "agentTokens"): for_admins(agent_tokens),
    ("Organization", "apiAccessTokens"): refused(api_access_tokens),
    ("Organization", "auditEvents"): for_admins(audit_events),
    ("Organization", "invitations"): for_admins(invitations),
    ("Organization", "ssoProviders"): for_admins(sso_providers),
    ("OrganizationInvitation", "teams"): assignments,
}


def found(kind: str) -> Field:
    """A root: the object of a uuid, or of a slug `org/uuid` (api.md 5.0 knows no other form)."""

    def look_up(look: Look, at: At, a: Arguments) -> At | None:
        slug = a.get("slug")
        org = slug.partition("/")[0] if slug else None
        return by_uuid(look, kind, a.get("uuid") or last_part(slug) or "", org)

    return look_up


def by_uuid(look: Look, kind: str, uuid: str, slug: str | None = None) -> At | None:
    """One of STORES, as an administrator sees it; null for what is not there, and for everybody else."""
    homes = [org for org in look.organizations() if admin(look) and slug in (None, org.slug)]
    at = next(filter(None, (held(org, kind, getattr(org, STORES[kind]), uuid) for org in homes)), None)
    return provider(at.home, at.row) if at and kind == "SSOProvider" else at


def by_id(look: Look, given: str) -> At | None:
    """node(id:) of what this module knows."""
    kind, uuid = kind_and_uuid(given)
    return by_uuid(look, kind, uuid) if kind in STORES else None


def own(look: Look, at: At) -> bool:
    """Whether a member is the token's user, or the token may see every member's."""
    return admin(look) or (look.token is not None and at.row["id"] == look.token.user_id)


def security(look: Look, at: At, a: Arguments) -> Row:
    if not own(look, at):
        raise GraphQLError("You're not allowed to do that")
    return at.row.get("_security") or {}


def member_sso(look: Look, at: At, a: Arguments) -> Row:
    if not own(look, at):
        return {"mode": None, "authorizations": None}
    return {"mode": at.row.get("sso_mode"), "authorizations": at.row.get("_authorizations") or []}


def setting(name: str) -> Field:
    return lambda look, at, a: at.home.body.get(f"_{name}", SETTINGS[name]) if admin(look) else None


def organization_sso(look: Look, at: At, a: Arguments) -> Row | None:
    """The provider that is in use; its name is ours."""
    if not admin(look):
        return None
    enabled = [row for row in at.home.sso_providers.values() if row["state"] == "enabled"]
    name = {"name": PROVIDERS[enabled[-1]["type"]][0]} if enabled else None
    return {"is_enabled": bool(enabled), "provider": name}


CONTEXTS = {"APIContext": "AuditAPIContext", "AgentAPIContext": "AuditAgentAPIContext", "WebContext": "AuditWebContext"}


def context(look: Look, at: At, a: Arguments) -> At | None:
    row = at.row["context"]
    return At(CONTEXTS[row["type"]], row, at.org) if row else None


GOVERNANCE_FIELDS: dict[tuple[str, str], Field] = {
    ("Query", "agentToken"): found("AgentToken"),
    ("Query", "auditEvent"): found("AuditEvent"),
    ("Query", "organizationInvitation"): found("OrganizationInvitation"),
    ("Query", "ssoProvider"): found("SSOProvider"),
    ("AuditActor", "id"): lambda look, at, a: at.row["_graphql_id"],
    ("AuditSubject", "id"): lambda look, at, a: at.row["_graphql_id"],
    ("AuditEvent", "actor"): lambda look, at, a: at.row["actor"],
    ("AuditEvent", "context"): context,
    ("AuditWebContext", "sessionUser"): lambda look, at, a: at.row.get("_user"),
    ("AuditWebContext", "sessionUserUuid"): lambda look, at, a: (at.row.get("_user") or {}).get("id"),
    ("Organization", "allowedApiIpAddresses"): setting("allowed_api_ip_addresses"),
    ("Organization", "isTeamsEnabled"): lambda look, at, a: at.row.get("_is_teams_enabled", True),
    ("Organization", "membersRequireTwoFactorAuthentication"): setting("members_require_two_factor_authentication"),
    ("Organization", "revokeInactiveTokensAfter"): setting("revoke_inactive_tokens_after"),
    ("Organization", "sso"): organization_sso,
    ("OrganizationInvitation", "slug"): lambda look, at, a: f"{at.home.slug}/{at.row['id']}",
    ("OrganizationInvitation", "sso"): lambda look, at, a: {"mode": at.row["sso_mode"]},
    ("OrganizationInvitationTeamAssignment", "team"): lambda look, at, a: at.row["_team"],
    ("OrganizationMember", "lastSeenAt"): lambda look, at, a: at.row["_last_seen_at"] if own(look, at) else None,
    ("OrganizationMember", "security"): security,
    ("OrganizationMember", "sso"): member_sso,
    ("SSOAuthorization", "ssoProvider"): lambda look, at, a: provider(at.home, at.row["_provider"]),
}

GOVERNANCE_RENAMED: dict[tuple[str, str], str] = {
    (kind, "requestIpAddress"): "request_ip" for kind in CONTEXTS.values()
}
