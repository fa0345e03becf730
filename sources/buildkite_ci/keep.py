"""What has been read and is not in the warehouse yet, on disk: so that nothing is asked for twice.

A job's log, or the answer to another item of a work list, is here whole or not at all. What is kept is what will be
stored: rows, without what is not to be stored.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, unquote

import orjson

if TYPE_CHECKING:
    import pyarrow as pa

SUMMARY = "summary.json"


class Keep:
    """A folder with a folder for each item. It need not be there; only its owner may read it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def held(self) -> list[str]:
        """The ids of the items that are here whole."""
        return [unquote(file.parent.name) for file in self.folder.glob(f"*/{SUMMARY}")]

    def drop(self, item: str) -> None:
        """Forget an item: it is in the warehouse, or was not read to its end."""
        shutil.rmtree(self._place(item), ignore_errors=True)

    def summary(self, item: str) -> dict[str, Any] | None:
        """What is told of an item as a whole; None where it is not here."""
        file = self._place(item) / SUMMARY
        return dict(orjson.loads(file.read_bytes())) if file.exists() else None

    def batches(self, item: str, table: str) -> Iterator[pa.Table]:
        """The rows of an item in one table, a batch at a time."""
        import pyarrow as pa

        file = self._place(item) / f"{table}.arrow"
        if file.exists():
            with pa.memory_map(str(file)) as source:
                for batch in pa.ipc.open_stream(source):
                    yield pa.Table.from_batches([batch])

    def writing(self, item: str) -> Writing:
        """Begin with an item; use as a context manager."""
        self.drop(item)
        return Writing(self._place(item))

    def _place(self, item: str) -> Path:
        return self.folder / quote(item, safe="")


class Writing:
    """An item that is being written down; it is here only after `done`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._open, self._writers = folder, ExitStack(), dict[str, Any]()

    def __enter__(self) -> Writing:
        self.folder.mkdir(parents=True, mode=0o700)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()
        if kind:
            shutil.rmtree(self.folder, ignore_errors=True)

    def raw(self) -> BinaryIO:
        """A file for the log's bytes, gone when this ends."""
        file = self._open.enter_context((self.folder / "raw").open("w+b"))
        (self.folder / "raw").unlink()
        return file

    def add(self, table: str, rows: pa.Table) -> None:
        """Rows of one table; all of one schema."""
        import pyarrow as pa

        if table not in self._writers:
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            made = pa.ipc.new_stream(str(self.folder / f"{table}.arrow"), rows.schema, options=options)
            self._writers[table] = self._open.enter_context(made)
        self._writers[table].write_table(rows)

    def done(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        """All of it is written. The summary as it will be read: moments as text."""
        self._open.close()
        part, text = self.folder / f"{SUMMARY}.part", orjson.dumps(summary)
        part.write_bytes(text)
        part.rename(self.folder / SUMMARY)
        return dict(orjson.loads(text))
