"""Who is in which team, and every role there that a load has seen."""

from ..table import Rest, Table, col

TABLE = Table(
    grain="one row per team and member, and version of their role",
    fetch=Rest(
        "organizations/{organization}/teams/{team}/members",
        each="teams",
        bind={"team": "id"},
        given={"team_id": "id", "team_slug": "slug"},
    ),
    key=("team_id", "user_id"),
    scope="read_teams",
    load="scd2",
    columns=(
        col("organization_slug", "text", "The organization."),
        col("team_id", "text", "The team's UUID."),
        col("team_slug", "text", "The team's slug."),
        col("user_id", "text", "The member's UUID, as in members."),
        col("user_name", "text", "The member's name."),
        col("role", "text", "Role in the team: member or maintainer."),
        col("created_at", "timestamp", "When the user joined the team."),
    ),
)
