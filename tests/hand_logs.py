"""A job with a log by hand, and a reader that never holds a log, for the tests of the stand-in's logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx

from buildkite_elt.standin import Budgets, Log, Standin, World
from hand_made import TLS, build, job, put, uid, world

MIB = 1 << 20
JOB = uid(100)
SHORT, LONG = f"jobs/{JOB}/log", f"pipelines/app/builds/1/jobs/{JOB}/log"
PLAIN = {"Accept": "text/plain"}
PIECES = (b"\x1b_bk;t=1700000000000\x07~~~ hel", b"", b"lo\r\n\xff\xfe", b"\r\nlast")
RAW = b"".join(PIECES)
ENOUGH = Budgets(rest_user=1000)


def logged(log: Callable[[], bytes], **token: Any) -> World:
    """A world whose one job has this log."""
    made = world(**token)
    acme = made.organizations["acme"]
    put(acme, build(next(iter(acme.pipelines.values())), 1, jobs=[job(100, _env=["CI=true"])]))
    acme.logs[JOB] = log
    return made


def end(count: int) -> dict[str, str]:
    return PLAIN | {"Range": f"bytes=-{count}"}


def large(mib: int) -> Log:
    """That many MiB, each another block."""

    def blocks() -> Iterator[bytes]:
        for number in range(mib):
            yield b"%08d" % number + b"x" * (MIB - 9) + b"\n"

    return Log(blocks, mib * MIB)


def read(standin: Standin, headers: dict[str, str]) -> tuple[int, bytes]:
    """How many bytes of the log come, and the last of them; a block at a time."""
    length, last = 0, b""
    bearer = {"Authorization": f"Bearer {standin.token}"}
    url = f"{standin.rest_url}/organizations/acme/{SHORT}"
    with httpx.stream("GET", url, headers=bearer | headers, verify=TLS, timeout=30) as answer:
        assert int(answer.headers["Content-Length"]) > 0
        for block in answer.iter_raw():
            length, last = length + len(block), (last + block)[-20:]
    return length, last


def read_any(standin: Standin) -> None:
    """Read to the end, without looking at headers."""
    bearer = {"Authorization": f"Bearer {standin.token}"}
    url = f"{standin.rest_url}/organizations/acme/{SHORT}"
    with httpx.stream("GET", url, headers=bearer | PLAIN, verify=TLS, timeout=30) as answer:
        for _ in answer.iter_raw():
            pass
