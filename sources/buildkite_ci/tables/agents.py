"""Agents that a load has found connected, or that ran a job.

Buildkite lists only connected and stopping agents. One that leaves the list stays here as it was last seen, so its
`connection_state` is that of `last_seen_at`. One that came and went between two loads is taken from its job, which
says less about it. The access token that older payloads carry is never stored.
"""

from collections.abc import Iterator

from ..table import Also, Item, Rest, Table, col, named, user


def rows(agent: Item) -> Iterator[Item]:
    """The agent with the ids that its addresses hold, where it does not say them."""
    queue = agent.get("cluster_queue_url")
    cluster_id = named("clusters", agent.get("cluster_url")) or named("clusters", queue)
    yield {"cluster_id": cluster_id, "cluster_queue_id": named("queues", queue), **agent}


TABLE = Table(
    grain="one row per agent",
    also=Also("builds", "jobs", "agent"),
    fetch=Rest("organizations/{organization}/agents"),
    rows=rows,
    key=("id",),
    scope="read_agents",
    load="merge",
    elsewhere=("job",),  # the table jobs, by job_id
    columns=(
        col("id", "text", "Agent UUID."),
        col("graphql_id", "text", "GraphQL id."),
        col("organization_slug", "text", "Its organization."),
        col("name", "text", "Name."),
        col("url", "url", "Address in the API."),
        col("web_url", "url", "Address for people."),
        col("connection_state", "text", "connected, stopping, lost and so on, when it was last seen."),
        col("hostname", "text", "Its machine."),
        col("ip_address", "ip", "Its address, the network only unless asked for."),
        col("user_agent", "text", "How it names itself."),
        col("version", "text", "Version of buildkite-agent."),
        col("os_id", "text", "Operating system."),
        col("arch", "text", "Processor architecture."),
        col("queue", "text", "Key of the queue that it serves."),
        col("cluster_id", "text", "Its cluster, from its address; null where it has none."),
        col("cluster_url", "url", "Address of its cluster in the API."),
        col("cluster_queue_id", "text", "Its cluster queue, from its address; null where it has none."),
        col("cluster_queue_url", "url", "Address of its cluster queue in the API."),
        col("priority", "bigint", "Priority; a higher one is given work first."),
        col("meta_data", "json", "List of its tags, key=value."),
        *user("creator", "Who started it"),
        col("created_at", "timestamp", "When it registered."),
        col("connected_at", "timestamp", "When it connected."),
        col("disconnected_at", "timestamp", "When it disconnected."),
        col("lost_at", "timestamp", "When it was given up as lost."),
        col("stopped_at", "timestamp", "When it stopped."),
        col("job_id", "text", "Job that it ran when it was last seen; null if none.", "job.id"),
        col("last_job_finished_at", "timestamp", "When its last job ended."),
        col("paused", "bool", "Whether it takes no new jobs for now."),
        col("paused_at", "timestamp", "When it was paused."),
        *user("paused_by", "Who paused it"),
        col("paused_note", "text", "Why it was paused."),
        col("paused_timeout_in_minutes", "bigint", "Minutes until it goes on by itself."),
        col("last_seen_at", "timestamp", "When a load last found it in the list."),
    ),
)
