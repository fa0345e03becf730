"""The file in a notebook: `connect().df("from queue_waits_hourly")` is a pandas frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from . import status

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

CATEGORIES = ("state", "class", "source", "type", "write_disposition")
"""Columns of few different words: those called so, or that end in `_state` and the like."""


class Warehouse:
    """A DuckDB connection to the file, read-only and in UTC, with the dataset's tables and views by their bare names.

    Whatever a DuckDB connection can do, this can: `execute`, `sql`, `close` and so on. Use as a context manager.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def df(self, sql: str, values: Sequence[Any] = ()) -> pd.DataFrame:
        """A query's rows: moments in UTC, whole numbers and truth values that may be missing, words of few kinds as
        categories. `?` in it stands for each of `values`."""
        import pandas as pd
        import pyarrow as pa

        kinds = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype(), pa.bool_(): pd.BooleanDtype()}
        table = self.connection.sql(sql, params=list(values)).to_arrow_table()
        for at, column in enumerate(table.schema):
            if pa.types.is_decimal(column.type):
                table = table.set_column(at, column.name, table.column(at).cast(pa.float64()))
        frame: pd.DataFrame = table.to_pandas(types_mapper=kinds.get)
        for name in frame.columns:
            if str(name).rpartition("_")[2] in CATEGORIES and pd.api.types.is_string_dtype(frame[name]):
                frame[name] = frame[name].astype("category")
        return frame

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)

    def __enter__(self) -> Warehouse:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.connection.close()


def connect(database: str | Path = "buildkite.duckdb", dataset: str = "ci") -> Warehouse:
    """Open the file. Raises DatabaseTrouble where it is not there, in use, or holds no such dataset."""
    return Warehouse(status.opened(Path(database), dataset))
