"""Numbers that no build of a pipeline here has, and whether Buildkite still has that build: written by `verify`.

The numbers of a pipeline's builds are dense, so a gap is a build that was deleted, or one that is missing here. Each
is asked for once; one that was found is asked for again, until it is loaded.
"""

from ..table import Ours, Table, col

TABLE = Table(
    grain="one row per pipeline and number",
    fetch=Ours(),
    key=("pipeline_id", "number"),
    scope="",
    load="merge",
    columns=(
        col("organization_slug", "text", "The organization."),
        col("pipeline_id", "text", "The pipeline's UUID."),
        col("number", "bigint", "The number."),
        col("found", "bool", "Whether Buildkite has such a build; if not, it was deleted or never made."),
        col("checked_at", "timestamp", "When it was asked for, by the server's clock."),
    ),
)
