"""The webhooks that builds were started by, as the provider sent them.

Loaded only when it is named. Buildkite keeps them seven days, so only builds of the seven days before the newest one
are asked for; one to two points a build. A payload may hold whatever the provider says of a change, people's e-mails
among it (their domains are kept).
"""

from collections.abc import Iterator

from ..table import Errand, Item, Table, col, decoded, part


def rows(build: Item) -> Iterator[Item]:
    """The webhook, if it is still there; `headers` are `Name: value` lines, of which the names are kept."""
    source = part(build, "source")
    if source.get("payload") or source.get("headers"):
        lines = source.get("headers")
        headers = [str(line).partition(":")[0].strip() for line in lines] if isinstance(lines, list) else []
        told = {"build_id": build.get("id"), "pipeline_id": build.get("pipeline_id"), "webhook_id": source.get("id")}
        yield {**told, "header_names": headers, "payload": decoded(source.get("payload"))}


TABLE = Table(
    grain="one row per build that a webhook started",
    fetch=Errand(
        "builds",
        bind={"build": "id"},
        given={"pipeline_id": "pipeline_id"},
        when="o.gone_at IS NULL AND o.source = 'webhook' AND "
        "o.created_at >= (SELECT max(created_at) - INTERVAL '7 days' FROM {of})",
        version="'started'",
    ),
    rows=rows,
    key=("build_id",),
    scope="graphql",
    load="merge",
    columns=(
        col("organization_slug", "text", "Its organization."),
        col("pipeline_id", "text", "Its pipeline's UUID."),
        col("build_id", "text", "Its build's UUID."),
        col("webhook_id", "text", "UUID of the webhook."),
        col("header_names", "json", "List of its headers' names; a value may be a signature."),
        col("payload", "json", "What the provider sent, without keys that name a secret."),
        col("last_seen_at", "timestamp", "When a load last read it."),
    ),
)
