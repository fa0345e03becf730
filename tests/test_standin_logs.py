"""Job logs of the stand-in over HTTP: large ones, deleted ones, and what the demo's say."""

from __future__ import annotations

import re
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator

import httpx
import pytest

from buildkite_elt.standin import LEAKED, Log, Organization
from buildkite_elt.standin.demo import demo, empty
from buildkite_elt.standin.life import Life
from buildkite_elt.standin.logs import header_times, stamps
from hand_logs import ENOUGH, JOB, LONG, MIB, PIECES, PLAIN, RAW, SHORT, end, large, logged, read
from hand_made import TLS, Row, build, put, serving

# --- made of bytes, of a function, in blocks ---


@pytest.mark.parametrize(
    "log",
    [lambda: RAW, Log(RAW), Log(lambda: PIECES), Log(lambda: iter(PIECES), len(RAW))],
    ids=["function", "bytes", "blocks", "blocks of a known size"],
)
def test_a_log_reads_the_same_however_it_is_made(log: Callable[[], bytes]) -> None:
    with serving(logged(log), budgets=ENOUGH) as (standin, get):
        for path in (SHORT, LONG):
            assert get(f"{path}.txt").content == get(path, headers=PLAIN).content == RAW
            assert get(path, headers=PLAIN).headers["Content-Length"] == str(len(RAW))
            assert get(path, headers=PLAIN).headers["Content-Type"] == "text/plain; charset=utf-8"
            head = get(path, "HEAD")
            assert (head.headers["Content-Length"], head.content) == (str(len(RAW)), b"")
            told = get(path).json()
            assert (told["size"], told["content"]) == (len(RAW), RAW.decode(errors="replace"))
            assert told["header_times"] == []
        for count in range(1, len(RAW) + 3):
            tail = get(SHORT, headers=end(count))
            begin = max(len(RAW) - count, 0)
            assert (tail.status_code, tail.content) == (206, RAW[begin:])
            assert tail.headers["Content-Range"] == f"bytes {begin}-{len(RAW) - 1}/{len(RAW)}"
            assert int(tail.headers["Content-Length"]) == len(RAW) - begin == standin.seen[-1].bytes


@pytest.mark.parametrize("log", [bytes, Log(b""), Log(tuple), Log(lambda: [b""])])
def test_an_empty_log_has_no_end(log: Callable[[], bytes]) -> None:
    with serving(logged(log)) as (_, get):
        assert (get(SHORT, headers=PLAIN).status_code, get(SHORT, headers=PLAIN).content) == (200, b"")
        assert (get(SHORT).json()["size"], get(SHORT).json()["content"]) == (0, "")
        refused = get(SHORT, headers=end(5))
        assert (refused.status_code, refused.headers["Content-Range"]) == (416, "bytes */0")


@pytest.mark.parametrize("mib", [128, pytest.param(1024, marks=pytest.mark.slow)])
def test_a_large_log_is_never_held(mib: int) -> None:
    with serving(logged(large(mib))) as (standin, get):
        tracemalloc.start()
        try:
            assert get(SHORT, "HEAD").headers["Content-Length"] == str(mib * MIB)
            assert read(standin, PLAIN) == (mib * MIB, b"x" * 19 + b"\n")
            assert read(standin, end((mib - 1) * MIB + 1))[0] == (mib - 1) * MIB + 1
            tail = get(SHORT, headers=end(MIB)).content
            assert tracemalloc.get_traced_memory()[1] < 32 * MIB
        finally:
            tracemalloc.stop()
    assert (len(tail), int(tail[:8])) == (MIB, mib - 1)


def test_who_leaves_is_sent_no_more_and_others_are_served_meanwhile() -> None:
    made: list[int] = []

    def blocks() -> Iterator[bytes]:
        for number in range(1024):
            made.append(number)
            yield b"x" * MIB

    with serving(logged(Log(blocks, 1024 * MIB))) as (standin, get):
        bearer = {"Authorization": f"Bearer {standin.token}"}
        url = f"{standin.rest_url}/organizations/acme/{SHORT}"
        with httpx.stream("GET", url, headers=bearer | PLAIN, verify=TLS) as answer:
            assert next(answer.iter_raw())
            assert get("pipelines").status_code == 200
        assert get("pipelines").status_code == 200
    assert 0 < len(made) < 100


