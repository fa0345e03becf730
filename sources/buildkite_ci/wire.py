"""The one HTTP client for both APIs. Waiting, retrying, counting and refusing happen here, below every caller.

What it keeps: the token goes to the API's own host only; nothing but GET and GraphQL's POST is sent; an answer that is
not the JSON it should be is an error, never an empty page.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO

import httpx
import orjson
import tenacity

from .budget import Budget, seconds
from .errors import (
    BadAnswer,
    BadInput,
    BudgetSpent,
    Exhausted,
    ForeignHost,
    NotFound,
    Passing,
    RequestRefused,
    ScopeMissing,
    Stopped,
    TokenMissing,
    TokenRefused,
    TooDeep,
    TooHeavy,
    Unreachable,
)
from .privacy import redact
from .raw import LOG, Raw, body, is_log, told

REST_URL = "https://api.buildkite.com/v2"
GRAPHQL_URL = "https://graphql.buildkite.com/v1"
PASSING = {408, 425, 429, 500, 502, 503, 504}
LARGEST = 64 << 20
"""Bytes of a body that is still read at once, where a smaller page can be asked for."""
LOOPBACK = {"127.0.0.1", "localhost", "::1"}

SCOPE = re.compile(r"doesn't have the `?(\w+)`? scope")
AGAIN = re.compile(r"try again in (\d+) second")
BUSY = re.compile(r"please try again", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """A decoded response: its JSON, the server's clock when it was made, its size in bytes, its `next` link, and the
    address of the last page where one is named (to be read, not followed)."""

    body: Any
    at: datetime
    next: str | None
    size: int
    last: str | None = None


class Wire:
    """`get` and `post` for one token. Raises what errors.py lists. Use as a context manager, or close()."""

    def __init__(
        self,
        token: str,
        rest_url: str = REST_URL,
        graphql_url: str = GRAPHQL_URL,
        *,
        budget: Budget | None = None,
        sleep: Callable[[float], None] = time.sleep,
        tries: int = 6,
        timeout: float = 60.0,
        inner: httpx.BaseTransport | None = None,
    ) -> None:
        if not token:
            raise TokenMissing
        if not token.isascii() or any(character.isspace() for character in token):
            raise BadInput("The API token holds a space, a line break or a letter outside ASCII: copy it again")
        self.rest_url, self.graphql_url = _base(rest_url, "REST"), _base(graphql_url, "GraphQL")
        self.budget = budget or Budget()
        self.scopes: frozenset[str] | None = None
        """What the token may do, as the last REST answer told; None before the first."""
        self.at: datetime | None = None
        """The server's clock at the last answer."""
        self.client = httpx.Client(
            transport=Patient(inner or httpx.HTTPTransport(), self.budget, sleep, tries),
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json", "User-Agent": "buildkite-elt"},
            timeout=httpx.Timeout(timeout, connect=10.0),
            follow_redirects=False,
        )

    def get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        shape: type = list,
        check: Callable[[Any], None] | None = None,
        can_shrink: bool = False,
        decode: Callable[[bytes], Any] = orjson.loads,
    ) -> Answer:
        """GET a path below the REST URL, or a link that an earlier answer gave. `shape`: list (of objects) or dict.

        `check` is given the JSON and raises BadAnswer where it cannot be right; the request is then sent again.
        `can_shrink`: the caller can ask for less, so what is too heavy is TooHeavy at once and not tried again.
        `decode`: makes the JSON of a body that answers 200; raises what orjson does.
        """
        url = self.pinned(path) if "://" in path else f"{self.rest_url}/{path.lstrip('/')}"
        response = self.client.get(
            url,
            params=params or None,
            extensions={"api": "rest", "shape": shape, "check": check, "can_shrink": can_shrink, "decode": decode},
        )
        self._noted(response)
        link = response.links.get("next", {}).get("url")
        return _answer(response, self.pinned(link) if link else None)

    def fetch(self, path: str, into: BinaryIO, tail: int = 0) -> Raw:
        """GET a job's log below the REST URL into a file; of one longer than `tail` bytes only its end (0: all).

        Raises what `get` does; BadAnswer where the answer is no log.
        """
        headers = {"Accept": "text/plain"} | ({"Range": f"bytes=-{tail}"} if tail else {})
        response = self.client.get(
            f"{self.rest_url}/{path}", headers=headers, extensions={"api": "rest", "shape": bytes, "into": into}
        )
        self._noted(response)
        return told(response, into, _date(response))

    def _noted(self, response: httpx.Response) -> None:
        self.at = _date(response)
        if "X-OAuth-Scopes" in response.headers:
            self.scopes = frozenset(re.findall(r"\w+", response.headers["X-OAuth-Scopes"]))

    def post(self, payload: Mapping[str, Any], points: int = 0, can_shrink: bool = False) -> Answer:
        """POST one GraphQL request that may cost `points`; the answer's `errors`, if any, are the caller's to read."""
        content = orjson.dumps(payload)
        response = self.client.post(
            self.graphql_url,
            content=content,
            headers={"Content-Type": "application/json"},
            extensions={"api": "graphql", "shape": dict, "points": points, "can_shrink": can_shrink},
        )
        self._noted(response)
        return _answer(response, None)

    def pinned(self, url: str) -> str:
        """`url`, if it is on the REST API's own scheme, host and port and carries no user; else ForeignHost."""
        try:
            found, ours = httpx.URL(url), httpx.URL(self.rest_url)
        except httpx.InvalidURL:
            raise ForeignHost(redact(url), self.rest_url) from None
        if (found.scheme, found.host, found.port) != (ours.scheme, ours.host, ours.port) or found.userinfo:
            raise ForeignHost(redact(url), f"{ours.scheme}://{ours.netloc.decode()}")
        return url

    def close(self) -> None:
        self.client.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Patient(httpx.BaseTransport):
    """Sends, and sends again while what went wrong is passing; raises the named error when it is not."""

    def __init__(self, inner: httpx.BaseTransport, budget: Budget, sleep: Callable[[float], None], tries: int) -> None:
        self.inner, self.budget, self.sleep = inner, budget, sleep
        self.retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(tries),
            retry=tenacity.retry_if_exception_type(Passing),
            wait=_pause,
            sleep=sleep,
            reraise=True,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self.retrying.copy()(self.once, request)

    def once(self, request: httpx.Request) -> httpx.Response:
        api, points = request.extensions["api"], request.extensions.get("points", 0)
        can_shrink = request.extensions.get("can_shrink", False)
        self._allow(api, points, can_shrink)
        pause = self.budget.pause(api, points)
        if pause:
            self.budget.waited(api, pause)
            self.sleep(pause)
        try:
            with self.budget.blocking():
                response = self.inner.handle_request(request)
                if can_shrink and int(response.headers.get("Content-Length", 0)) > LARGEST:
                    response.close()
                    raise TooHeavy(f"{_name(request)} answers with more than {LARGEST >> 20} MiB")
                size, response = body(response, request.extensions.get("into"))
        except httpx.InvalidURL as error:
            raise BadInput(str(error)) from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            if can_shrink and isinstance(error, httpx.ReadTimeout):
                raise TooHeavy(f"{_name(request)} took too long") from error
            raise Unreachable(
                f"{_name(request)} did not answer ({_reason(error)}): check the URL and the network"
            ) from error
        self.budget.told(api, response.headers, size, response.status_code == 429, points)
        if can_shrink and response.status_code == 504:
            raise TooHeavy(f"{_name(request)} answered 504")
        check(request, response)
        return response

    def _allow(self, api: str, points: int, can_shrink: bool) -> None:
        try:
            self.budget.allow(api, points)
        except Stopped:
            raise
        except BudgetSpent as error:
            if can_shrink and points:
                raise TooHeavy(str(error)) from error
            raise

    def close(self) -> None:
        self.inner.close()


