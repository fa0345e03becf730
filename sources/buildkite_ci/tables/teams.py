"""Teams, and every version of their settings that a load has seen."""

from ..table import Rest, Table, col, user

TABLE = Table(
    grain="one row per team and version of its settings",
    fetch=Rest("organizations/{organization}/teams"),
    key=("id",),
    scope="read_teams",
    load="scd2",
    columns=(
        col("id", "text", "Team UUID."),
        col("graphql_id", "text", "GraphQL id."),
        col("organization_slug", "text", "Its organization."),
        col("slug", "text", "Name in URLs; may change."),
        col("name", "text", "Name for people."),
        col("description", "text", "What its people say it is for."),
        col("privacy", "text", "Who sees it: visible or secret."),
        col("default", "bool", "Whether new members join it by themselves."),
        col("default_member_role", "text", "Role of those who do: member or maintainer."),
        col("members_can_create_pipelines", "bool", "Whether its members may make pipelines."),
        col("members_can_create_suites", "bool", "Whether its members may make test suites."),
        col("members_can_create_registries", "bool", "Whether its members may make registries."),
        col("members_can_destroy_registries", "bool", "Whether its members may delete registries."),
        col("members_can_destroy_packages", "bool", "Whether its members may delete packages."),
        *user("created_by", "Who made it"),
        col("created_at", "timestamp", "When it was made."),
    ),
)
