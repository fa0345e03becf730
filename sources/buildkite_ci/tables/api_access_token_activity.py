"""When and from where each API access token was last used: as of the last load.

Kept apart from `api_access_tokens`, which has a row for each version of what a token may do: a use makes no version. A
token that was revoked keeps its last row; `last_seen_at` says when a load read it.
"""

from ..table import Inside, Table, col

TABLE = Table(
    grain="one row per organization and token",
    fetch=Inside("api_access_tokens", named=True),
    key=("organization_slug", "id"),
    scope="graphql",
    load="merge",
    elsewhere=("description", "scopes", "owner", "created_at", "expires_at"),  # api_access_tokens
    columns=(
        col("id", "text", "The token's UUID, as in api_access_tokens."),
        col("graphql_id", "text", "GraphQL id."),
        col("organization_slug", "text", "The organization."),
        col("last_accessed_at", "timestamp", "When it was last used; null for never."),
        col("ip_address", "ip", "Where from, the network only unless asked for."),
        col("last_seen_at", "timestamp", "When a load last read it."),
    ),
)
