"""Faults by rule: which requests are answered wrongly, and how (the fault kinds of T2, T3 and T9)."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from .answer import Answer, Ask, Replay, Seen, Wire
from .budget import Level, graphql_refused, rest_refused
from .log_trouble import LOG_KINDS

ELSEWHERE = "https://elsewhere.example"
HTML = b"<!DOCTYPE html><html><head><title>Bad gateway</title></head><body><h1>Please stand by</h1></body></html>"


@dataclass
class Rule:
    """`nth`: the first matching request that suffers, from 1 on; `times`: how many do (None: all that follow)."""

    kind: str
    path: re.Pattern[str] | None = None
    api: str | None = None
    nth: int = 1
    times: int | None = 1
    details: dict[str, Any] = field(default_factory=dict)
    met: int = 0
    hit: int = 0

    def strikes(self, ask: Ask) -> bool:
        """Whether it is this request's turn; counts the ones that match."""
        what = f"{ask.path}?{ask.query}\n{ask.document or ''}"
        if (self.api and ask.api != self.api) or (self.path and not self.path.search(what)):
            return False
        self.met += 1
        return self.met >= self.nth and (self.times is None or self.met < self.nth + self.times)


class Trouble:
    """The rules of one stand-in, and who looks on between two answers."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.watchers: list[Callable[[int, Seen], None]] = []

    def add(
        self,
        kind: str,
        *,
        path: str | None = None,
        api: str | None = None,
        nth: int = 1,
        times: int | None = 1,
        **details: Any,
    ) -> Rule:
        """Answer some requests wrongly. `path` is searched in `path?query`, for GraphQL in the document as well.

        Details of every kind: `headers` (a value of None takes the header away) and `body` (bytes, or a JSON value).
        """
        if kind not in KINDS:
            raise ValueError(f"{kind} is no kind of trouble; there are {', '.join(KINDS)}")
        rule = Rule(kind, re.compile(path) if path else None, api, nth, times, details)
        self.rules.append(rule)
        return rule

    def between(self, callback: Callable[[int, Seen], None]) -> None:
        """Call back with (number from 1 on, Seen) after each request is answered, before its answer leaves."""
        self.watchers.append(callback)

    def clear(self) -> None:
        self.rules.clear()
        self.watchers.clear()

    def strike(self, ask: Ask, answer: Answer, replay: Replay) -> tuple[Answer, str | None]:
        """The answer as the first rule whose turn it is changes it, and that rule's kind."""
        struck = [rule for rule in self.rules if rule.strikes(ask)]
        if not struck:
            return answer, None
        rule = struck[0]
        rule.hit += 1
        answer = KINDS[rule.kind](answer, ask, replay, rule.details)
        for name, value in rule.details.get("headers", {}).items():
            answer.headers = {key: kept for key, kept in answer.headers.items() if key.lower() != name.lower()}
            answer.headers |= {} if value is None else {name: str(value)}
        if "body" in rule.details:
            body = rule.details["body"]
            answer.body = body if isinstance(body, bytes) else orjson.dumps(body)
        return answer, rule.kind


Details = dict[str, Any]
Kind = Callable[[Answer, Ask, Replay, Details], Answer]


def _wired(wire: Callable[[Details], Wire]) -> Kind:
    def kind(answer: Answer, _ask: Ask, _replay: Replay, details: Details) -> Answer:
        answer.wire = wire(details)
        return answer

    return kind


def _bytes(change: Callable[[bytes], bytes], **headers: str) -> Kind:
    """The right status with a body that is not right, and its length told truly."""

    def kind(answer: Answer, _ask: Ask, _replay: Replay, _details: Details) -> Answer:
        answer.body = change(answer.body)
        answer.headers |= headers
        return answer

    return kind


def _status(status: int, message: str | None, answer: Answer, ask: Ask, _replay: Replay, details: Details) -> Answer:
    """Another status with the body that its API gives (api.md 1.6), or HTML where `message` is None."""
    answer.status = status
    answer.headers.pop("Link", None)
    if message is None:
        answer.headers["Content-Type"] = "text/html"
        answer.body = HTML
        return answer
    answer.headers["Content-Type"] = "application/json; charset=utf-8"
    said = details.get("message", message)
    return answer.put({"message": said} if ask.api == "rest" else {"errors": [{"message": said}]})


