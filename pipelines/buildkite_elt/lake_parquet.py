"""A lake's tables as Parquet: a file for each day of a table, TABLE/_day=2026-11-26/…, never changed, only replaced.

A file's name begins with the number of the publish that wrote it, so that what no manifest needs can be told from what
another publish is about to need.
"""

from __future__ import annotations

import secrets
from typing import Any

from .lake_store import DAY, Change, Place

NEEDS = ""


def write(place: Place, table: str, change: Change, at: dict[str, str] | None) -> dict[str, str]:
    """Write the days that changed; {day: its file, below the lake's folder}."""
    kept = {day: file for day, file in (at or {}).items() if day in change.every and not change.whole}
    for day in change.days:
        kept.pop(day, None)
        if day in change.every:
            folder = f"{table}/{DAY}={day}" if change.by_day else table
            kept[day] = f"{folder}/{change.number:010d}-{secrets.token_hex(8)}.parquet"
            _file(place, kept[day], change, day)
    return kept


def _file(place: Place, name: str, change: Change, day: str) -> None:
    import pyarrow.parquet as pq

    place.fs.makedirs(f"{place.path}/{name}".rsplit("/", 1)[0], exist_ok=True)
    reader = change.reader([day])
    with (
        place.fs.open(f"{place.path}/{name}", "wb") as file,
        pq.ParquetWriter(file, reader.schema, compression="zstd") as out,
    ):
        for batch in reader:
            out.write_batch(batch)


def files(place: Place, table: str, at: dict[str, str]) -> list[str]:
    """The paths of a table's files."""
    return [f"{place.path}/{name}" for name in at.values()]


def done(place: Place, tables: dict[str, Any], number: int) -> None:
    """Remove the files that the manifest of this number does not name, and no later one can."""
    named = {f"{place.path}/{name}" for at in tables.values() for name in at.values()}
    for path in place.fs.find(place.path):
        name = path.rsplit("/", 1)[-1]
        if name.endswith(".parquet") and path not in named and int(name.split("-")[0]) <= number:
            place.fs.rm_file(path)
