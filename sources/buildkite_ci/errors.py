"""What can go wrong, each named after what the reader does next.

BuildkiteError
├─ TokenMissing      give a token
├─ TokenRefused      make a new one (401)
├─ ScopeMissing      add a scope, or leave the table out (403)
│  └─ ForAdministrators  the same, where only a null tells it (GraphQL)
├─ NotFound          check the spelling, or the token's organizations (404)
├─ TooDeep           narrow the window (400 "this deep")
├─ TooHeavy          ask for a smaller page (504, a timeout, a very large body)
├─ RequestRefused    the API does not like what we asked (other 4xx): a bug of ours, or drift of theirs
├─ QueryRefused      mend the .graphql file
├─ Passing           wait; the wire already did, several times
│  ├─ Exhausted      ask for less, or later (429)
│  ├─ Unreachable    check the URL and the network
│  └─ BadAnswer      not the JSON it should be (HTML, half a body, a message)
│     └─ Null        GraphQL's null where rows should be
├─ BudgetSpent       allow this run more, or let a later one go on (our own limit, not the API's)
├─ ForeignHost       a link or redirect that leaves the API's host; never followed
├─ WriteRefused      a GraphQL document that is not a query; never sent
└─ BadInput          mend what you typed
"""

from __future__ import annotations

TOKENS = "https://buildkite.com/user/api-access-tokens"


class BuildkiteError(Exception):
    """Everything we raise on purpose; `str()` of it is a sentence for the person who reads it."""


class TokenMissing(BuildkiteError):
    def __init__(self) -> None:
        super().__init__(
            "No API token. Set BUILDKITE_API_TOKEN, or put api_token under [sources.buildkite_ci] in dlt's "
            "secrets.toml, or name a file with --token-file. Make one at " + TOKENS
        )


class TokenRefused(BuildkiteError):
    def __init__(self, host: str, message: str = "") -> None:
        said = f" It said: {message}" if message else ""
        super().__init__(
            f"{host} refused this API token (401): it is wrong, expired or revoked.{said} Make a new one at {TOKENS}"
        )


class ScopeMissing(BuildkiteError):
    """403. `scope` is empty where the API did not name one (a plan or a role is missing, not a scope)."""

    def __init__(self, scope: str, message: str = "") -> None:
        self.scope = scope
        if scope:
            text = f"this token lacks the scope {scope}. Add it at {TOKENS}, or leave the table out"
        else:
            why = message or "HTTP 403"
            text = f"not allowed for this token's user ({why}). Ask an administrator, or leave the table out"
        super().__init__(text)


class ForAdministrators(ScopeMissing):
    def __init__(self, error: BuildkiteError) -> None:
        super().__init__("", f"it is for administrators of the organization; {error}")


class NotFound(BuildkiteError):
    def __init__(self, what: str, message: str = "") -> None:
        said = f" ({message})" if message else ""
        super().__init__(
            f"{what} is not there, or this token may not see it{said}. "
            "Check the spelling, and that the token includes the organization"
        )


class TooDeep(BuildkiteError):
    """Buildkite does not list builds deeper than some undocumented page: the window must shrink."""


class TooHeavy(BuildkiteError):
    """The page that was asked for is more than the API, or this machine, can take at once."""


class RequestRefused(BuildkiteError):
    def __init__(self, status: int, what: str, message: str) -> None:
        self.status = status
        super().__init__(f"{what} answered {status}: {message or 'no reason given'}")


class QueryRefused(BuildkiteError):
    """GraphQL errors; the text names the file, line and column where the server gave them."""


class Passing(BuildkiteError):
    """Likely gone in a while. `wait` is how long the server said, in seconds; None if it did not."""

    def __init__(self, text: str, wait: float | None = None) -> None:
        self.wait = wait
        super().__init__(text)


class Exhausted(Passing):
    """429: the budget that `scope` names is spent."""


class Unreachable(Passing):
    """No answer: refused, reset, timed out, or a 5xx."""


class BadAnswer(Passing):
    """An answer that is not the JSON it should be; never taken for an empty page."""


class Null(BadAnswer):
    """GraphQL's null where rows should be: something of the server's failed, or the token's user may not see them."""


class BudgetSpent(BuildkiteError):
    def __init__(self, limit: str) -> None:
        super().__init__(f"this run may spend no more than {limit}: the rest is for a later one")


class Stopped(BudgetSpent):
    def __init__(self) -> None:
        BuildkiteError.__init__(self, "the load was asked to stop: the rest is for a later one")


class ForeignHost(BuildkiteError):
    def __init__(self, url: str, ours: str) -> None:
        super().__init__(f"Refused to follow {url!r}: it leaves {ours}, and the token stays here")


class WriteRefused(BuildkiteError):
    def __init__(self, where: str, kind: str) -> None:
        super().__init__(f"{where}: a {kind} would change something at Buildkite; only queries are sent")


class BadInput(BuildkiteError):
    """What was typed cannot be meant; the text says what can."""
