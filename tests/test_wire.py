"""The one client: what it waits for, retries, refuses and raises, against the stand-in's trouble."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from buildkite_ci.budget import Budget
from buildkite_ci.errors import (
    BadAnswer,
    BadInput,
    Exhausted,
    ForeignHost,
    NotFound,
    RequestRefused,
    ScopeMissing,
    TokenMissing,
    TokenRefused,
    TooDeep,
    Unreachable,
)
from buildkite_ci.wire import Wire
from buildkite_elt.standin import Budgets, Standin
from hand_made import world

BUILDS = "organizations/acme/builds"


@contextmanager
def wired(
    budgets: Budgets | None = None, tries: int = 6, **token: object
) -> Iterator[tuple[Standin, Wire, list[float]]]:
    """A stand-in, a wire to it, and the pauses that the wire took on the stand-in's clock."""
    pauses: list[float] = []
    with Standin(world(**token), budgets=budgets or Budgets()) as standin:
        account = Budget(now=lambda: standin.clock.now().timestamp())

        def sleep(seconds: float) -> None:
            pauses.append(seconds)
            standin.clock.sleep(seconds)

        with Wire(
            standin.token, standin.rest_url, standin.graphql_url, budget=account, sleep=sleep, tries=tries, timeout=2.0
        ) as wire:
            yield standin, wire, pauses


PASSING = [
    "reset-before-headers", "reset-mid-body", "truncated", "truncated-chunked", "half-json", "html", "message", "empty",
    "bad-gzip", "bad-utf8", "204", "408", "425", "429", "500", "502", "503", "504",
]  # fmt: skip


@pytest.mark.parametrize("kind", PASSING)
def test_what_is_passing_is_tried_again_in_the_same_run(kind: str) -> None:
    with wired() as (standin, wire, pauses):
        standin.trouble.add(kind, times=2)
        assert wire.get(BUILDS).body == []
        assert len(standin.seen) == 3 or kind == "204"
        assert len(pauses) >= 1


@pytest.mark.parametrize("kind", [kind for kind in PASSING if kind != "429"])
def test_what_does_not_pass_is_an_error_and_never_an_empty_page(kind: str) -> None:
    with wired(tries=3) as (standin, wire, _):
        standin.trouble.add(kind, times=None)
        with pytest.raises((Unreachable, BadAnswer)):
            wire.get(BUILDS)


def test_a_429_that_stays_is_an_error() -> None:
    with wired(tries=3) as (standin, wire, _):
        standin.trouble.add("429", times=None, reset=5)
        with pytest.raises(Exhausted):
            wire.get(BUILDS)


@pytest.mark.parametrize(
    ("kind", "error", "said"),
    [
        ("400", RequestRefused, "answered 400"),
        ("401", TokenRefused, "Make a new one"),
        ("403", ScopeMissing, "not allowed"),
        ("404", NotFound, "may not see it"),
        ("301", ForeignHost, "token stays here"),
        ("302", ForeignHost, "token stays here"),
    ],
)
def test_what_will_not_pass_is_raised_at_once_by_name(kind: str, error: type[Exception], said: str) -> None:
    with wired() as (standin, wire, pauses):
        standin.trouble.add(kind)
        with pytest.raises(error, match=said):
            wire.get(BUILDS)
        assert (len(standin.seen), pauses) == (1, [])


def test_a_stall_ends_with_the_timeout_and_is_tried_again() -> None:
    with wired() as (standin, wire, _):
        wire.client.timeout = 0.2
        standin.trouble.add("stall", seconds=1)
        assert wire.get(BUILDS).body == []


def test_a_missing_scope_is_named() -> None:
    with wired(scopes=("read_pipelines",)) as (_, wire, _pauses):
        with pytest.raises(ScopeMissing, match="read_builds") as raised:
            wire.get(BUILDS)
        assert raised.value.scope == "read_builds"
        assert wire.scopes is None
        wire.get("organizations/acme/pipelines")
        assert wire.scopes == {"read_pipelines"}


