"""What has been asked build by build, so that nothing is asked twice: the other half of each work list.

A table such as annotations is asked for once for each build; what is not here yet, or changed since, is still to do.
"""

from ..table import Ours, Table, col

TABLE = Table(
    grain="one row per table and row that it was asked for",
    fetch=Ours(),
    key=("table_name", "item_id"),
    scope="",
    load="merge",
    columns=(
        col("table_name", "text", "The table that was asked for."),
        col("item_id", "text", "The row that it was asked for: a build's UUID."),
        col("organization_slug", "text", "The organization."),
        col("state", "text", "The state that the row had by then."),
        col("finished_at", "timestamp", "The finished_at that the row had by then."),
        col("outcome", "text", "read, or gone where the API did not find it."),
        col("found", "bigint", "How many rows the answer held."),
        col("last_seen_at", "timestamp", "When it was asked."),
        col("run_id", "text", "The load that asked, as in sync_runs."),
    ),
)
