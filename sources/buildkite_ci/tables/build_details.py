"""What only GraphQL knows of a build: when and by whom it was canceled, and what exactly started it.

Asked for build by build once it has ended or is blocked, and again when it has changed since; so it is loaded only
when it is named. One to six points a build.
"""

from ..table import Errand, Table, col

TABLE = Table(
    grain="one row per build",
    fetch=Errand(
        "builds", bind={"build": "id"}, given={"pipeline_id": "pipeline_id", "pipeline_slug": "pipeline_slug"}
    ),
    key=("id",),
    scope="graphql",
    load="merge",
    columns=(
        col("id", "text", "Build UUID."),
        col("organization_slug", "text", "Its organization."),
        col("pipeline_id", "text", "Its pipeline's UUID."),
        col("pipeline_slug", "text", "Its pipeline's slug by then."),
        col("canceled_at", "timestamp", "When it was canceled; null if it was not."),
        col("canceled_by_id", "text", "Who canceled it: user UUID; null where nobody did in person.", "canceled_by.id"),
        col("cancel_reason", "text", "Why it was canceled."),
        col("blocked_state", "text", "What it counts as while blocked: PASSED, FAILED or RUNNING."),
        col("failing_at", "timestamp", "When a job first failed; stays after a retry."),
        col("created_by_type", "text", "User, or UnregisteredUser without an account.", "created_by.__typename"),
        col("created_by_id", "text", "Who made it: user UUID.", "created_by.id"),
        col("created_by_name", "text", "Who made it, without an account: name.", "created_by.name"),
        col("created_by_email", "email", "Who made it, without an account: e-mail.", "created_by.email"),
        col("source_type", "text", "GraphQL type of what started it.", "source.__typename"),
        col("source_name", "text", "What started it, in words.", "source.name"),
        col("schedule_id", "text", "The schedule that started it: UUID.", "source.pipeline_schedule.id"),
        col("webhook_id", "text", "The webhook that started it: UUID.", "source.id"),
        col("triggered_from_job_id", "text", "The trigger job that started it: UUID.", "triggered_from.id"),
        col("rebuilt_from_id", "text", "The build that it repeats: UUID.", "rebuilt_from.id"),
        col("last_seen_at", "timestamp", "When a load last read it."),
    ),
)
