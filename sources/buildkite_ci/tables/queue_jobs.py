"""Jobs of one or more queues in a time frame, without loading their builds.

`load queue_jobs --queue default --since … --until …`; without --queue those of every queue, clustered or not. What was
read twice is there once, and `id` is that of jobs. Six points a job at the most.
"""

from collections.abc import Iterator

from ..table import GraphQL, Item, Table, col


def rows(job: Item) -> Iterator[Item]:
    """The job as REST says it: FINISHED is passed or failed there, LIMITED is scheduled, and all is in small letters
    (api.md 4.4, 7.5)."""
    state, reason = str(job.get("state") or "").lower(), job.get("signal_reason")
    told = {
        "finished": "passed" if job.get("passed") else "failed",
        **dict.fromkeys(("limited", "limiting"), "scheduled"),
    }
    yield {
        **job,
        "state": told.get(state, state) or None,
        "signal_reason": reason.lower() if isinstance(reason, str) else reason,
        "exit_status": number(job.get("exit_status")),
    }


def number(text: object) -> object:
    """GraphQL tells a job's exit status as text (api.md 5.6)."""
    return int(text) if isinstance(text, str) and text.lstrip("-").isdecimal() else text


TABLE = Table(
    grain="one row per job attempt of type script and queue",
    fetch=GraphQL(many=True, named=True),
    rows=rows,
    key=("id", "queue_id"),
    scope="graphql",
    load="merge",
    elsewhere=("passed", "cluster_queue"),
    columns=(
        col("id", "text", "Job UUID, of this attempt."),
        col("organization_slug", "text", "Its organization."),
        col("queue_id", "text", "Cluster queue UUID; queue=NAME for one of no cluster."),
        col("queue_key", "text", "The queue's key."),
        col("cluster_id", "text", "The queue's cluster; null for none."),
        col("pipeline_id", "text", "Its pipeline's UUID.", "build.pipeline.id"),
        col("pipeline_slug", "text", "Its pipeline's slug by then.", "build.pipeline.slug"),
        col("build_id", "text", "Its build's UUID.", "build.id"),
        col("build_number", "bigint", "Its build's number.", "build.number"),
        col("agent_id", "text", "Agent that ran it: UUID.", "agent.id"),
        col("name", "text", "Label, with emoji as :names:.", "label"),
        col("step_key", "text", "Key of its step.", "step.key"),
        col("state", "text", "State, as jobs says it."),
        col("soft_failed", "bool", "Whether it failed in a way that its step allows."),
        col("exit_status", "bigint", "Exit status."),
        col("signal", "text", "Signal that ended it."),
        col("signal_reason", "text", "Why it was ended."),
        col("broken_reason", "text", "Why it could not run."),
        col("command", "text", "What it runs."),
        col("agent_query_rules", "json", "List of the tags that its agent must have."),
        col("web_url", "url", "Address for people.", "url"),
        col("created_at", "timestamp", "When it was made."),
        col("scheduled_at", "timestamp", "When it was put on the schedule; not the begin of its wait."),
        col("runnable_at", "timestamp", "When it could have started, had an agent been free."),
        col("started_at", "timestamp", "When an agent started it."),
        col("finished_at", "timestamp", "When it ended."),
        col("expired_at", "timestamp", "When it expired, as no agent took it."),
        col("canceled_at", "timestamp", "When it was canceled."),
        col("retried", "bool", "Whether a later attempt exists."),
        col("retries_count", "bigint", "How many attempts came before this one; null for none."),
        col("parallel_group_index", "bigint", "Place among its parallel jobs, from zero."),
        col("parallel_group_total", "bigint", "How many parallel jobs there are."),
        col("last_seen_at", "timestamp", "When a load last read it."),
    ),
)
