"""What the demo's administrators did: tokens given and taken, people invited, single sign-on changed; and its audit.

It happens in the days before the demo's end, and goes by the calendar like everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from .answer import iso
from .governance import Governance
from .grounds import Grounds
from .look import derived
from .tokens import Token
from .world import Row

EVERYBODY = 5
"""How many of the first members came by an invitation that is still told."""


def govern(life: Grounds, token: Token, end: datetime) -> None:
    """Put it into the calendar; the clusters, people, teams and pipelines are there."""
    desk, people = Governance(life), list(life.organization.members.values())

    def ago(days: float, act: Callable[..., Any], *what: Any, **more: Any) -> None:
        life.world.at(end - timedelta(days=days), partial(act, *what, **more))

    desk.settings(
        allowed_api_ip_addresses="192.0.2.0/24 198.51.100.0/24",
        members_require_two_factor_authentication=True,
        revoke_inactive_tokens_after="days_90",
    )
    _agent_tokens(desk, ago)
    _api_access_tokens(desk, ago, people, token, iso(end + timedelta(days=90)))
    _invitations(desk, ago, people)
    _single_sign_on(desk, ago, people)
    for at, member in enumerate(people[:-2]):
        ago(at * 1.5, desk.seen, member)
        desk.secure(member, two_factor_enabled=at % 3 != 1)
    people[-1]["_complimentary"] = True
    desk.secure(people[-1], password_protected=False)
    ago(10, desk.set_role, people[4], "admin")
    ago(3, _by_others, desk, people)


Ago = Callable[..., None]


def _agent_tokens(desk: Governance, ago: Ago) -> None:
    desk.agent_token("Fleet of the monolith")
    old = desk.agent_token("Before the clusters")
    ago(25, desk.revoke_agent_token, old, "Everything moved to clusters")


def _api_access_tokens(desk: Governance, ago: Ago, people: list[Row], token: Token, expires: str) -> None:
    """The demo's own token is one of them; one is forgotten, without an end."""
    scopes = tuple(scope.lower() for scope in token.scopes)
    own = desk.api_access_token(people[0]["_user"], token.description, *scopes, id=token.uuid, expires_at=expires)
    robot = people[-1]["_user"]
    terraform = desk.api_access_token(robot, "Terraform", "graphql", "write_pipelines", expires_at=expires)
    desk.api_access_token(people[3]["_user"], "Script of a hack day", "read_builds")
    lost = desk.api_access_token(people[2]["_user"], "Lost laptop", "read_builds", "write_builds")
    ago(0.1, desk.use, own)
    ago(1, desk.use, terraform, "203.0.113.44")
    ago(40, desk.use, lost)
    ago(8, desk.revoke_api_access_token, lost)


def _invitations(desk: Governance, ago: Ago, people: list[Row]) -> None:
    """Some were accepted, by people who are there; one was revoked, one expired, two are open."""
    team = next(iter(desk.organization.teams))
    slug = desk.organization.teams[team]["slug"]
    for member in people[1:EVERYBODY]:
        desk.accept(desk.invite(member["email"], member["role"]), member["_user"])
    gone = desk.invite("mistake@elsewhere.example", "admin", "optional")
    late = desk.invite("late@acme.example", teams={slug: "member"})
    ago(29, desk.revoke_invitation, gone)
    ago(28, desk.expire_invitation, late)
    ago(2, desk.invite, "new.hire@acme.example", teams={slug: "maintainer"}, by=people[1]["_user"])
    ago(1, desk.invite, "contractor@partner.example", sso="optional")


def _single_sign_on(desk: Governance, ago: Ago, people: list[Row]) -> None:
    """From GitHub to SAML; Google was tried and never used."""
    github = desk.sso_provider("github_app", note="Be a member of our GitHub organization")
    desk.enable(github)
    saml = desk.sso_provider(
        "saml",
        email_domain="acme.example",
        email_domain_verification_address="postmaster@acme.example",
        email_domain_verified_at=desk.life.stamp(),
        pin_session_to_ip_address=True,
        session_duration_in_hours=12,
    )
    ago(26, desk.disable, github, "Replaced by SAML")
    ago(26, desk.enable, saml)
    ago(15, desk.sso_provider, "google_gsuite")
    ends = (None, "expired", "revoked", "user_session_destroyed")
    for at, member in enumerate(people[1:-2]):
        desk.authorize(member, github)
        ago(20 - at, _signed_in, desk, member, saml, ends[at % len(ends)])


def _signed_in(desk: Governance, member: Row, provider: Row, ended: str | None) -> None:
    for old in member.get("_authorizations", ()):
        desk.end_authorization(old, "expired")
    row = desk.authorize(member, provider)
    if ended:
        desk.end_authorization(row, ended)


def _by_others(desk: Governance, people: list[Row]) -> None:
    """A person by the API, and an agent."""
    org, stamp = desk.organization, desk.life.stamp
    pipeline, agent = next(iter(org.pipelines.values())), next(iter(org.agents.values()))
    token = next(iter(org.api_access_tokens))
    called = {"type": "APIContext", "request_ip": "203.0.113.44", "request_user_agent": "curl/8.5"}
    subject = ("PIPELINE", pipeline["id"], pipeline["name"])
    by_api = called | {"_request_api_access_token_uuid": token}
    desk.audit("PIPELINE_UPDATED", subject, people[0]["_user"], by_api, default_branch=["master", "main"])
    by_agent = {
        "type": "AgentAPIContext",
        "request_ip": "203.0.113.7",
        "_agent_uuid": agent["id"],
        "_authentication_type": "agent_access_token",
        "_connection_state": "connected",
        "_organization_uuid": org.body["id"],
        "_session_ip_address": "203.0.113.7",
    }
    desk.audit("SECRET_READ", ("SECRET", derived("Secret", org.body["id"]), "NPM"), agent, by_agent)
    escalated = {"type": "WebContext", "request_ip": "192.0.2.17", "request_user_agent": "Mozilla/5.0"}
    escalated |= {"_user": people[0]["_user"], "_session_created_at": stamp(-600), "_session_escalated_at": stamp(-60)}
    desk.audit("ORGANIZATION_UPDATED", ("ORGANIZATION", org.body["id"], org.body["name"]), None, escalated)
