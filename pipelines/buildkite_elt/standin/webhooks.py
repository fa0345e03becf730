"""What a provider sent to begin a build, as `BuildSourceWebhook` tells it: kept for seven days (api.md 5.8)."""

from __future__ import annotations

from datetime import datetime, timedelta

from .answer import parse_time
from .look import derived
from .world import Row

KEPT = timedelta(days=7)

EVENTS = {
    "beanstalk": "X-Beanstalk-Event: push",
    "bitbucket": "X-Event-Key: repo:push",
    "bitbucket_server": "X-Event-Key: repo:refs_changed",
    "github": "X-GitHub-Event: push",
    "github_enterprise": "X-GitHub-Event: push",
    "gitlab": "X-Gitlab-Event: Push Hook",
    "gitlab_ee": "X-Gitlab-Event: Push Hook",
}
"""The header of each provider that names the event; the others have none."""


def webhook(build: Row, now: datetime) -> Row:
    """uuid, headers and payload of the webhook that began a build; nothing once they are purged."""
    begun = parse_time(build["created_at"])
    if begun is None or now - begun >= KEPT:
        return {}
    uuid, provider = derived("webhook", build["id"]), build["pipeline"]["provider"]["id"]
    headers = ["Content-Type: application/json", f"X-Request-Id: {uuid}"]
    headers += [EVENTS[provider]] if provider in EVENTS else []
    return {"uuid": uuid, "headers": headers, "payload": payload(build)}


def payload(build: Row) -> Row:
    """The body: a push of one commit, whoever the provider is."""
    author, pipeline = build["author"], build["pipeline"]
    told = {"email": author} if isinstance(author, str) else author
    commit = {"id": build["commit"], "message": build["message"], "author": told}
    repository = {"name": pipeline["slug"], "clone_url": pipeline["repository"]}
    return {"ref": f"refs/heads/{build['branch']}", "repository": repository, "commits": [commit]}
