"""Variables of jobs, as the API tells them afterwards: names always, values only as far as they were asked for.

Asked for job by job once it has ended, one request each. A value is null, with a key its hash, and stored as it is
where `--show env` or `--show env:NAME` says so.
"""

from collections.abc import Iterator

from ..table import JOB_ENDED, TROUBLED, Errand, Item, Table, col, part


def rows(job: Item) -> Iterator[Item]:
    """One row a variable."""
    above = {name: job.get(name) for name in ("job_id", "build_id", "pipeline_id")}
    for name, value in part(job, "env").items():
        yield {**above, "name": name, "value": [name, value if isinstance(value, str) else str(value)]}


TABLE = Table(
    grain="one row per job and variable",
    fetch=Errand(
        "jobs",
        "organizations/{organization}/pipelines/{pipeline}/builds/{build}/jobs/{job}/env",
        bind={"build": "build_number", "job": "id"},
        given={"job_id": "id", "build_id": "build_id", "pipeline_id": "pipeline_id"},
        when=JOB_ENDED,
        states=TROUBLED,
        version="'ended'",
        one=True,
    ),
    rows=rows,
    key=("job_id", "name"),
    scope="read_job_env",
    load="merge",
    columns=(
        col("organization_slug", "text", "Its organization."),
        col("pipeline_id", "text", "Its pipeline's UUID."),
        col("build_id", "text", "Its build's UUID."),
        col("job_id", "text", "Job UUID, of this attempt."),
        col("name", "text", "Name of the variable."),
        col("value", "variable", "Its value as far as it was asked for: see above."),
        col("last_seen_at", "timestamp", "When a load last read it."),
    ),
)
