"""Builds that schedules started, and which schedule each of them was.

REST says only that a build came of some schedule. Asked for once for each such build, and again where it has changed
since: two or three points each, and nothing for any other build; so it is loaded only when it is named. The schedule is
null where it was deleted.
"""

from ..table import BUILD_ENDED, Errand, Table, col

TABLE = Table(
    grain="one row per build that a schedule started",
    fetch=Errand(
        "builds",
        bind={"build": "id"},
        given={"pipeline_id": "pipeline_id", "pipeline_slug": "pipeline_slug", "build_number": "number"},
        when=f"{BUILD_ENDED} AND o.source = 'schedule'",
    ),
    key=("id",),
    scope="graphql",
    load="merge",
    columns=(
        col("id", "text", "Build UUID."),
        col("organization_slug", "text", "Its organization."),
        col("pipeline_id", "text", "Its pipeline's UUID."),
        col("pipeline_slug", "text", "Its pipeline's slug by then."),
        col("build_number", "bigint", "Its number in the pipeline."),
        col("schedule_id", "text", "The schedule's UUID, as in pipeline_schedules.", "source.pipeline_schedule.id"),
        col("source_name", "text", "What started it, in words.", "source.name"),
        col("last_seen_at", "timestamp", "When a load last read it."),
    ),
)