def test_deep_pages_are_too_deep() -> None:
    with wired(Budgets(deep=1000)) as (_, wire, _pauses), pytest.raises(TooDeep, match="narrow"):
        wire.get(BUILDS, {"page": 20, "per_page": 100})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Retry-After": "1"},
        {"RateLimit-User-Reset": None, "RateLimit-Reset": None},
        {"RateLimit-User-Reset": "soon", "RateLimit-Reset": "-4"},
        {"RateLimit-User-Reset": "0"},
        {"RateLimit-User-Reset": "1e9"},
        {"RateLimit-User-Reset": "7.5"},
        {"ratelimit-user-reset": "7"},
    ],
)
def test_a_429_is_waited_for_as_its_body_says_whatever_the_headers_hold(headers: dict[str, str | None]) -> None:
    with wired() as (standin, wire, pauses):
        standin.trouble.add("429", reset=7, headers=headers)
        assert wire.get(BUILDS).body == []
        assert 7.0 <= sum(pauses) <= 130.0


def test_a_429_without_a_body_is_waited_for_by_the_header_of_its_bucket() -> None:
    with wired() as (standin, wire, pauses):
        standin.trouble.add("429", reset=9, body={"message": "slow down"})
        assert wire.get(BUILDS).body == []
        assert 9.0 <= sum(pauses) <= 61.0


def test_graphql_says_when_to_try_again() -> None:
    with wired() as (standin, wire, pauses):
        standin.trouble.add("429", api="graphql", reset=187)
        assert wire.post({"query": "{ viewer { user { uuid } } }"}).body["data"]
        assert 187.0 <= sum(pauses) <= 189.0


def test_steady_work_meets_no_429() -> None:
    with wired(Budgets(rest=200, rest_user=50)) as (standin, wire, pauses):
        for _ in range(120):
            wire.get(BUILDS)
        assert standin.count().refused == 0
        assert sum(pauses) <= 121.0


def test_a_write_is_not_there_to_be_made() -> None:
    assert not {"put", "patch", "delete", "request"} & set(dir(Wire))


@pytest.mark.parametrize("token", ["", "bkua_ab c", "bkua_\n", "bkua_é"])
def test_a_token_that_cannot_be_one_is_refused_before_it_is_sent(token: str) -> None:
    with pytest.raises((TokenMissing, BadInput)):
        Wire(token)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.buildkite.com/v2",
        "api.buildkite.com",
        "https://me:secret@api.buildkite.com/v2",
        "ftp://x",
        "http://[",
    ],
)
def test_a_base_url_is_https_and_holds_no_password(url: str) -> None:
    with pytest.raises(BadInput) as raised:
        Wire("bkua_1", url)
    assert "secret" not in str(raised.value)


class Trap(BaseHTTPRequestHandler):
    """Another host, which writes down what it is sent."""

    caught: list[dict[str, str]] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.caught.append(dict(self.headers))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


FOREIGN = [
    "http://127.0.0.1:{port}/v2/organizations/acme/builds?page=2",
    "http://localhost:{port}/v2/x",
    "https://api.buildkite.com/v2/organizations/acme/builds",
    "http://{own}@127.0.0.1:{port}/",
    "http://user:pass@{own}/v2/organizations/acme/builds",
    "https://{own}/v2/organizations/acme/builds",
    "//127.0.0.1:{port}/v2",
    "file:///etc/passwd",
    "http://[::1]:{port}/v2",
    "http://169.254.169.254/latest",
    "http://xn--bkite-kva.com/v2",
    "gopher://127.0.0.1:{port}",
    "http://127.1:{port}/",
    "http://{own}.evil.example/v2",
]


@pytest.mark.parametrize("url", FOREIGN)
@pytest.mark.parametrize("way", ["link", "redirect"])
def test_no_link_and_no_redirect_takes_the_token_elsewhere(url: str, way: str) -> None:
    Trap.caught.clear()
    trap = HTTPServer(("127.0.0.1", 0), Trap)
    threading.Thread(target=trap.serve_forever, daemon=True).start()
    try:
        with wired(tries=1) as (standin, wire, _):
            own = wire.rest_url.split("/")[2]
            there = url.format(port=trap.server_port, own=own)
            if way == "link":
                standin.trouble.add("wrong-type", body=[], headers={"Link": f'<{there}>; rel="next"'})
            else:
                standin.trouble.add("302", headers={"Location": there})
            with pytest.raises(ForeignHost) as raised:
                wire.get(BUILDS)
            assert "pass@" not in str(raised.value)
            assert standin.token not in str(raised.value)
        assert Trap.caught == []
    finally:
        trap.shutdown()
        trap.server_close()
