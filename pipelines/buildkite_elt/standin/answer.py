"""What goes through the stand-in: a request (Ask), what is answered (Answer), and a refusal."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import orjson

from .tokens import Token

Body = Any
"""A JSON value: bodies are made of dict, list and scalars as the world sends them."""


@dataclass(frozen=True)
class Seen:
    """One request as it was answered; written down before its last byte leaves."""

    method: str
    path: str
    query: str
    status: int
    bytes: int
    api: str
    user: str | None
    requested: int | None
    actual: int | None
    trouble: str | None
    at: datetime
    document: str | None = None
    write: bool = False

    @property
    def params(self) -> dict[str, list[str]]:
        """The query string as a table, in the order of its keys."""
        table: dict[str, list[str]] = {}
        for key, value in parse_qsl(self.query, keep_blank_values=True):
            table.setdefault(key, []).append(value)
        return table


@dataclass
class Ask:
    """One request, read to its end."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    now: datetime
    base: str
    token: Token | None = None
    scope: str | None = None
    organization: str | None = None
    document: str | None = None
    write: bool = False

    @property
    def api(self) -> str:
        return "graphql" if self.path.rstrip("/") == "/v1" else "rest"


@dataclass
class Wire:
    """How an answer leaves when it does not leave as it should (trouble.py)."""

    silence: float = 0.0
    """Seconds of nothing before the status line."""
    upto: float = 1.0
    """The part of the body that is sent; below 0 not even the headers are."""
    end: str = "done"
    """What follows the part: done, close (FIN), reset (RST), stall."""
    seconds: float = 0.0
    """How long a stall lasts, at most."""
    chunked: bool = False
    """Leave Content-Length out, so that the body is chunked."""
    pieces: int = 1
    pause: float = 0.0
    """Send in this many pieces with this pause between."""


@dataclass(frozen=True)
class Blocks:
    """A body that is made while it leaves: `size` bytes of what `make` begins anew, without its first `skip`."""

    make: Callable[[], Iterable[bytes]]
    size: int
    skip: int = 0

    def __iter__(self) -> Iterator[bytes]:
        skip = self.skip
        for block in self.make():
            if skip < len(block):
                yield block[skip:] if skip else block
            skip = max(skip - len(block), 0)


@dataclass
class Answer:
    """A response before it is put on the wire; trouble may change every part of it."""

    status: int
    headers: dict[str, str]
    content: bytes | Blocks
    notes: dict[str, Any] = field(default_factory=dict)
    wire: Wire | None = None

    @property
    def body(self) -> bytes:
        """All of it at once."""
        return self.content if isinstance(self.content, bytes) else b"".join(self.content)

    @body.setter
    def body(self, body: bytes) -> None:
        self.content = body

    @property
    def size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.size

    @property
    def blocks(self) -> Iterable[bytes]:
        """The body as it comes into being."""
        return (self.content,) if isinstance(self.content, bytes) else self.content

    def json(self) -> Any:
        return orjson.loads(self.body)

    def put(self, body: Body) -> Answer:
        """Replace the body by a JSON value."""
        self.body = orjson.dumps(body)
        return self


class Refusal(Exception):
    """A request that is refused: a status and a message (api.md 1.6: always a top-level string `message`)."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


class Bug(Exception):
    """The stand-in or a test is wrong; shown when the stand-in stops."""


def as_json(body: Body, status: int = 200, **headers: str) -> Answer:
    """A JSON answer."""
    return Answer(
        status,
        {"Content-Type": "application/json; charset=utf-8"} | headers,
        orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS, default=_default),
    )


def _default(value: object) -> NoReturn:
    raise Bug(f"the world sent a {type(value).__name__}, which is not JSON: {value!r}")


def iso(moment: datetime) -> str:
    """ISO-8601 UTC with milliseconds (api.md 4)."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def parse_time(text: str) -> datetime | None:
    """A timestamp with a zone; None for anything else (a time without a zone is a mistake of the caller)."""
    if not re.match(r"\d{4}-\d\d-\d\d[T ]", text):
        return None
    try:
        moment = datetime.fromisoformat(re.sub(r" UTC$", "+00:00", text))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


Replay = Callable[[dict[str, str]], Answer]
"""Answers the same request with other query parameters, uncounted (for a repeated page)."""
