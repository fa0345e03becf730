"""A job's log: bytes in, one row a line out, and at the end its groups and what it is as a whole.

A log is read in blocks, with memory for one of them and its columns, however long it or a line of it is; many small
logs are read as one block. What a line says is in `joblog_spec`; the columns here are those of the tables
`job_log_lines`, `job_log_groups` and `job_logs`. Moments are by the agent's clock, in whole milliseconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .joblog_rows import How, Part, Told, described, fold, groups_table, logs_table, no_lines, nothing
from .joblog_scan import NONE, PAD, Buffer, Lines, scan
from .joblog_spec import KEEP, LONG, MARKER, SEAM, Flag, cut

if TYPE_CHECKING:
    from .joblog_scan import Ints
    from .redaction import Redactor

    Bytes = bytes | bytearray | memoryview

BLOCK = 1 << 21
"""Bytes that are read at once."""
STEP = 1 << 18
"""Bytes that are taken in before it is looked whether a block is full."""
MOST = 1 << 17
"""Lines that are read at once: a log of nothing but LF is not to take more memory than others."""
OVERLAP = 22
"""The bytes of a marker that may stand at a block's end without being all of it."""
COUNTED_FROM_END = ("line", "group_number", "number", "first_line", "last_line")


class Batch(NamedTuple):
    """Many logs: three tables that begin with `job_id`, and how often a secret of each kind was masked."""

    lines: Any
    groups: Any
    logs: Any
    masked: Counter[str]


class Reading:
    """A log that is being read: record batches of its lines; then `groups`, `log` (one row) and `masked` are there.

    Lines and groups are numbered from 1. A tail (`bytes=-N`) has no beginning: what stands before its first LF is
    left out and only counted (`skipped_bytes`); its last line is number -1, the one before -2, and so its groups. Its
    batches come when all of it is read.
    """

    def __init__(self, blocks: Iterable[Bytes], tail: bool, how: How) -> None:
        self.groups: Any = None
        self.log: Any = None
        self.masked: Counter[str] = Counter()
        self.skipped_bytes = 0
        self._blocks, self._tail, self._how = blocks, tail, how

    def __iter__(self) -> Iterator[Any]:
        told, parts = Told(masked=self.masked), [nothing(1)]
        batches = self._batches(told, parts)
        if self._tail:
            batches = iter([_from_end(batch, told) for batch in list(batches)])
        yield from batches
        logs = {name: np.concatenate([part.logs[name] for part in parts]) for name in parts[0].logs}
        logs = fold(logs, np.zeros(1, np.int64))
        self.log, groups = logs_table(logs), groups_table(parts, logs).drop_columns("log")
        self.groups = _from_end(groups, told) if self._tail else groups

    @property
    def summary(self) -> dict[str, Any]:
        """The log's row as a dict, and whether it is a tail, its skipped bytes and what was masked, by kind."""
        about = {"is_tail": self._tail, "skipped_bytes": self.skipped_bytes, "masked": dict(self.masked)}
        return {**self.log.to_pylist()[0], **about}

    def _batches(self, told: Told, parts: list[Part]) -> Iterator[Any]:
        for chunk in chunks(self._after_first_line() if self._tail else self._blocks):
            for lines in _lines(chunk, told):
                batch, part = described(lines, np.zeros(1, np.int64), told, self._how)
                parts.append(part)
                yield batch
        if len(parts) == 1:
            yield no_lines()

    def _after_first_line(self) -> Iterator[Bytes]:
        blocks = iter(self._blocks)
        for block in blocks:
            before, lf, after = bytes(block).partition(b"\n")
            self.skipped_bytes += len(before) + len(lf)
            if lf:
                yield after
                yield from blocks


