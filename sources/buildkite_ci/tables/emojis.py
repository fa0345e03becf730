"""Emojis that labels may use: everybody's and the organization's own."""

from ..table import Rest, Table, col

TABLE = Table(
    grain="one row per organization and emoji",
    fetch=Rest("organizations/{organization}/emojis", paged=False),
    key=("organization_slug", "name"),
    scope="",
    load="replace",
    columns=(
        col("organization_slug", "text", "The organization."),
        col("name", "text", "Name, without colons."),
        col("url", "url", "Address of its picture."),
        col("aliases", "json", "List of its other names."),
    ),
)
