"""How the members sign in and since when they are there, and every version of it that a load has seen.

What REST does not tell of `members`, which it joins by `user_id`. For administrators; others are refused. When
Buildkite last saw somebody is as it was when the version began: being seen makes no new version, and `member_activity`
has the latest.
"""

from collections.abc import Iterator

from ..table import GraphQL, Item, Table, col, part, user


def rows(member: Item) -> Iterator[Item]:
    """The member with role and mode in REST's words."""
    told = {**member, "sso_mode": part(member, "sso").get("mode")}
    said = {name: told.get(name) for name in ("role", "sso_mode")}
    yield {**told, **{name: word.lower() if isinstance(word, str) else word for name, word in said.items()}}


SEEN = "When Buildkite last saw the person in the organization, as of when this version began."

TABLE = Table(
    grain="one row per member and version of how they sign in",
    fetch=GraphQL(named=True, admin=True),
    rows=rows,
    key=("id", "user_id"),
    scope="graphql",
    load="scd2",
    elsewhere=("sso.mode",),  # sso_mode
    columns=(
        col("id", "text", "The membership's own UUID."),
        col("graphql_id", "text", "GraphQL id of the membership."),
        col("organization_slug", "text", "The organization."),
        *user("user", "The member")[:4],
        col("role", "text", "Role in the organization: admin or member."),
        col("two_factor_enabled", "bool", "Whether two-factor sign-in is on.", "security.two_factor_enabled"),
        col("password_protected", "bool", "Whether there is a password.", "security.password_protected"),
        col("sso_mode", "text", "Whether single sign-on is required or optional."),
        col(
            "sso_authorizations_count",
            "bigint",
            "Single sign-ons that are told, as of when this version began.",
            "sso.authorizations.count",
            now=True,
        ),
        col("bot", "bool", "Whether it is a bot.", "user.bot"),
        col("machine_user", "bool", "Whether a machine signs in.", "user.machine_user"),
        col("password_set", "bool", "Whether the user has a password at all.", "user.password_set"),
        col("complimentary", "bool", "Whether nobody pays for the member."),
        col("created_at", "timestamp", "When the user became a member."),
        *user("created_by", "Who invited the member")[:4],
        col("last_seen_at_buildkite", "timestamp", SEEN, "last_seen_at", now=True),
    ),
)
