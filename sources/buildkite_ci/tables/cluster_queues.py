"""Queues of every cluster, and every version of their settings, pauses too, that a load has seen.

A key names a queue within its cluster only: two clusters may each have a queue "default". Join by id.
"""

from ..table import Rest, Table, col, user

SHAPE = "hosted_agents.instance_shape"

TABLE = Table(
    grain="one row per cluster queue and version of its settings",
    fetch=Rest(
        "organizations/{organization}/clusters/{cluster}/queues",
        each="clusters",
        bind={"cluster": "id"},
        given={"cluster_id": "id", "cluster_name": "name"},
    ),
    key=("id",),
    scope="read_clusters",
    load="scd2",
    columns=(
        col("id", "text", "Queue UUID."),
        col("graphql_id", "text", "GraphQL id."),
        col("organization_slug", "text", "Its organization."),
        col("cluster_id", "text", "Its cluster's UUID."),
        col("cluster_name", "text", "Its cluster's name."),
        col("key", "text", "Key that jobs name it by, within its cluster."),
        col("description", "text", "What its people say it is for."),
        col("url", "url", "Address in the API."),
        col("web_url", "url", "Address for people."),
        col("cluster_url", "url", "Address of its cluster in the API."),
        col("retry_agent_affinity", "text", "Which agent a retry prefers: prefer-warmest or prefer-different."),
        col("dispatch_paused", "bool", "Whether it hands out no jobs for now."),
        *user("dispatch_paused_by", "Who paused it"),
        col("dispatch_paused_at", "timestamp", "When it was paused."),
        col("dispatch_paused_note", "text", "Why it was paused."),
        col("hosted", "bool", "Whether Buildkite runs its agents."),
        col("hosted_agents_instance_shape_name", "text", "Hosted agents: shape.", f"{SHAPE}.name"),
        col(
            "hosted_agents_instance_shape_machine_type",
            "text",
            "Hosted agents: operating system.",
            f"{SHAPE}.machine_type",
        ),
        col(
            "hosted_agents_instance_shape_architecture",
            "text",
            "Hosted agents: processor architecture.",
            f"{SHAPE}.architecture",
        ),
        col("hosted_agents_instance_shape_cpu", "bigint", "Hosted agents: virtual processors.", f"{SHAPE}.cpu"),
        col("hosted_agents_instance_shape_memory", "bigint", "Hosted agents: memory in GB.", f"{SHAPE}.memory"),
        col(
            "hosted_agents_platform_settings",
            "json",
            "Hosted agents: settings by platform.",
            "hosted_agents.platform_settings",
        ),
        *user("created_by", "Who made it"),
        col("created_at", "timestamp", "When it was made."),
    ),
)
