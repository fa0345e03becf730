"""Faults that only answers with a job's log can have (api.md 6.1), beside those of trouble.py, which they share."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Any

from .answer import Answer, Ask, Replay

Details = dict[str, Any]
RANGED = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
ABOUT = ("content-type", "content-range", "accept-ranges")
"""Headers that speak of the body that was."""


def _in_form(answer: Answer, form: str) -> Answer:
    """The whole log in another form than was asked for; what is no log stays as it is."""
    forms = answer.notes.get("forms")
    if forms:
        other = forms[form]()
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in ABOUT}
        answer.status, answer.headers, answer.content = other.status, kept | other.headers, other.content
    return answer


def _range_ignored(answer: Answer, _ask: Ask, _replay: Replay, _details: Details) -> Answer:
    """200 with all of it, whatever end of it was asked for."""
    return _in_form(answer, "plain")


def _json_instead(answer: Answer, _ask: Ask, _replay: Replay, _details: Details) -> Answer:
    """The JSON of the log, although plain text was asked for."""
    return _in_form(answer, "json")


def _range_off(answer: Answer, _ask: Ask, _replay: Replay, details: Details) -> Answer:
    """A 206 whose Content-Range disagrees with its body: `first`, `last` and `total` are added to what it says.

    Without them it tells of one byte more than there is, at the end.
    """
    found = RANGED.fullmatch(answer.headers.get("Content-Range", ""))
    if found:
        said = dict(zip(("first", "last", "total"), map(int, found.groups()), strict=True))
        added = {name: details[name] for name in said if name in details} or {"last": 1, "total": 1}
        first, last, total = (number + added.get(name, 0) for name, number in said.items())
        answer.headers["Content-Range"] = f"bytes {first}-{last}/{total}"
    return answer


def _range_refused(answer: Answer, _ask: Ask, _replay: Replay, _details: Details) -> Answer:
    """416 as for an empty log, although there is one."""
    answer.status = 416
    answer.headers = {name: value for name, value in answer.headers.items() if name.lower() not in ABOUT}
    answer.headers |= {"Content-Type": "application/json; charset=utf-8", "Content-Range": "bytes */0"}
    return answer.put({"message": "The log is empty"})


def _gzip(answer: Answer, _ask: Ask, _replay: Replay, _details: Details) -> Answer:
    """The body in gzip, whether or not the client takes that; a large log is never held, only what is left of it."""
    packer = zlib.compressobj(1, wbits=31)
    answer.body = b"".join([*map(packer.compress, answer.blocks), packer.flush()])
    answer.headers["Content-Encoding"] = "gzip"
    return answer


def _no_charset(answer: Answer, _ask: Ask, _replay: Replay, _details: Details) -> Answer:
    answer.headers["Content-Type"] = answer.headers["Content-Type"].partition(";")[0]
    return answer


LOG_KINDS: dict[str, Callable[[Answer, Ask, Replay, Details], Answer]] = {
    "416": _range_refused,
    "gzip": _gzip,
    "json-instead": _json_instead,
    "no-charset": _no_charset,
    "range-ignored": _range_ignored,
    "range-off": _range_off,
}
