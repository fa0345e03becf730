"""Pipelines, and every version of their settings that a load has seen.

A pipeline that is gone upstream keeps its history: its last version is closed, never dropped.
The counters are readings of when a version began; they make no new version (pipeline_metrics and jobs count better).
REST does not tell who archived a pipeline, nor its next build number.
"""

from ..table import Rest, Table, col, user

TABLE = Table(
    grain="one row per pipeline and version of its settings",
    fetch=Rest("organizations/{organization}/pipelines"),
    key=("id",),
    scope="read_pipelines",
    load="scd2",
    # provider.webhook_url: whoever knows it can start builds, so it is never stored (api.md 4.8).
    elsewhere=("provider.webhook_url",),
    columns=(
        col("id", "text", "Pipeline UUID."),
        col("graphql_id", "text", "GraphQL id."),
        col("organization_slug", "text", "Its organization."),
        col("slug", "text", "Name in URLs; may change."),
        col("name", "text", "Name for people."),
        col("description", "text", "What its people say it is for."),
        col("url", "url", "Address in the API."),
        col("web_url", "url", "Address for people."),
        col("repository", "url", "Repository that it builds, as given to git; without a password."),
        col("default_branch", "text", "Branch that its metrics and badge speak of."),
        col("branch_configuration", "text", "Patterns of the branches that are built; null for all."),
        col("skip_queued_branch_builds", "bool", "Whether a newer build of a branch skips those that wait."),
        col("skip_queued_branch_builds_filter", "text", "Branches for which waiting builds are skipped."),
        col("cancel_running_branch_builds", "bool", "Whether a newer build of a branch cancels those that run."),
        col("cancel_running_branch_builds_filter", "text", "Branches for which running builds are canceled."),
        col("allow_rebuilds", "bool", "Whether a build may be rebuilt."),
        col("provider_id", "text", "Where the code lives: github, gitlab, bitbucket and so on.", "provider.id"),
        col(
            "provider_settings", "json", "What starts and reports builds there; keys by provider.", "provider.settings"
        ),
        col("builds_url", "url", "Address of its builds in the API."),
        col("badge_url", "url", "Address of its badge, public by design."),
        *user("created_by", "Who made it"),
        col("created_at", "timestamp", "When it was made."),
        col("archived_at", "timestamp", "When it was archived; null while it is in use."),
        col("env", "env", "Environment of every build; names only unless asked for."),
        col("visibility", "text", "Who sees it: public or private."),
        col("tags", "json", "List of its tags."),
        col("emoji", "text", "Its emoji."),
        col("color", "text", "Its colour, as #RRGGBB."),
        col("cluster_id", "text", "Cluster that runs it; null where it has none."),
        col("cluster_url", "url", "Address of that cluster in the API."),
        col("pipeline_template_uuid", "text", "Template that it was made from."),
        col("clone_mirror_url", "url", "Where agents clone from instead of the repository."),
        col("configuration", "text", "Its steps as YAML text; null for the older visual steps."),
        col("steps", "json", "List of its steps, as far as the API reads them from the YAML."),
        col("default_command_step_timeout", "bigint", "Minutes a command step may take unless it says otherwise."),
        col("maximum_command_step_timeout", "bigint", "Minutes no command step may exceed."),
        col("scheduled_builds_count", "bigint", "Builds that waited when this version began.", now=True),
        col("running_builds_count", "bigint", "Builds that ran when this version began.", now=True),
        col("scheduled_jobs_count", "bigint", "Jobs that waited for an agent when this version began.", now=True),
        col("running_jobs_count", "bigint", "Jobs that ran when this version began.", now=True),
        col("waiting_jobs_count", "bigint", "Jobs that waited for other jobs when this version began.", now=True),
    ),
)
