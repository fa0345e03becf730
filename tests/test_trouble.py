"""Every kind of trouble does on the wire what its name says."""

from __future__ import annotations

import re
import socket
import time
from typing import Any

import httpx
import orjson
import pytest

from buildkite_elt.standin import KINDS, Seen, Standin, Trouble, World
from buildkite_elt.standin.answer import Ask, as_json
from hand_made import START, Get, build, job, pipeline, put, serving, uid, world

LIST = "pipelines?per_page=2"
JOBS = "pipelines/app/builds/1/jobs?per_page=2"


def some_world() -> World:
    """Five pipelines with two to a page, and one build with five jobs."""
    made = world()
    acme = made.organizations["acme"]
    put(acme, build(next(iter(acme.pipelines.values())), 1, jobs=[job(n + 100) for n in range(5)]))
    acme.pipelines |= {uid(n + 50): pipeline(f"p{n}", id=uid(n + 50)) for n in range(4)}
    return made


def struck(kind: str, path: str = LIST, **details: Any) -> httpx.Response:
    """The answer to the only request, which the trouble strikes; the next one is well."""
    with serving(some_world()) as (standin, get):
        standin.trouble.add(kind, **details)
        try:
            return get(path)
        finally:
            assert standin.seen[0].trouble == kind
            assert get(path).status_code == 200
            assert standin.seen[1].trouble is None


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("reset-before-headers", httpx.ReadError),
        ("reset-mid-body", httpx.ReadError),
        ("truncated", httpx.RemoteProtocolError),
        ("truncated-chunked", httpx.RemoteProtocolError),
        ("bad-gzip", httpx.DecodingError),
    ],
)
def test_the_connection_or_the_coding_breaks(kind: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        struck(kind)


def reply(standin: Standin) -> tuple[bytes, BaseException | None]:
    """What a bare socket reads, and what ends it; reset is an error, FIN is none."""
    read = b""
    with socket.create_connection((standin.host, standin.port), timeout=5) as line:
        line.sendall(
            b"GET /v2/organizations/acme/pipelines HTTP/1.1\r\nHost: x\r\n"
            b"Authorization: Bearer " + standin.token.encode() + b"\r\n\r\n"
        )
        try:
            while piece := line.recv(65536):
                read += piece
        except OSError as error:
            return read, error
    return read, None


@pytest.mark.parametrize(
    ("kind", "ends", "begun"),
    [
        ("reset-before-headers", ConnectionResetError, False),
        ("reset-mid-body", ConnectionResetError, True),
        ("truncated", None, True),
        ("truncated-chunked", None, True),
    ],
)
def test_bytes_before_the_break(kind: str, ends: type[Exception] | None, begun: bool) -> None:
    with serving(some_world()) as (standin, get):
        whole = get("pipelines").content
        standin.trouble.add(kind)
        read, error = reply(standin)
        assert type(error) is (ends or type(None))
        head, _, body = read.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK") is begun
        assert whole[:50] in body or not begun
        assert len(body) < len(whole)
        told = re.search(rb"Content-Length: (\d+)", head)
        assert (told is not None and int(told[1]) == len(whole)) == (kind in ("reset-mid-body", "truncated"))
        assert (b"Transfer-Encoding: chunked" in head) == (kind == "truncated-chunked")
        assert standin.seen[-1].bytes == (len(whole) // 2 if begun else 0)


@pytest.mark.parametrize("kind", ["stall", "stall-mid-body"])
def test_a_stall_lasts_longer_than_a_client_waits(kind: str) -> None:
    began = time.perf_counter()
    with serving(some_world()) as (standin, get):
        standin.trouble.add(kind, seconds=20)
        with pytest.raises(httpx.ReadTimeout):
            get(LIST, timeout=0.2)
    assert time.perf_counter() - began < 5


def test_a_short_stall_ends_well() -> None:
    began = time.perf_counter()
    assert len(struck("stall", seconds=0.2).json()) == 2
    assert time.perf_counter() - began > 0.2


def test_slow_is_slow_but_whole() -> None:
    began = time.perf_counter()
    answer = struck("slow", pieces=10, pause=0.03)
    assert time.perf_counter() - began > 0.27
    assert len(answer.json()) == 2


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("half-json", rb'\[\{"id".+[^\]]'),
        ("html", rb"<!DOCTYPE html>.+"),
        ("message", rb'\{"message":".+"\}'),
        ("empty", rb""),
        ("bad-utf8", rb'\[\{"id":"\xff.+\]'),
        ("duplicate-keys", rb'\[\{"id":null,"id":".+\]'),
        ("wrong-type", rb'\[\{"id".+\]'),
    ],
)
def test_a_200_that_lies(kind: str, pattern: bytes) -> None:
    answer = struck(kind)
    assert answer.status_code == 200
    assert re.fullmatch(pattern, answer.content, re.DOTALL)
    assert ("html" in answer.headers["Content-Type"]) == (kind in ("html", "wrong-type"))
    whole = kind in ("message", "duplicate-keys", "wrong-type")
    try:
        orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        assert not whole
    else:
        assert whole


