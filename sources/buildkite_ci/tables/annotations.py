"""Annotations that builds and their jobs have been given.

Asked for build by build once it has ended or is blocked, and again when it has changed since; so it is loaded only
when it is named. One that is not there any more keeps its row, marked by `gone_at`.

With the scope graphql, many builds are asked for at once, and REST only for those whose jobs have annotations: GraphQL
does not say which job one is of.
"""

from collections.abc import Iterable, Iterator

from ..table import Errand, Item, Table, col


def told(items: Iterable[Item]) -> bool:
    """Whether GraphQL told all of a build's annotations."""
    return all(item["scope"] == "BUILD" for item in items)


def rows(item: Item) -> Iterator[Item]:
    """The annotation as REST says it; style `default` is none there."""
    body = item.get("body")
    if body is None and "body" not in item:
        yield item
        return
    style = str(item.get("style") or "").lower()
    html = body.get("html") if body else None
    yield {**item, "scope": item["scope"].lower(), "style": style or None, "body_html": html}


TABLE = Table(
    grain="one row per annotation",
    fetch=Errand(
        "builds",
        "organizations/{organization}/pipelines/{pipeline}/builds/{number}/annotations",
        bind={"number": "number", "build": "id"},
        given={"build_id": "id", "pipeline_id": "pipeline_id"},
        params={"scope": "all"},
        told=told,
    ),
    rows=rows,
    elsewhere=("body",),
    key=("id",),
    scope="read_builds",
    load="merge",
    columns=(
        col("id", "text", "Annotation UUID."),
        col("organization_slug", "text", "Its organization."),
        col("pipeline_id", "text", "Its pipeline's UUID."),
        col("build_id", "text", "Its build's UUID."),
        col("job_id", "text", "Its job's UUID; null where it is of the build."),
        col("scope", "text", "What it is of: build or job."),
        col("context", "text", "Its name within the build or job; annotating again replaces it."),
        col("style", "text", "How it looks: success, info, warning or error; null for none."),
        col("priority", "bigint", "1 to 10; higher ones are shown first."),
        col("body_html", "text", "What it says, as HTML that somebody else wrote."),
        col("created_at", "timestamp", "When it was made."),
        col("updated_at", "timestamp", "When it was last written."),
        col("last_seen_at", "timestamp", "When a load last saw it."),
        col("gone_at", "timestamp", "When a load found it gone; null while it is there."),
    ),
)
