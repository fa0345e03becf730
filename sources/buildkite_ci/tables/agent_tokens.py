"""Agent tokens outside of clusters, and every version of them that a load has seen; those that were revoked, too.

For administrators only. The secret itself is never asked for. The listing has no pages: the first 500 of those in use
and the first 500 revoked ones (api.md 5.7); a load says how many more there are.
"""

from collections.abc import Iterator

from ..table import GraphQL, Item, Table, col, part, user


def rows(organization: Item) -> Iterator[Item]:
    """The tokens of both listings."""
    for listing in ("current", "revoked"):
        edges = part(organization, listing).get("edges")
        for edge in edges if isinstance(edges, list) else ():
            if token := part({"edge": edge}, "edge").get("node"):
                yield token


TABLE = Table(
    grain="one row per agent token outside of clusters and version of it",
    fetch=GraphQL(many=True, named=True, admin=True),
    rows=rows,
    key=("id",),
    scope="graphql",
    load="scd2",
    columns=(
        col("id", "text", "The token's UUID."),
        col("graphql_id", "text", "GraphQL id."),
        col("organization_slug", "text", "Its organization."),
        col("description", "text", "What it is for."),
        col("public", "bool", "Whether agents that use it are listed publicly."),
        col("created_at", "timestamp", "When it was made."),
        *user("created_by", "Who made it")[:4],
        col("revoked_at", "timestamp", "When it was revoked; null while it is in use."),
        *user("revoked_by", "Who revoked it")[:4],
        col("revoked_reason", "text", "Why it was revoked."),
    ),
)
