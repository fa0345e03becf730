"""What is read from a job's log: lines, groups and the whole, by hand-made logs and by the samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from buildkite_ci.joblog import read
from buildkite_ci.joblog_spec import KEEP, Flag
from logs_made import STAMP, marker, plain
from test_joblog_fuzz import whole

SAMPLES = Path(__file__).parents[2] / "shared" / "buildkite" / "samples" / "logs"
T = marker(STAMP)


@pytest.mark.parametrize(
    ("raw", "text", "flags"),
    [
        (T + b"a\x1b[K" + marker(STAMP + 5) + b" b\r\r\n", "a b", 0),
        (b"10%\r20%\r\n", "20%", Flag.OVERWRITTEN),
        (b"kept\r\x1b[K  \r\n", "kept", 0),
        (b"ab\x08c\n", "ac", 0),
        (b"a\x1b[3Cb\x1b(B\x1b[>4;2m\n", "a   b", 0),
        (b"\x1b]1339;url=https://example.com;content=a link\x07\n", "a link", 0),
        (b"\x1b]8;;https://example.com\x1b\\shown\x1b]8;;\x1b\\\n", "shown", 0),
        (b"n\x00u\x01l\tt\n", "nul\tt", 0),
        (b"\xff\n", "\ufffd", Flag.BAD_UTF8),
        (b"\x1b[?25h\x1b[32m~~~ coloured\n", "~~~ coloured", Flag.HEADER),
        (b"\x1b[90m$\x1b[0m make\n", "$ make", Flag.COMMAND),
        (b"end", "end", Flag.NO_NEWLINE),
    ],
)
def test_a_line(raw: bytes, text: str, flags: int) -> None:
    ((line,), _, _) = whole(raw)
    assert (line["text"], line["flags"], line["bytes"]) == (text, flags, len(raw))


def test_first_and_last_marker_either_terminator_and_dt() -> None:
    log = T + b"a" + marker(STAMP + 7, b"\x1b\\") + b"b\n\x1b_bk;dt=25\x07c\n"
    lines, _, about = whole(log)
    assert [(line["at"], line["end"]) for line in lines] == [(STAMP, STAMP + 7), (STAMP + 32, STAMP + 32)]
    assert (about["first_at"], about["last_at"], about["ts_source"]) == (STAMP, STAMP + 32, "marker")


def test_groups_and_the_one_that_was_expanded() -> None:
    _, groups, _ = whole(T + b"--- one\nx\n" + marker(STAMP + 9) + b"+++ two\n^^^ +++\n")
    told = [(group["name"], group["lines"], group["duration_ms"], group["expanded"]) for group in groups]
    assert told == [("one", 2, 9, False), ("two", 2, 0, True)]


def test_a_log_without_markers_has_its_headers_times_or_prefixes() -> None:
    lines, _, about = whole(b"--- one\nx\n", header_times=[STAMP * 1_000_000])
    assert ([line["at"] for line in lines], about["ts_source"]) == ([STAMP, None], "header_times")
    lines, _, about = whole(b"[2025-04-22T11:30:09Z] x\n")
    assert (lines[0]["at"], about["ts_source"]) == (1_745_321_409_000, "prefix")


def test_an_empty_log() -> None:
    lines, groups, about = whole(b"")
    assert (lines, groups, about["lines"], about["first_at"]) == ([], [], 0, None)


def test_a_tail_is_counted_from_the_end() -> None:
    reading = read([b"rtial\n--- a\nx\n--- b\n"], tail=True)
    table = pa.Table.from_batches(reading)
    assert table["line"].to_pylist() == [-3, -2, -1]
    assert table["group_number"].to_pylist() == [-2, -2, -1]
    assert reading.summary["skipped_bytes"] == 6
    assert reading.summary["is_tail"]


def test_a_long_line_is_cut_to_its_ends_with_its_true_length() -> None:
    block = b"x" * (1 << 20)
    reading = read([T + b"head ", *[block] * 100, b" tail\n"])
    (line,) = pa.Table.from_batches(reading).to_pylist()
    assert line["bytes"] == len(T) + 100 * len(block) + 11
    assert line["flags"] == Flag.TRUNCATED
    assert line["text"].startswith("head x")
    assert line["text"].endswith("x tail")
    assert len(line["text"]) <= 2 * KEEP + 1


def samples() -> list[Any]:
    skip = pytest.mark.skip(reason="the shared samples are not here")
    return sorted(SAMPLES.glob("*.log")) or [pytest.param(None, marks=skip)]


@pytest.mark.parametrize("path", samples(), ids=lambda path: getattr(path, "name", "none"))
def test_a_sample_is_read_as_the_specification_says(path: Path) -> None:
    log = path.read_bytes()
    lines, groups, about = plain(log)
    about.pop("expanded")
    assert whole(log) == (lines, groups, about)
    assert whole(log, [log[at : at + 977] for at in range(0, len(log), 977)]) == (lines, groups, about)
