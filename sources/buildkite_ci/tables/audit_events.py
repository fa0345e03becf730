"""The audit log: who changed what in the organization's settings, and from where.

For administrators of an Enterprise organization. Read from `--since` on, and by a later load from the newest event on,
less a day. An event never changes. Types are spelled as GraphQL has them, ORGANIZATION_UPDATED; REST calls that
OrganizationUpdatedEvent, under the same UUID, and a USER is a User there (api.md 4.2). A subject that is called by an
e-mail has it in `subject_email`.
"""

import re
from collections.abc import Iterator

from ..table import GraphQL, Item, Table, col, decoded, part

EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


def rows(event: Item) -> Iterator[Item]:
    """The event with its data read, its context's kind as REST calls it, and its subject's name or e-mail."""
    kind = part(event, "context").get("__typename")
    subject = part(event, "subject")
    name = subject.get("name")
    called = "email" if isinstance(name, str) and EMAIL.fullmatch(name) else "name"
    context = {key: kept for key, kept in part(event, "context").items() if key != "__typename"}
    yield {
        **event,
        "subject": {**{key: kept for key, kept in subject.items() if key != "name"}, called: name},
        "context": context,
        "context_type": kind.removeprefix("Audit") if isinstance(kind, str) else kind,
        "data": decoded(event.get("data")),
    }


TABLE = Table(
    grain="one row per event",
    fetch=GraphQL(named=True, since="occurred_at", admin=True),
    rows=rows,
    key=("id",),
    scope="graphql",
    load="merge",
    columns=(
        col("id", "text", "Event UUID."),
        col("graphql_id", "text", "GraphQL id."),
        col("organization_slug", "text", "The organization."),
        col("type", "text", "What happened: ORGANIZATION_MEMBER_UPDATED and some 190 others."),
        col("occurred_at", "timestamp", "When it happened."),
        col("actor_type", "text", "Who did it: USER, AGENT or API_APPLICATION; null for nobody.", "actor.type"),
        col("actor_id", "text", "Who did it: UUID.", "actor.id"),
        col("actor_graphql_id", "text", "Who did it: GraphQL id.", "actor.graphql_id"),
        col("actor_name", "text", "Who did it: name.", "actor.name"),
        col("subject_type", "text", "What it happened to: PIPELINE, TEAM and so on.", "subject.type"),
        col("subject_id", "text", "What it happened to: UUID.", "subject.id"),
        col("subject_graphql_id", "text", "What it happened to: GraphQL id.", "subject.graphql_id"),
        col("subject_name", "text", "What it happened to: name.", "subject.name"),
        col("subject_email", "email", "The name, where it is an e-mail; its domain only.", "subject.email"),
        col("context_type", "text", "By which way: WebContext, APIContext or AgentAPIContext."),
        col("request_ip_address", "ip", "Address that asked, the network only.", "context.request_ip_address"),
        col("request_user_agent", "text", "Program that asked.", "context.request_user_agent"),
        col(
            "request_api_access_token_id",
            "text",
            "By API: UUID of the token, as in api_access_tokens.",
            "context.request_api_access_token_uuid",
        ),
        col("session_user_id", "text", "By web: UUID of who was signed in.", "context.session_user_uuid"),
        col("session_created_at", "timestamp", "By web: when they signed in.", "context.session_created_at"),
        col("session_escalated_at", "timestamp", "By web: when they showed it again.", "context.session_escalated_at"),
        col("session_ip_address", "ip", "By an agent: address of its session.", "context.session_ip_address"),
        col("agent_id", "text", "By an agent: its UUID.", "context.agent_uuid"),
        col("authentication_type", "text", "By an agent: how it signed in.", "context.authentication_type"),
        col("connection_state", "text", "By an agent: its state.", "context.connection_state"),
        col("organization_id", "text", "By an agent: UUID of its organization.", "context.organization_uuid"),
        col("data", "json", "What changed."),
    ),
)
