"""Clusters, and every version of their settings that a load has seen."""

from ..table import Rest, Table, col, user

TABLE = Table(
    grain="one row per cluster and version of its settings",
    fetch=Rest("organizations/{organization}/clusters"),
    key=("id",),
    scope="read_clusters",
    load="scd2",
    columns=(
        col("id", "text", "Cluster UUID."),
        col("graphql_id", "text", "GraphQL id."),
        col("organization_slug", "text", "Its organization."),
        col("name", "text", "Name."),
        col("description", "text", "What its people say it is for."),
        col("emoji", "text", "Its emoji."),
        col("color", "text", "Its colour, as #RRGGBB."),
        col("maintainers", "json", "Users and teams that may manage it."),
        col("url", "url", "Address in the API."),
        col("web_url", "url", "Address for people."),
        col("queues_url", "url", "Address of its queues."),
        col("default_queue_id", "text", "Queue of jobs that name none; null if there is none."),
        col("default_queue_url", "url", "Address of that queue in the API."),
        col("hosted_git_mirror_enabled", "bool", "Whether hosted agents share a git mirror; told to managers only."),
        col("hosted_container_cache_enabled", "bool", "Whether hosted agents share images; told to managers only."),
        *user("created_by", "Who made it"),
        col("created_at", "timestamp", "When it was made."),
    ),
)
