"""Jobs: every attempt and every type (script, manual, waiter, trigger), read from the builds' pages.

A retry is a new row; the row before it keeps its result, with `retried` and `retried_in_job_id`.
Group steps are no jobs, they only show as `group_key`. Which columns a row fills depends on `type` (api.md 4.4):
manual jobs have a `label` instead of a name and no times of their own, waiters little more than an id.
The agent's columns are how the agent was when the build was read, not when the job ran.
"""

from ..table import Apart, Inside, Item, Table, col, named, part, user


def above(build: Item) -> Item:
    """The names of its build and its pipeline."""
    pipeline = part(build, "pipeline")
    return {
        "build_id": build.get("id"),
        "build_number": build.get("number"),
        "pipeline_id": pipeline.get("id"),
        "pipeline_slug": pipeline.get("slug") or named("pipelines", build.get("url")),
    }


def queue_key(job: Item) -> str | None:
    """Which queue a script job asks for: its own rule, else its agent's queue, else "default"; null for others."""
    if job.get("type") != "script":
        return None
    agent = part(job, "agent")
    served = agent.get("queue") if isinstance(agent.get("queue"), str) else ""
    return _tag(job.get("agent_query_rules")) or served or _tag(agent.get("meta_data")) or "default"


def _tag(tags: object) -> str:
    """The queue among `key=value` texts, empty if it is not named or any will do."""
    for tag in tags if isinstance(tags, list) else ():
        if isinstance(tag, str) and tag.startswith("queue=") and tag != "queue=*":
            return tag.removeprefix("queue=")
    return ""


APART = Apart(
    "jobs", above, {"queue_key": (queue_key, ("type", "agent_query_rules", "agent.queue", "agent.meta_data"))}
)

