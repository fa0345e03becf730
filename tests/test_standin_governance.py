"""The stand-in's tokens, invitations, single sign-on and audit log: what each filter lets through, and to whom."""

from __future__ import annotations

import json
from typing import Any

import pytest

from buildkite_elt.standin.demo import demo
from buildkite_elt.standin.governance import Governance
from buildkite_elt.standin.life import Life
from lively import Row, data, execute, lively, nodes, organization


@pytest.fixture
def life() -> Life:
    return lively()


@pytest.fixture
def desk(life: Life) -> Governance:
    return Governance(life)


def bob(life: Life) -> Row:
    return next(one for one in life.organization.members.values() if one["name"] == "Bob")


def told(life: Life, field: str, inside: str) -> list[Row]:
    return nodes(organization(life.world, f"{field} {{ edges {{ node {{ {inside} }} }} }}")[field.split("(")[0]])


def no_admin(life: Life) -> None:
    next(iter(life.world.tokens.values())).admin = False


# Tokens


def test_agent_tokens_are_both_kinds_or_one(life: Life, desk: Governance) -> None:
    good, old = desk.agent_token("Fleet"), desk.agent_token("Old")
    life.world.advance(60)
    desk.revoke_agent_token(old, "Leaked", bob(life)["_user"])
    assert [one["description"] for one in told(life, "agentTokens(revoked: false)", "description")] == ["Fleet"]
    (gone,) = told(life, "agentTokens(revoked: true)", "uuid revokedAt revokedReason revokedBy { name }")
    assert gone == {
        "uuid": old["id"],
        "revokedAt": old["revoked_at"],
        "revokedReason": "Leaked",
        "revokedBy": {"name": "Bob"},
    }
    assert {one["uuid"] for one in told(life, "agentTokens", "uuid")} == {good["id"], old["id"]}
    root = data(life.world, f'{{ agentToken(slug: "acme/{good["id"]}") {{ id description organization {{ slug }} }} }}')
    assert root["agentToken"]["description"] == "Fleet"
    assert root["agentToken"]["organization"] == {"slug": "acme"}
    again = data(life.world, f'{{ node(id: "{root["agentToken"]["id"]}") {{ ... on AgentToken {{ description }} }} }}')
    assert again["node"] == {"description": "Fleet"}


@pytest.mark.parametrize("field", ["agentTokens { edges { node { token } } }", 'agentTokens(after: "x") { count }'])
def test_a_secret_and_a_second_page_cannot_be_asked_for(life: Life, field: str) -> None:
    result = execute(life.world, f'{{ organization(slug: "acme") {{ {field} }} }}')
    assert list(result.body) == ["errors"]


def test_api_access_tokens_are_listed_until_they_are_revoked(life: Life, desk: Governance) -> None:
    token = desk.api_access_token(bob(life)["_user"], "CLI", "read_builds", "graphql")
    other = desk.api_access_token(bob(life)["_user"], "Other", "read_builds")
    life.world.advance(60)
    desk.use(token, "192.0.2.9")
    found = told(life, "apiAccessTokens", "uuid scopes owner { name } lastAccessedAt ipAddress expiresAt")
    assert {one["uuid"]: one for one in found}[token["id"]] == {
        "uuid": token["id"],
        "scopes": ["READ_BUILDS", "GRAPHQL"],
        "owner": {"name": "Bob"},
        "lastAccessedAt": token["last_accessed_at"],
        "ipAddress": "192.0.2.9",
        "expiresAt": None,
    }
    desk.revoke_api_access_token(token)
    connection = organization(life.world, "apiAccessTokens(first: 5) { nodes { uuid } pageInfo { hasNextPage } }")
    assert connection["apiAccessTokens"] == {"nodes": [{"uuid": other["id"]}], "pageInfo": {"hasNextPage": False}}


# Invitations


def test_invitations_by_state_and_in_order(life: Life, desk: Governance) -> None:
    for address in ("c@x.example", "a@x.example", "b@x.example", "d@x.example"):
        desk.invite(address, teams={"web": "maintainer"})
        life.world.advance(60)
    pending, accepted, revoked, expired = life.organization.invitations.values()
    user = desk.accept(accepted)
    desk.revoke_invitation(revoked)
    desk.expire_invitation(expired)
    newest = [one["email"][0] for one in told(life, "invitations", "email")]
    assert newest == ["d", "b", "a", "c"]
    assert [one["email"][0] for one in told(life, "invitations(order: EMAIL)", "email")] == ["a", "b", "c", "d"]
    states = {one["email"][0]: one["state"] for one in told(life, "invitations", "email state")}
    assert states == {"c": "PENDING", "a": "ACCEPTED", "b": "REVOKED", "d": "EXPIRED"}
    ended = told(life, "invitations(state: [REVOKED, EXPIRED])", "email")
    assert [one["email"][0] for one in ended] == ["d", "b"]
    assert life.organization.members[user["id"]]["role"] == "member"
    assert user["id"] in {one["user_id"] for one in next(iter(life.organization.teams.values()))["_members"]}
    inside = "slug sso { mode } teams(first: 5) { count edges { node { id role team { slug } } } }"
    root = f'{{ organizationInvitation(slug: "acme/{pending["id"]}") {{ {inside} }} }}'
    found = data(life.world, root)["organizationInvitation"]
    assert found["slug"] == f"acme/{pending['id']}"
    assert found["sso"] == {"mode": "REQUIRED"}
    assert [(one["role"], one["team"]) for one in nodes(found["teams"])] == [("MAINTAINER", {"slug": "web"})]


