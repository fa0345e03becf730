"""What each load cost at the API, by table: requests, points, bytes, waits and refusals."""

from ..table import Ours, Table, col

TABLE = Table(
    grain="one row per load, organization, API and table",
    fetch=Ours(),
    key=("run_id", "organization_slug", "api", "table_name"),
    scope="",
    load="append",
    columns=(
        col("run_id", "text", "The load, as in sync_runs."),
        col("organization_slug", "text", "The organization."),
        col("api", "text", "rest or graphql."),
        col("table_name", "text", "The table whose pages were asked for (jobs come with builds)."),
        col("requests", "bigint", "Requests that were answered."),
        col("points", "bigint", "GraphQL points spent, as the API counted them."),
        col("bytes", "bigint", "Bytes of the answers' bodies."),
        col("refused", "bigint", "Answers 429."),
        col("waited_seconds", "double", "Seconds waited for a window to turn."),
        col("observed_at", "timestamp", "When the load ended."),
    ),
)
