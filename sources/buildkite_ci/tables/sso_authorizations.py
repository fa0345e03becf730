"""Single sign-ons of the members: who signed in by which provider, and how it ended.

For administrators only; others may see their own. Of each member the first 50 that the API lists are asked for each
time; one that is not listed any more stays as it was last seen. `sso_authorizations_count` in member_security tells
how many there are.
"""

from collections.abc import Iterator, Mapping

from ..table import GraphQL, Item, Table, col, part


def rows(member: Item) -> Iterator[Item]:
    """One row an authorization of the member."""
    edges = part(part(member, "sso"), "authorizations").get("edges")
    for edge in edges if isinstance(edges, list) else ():
        node = part(edge, "node") if isinstance(edge, Mapping) else None
        if node:
            state = node.get("state")
            told = {"state": state.lower() if isinstance(state, str) else state, "member_id": member.get("id")}
            yield {**node, **told, "user_id": part(member, "user").get("id")}


TABLE = Table(
    grain="one row per authorization",
    fetch=GraphQL(named=True, admin=True),
    rows=rows,
    key=("id",),
    scope="graphql",
    load="merge",
    columns=(
        col("id", "text", "Authorization UUID."),
        col("graphql_id", "text", "GraphQL id."),
        col("organization_slug", "text", "The organization."),
        col("member_id", "text", "The member's UUID, as in member_security."),
        col("user_id", "text", "User UUID, as in members."),
        col("sso_provider_id", "text", "The provider's UUID, as in sso_providers.", "sso_provider.id"),
        col("state", "text", "verified, and verified_expired, verified_revoked or verified_user_session_destroyed."),
        col("identity_uid", "email", "How the provider calls the person; it may be an e-mail.", "identity.uid"),
        col("identity_email", "email", "E-mail that the provider tells, its domain only.", "identity.email"),
        col("identity_name", "text", "Name that the provider tells.", "identity.name"),
        col("identity_avatar_url", "url", "Picture that the provider tells.", "identity.avatar_url"),
        col("created_at", "timestamp", "When the person signed in."),
        col("expired_at", "timestamp", "When it ended by itself."),
        col("revoked_at", "timestamp", "When it was revoked."),
        col("user_session_destroyed_at", "timestamp", "When the person signed out."),
        col("last_seen_at", "timestamp", "When a load last found it."),
    ),
)
