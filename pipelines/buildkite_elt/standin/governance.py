"""What happens in an organization's settings: tokens, invitations, single sign-on, roles, and the audit log of it all.

Rows are REST bodies where REST has them (invitations, audit events: api.md 4.2), else GraphQL's words in snake_case
(5.7, 5.11); what only GraphQL tells of a REST body stands under `_` keys.
"""

from __future__ import annotations

from typing import Any

from .bodies import gid
from .grounds import Grounds
from .look import derived
from .world import HOST, WEB, Row

PROVIDERS: dict[str, tuple[str, Row]] = {
    "saml": ("SAML", {
        "digest_method": "sha256",
        "signature_method": "rsa_sha256",
        "identity_provider": {"name": "Okta", "issuer": "https://idp.example/issuer", "sso_url": "https://idp.example/sso"},
        "service_provider": {"issuer": f"{WEB}/saml", "sso_url": f"{WEB}/login/sso"},
    }),
    "github_app": ("GitHub", {"github_organization_name": "acme"}),
    "google_gsuite": ("Google", {"google_hosted_domain": "acme.example", "disclose_google_hosted_domain": True}),
}  # fmt: skip
"""The three kinds, what they are called (ours: no sample shows a real name), and what only that kind has."""

WEB_CONTEXT: Row = {
    "type": "WebContext",
    "request_ip": "192.0.2.17",
    "request_user_agent": "Mozilla/5.0",
}
SETTINGS: Row = {
    "allowed_api_ip_addresses": None,
    "is_teams_enabled": True,
    "members_require_two_factor_authentication": False,
    "revoke_inactive_tokens_after": "never",
}
"""What only GraphQL tells of an organization, and how a new one has it."""
ACRONYMS = ("API", "SSO", "SCM", "TOTP")


def rest_type(kind: str) -> str:
    """`SSO_PROVIDER_ENABLED` as REST spells it (api.md 4.2); how it spells an acronym is not known."""
    return "".join(word if word in ACRONYMS else word.capitalize() for word in kind.split("_")) + "Event"


