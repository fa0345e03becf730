"""Job logs made up for tests and bench, and what the specification says of a whole one, slowly and plainly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from buildkite_ci.joblog_rows import COUNTED
from buildkite_ci.joblog_spec import Flag, any_line, header_time, prefixed

Row = dict[str, Any]
STAMP = 1_745_322_209_921

BITS: tuple[bytes, ...] = (
    *(b"\n", b"\r\n", b"\r\r\n", b"\r\n", b"\r", b"\t", b" ", b"  ", b"a", b"word", b"some more text, and more"),
    *(b"\x1b[32m", b"\x1b[0m", b"\x1b[38;2;255;100;7;48;5;200m", b"\x1b[90m", b"\x1b[K", b"\x1b[0K", b"\x1b[1K"),
    *(b"\x1b[2K", b"\x1b[1G", b"\x1b[G", b"\x1b[0G", b"\x1b[J", b"\x1b[2J", b"\x1b[A", b"\x1b[3B", b"\x1b[1;1H"),
    *(b"\x1b[?25h", b"\x1b[>4;2m", b"\x1b(B", b"\x1b)0", b"\x1b=", b"\x1b7", b"\x1b\\", b"\x1bc", b"\x1b ", b"\x1b"),
    *(b"\x1b[12", b"\x1b[", b"\x1b]", b"\x1b_", b"\x1bP", b"\x1b_bk;t=", b"\x1b_bk;t=12", b"\x07", b"\x1b]0;title\x07"),
    *(
        b"\x1b]8;;https://example.com/a\x1b\\",
        b"\x1b]8;;\x07",
        b"\x00",
        b"\x0b",
        b"\x7f",
        b"\xc3\xa9",
        b"\xf0\x9f\x9a\xa8",
    ),
    *(
        b"\xe2\x82",
        b"\x82\xac",
        b"\xff",
        b"\xf0\x9f",
        b"\xc2\x9b",
        b"\xef\xbf\xbd",
        b"--- ",
        b"+++ x",
        b"~~~\ty",
        b"---",
    ),
    *(b"^^^ +++", b"^^^\t+++", b"$ make", b"# told", b"> dir", b"\x1b[90m# grey", b"\x1b[90m>\x1b[0m dir", b"-", b"+"),
    *(b"\xf0\x9f\x9a\xa8 Error: it failed", b"[2026-11-25T01:02:03Z] dated", b"[2026-13-25T01:02:03Z] ", b"[x] "),
    *(b"\x1b_other\x07", b"\x1bPq\x1b\\", b"\x1b^pm\x1b\\", b"\x1b_bk;x=1\x07", b"        ", b"                \t "),
)
RARE: tuple[bytes, ...] = (
    *(b"\x08", b"\x08 \x08", b"\x1b[3C", b"\x1b[D", b"\x1b[999999C", b"\x1b[40G", b"\x1b[?5G", b"\x1b[2;3C"),
    *(b"\x1b]1339;url=https://example.com;content=a link\x07", b"\x1b]1339;url='x;y'\x1b\\", b"\x1b]1339;nothing\x07"),
    *(
        b"\x1b]1338;url=artifact://a.png;alt=a\x07",
        b"\x1b]1337;File=name=YQ==;inline=1:AAAA\x07",
        b"\x1b]1337;Mark\x07",
    ),
    *(b"\x1b_bk;dt=25\x07", b"\x1b_bk;dt=-99999999999999\x07", b"\x1b_bk;t=99999999999999999\x07", b"\x1b_bk;t=-5\x07"),
    *(b"\x1b_bk;t=253402300799999\x07", b"\x1b_bk;t=0\x07", b"\x1b_bk;t=x\x07", b"\x1b_bk;p=1;t=1745322209000\x07"),
    *(b"\x1b_bk;t=1745322209000;llamas=1\x1b\\", b"\x1b_bk;t=17453222O9000\x07", b"\x1b_bk;\x07", b"\x1b]133;A\x07"),
)


def marker(stamp: int, end: bytes = b"\x07") -> bytes:
    return b"\x1b_bk;t=%013d" % stamp + end


def any_log(random: Random) -> bytes:
    """Bytes as no program would print them: escapes whole and broken, of any kind and anywhere."""
    marked, rare, stamp, out = random.random(), random.choice((0, 0.01, 0.1)), STAMP, bytearray()
    for _ in range(random.choice((0, 1, 5, 60, 400))):
        chance = random.random()
        if chance < 0.15 * (marked > 0.2):
            stamp += random.choice((0, 0, 1, 1500, -3))
            out += marker(stamp, random.choice((b"\x07", b"\x07", b"\x1b\\")))
        elif chance > 1 - rare:
            out += random.choice(RARE)
        elif chance > 0.97 - rare:
            out += random.randbytes(random.randint(1, 9))
        else:
            out += random.choice(BITS)
    return bytes(out)


def blocks(random: Random, log: bytes) -> Iterator[bytes]:
    """The log in blocks of random sizes."""
    at = 0
    while at < len(log):
        size = random.choice((1, 2, 7, 100, 5000, 1 << 20))
        yield log[at : at + size]
        at += size


def plain(log: bytes, header_times: Sequence[int] = ()) -> tuple[list[Row], list[Row], Row]:
    """Lines, groups and the whole as the specification has them; moments in ms, as `at` and `end`."""
    lines: list[Row] = []
    groups: list[Row] = []
    base, ended = None, log.endswith(b"\n")
    sources = dict.fromkeys(("marker", "prefix", "header_times"), False)
    raws = log.split(b"\n")[: -1 if ended or not log else None]
    for number, raw in enumerate(raws, 1):
        text, at, end, flags = any_line(raw, base)
        last = number == len(raws) and not ended
        flags |= Flag.NO_NEWLINE if last else 0
        if at is not None:
            base, sources["marker"] = end, True
        elif not sources["marker"]:
            at = end = prefixed(text)
            sources["prefix"] |= at is not None
        if flags & Flag.HEADER:
            if at is None and not sources["marker"] and header_times:
                at = end = header_time(len(groups) + 1, header_times)
                sources["header_times"] |= at is not None
            groups.append({"number": len(groups) + 1, "marker": text[:3], "name": text[3:].strip(" \t"), "rows": []})
        row = {"line": number, "at": at, "end": end, "group_number": len(groups) or None, "text": text}
        lines.append({**row, "flags": int(flags), "bytes": len(raw) + (not last)})
        if groups:
            groups[-1]["rows"].append(lines[-1])
    source = next((name for name, found in sources.items() if found), None)
    whole = {**summed(lines), "groups": len(groups), "ts_source": source}
    return lines, grouped(groups, whole["last_at"]), whole


def summed(rows: list[Row]) -> Row:
    counts = {name: sum(bool(row["flags"] & flag) for row in rows) for name, flag in COUNTED.items()}
    begins = [row["at"] for row in rows if row["at"] is not None]
    ends = [row["end"] for row in rows if row["end"] is not None]
    size = {"lines": len(rows), "bytes": sum(row["bytes"] for row in rows)}
    return {**size, **counts, "first_at": begins[0] if begins else None, "last_at": ends[-1] if ends else None}


def grouped(groups: list[Row], last_at: int | None) -> list[Row]:
    told = []
    for group in groups:
        rows = group.pop("rows")
        sums = summed(rows)
        first, last = rows[0]["line"], rows[-1]["line"]
        place = {"first_line": first, "last_line": last, "lines": sums["lines"], "bytes": sums["bytes"]}
        found = {"expanded": sums["expanded"] > 0, "error_lines": sums["error_lines"]}
        told.append({**group, **place, "started_at": sums["first_at"], **found})
    for group, until in zip(told, [*(group["started_at"] for group in told[1:]), last_at], strict=False):
        known = None not in (until, group["started_at"])
        group["duration_ms"] = until - group["started_at"] if known else None
    return told
