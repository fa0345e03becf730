"""Which teams an invitation leads to, in which role, and every version of that which a load has seen.

Only GraphQL tells the role. The API gives one page of an invitation's teams, and 100 are asked for: `teams_count` in
invitations tells whether there are more.
"""

from collections.abc import Iterator, Mapping

from ..table import Inside, Item, Table, col, part


def rows(invitation: Item) -> Iterator[Item]:
    """One row a team of the invitation."""
    edges = part(invitation, "teams").get("edges")
    for edge in edges if isinstance(edges, list) else ():
        node = part(edge, "node") if isinstance(edge, Mapping) else None
        if node:
            role = node.get("role")
            told = {"invitation_id": invitation.get("id"), "role": role.lower() if isinstance(role, str) else role}
            yield {**node, **told}


TABLE = Table(
    grain="one row per invitation and team, and version of the role",
    fetch=Inside("invitations", named=True),
    rows=rows,
    key=("invitation_id", "team_id"),
    scope="graphql",
    load="scd2",
    columns=(
        col("invitation_id", "text", "The invitation's UUID."),
        col("organization_slug", "text", "The organization."),
        col("team_id", "text", "The team's UUID.", "team.id"),
        col("team_slug", "text", "The team's slug.", "team.slug"),
        col("role", "text", "Role in the team: member or maintainer."),
        col("graphql_id", "text", "GraphQL id of the assignment.", "id"),
    ),
)
