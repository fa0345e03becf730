"""Random log bytes: arrays say what the specification says, in blocks as whole, together as alone."""

from __future__ import annotations

import os
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from buildkite_ci import joblog, joblog_scan, joblog_spec
from buildkite_ci.joblog import Batch, read, read_many
from logs_made import Row, any_log, blocks, plain

SCALE = int(os.environ.get("BUILDKITE_ELT_SCALE", "1"))
SHARES = 20


def rows(table: Any) -> list[Row]:
    """The rows with their moments in ms again; `end` as the specification has it."""
    columns = {}
    for name in table.schema.names:
        column = table.column(name)
        stamps = pa.types.is_timestamp(column.type)
        values = column.cast(pa.int64()).to_pylist() if stamps else column.to_pylist()
        columns[name] = [value // 1000 if stamps and value is not None else value for value in values]
    told = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    for row in told:
        if "at_end" in row:
            end = row.pop("at_end")
            row["end"] = row["at"] if end is None else end
    return told


def whole(log: bytes, pieces: Any = None, **how: Any) -> tuple[list[Row], list[Row], Row]:
    reading = read([log] if pieces is None else pieces, **how)
    lines = rows(pa.Table.from_batches(reading))
    (about,) = rows(reading.log)
    return lines, rows(reading.groups), about


def agree(log: bytes, random: Random) -> None:
    """All that must be said of any log; raises AssertionError."""
    times = [random.choice((-5, 10**18, 10**30)) + n for n in range(3)] if random.random() < 0.3 else []
    lines, groups, about = plain(log, times)
    about.pop("expanded")
    assert whole(log, header_times=times) == (lines, groups, about)
    assert whole(log, blocks(random, log), header_times=times) == (lines, groups, about)


def alone(batch: Batch, job: str) -> tuple[list[Row], list[Row], Row]:
    tables = [
        [
            {name: value for name, value in row.items() if name != "job_id"}
            for row in rows(table)
            if row["job_id"] == job
        ]
        for table in (batch.lines, batch.groups, batch.logs)
    ]
    return tables[0], tables[1], tables[2][0]


@pytest.fixture(params=["as it is", "in small"])
def sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In small, a log of some hundred bytes has blocks, long lines and too many lines, too."""
    if request.param == "in small":
        small = {"BLOCK": 160, "STEP": 32, "MOST": 3, "SLICE": 24, "LONG": 120, "KEEP": 30, "SEAM": 8}
        for module in (joblog, joblog_scan, joblog_spec):
            for name, size in small.items():
                if hasattr(module, name):
                    monkeypatch.setattr(module, name, size)


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("share", range(SHARES))
def test_arrays_say_what_the_specification_says(share: int) -> None:
    for seed in range(share, 1000 * SCALE, SHARES):
        random = Random(seed)
        log = any_log(random)
        try:
            agree(log, random)
        except AssertionError as wrong:
            raise AssertionError(f"seed {seed}: {log!r}") from wrong


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("seed", range(20 * SCALE))
def test_many_logs_read_together_are_as_each_read_alone(seed: int) -> None:
    random = Random(f"many {seed}")
    logs = {f"job {number}": any_log(random) for number in range(random.choice((1, 3, 30)))}
    found = set()
    for batch in read_many(logs.items()):
        for job in batch.logs["job_id"].to_pylist():
            assert alone(batch, job) == whole(logs[job]), f"seed {seed}, {job}: {logs[job]!r}"
            found.add(job)
    assert found == set(logs)
