"""What a line of a job log says, read slowly and plainly: the specification that `joblog` must agree with.

`joblog` reads nearly every line with arrays and comes here for the rare ones; the tests compare the two on random
bytes. The grammar is api.md 6.2-6.4 and ECMA-48. A line is what stands before LF, told as a terminal shows it alone:

* Escapes go, and every control character but TAB. ESC starts an escape wherever it stands, so that one which is
  broken off takes nothing along: of a CSI go the parameters, of a string (OSC, APC, DCS, PM, SOS) its first two bytes.
* CR and whatever moves to the line's begin, to another line, or erases what was written ends a segment. The last
  segment that is not blank is the text; the first, if all are.
* Left on purpose, where a terminal has cells: `hello` CR `b` is `b`, not `bello`; a line is never wrapped; what
  cursor-up reaches is another line's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import IntFlag
from typing import NamedTuple


class Flag(IntFlag):
    """What else is known of a line; the column `flags` is their sum."""

    HEADER = 1  # opens a group: `---`, `+++` or `~~~` and a blank
    EXPAND = 2  # `^^^ +++`: opens the group it stands in, as an agent does where something failed
    COMMAND = 4  # `$ ` or a grey `> ` (Windows): the agent says what it runs
    COMMENT = 8  # a grey `# `: the agent says what it does
    OVERWRITTEN = 16  # something visible was written over: a progress bar
    BAD_UTF8 = 32  # what was not UTF-8 is U+FFFD now
    TRUNCATED = 64  # longer than LONG: only KEEP bytes of each end were read
    NO_NEWLINE = 128  # the log ends in this line, without LF
    ERROR = 256  # the agent's own `🚨 Error`, or what the caller's `errors` found
    IMAGE = 512  # an image stood here


class Line(NamedTuple):
    """A line; the moments are milliseconds since 1970, the first and the last marker's, None without one."""

    text: str
    at: int | None
    end: int | None
    flags: int


LONG = 1 << 20
"""A line of more bytes is cut to its ends."""
KEEP = 1 << 16
"""Bytes that are kept of each end."""
SEAM = 64
"""Bytes before the kept tail, to see whether the cut goes through an escape."""
WIDEST = 160
"""Columns of an agent's terminal: no cursor is moved beyond."""
LATEST = 253_402_300_799_999
"""9999-12-31; a later marker is none."""

ESCAPE = re.compile(
    rb"\x1b(?:\[(?P<parameters>[ -?]*)(?P<final>[@-~]?)"
    rb"|(?P<kind>[\]_PX^])(?P<string>[^\x07\x1b]*)(?:\x07|\x1b\\)"
    rb"|[ -/]+[0-~]?|[0-~]?)|(?P<control>[\x00-\x08\x0a-\x1a\x1c-\x1f])"
)
MARKER = re.compile(rb"\x1b_bk;t=(\d{13})(?:\x07|\x1b\\)")
"""As agents write it. ESC always begins an escape, so this is one wherever it stands."""
NUMBER = re.compile(rb"-?\d{1,15}")
PAIR = re.compile(rb"(?<![^;])(\w+)=((?:\\.|'[^']*'|\"[^\"]*\"|[^;\\])*)", re.DOTALL)
QUOTING = re.compile(rb"\\(.)|['\"\x00-\x1f]", re.DOTALL)
HEADER = re.compile(r"(---|\+\+\+|~~~)[ \t]")
EXPAND = re.compile(r"\^\^\^[ \t]\+\+\+")
PREFIX = re.compile(r"\[(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)\] ")
GREY = b"\x1b[90m"
ALARM = "🚨 Error"


def clears(final: bytes, parameters: bytes) -> bool:
    """Whether a CSI ends what was written: a move to the line's begin or to another line, or an erasure of it."""
    if final == b"G":
        return parameters in (b"", b"0", b"1")
    return parameters in (b"1", b"2") if final in (b"K", b"J") else final in tuple(b"%c" % c for c in b"ABEFHdf")


class Segment:
    """What is written between two clearings: bytes, and moves of the cursor as (final, columns)."""

    def __init__(self) -> None:
        self.written: list[bytes | tuple[bytes, int]] = []
        self.grey: bool | None = None
        self.moved = False

    def put(self, text: bytes, before: bytes) -> None:
        if text:
            self.grey = before.endswith(GREY) if self.grey is None else self.grey
            self.written.append(text)

    def move(self, final: bytes, columns: int) -> None:
        self.written.append((final, columns))
        self.moved = self.moved or final != b"K"

    def text(self) -> tuple[str, bool]:
        """What is seen in the end, and whether all of it was UTF-8."""
        if not self.moved:
            return decoded(b"".join(one for one in self.written if isinstance(one, bytes)))
        cells: list[str] = []
        at, right = 0, True
        for one in self.written:
            if isinstance(one, bytes):
                shown, good = decoded(one)
                cells += " " * (at - len(cells))
                cells[at : at + len(shown)] = shown
                at, right = at + len(shown), right and good
            elif one[0] == b"K":
                del cells[at:]
            elif one[0] == b"D":
                at = max(0, at - one[1])
            else:
                at = max(at, min(at + one[1], WIDEST)) if one[0] == b"C" else one[1] - 1
        return "".join(cells), right


