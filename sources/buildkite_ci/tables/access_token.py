"""The API token that the loads use: what it is called and when it ends. The token itself is never stored.

Buildkite has been seen to tell no more than the UUID and the scopes (api.md 1.3).
"""

from ..table import Rest, Table, col

TABLE = Table(
    grain="one row per API token that was used for a load",
    fetch=Rest("access-token", one=True),
    key=("uuid",),
    scope="",
    load="merge",
    elsewhere=("scopes",),  # the table access_token_scopes
    columns=(
        col("uuid", "text", "Token UUID."),
        col("description", "text", "What its owner calls it."),
        col("created_at", "timestamp", "When it was made."),
        col("expires_at", "timestamp", "When it ends; null if it does not."),
        col("user_name", "text", "Its owner's name.", "user.name"),
        col("user_email", "email", "Its owner's e-mail, the domain only unless asked for.", "user.email"),
        col("last_seen_at", "timestamp", "When a load last used it."),
    ),
)
