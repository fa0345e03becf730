"""What is read of a line is what a terminal shows of it, by a terminal that others wrote: pyte, made for VT100.

Each line is shown alone. pyte does not know APC, which terminals leave out, so markers are taken out before. Where a
terminal keeps what is left of a longer state behind a shorter one, only the latter is read; nothing else may differ.
"""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyte
import pytest

from buildkite_ci.joblog import read
from logs_made import STAMP, marker
from test_joblog import samples

APC = re.compile(rb"\x1b_[^\x07\x1b]*(?:\x07|\x1b\\)")
LEAVING = re.compile(rb"\x1b\[\d*[AB]")
"""The cursor goes to another row, and stays in its column."""
CLEARS = (b"\r\x1b[K", b"\x1b[2K\r", b"\x1b[1G\x1b[2K", b"\r\x1b[0K", b"\x1b[G\x1b[J")
WITHIN = (
    *(b"\x1b[32m", b"\x1b[0m", b"\x1b[38;2;255;100;7m", b"\x1b(B", b"\x1b[?25l", b"\x1b[?25h", b"\x1b=", b"\x1b[K"),
    *(b"\x08", b"\x08\x08", b"\x1b[3C", b"\x1b[C", b"\x1b[2D", b"\x1b[D", b"\x1b[12G", b"\x1b[40G", b" "),
    *(b"\x1b]8;;https://example.com/a\x1b\\", b"\x1b]8;;\x07", b"\x1b]0;title\x07", "é✓".encode()),
)


class Screen(pyte.Screen):
    """Remembers the row in which something visible was written last."""

    row = 1

    def draw(self, data: str) -> None:
        super().draw(data)
        if data.strip():
            self.row = self.cursor.y

    def shown(self) -> str:
        cells = self.buffer[self.row]
        return "".join(cells[at].data for at in range(max(cells, default=-1) + 1)).rstrip()


def terminal(raw: bytes) -> str:
    """The row of a wide screen in which a line, begun in the second of three rows, is seen in the end."""
    screen = Screen(len(raw) + 200, 3)
    screen.cursor.y = 1
    pyte.ByteStream(screen).feed(APC.sub(b"", raw))
    return screen.shown()


def texts(log: bytes) -> list[str]:
    found: list[str] = pa.Table.from_batches(read([log]))["text"].to_pylist()
    return [text.rstrip() for text in found]


def lines(log: bytes) -> list[bytes]:
    return log.split(b"\n")[: -1 if log.endswith(b"\n") else None]


@pytest.mark.parametrize("path", samples(), ids=lambda path: getattr(path, "name", "none"))
def test_a_sample_is_read_as_a_terminal_shows_it(path: Path) -> None:
    log = path.read_bytes()
    for raw, text in zip(lines(log), texts(log), strict=True):
        if LEAVING.search(raw):
            assert terminal(raw).endswith(text), raw
        else:
            assert terminal(raw) == text, raw


def written(random: Random) -> bytes:
    """A line that is erased and written anew, each time with moves within it, and ends in a word."""
    stamp, out = STAMP, bytearray()
    for at in range(random.choice((1, 1, 2, 5))):
        out += random.choice(CLEARS) if at else b""
        for _ in range(random.choice((0, 1, 3, 9))):
            stamp += random.choice((0, 1, 1500))
            out += random.choice((*WITHIN, b"word", b"two words", marker(stamp)))
        out += random.choice((b"end", b"last", b"100%"))
    return bytes(out) + random.choice((b"\n", b"\r\n", b"\r\r\n", b"\x1b[K\r\r\n", b"\x1b[0m\r\n"))


@pytest.mark.parametrize("share", range(10))
def test_a_made_line_is_read_as_a_terminal_shows_it(share: int) -> None:
    random = Random(f"terminal {share}")
    log = b"".join(written(random) for _ in range(100))
    for raw, text in zip(lines(log), texts(log), strict=True):
        assert terminal(raw) == text, raw


def test_of_what_is_only_written_over_the_last_state_is_read() -> None:
    random, told = Random("over"), list[Any]()
    for _ in range(300):
        states = [bytes(random.choices(b"abcdefg 0123456789%", k=random.randrange(1, 30))) + b"|" for _ in range(4)]
        raw = b"\r".join(states)
        (text,) = texts(raw)
        assert terminal(raw).startswith(text), raw
        told.append(terminal(raw) == text)
    assert 0 < sum(told) < 300  # both happen
