"""Invitations to the organization in every state, and every version of them that a load has seen.

For those who may invite. REST lists the pending ones only. An invitation is pending, and then accepted, revoked or
expired.
"""

from collections.abc import Iterator

from ..table import GraphQL, Item, Table, col, part, user


def rows(invitation: Item) -> Iterator[Item]:
    """The invitation with its role, state and mode in REST's words."""
    told = {**invitation, "sso_mode": part(invitation, "sso").get("mode")}
    said = {name: told.get(name) for name in ("role", "state", "sso_mode")}
    yield {**told, **{name: word.lower() if isinstance(word, str) else word for name, word in said.items()}}


TABLE = Table(
    grain="one row per invitation and version of it",
    fetch=GraphQL(named=True, admin=True),
    rows=rows,
    key=("id",),
    scope="graphql",
    load="scd2",
    elsewhere=("sso", "teams.edges"),  # sso_mode, and the table invitation_teams
    columns=(
        col("id", "text", "Invitation UUID."),
        col("graphql_id", "text", "GraphQL id."),
        col("organization_slug", "text", "The organization."),
        col("email", "email", "Who is invited: the domain only unless asked for."),
        col("state", "text", "pending, accepted, revoked or expired."),
        col("role", "text", "Role in the organization: admin or member."),
        col("sso_mode", "text", "Whether single sign-on will be required or optional."),
        col("teams_count", "bigint", "Teams that it names; invitation_teams has the first 100.", "teams.count"),
        col("created_at", "timestamp", "When it was sent."),
        *user("created_by", "Who invited")[:4],
        col("accepted_at", "timestamp", "When it was accepted."),
        *user("accepted_by", "Who accepted")[:4],
        col("revoked_at", "timestamp", "When it was taken back."),
        *user("revoked_by", "Who took it back")[:4],
        col("expired_at", "timestamp", "When it ended by itself."),
    ),
)
