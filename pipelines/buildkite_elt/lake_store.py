"""Where a lake lies, by dlt's settings [destination.filesystem], and what a publish hands to a table format."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildkite_ci.errors import BadInput

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from .warehouse import Target

DAY = "_day"
"""The column by which Delta and Iceberg keep days apart; Parquet has folders of that name instead."""
NO_DAY = "all"
BATCH = 50_000
"""Rows that are in memory at once."""


def quoted(name: str) -> str:
    """A name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class Place:
    """A lake's folder: dlt's file system and the path in it, its URL, and dlt's credentials for other libraries."""

    fs: Any
    path: str
    url: str
    credentials: Any

    def listed(self, folder: str) -> list[str]:
        """Names in a folder, sorted; none where there is no folder."""
        try:
            found = self.fs.ls(f"{self.path}/{folder}", detail=False, refresh=True)
        except FileNotFoundError:
            return []
        return sorted(name for one in found if (name := one.rsplit("/", 1)[-1]) and not name.startswith("."))

    def read(self, name: str) -> bytes:
        found: bytes = self.fs.cat_file(f"{self.path}/{name}")
        return found

    def create(self, name: str, content: bytes) -> bool:
        """Put a whole file there at once; False where there is one of that name already."""
        path = f"{self.path}/{name}"
        if self.local:
            return _linked(Path(path), content)
        try:
            self.fs.pipe_file(path, content, mode="create")
        except FileExistsError:
            return False
        return True

    def put(self, name: str, content: bytes) -> None:
        """Put a whole file there, over what there was."""
        if self.local:
            half = Path(f"{self.path}/{name}.{secrets.token_hex(4)}")
            half.write_bytes(content)
            half.replace(f"{self.path}/{name}")
        else:
            self.fs.pipe_file(f"{self.path}/{name}", content)

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm_file(f"{self.path}/{name}")

    @property
    def local(self) -> bool:
        return "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,))


def _linked(path: Path, content: bytes) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    half.write_bytes(content)
    try:
        os.link(half, path)
    except FileExistsError:
        return False
    finally:
        half.unlink()
    return True


def placed(target: Target) -> Place:
    """The folder of the target's dataset. Raises BadInput where bucket_url or a package for it is missing."""
    from dlt.common.configuration import resolve_configuration
    from dlt.common.configuration.exceptions import ConfigFieldMissingException
    from dlt.common.exceptions import MissingDependencyException
    from dlt.common.storages.fsspec_filesystem import fsspec_from_config
    from dlt.destinations.impl.filesystem.configuration import FilesystemDestinationClientConfiguration

    try:
        config = resolve_configuration(
            FilesystemDestinationClientConfiguration()._bind_dataset_name(dataset_name=target.dataset),
            sections=("destination", "filesystem"),
        )
        fs, path = fsspec_from_config(config)
    except ConfigFieldMissingException as error:
        raise BadInput(
            f"A lake needs {', '.join(error.fields)}: put it under [destination.filesystem] in .dlt/config.toml "
            "(credentials in .dlt/secrets.toml), or into DESTINATION__FILESYSTEM__BUCKET_URL and …__CREDENTIALS__…"
        ) from error
    except (MissingDependencyException, ImportError) as error:
        kind = str(config.protocol)
        extra = "buildkite-elt[s3]" if kind == "s3" else f"dlt[{kind}]"
        raise BadInput(f"{config.bucket_url} needs packages that are not here: pip install '{extra}'") from error
    path = f"{path.rstrip('/')}/{target.dataset}"
    url = f"{path}" if config.is_local_filesystem else f"{str(config.bucket_url).rstrip('/')}/{target.dataset}"
    return Place(fs, path, url, config.credentials)


@dataclass(frozen=True)
class Change:
    """What of a table is to be written: `days` that differ, or all of it where `whole`; `every`: the days that it has.

    day: SQL of the day of a row. number: of this publish.
    """

    duck: duckdb.DuckDBPyConnection
    dataset: str
    table: str
    names: list[str]
    day: str
    days: list[str]
    every: list[str]
    whole: bool
    number: int

    @property
    def by_day(self) -> bool:
        return self.day != f"'{NO_DAY}'"

    @property
    def rows(self) -> int:
        """How many rows these days have."""
        sql = f"SELECT count(*) FROM {self.source} WHERE {self.day} IN ?"  # noqa: S608 - names are quoted
        return int(self.duck.execute(sql, [self.days or [""]]).fetchall()[0][0])

    @property
    def source(self) -> str:
        return f"{quoted(self.dataset)}.{quoted(self.table)}"

    def reader(self, days: list[str], *, with_day: bool = False) -> pa.RecordBatchReader:
        """The rows of these days, a batch at a time; with_day: and their DAY as the last column."""
        told = ", ".join(quoted(name) for name in self.names) + (f", {self.day} AS {DAY}" if with_day else "")
        order = f" ORDER BY {self.day}" if with_day else ""
        sql = f"SELECT {told} FROM {self.source} WHERE {self.day} IN ?{order}"  # noqa: S608
        return self.duck.cursor().sql(sql, params=[days or [""]]).to_arrow_reader(BATCH)


def batches(reader: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """What is read, some ten batches at a time."""
    import pyarrow as pa

    some: list[pa.RecordBatch] = []
    for batch in reader:
        some.append(batch)
        if len(some) == 10:
            yield pa.Table.from_batches(some)
            some = []
    if some:
        yield pa.Table.from_batches(some)
