"""What only GraphQL knows of a job: when it was canceled, its concurrency group and limit, its rules for retries.

Asked for job by job once it has ended, failed ones first; so it is loaded only when it is named. One to four points a
job.
"""

from collections.abc import Iterator

from ..table import JOB_ENDED, Errand, Item, Table, col, decoded


def rows(job: Item) -> Iterator[Item]:
    """The job with its matrix read."""
    yield {**job, "matrix": decoded(job.get("matrix"))}


TABLE = Table(
    grain="one row per job attempt of type script",
    fetch=Errand(
        "jobs",
        bind={"job": "id"},
        given={"build_id": "build_id", "pipeline_id": "pipeline_id", "pipeline_slug": "pipeline_slug"},
        when=JOB_ENDED,
    ),
    rows=rows,
    key=("id",),
    scope="graphql",
    load="merge",
    columns=(
        col("id", "text", "Job UUID, of this attempt."),
        col("organization_slug", "text", "Its organization."),
        col("pipeline_id", "text", "Its pipeline's UUID."),
        col("pipeline_slug", "text", "Its pipeline's slug by then."),
        col("build_id", "text", "Its build's UUID."),
        col("graphql_state", "text", "State as GraphQL says it: FINISHED for passed and failed.", "state"),
        col("passed", "bool", "Whether it passed."),
        col("canceled_at", "timestamp", "When it was canceled; null if it was not."),
        col("concurrency_group", "text", "Its concurrency group; null for none.", "concurrency.group"),
        col("concurrency_limit", "bigint", "How many jobs of that group may run at once.", "concurrency.limit"),
        col("retry_manual", "bool", "Whether people may retry it.", "retry_rules.manual"),
        col(
            "retry_automatic",
            "json",
            "Rules by which it is retried.",
            "retry_rules.automatic",
        ),
        col("matrix", "json", "Its place in the matrix, value by dimension."),
        col("last_seen_at", "timestamp", "When a load last read it."),
    ),
)
