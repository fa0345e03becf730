"""Which team may do what with which pipeline, and every such grant that a load has seen."""

from collections.abc import Iterator

from ..table import Item, Rest, Table, col, named


def rows(grant: Item) -> Iterator[Item]:
    """The grant with the slug that the pipeline's address holds."""
    yield {"pipeline_slug": named("pipelines", grant.get("pipeline_url")), **grant}


TABLE = Table(
    grain="one row per team and pipeline, and version of the grant",
    fetch=Rest(
        "organizations/{organization}/teams/{team}/pipelines",
        each="teams",
        bind={"team": "id"},
        given={"team_id": "id", "team_slug": "slug"},
    ),
    rows=rows,
    key=("team_id", "pipeline_id"),
    scope="read_teams",
    load="scd2",
    columns=(
        col("organization_slug", "text", "The organization."),
        col("team_id", "text", "The team's UUID."),
        col("team_slug", "text", "The team's slug."),
        col("pipeline_id", "text", "The pipeline's UUID."),
        col("pipeline_slug", "text", "The pipeline's slug, from its address."),
        col("pipeline_url", "url", "The pipeline's address in the API."),
        col("access_level", "text", "read_only, build_and_read or manage_build_and_read."),
        col("created_at", "timestamp", "When the team got the pipeline."),
    ),
)
