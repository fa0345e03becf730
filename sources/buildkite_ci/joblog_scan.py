"""Lines from a buffer of log bytes, with arrays: what `joblog_spec.line` says of each, many times faster.

One pass finds the control characters; from then on only these are looked at. What is left between the escapes are
slices of the buffer, of most lines a single one from the marker in front to the CR. One `take` copies all slices, and
its offsets at the lines' ends are the text column. Rare lines (a cursor that moves within the line, links and images,
odd markers, more than LONG bytes) are read by the specification itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .joblog_spec import ALARM, GREY, LONG, Flag, Line, any_line

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Words = npt.NDArray[Any]  # of np.uint64
    Bytes = npt.NDArray[np.uint8]
    Bools = npt.NDArray[np.bool_]

PAD = 32
"""Zeros behind a buffer, so that eight bytes may be read at any place."""
SLICE = 1 << 18
NONE = -1
"""No moment."""
MARKER = 21
"""Bytes of a marker as agents write it."""
ESC, BEL, BS, TAB, CR, LF = 27, 7, 8, 9, 13, 10
ALONE, PAIR, CSI, STRING, CHARSET = range(5)
"""What an ESC begins, by the byte behind it."""
KIND = bytes(
    CSI if c == 0x5B else STRING if c in b"]_PX^" else CHARSET if 0x20 <= c < 0x30 else PAIR if 0x30 <= c < 0x7F else 0
    for c in range(256)
)
CLEARING = bytes(c in b"ABEFHdf" for c in range(256))
SPEAKING = bytes(c in b"-+~^$>#\xf0" for c in range(256))
"""First bytes of a text that may mean something."""


@dataclass
class Lines:
    """One value a line: its text, first and last marker in ms or NONE, flags, and bytes with its LF."""

    text: Any
    at: Ints
    end: Ints
    flags: npt.NDArray[np.int32]
    size: Ints


class Buffer:
    """Log bytes that end in LF; where their control characters are but for TAB, and of each line the first and last.

    `data` is `size` bytes of log and at least PAD others.
    """

    def __init__(self, data: Bytes, size: int) -> None:
        self.bytes = data
        self.words: Words = np.ndarray(size + PAD - 7, "<u8", data, strides=(1,))
        """The eight bytes from each place on."""
        # By slices that stay in the processor's cache.
        slices = ((at, data[at : min(at + SLICE, size)]) for at in range(0, max(size, 1), SLICE))
        self.at: Ints = np.concatenate([np.flatnonzero(part < 32) + at for at, part in slices])
        self.byte = data.take(self.at)
        if TAB in self.byte:
            self.at = self.at[self.byte != TAB]
            self.byte = data.take(self.at)
        self.last = np.flatnonzero(self.byte == LF)
        self.first = np.append(0, self.last + 1)[:-1]
        self.end = self.at.take(self.last)
        self.start = np.append(0, self.end + 1)[:-1]

    def stamps(self, at: Ints) -> Ints:
        """The milliseconds of the markers that begin at these places, if `ESC _ bk;t=`, and 13 digits; else NONE."""
        head, middle, tail = self.words[at], self.words[at + 4], self.words[at + 12]
        middle = (middle & 0xFFFF_FFFF_FF00_0000) | 0x30_3030
        good = (head & 0x00FF_FFFF_FFFF_FFFF == word(b"\x1b_bk;t=")) & digits(middle) & digits(tail)
        return np.where(good, number(middle) * 100_000_000 + number(tail), NONE)


def word(text: bytes) -> int:
    return int.from_bytes(text, "little")


def digits(words: Words) -> Bools:
    """Whether all eight bytes are digits."""
    high, zeros = 0xF0F0_F0F0_F0F0_F0F0, 0x3030_3030_3030_3030
    good: Bools = (words & high == zeros) & ((words + 0x0606_0606_0606_0606) & high == zeros)
    return good


def number(words: Words) -> Ints:
    """The number that eight digits are."""
    words = ((words & 0x0F0F_0F0F_0F0F_0F0F) * 2561) >> 8
    words = ((words & 0x00FF_00FF_00FF_00FF) * 6553601) >> 16
    return (((words & 0x0000_FFFF_0000_FFFF) * 42949672960001) >> 32).astype(np.int64)


def parameters(words: Words) -> Ints:
    """How many of eight bytes, from the first on, are a CSI's before its final one: 0x20 to 0x3F."""
    other = (words | (~words << 1) | (words >> 1)) & 0x4040_4040_4040_4040
    count: Ints = np.bitwise_count(other ^ (other - 1)).astype(np.int64) >> 3
    return count