TABLE = Table(
    grain="one row per job attempt, of any type",
    fetch=Inside("builds"),
    rows=APART.rows,
    apart=APART,
    key=("id",),
    scope="read_builds",
    load="merge",
    # The rest of the agent is the table agents; logs_url is log_url's older name and script_path command's.
    elsewhere=("agent", "logs_url", "script_path"),
    columns=(
        col("id", "text", "Job UUID, of this attempt."),
        col("graphql_id", "text", "GraphQL id."),
        col("organization_slug", "text", "Its organization."),
        col("pipeline_id", "text", "Its pipeline's UUID; null where the API left the pipeline out."),
        col("pipeline_slug", "text", "Its pipeline's slug when it was read."),
        col("build_id", "text", "Its build's UUID."),
        col("build_number", "bigint", "Its build's number within the pipeline."),
        col("type", "text", "script, manual, waiter or trigger."),
        col("name", "text", "Label, with emoji as :names:."),
        col("label", "text", "Label of a manual job."),
        col("step_key", "text", "Key of its step; null where the pipeline gives none."),
        col("group_key", "text", "Key of the group that its step is in."),
        col("step_id", "text", "UUID of its step, the same for all attempts.", "step.id"),
        col("step_signature", "json", "Signature of its step: value, algorithm and signed fields.", "step.signature"),
        col("priority_number", "bigint", "Priority; a higher one runs first.", "priority.number"),
        col("agent_query_rules", "json", "List of the tags that its agent must have."),
        col("queue_key", "text", "Derived: queue= of its rules, else its agent's queue, else default; scripts only."),
        col("state", "text", "running, passed, failed, canceled, broken and so on (api.md 4.4)."),
        col("command", "text", "What it runs."),
        col("soft_failed", "bool", "Whether it failed in a way that its step allows."),
        col("exit_status", "bigint", "Exit status; -1 where the agent was lost, null until it ends."),
        col("signal", "text", "Signal that ended it."),
        col("signal_reason", "text", "Why it was ended: agent_stop, cancel, process_run_error and so on."),
        col("broken_reason", "text", "Why it could not run."),
        col("promised_exit_status", "bigint", "Exit status that it declared before it ended."),
        col("promised_exit_status_at", "timestamp", "When it declared it."),
        col("artifact_paths", "text", "Globs of the files it uploads, with semicolons between."),
        col("build_url", "url", "Address of its build in the API."),
        col("web_url", "url", "Address for people."),
        col("log_url", "url", "Address of its log in the API."),
        col("raw_log_url", "url", "Address of its log as text."),
        col("artifacts_url", "url", "Address of its artifacts in the API."),
        col("created_at", "timestamp", "When it was made; may be a moment before its build."),
        col("scheduled_at", "timestamp", "When it was put on the schedule; not the begin of its wait."),
        col("runnable_at", "timestamp", "When it could have started, had an agent been free."),
        col("started_at", "timestamp", "When an agent started it; null if none did."),
        col("finished_at", "timestamp", "When it ended."),
        col("expired_at", "timestamp", "When it expired, as no agent took it."),
        col("concurrency_wait_time_ms", "bigint", "Milliseconds behind its concurrency group; null where unknown."),
        col("retried", "bool", "Whether a later attempt exists."),
        col("retried_in_job_id", "text", "The next attempt."),
        col("retries_count", "bigint", "How many attempts came before this one; null for none."),
        col("retry_type", "text", "How it was retried: automatic or manual."),
        col("retry_source_job_id", "text", "The attempt that this one repeats.", "retry_source.job_id"),
        col("retry_source_retry_type", "text", "How this attempt came to be.", "retry_source.retry_type"),
        *user("retried_by", "Who retried it"),
        col("parallel_group_index", "bigint", "Place among its parallel jobs, from zero."),
        col("parallel_group_total", "bigint", "How many parallel jobs there are."),
        col("matrix", "json", "Its place in the matrix, value by dimension."),
        col("cluster_id", "text", "Cluster that ran it; null where it had none."),
        col("cluster_url", "url", "Address of that cluster in the API."),
        col("cluster_queue_id", "text", "Cluster queue that it was sent to; null where it had none."),
        col("cluster_queue_url", "url", "Address of that queue in the API."),
        *user("unblocked_by", "Who unblocked it"),
        col("unblocked_at", "timestamp", "When it was unblocked."),
        col("unblockable", "bool", "Whether it may be unblocked now."),
        col("unblock_url", "url", "Address in the API to unblock it."),
        col("async", "bool", "Whether a trigger goes on without waiting for its build."),
        col("triggered_build_id", "text", "Build that it triggered: UUID.", "triggered_build.id"),
        col("triggered_build_number", "bigint", "Build that it triggered: number.", "triggered_build.number"),
        col("triggered_build_url", "url", "Build that it triggered: address in the API.", "triggered_build.url"),
        col(
            "triggered_build_web_url", "url", "Build that it triggered: address for people.", "triggered_build.web_url"
        ),
        col("agent_id", "text", "Agent that ran it: UUID.", "agent.id"),
        col("agent_name", "text", "Agent: name.", "agent.name"),
        col("agent_hostname", "text", "Agent: its machine.", "agent.hostname"),
        col("agent_ip_address", "ip", "Agent: address, its network only unless asked for.", "agent.ip_address"),
        col("agent_version", "text", "Agent: version of buildkite-agent.", "agent.version"),
        col("agent_user_agent", "text", "Agent: how it names itself.", "agent.user_agent"),
        col("agent_os_id", "text", "Agent: operating system.", "agent.os_id"),
        col("agent_arch", "text", "Agent: processor architecture.", "agent.arch"),
        col("agent_queue", "text", "Agent: queue that it serves.", "agent.queue"),
        col("agent_priority", "bigint", "Agent: priority.", "agent.priority"),
        col("agent_meta_data", "json", "Agent: list of its tags, key=value.", "agent.meta_data"),
        col("agent_connection_state", "text", "Agent: connection when the build was read.", "agent.connection_state"),
        col("agent_created_at", "timestamp", "Agent: when it registered.", "agent.created_at"),
        col("agent_connected_at", "timestamp", "Agent: when it connected.", "agent.connected_at"),
        col("agent_disconnected_at", "timestamp", "Agent: when it disconnected.", "agent.disconnected_at"),
        col("agent_lost_at", "timestamp", "Agent: when it was given up as lost.", "agent.lost_at"),
        col("agent_stopped_at", "timestamp", "Agent: when it stopped.", "agent.stopped_at"),
        col("last_seen_at", "timestamp", "When a load last read it."),
    ),
)