def check(request: httpx.Request, response: httpx.Response) -> None:
    """Raise for every answer that is not a 200 with JSON of the right shape; leave that in extensions["json"]."""
    api, shape, status = request.extensions["api"], request.extensions["shape"], response.status_code
    what = _name(request)
    if shape is bytes and status in LOG:
        is_log(what, response, request.extensions["into"])
        return
    body, message = _decode(response, request.extensions.get("decode", orjson.loads) if status == 200 else orjson.loads)
    if status == 200:
        if not isinstance(body, shape) or (shape is list and not all(isinstance(one, dict) for one in body)):
            raise BadAnswer(f"{what} answered 200 without the JSON it should hold ({message or 'another shape'})")
        if api == "graphql" and BUSY.search(message):
            raise BadAnswer(f"{what}: {message}")
        if request.extensions.get("check"):
            request.extensions["check"](body)
        response.extensions["json"] = body
    elif status == 429:
        raise Exhausted(f"{what}: {message or 'the rate limit is spent'}", _reset(api, body, message, response))
    elif status in PASSING or status >= 500:
        raise Unreachable(f"{what} answered {status} {message}".strip())
    elif 300 <= status < 400:
        raise ForeignHost(redact(response.headers.get("Location", "")), what)
    else:
        raise refusal(api, status, what, message)


