"""A lake's tables as Delta: days that changed are replaced in one commit; the manifest says which version counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .lake_store import DAY, Change, Place

if TYPE_CHECKING:
    from deltalake import DeltaTable

NEEDS = "deltalake"


def write(place: Place, table: str, change: Change, at: dict[str, int] | None) -> dict[str, int]:
    """One commit; the version that it made. What a publish that broke off has committed is undone first."""
    from deltalake import DeltaTable, write_deltalake

    url, options = f"{place.url}/{table}", settings(place)
    if at and (there := DeltaTable(url, storage_options=options)).version() != at["version"]:
        there.restore(at["version"])
    whole = at is None or change.whole or not change.by_day
    days = ", ".join(f"'{day}'" for day in change.days)
    rows = change.reader(change.every if whole else change.days, with_day=change.by_day)
    if whole:
        by = [DAY] if change.by_day else None
        write_deltalake(url, rows, mode="overwrite", schema_mode="overwrite", partition_by=by, storage_options=options)
    elif days:
        write_deltalake(
            url, rows, mode="overwrite", schema_mode="merge", predicate=f"{DAY} IN ({days})", storage_options=options
        )
    else:  # there are only new columns
        write_deltalake(url, rows, mode="append", schema_mode="merge", storage_options=options)
    return {"version": DeltaTable(url, storage_options=options).version()}


def settings(place: Place) -> dict[str, str]:
    """dlt's credentials as deltalake takes them."""
    options: dict[str, Any] = getattr(place.credentials, "to_object_store_rs_credentials", dict)()
    return {name: str(value) for name, value in options.items()}


def at_version(place: Place, table: str, at: dict[str, int]) -> DeltaTable:
    """The table as the manifest means it."""
    from deltalake import DeltaTable

    return DeltaTable(f"{place.url}/{table}", version=at["version"], storage_options=settings(place))


def files(place: Place, table: str, at: dict[str, int]) -> list[str]:
    """The paths of a table's files."""
    return [str(place.fs._strip_protocol(unquote(one))) for one in at_version(place, table, at).file_uris()]


def done(place: Place, tables: dict[str, Any], number: int) -> None:
    """Old versions stay readable, as Delta's own VACUUM leaves them."""
