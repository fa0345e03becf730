"""A lake: a copy of the DuckDB file's dataset as Parquet, Delta or Iceberg, in a folder or a bucket.

A load goes into the DuckDB file as always; then each table's days that differ from what the lake holds are replaced
there. A manifest, made last and only where nobody else has made it, says what belongs together, so that a publish
that broke off is nothing at all. A machine without the file gets it back from there, dlt's own tables included.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from buildkite_ci.errors import BadInput

from . import database, lake_delta, lake_iceberg, lake_parquet
from .lake_store import NO_DAY, Change, Place, placed, quoted
from .warehouse import LoadFailed

if TYPE_CHECKING:
    import duckdb

    from .warehouse import Target

FORMATS: Mapping[str, Any] = {"parquet": lake_parquet, "delta": lake_delta, "iceberg": lake_iceberg}
"""Table format -> what writes (write, done) and reads (files) a table of it; needs: the package and our extra."""
MANIFESTS = "_manifests"
KEPT = 2
"""Manifests that stay: who has just read the one before the last may still look at it."""
TYPE = re.compile(r"[A-Z]+( [A-Z]+)*(\(\d+, ?\d+\))?")
MEMORY = "1GB"
"""What DuckDB may hold while it restores or publishes, before it spills to disk."""


@dataclass(frozen=True)
class Sheet:
    """A table as it is held: [name, type, whether never null] of each column; day -> print of its rows; and `at`, what
    its format keeps of where it is. A table that is not by day has the one day NO_DAY."""

    columns: list[list[Any]]
    days: dict[str, str]
    at: Any = None

    @property
    def names(self) -> list[str]:
        return [name for name, *_ in self.columns]

    def ddl(self, dataset: str, table: str) -> str:
        """What creates it. Nothing but names and types is taken from a lake, which others may write into."""
        if wrong := [kind for _, kind, _ in self.columns if not TYPE.fullmatch(kind)]:
            raise BadInput(f"The lake's manifest holds {wrong[0]!r} as a type of {table}: it is none of ours")
        told = (f"{quoted(name)} {kind}{' NOT NULL' if never else ''}" for name, kind, never in self.columns)
        return f"CREATE TABLE {quoted(dataset)}.{quoted(table)} ({', '.join(told)})"


@dataclass(frozen=True)
class Manifest:
    """What a publish left: `loads` holds the newest load of each dlt schema. Number 0: nothing was published yet."""

    number: int = 0
    table_format: str = ""
    loads: dict[str, str] = field(default_factory=dict)
    tables: dict[str, Sheet] = field(default_factory=dict)


@contextlib.contextmanager
def copied(target: Target) -> Iterator[dict[str, int]]:
    """The DuckDB file restored from the lake where it is missing, and what changed in it published afterwards, also
    where the load was stopped or failed. Yields what will hold {table: rows that were written}.

    Raises BadInput where the lake has loads that the file has not, or is of another format.
    """
    published: dict[str, int] = {}
    if not target.lake:
        yield published
        return
    with told(target):
        restore(target)
    try:
        yield published
    except BaseException:
        with contextlib.suppress(Exception):  # what failed first is told; the next load publishes
            published |= publish(target)
        raise
    with told(target):
        published |= publish(target)


@contextlib.contextmanager
def told(target: Target) -> Iterator[None]:
    """What a store, deltalake or pyiceberg raise, as one sentence."""
    import duckdb

    from .warehouse import named

    try:
        with named(target):
            yield
    except LoadFailed as error:
        cause = error.__cause__
        if cause is None or isinstance(cause, duckdb.Error) or "dlt." in type(cause).__module__:
            raise
        first = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise LoadFailed(
            f"The lake could not be read or written: {first}. {target.database} has all that was loaded; "
            "the next load publishes it"
        ) from cause


def needed(table_format: str) -> None:
    """Raises BadInput where the format is unknown, or its package is not here."""
    import importlib.util

    if table_format not in FORMATS:
        raise BadInput(f"--table-format does not know {table_format!r}. There are {', '.join(FORMATS)}.")
    package = FORMATS[table_format].NEEDS
    if package and not importlib.util.find_spec(package):
        raise BadInput(f"{table_format} needs a package that is not here: pip install 'buildkite-elt[{table_format}]'")


def manifest(place: Place) -> Manifest:
    """The lake's newest."""
    names = place.listed(MANIFESTS)
    if not names:
        return Manifest()
    found = json.loads(place.read(f"{MANIFESTS}/{names[-1]}"))
    tables = {name: Sheet(**one) for name, one in found["tables"].items()}
    return Manifest(found["number"], found["table_format"], found["loads"], tables)


