"""Annotations that builds and their jobs have been given.

Asked for build by build once it has ended or is blocked, and again when it has changed since; so it is loaded only
when it is named. One that is not there any more keeps its row, marked by `gone_at`.
"""

from ..table import Errand, Table, col

TABLE = Table(
    grain="one row per annotation",
    fetch=Errand(
        "builds",
        "organizations/{organization}/pipelines/{pipeline}/builds/{number}/annotations",
        bind={"number": "number"},
        given={"build_id": "id", "pipeline_id": "pipeline_id"},
        params={"scope": "all"},
    ),
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