def csi_end(buffer: Buffer, at: Ints) -> Ints:
    """Where the CSIs whose parameters begin at these places have their final byte, or what stands in its place."""
    step = parameters(buffer.words[at])
    at = at + step
    more = np.flatnonzero(step == 8)
    while len(more):
        step = parameters(buffer.words[at[more]])
        at[more] += step
        more = more[step == 8]
    return at


class Pieces(NamedTuple):
    """Slices of the buffer in their order, each line's first one, and which lines are overwritten, and which rare."""

    start: Ints
    end: Ints
    first: Ints
    overwritten: Ints
    rare: Ints


def scan(buffer: Buffer, starts: Ints, base: int = NONE) -> Lines:
    """What the lines say. `starts`: the lines that begin a log; `base`: the first log's last marker so far."""
    at = np.where(buffer.bytes.take(buffer.start + MARKER - 1) == BEL, buffer.stamps(buffer.start), NONE)
    end, flags = at.copy(), np.zeros(len(at), np.int32)
    pieces = _pieces(buffer, at, end)
    flags[pieces.overwritten] |= Flag.OVERWRITTEN
    text = _copied(buffer, pieces)
    if len(pieces.rare):
        text = _rare(buffer, pieces.rare, text, (at, end, flags), starts, base)
    text, bad = _valid(text)
    flags[bad] |= Flag.BAD_UTF8
    _meaning(buffer, text, flags, pieces)
    return Lines(text, at, end, flags, buffer.end - buffer.start + 1)


def _pieces(buffer: Buffer, at: Ints, end: Ints) -> Pieces:
    """What is kept of each line; `at` and `end` have the markers in front, and get those that stand elsewhere."""
    stamped = at != NONE
    start, first, stop = buffer.start + MARKER * stamped, buffer.first + 2 * stamped, buffer.end
    cr = (buffer.bytes.take(stop - 1) == CR) & (stop > start)
    stop = stop - cr - (cr & (buffer.bytes.take(stop - 2) == CR) & (stop > start + 1))
    # The tokens: of each line its control characters behind the marker, up to the first of CR CR LF. That is the only
    # one in most lines.
    sizes = buffer.last - first - (buffer.end - stop) + 1
    tail = np.cumsum(sizes) - 1
    head = tail - sizes + 1
    line = np.repeat(np.arange(len(sizes)), sizes)
    token = np.arange(len(line)) + np.repeat(first - head, sizes)
    place, byte = buffer.at.take(token), buffer.byte.take(token)
    after, clear, rare, markers, stamps = _escapes(buffer, place, byte, line)
    seen = line[markers]
    end[seen] = stamps
    new = np.flatnonzero(at[seen] == NONE)[::-1]
    at[seen[new]] = stamps[new]
    # The gaps: what stands before each token, from where the escapes before it end; a token within one has none.
    gap = np.empty_like(after)
    np.maximum.accumulate(after[:-1], out=gap[1:])
    gap[head] = start
    active, keep = place >= gap, place > gap
    # Of lines that are cleared only the last segment is kept; nothing of rare ones.
    clear &= active
    clear[tail] = False
    some = np.flatnonzero(_with(clear, line, len(sizes)).take(line))
    over = some
    if len(some):
        keep[some], over = _last_seen(buffer, gap[some], place[some], clear[some], line[some])
    strange = _with(rare & active, line, len(sizes)) | (buffer.end - buffer.start > LONG)
    rares = np.flatnonzero(strange)
    if len(rares):
        keep &= ~strange.take(line)
    kept = np.flatnonzero(keep)
    return Pieces(gap.take(kept), place.take(kept), np.append(0, np.cumsum(keep).take(tail)), over, rares)


def _with(some: Bools, line: Ints, lines: int) -> Bools:
    """Which of so many lines have some of these tokens."""
    found = np.zeros(lines, np.bool_)
    found[line[some]] = True
    return found


def _last_seen(buffer: Buffer, start: Ints, stop: Ints, clear: Bools, line: Ints) -> tuple[Bools, Ints]:
    """Which slices are of the last segment of their line that is not blank; and the lines with others."""
    head = np.flatnonzero(np.diff(line, prepend=-1))
    segment: Ints = np.cumsum(clear) - clear
    shown = _shown(buffer, start, stop)
    latest = np.maximum.reduceat(np.where(shown, np.arange(len(line)), -1), head)
    latest = segment.take(np.where(latest < 0, head, latest))
    kept = segment == np.repeat(latest, np.diff(head, append=len(line)))
    return kept & (stop > start), line[shown & ~kept]


