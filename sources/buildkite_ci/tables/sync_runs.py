"""Every load and what became of each of its tables, failures included.

A load that an error ended has a row for each table that it had not done with, as far as the destination can be written:
otherwise the next load from the same working directory brings them.
"""

from ..table import Ours, Table, col

TABLE = Table(
    grain="one row per load, organization and table",
    fetch=Ours(),
    key=("run_id", "organization_slug", "table_name"),
    scope="",
    load="append",
    columns=(
        col("run_id", "text", "The load: a UUID of its own."),
        col("organization_slug", "text", "The organization."),
        col("table_name", "text", "The table."),
        col("outcome", "text", "loaded, skipped (not allowed), failed, or waiting (the budget was spent)."),
        col("reason", "text", "Why it was not loaded, in a sentence; null if it was."),
        col("rows", "bigint", "Rows read, those of a second reading included."),
        col("started_at", "timestamp", "When the load began."),
        col("finished_at", "timestamp", "When the load ended."),
    ),
)