def decoded(text: bytes) -> tuple[str, bool]:
    try:
        return text.decode(), True
    except UnicodeDecodeError:
        return text.decode("utf-8", "replace"), False


def line(raw: bytes, base: int | None = None) -> Line:
    """A line without its LF; `base` is the last marker before it in its log, which `dt=` adds to."""
    segments, flags, stamps, done = [Segment()], 0, [base], 0
    for escape in ESCAPE.finditer(raw):
        segments[-1].put(raw[done : escape.start()], raw[max(0, done - 5) : done])
        done = escape.end()
        parameters, final, kind, string, control = escape.groups()
        if control == b"\r" or (final and clears(final, parameters)):
            segments.append(Segment())
        elif control == b"\b":
            segments[-1].move(b"D", 1)
        elif final and final in b"CDGK":
            columns = re.match(rb"\d+", parameters)
            if final != b"K" or parameters in (b"", b"0"):
                segments[-1].move(final, max(1, min(WIDEST, int(columns[0][:9]))) if columns else 1)
        elif kind == b"_" and string.startswith(b"bk;"):
            stamps = marked(string, stamps)
        elif kind == b"]" and string.startswith(b"1339;"):
            segments[-1].put(link(string), b"")
        elif kind == b"]" and string.startswith((b"1338;", b"1337;File=")):
            flags |= Flag.IMAGE
    segments[-1].put(raw[done:], raw[max(0, done - 5) : done])
    told = [(segment, *segment.text()) for segment in segments]
    seen = [one for one in told if one[1].strip(" \t")]
    segment, text, right = seen[-1] if seen else told[0]
    flags |= (Flag.OVERWRITTEN if len(seen) > 1 else 0) | (0 if right else Flag.BAD_UTF8)
    at, end = (stamps[1], stamps[-1]) if len(stamps) > 1 else (None, None)
    return Line(text, at, end, flags | meaning(text, segment.grey))


def marked(string: bytes, stamps: list[int | None]) -> list[int | None]:
    """The stamps with those of an APC `bk;t=…` or `bk;dt=…`; numbers that cannot be meant are none (api.md 6.2)."""
    for part in string[3:].split(b";"):
        key, _, value = part.partition(b"=")
        if key in (b"t", b"dt") and NUMBER.fullmatch(value) and (key == b"t" or stamps[-1] is not None):
            stamp = int(value) + ((stamps[-1] or 0) if key == b"dt" else 0)
            stamps = [*stamps, stamp] if 0 <= stamp <= LATEST else stamps
    return stamps


def link(string: bytes) -> bytes:
    """What is shown for an OSC 1339: its content, or else its URL (api.md 6.4)."""
    pairs = {key: QUOTING.sub(rb"\1", value) for key, value in PAIR.findall(string)}
    return pairs.get(b"content") or pairs.get(b"url", b"")


def meaning(text: str, grey: bool | None) -> int:
    """The flags that the text decides; `grey` is whether colour 90 stood right before it."""
    flags = (HEADER.match(text) and Flag.HEADER) or (EXPAND.match(text) and Flag.EXPAND) or 0
    if text.startswith("$ ") or (grey and text.startswith("> ")):
        flags |= Flag.COMMAND
    if grey and text.startswith("# "):
        flags |= Flag.COMMENT
    return flags | (Flag.ERROR if text.startswith(ALARM) else 0)


def cut(head: bytes, tail: bytes, base: int | None, first: int | None, last: int | None) -> Line:
    """A line longer than LONG, of its first KEEP and its last SEAM + KEEP bytes and of all its markers' ends.

    No escape and no rune is cut through: up to SEAM bytes more may go where the two ends meet, at the `…`.
    """
    escape = head.rfind(b"\x1b", len(head) - SEAM)
    head = re.sub(rb"[\xc0-\xff][\x80-\xbf]{0,2}\Z", b"", head if escape < 0 else head[:escape])
    begun = ESCAPE.match(tail, max(0, tail.rfind(b"\x1b", 0, SEAM)))
    tail = re.sub(rb"\A[\x80-\xbf]{1,3}", b"", tail[max(SEAM, begun.end() if begun else 0) :])
    told = line(head + "…".encode() + tail, base)
    at, end = told.at if first is None else first, told.end if last is None else last
    return Line(told.text, at, end, told.flags | Flag.TRUNCATED)


def any_line(raw: bytes, base: int | None = None) -> Line:
    """A line of any length."""
    if len(raw) <= LONG:
        return line(raw, base)
    stamps = [int(stamp) for stamp in MARKER.findall(raw)]
    first, last = (stamps[0], stamps[-1]) if stamps else (None, None)
    return cut(raw[:KEEP], raw[-KEEP - SEAM :], base, first, last)


def prefixed(text: str) -> int | None:
    """The moment in front of a line of a log without markers, `[2006-01-02T15:04:05Z] ` (api.md 6.2), in ms."""
    found = PREFIX.match(text)
    try:
        return int(datetime.fromisoformat(found[1]).astimezone(UTC).timestamp()) * 1000 if found else None
    except ValueError:
        return None


def header_time(number: int, header_times: Sequence[int]) -> int | None:
    """The moment of the group of that number, in ms; the API's are ns, and not all can be meant (api.md 6.3)."""
    told = header_times[number - 1] // 1_000_000 if number <= len(header_times) else -1
    return told if 0 <= told <= LATEST else None
