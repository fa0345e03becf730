"""Job logs as rows: each fetched by one request, read, written down, and then handed on (api.md 6, 7.7).

A log is written to disk first (keep.py), so what breaks off in the middle leaves nothing, and a run that was killed
asks again for none of those that it had read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from . import warehouse
from .errands import List, Row, entry
from .errors import BadAnswer, BadInput, BuildkiteError, NotFound
from .keep import Keep, Writing
from .raw import Raw
from .redaction import Redactor, archive
from .rest import Page
from .signatures import Signatures, best
from .wire import Wire

if TYPE_CHECKING:
    from .choice import Choice

TAIL = 2 << 20
"""Bytes of a log that are read of its end, unless the whole is wanted: most logs are shorter."""
READ = 1 << 20
ENDS = 1000
"""Errors at each end of a batch of lines that the job's own error is looked for among."""
LOGS, ROWS = 25, 50_000
"""Logs of a page, and lines of one, at most."""
REFUSALS = 3
"""Logs in a row that cannot be read before it is not the logs' fault."""
LINES, GROUPS, MATCHES, NUMBERS = "job_log_lines", "job_log_groups", "job_log_matches", "log_numbers"
TABLES = (LINES, GROUPS, MATCHES, NUMBERS)


@dataclass(frozen=True)
class Reader:
    """How the logs of one run are read. mask: whether secrets are masked."""

    wire: Wire
    keep: Keep
    choice: Choice
    mask: bool = True

    @cached_property
    def signatures(self) -> Signatures:
        return Signatures.read(*(Path(one) for one in self.choice.signatures))

    @cached_property
    def redactor(self) -> Redactor | None:
        redactor = Redactor(secrets(self.choice.secrets))
        return redactor if self.mask else None

    def check(self) -> None:
        """Raise BadInput where a signature or a pattern is none, before anything is asked for."""
        _ = self.signatures, self.redactor

    def fetched(self, path: str, row: Row, place: str) -> dict[str, Any]:
        """The log of a job, read and written down; its summary. place: where it belongs in the archive."""
        with self.keep.writing(row["id"]) as writing:
            file = writing.raw()
            raw = self.wire.fetch(path, file, 0 if self.choice.whole else TAIL)
            summary = self._read(file, raw, writing)
            if self.choice.archive:
                self._archive(file, Path(self.choice.archive, f"{place}.log.zst"))
            return writing.done(summary)

    def _read(self, file: BinaryIO, raw: Raw, writing: Writing) -> dict[str, Any]:
        import pyarrow as pa

        from .joblog import read

        reading = read(
            blocks(file),
            tail=not raw.whole,
            header_times=raw.header_times,
            redactor=self.redactor,
            errors=self.signatures.errors,
        )
        matches = []
        for batch in reading:
            writing.add(LINES, pa.Table.from_batches([batch]))
            found = self.signatures.matches(batch)
            writing.add(MATCHES, found)
            matches += [found.slice(0, ENDS), found.slice(max(len(found) - ENDS, ENDS))]
            writing.add(NUMBERS, self.signatures.numbers(batch))
        writing.add(GROUPS, reading.groups)
        error = best(pa.concat_tables(matches), reading.groups) or {}
        (log,) = reading.log.to_pylist()
        return {
            **{NAMES.get(name, name): value for name, value in log.items()},
            **{f"error_{name}": error.get(name) for name in ("line", "class", "text")},
            "bytes": raw.size,
            "truncated": not raw.whole,
            "gone": False,
            "masked": dict(reading.masked),
            "fetched_at": raw.at,
        }

    def _archive(self, file: BinaryIO, place: Path) -> None:
        """The log's bytes as they are, secrets masked, compressed; whole or not at all."""
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = place.with_suffix(".part")
        with part.open("wb") as out:
            out.writelines(archive(blocks(file), self.redactor))
        os.replace(part, place)


NAMES = {"bytes": "read_bytes", "truncated_lines": "cut_lines"}
"""What joblog.py calls otherwise than the table job_logs."""


