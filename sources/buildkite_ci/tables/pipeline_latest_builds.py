"""When each pipeline was last built: its newest build, by a reading at each load.

A pipeline that was never built, or whose builds have all left Buildkite's retention, has a row without a build.
"""

from collections.abc import Iterator

from ..table import GraphQL, Item, Table, col, part


def rows(pipeline: Item) -> Iterator[Item]:
    """The pipeline with its newest build, if it has one."""
    edges = part(pipeline, "builds").get("edges") or [{}]
    build = part(edges[0], "node")
    yield {
        "pipeline_id": pipeline.get("id"),
        "pipeline_slug": pipeline.get("slug"),
        "pipeline_name": pipeline.get("name"),
        "build_id": build.get("id"),
        "build_number": build.get("number"),
        "build_state": str(build["state"]).lower() if build.get("state") else None,
        "build_branch": build.get("branch"),
        "build_created_at": build.get("created_at"),
    }


TABLE = Table(
    grain="one row per pipeline and load",
    fetch=GraphQL(named=True),
    rows=rows,
    key=("pipeline_id", "observed_at"),
    scope="graphql",
    load="append",
    columns=(
        col("organization_slug", "text", "Its organization."),
        col("pipeline_id", "text", "Pipeline UUID."),
        col("pipeline_slug", "text", "Its slug by then."),
        col("pipeline_name", "text", "Its name by then."),
        col("build_id", "text", "UUID of its newest build; null where it has none."),
        col("build_number", "bigint", "Number of that build."),
        col("build_state", "text", "State of that build by then; `blocked` where builds has it in `blocked`."),
        col("build_branch", "text", "Branch of that build."),
        col("build_created_at", "timestamp", "When that build was made; null where there is none."),
        col("observed_at", "timestamp", "When this was read."),
    ),
)
