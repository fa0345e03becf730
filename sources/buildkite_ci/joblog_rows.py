"""Numbers, groups, moments and sums for the lines of job logs, with arrays; and the tables that they become.

Whatever is said of several lines is folded: lines into the groups and logs of one buffer, and those of all buffers
into the groups and logs of the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .joblog_scan import NONE, Lines
from .joblog_spec import Flag, header_time, prefixed

if TYPE_CHECKING:
    from .joblog_scan import Bools, Ints
    from .redaction import Redactor

    Columns = dict[str, Ints]

COUNTED = {
    "groups": Flag.HEADER,
    "expanded": Flag.EXPAND,
    "commands": Flag.COMMAND,
    "error_lines": Flag.ERROR,
    "overwritten_lines": Flag.OVERWRITTEN,
    "bad_utf8_lines": Flag.BAD_UTF8,
    "truncated_lines": Flag.TRUNCATED,
}
"""What is counted, and by which flag."""
SOURCES = ("marker", "prefix", "header_times")
"""Where moments come from, the best first: markers; `[2006-01-02T15:04:05Z] `; the API's list (api.md 6.2, 6.3)."""
SUMS = ("bytes", "lines", *COUNTED, *SOURCES)


@dataclass(frozen=True)
class How:
    """What is done to texts besides: secrets masked, and lines found that tell of an error (one bool a line)."""

    redactor: Redactor | None = None
    errors: Callable[[Any], Any] | None = None
    header_times: Sequence[int] = ()


@dataclass
class Told:
    """How far a log has been read: its lines, groups, last marker, whether a private key goes on; what was masked."""

    lines: int = 0
    groups: int = 0
    stamp: int = NONE
    in_key: bool = False
    masked: Counter[str] = field(default_factory=Counter)


class Part(NamedTuple):
    """Groups and logs as some lines have them: columns, and the groups' header lines."""

    groups: Columns
    titles: Any
    logs: Columns


def fold(columns: Columns, heads: Ints) -> Columns:
    """Rows made of runs of rows: sums, the first moment (`at`), the last one (`end`), of the rest the first."""
    count = len(columns["at"])
    index = np.arange(count)

    def folded(name: str, column: Ints) -> Ints:
        if name in SUMS:
            return np.add.reduceat(column, heads, dtype=np.int64)
        if name == "at":
            first = np.minimum.reduceat(np.where(column == NONE, count, index), heads)
            return np.append(column, NONE)[first]
        if name == "end":
            return np.append(column, NONE)[np.maximum.reduceat(np.where(column == NONE, -1, index), heads)]
        return column[heads]

    return {name: folded(name, column) if len(heads) else column[:0] for name, column in columns.items()}


def counts(column: Bools, heads: Ints) -> Ints:
    """How many are true in each of the runs of rows; few are, of most columns."""
    return np.diff(np.searchsorted(np.flatnonzero(column), heads), append=np.count_nonzero(column))


def described(lines: Lines, starts: Ints, told: Told, how: How) -> tuple[Any, Part]:
    """A record batch of lines, and their groups and logs. `starts`: the lines that begin a log, or go on with one."""
    text = lines.text
    if how.errors:
        lines.flags[how.errors(text).to_numpy(zero_copy_only=False)] |= Flag.ERROR
    if how.redactor:
        text, masked, told.in_key = how.redactor.mask(text, told.in_key)
        told.masked += masked
    lengths = np.diff(starts, append=len(lines.at))
    header = (lines.flags & Flag.HEADER) != 0
    group = np.cumsum(header)
    group -= np.repeat((group - header)[starts], lengths)
    number = np.arange(1, len(lines.at) + 1) - np.repeat(starts, lengths)
    group[: lengths[0]] += told.groups
    number[: lengths[0]] += told.lines
    sources = _dated(lines, header, group, starts, told, how)
    columns = {
        "at": lines.at,
        "end": lines.end,
        "log": np.repeat(np.arange(len(starts)), lengths),
        "number": group,
        "line": number,
    }
    header[starts] = True
    heads = np.flatnonzero(header)
    counted = {name: (lines.flags & flag) != 0 for name, flag in COUNTED.items()} | sources
    groups = fold(columns, heads) | {name: counts(column, heads) for name, column in counted.items()}
    groups["bytes"], groups["lines"] = np.add.reduceat(lines.size, heads), np.diff(heads, append=len(number))
    logs = fold(groups, np.searchsorted(heads, starts))
    part = Part(groups, text.take(pa.array(heads)), logs)
    told.lines, told.groups = int(number[-1]), int(group[-1])
    return batch(lines, text, number, group), part