def restore(target: Target) -> bool:
    """Make the DuckDB file from the lake, views included, where it is missing and the lake holds anything; True then.

    Raises BadInput where the file is there and lacks loads that the lake has.
    """
    place = placed(target)
    last = manifest(place)
    if not last.number:
        return False
    if last.table_format != target.lake:
        raise BadInput(f"The lake in {place.url} is of {last.table_format}: say --table-format {last.table_format}")
    if target.database.exists():
        with contextlib.closing(database.connect(target.database)) as duck:
            _descends(duck, target, last, place)
        return False
    half = target.database.with_name(target.database.name + ".restored")
    half.unlink(missing_ok=True)
    database.prepare(half)
    with contextlib.closing(database.connect(half, read_only=False)) as duck:
        duck.execute(f"SET memory_limit = '{MEMORY}'; CREATE SCHEMA {quoted(target.dataset)}")
        for name, sheet in last.tables.items():
            duck.execute(sheet.ddl(target.dataset, name))
            rows = _rows(duck, place, last, name, target.dataset)  # noqa: F841 - DuckDB finds it by its name
            told = ", ".join(quoted(one) for one in sheet.names)
            duck.execute(f"INSERT INTO {quoted(target.dataset)}.{quoted(name)} ({told}) SELECT {told} FROM rows")  # noqa: S608
        _views(duck, target.dataset, last)
    half.replace(target.database)
    return True


def session(target: Target) -> duckdb.DuckDBPyConnection:
    """An empty DuckDB in memory whose tables are the lake's files, read in place, with all views over them.

    It stays with what the lake held when it was made, whatever the target's format. Raises BadInput where nothing was
    published.
    """
    import duckdb

    place = placed(target)
    last = manifest(place)
    if not last.number:
        raise BadInput(f"There is no lake in {place.url} yet: `buildkite-elt load --destination filesystem` makes it")
    needed(last.table_format)
    duck, dataset = duckdb.connect(), quoted(target.dataset)
    duck.execute(f"SET TimeZone = 'UTC'; CREATE SCHEMA shapes; CREATE SCHEMA {dataset}")
    for name, sheet in last.tables.items():
        duck.execute(sheet.ddl("shapes", name))
        duck.register(f"lake_{name}", _rows(duck, place, last, name, "shapes"))
        told = ", ".join(f"CAST({quoted(one)} AS {kind}) AS {quoted(one)}" for one, kind, _ in sheet.columns)
        duck.execute(f"CREATE VIEW {dataset}.{quoted(name)} AS SELECT {told} FROM {quoted(f'lake_{name}')}")  # noqa: S608
    duck.execute("DROP SCHEMA shapes CASCADE")
    _views(duck, target.dataset, last)
    duck.execute(f"SET schema = '{target.dataset}'")
    return duck


def _rows(duck: duckdb.DuckDBPyConnection, place: Place, last: Manifest, table: str, schema: str) -> Any:
    """A table's files as an Arrow dataset of the columns that the DuckDB table of that schema has."""
    import pyarrow.dataset as ds

    shape = duck.sql(f"FROM {quoted(schema)}.{quoted(table)} LIMIT 0").to_arrow_table().schema
    files = FORMATS[last.table_format].files(place, table, last.tables[table].at)
    return ds.dataset(files, schema=shape, filesystem=place.fs, format="parquet")


def _views(duck: duckdb.DuckDBPyConnection, dataset: str, last: Manifest) -> None:
    from . import views

    for name, texts in views.statements(dataset, last.tables):
        del name
        for text in texts:
            duck.execute(text)


def publish(target: Target) -> dict[str, int]:
    """Bring the lake to what the DuckDB file holds: {table: rows that were written}; {} where nothing changed.

    Raises BadInput where the lake has loads that the file has not; LoadFailed where somebody else published meanwhile.
    """
    place, written = placed(target), {}
    if not target.database.exists():
        return {}
    last = manifest(place)
    form = FORMATS[target.lake]
    with contextlib.closing(database.connect(target.database)) as duck:
        duck.execute(f"SET memory_limit = '{MEMORY}'")
        _descends(duck, target, last, place)
        tables = held(duck, target.dataset)
        number = last.number + 1
        for name, sheet in tables.items():
            before = last.tables.get(name)
            change = _change(duck, target.dataset, name, sheet, before, number)
            at = before.at if before else None
            if change:
                at = form.write(place, name, change, at)
                written[name] = change.rows
            tables[name] = Sheet(sheet.columns, sheet.days, at)
        if not written and tables.keys() == last.tables.keys():
            return {}
        now = Manifest(number, target.lake, _loads(duck, target.dataset), tables)
    text = json.dumps({**vars(now), "tables": {name: vars(one) for name, one in tables.items()}, **_stamp()})
    if not place.create(f"{MANIFESTS}/{number:010d}.json", text.encode()):
        raise LoadFailed(
            f"Somebody else published into {place.url} meanwhile, and nothing of that was replaced: move "
            f"{target.database} away and load again, which restores it from there"
        )
    form.done(place, {name: one.at for name, one in tables.items()}, number)
    for old in place.listed(MANIFESTS)[:-KEPT]:
        place.remove(f"{MANIFESTS}/{old}")
    return written