# Single sign-on

KINDS = """__typename ... on SSOProviderSAML { digestMethod signatureMethod identityProvider { name ssoURL }
serviceProvider { issuer } } ... on SSOProviderGitHubApp { githubOrganizationName }
... on SSOProviderGoogleGSuite { googleHostedDomain discloseGoogleHostedDomain }"""


def test_providers_of_all_three_kinds(life: Life, desk: Governance) -> None:
    for kind in ("saml", "github_app", "google_gsuite"):
        desk.sso_provider(kind)
        life.world.advance(60)
    found = {one.pop("type"): one for one in told(life, "ssoProviders", f"type state {KINDS}")}
    assert found["GITHUB_APP"] == {
        "state": "CREATED",
        "__typename": "SSOProviderGitHubApp",
        "githubOrganizationName": "acme",
    }
    assert found["GOOGLE_GSUITE"]["googleHostedDomain"] == "acme.example"
    assert (found["SAML"]["digestMethod"], found["SAML"]["signatureMethod"]) == ("SHA256", "RSA_SHA256")
    for one in life.organization.sso_providers.values():
        for root in (f'slug: "acme/{one["id"]}"', f'uuid: "{one["id"]}"'):
            asked = data(life.world, f"{{ ssoProvider({root}) {{ uuid id }} }}")["ssoProvider"]
            assert asked["uuid"] == one["id"]
            node = data(life.world, f'{{ node(id: "{asked["id"]}") {{ ... on SSOProvider {{ uuid }} }} }}')["node"]
            assert node == {"uuid": one["id"]}


def test_a_provider_is_enabled_and_people_sign_in_by_it(life: Life, desk: Governance) -> None:
    saml = desk.sso_provider("saml")
    inside = "sso { isEnabled provider { name } }"
    assert organization(life.world, inside)["sso"] == {"isEnabled": False, "provider": None}
    desk.enable(saml)
    assert organization(life.world, inside)["sso"] == {"isEnabled": True, "provider": {"name": "SAML"}}
    ended = desk.authorize(bob(life), saml)
    life.world.advance(60)
    desk.authorize(bob(life), saml)
    desk.end_authorization(ended, "revoked")
    asked = "authorizations(state: [VERIFIED_REVOKED]) { edges { node { uuid revokedAt ssoProvider { uuid } "
    found = told(life, "members", f"sso {{ mode {asked} identity {{ email }} }} }} }} }}")
    (one,) = [node for member in found for node in nodes(member["sso"]["authorizations"])]
    assert one == {
        "uuid": ended["id"],
        "revokedAt": ended["revoked_at"],
        "ssoProvider": {"uuid": saml["id"]},
        "identity": {"email": "bob@acme.example"},
    }
    desk.disable(saml, "Too slow")
    (provider,) = told(life, "ssoProviders", "state disabledReason disabledBy { name }")
    assert provider == {"state": "DISABLED", "disabledReason": "Too slow", "disabledBy": {"name": "Ada Admin"}}


def test_the_organizations_settings(life: Life, desk: Governance) -> None:
    inside = "allowedApiIpAddresses isTeamsEnabled membersRequireTwoFactorAuthentication revokeInactiveTokensAfter"
    assert list(organization(life.world, inside).values()) == [None, True, False, "NEVER"]
    desk.settings(members_require_two_factor_authentication=True, revoke_inactive_tokens_after="days_30")
    assert list(organization(life.world, inside).values()) == [None, True, True, "DAYS_30"]
    with pytest.raises(ValueError, match="no setting colour"):
        desk.settings(colour="red")


# The audit log


def test_audit_events_by_type_actor_subject_and_time(life: Life, desk: Governance) -> None:
    start = life.stamp()
    desk.set_role(bob(life), "admin")
    life.world.advance(60)
    middle = life.stamp()
    token = desk.agent_token("Fleet", bob(life)["_user"])

    def kinds(arguments: str) -> list[str]:
        return [one["type"] for one in told(life, f"auditEvents({arguments})", "type")]

    both = ["AGENT_TOKEN_CREATED", "ORGANIZATION_MEMBER_UPDATED"]
    assert kinds("first: 9") == kinds("order: RECENTLY_OCCURRED") == kinds(f'occurredAtFrom: "{start}"') == both
    assert kinds(f'occurredAtFrom: "{middle}"') == both[:1]
    assert kinds(f'occurredAtTo: "{middle}"') == both[1:]
    assert kinds("type: [ORGANIZATION_MEMBER_UPDATED]") == both[1:]
    assert kinds("subjectType: [AGENT_TOKEN]") == kinds(f'subjectUUID: ["{token["id"]}"]') == both[:1]
    assert kinds(f'subject: ["{token["graphql_id"]}"]') == both[:1]
    assert kinds(f'actor: ["{bob(life)["_user"]["graphql_id"]}"]') == both[:1]
    assert (kinds("actorType: [USER]"), kinds("actorType: [AGENT]")) == (both, [])