def refusal(api: str, status: int, what: str, message: str) -> Exception:
    """The error for a 4xx, or for another status that is no answer."""
    if status == 401:
        return TokenRefused(what, message)
    if status == 403:
        named = SCOPE.search(message)
        return ScopeMissing(named[1] if named else "graphql" if api == "graphql" else "", message)
    if status == 404:
        return NotFound(what, message)
    if status == 400 and "this deep" in message:
        return TooDeep(message)
    if status < 300:
        return BadAnswer(f"{what} answered {status} without a body")
    return RequestRefused(status, what, message)


def _decode(response: httpx.Response, decode: Callable[[bytes], Any]) -> tuple[Any, str]:
    """The body as JSON (None if it is none) and the message that an error carries (api.md 1.6)."""
    try:
        body = decode(response.content)
    except orjson.JSONDecodeError:
        head = response.content[:60].decode(errors="replace").strip()
        return None, f"not JSON: {redact(head)!r}" if head else "an empty body"
    if isinstance(body, dict):
        errors = body.get("errors")
        first = errors[0] if isinstance(errors, list) and errors else None
        message = body.get("message") or (first.get("message") if isinstance(first, dict) else first)
        return body, redact(str(message or ""))
    return body, ""


def _reset(api: str, body: Any, message: str, response: httpx.Response) -> float | None:
    """Seconds until the spent bucket is full: the body's word, else its bucket's header, else the longer of the two."""
    said = AGAIN.search(message)
    if said:
        return seconds(said[1], api)
    body = body if isinstance(body, dict) else {}
    if seconds(body.get("reset"), api) is not None:
        return seconds(body["reset"], api)
    both = {name: seconds(response.headers.get(f"{name}-Reset"), api) for name in ("RateLimit", "RateLimit-User")}
    own = both["RateLimit-User" if str(body.get("scope", "")).endswith("_user") else "RateLimit"]
    if body.get("scope") and own is not None:
        return own
    return max((one for one in both.values() if one is not None), default=None)


def _pause(state: tenacity.RetryCallState) -> float:
    """What the server said and half a second, or 0.5, 1, 2 … 30 seconds where it said nothing; jitter on both."""
    error = state.outcome.exception() if state.outcome else None
    told = error.wait if isinstance(error, Passing) else None
    if told is not None:
        return told + 0.5 + tenacity.wait_random(0, 0.5)(state)
    return tenacity.wait_exponential_jitter(multiplier=0.5, max=30, jitter=0.5)(state)


def _answer(response: httpx.Response, following: str | None) -> Answer:
    last = response.links.get("last", {}).get("url")
    body = response.extensions.pop("json")  # a response is part of a cycle: what it holds stays until it is found
    return Answer(body, _date(response), following, len(response.content), last)


def _date(response: httpx.Response) -> datetime:
    """The server's clock; ours only where it does not tell."""
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.now(UTC)


def _name(request: httpx.Request) -> str:
    """The request as a message may show it: no query, no user."""
    return f"{request.url.netloc.decode()}{request.url.path}"


def _reason(error: Exception) -> str:
    return redact(str(error)) or type(error).__name__


def _base(url: str, which: str) -> str:
    """A base URL without its last slash; https, or http to this machine only."""
    try:
        found = httpx.URL(url)
    except httpx.InvalidURL:
        raise BadInput(f"{url!r} is no URL for {which}") from None
    if found.scheme != "https" and not (found.scheme == "http" and found.host in LOOPBACK):
        raise BadInput(
            f"The {which} URL must begin with https:// (http:// only to this machine); it is {redact(url)!r}"
        )
    if found.userinfo:
        raise BadInput(f"The {which} URL must not hold a user or password")
    return url.rstrip("/")
