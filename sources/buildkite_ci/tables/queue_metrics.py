"""How many jobs wait and run in each queue and how long they waited: a time series, one reading a load.

Buildkite measures the queues of clusters, by the minute, where the organization has advanced queue metrics, and tells
the latest minute only. For the other queues, the unclustered ones among them, a load counts what waits and runs, and
has no times of waiting (`source` says which). Loading twice within a minute makes no second row.
"""

from ..table import GraphQL, Table, col

TABLE = Table(
    grain="one row per queue and minute",
    fetch=GraphQL(many=True, named=True),
    key=("queue_id", "timestamp"),
    scope="graphql",
    load="merge",
    elsewhere=("id", "graphql_id", "key", "metrics"),
    columns=(
        col("organization_slug", "text", "Its organization."),
        col("queue_id", "text", "Cluster queue UUID; queue=NAME for one of no cluster."),
        col("queue_key", "text", "Its key."),
        col("cluster_id", "text", "Its cluster's UUID; null for none."),
        col("timestamp", "timestamp", "The minute."),
        col("source", "text", "metrics, as Buildkite measured it, or counts."),
        col("dispatch_paused", "bool", "Whether it gave out no jobs by then; null for unclustered queues."),
        col("waiting_jobs_count", "bigint", "Jobs that could run, had an agent been free."),
        col("running_jobs_count", "bigint", "Jobs that an agent has."),
        col("connected_agents_count", "bigint", "Agents."),
        col("jobs_passed_count", "bigint", "Jobs that passed in that minute; null where only counted."),
        col("jobs_failed_count", "bigint", "Jobs that failed in that minute; null where only counted."),
        col("wait_seconds_min", "double", "Shortest wait, seconds; null where only counted.", "wait_time_sec.min"),
        col("wait_seconds_max", "double", "Longest wait, seconds.", "wait_time_sec.max"),
        col("wait_seconds_p50", "double", "Median wait, seconds.", "wait_time_sec.p50"),
        col("wait_seconds_p95", "double", "95th percentile of the wait, seconds.", "wait_time_sec.p95"),
        col("last_seen_at", "timestamp", "When a load last read it."),
    ),
)
