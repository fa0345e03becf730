"""What the API tokens that loads use may do.

A scope that was taken away stays as a row; its `last_seen_at` is then older than its token's.
"""

from collections.abc import Iterator

from ..table import Inside, Item, Table, col


def rows(token: Item) -> Iterator[Item]:
    """One row a scope."""
    scopes = token.get("scopes")
    for scope in scopes if isinstance(scopes, list) else ():
        yield {"token_uuid": token.get("uuid"), "scope": scope}


TABLE = Table(
    grain="one row per API token and scope",
    fetch=Inside("access_token"),
    rows=rows,
    key=("token_uuid", "scope"),
    scope="",
    load="merge",
    columns=(
        col("token_uuid", "text", "The token, as in access_token."),
        col("scope", "text", "What it may do, as Buildkite spells it: read_builds, graphql and so on."),
        col("last_seen_at", "timestamp", "When a load last saw that it may."),
    ),
)