def read(
    blocks: Iterable[Bytes],
    *,
    tail: bool = False,
    header_times: Sequence[int] = (),
    redactor: Redactor | None = None,
    errors: Callable[[Any], Any] | None = None,
) -> Reading:
    """A log in blocks of any size.

    header_times: the API's, in ns, for a log without markers; they say nothing of a tail.
    redactor: masks secrets in the texts, and so in the groups' names.
    errors: tells of a column of texts which lines mean an error, as a boolean column; they get Flag.ERROR.
    """
    return Reading(blocks, tail, How(redactor, errors, () if tail else header_times))


def read_many(
    logs: Iterable[tuple[str, bytes]],
    *,
    redactor: Redactor | None = None,
    errors: Callable[[Any], Any] | None = None,
) -> Iterator[Batch]:
    """(job id, log) after (job id, log): small ones together, with the same rows as if each were read alone."""
    _keep_memory()
    how, size, held = How(redactor, errors), 0, list[tuple[str, bytes]]()
    for job, log in logs:
        if held and size + len(log) > BLOCK:
            yield _together(held, how)
            size, held = 0, []
        if len(log) > BLOCK:
            yield _alone(job, Reading((log,), False, how))
        else:
            size += len(log)
            held.append((job, log))
    if held:
        yield _together(held, how)


def _alone(job: str, reading: Reading) -> Batch:
    lines = pa.Table.from_batches(reading)

    def named(table: Any) -> Any:
        return table.add_column(0, "job_id", pa.repeat(job, len(table)))

    return Batch(named(lines), named(reading.groups), named(reading.log), reading.masked)


def _together(logs: list[tuple[str, bytes]], how: How) -> Batch:
    told, part, columns = Told(), nothing(len(logs)), nothing(len(logs)).logs
    unended = [at for at, (_, log) in enumerate(logs) if log and not log.endswith(b"\n")]
    parts = [log for _, log in logs]
    for at in unended:
        parts[at] += b"\n"
    ends = np.cumsum([len(log) for log in parts])
    buffer = Buffer(np.frombuffer(b"".join((*parts, bytes(PAD))), np.uint8), int(ends[-1]))
    until = np.searchsorted(buffer.end, ends)
    counts = np.diff(until, prepend=0)
    full = np.flatnonzero(counts)
    batch = no_lines()
    if len(full):
        starts = (until - counts)[full]
        lines = scan(buffer, starts)
        _unended(lines, until[unended] - 1)
        batch, part = described(lines, starts, told, how)
        part.groups["log"] = full[part.groups["log"]]
        for name, column in columns.items():
            columns[name] = column.copy()
            columns[name][full] = part.logs[name]
    groups = groups_table([part], columns)
    ids = pa.array([job for job, _ in logs], pa.string())

    def named(table: Any, log: Ints) -> Any:
        return pa.Table.from_arrays([ids.take(pa.array(log)), *table.columns], ["job_id", *table.schema.names])

    return Batch(
        named(batch, np.repeat(np.arange(len(logs)), counts)),
        named(groups.drop_columns("log"), groups["log"].to_numpy()),
        named(logs_table(columns), np.arange(len(logs))),
        told.masked,
    )


def _from_end(table: Any, told: Told) -> Any:
    """The table with its lines and groups counted from the end of the log."""
    for at, name in enumerate(table.schema.names):
        if name in COUNTED_FROM_END:
            most = told.groups if name in ("group_number", "number") else told.lines
            number = pc.subtract(table.column(at), pa.scalar(most + 1, pa.int32()))
            table = table.set_column(at, name, number)
    return table


def _lines(chunk: Chunk | Long, told: Told) -> Iterator[Lines]:
    if isinstance(chunk, Long):
        yield chunk.lines(told.stamp)
        return
    for buffer, ended in chunk.buffers():
        lines = scan(buffer, np.zeros(1, np.int64), told.stamp)
        if not ended:
            _unended(lines, [-1])
        yield lines


def _unended(lines: Lines, line: Any) -> None:
    """These lines have no LF; they were given one to be read."""
    lines.size[line] -= 1
    lines.flags[line] |= Flag.NO_NEWLINE