def _stamp() -> dict[str, str]:
    return {"published_at": datetime.now(UTC).isoformat()}


def _change(
    duck: duckdb.DuckDBPyConnection, dataset: str, table: str, sheet: Sheet, before: Sheet | None, number: int
) -> Change | None:
    """What of a table has to be written anew: the days whose print differs, or all where its columns are others."""
    grown = before is not None and sheet.columns[: len(before.columns)] == before.columns
    same = before.days if before and grown else {}
    days = {day for day in sheet.days.keys() | same.keys() if sheet.days.get(day) != same.get(day)}
    if before and grown and not days and sheet.columns == before.columns:
        return None
    return Change(
        duck, dataset, table, sheet.names, day_of(table, sheet.names), sorted(days), [*sheet.days], not grown, number
    )


def held(duck: duckdb.DuckDBPyConnection, dataset: str) -> dict[str, Sheet]:
    """Every table of the dataset as it is now. A print is the number of its rows and a sum of hashes of what tells
    that a row changed: its key, the load that wrote it and when it was retired; where no load is told, all of it."""
    from buildkite_ci.catalog import catalog

    sql = (
        "SELECT table_name, list([column_name, data_type, CAST(is_nullable AS VARCHAR)] ORDER BY column_index) "
        "FROM duckdb_columns() JOIN duckdb_tables() USING (table_oid, schema_name, table_name) "
        "WHERE schema_name = ? GROUP BY ALL ORDER BY ALL"
    )
    found = {}
    for table, told in duck.execute(sql, [dataset]).fetchall():
        columns = [[name, kind, nullable == "false"] for name, kind, nullable in told]
        names = [name for name, *_ in columns]
        key = catalog()[table].key if table in catalog() and "_dlt_load_id" in names else names
        of = {*key, "_dlt_load_id", "_dlt_valid_from", "_dlt_valid_to"} & {*names}
        hashed = ", ".join(quoted(name) for name in names if name in of)
        day = day_of(table, names)
        rows = duck.execute(
            f"SELECT {day}, count(*), sum(hash({hashed})) FROM {quoted(dataset)}.{quoted(table)} GROUP BY 1 ORDER BY 1"  # noqa: S608
        )
        found[table] = Sheet(columns, {one: f"{count}:{total}" for one, count, total in rows.fetchall()})
    return found


def day_of(table: str, names: list[str]) -> str:
    """SQL of the day under which a row lies: when it was created, or else loaded. Snapshots are written whole."""
    from buildkite_ci.catalog import catalog
    from buildkite_ci.table import Rest

    declared = catalog().get(table)
    if declared is None or declared.load in ("scd2", "replace"):
        return f"'{NO_DAY}'"
    listing = catalog()[declared.family].fetch
    if isinstance(listing, Rest) and not listing.since:
        return f"'{NO_DAY}'"
    if "created_at" in names:
        return f"coalesce(strftime(created_at, '%Y-%m-%d'), '{NO_DAY}')"
    if "_dlt_load_id" in names:
        return "strftime(to_timestamp(CAST(_dlt_load_id AS DOUBLE)), '%Y-%m-%d')"
    return f"'{NO_DAY}'"


def _loads(duck: duckdb.DuckDBPyConnection, dataset: str) -> dict[str, str]:
    sql = f"SELECT schema_name, max(load_id) FROM {quoted(dataset)}._dlt_loads GROUP BY ALL ORDER BY ALL"  # noqa: S608
    return dict(duck.execute(sql).fetchall()) if _there(duck, dataset) else {}


def _there(duck: duckdb.DuckDBPyConnection, dataset: str) -> bool:
    sql = "SELECT count(*) FROM duckdb_tables() WHERE schema_name = ? AND table_name = '_dlt_loads'"
    return bool(duck.execute(sql, [dataset]).fetchall()[0][0])


def _descends(duck: duckdb.DuckDBPyConnection, target: Target, last: Manifest, place: Place) -> None:
    """Raise BadInput where the file lacks a load that the lake has: to publish it would undo that load."""
    mine: set[str] = set()
    if _there(duck, target.dataset):
        mine = {one for (one,) in duck.execute(f"SELECT load_id FROM {quoted(target.dataset)}._dlt_loads").fetchall()}  # noqa: S608
    if not {*last.loads.values()} <= mine:
        raise BadInput(
            f"The lake in {place.url} has loads that {target.database} has not: move that file away and load again, "
            "which restores it from there"
        )
