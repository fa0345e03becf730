"""What each load's selection held, what of it is here, what waits and why: no gap without a row.

For what is read in windows (builds, and the jobs in them) the selection is a span of created_at, and `missing_from`
to `missing_to` its newest part that is not read yet. For what is asked build by build it is a number of builds. For a
snapshot it is the listing, which is loaded whole or not at all.
"""

from ..table import Ours, Table, col

TABLE = Table(
    grain="one row per load, organization and table",
    fetch=Ours(),
    key=("run_id", "organization_slug", "table_name"),
    scope="",
    load="append",
    columns=(
        col("run_id", "text", "The load, as in sync_runs."),
        col("organization_slug", "text", "The organization."),
        col("table_name", "text", "The table."),
        col(
            "selected", "bigint", "What the selection held: rows of a snapshot, or builds to ask for; null for windows."
        ),
        col("loaded", "bigint", "How many of these have been read; null for windows."),
        col("waiting", "bigint", "How many have not; null for windows."),
        col("reason", "text", "Why something waits: budget, scope, error, retention; null where nothing does."),
        col("selected_from", "timestamp", "For windows: the begin of the selection."),
        col("covered_from", "timestamp", "For windows: since when every build has been read, up to covered_to."),
        col("covered_to", "timestamp", "For windows: until when every build has been read."),
        col("missing_from", "timestamp", "For windows: the begin of the newest span that waits; null for none."),
        col("missing_to", "timestamp", "For windows: the end of that span."),
        col("oldest_missing_at", "timestamp", "The moment of creation of the oldest thing that waits."),
        col("observed_at", "timestamp", "When the load ended."),
    ),
)
