"""Artifacts that jobs have uploaded: what they are, never their bytes.

Asked for build by build once it has ended or is blocked, and again when it has changed since; so it is loaded only
when it is named. One that was deleted vanishes upstream; here it keeps its row, marked by `gone_at`.
"""

from ..table import Errand, Table, col

TABLE = Table(
    grain="one row per artifact",
    fetch=Errand(
        "builds",
        "organizations/{organization}/pipelines/{pipeline}/builds/{number}/artifacts",
        bind={"number": "number"},
        given={"build_id": "id", "pipeline_id": "pipeline_id"},
    ),
    key=("id",),
    scope="read_artifacts",
    load="merge",
    columns=(
        col("id", "text", "Artifact UUID."),
        col("organization_slug", "text", "Its organization."),
        col("pipeline_id", "text", "Its pipeline's UUID."),
        col("build_id", "text", "Its build's UUID."),
        col("job_id", "text", "The job that uploaded it."),
        col("url", "url", "Address in the API."),
        col("download_url", "url", "Address in the API that leads to its bytes."),
        col("state", "text", "new, error, finished, deleted or expired."),
        col("path", "text", "Path that the job gave it."),
        col("dirname", "text", "Folder of its path."),
        col("filename", "text", "Name without the folder."),
        col("mime_type", "text", "Kind of content."),
        col("file_size", "bigint", "Bytes."),
        col("glob_path", "text", "Pattern that it was found by; deprecated, null upstream."),
        col("original_path", "text", "Path on the agent; deprecated, null upstream."),
        col("sha1sum", "text", "SHA-1 of its bytes."),
        col("last_seen_at", "timestamp", "When a load last saw it."),
        col("gone_at", "timestamp", "When a load found it gone; null while it is there."),
    ),
)