def test_no_content() -> None:
    answer = struck("204")
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 425, 500, 502, 503, 504])
def test_statuses(status: int) -> None:
    answer = struck(str(status))
    assert answer.status_code == status
    assert "Link" not in answer.headers
    assert "RateLimit-Remaining" in answer.headers
    if status in (502, 504):
        assert answer.content.startswith(b"<!DOCTYPE html>")
    else:
        assert isinstance(answer.json()["message"], str)


@pytest.mark.parametrize("status", [301, 302])
def test_a_redirect_goes_elsewhere(status: int) -> None:
    answer = struck(str(status))
    assert (answer.status_code, answer.headers["Location"].split("/")[2]) == (status, "elsewhere.example")
    assert struck(str(status), location="http://127.0.0.1:1/x").headers["Location"] == "http://127.0.0.1:1/x"


def test_a_spent_budget_names_its_bucket_and_its_reset() -> None:
    answer = struck("429", reset=7)
    assert (answer.status_code, answer.json()["scope"], answer.json()["reset"]) == (429, "rest_user", 7)
    assert (answer.headers["RateLimit-User-Remaining"], answer.headers["RateLimit-User-Reset"]) == ("0", "7")
    assert "Retry-After" not in answer.headers
    bare = struck("429", scope="rest", headers={"ratelimit-reset": None, "Retry-After": 9}, body=b"slow down")
    assert (bare.headers.get("RateLimit-Reset"), bare.headers["Retry-After"]) == (None, "9")
    assert (bare.content, bare.headers["RateLimit-Remaining"]) == (b"slow down", "0")


def following(answer: httpx.Response) -> str | None:
    """Where a listing goes on, by header or by body."""
    body = answer.json()
    return body["links"].get("next") if isinstance(body, dict) else answer.links.get("next", {}).get("url")


@pytest.mark.parametrize("path", [LIST, JOBS])
def test_links_lie(path: str) -> None:
    same = struck("link-same", path)
    assert following(same) == str(same.url)
    assert following(struck("link-dropped", path)) is None
    assert str(following(struck("link-foreign", path))).startswith("https://elsewhere.example/v2/organizations/acme/")
    assert following(struck("link-foreign", path, location="http://127.0.0.1:1/x")) == "http://127.0.0.1:1/x"


@pytest.mark.parametrize("path", [LIST, JOBS])
def test_a_page_comes_again_and_the_listing_goes_on(path: str) -> None:
    with serving(some_world()) as (standin, get):
        first = get(path)
        second = str(following(first)).removeprefix(standin.base)
        honest = get(second)
        standin.trouble.add("page-repeated")
        again = get(second)

        def rows(answer: httpx.Response) -> object:
            return answer.json()["items"] if path == JOBS else answer.json()

        assert rows(again) == rows(first) != rows(honest)
        assert following(again) == following(honest) is not None
        assert standin.count().requests == 3


# --- GraphQL ---