def failing() -> Iterator[bytes]:
    yield b"x"
    raise KeyError("the test's own")


@pytest.mark.parametrize(
    ("log", "error"),
    [
        (Log(lambda: [b"123"], 4), "LocalProtocolError"),
        (Log(lambda: [b"12345"], 4), "LocalProtocolError"),
        (Log(failing, 4), "KeyError"),
    ],
)
def test_a_log_that_is_not_what_its_test_says_is_told(log: Log, error: str) -> None:
    with serving(logged(log)) as (standin, get):
        with pytest.raises(httpx.RemoteProtocolError):
            get(SHORT, headers=PLAIN)
        assert [type(bug).__name__ for bug in standin.bugs] == [error]
        standin.bugs.clear()


# --- deleted, tried again ---


def lived() -> tuple[Life, Row]:
    """An organization with one build, whose first job has failed."""
    life = Life(empty("acme"), "acme")
    made = life.build(life.pipeline("app"), jobs=1, state="failed", takes=30)
    life.world.advance(60)
    assert made["state"] == "failed"
    return life, made


def test_a_deleted_log_is_missing_or_empty() -> None:
    life, made = lived()
    [one] = made["jobs"]
    with serving(life.world) as (_, get):
        path = f"jobs/{one['id']}/log"
        assert b"exited with status 1" in get(path, headers=end(2 * MIB)).content
        life.delete_log(one)
        for headers in ({}, PLAIN, end(5)):
            assert get(path, headers=headers).status_code == 404
        assert get(f"jobs/{one['id']}").json()["raw_log_url"].endswith("/log.txt")
        life.delete_log(one, empty=True)
        assert get(path, headers=PLAIN).content == b""
        assert get(path).json()["size"] == 0
        assert get(path, headers=end(5)).status_code == 416


def test_a_log_is_deleted_between_the_listing_and_the_fetch() -> None:
    life, made = lived()
    with serving(life.world) as (standin, get):
        standin.trouble.between(lambda number, _: life.delete_log(made["jobs"][0]) if number == 1 else None)
        [one] = get("pipelines/app/builds/1").json()["jobs"]
        assert one["state"] == "failed"
        assert get(f"jobs/{one['id']}/log", headers=PLAIN).status_code == 404


def test_a_job_is_retried_while_its_log_is_read() -> None:
    life, made = lived()
    first = made["jobs"][0]

    def blocks() -> Iterator[bytes]:
        yield b"before\n"
        with life.world.lock:
            life.retry(made, first)
            life.delete_log(first)
        yield b"after\n"

    life.organization.logs[first["id"]] = Log(blocks, 13)
    with serving(life.world) as (_, get):
        assert get(f"jobs/{first['id']}/log", headers=PLAIN).content == b"before\nafter\n"
        assert get(f"jobs/{first['id']}/log").status_code == 404
        old, new = get("pipelines/app/builds/1?include_retried_jobs=true").json()["jobs"]
        assert (old["retried_in_job_id"], new["retry_source"]["job_id"]) == (new["id"], old["id"])
        life.world.advance(60)
        assert b"All checks passed" in get(f"jobs/{new['id']}/log", headers=PLAIN).content


# --- who may read ---


def test_scopes_are_named() -> None:
    with serving(logged(Log(RAW), scopes=("read_builds",))) as (_, get):
        for path, scope in ((f"{SHORT}", "read_build_logs"), (f"jobs/{JOB}/env", "read_job_env")):
            for base in (path, path.replace("jobs/", "pipelines/app/builds/1/jobs/")):
                answer = get(base, headers=PLAIN)
                assert (answer.status_code, answer.headers["X-Accepted-OAuth-Scopes"]) == (403, scope)
                assert answer.json() == {"message": f"Your access token doesn't have the `{scope}` scope"}
    with serving(logged(Log(RAW), scopes=("read_build_logs", "read_job_env"))) as (standin, get):
        assert get(SHORT, headers=PLAIN).content == RAW
        for base in (f"jobs/{JOB}", f"pipelines/app/builds/1/jobs/{JOB}"):
            assert get(f"{base}/env").json() == {"env": {"CI": "true"}}
        assert get(SHORT, "DELETE").status_code == 405
        assert standin.count().writes == 1


# --- logs without markers ---


