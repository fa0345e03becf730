"""A job's log as the API sends it: raw bytes into a file, a block at a time, never into memory (api.md 6.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

import httpx
import orjson

from .errors import BadAnswer

LOG = {200, 206, 416}
"""Statuses of a log: whole, its end, and of an empty one that was asked for its end."""
PLAIN = {"", "text/plain", "application/octet-stream"}
LARGEST = 64 << 20
"""Bytes of a log in JSON, which has to be decoded at once."""
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True)
class Raw:
    """A log that was read into a file. size: its bytes at Buildkite; whole: whether they are all in the file;
    header_times: moments of its sections in ns, where the answer was JSON and told any."""

    at: datetime
    size: int
    whole: bool
    header_times: tuple[int, ...] = ()


def body(response: httpx.Response, into: BinaryIO | None) -> tuple[int, httpx.Response]:
    """Read the body: a log into the file, which is emptied first, anything else into memory. How many bytes it has."""
    if into is None or response.status_code not in LOG:
        return len(response.read()), response
    into.seek(0)
    into.truncate()
    for block in response.iter_bytes():
        into.write(block)
    response.close()
    kept = [(name, value) for name, value in response.headers.multi_items() if name not in ENCODED]
    return into.tell(), httpx.Response(response.status_code, headers=kept, content=b"", extensions=response.extensions)


ENCODED = {"content-encoding", "content-length", "transfer-encoding"}
"""Headers that speak of bytes that are not there any more."""


def is_log(what: str, response: httpx.Response, into: BinaryIO) -> None:
    """BadAnswer where this cannot be a log; a 416 leaves an empty file."""
    size = into.tell()
    if response.status_code == 416:
        into.seek(0)
        into.truncate()
    elif _kind(response) == "application/json":
        response.extensions["json"] = _from_json(what, into)
    elif _kind(response) not in PLAIN:
        raise BadAnswer(f"{what} answered with {_kind(response)} where a log should be")
    elif response.status_code == 206:
        begin, end, total = _range(response)
        if (size, end) != (end - begin + 1, total - 1):
            raise BadAnswer(
                f"{what} answered with {size} bytes where it says {response.headers.get('Content-Range')!r}"
            )


def told(response: httpx.Response, into: BinaryIO, at: datetime) -> Raw:
    """What an answer that is a log says of it."""
    if "json" in response.extensions:
        times = response.extensions["json"].get("header_times")
        numbers = tuple(one for one in times if isinstance(one, int)) if isinstance(times, list) else ()
        return Raw(at, into.tell(), True, numbers)
    if response.status_code == 206:
        begin, _, total = _range(response)
        return Raw(at, total, begin == 0)
    return Raw(at, into.tell(), True)


def _kind(response: httpx.Response) -> str:
    return str(response.headers.get("Content-Type", "")).partition(";")[0].strip().lower()


def _range(response: httpx.Response) -> tuple[int, int, int]:
    found = RANGE.fullmatch(response.headers.get("Content-Range", ""))
    begin, end, total = (int(number) for number in found.groups()) if found else (0, -2, 0)
    return begin, end, total


def _from_json(what: str, into: BinaryIO) -> dict[str, object]:
    """The JSON of a log, whose content takes its place in the file."""
    if into.tell() > LARGEST:
        raise BadAnswer(f"{what} answered with more than {LARGEST >> 20} MiB of JSON where plain text was asked for")
    into.seek(0)
    try:
        found = orjson.loads(into.read())
    except orjson.JSONDecodeError:
        found = None
    content = found.get("content") if isinstance(found, dict) else None
    if not isinstance(content, str):
        raise BadAnswer(f"{what} answered with JSON that holds no log")
    into.seek(0)
    into.truncate()
    into.write(content.encode("utf-8", "surrogatepass"))
    return dict(found)
