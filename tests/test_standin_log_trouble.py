"""Wrong answers where a job's log should be: every kind of trouble does to one what its name says."""

from __future__ import annotations

import tracemalloc
from typing import Any

import httpx
import pytest

from buildkite_elt.standin import Log
from buildkite_elt.standin.log_trouble import LOG_KINDS
from hand_logs import MIB, PIECES, PLAIN, RAW, SHORT, end, large, logged, read, read_any
from hand_made import serving, uid

WHOLE = Log(RAW)


def struck(kind: str, asked: dict[str, str], log: Log = WHOLE, /, **details: Any) -> httpx.Response:
    """The first answer for the log, which the trouble strikes; the next one is well."""
    with serving(logged(log)) as (standin, get):
        standin.trouble.add(kind, path="/log", **details)
        get("pipelines")
        answer = get(SHORT, headers=asked)
        assert [one.trouble for one in standin.seen] == [None, kind]
        after = get(SHORT, headers=asked)
        assert after.status_code == (206 if "Range" in asked else 200) or not log()
        return answer


@pytest.mark.parametrize("log", [Log(RAW), Log(lambda: PIECES)])
def test_a_range_that_is_ignored(log: Log) -> None:
    answer = struck("range-ignored", end(5), log)
    assert (answer.status_code, answer.content) == (200, RAW)
    assert "Content-Range" not in answer.headers
    assert "RateLimit-Remaining" in answer.headers
    assert struck("range-ignored", end(5), Log(b"")).status_code == 200


@pytest.mark.parametrize(
    ("details", "said"),
    [({}, (-5, 0, 1)), ({"first": -2}, (-7, -1, 0)), ({"last": 3}, (-5, 2, 0)), ({"total": 9}, (-5, -1, 9))],
)
def test_a_content_range_that_is_not_that_of_the_body(details: dict[str, int], said: tuple[int, int, int]) -> None:
    answer = struck("range-off", end(5), **details)
    assert (answer.status_code, answer.content) == (206, RAW[-5:])
    first, last, total = (len(RAW) + number for number in said)
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{total}"


def test_a_content_range_that_is_none() -> None:
    for told in (None, "bytes */*", "lines 1-2/3"):
        answer = struck("range-off", end(5), headers={"Content-Range": told})
        assert (answer.status_code, answer.headers.get("Content-Range")) == (206, told)


def test_json_although_text_was_asked_for() -> None:
    for headers in (PLAIN, end(5)):
        answer = struck("json-instead", headers, Log(RAW, header_times=(17,)))
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json; charset=utf-8")
        assert (answer.json()["size"], answer.json()["header_times"]) == (len(RAW), [17])
        assert "Content-Range" not in answer.headers


def test_a_range_that_is_refused_although_there_is_a_log() -> None:
    answer = struck("416", end(5))
    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */0")


@pytest.mark.parametrize("headers", [PLAIN, end(5)])
def test_gzip_and_a_type_without_charset(headers: dict[str, str]) -> None:
    packed = struck("gzip", headers)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.content == (RAW if headers is PLAIN else RAW[-5:])
    assert struck("no-charset", headers).headers["Content-Type"] == "text/plain"


def test_a_large_log_in_gzip_is_small_on_the_wire() -> None:
    log = large(64)
    with serving(logged(log)) as (standin, _):
        standin.trouble.add("gzip")
        length, _ = read(standin, PLAIN)
        assert length == standin.seen[-1].bytes < MIB


def test_a_page_of_html_where_a_log_should_be() -> None:
    for headers in (PLAIN, end(5)):
        answer = struck("html", headers)
        assert answer.headers["Content-Type"] == "text/html"
        assert answer.content.startswith(b"<!DOCTYPE html>")
        assert answer.status_code == (200 if headers is PLAIN else 206)


@pytest.mark.parametrize("kind", ["truncated", "truncated-chunked", "reset-mid-body", "reset-before-headers"])
@pytest.mark.parametrize("headers", [PLAIN, end(20)])
def test_a_log_breaks_off(kind: str, headers: dict[str, str]) -> None:
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        struck(kind, headers)


@pytest.mark.parametrize("kind", ["429", "500", "503", "504", "403", "404"])
def test_a_log_is_refused_for_a_while(kind: str) -> None:
    assert struck(kind, end(5)).status_code == int(kind)


def test_a_log_drips() -> None:
    answer = struck("slow", PLAIN, pieces=10, pause=0.02)
    assert answer.content == RAW
    assert answer.elapsed.total_seconds() > 0.15


@pytest.mark.parametrize("kind", LOG_KINDS)
def test_what_is_no_log_can_be_struck_as_well(kind: str) -> None:
    with serving(logged(Log(RAW))) as (standin, get):
        standin.trouble.add(kind, times=None)
        assert get("pipelines").status_code == (416 if kind == "416" else 200)
        assert get(f"jobs/{uid(7)}/log").status_code == (416 if kind == "416" else 404)


@pytest.mark.parametrize("kind", ["truncated", "truncated-chunked", "reset-mid-body", "slow"])
def test_a_large_log_that_breaks_off_is_never_held_either(kind: str) -> None:
    with serving(logged(large(128))) as (standin, _):
        standin.trouble.add(kind, pause=0)
        tracemalloc.start()
        try:
            if kind == "slow":
                assert read(standin, PLAIN)[0] == 128 * MIB
            else:
                with pytest.raises(httpx.TransportError):
                    read_any(standin)
            assert tracemalloc.get_traced_memory()[1] < 32 * MIB
        finally:
            tracemalloc.stop()
        assert standin.seen[-1].bytes == 128 * MIB // (1 if kind == "slow" else 2)