class Governance:
    """The acts of one organization's administrators: each happens now, changes rows and leaves an audit event.

    It draws nothing from the organization's chance, so that a world is the same with and without it. `by` is the first
    member where nobody is named.
    """

    def __init__(self, life: Grounds) -> None:
        self.life, self.organization = life, life.organization

    def _uuid(self, kind: str) -> str:
        """Another one for each act, as every act leaves an audit event."""
        return derived(kind, self.organization.body["id"], str(len(self.organization.audit_events)))

    def _url(self, *parts: str) -> str:
        return "/".join((HOST, "organizations", self.organization.slug, *parts))

    def audit(self, kind: str, subject: tuple[str, str, str | None], by: Row | None, context: Row | None = None,
              **data: Any) -> Row:  # fmt: skip
        """One event. subject: its type as GraphQL says it, its uuid and its name; by: a user, an agent, or nobody."""
        one = self._uuid("AuditEvent")
        what, uuid, name = subject
        actor = by and {
            "type": "Agent" if "hostname" in by else "User",
            "uuid": by["id"],
            "name": by["name"],
            "_type": "agent" if "hostname" in by else "user",
            "_graphql_id": by["graphql_id"],
        }
        row: Row = {
            "uuid": one,
            "graphql_id": gid("AuditEvent", one),
            "type": rest_type(kind),
            "occurred_at": self.life.stamp(),
            "actor": actor,
            "subject": {"type": _camel(what), "uuid": uuid, "name": name}
            | {"_type": what, "_graphql_id": gid(_camel(what), uuid)},
            "context": context or WEB_CONTEXT | {"_user": by, "_session_created_at": self.life.stamp(-3600)},
            "data": data,
            "url": self._url("audit_events", one),
            "_type": kind,
        }
        self.organization.audit_events[one] = row
        return row

    # Tokens

    def agent_token(self, description: str, by: Row | None = None, **facts: Any) -> Row:
        """An unclustered one (api.md 5.7); there is no secret in the row."""
        one, by = self._uuid("AgentToken"), by or self.life.somebody()
        row: Row = {
            "id": one,
            "graphql_id": gid("AgentToken", one),
            "description": description,
            "public": False,
            "created_at": self.life.stamp(),
            "created_by": by,
            "revoked_at": None,
            "revoked_by": None,
            "revoked_reason": None,
        } | facts
        self.organization.agent_tokens[one] = row
        self.audit("AGENT_TOKEN_CREATED", ("AGENT_TOKEN", one, description), by)
        return row

    def revoke_agent_token(self, token: Row, reason: str, by: Row | None = None) -> None:
        by = by or self.life.somebody()
        token |= {"revoked_at": self.life.stamp(), "revoked_by": by, "revoked_reason": reason}
        self.audit("AGENT_TOKEN_REVOKED", ("AGENT_TOKEN", token["id"], token["description"]), by)

    def api_access_token(self, owner: Row, description: str, *scopes: str, **facts: Any) -> Row:
        """Somebody's token that may see the organization; scopes in REST's words."""
        one = facts.pop("id", None) or self._uuid("APIAccessToken")
        row: Row = {
            "id": one,
            "graphql_id": gid("APIAccessToken", one),
            "description": description,
            "scopes": list(scopes),
            "owner": owner,
            "created_at": self.life.stamp(),
            "expires_at": None,
            "last_accessed_at": None,
            "ip_address": None,
        } | facts
        self.organization.api_access_tokens[one] = row
        self.audit("API_ACCESS_TOKEN_CREATED", ("API_ACCESS_TOKEN", one, description), owner, scopes=list(scopes))
        return row

    def use(self, token: Row, ip: str = "198.51.100.9") -> None:
        """An API access token is used. No audit event."""
        token |= {"last_accessed_at": self.life.stamp(), "ip_address": ip}

    def revoke_api_access_token(self, token: Row, by: Row | None = None) -> None:
        """It is not listed any more (api.md 8.1)."""
        del self.organization.api_access_tokens[token["id"]]
        subject = ("API_ACCESS_TOKEN", token["id"], token["description"])
        self.audit("API_ACCESS_TOKEN_ORGANIZATION_ACCESS_REVOKED", subject, by or self.life.somebody())

    # Invitations

    def invite(self, email: str, role: str = "member", sso: str = "required", teams: dict[str, str] | None = None,
               by: Row | None = None) -> Row:  # fmt: skip
        """teams: {slug: role there}; only GraphQL tells the roles (api.md 4.2)."""
        one, by = self._uuid("OrganizationInvitation"), by or self.life.somebody()
        named = {team["slug"]: team for team in self.organization.teams.values()}
        row: Row = {
            "id": one,
            "graphql_id": gid("OrganizationInvitation", one),
            "url": self._url("invitations", one),
            "email": email,
            "state": "pending",
            "role": role,
            "sso_mode": sso,
            "teams": [
                {key: named[slug][key] for key in ("id", "graphql_id", "slug")} | {"_role": of, "_team": named[slug]}
                for slug, of in (teams or {}).items()
            ],
            "created_at": self.life.stamp(),
            "created_by": by,
            "accepted_at": None,
            "accepted_by": None,
            "revoked_at": None,
            "revoked_by": None,
            "expired_at": None,
        }
        self.organization.invitations[one] = row
        self.audit("ORGANIZATION_INVITATION_CREATED", ("ORGANIZATION_INVITATION", one, email), by, role=role)
        return row

    def accept(self, invitation: Row, user: Row | None = None) -> Row:
        """The invited person, or a user who is there already, is a member and in the teams. Returns the user."""
        name = str(invitation["email"].split("@")[0].replace(".", " ").title())
        user = user or self.life.user(name, invitation["email"], invitation["role"], invitation["sso_mode"])
        self.organization.members[user["id"]]["_created_by"] = invitation["created_by"]
        for team in invitation["teams"]:
            if not any(one["user_id"] == user["id"] for one in team["_team"]["_members"]):
                self.life.team_has(team["_team"], user, team["_role"])
        invitation |= {"state": "accepted", "accepted_at": self.life.stamp(), "accepted_by": user}
        self.audit("ORGANIZATION_INVITATION_ACCEPTED", _invitation(invitation), user)
        return user

    def revoke_invitation(self, invitation: Row, by: Row | None = None) -> None:
        by = by or self.life.somebody()
        invitation |= {"state": "revoked", "revoked_at": self.life.stamp(), "revoked_by": by}
        self.audit("ORGANIZATION_INVITATION_REVOKED", _invitation(invitation), by)

    def expire_invitation(self, invitation: Row) -> None:
        """No audit event: none of its types says so."""
        invitation |= {"state": "expired", "expired_at": self.life.stamp()}

    # Single sign-on

    def sso_provider(self, kind: str, by: Row | None = None, **facts: Any) -> Row:
        """kind: saml, github_app or google_gsuite. It is created, and nobody can use it yet."""
        one, by = self._uuid("SSOProvider"), by or self.life.somebody()
        row: Row = {
            "id": one,
            "graphql_id": gid("SSOProvider", one),
            "type": kind,
            "state": "created",
            "url": f"{WEB}/login/sso/{one}",
            "note": None,
            "email_domain": None,
            "email_domain_verification_address": None,
            "email_domain_verified_at": None,
            "pin_session_to_ip_address": False,
            "session_duration_in_hours": None,
            "test_authorization_required": True,
            "created_at": self.life.stamp(),
            "created_by": by,
            **dict.fromkeys(("enabled_at", "enabled_by", "disabled_at", "disabled_by", "disabled_reason")),
            **PROVIDERS[kind][1],
        } | facts
        self.organization.sso_providers[one] = row
        self.audit("SSO_PROVIDER_CREATED", _provider(row), by, type=kind)
        return row

    def enable(self, provider: Row, by: Row | None = None) -> None:
        by = by or self.life.somebody()
        provider |= {"state": "enabled", "enabled_at": self.life.stamp(), "enabled_by": by}
        provider |= {"test_authorization_required": False}
        provider |= dict.fromkeys(("disabled_at", "disabled_by", "disabled_reason"))
        self.audit("SSO_PROVIDER_ENABLED", _provider(provider), by)

    def disable(self, provider: Row, reason: str, by: Row | None = None) -> None:
        by = by or self.life.somebody()
        provider |= {"state": "disabled", "disabled_at": self.life.stamp()}
        provider |= {"disabled_by": by, "disabled_reason": reason}
        self.audit("SSO_PROVIDER_DISABLED", _provider(provider), by, reason=reason)

    def authorize(self, member: Row, provider: Row) -> Row:
        """A member signs in by a provider. No audit event, so that the uuid is the member's count."""
        held = member.setdefault("_authorizations", [])
        row: Row = {
            "id": derived("SSOAuthorization", member["_uuid"], str(len(held))),
            "state": "verified",
            "identity": {
                "uid": member["email"],
                "email": member["email"],
                "name": member["name"],
                "avatar_url": member["_user"]["avatar_url"],
            },
            "user": member["_user"],
            "created_at": self.life.stamp(),
            "expired_at": None,
            "revoked_at": None,
            "user_session_destroyed_at": None,
            "_provider": provider,
        }
        held.append(row)
        return row

    def end_authorization(self, row: Row, how: str) -> None:
        """how: expired, revoked or user_session_destroyed."""
        row |= {"state": f"verified_{how}", f"{how}_at": self.life.stamp()}

    # People and the organization

    def set_role(self, member: Row, role: str, by: Row | None = None) -> None:
        was, member["role"] = member["role"], role
        self.audit("ORGANIZATION_MEMBER_UPDATED", _member(member), by or self.life.somebody(), role=[was, role])

    def secure(self, member: Row, **security: bool) -> None:
        """two_factor_enabled, password_protected."""
        member["_security"] |= security

    def seen(self, member: Row) -> None:
        member["_last_seen_at"] = self.life.stamp()

    def remove_member(self, member: Row, by: Row | None = None) -> None:
        del self.organization.members[member["id"]]
        for team in self.organization.teams.values():
            team["_members"] = [one for one in team["_members"] if one["user_id"] != member["id"]]
        self.audit("ORGANIZATION_MEMBER_DELETED", _member(member), by or self.life.somebody())

    def settings(self, by: Row | None = None, **facts: Any) -> None:
        """The organization's own: SETTINGS names them."""
        unknown = facts.keys() - SETTINGS.keys()
        if unknown:
            raise ValueError(f"no setting {', '.join(sorted(unknown))}")
        self.organization.body.update({f"_{name}": value for name, value in facts.items()})
        subject = ("ORGANIZATION", self.organization.body["id"], self.organization.body["name"])
        self.audit("ORGANIZATION_SECURITY_SETTINGS_UPDATED", subject, by or self.life.somebody(), **facts)


def _camel(what: str) -> str:
    return rest_type(what).removesuffix("Event")


def _invitation(row: Row) -> tuple[str, str, str]:
    return ("ORGANIZATION_INVITATION", row["id"], row["email"])


def _provider(row: Row) -> tuple[str, str, str]:
    return ("SSO_PROVIDER", row["id"], PROVIDERS[row["type"]][0])


def _member(row: Row) -> tuple[str, str, str]:
    return ("ORGANIZATION_MEMBER", row["_uuid"], row["name"])
