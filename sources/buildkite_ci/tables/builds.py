"""Builds of every pipeline, in every state.

No build is ever final: a retry or an unblock reopens it, and nothing in the API says when it changed. Loads read new,
ended and open builds again, and `last_seen_at` says when that was (api.md 7).
`state` of a blocked build is the state before the block; `blocked` says that it is.
`author` is an object, an e-mail or nothing upstream; here it is always three columns.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from ..table import Item, Rest, Since, Table, col, named, part, user

ADDRESS = re.compile(r"\s*(.*?)\s*<([^<>]*)>\s*")


def rows(build: Item) -> Iterator[Item]:
    """The build with its pipeline's slug, also where the pipeline was left out, and its author put right."""
    slug = part(build, "pipeline").get("slug") or named("pipelines", build.get("url"))
    yield {**build, "pipeline_slug": slug, "author": author(build.get("author"))}


def author(author: Any) -> Any:
    """`{username, name, email}`, of an object, `a@b`, `Name <a@b>` or a bare name (api.md 4.15)."""
    if isinstance(author, Mapping) or author in (None, "", []):
        return author
    found = ADDRESS.fullmatch(author) if isinstance(author, str) else None
    if found:
        return {"name": found[1], "email": found[2]}
    return {"name": author} if isinstance(author, str) and "@" not in author else {"email": author}


TABLE = Table(
    grain="one row per build",
    # Buildkite filters builds by birth and by finish, never by change; by default it hides retried jobs.
    fetch=Rest(
        "organizations/{organization}/builds",
        params={"include_retried_jobs": "true"},
        since=Since(
            finished="finished_from",
            open=("creating", "scheduled", "running", "failing", "canceling", "blocked"),
            lag=timedelta(minutes=10),
        ),
        apart="jobs",
    ),
    rows=rows,
    key=("id",),
    scope="read_builds",
    load="merge",
    # jobs and pipeline are tables. job_state_counts and test_engine come only with one build asked for by number,
    # and only count what jobs and Test Engine hold.
    elsewhere=("jobs", "pipeline", "job_state_counts", "test_engine"),
    columns=(
        col("id", "text", "Build UUID."),
        col("graphql_id", "text", "GraphQL id."),
        col("organization_slug", "text", "Its organization."),
        col("pipeline_id", "text", "Its pipeline's UUID; null where the API left the pipeline out.", "pipeline.id"),
        col("pipeline_slug", "text", "Its pipeline's slug when it was read."),
        col("pipeline_name", "text", "Its pipeline's name when it was read.", "pipeline.name"),
        col("number", "bigint", "Number within its pipeline, with gaps."),
        col("url", "url", "Address in the API."),
        col("web_url", "url", "Address for people."),
        col("state", "text", "creating, scheduled, running, failing, passed, failed, canceling, canceled and so on."),
        col("blocked", "bool", "Whether it waits for a person at a block step."),
        col("blocked_state", "text", "What it counts as while blocked: passed, failed or running."),
        col("cancel_reason", "text", "Why it was canceled."),
        col("message", "text", "Message, mostly the commit's."),
        col("commit", "text", "Commit SHA, or HEAD until an agent has looked it up."),
        col("branch", "text", "Branch."),
        col("tag", "text", "Tag; null mostly."),
        col("source", "text", "What started it: webhook, api, ui, trigger_job or schedule."),
        col("author_username", "text", "Author of the commit: user name.", "author.username"),
        col("author_name", "text", "Author of the commit: name.", "author.name"),
        col("author_email", "email", "Author of the commit: e-mail, its domain only unless asked for.", "author.email"),
        *user("creator", "Who started it"),
        col("created_at", "timestamp", "When it was made; never changes."),
        col("scheduled_at", "timestamp", "When it was ready to run; may be a moment before created_at."),
        col("started_at", "timestamp", "When its first job started; a retry may move it."),
        col("failing_at", "timestamp", "When a job first failed; stays after a retry."),
        col("finished_at", "timestamp", "When its last job ended; null while it runs, rewritten by a retry."),
        col("env", "env", "Variables given when it was started; names only unless asked for."),
        col("meta_data", "json", "Key-values the build set itself; never spread into columns."),
        col("pull_request_id", "text", "Pull request number, as text.", "pull_request.id"),
        col("pull_request_base", "text", "Branch that the pull request would merge into.", "pull_request.base"),
        col("pull_request_repository", "url", "Repository of the pull request.", "pull_request.repository"),
        col("pull_request_labels", "json", "List of the pull request's labels.", "pull_request.labels"),
        col("merge_queue", "json", "The merge queue's part of the build, whole."),
        col("merge_queue_base_branch", "text", "Branch that the merge queue merges into.", "merge_queue.base_branch"),
        col("rebuilt_from_id", "text", "Build that this one repeats: UUID.", "rebuilt_from.id"),
        col("rebuilt_from_number", "bigint", "Build that this one repeats: number.", "rebuilt_from.number"),
        col("rebuilt_from_url", "url", "Build that this one repeats: address in the API.", "rebuilt_from.url"),
        col("triggered_from_build_id", "text", "Build that triggered it: UUID.", "triggered_from.build_id"),
        col("triggered_from_build_number", "bigint", "Build that triggered it: number.", "triggered_from.build_number"),
        col(
            "triggered_from_build_pipeline_slug",
            "text",
            "Build that triggered it: its pipeline's slug.",
            "triggered_from.build_pipeline_slug",
        ),
        col("cluster_id", "text", "Cluster that ran it; null where it had none."),
        col("cluster_url", "url", "Address of that cluster in the API."),
        col("first_seen_at", "timestamp", "When a load first saw it."),
        col("last_seen_at", "timestamp", "When a load last read it."),
        col("gone_at", "timestamp", "When a load found it deleted upstream; null while it is there."),
    ),
)