def _dated(lines: Lines, header: Bools, group: Ints, starts: Ints, told: Told, how: How) -> Columns:
    """Moments for lines before a log's first marker, where there are others; which lines have which of SOURCES."""
    marker, index = lines.at != NONE, np.arange(len(lines.at))
    first = np.minimum.reduceat(np.where(marker, index, len(index)), starts)
    first[0] = 0 if told.stamp != NONE else first[0]
    early = index < np.repeat(first, np.diff(starts, append=len(index)))
    prefix, listed = np.zeros_like(marker), np.zeros_like(marker)
    if early.any():
        for line in np.flatnonzero(early & pc.starts_with(lines.text, "[").to_numpy(zero_copy_only=False)).tolist():
            stamp = prefixed(lines.text[line].as_py())
            prefix[line], lines.at[line] = stamp is not None, NONE if stamp is None else stamp
        for line in np.flatnonzero(early & header).tolist() if how.header_times else ():
            stamp = header_time(int(group[line]), how.header_times)
            listed[line], lines.at[line] = stamp is not None, NONE if stamp is None else stamp
        lines.end[early] = lines.at[early]
    told.stamp = int(lines.end[np.flatnonzero(marker)[-1]]) if marker.any() else told.stamp
    return dict(zip(SOURCES, (marker, prefix, listed), strict=True))


def batch(lines: Lines, text: Any, number: Ints, group: Ints) -> Any:
    """The record batch of lines; `at_end` only where it is not `at`, no group number before the first header."""
    columns = {
        "line": pa.array(number.astype(np.int32)),
        "at": moments(lines.at),
        "at_end": moments(np.where(lines.end == lines.at, NONE, lines.end)),
        "group_number": some(group.astype(np.int32), group == 0),
        "text": text,
        "flags": pa.array(lines.flags.astype(np.int16)),
        "bytes": pa.array(lines.size.astype(np.int32)),
    }
    return pa.RecordBatch.from_pydict(columns)


def some(column: Any, missing: Bools) -> Any:
    """The column with nulls where something is missing."""
    return pa.array(column, mask=missing if missing.any() else None)


def moments(stamps: Ints) -> Any:
    """Milliseconds as the project's timestamps, NONE as null."""
    return some(stamps * 1000, stamps == NONE).view(pa.timestamp("us", tz="UTC"))


def no_lines() -> Any:
    """The record batch of a log without any."""
    text, none, flags = pa.array([], pa.string()), np.empty(0, np.int64), np.empty(0, np.int32)
    return batch(Lines(text, none, none, flags, none), text, none, none)


def nothing(logs: int) -> Part:
    """Logs of which no line has been read."""
    empty, zeros = np.empty(0, np.int64), np.zeros(logs, np.int64)
    sums = dict.fromkeys(SUMS, zeros)
    groups = dict.fromkeys(("log", "number", "line", "at", "end", *SUMS), empty)
    return Part(groups, pa.array([], pa.string()), {**sums, "at": zeros + NONE, "end": zeros + NONE})


def logs_table(logs: Columns) -> Any:
    """One row a log."""
    sums = {name: pa.array(logs[name]) for name in ("bytes", "lines", *COUNTED) if name != "expanded"}
    source = np.select([logs[name] > 0 for name in SOURCES], [0, 1, 2], -1)
    words = pa.array(SOURCES).take(some(source, source < 0))
    return pa.table({**sums, "first_at": moments(logs["at"]), "last_at": moments(logs["end"]), "ts_source": words})


def groups_table(parts: Sequence[Part], logs: Columns) -> Any:
    """One row a group, its log's row in `log`; a group lasts until the next begins, the last one until the end."""
    groups = {name: np.concatenate([part.groups[name] for part in parts]) for name in parts[0].groups}
    titles = pa.concat_arrays([part.titles for part in parts])
    new = np.ones(len(groups["log"]), np.bool_)
    new[1:] = (np.diff(groups["log"]) != 0) | (np.diff(groups["number"]) != 0)
    heads = np.flatnonzero(new)
    groups, titles = fold(groups, heads), titles.take(pa.array(heads))
    real = groups["number"] > 0
    groups, titles = {name: column[real] for name, column in groups.items()}, titles.filter(pa.array(real))
    log, begin = groups["log"], groups["at"]
    until = logs["end"][log]
    same = np.flatnonzero(np.diff(log) == 0)
    until[same] = begin[same + 1]
    last = groups["line"] + groups["lines"] - 1
    return pa.table(
        {
            "log": log,
            "number": groups["number"].astype(np.int32),
            "marker": pc.utf8_slice_codeunits(titles, 0, 3),
            "name": pc.utf8_trim(pc.utf8_slice_codeunits(titles, 3), " \t"),
            "first_line": groups["line"].astype(np.int32),
            "last_line": last.astype(np.int32),
            "lines": groups["lines"].astype(np.int32),
            "bytes": groups["bytes"],
            "started_at": moments(begin),
            "duration_ms": some(until - begin, (until == NONE) | (begin == NONE)),
            "expanded": groups["expanded"] > 0,
            "error_lines": groups["error_lines"].astype(np.int32),
        }
    )
