"""Logs of jobs, one row each: how large, how many lines and sections, from when to when, and its first error.

Asked for job by job once it has ended, one request each; by default for jobs that failed (softly, too), timed out or
were retried, the failed ones first, the newest first. Of a log of more than 2 MiB the end is kept, unless the whole is
wanted: its lines are numbered from the end, the last one -1. A log that is not there (any more) has a row that says so.
A log is read once. Its lines, sections, errors and numbers are in job_log_lines, job_log_groups, job_log_matches and
log_numbers.
"""

from ..table import LOG_ENDED, TROUBLED, Errand, Table, col

TABLE = Table(
    grain="one row per job whose log was asked for",
    fetch=Errand(
        "jobs",
        "organizations/{organization}/pipelines/{pipeline}/builds/{build}/jobs/{job}/log",
        bind={"build": "build_number", "job": "id"},
        given={"job_id": "id", "build_id": "build_id", "pipeline_id": "pipeline_id", "pipeline_slug": "pipeline_slug"},
        when=LOG_ENDED,
        states=TROUBLED,
        version="'ended'",
        log=True,
    ),
    key=("job_id",),
    scope="read_build_logs",
    load="merge",
    columns=(
        col("job_id", "text", "Job UUID, of this attempt."),
        col("organization_slug", "text", "Its organization."),
        col("pipeline_id", "text", "Its pipeline's UUID."),
        col("pipeline_slug", "text", "Its pipeline's slug by then."),
        col("build_id", "text", "Its build's UUID."),
        col("bytes", "bigint", "Bytes of the log at Buildkite; null where it is gone."),
        col("read_bytes", "bigint", "Bytes of the lines that were read: of all, or of the end of it."),
        col("lines", "bigint", "Lines that were read."),
        col("groups", "bigint", "Sections that begin in them."),
        col("commands", "bigint", "Lines in which the agent says what it runs."),
        col("first_at", "timestamp", "Moment of the first line that was read, by the agent's clock."),
        col("last_at", "timestamp", "Moment of the last output, by the agent's clock."),
        col("ts_source", "text", "Where the moments come from: marker, prefix or header_times; null for none."),
        col("error_lines", "bigint", "Lines that a signature of an error matches."),
        col("error_line", "bigint", "The line that says best why it failed: see job_log_matches."),
        col("error_class", "text", "What kind of error that is."),
        col("error_text", "text", "Text of that line."),
        col("overwritten_lines", "bigint", "Lines of which something was written over, as progress bars do."),
        col("bad_utf8_lines", "bigint", "Lines that were not UTF-8 and were mended."),
        col("cut_lines", "bigint", "Lines of more than 1 MiB, of which the two ends were kept."),
        col("truncated", "bool", "Whether only the end of the log was read."),
        col("gone", "bool", "Whether there was no log (any more)."),
        col("masked", "json", "How many secrets were masked before storing, by kind."),
        col("fetched_at", "timestamp", "When it was read, by the server's clock."),
    ),
)