def pages(
    reader: Reader,
    todo: List,
    slugs: Mapping[str, str],
    rows: list[Row],
    refused: Callable[[Any], None],
) -> Iterator[Page]:
    """The rows of the logs, those of many small ones on one page, with the entries for `errands`.

    refused: told of a log that cannot be read; it waits.
    """
    reader.check()
    for job in committed(reader.keep):
        reader.keep.drop(job)
    full, bad = Full(reader.wire.at or datetime.now(UTC)), 0
    try:
        for row in rows:
            try:
                summary = _summary(reader, todo, slugs, row)
            except BadAnswer as error:
                bad += 1
                if bad > REFUSALS:
                    raise
                refused(error)
                continue
            bad = 0
            for batches in _batches(reader.keep, row["id"]):
                full.add(batches)
                if full.lines >= ROWS:
                    yield full.page()
            full.ends(todo, row, summary)
            if len(full.items) >= LOGS:
                yield full.page()
    except BuildkiteError:
        yield full.page()
        raise
    yield full.page()


def _summary(reader: Reader, todo: List, slugs: Mapping[str, str], row: Row) -> dict[str, Any]:
    """A log as a whole, after it has been read, by this run or by one that was killed."""
    slug = slugs.get(row["pipeline_id"], row["pipeline_slug"])
    names = {name: row[of] for name, of in todo.errand.bind.items()}
    names |= {"organization": todo.organization, "pipeline": slug}
    place = "{organization}/{pipeline}/{build}/{job}".format(**names)
    try:
        return reader.keep.summary(row["id"]) or reader.fetched(todo.errand.path.format(**names), row, place)
    except NotFound:
        with reader.keep.writing(row["id"]) as writing:
            at = reader.wire.at or row["finished_at"]
            return writing.done({"gone": True, "truncated": False, "fetched_at": at})


def committed(keep: Keep) -> list[str]:
    """Of the logs that are kept, those that the warehouse has."""
    entries = warehouse.rows("errands", "item_id", keep.held(), ("item_id", "table_name"))
    return [one["item_id"] for one in entries if one["table_name"] == "job_logs"]


def _batches(keep: Keep, job: str) -> Iterator[dict[str, Any]]:
    """The rows of a log that is written down, by table, a batch of each at a time."""
    import pyarrow as pa

    for batches in zip_longest(*(keep.batches(job, table) for table in TABLES)):
        told = {table: batch for table, batch in zip(TABLES, batches, strict=True) if batch is not None}
        yield {name: batch.add_column(0, "job_id", pa.repeat(job, len(batch))) for name, batch in told.items()}


class Full:
    """A page that is being filled: a page of each small log would take dlt as long as Buildkite takes to send it."""

    def __init__(self, at: datetime) -> None:
        self.tables: dict[str, list[Any]] = {}
        self.items: list[dict[str, Any]] = []
        self.entries: list[dict[str, Any]] = []
        self.lines = 0
        self.at = at

    def add(self, batches: Mapping[str, Any]) -> None:
        """Rows of one log, by table."""
        for table, rows in batches.items():
            self.tables.setdefault(table, []).append(rows)
        self.lines += len(batches.get(LINES, ()))

    def ends(self, todo: List, row: Row, summary: Mapping[str, Any]) -> None:
        """One log is all here."""
        self.at = datetime.fromisoformat(summary["fetched_at"])
        self.items.append({**{column: row[of] for column, of in todo.errand.given.items()}, **summary})
        self.entries.append(entry(todo, row, "gone" if summary["gone"] else "read", summary.get("lines", 0)))

    def page(self) -> Page:
        """What is here; it is empty then."""
        import pyarrow as pa

        arrow = {table: pa.concat_tables(rows) for table, rows in self.tables.items()}
        page = Page(self.items, self.at, entries=tuple(self.entries), arrow=arrow)
        self.tables, self.items, self.entries, self.lines = {}, [], [], 0
        return page


def blocks(file: BinaryIO) -> Iterator[bytes]:
    """A file from its beginning, in blocks."""
    file.seek(0)
    while block := file.read(READ):
        yield block


def secrets(patterns: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """`kind=pattern` as the redactor takes it. BadInput for one that names no kind."""
    for one in patterns:
        kind, equals, pattern = one.partition("=")
        if not (kind and equals and pattern):
            raise BadInput(f"{one!r} is no pattern for secrets: say kind=pattern")
        yield kind, pattern
