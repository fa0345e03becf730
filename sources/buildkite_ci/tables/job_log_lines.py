"""Lines of job logs: when, in which section, and what a reader sees of each, without escape codes.

A progress bar's line holds what it showed last. `at` is a word of DuckDB's SQL: write `"at"`, or `l.at`.

`flags` is a sum: 1 opens a section, 2 `^^^ +++`, 4 command, 8 comment, 16 written over, 32 was not UTF-8, 64 cut in the
middle, 128 the log's last line without its end, 256 error, 512 image.
"""

from ..table import Inside, Table, col

TABLE = Table(
    grain="one row per line",
    fetch=Inside("job_logs", named=True),
    key=("job_id", "line"),
    scope="read_build_logs",
    load="merge",
    whole="job_id",
    columns=(
        col("job_id", "text", "Job UUID, as in job_logs."),
        col("organization_slug", "text", "Its organization."),
        col("line", "bigint", "Number of the line, from 1; from -1 back where only the end of the log was read."),
        col("at", "timestamp", "When the line began, by the agent's clock."),
        col("at_end", "timestamp", "When it was last written to, where that was later."),
        col("group_number", "bigint", "Its section, as in job_log_groups; null before the first."),
        col("text", "text", "What it says, secrets masked."),
        col("flags", "bigint", "What else is known of it, see above."),
        col("bytes", "bigint", "Bytes of it in the log, its line end included."),
    ),
)
