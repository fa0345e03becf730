"""Answers to a work list, on disk until the warehouse has them: a load that was killed has none of them asked again.

What is written down is what will be stored: rows, after `privacy` has seen them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import warehouse
from .errands import Row, asked_for
from .errors import BuildkiteError
from .keep import Keep
from .rest import Page

if TYPE_CHECKING:
    import pyarrow as pa

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Answers:
    """What has been answered for one table. read: makes its rows of a page."""

    table: str
    keep: Keep
    read: Callable[[Page], pa.Table]

    def pages(self, rows: Sequence[Row], ask: Callable[[list[Row]], Iterator[Iterable[Page]]]) -> Iterator[Page]:
        """The rows of the work list as pages: first what is here, then what `ask` is answered, a page an answer.

        Whatever breaks off leaves every answer that came before it here.
        """
        self._drop()
        had = {row["id"]: page for row in rows if (page := self._here(row))}
        if had:
            yield joined([*had.values()])
        for answer in ask([row for row in rows if row["id"] not in had]):
            full: list[Page] = []
            try:
                for page in answer:
                    full.append(self._kept(page))  # noqa: PERF401 - what came before an error stays
            except BuildkiteError:
                if full:
                    yield joined(full)
                raise
            if full:
                yield joined(full)

    def _drop(self) -> None:
        """Forget what is in the warehouse."""
        names = ("item_id", "table_name", "state", "finished_at")
        for entry in warehouse.rows("errands", "item_id", self.keep.held(), names):
            here = self.keep.summary(entry["item_id"])
            if here and entry["table_name"] == self.table and asked_for(here["entry"]) == asked_for(entry):
                self.keep.drop(entry["item_id"])

    def _kept(self, page: Page) -> Page:
        (entry,) = page.entries
        rows = self.read(page)
        with self.keep.writing(entry["item_id"]) as writing:
            writing.add(self.table, rows)
            writing.done({"entry": entry, "at": page.at, "gone": page.gone})
        return replace(page, items=[], arrow={self.table: rows})

    def _here(self, row: Row) -> Page | None:
        """The page of a row that was answered as the row is now."""
        import pyarrow as pa

        here = self.keep.summary(row["id"])
        if here is None or asked_for(here["entry"]) != (row["version"], row["finished_at"]):
            return None
        batches = [*self.keep.batches(row["id"], self.table)]
        arrow = {self.table: pa.concat_tables(batches)} if batches else {}
        at = datetime.fromisoformat(here["at"])
        return Page([], at, gone=tuple(here["gone"]), entries=(here["entry"],), arrow=arrow)


def joined(pages: Sequence[Page]) -> Page:
    """Several pages of Arrow as one."""
    import pyarrow as pa

    tables: dict[str, list[Any]] = {}
    for page in pages:
        for name, rows in (page.arrow or {}).items():
            tables.setdefault(name, []).append(rows)
    return Page(
        [],
        max(page.at for page in pages),
        gone=tuple(one for page in pages for one in page.gone),
        entries=tuple(one for page in pages for one in page.entries),
        arrow={name: pa.concat_tables(parts) for name, parts in tables.items()},
    )
