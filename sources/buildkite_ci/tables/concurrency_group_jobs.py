"""Who holds each concurrency group and who waits for it, in which order, by a reading at each load.

Groups are those of the configuration (`[sources.buildkite_ci.concurrency_group_jobs] groups`, or `--group`), else the
ones of the loaded job_details: Buildkite lists none. The order of waiting is that of the jobs' making, which
`concurrency_method: eager` and differing limits may overrule (api.md 5.5).
"""

from ..table import GraphQL, Table, col

TABLE = Table(
    grain="one row per concurrency group, job and load",
    fetch=GraphQL(many=True, named=True),
    key=("concurrency_group", "job_id", "observed_at"),
    scope="graphql",
    load="append",
    columns=(
        col("organization_slug", "text", "Its organization."),
        col("concurrency_group", "text", "The group."),
        col("job_id", "text", "Job UUID.", "id"),
        col("job_name", "text", "Label of the job.", "label"),
        col("state", "text", "State by then, as Buildkite says it: LIMITED waits for the group."),
        col("position", "bigint", "Place among those that wait, from 1; null where it holds the group."),
        col("concurrency_limit", "bigint", "How many jobs of the group may run at once.", "concurrency.limit"),
        col("build_id", "text", "Its build's UUID.", "build.id"),
        col("build_number", "bigint", "Its build's number.", "build.number"),
        col("pipeline_id", "text", "Its pipeline's UUID.", "build.pipeline.id"),
        col("pipeline_slug", "text", "Its pipeline's slug.", "build.pipeline.slug"),
        col("created_at", "timestamp", "When it was made."),
        col("runnable_at", "timestamp", "When it could have started, had an agent been free."),
        col("started_at", "timestamp", "When it started."),
        col("observed_at", "timestamp", "When this was read."),
    ),
)
