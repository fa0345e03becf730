"""When Buildkite last saw each member, and how many single sign-ons are told of them: as of the last load.

Kept apart from `member_security`, which has a row for each version of the settings: being seen makes no version. A
member who left keeps the last row; `last_seen_at` says when a load read it.
"""

from ..table import Inside, Table, col, user

TABLE = Table(
    grain="one row per member",
    fetch=Inside("member_security", named=True),
    key=("id",),
    scope="graphql",
    load="merge",
    elsewhere=("sso", "security", "user", "role", "complimentary", "created_by", "created_at"),  # member_security
    columns=(
        col("id", "text", "The membership's own UUID, as in member_security."),
        col("graphql_id", "text", "GraphQL id of the membership."),
        col("organization_slug", "text", "The organization."),
        *user("user", "The member")[:3],
        col("last_seen_at_buildkite", "timestamp", "When Buildkite last saw the person there.", "last_seen_at"),
        col("sso_authorizations_count", "bigint", "Single sign-ons that are told.", "sso.authorizations.count"),
        col("last_seen_at", "timestamp", "When a load last read it."),
    ),
)
