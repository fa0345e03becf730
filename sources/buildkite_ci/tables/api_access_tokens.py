"""API access tokens that may see the organization, and every version of what they may do that a load has seen.

For administrators only. A token is listed in every organization that it may see. One that was revoked is not listed any
more: its last version ends. The secret itself is never asked for. When and from where a token was last used is as it
was when its version began: a use makes no new version, and `api_access_token_activity` has the latest.
"""

from collections.abc import Iterator

from ..table import GraphQL, Item, Table, col, user


def rows(token: Item) -> Iterator[Item]:
    """The token with its scopes in REST's words, as in access_token_scopes, in order."""
    scopes = token.get("scopes")
    if isinstance(scopes, list):
        scopes = sorted(scope.lower() if isinstance(scope, str) else str(scope) for scope in scopes)
    yield {**token, "scopes": scopes}


TABLE = Table(
    grain="one row per organization, token and version of what it may do",
    fetch=GraphQL(named=True, admin=True),
    rows=rows,
    key=("organization_slug", "id"),
    scope="graphql",
    load="scd2",
    columns=(
        col("id", "text", "The token's UUID, as in access_token."),
        col("graphql_id", "text", "GraphQL id."),
        col("organization_slug", "text", "The organization."),
        col("description", "text", "What its owner says it is for."),
        col("scopes", "json", "List of the scopes it has here: read_builds, graphql and so on."),
        *user("owner", "Whose it is")[:4],
        col("created_at", "timestamp", "When it was made."),
        col("expires_at", "timestamp", "When it ends; null for never."),
        col("last_accessed_at", "timestamp", "When it was last used, as of when this version began.", now=True),
        col("ip_address", "ip", "Where from, the network only unless asked for; as of then, too.", now=True),
    ),
)
