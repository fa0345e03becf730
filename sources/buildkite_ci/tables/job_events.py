"""What happened to jobs, moment by moment: scheduled, assigned, started, canceled, retried and so on, and by whom.

Asked for job by job, and again when the job was retried since; by default for jobs that failed (softly, too), timed
out or were retried, the failed ones first, the newest first. A job costs three points and two for each event, and one
more for each agent that it was assigned to, rule that it was retried by, or job that it was retried in: who acted and
that it is an event at all are objects, and nothing cheaper than `job(uuid)` finds one (api.md 5.6).
"""

from collections.abc import Iterator

from ..table import JOB_ENDED, TROUBLED, Errand, Item, Table, col, decoded

OTHERS = {"id", "type", "timestamp", "actor", "assigned_agent", "retried_in_job", "exit_status", "signal"}
OTHERS |= {"signal_reason", "job_id", "build_id", "pipeline_id", "pipeline_slug", "__typename"}


def rows(event: Item) -> Iterator[Item]:
    """The event, with what only its own type says as `detail`."""
    detail = {name: value for name, value in event.items() if name not in OTHERS and value is not None}
    if "changed_changes" in detail:
        detail["changed_changes"] = decoded(detail["changed_changes"])
    why = event.get("signal_reason")
    said = {name: event.get(name) for name in OTHERS}
    yield {**said, "signal_reason": why.lower() if isinstance(why, str) else why, "detail": detail}


TABLE = Table(
    grain="one row per event of a job",
    fetch=Errand(
        "jobs",
        bind={"job": "id"},
        given={"job_id": "id", "build_id": "build_id", "pipeline_id": "pipeline_id", "pipeline_slug": "pipeline_slug"},
        when=JOB_ENDED,
        states=TROUBLED,
        version="CASE WHEN o.retried THEN 'retried' ELSE o.state END",
    ),
    rows=rows,
    key=("id",),
    scope="graphql",
    load="merge",
    columns=(
        col("id", "text", "Event UUID."),
        col("organization_slug", "text", "Its organization."),
        col("pipeline_id", "text", "Its pipeline's UUID."),
        col("pipeline_slug", "text", "Its pipeline's slug by then."),
        col("build_id", "text", "Its build's UUID."),
        col("job_id", "text", "Its job's UUID, of the attempt that it happened to."),
        col("type", "text", "What happened, as Buildkite says it: ASSIGNED, STARTED, FINISHED, RETRIED and so on."),
        col("kind", "text", "GraphQL type of the event; JobEventGeneric where it has none of its own.", "__typename"),
        col("timestamp", "timestamp", "When it happened."),
        col("actor_type", "text", "Who did it: AGENT, DISPATCH, STACK, SYSTEM or USER.", "actor.type"),
        col("actor_id", "text", "Its UUID: an agent's or a user's; null for the others.", "actor.id"),
        col("assigned_agent_id", "text", "ASSIGNED: the agent.", "assigned_agent.id"),
        col("retried_in_job_id", "text", "RETRIED: the next attempt.", "retried_in_job.id"),
        col("exit_status", "bigint", "CANCELED, FINISHED, TIMED_OUT: exit status."),
        col("signal", "text", "CANCELED, FINISHED, TIMED_OUT: signal that ended it."),
        col("signal_reason", "text", "CANCELED, FINISHED, TIMED_OUT: why it was ended, as jobs says it."),
        col("detail", "json", "What only this type of event says."),
        col("last_seen_at", "timestamp", "When a load last read it."),
    ),
)