def test_an_audit_event_in_both_spellings(life: Life, desk: Governance) -> None:
    desk.set_role(bob(life), "admin")
    (row,) = life.organization.audit_events.values()
    assert (row["type"], row["actor"]["type"]) == ("OrganizationMemberUpdatedEvent", "User")
    asked = f'{{ auditEvent(uuid: "{row["uuid"]}") {{ type data actor {{ type name }} subject {{ type uuid }} }} }}'
    event = data(life.world, asked)["auditEvent"]
    assert json.loads(event.pop("data")) == {"role": ["member", "admin"]}
    assert event == {
        "type": "ORGANIZATION_MEMBER_UPDATED",
        "actor": {"type": "USER", "name": "Ada Admin"},
        "subject": {"type": "ORGANIZATION_MEMBER", "uuid": bob(life)["_uuid"]},
    }


def test_the_demo_has_some_of_each() -> None:
    world = demo(days=16, pipelines=12, builds_per_day=1)
    fields = "agentTokens { count } invitations { count } ssoProviders { count } auditEvents { count }"
    asked = f'{{ organization(slug: "acme-inc") {{ {fields} apiAccessTokens {{ nodes {{ uuid }} }} }} }}'
    found = data(world, asked)["organization"]
    (stores,) = world.organizations.values()
    assert found.pop("apiAccessTokens")["nodes"][-1]["uuid"] in stores.api_access_tokens
    counts = {name: one["count"] for name, one in found.items()}
    assert counts == {
        "agentTokens": len(stores.agent_tokens),
        "invitations": len(stores.invitations),
        "ssoProviders": len(stores.sso_providers),
        "auditEvents": len(stores.audit_events),
    }
    assert min(counts.values()) > 1
    contexts = 'organization(slug: "acme-inc") { auditEvents { edges { node { context { __typename } } } } }'
    events = nodes(data(world, f"{{ {contexts} }}")["organization"]["auditEvents"])
    kinds = {one["context"]["__typename"] for one in events}
    assert kinds == {"AuditAPIContext", "AuditAgentAPIContext", "AuditWebContext"}


# Who is told


@pytest.mark.parametrize("field", ["agentTokens", "auditEvents", "invitations", "ssoProviders"])
def test_what_may_be_null_is_null_for_others(life: Life, desk: Governance, field: str) -> None:
    desk.agent_token("Fleet")
    no_admin(life)
    assert organization(life.world, f"slug {field} {{ count }}") == {"slug": "acme", field: None}


def test_what_may_not_be_null_is_an_error_for_others(life: Life) -> None:
    no_admin(life)
    asked = '{ organization(slug: "acme") { slug apiAccessTokens { nodes { uuid } } } }'
    body = execute(life.world, asked).body
    assert body["data"] == {"organization": None}
    assert [one["path"] for one in body["errors"]] == [["organization", "apiAccessTokens"]]


def test_roots_and_settings_are_null_for_others(life: Life, desk: Governance) -> None:
    token = desk.agent_token("Fleet")
    (event,) = life.organization.audit_events
    no_admin(life)
    asked = f'{{ agentToken(slug: "acme/{token["id"]}") {{ uuid }} auditEvent(uuid: "{event}") {{ uuid }}'
    asked += f' node(id: "{token["graphql_id"]}") {{ id }} }}'
    assert data(life.world, asked) == {"agentToken": None, "auditEvent": None, "node": None}
    inside = "allowedApiIpAddresses membersRequireTwoFactorAuthentication revokeInactiveTokensAfter sso { isEnabled }"
    assert set(organization(life.world, inside).values()) == {None}


def test_a_member_sees_what_is_his_own_and_nobody_elses(life: Life) -> None:
    next(iter(life.world.tokens.values())).user_id = bob(life)["id"]
    no_admin(life)
    inside = "members { edges { node { user { name } lastSeenAt sso { mode authorizations { count } } } } }"
    found = {one["user"]["name"]: one for one in nodes(organization(life.world, inside)["members"])}
    assert found["Bob"]["sso"] == {"mode": "REQUIRED", "authorizations": {"count": 0}}
    assert found["Bob"]["lastSeenAt"]
    assert found["Ada Admin"]["sso"] == {"mode": None, "authorizations": None}
    assert found["Ada Admin"]["lastSeenAt"] is None
    secure = "members { edges { node { user { name } security { twoFactorEnabled } } } }"
    body: dict[str, Any] = execute(life.world, f'{{ organization(slug: "acme") {{ {secure} }} }}').body
    edges = body["data"]["organization"]["members"]["edges"]
    assert {edge["node"] and edge["node"]["user"]["name"] for edge in edges} == {"Bob", None}
    assert len(body["errors"]) == 1
