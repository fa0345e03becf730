"""A lake's tables as Iceberg without a catalogue: the manifest says which metadata file of each table counts.

A publish makes new metadata beside the old; what broke off is named by no manifest. Each table's folder also has
version-hint.text and vN.metadata.json, by which readers without a catalogue find the newest.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

from .lake_store import DAY, Change, Place, batches

if TYPE_CHECKING:
    from pyiceberg.table import Table

NEEDS = "pyiceberg"


def write(place: Place, table: str, change: Change, at: dict[str, Any] | None) -> dict[str, Any]:
    """One transaction: the days that changed go, and come again. Where its metadata is then."""
    from pyiceberg.expressions import AlwaysTrue, In

    there = _known(place, table, change, None if change.whole else at)
    whole = at is None or change.whole or not change.by_day
    reader = change.reader(change.every if whole else change.days, with_day=change.by_day)
    with warnings.catch_warnings(), there.transaction() as commit:
        warnings.filterwarnings("ignore", "Delete operation did not match")  # these days are new
        with commit.update_schema() as shape:
            shape.union_by_name(reader.schema)
        if there.current_snapshot():
            commit.delete(AlwaysTrue() if whole else In(DAY, change.days))  # type: ignore[arg-type, call-arg]
        for some in batches(reader):
            commit.append(some)
    return {"metadata": there.metadata_location.removeprefix(place.url + "/"), "number": change.number}


def _known(place: Place, table: str, change: Change, at: dict[str, Any] | None) -> Table:
    """The table in a catalogue that lives as long as this call; made anew where nothing was published."""
    from pyiceberg.catalog.memory import InMemoryCatalog

    catalog = InMemoryCatalog("lake", warehouse=place.url, **settings(place))
    catalog.create_namespace("lake")
    if at:
        return catalog.register_table(("lake", table), f"{place.url}/{at['metadata']}")
    shape = change.reader([], with_day=change.by_day).schema
    made = catalog.create_table(("lake", table), shape, location=f"{place.url}/{table}")
    if change.by_day:
        with made.update_spec() as spec:
            spec.add_identity(DAY)
    return made


def settings(place: Place) -> dict[str, Any]:
    """dlt's credentials as pyiceberg takes them."""
    options: dict[str, Any] = getattr(place.credentials, "to_pyiceberg_fileio_config", dict)()
    return {name: value for name, value in options.items() if value is not None}


def at_metadata(place: Place, at: dict[str, Any]) -> Table:
    """The table as the manifest means it."""
    from pyiceberg.table import StaticTable

    logging.getLogger("pyiceberg").setLevel(logging.ERROR)
    return StaticTable.from_metadata(f"{place.url}/{at['metadata']}", settings(place))


def files(place: Place, table: str, at: dict[str, Any]) -> list[str]:
    """The paths of a table's files."""
    tasks = at_metadata(place, at).scan().plan_files()
    return [str(place.fs._strip_protocol(task.file.file_path)) for task in tasks]


def done(place: Place, tables: dict[str, dict[str, Any]], number: int) -> None:
    """Point readers without a catalogue to the metadata of the tables that this publish wrote."""
    for table, at in tables.items():
        if at["number"] == number:
            place.put(f"{table}/metadata/v{number}.metadata.json", place.read(at["metadata"]))
            place.put(f"{table}/metadata/version-hint.text", str(number).encode())
