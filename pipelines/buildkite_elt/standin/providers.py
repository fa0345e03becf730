"""Repository providers and the settings that each of them has (api.md 4.8)."""

from __future__ import annotations

from typing import Any

from .world import Row

_EVERY: Row = {"filter_enabled": False, "filter_condition": None}
_BUILDS: Row = {"build_branches": True, "build_pull_requests": True, "build_tags": False}
_STATUS: Row = {
    "ignore_default_branch_pull_requests": True,
    "publish_commit_status": True,
    "publish_commit_status_per_step": False,
    "pull_request_branch_filter_enabled": False,
    "pull_request_branch_filter_configuration": "feature/*",
    "skip_pull_request_builds_for_existing_commits": True,
}
_PULLS = (
    *("base_branch_changed", "forks", "labels_changed", "ready_for_review", "stacks", "reopened", "edited"),
    *("converted_to_draft", "review_requested", "review_submitted", "review_dismissed", "review_comment_created"),
    *("dequeued", "merge_commits"),
)
_GITHUB: Row = {
    "trigger_mode": "code",
    **{f"build_pull_request_{name}": name in ("labels_changed", "reopened") for name in _PULLS},
    "build_check_run_completed": False,
    **{f"build_release_{name}": False for name in ("published", "created", "released")},
    "build_issue_comment_created": True,
    "issue_comment_command_word": "/build",
    "issue_comment_match_mode": "starts_with",
    "review_comment_command_word": "/build",
    "review_comment_match_mode": "starts_with",
    "build_deployment_status_created": False,
    "build_create_event": False,
    "cancel_deleted_branch_builds": True,
    "build_merge_group_checks_requested": True,
    "cancel_when_merge_group_destroyed": True,
    "use_merge_group_base_commit_for_git_diff_base": False,
    "prefix_pull_request_fork_branch_names": True,
    "publish_blocked_as_pending": False,
    "separate_pull_request_statuses": False,
    "skip_builds_for_existing_commits": False,
    "skip_builds_for_closed_pull_requests": True,
    "use_step_key_as_commit_status": False,
    "prevent_custom_statuses_from_using_buildkite_prefix": False,
}
_GITLAB: Row = {
    **_BUILDS,
    "build_pull_request_merge": False,
    "build_pull_request_base_branch_changed": False,
    "publish_commit_status": True,
}
SETTINGS: dict[str, Row] = {
    "github": {**_BUILDS, **_STATUS, **_GITHUB, "github_workflow_access_tokens_enabled": False},
    "github_enterprise": {**_BUILDS, **_STATUS, **_GITHUB},
    "bitbucket": {**_BUILDS, **_STATUS},
    "bitbucket_server": dict(_BUILDS),
    "gitlab": _GITLAB,
    "gitlab_ee": _GITLAB,
    "beanstalk": {},
    "codebase": {},
    "origin": {**_BUILDS, "publish_commit_status": True},
    "unknown": {},
}
"""By provider id, the settings besides those that every provider has."""

HOSTS = {
    "github": "git@github.com:",
    "github_enterprise": "git@github.acme.example:",
    "bitbucket": "git@bitbucket.org:",
    "bitbucket_server": "ssh://git@bitbucket.acme.example/",
    "gitlab": "git@gitlab.com:",
    "gitlab_ee": "git@gitlab.acme.example:",
}


def provider(kind: str, repository: str, secret: str) -> Row:
    """The `provider` of a pipeline; webhook_url is a capability, as told to those who may edit (api.md 4.8)."""
    settings: dict[str, Any] = {**_EVERY, **SETTINGS[kind], "repository": repository}
    return {"id": kind, "webhook_url": f"https://webhook.buildkite.com/deliver/{secret}", "settings": settings}


def remote(kind: str, repository: str) -> str:
    """Where the repository is cloned from."""
    return f"{HOSTS.get(kind, 'https://git.acme.example/')}{repository}.git"
