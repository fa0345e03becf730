"""Numbers out of job logs by named patterns, such as coverage or tests run, for series over time.

Patterns are data: `[[number]]` in `signatures.toml`, and the user's own beside it (docs/logs.md).
"""

from ..table import Inside, Table, col

TABLE = Table(
    grain="one row per line and named number",
    fetch=Inside("job_logs", named=True),
    key=("job_id", "name", "line"),
    scope="read_build_logs",
    load="merge",
    whole="job_id",
    columns=(
        col("job_id", "text", "Job UUID, as in job_logs."),
        col("organization_slug", "text", "Its organization."),
        col("name", "text", "What the number is."),
        col("line", "bigint", "The line, as in job_log_lines."),
        col("at", "timestamp", "When the line began, by the agent's clock."),
        col("value", "double", "The number."),
        col("unit", "text", "What it counts; null where the pattern says none."),
    ),
)
