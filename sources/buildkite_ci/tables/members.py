"""Members of the organization, and every version of their roles that a load has seen.

The token's user must be allowed to see the teams. REST does not tell of two-factor sign-in or of bots.
"""

from ..table import Rest, Table, col

TABLE = Table(
    grain="one row per member and version of their role",
    fetch=Rest("organizations/{organization}/members"),
    key=("id",),
    scope="read_organizations",
    load="scd2",
    columns=(
        col("id", "text", "User UUID."),
        col("organization_slug", "text", "The organization."),
        col("name", "text", "Name."),
        col("email", "email", "E-mail, its domain only unless asked for."),
        col("role", "text", "Role in the organization: admin or member."),
        col("sso_mode", "text", "Whether single sign-on is required or optional; told to administrators only."),
    ),
)