PAGE = {"hasNextPage": False, "endCursor": "c2"}
DATA = {"organization": {"name": "Acme", "pipelines": {"edges": [{"node": {"id": "1"}}], "pageInfo": PAGE}}}


def graphql(kind: str, after: str | None = None, **details: Any) -> Any:
    """The body of a GraphQL answer after the trouble; no server is needed to see it."""
    trouble = Trouble()
    trouble.add(kind, api="graphql", **details)
    payload = orjson.dumps({"query": "{ organization }", "variables": {"after": after}})
    ask = Ask("POST", "/v1", "", {}, payload, START, "http://127.0.0.1", document="{ organization }")
    answer, happened = trouble.strike(ask, as_json({"data": DATA}), lambda _: as_json([]))
    assert (happened, answer.status) == (kind, 200)
    return answer.json()


def test_graphql_errors_come_with_a_200() -> None:
    assert graphql("graphql-errors")["data"] is None
    assert graphql("graphql-errors", message="no")["errors"] == [{"message": "no"}]
    busy = graphql("graphql-busy")
    assert "data" not in busy
    assert "please try again" in busy["errors"][0]["message"]


def test_graphql_tells_a_part() -> None:
    partial = graphql("graphql-partial")
    assert partial["data"] == {"organization": {"name": "Acme", "pipelines": None}}
    assert partial["errors"][0]["path"] == ["organization", "pipelines"]
    deep = graphql("graphql-partial", at="organization.pipelines.edges.0.node.id")
    assert deep["data"]["organization"]["pipelines"]["edges"] == [{"node": {"id": None}}]


def test_graphql_leaves_a_node_out_without_a_word() -> None:
    told = graphql("graphql-null-node")
    assert "errors" not in told
    assert told["data"]["organization"]["pipelines"]["edges"] == [{"node": None}]
    assert graphql("graphql-null-node", at="organization")["data"] == {"organization": None}


def test_graphql_pages_never_end() -> None:
    def info(body: Any) -> Any:
        return body["data"]["organization"]["pipelines"]["pageInfo"]

    assert info(graphql("graphql-cursor-null")) == {"hasNextPage": True, "endCursor": None}
    assert info(graphql("graphql-cursor-loop")) == {"hasNextPage": True, "endCursor": "c2"}
    assert info(graphql("graphql-cursor-loop", "c1")) == {"hasNextPage": True, "endCursor": "c1"}


# --- rules ---


def statuses(get: Get, count: int, path: str = LIST) -> list[int]:
    return [get(path).status_code for _ in range(count)]


def test_a_rule_counts_the_requests_it_means() -> None:
    with serving(some_world()) as (standin, get):
        rule = standin.trouble.add("500", path=r"pipelines\?", nth=2, times=2)
        assert get("emojis").status_code == 200
        assert statuses(get, 5) == [200, 500, 500, 200, 200]
        assert (rule.met, rule.hit) == (5, 2)
        standin.trouble.add("503", times=None, api="rest")
        assert statuses(get, 3) == [503, 503, 503]
        standin.trouble.add("404", api="graphql", times=None)
        standin.trouble.clear()
        assert statuses(get, 2) == [200, 200]
        assert standin.count().refused == 0
        with pytest.raises(ValueError, match="no kind of trouble"):
            standin.trouble.add("hiccup")


def test_the_world_can_change_between_two_answers() -> None:
    made = some_world()
    told: list[tuple[int, str, int]] = []

    def remove(number: int, seen: Seen) -> None:
        told.append((number, seen.path, seen.status))
        made.organizations["acme"].pipelines.pop(uid(50), None)

    with serving(made) as (standin, get):
        standin.trouble.between(remove)
        assert [one["slug"] for one in get(LIST).json()] == ["app", "p0"]
        assert [one["slug"] for one in get(LIST).json()] == ["app", "p1"]
    assert told == [(1, "/v2/organizations/acme/pipelines", 200), (2, "/v2/organizations/acme/pipelines", 200)]


def test_there_are_at_least_24_kinds_of_fault_for_rest() -> None:
    assert len([kind for kind in KINDS if not kind.startswith("graphql-")]) >= 24