def chunks(blocks: Iterable[Bytes]) -> Iterator[Chunk | Long]:
    """Whole lines, about BLOCK bytes of them, and lines that are longer than LONG; the last may lack its LF."""
    _keep_memory()
    held, long = Chunk(), None
    for step in (memoryview(block)[at : at + STEP] for block in blocks for at in range(0, len(block), STEP)):
        more: Bytes = step
        if long:
            rest, lf, more = bytes(step).partition(b"\n")
            long.add(rest)
            if not lf:
                continue
            long.ended = True
            yield long
            long = None
        held.add(more)
        if held.size >= BLOCK:
            rest = held.cut()
            if held.size:
                yield held
            held = Chunk()
            if len(rest) > LONG:
                long = Long(rest)
            else:
                held.add(rest)
    if long or held.size:
        yield long or held


@cache
def _keep_memory() -> None:
    """glibc keeps freed memory up to twice the largest piece that was freed (32 MiB at most), else asks for it anew.

    These bytes are given back at once and never written, so they cost nothing; the blocks that follow are read 7 %
    faster.
    """
    np.empty(31 << 20, np.uint8)


class Chunk:
    """Bytes that are being put together, with room for LF and what a Buffer needs."""

    def __init__(self, data: Bytes = b"") -> None:
        self.bytes = np.empty(max(BLOCK + STEP, len(data)) + PAD + 1, np.uint8)
        self.size = 0
        self.add(data)

    def add(self, more: Bytes) -> None:
        self.bytes[self.size : self.size + len(more)] = np.frombuffer(more, np.uint8)
        self.size += len(more)

    def cut(self) -> bytes:
        """What stands behind the last LF; it is here no more."""
        end = self.bytes[max(0, self.size - STEP) : self.size].tobytes()
        if b"\n" not in end:
            end = self.bytes[: self.size].tobytes()
        rest = end[end.rfind(b"\n") + 1 :]
        self.size -= len(rest)
        return rest

    def buffers(self) -> Iterator[tuple[Buffer, bool]]:
        """To be scanned, and whether the last line has its LF: one buffer, or more if it has more than MOST lines."""
        ended = self.bytes[self.size - 1] == 10
        if not ended:
            self.add(b"\n")
        buffer = Buffer(self.bytes, self.size)
        if len(buffer.end) <= MOST:
            yield buffer, ended
            return
        lasts = [*range(MOST - 1, len(buffer.end) - 1, MOST), len(buffer.end) - 1]
        at = 0
        for end in (buffer.end[lasts] + 1).tolist():
            yield Buffer(self.bytes[at : end + PAD], end - at), ended or end < self.size
            at = end


class Long:
    """A line that has become longer than LONG: its ends, its bytes so far, its first and last marker."""

    def __init__(self, begun: bytes) -> None:
        self.head, self.tail, self.size, self.ended = begun[:KEEP], b"", 0, False
        self.first: int | None = None
        self.last: int | None = None
        self.add(begun)

    def add(self, more: bytes) -> None:
        for found in MARKER.finditer(self.tail[-OVERLAP:] + more):
            self.last = int(found[1])
            self.first = self.last if self.first is None else self.first
        self.tail = (self.tail + more[-KEEP - SEAM :])[-KEEP - SEAM :]
        self.size += len(more)

    def lines(self, base: int) -> Lines:
        """The one line that it is, read by the specification."""
        line = cut(self.head, self.tail, None if base == NONE else base, self.first, self.last)
        at, end = (np.array([NONE if stamp is None else stamp]) for stamp in (line.at, line.end))
        flags, size = np.array([line.flags], np.int32), np.array([self.size + self.ended])
        lines = Lines(pa.array([line.text], pa.string()), at, end, flags, size)
        if not self.ended:
            lines.flags[0] |= Flag.NO_NEWLINE
        return lines
