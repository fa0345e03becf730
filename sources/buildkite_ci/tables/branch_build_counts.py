"""How many builds a branch has: per pipeline, branch, state and span of time, by a reading at each load.

Also for times before the first loaded build: Buildkite counts what it still holds. Branches are those of the
configuration (`[sources.buildkite_ci.branch_build_counts] branches`), else the pipeline's default branch and the ones
that were built most among the loaded builds. A count costs one point, and another one for each pipeline.
"""

from ..table import GraphQL, Table, col

TABLE = Table(
    grain="one row per pipeline, branch, state, span of time and load",
    fetch=GraphQL(many=True, named=True),
    key=("pipeline_id", "branch", "state", "created_from", "created_to", "observed_at"),
    scope="graphql",
    load="append",
    columns=(
        col("organization_slug", "text", "Its organization."),
        col("pipeline_id", "text", "Pipeline UUID."),
        col("pipeline_slug", "text", "Its slug by then."),
        col("branch", "text", "Branch."),
        col("state", "text", "State of the builds that were counted, as builds says it; all for every state."),
        col("created_from", "text", "Only builds made since, ISO 8601; empty for no such bound."),
        col("created_to", "text", "Only builds made before, ISO 8601; empty for no such bound."),
        col("builds", "bigint", "How many there are.", "builds.count"),
        col("observed_at", "timestamp", "When this was read."),
    ),
)
