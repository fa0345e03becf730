"""The rate limits of both APIs: fixed windows on the clock, per organization and per user (api.md 2.1, 2.2)."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .answer import Answer, as_json


@dataclass(frozen=True)
class Budgets:
    """Every limit of the stand-in; the defaults are the documented ones (api.md 2.1, 2.2, 3.1)."""

    rest: int = 200
    rest_user: int = 50
    graphql: int = 20_000
    graphql_user: int = 5_000
    query: int = 50_000
    depth: int = 15
    rest_window: int = 60
    graphql_window: int = 300
    deep: int = 10_000
    enforced: bool = True
    heavy: timedelta | None = None
    """A search of an organization's jobs over a longer time than this answers 504 (api.md 2.2); None: none does."""
    heavy_page: int | None = None
    """So does one with a larger page than this."""


@dataclass(frozen=True)
class Level:
    """One bucket at one moment."""

    limit: int
    current: int
    reset: int

    @property
    def remaining(self) -> int:
        return max(self.limit - self.current, 0)


class Meter:
    """Counts what was spent in each fixed window; the bucket is the user, not the token (api.md 2.1)."""

    def __init__(self, budgets: Budgets) -> None:
        self.budgets = budgets
        self._lock = threading.Lock()
        self._spent: dict[tuple[str, str], tuple[int, int]] = {}

    def _window(self, scope: str) -> int:
        return self.budgets.rest_window if scope.startswith("rest") else self.budgets.graphql_window

    def level(self, scope: str, who: str, now: datetime) -> Level:
        """The state of one bucket; `scope` is rest, rest_user, graphql or graphql_user."""
        length = self._window(scope)
        seconds = now.timestamp()
        window = int(seconds // length)
        kept, current = self._spent.get((scope, who), (window, 0))
        if kept != window:
            current = 0
        return Level(getattr(self.budgets, scope), current, int((window + 1) * length - seconds))

    def spend(self, scope: str, who: str, points: int, now: datetime) -> Level:
        """Add to a bucket and tell its new state."""
        with self._lock:
            level = self.level(scope, who, now)
            window = int(now.timestamp() // self._window(scope))
            self._spent[scope, who] = (window, level.current + points)
            return Level(level.limit, level.current + points, level.reset)

    def clear(self) -> None:
        """Forget everything that was spent."""
        with self._lock:
            self._spent.clear()


def rest_headers(organization: Level, user: Level) -> dict[str, str]:
    """The header names of api.md 2.1, on every REST response."""
    headers = {
        "RateLimit-Scope": "rest",
        "RateLimit-Remaining": str(organization.remaining),
        "RateLimit-Limit": str(organization.limit),
        "RateLimit-Reset": str(organization.reset),
        "RateLimit-User-Scope": "rest_user",
        "RateLimit-User-Remaining": str(user.remaining),
        "RateLimit-User-Limit": str(user.limit),
        "RateLimit-User-Reset": str(user.reset),
    }
    return headers | _warnings(organization, user)


def graphql_headers(organization: Level, user: Level) -> dict[str, str]:
    """The header names of api.md 2.2, on every GraphQL response."""
    headers = {
        "RateLimit-Remaining": str(organization.remaining),
        "RateLimit-Limit": str(organization.limit),
        "RateLimit-Reset": str(organization.reset),
        "RateLimit-User-Scope": "graphql_user",
        "RateLimit-User-Remaining": str(user.remaining),
        "RateLimit-User-Limit": str(user.limit),
        "RateLimit-User-Reset": str(user.reset),
    }
    return headers | _warnings(organization, user)


def _warnings(organization: Level, user: Level) -> dict[str, str]:
    """Sent while a bucket is exhausted (api.md 2.1); never a Retry-After."""
    warnings = {}
    if organization.remaining == 0:
        warnings["RateLimit-Warning"] = f"The limit of {organization.limit} is used up"
    if user.remaining == 0:
        warnings["RateLimit-User-Warning"] = f"The limit of {user.limit} per user is used up"
    return warnings


def rest_refused(scope: str, level: Level) -> Answer:
    """The 429 of the REST API; `scope` names the exhausted bucket (api.md 2.1)."""
    message = f"You have exceeded your API rate limit. Please wait {level.reset} seconds before making more requests."
    body = {"message": message, "scope": scope, "limit": level.limit, "current": level.current}
    return as_json(body | {"reset": level.reset}, 429)


def graphql_refused(scope: str, level: Level) -> Answer:
    """The 429 of the GraphQL API (api.md 2.2)."""
    who, what = "Your organization has", "the"
    if scope == "graphql_user":
        who, what = "You have", "your per-user"
    limit = f"{what} limit of {level.limit} complexity points"
    message = f"{who} exceeded {limit}. Please try again in {level.reset} seconds."
    return as_json({"errors": [{"message": message}]}, 429)


def rate_limit_body(levels: dict[str, Level], now: datetime, enforced: bool) -> dict[str, object]:
    """The body of O/rate_limit: the organization's buckets, never the user's (api.md 2.1)."""
    scopes = {}
    for scope, level in levels.items():
        ends = datetime.fromtimestamp(int(now.timestamp()) + level.reset, UTC)
        scopes[scope] = {
            "limit": level.limit,
            "current": level.current,
            "reset": level.reset,
            "reset_at": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "enforced": enforced,
        }
    return {"scopes": scopes}