def _shown(buffer: Buffer, start: Ints, stop: Ints) -> Bools:
    """Which slices hold more than blanks."""
    shown = (stop > start) & (buffer.bytes.take(start) > 32)
    unsure = np.flatnonzero((stop - start > 1) & ~shown)
    if len(unsure):
        ends = np.stack((start[unsure], stop[unsure]), 1).ravel()
        shown[unsure] = np.maximum.reduceat(buffer.bytes, ends)[::2] > 32
    return shown


def _escapes(buffer: Buffer, place: Ints, byte: Bytes, line: Ints) -> tuple[Ints, Bools, Bools, Ints, Ints]:
    """Of control characters: where what each begins ends, which clear the line, which need the specification.

    And which are markers, with their stamps.
    """
    stop, clear, rare = place + 1, byte == CR, byte == BS
    escapes = np.flatnonzero(byte == ESC)
    kind = np.frombuffer(KIND, np.uint8).take(buffer.bytes.take(place.take(escapes) + 1))
    stop[escapes] += kind != ALONE
    csi = escapes[kind == CSI]
    begin = place.take(csi) + 2
    close = csi_end(buffer, begin)
    final = buffer.bytes.take(close)
    stop[csi] = close + (final - 0x40 < 0x3F)
    others = np.flatnonzero(final != ord("m"))
    csi, begin, close = csi[others], begin[others], close[others]
    clear[csi], rare[csi] = _clearing(buffer, begin, close - begin, final[others])
    charset = escapes[kind == CHARSET]
    final = buffer.bytes.take(place[charset] + 2)
    stop[charset] += (final >= 0x30) & (final < 0x7F)
    rare[charset] = final >> 4 == 2
    strings = escapes[kind == STRING]
    ends = np.flatnonzero((byte == ESC) | (byte == BEL))
    follower = np.append(ends, len(place) - 1)[np.searchsorted(ends, strings, "right")]
    close = place[follower]
    two = (byte[follower] == ESC) & (buffer.bytes.take(close + 1) == ord("\\"))
    closed = (line[follower] == line[strings]) & (two | (byte[follower] == BEL))
    stop[strings[closed]] = (close + 1 + two)[closed]
    strings, close = strings[closed], close[closed]
    head = buffer.words[place[strings] + 1]
    stamps = np.where(close - place[strings] == MARKER - 1, buffer.stamps(place[strings]), NONE)
    marker = head & 0xFFFF_FFFF == word(b"_bk;")
    shows = (head & 0xFFFF_FFFF == word(b"]133")) & (head & 0xFF_0000_0000 >= 0x37_0000_0000)
    rare[strings] = (marker & (stamps == NONE)) | shows
    return stop, clear, rare, strings[stamps != NONE], stamps[stamps != NONE]


def _clearing(buffer: Buffer, begin: Ints, parameters: Ints, final: Bytes) -> tuple[Bools, Bools]:
    """Which CSIs clear the line, and which move the cursor within it; `parameters` is how many bytes those are."""
    digit = buffer.bytes.take(begin)
    one_or_two = (parameters == 1) & ((digit == ord("1")) | (digit == ord("2")))
    erases = ((final == ord("K")) | (final == ord("J"))) & one_or_two
    to_column = final == ord("G")
    to_begin = to_column & ((parameters == 0) | ((parameters == 1) & ((digit == ord("0")) | (digit == ord("1")))))
    moves = (final == ord("C")) | (final == ord("D")) | (to_column & ~to_begin)
    return erases | to_begin | np.frombuffer(CLEARING, np.bool_).take(final), moves


def _copied(buffer: Buffer, pieces: Pieces) -> Any:
    """The binary column of the lines: all of it copied by one take of every other slice."""
    count = len(pieces.start)
    between = np.zeros(2 * max(count, 1), np.int32)
    between[0 : 2 * count : 2], between[1 : 2 * count : 2] = pieces.start, pieces.end
    parts = [None, pa.py_buffer(between), pa.py_buffer(buffer.bytes)]
    slices = pa.Array.from_buffers(pa.binary(), len(between) - 1, parts)
    _, offsets, data = slices.take(pa.array(np.arange(0, len(between), 2, dtype=np.int32))).buffers()
    ends = np.frombuffer(offsets, np.int32, count + 1)
    return pa.Array.from_buffers(
        pa.binary(), len(pieces.first) - 1, [None, pa.py_buffer(ends.take(pieces.first)), data]
    )


