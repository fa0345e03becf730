"""Schedules: builds that start themselves, whether they still do, and every version that a load has seen.

A schedule that keeps failing is switched off; `failed_at` and `failed_message` say why.
"""

from ..table import Rest, Table, col, user

TABLE = Table(
    grain="one row per schedule and version of its settings",
    fetch=Rest(
        "organizations/{organization}/pipelines/{pipeline}/schedules",
        each="pipelines",
        bind={"pipeline": "slug"},
        given={"pipeline_id": "id", "pipeline_slug": "slug"},
    ),
    key=("id",),
    scope="read_pipelines",
    load="scd2",
    elsewhere=("pipeline.id", "pipeline.slug"),  # as pipeline_id and pipeline_slug
    columns=(
        col("id", "text", "Schedule UUID."),
        col("graphql_id", "text", "GraphQL id."),
        col("organization_slug", "text", "Its organization."),
        col("pipeline_id", "text", "Its pipeline's UUID."),
        col("pipeline_slug", "text", "Its pipeline's slug."),
        col("pipeline_url", "url", "Its pipeline's address in the API.", "pipeline.url"),
        col("url", "url", "Address in the API."),
        col("label", "text", "What its people call it."),
        col("cronline", "text", "When it starts a build, in cron or @daily form; UTC unless it names a time zone."),
        col("message", "text", "Message of its builds."),
        col("commit", "text", "Commit of its builds."),
        col("branch", "text", "Branch of its builds."),
        col("env", "env", "Variables of its builds; names only unless asked for."),
        col("enabled", "bool", "Whether it starts builds."),
        col("next_build_at", "timestamp", "When its next build was due when this version began.", now=True),
        col("failed_message", "text", "Why it last failed to start a build."),
        col("failed_at", "timestamp", "When it last failed to start a build; null if it never did."),
        *user("created_by", "Who made it"),
        col("created_at", "timestamp", "When it was made."),
    ),
)
