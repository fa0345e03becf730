"""The tables of spark_rows.py as our lakes hold them: Delta and Iceberg by lake.FORMATS, published some days at a time.

Spark's own readers of both are jars, which come from elsewhere than Python's packages; so it is given the files that
the format's library names for the newest version, as any engine is that reads such a table in the end.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import duckdb
import fsspec

from buildkite_elt import lake
from buildkite_elt.lake_store import DAY, NO_DAY, Change, Place

Files = dict[str, list[str]]
AT_ONCE = 10
"""Days that one publish brings."""


def files(connection: duckdb.DuckDBPyConnection, tables: Path, form: str) -> Files:
    """{table: paths} in this format; a lake beside `tables` is made if none is there."""
    names = sorted(path.name for path in tables.iterdir())
    if form == "parquet":
        return {name: sorted(map(str, (tables / name).rglob("*.parquet"))) for name in names}
    path = str(tables.with_name(form))
    place = Place(fsspec.filesystem("file"), path, path, None)
    done = Path(place.path, "made.json")
    if not done.exists():
        shutil.rmtree(place.path, ignore_errors=True)
        Path(place.path).mkdir()
        made = {name: _published(connection, tables / name, form, place) for name in names}
        done.write_text(json.dumps(made), encoding="utf-8")
    made = json.loads(done.read_text(encoding="utf-8"))
    return {name: lake.FORMATS[form].files(place, name, at) for name, at in made.items()}


def _published(connection: duckdb.DuckDBPyConnection, folder: Path, form: str, place: Place) -> object:
    """Where the format keeps a table, after some publishes."""
    days = sorted(path.name.removeprefix(f"{DAY}=") for path in folder.iterdir() if path.is_dir()) or [NO_DAY]
    view, rows = f"laid.{folder.name}", f"read_parquet('{folder}/**/*.parquet', hive_types_autocast = false)"
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS laid; CREATE OR REPLACE VIEW {view} AS FROM {rows}")
    names = [row[0] for row in connection.execute(f"DESCRIBE {view}").fetchall() if row[0] != DAY]
    day, at = f"'{NO_DAY}'" if days == [NO_DAY] else DAY, None
    for begin in range(0, len(days), AT_ONCE):
        end = begin + AT_ONCE
        change = Change(connection, "laid", folder.name, names, day, days[begin:end], days[:end], False, begin)
        at = lake.FORMATS[form].write(place, folder.name, change, at)
    return at