def _rare(
    buffer: Buffer, rare: Ints, text: Any, columns: tuple[Ints, Ints, npt.NDArray[np.int32]], starts: Ints, base: int
) -> Any:
    """The text with the rare lines read by the specification, one after the other; their stamps go into the columns."""
    at, end, flags = columns
    rare = np.sort(rare)
    at[rare] = end[rare] = NONE
    texts = []
    for index, line in zip(rare.tolist(), _specified(buffer, rare, end, starts, base), strict=True):
        at[index] = NONE if line.at is None else line.at
        end[index] = NONE if line.end is None else line.end
        flags[index] = line.flags
        texts.append(line.text.encode())
    mask = np.zeros(len(at), np.bool_)
    mask[rare] = True
    return pc.replace_with_mask(text, pa.array(mask), pa.array(texts, pa.binary()))


def _specified(buffer: Buffer, rare: Ints, end: Ints, starts: Ints, base: int) -> Iterator[Line]:
    """The rare lines as the specification has them; the caller writes each one's `end` before it asks for the next."""
    before = np.maximum.accumulate(np.where(end != NONE, np.arange(len(end)), -1))
    log = starts[np.searchsorted(starts, rare, "right") - 1]
    mine = -1
    for index, begin in zip(rare.tolist(), log.tolist(), strict=True):
        latest = max(int(before[index]), mine)
        stamp = int(end[latest]) if latest >= begin else base if begin == 0 else NONE
        raw = buffer.bytes[buffer.start[index] : buffer.end[index]].tobytes()
        yield any_line(raw, None if stamp == NONE else stamp)
        mine = index if end[index] != NONE else mine


def _valid(text: Any) -> tuple[Any, Ints]:
    """The text as strings, and which of them had to be mended: what is not UTF-8 is U+FFFD, in all lines at once."""
    _, offsets, data = text.buffers()
    strings = pa.Array.from_buffers(pa.string(), len(text), [None, offsets, data])
    try:
        strings.validate(full=True)
    except pa.ArrowInvalid:
        joined = b"\n".join(text.to_pylist()).decode("utf-8", "replace")
        strings = pa.array(joined.split("\n"), pa.string())
        return strings, np.flatnonzero(pc.not_equal(strings.view(pa.binary()), text))
    return strings, np.empty(0, np.int64)


def _meaning(buffer: Buffer, text: Any, flags: npt.NDArray[np.int32], pieces: Pieces) -> None:
    """The flags that the text decides, as `joblog_spec.meaning`; rare lines know already what was grey."""
    _, offsets, data = text.buffers()
    if not data or not data.size:
        return
    begin = np.frombuffer(offsets, np.int32, len(text) + 1).astype(np.int64)
    letters = np.frombuffer(data, np.uint8, begin[-1])
    speaking = np.frombuffer(SPEAKING, np.bool_).take(letters.take(begin[:-1], mode="clip")) & (np.diff(begin) > 1)
    lines = np.flatnonzero(speaking)
    places = begin[lines][:, None] + np.arange(len(ALARM.encode()))
    heads = np.where(places < begin[lines + 1][:, None], letters.take(places, mode="clip"), 0)

    def says(words: bytes, at: int = 0) -> Bools:
        same: Bools = (heads[:, at : at + len(words)] == np.frombuffer(words, np.uint8)).all(1)
        return same

    blank = (heads[:, 3] == ord(" ")) | (heads[:, 3] == ord("\t"))
    said = np.where(blank & (says(b"---") | says(b"+++") | says(b"~~~")), Flag.HEADER, 0)
    said |= np.where(blank & says(b"^^^") & says(b"+++", 4), Flag.EXPAND, 0)
    said |= np.where(says(ALARM.encode()), Flag.ERROR, 0)
    said |= np.where(says(b"$ "), Flag.COMMAND, 0)
    maybe = np.flatnonzero((says(b"# ") | says(b"> ")) & (np.diff(pieces.first)[lines] > 0))
    before = pieces.start[pieces.first[lines[maybe]]]
    grey = maybe[(buffer.words[before - 5] & 0xFF_FFFF_FFFF == word(GREY)) & (before > 4)]
    said[grey] |= np.where(heads[grey, 0] == ord("#"), Flag.COMMENT, Flag.COMMAND)
    flags[lines] |= said.astype(np.int32)