def _spent(answer: Answer, ask: Ask, replay: Replay, details: Details) -> Answer:
    """429 with `reset` seconds (1) for the bucket `scope` (the user's)."""
    scope, reset = details.get("scope", f"{ask.api}_user"), details.get("reset", 1)
    refused = graphql_refused if ask.api == "graphql" else rest_refused
    answer = _status(429, "", answer, ask, replay, details)
    answer.body = refused(scope, Level(50, 50, reset)).body
    bucket = "RateLimit-User" if scope.endswith("_user") else "RateLimit"
    answer.headers |= {f"{bucket}-Remaining": "0", f"{bucket}-Reset": str(reset)}
    return answer


def _redirect(status: int, answer: Answer, ask: Ask, replay: Replay, details: Details) -> Answer:
    answer = _status(status, "You are being redirected", answer, ask, replay, details)
    answer.headers["Location"] = details.get("location", f"{ELSEWHERE}{ask.path}")
    return answer


def _none(answer: Answer, ask: Ask, replay: Replay, details: Details) -> Answer:
    answer = _status(204, "", answer, ask, replay, details)
    answer.body = b""
    return answer


def _half(body: bytes) -> bytes:
    """Cut where it cannot be JSON any more."""
    return body[: max(len(body) // 2, 1)]


def _corrupt(body: bytes) -> bytes:
    """A gzip head with nothing true behind it."""
    return gzip.compress(body, mtime=0)[:10] + b"\xff" * 32


def _bad_utf8(body: bytes) -> bytes:
    """A byte that is no UTF-8 in the first text value."""
    return body.replace(b'":"', b'":"\xff', 1) if b'":"' in body else b'["\xff"]'


def _twice(body: bytes) -> bytes:
    """The first key of every object that begins with an id stands there twice: first null, then as it is."""
    return re.sub(rb'\{"(\w+)":', rb'{"\1":null,"\1":', body)


def _next(answer: Answer, url: str | None) -> Answer:
    """Replace where the listing goes on: in the Link header and, in cursor style, in the body."""
    answer.headers.pop("Link", None)
    body = answer.json() if answer.body else None
    if isinstance(body, dict) and "links" in body:
        body["links"].pop("next", None)
        return answer.put(body | {"links": body["links"] | ({"next": url} if url else {})})
    if url:
        answer.headers["Link"] = f'<{url}>; rel="next"'
    return answer


def _link_same(answer: Answer, ask: Ask, _replay: Replay, _details: Details) -> Answer:
    return _next(answer, f"{ask.base}{ask.path}" + (f"?{ask.query}" if ask.query else ""))


def _link_foreign(answer: Answer, ask: Ask, _replay: Replay, details: Details) -> Answer:
    return _next(answer, details.get("location", f"{ELSEWHERE}{ask.path}?page=2"))


def _link_dropped(answer: Answer, _ask: Ask, _replay: Replay, _details: Details) -> Answer:
    return _next(answer, None)


def _page_repeated(answer: Answer, ask: Ask, replay: Replay, _details: Details) -> Answer:
    """The rows of the page before (in cursor style: of the first) with the links of the page asked for."""
    number = re.search(r"(?:^|&)page=(\d+)", ask.query)
    before = replay({"page": str(max(int(number[1]) - 1, 1))} if number else {"after": ""})
    body, old = answer.json(), before.json()
    return answer.put(body | {"items": old["items"]} if isinstance(body, dict) and "items" in body else old)


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a JSON value, the outermost first."""
    if isinstance(value, dict):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _dicts(one)


def _graphql_errors(answer: Answer, _ask: Ask, _replay: Replay, details: Details) -> Answer:
    return answer.put({"data": None, "errors": [{"message": details.get("message", "Something went wrong")}]})


def _graphql_busy(answer: Answer, _ask: Ask, _replay: Replay, _details: Details) -> Answer:
    return answer.put({"errors": [{"message": "The service is currently busy, please try again"}]})


def _graphql_partial(answer: Answer, _ask: Ask, _replay: Replay, details: Details) -> Answer:
    """One field of the data (`at`, dotted; else the last one of the first root) is null, and an error says so."""
    body = answer.json()
    path = details["at"].split(".") if "at" in details else _last_field(body.get("data") or {})
    _nullify(body.get("data"), path)
    return answer.put(body | {"errors": [{"message": "Something went wrong", "path": path}]})


def _last_field(data: dict[str, Any]) -> list[str]:
    for name, value in data.items():
        return [name, list(value)[-1]] if isinstance(value, dict) and value else [name]
    return []


def _nullify(value: Any, path: list[str]) -> None:
    for part in path[:-1]:
        value = value[int(part)] if isinstance(value, list) else (value or {}).get(part)
    if path and isinstance(value, list):
        value[int(path[-1])] = None
    elif path and isinstance(value, dict):
        value[path[-1]] = None


def _graphql_null_node(answer: Answer, _ask: Ask, _replay: Replay, details: Details) -> Answer:
    """A null without an error: at `at` (dotted), else the first node of the first connection that has one."""
    body = answer.json()
    if "at" in details:
        _nullify(body.get("data"), details["at"].split("."))
        return answer.put(body)
    for one in _dicts(body.get("data")):
        if one.get("edges"):
            one["edges"][0]["node"] = None
            break
        if one.get("nodes"):
            one["nodes"][0] = None
            break
    return answer.put(body)


def _graphql_pages(answer: Answer, ask: Ask, _replay: Replay, details: Details) -> Answer:
    """hasNextPage stays true; endCursor is null, or (`loop`) the cursor that was asked for."""
    body, asked = answer.json(), orjson.loads(ask.body).get("variables") or {}
    after = next((value for key, value in asked.items() if key.lower().endswith("after") and value), None)
    for one in _dicts(body.get("data")):
        if isinstance(one.get("pageInfo"), dict):
            end = (after or one["pageInfo"].get("endCursor")) if details.get("loop") else None
            one["pageInfo"] |= {"hasNextPage": True, "endCursor": end}
    return answer.put(body)


def _graphql_loop(answer: Answer, ask: Ask, replay: Replay, details: Details) -> Answer:
    return _graphql_pages(answer, ask, replay, details | {"loop": True})


STATUSES: dict[int, str | None] = {
    400: "Bad Request",
    401: "Authentication required. Please supply a valid API Access Token: "
    "https://buildkite.com/docs/apis/rest-api#authentication",
    403: "You're not allowed to do that",
    404: "Not Found",
    408: "Request Timeout",
    425: "Too Early",
    500: "Internal Server Error",
    502: None,
    503: "Service Unavailable",
    504: None,
}
"""The message of each refusal; None: an HTML body."""

KINDS: dict[str, Kind] = {
    "reset-before-headers": _wired(lambda _: Wire(upto=-1, end="reset")),
    "reset-mid-body": _wired(lambda _: Wire(upto=0.5, end="reset")),
    "truncated": _wired(lambda _: Wire(upto=0.5, end="close")),
    "truncated-chunked": _wired(lambda _: Wire(upto=0.5, end="close", chunked=True)),
    "stall": _wired(lambda details: Wire(silence=details.get("seconds", 30))),
    "stall-mid-body": _wired(lambda details: Wire(upto=0.5, end="stall", seconds=details.get("seconds", 30))),
    "slow": _wired(lambda details: Wire(pieces=details.get("pieces", 20), pause=details.get("pause", 0.01))),
    "half-json": _bytes(_half),
    "html": _bytes(lambda _: HTML, **{"Content-Type": "text/html"}),
    "message": _bytes(lambda _: b'{"message":"Something is not right"}'),
    "empty": _bytes(lambda _: b""),
    "wrong-type": _bytes(bytes, **{"Content-Type": "text/html"}),
    "bad-gzip": _bytes(_corrupt, **{"Content-Encoding": "gzip"}),
    "bad-utf8": _bytes(_bad_utf8),
    "duplicate-keys": _bytes(_twice),
    "204": _none,
    "301": partial(_redirect, 301),
    "302": partial(_redirect, 302),
    "429": _spent,
    **{str(status): partial(_status, status, message) for status, message in STATUSES.items()},
    "link-same": _link_same,
    "link-dropped": _link_dropped,
    "link-foreign": _link_foreign,
    "page-repeated": _page_repeated,
    "graphql-errors": _graphql_errors,
    "graphql-partial": _graphql_partial,
    "graphql-null-node": _graphql_null_node,
    "graphql-busy": _graphql_busy,
    "graphql-cursor-loop": _graphql_loop,
    "graphql-cursor-null": _graphql_pages,
    **LOG_KINDS,
}
