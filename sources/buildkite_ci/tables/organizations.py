"""The organization that a load is for: its names and its addresses in the API."""

from ..table import Rest, Table, col

TABLE = Table(
    grain="one row per organization",
    fetch=Rest("organizations/{organization}", one=True),
    key=("id",),
    scope="read_organizations",
    load="merge",
    columns=(
        col("id", "text", "Organization UUID."),
        col("graphql_id", "text", "GraphQL id."),
        col("slug", "text", "Name in URLs; may change."),
        col("name", "text", "Name for people."),
        col("url", "url", "Address in the API."),
        col("web_url", "url", "Address for people."),
        col("agents_url", "url", "Address of its agents in the API."),
        col("emojis_url", "url", "Address of its emojis in the API."),
        col("pipelines_url", "url", "Address of its pipelines in the API."),
        col("created_at", "timestamp", "When it was made."),
        col("last_seen_at", "timestamp", "When a load last saw it."),
    ),
)
