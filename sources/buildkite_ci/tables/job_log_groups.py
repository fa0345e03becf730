"""Sections of job logs: what `---`, `+++` and `~~~` open, when each began and how long it took."""

from ..table import Inside, Table, col

TABLE = Table(
    grain="one row per section",
    fetch=Inside("job_logs", named=True),
    key=("job_id", "number"),
    scope="read_build_logs",
    load="merge",
    whole="job_id",
    columns=(
        col("job_id", "text", "Job UUID, as in job_logs."),
        col("organization_slug", "text", "Its organization."),
        col("number", "bigint", "Number of the section, from 1; from -1 back where only the end was read."),
        col("marker", "text", "How it is opened: --- or +++ or ~~~."),
        col("name", "text", "What it is called, secrets masked."),
        col("first_line", "bigint", "Its first line, which opens it."),
        col("last_line", "bigint", "Its last line."),
        col("lines", "bigint", "Lines of it."),
        col("bytes", "bigint", "Bytes of it in the log."),
        col("started_at", "timestamp", "When it began, by the agent's clock."),
        col("duration_ms", "bigint", "Milliseconds until the next one began, of the last one until the log's end."),
        col("expanded", "bool", "Whether `^^^ +++` opened it, as an agent does where something failed."),
        col("error_lines", "bigint", "Lines of it that a signature of an error matches."),
    ),
)
