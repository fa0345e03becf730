"""Lines of job logs that tell of an error, by signatures: what kind, and the same text for the same failure.

Signatures are data: `signatures.toml`, and the user's own beside it (docs/logs.md). A line has one row, of the first
signature that matches it.
"""

from ..table import Inside, Table, col

TABLE = Table(
    grain="one row per line that a signature matches",
    fetch=Inside("job_logs", named=True),
    key=("job_id", "line"),
    scope="read_build_logs",
    load="merge",
    whole="job_id",
    columns=(
        col("job_id", "text", "Job UUID, as in job_logs."),
        col("organization_slug", "text", "Its organization."),
        col("line", "bigint", "The line, as in job_log_lines."),
        col("at", "timestamp", "When the line began, by the agent's clock."),
        col("group_number", "bigint", "Its section, as in job_log_groups."),
        col("signature", "text", "The signature that matches."),
        col("class", "text", "What kind of failure that is: test, build, infrastructure and so on."),
        col("weight", "double", "How much it says of why the job failed; the heaviest is the job's own error."),
        col("text", "text", "What the line says, secrets masked."),
        col("normalized", "text", "The same without numbers, times, paths and ids, so that equal failures are equal."),
    ),
)