def of_demo(made: Organization, how: str) -> Row:
    """The first job that said something and whose agent tells the time so."""
    said = (one for _, one in made.jobs() if one["id"] in made.logs and one["command"] != "true")
    return next(one for one in said if stamps(one) == how)


@pytest.fixture(scope="module")
def acme() -> Organization:
    return next(iter(demo().organizations.values()))


HEADER = re.compile(r"(?:---|\+\+\+|~~~) ")
PREFIX = re.compile(r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\] ")


@pytest.mark.parametrize("how", ["ansi", "none", "lines"])
def test_an_agent_tells_the_time_in_one_way(acme: Organization, how: str) -> None:
    made = logged(bytes)
    one = of_demo(acme, how)
    put(made.organizations["acme"], build(next(iter(made.organizations["acme"].pipelines.values())), 2, jobs=[one]))
    made.organizations["acme"].logs[str(one["id"])] = acme.logs[str(one["id"])]
    with serving(made) as (_, get):
        told = get(f"jobs/{one['id']}/log").json()
    lines = told["content"].split("\r\n")[:-1]
    headers = [line for line in lines if HEADER.match(line)]
    times = told["header_times"]
    assert times == header_times(one)
    assert ("\x1b_bk;t=" in told["content"]) == (how == "ansi")
    assert bool(headers) == (how != "ansi")
    assert len(times) == len(headers)
    assert times == sorted(times)
    assert all(10**18 < moment < 2 * 10**18 for moment in times)
    dated = [line for line in lines if PREFIX.match(line)]
    assert len(dated) == (len(lines) - len(headers) if how == "lines" else 0)


def test_a_test_says_how_a_job_tells_the_time() -> None:
    life, made = lived()
    [one] = made["jobs"]
    one["_stamps"] = "lines"
    with serving(life.world) as (_, get):
        told = get(f"jobs/{one['id']}/log").json()
    assert len(told["header_times"]) == 3
    assert "Z] \x1b[31m🚨 Error: The command exited with status 1\x1b[0m\r\n^^^ +++\r\n" in told["content"]


def test_a_test_gives_header_times_with_its_log() -> None:
    with serving(logged(Log(b"--- a\nb\n", header_times=[1_700_000_000_000_000_000]))) as (_, get):
        assert get(SHORT).json()["header_times"] == [1_700_000_000_000_000_000]


# --- the demo ---


def test_the_logs_of_the_demo_are_worth_reading(acme: Organization) -> None:
    words = {
        "pytest": b"FAILED tests/",
        "jest": "● checkout".encode(),
        "rspec": b"Failure/Error",
        "go": b"--- FAIL: ",
        "maven": b"BUILD FAILURE",
        "compiler": b"was not declared",
        "cargo": b"error[E0308]",
        "out of memory": b" Killed ",
        "network": b"Could not resolve host",
        "git": b"fatal: early EOF",
        "npm": b"npm ERR!",
        "docker": b"returned a non-zero code",
        "traceback": b"Traceback (most recent call last)",
        "coverage": b"\x1b_bk;t=",
    }
    found: Counter[str] = Counter()
    for _, one in acme.jobs():
        make = acme.logs.get(one["id"])
        raw = make() if make else b""
        failed = one["state"] == "failed"
        found.update(what for what, word in words.items() if failed and word in raw)
        found["error in a job that passed"] += one["state"] == "passed" and "🚨 Error".encode() in raw
        found["token"] += LEAKED.encode() in raw
        found["coverage"] += re.search(rb"TOTAL .* \d\d%\r\n", raw) is not None
        found["more than 2 MiB"] += len(raw) > 2 * MIB
        found["empty"] += make is not None and not raw
        found["no end of line"] += bool(raw) and not raw.endswith(b"\n")
        found["progress"] += b"75% (3075/4100)\rReceiving" in raw
        found["not UTF-8"] += "\ufffd" in raw.decode(errors="replace")
    assert found.pop("error in a job that passed") == 0
    assert not [what for what, count in found.items() if not count]
    assert set(words) <= set(found)


def test_the_same_demo_has_the_same_logs() -> None:
    one, two = (next(iter(demo(days=16, pipelines=12, builds_per_day=1).organizations.values())) for _ in range(2))
    assert {job: log() for job, log in one.logs.items()} == {job: log() for job, log in two.logs.items()}
