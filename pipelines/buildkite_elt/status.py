"""Reading the file: how each table stands, and anybody's SQL. Nothing here writes into it."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildkite_ci.catalog import catalog
from buildkite_ci.errors import BadInput

from . import show
from .database import DatabaseTrouble, connect

if TYPE_CHECKING:
    import duckdb

NEWEST = ("created_at", "observed_at", "last_seen_at", "_dlt_valid_from")
"""What the newest row of a table is known by: the first of these that it has."""


def quoted(name: str) -> str:
    """A name as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def opened(database: Path, dataset: str) -> duckdb.DuckDBPyConnection:
    """The file, read-only, with the dataset's tables known by their bare names."""
    connection = connect(database)
    found = connection.execute("SELECT schema_name FROM duckdb_schemas() WHERE NOT internal ORDER BY ALL").fetchall()
    names = [name for (name,) in found if not name.endswith("_staging") and name != "main"]
    if dataset not in names:
        connection.close()
        there = f"it holds {', '.join(names)}" if names else "nothing was loaded into it"
        raise DatabaseTrouble(f"{database} has no dataset {dataset!r}: {there}")
    connection.execute(f"SET schema = '{dataset}'")
    return connection


def tables(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """The dataset's tables -> their columns, without dlt's own tables."""
    sql = (
        "SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns() "
        "JOIN duckdb_tables() USING (database_oid, schema_oid, table_oid, schema_name, table_name) "
        "WHERE schema_name = current_schema() AND NOT starts_with(table_name, '_dlt') GROUP BY ALL ORDER BY ALL"
    )
    return dict(connection.execute(sql).fetchall())


def status(
    connection: duckdb.DuckDBPyConnection, now: datetime | None = None, wanted: Collection[str] = ()
) -> list[dict[str, Any]]:
    """A row for each table, or each of `wanted`: `rows` (of a history, those that are current), `newest`, `loaded_at`
    (the last load that wrote into it: one that found nothing changed does not), `read_at` (when it was last read to its
    end, whether anything had changed or not; of several organizations, the one that it is longest ago of, which then is
    `organization`) and `age_seconds` (since it was read, or, where no load keeps books, written)."""
    now, found, there = now or datetime.now(UTC), [], tables(connection)
    reads = _reads(connection) if "sync_runs" in there else {}
    for name, columns in there.items():
        if wanted and name not in wanted:
            continue
        where = " WHERE _dlt_valid_to IS NULL" if "_dlt_valid_to" in columns else ""
        newest = next((f"max({column})" for column in NEWEST if column in columns), "NULL::TIMESTAMPTZ")
        loaded = "max(_dlt_load_id)" if "_dlt_load_id" in columns else "NULL"
        rows, last, load_id = _one(connection, f"SELECT count(*), {newest}, {loaded} FROM {quoted(name)}{where}")  # noqa: S608
        (loaded_at,) = _one(connection, "SELECT max(inserted_at) FROM _dlt_loads WHERE load_id = ?", load_id)
        read_at, organization = reads.get(name, (None, None))
        at = read_at or loaded_at
        age = (now - at).total_seconds() if at else None
        one = {"table": name, "rows": rows, "newest": last, "loaded_at": loaded_at, "read_at": read_at}
        found.append(one | {"age_seconds": age, "organization": organization})
    return found


READ = """
SELECT table_name, min(read_at), CASE WHEN count(*) > 1 THEN arg_min(organization_slug, read_at) END FROM (
    SELECT table_name, organization_slug, max(finished_at) AS read_at FROM sync_runs
    WHERE outcome = 'loaded' OR (outcome = 'waiting' AND rows > 0) GROUP BY ALL
) GROUP BY ALL
"""
"""When each table was last read. A load that a budget ended reads what is new and what changed before what is old."""


def _reads(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[datetime, str]]:
    return {table: (at, organization) for table, at, organization in connection.execute(READ).fetchall()}


def old(found: list[dict[str, Any]], most: float, named: Collection[str] = ()) -> dict[str, str]:
    """{table: how old} of those that were read longer than `most` seconds ago: of `named`, those that were never read
    too; of none, the tables that each load asks for, as far as some load has read them."""
    ages = {one["table"]: one["age_seconds"] for one in found}
    where = {one["table"]: f" in {one['organization']}" if one["organization"] else "" for one in found}
    read = [name for name, table in catalog().items() if table.by_default and ages.get(name) is not None]
    told = {}
    for name in named or read or ("builds",):
        age = ages.get(name)
        if age is None or age > most:
            told[name] = "never" if age is None else f"{_ago(age)} ago{where[name]}"
    return told


def last_load(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    """When the last load of anything was done."""
    moment: datetime | None = _one(connection, "SELECT max(inserted_at) FROM _dlt_loads")[0]
    return moment


def _one(connection: duckdb.DuckDBPyConnection, sql: str, *values: Any) -> tuple[Any, ...]:
    row = connection.execute(sql, list(values)).fetchone()
    return row if row is not None else (None,)


def tell(found: list[dict[str, Any]], last: datetime | None, now: datetime | None = None) -> None:
    """`status` for people."""
    shown = ("table", "rows", "newest", "loaded_at", "read_at")
    rows = [[*(one[name] for name in shown), _ago(one["age_seconds"])] for one in found]
    show.table(("table", "rows", "newest (UTC)", "last written (UTC)", "last read (UTC)", "age"), rows)
    if last:
        show.say(f"The last load was done {_ago(((now or datetime.now(UTC)) - last).total_seconds())} ago")


def _ago(seconds: float | None) -> str:
    return "" if seconds is None else show.span(max(seconds, 0))


@dataclass(frozen=True)
class Result:
    """What one statement gave; `more` says that there are rows beyond these."""

    names: list[str]
    rows: list[tuple[Any, ...]]
    more: bool


def run(connection: duckdb.DuckDBPyConnection, sql: str, at_most: int | None = None) -> Iterator[Result]:
    """Each statement's rows, `at_most` of them."""
    for statement in connection.extract_statements(sql):
        cursor = connection.execute(statement)
        names = _distinct(one[0] for one in cursor.description or ())
        rows = cursor.fetchall() if at_most is None else cursor.fetchmany(at_most + 1)
        yield Result(names, rows[:at_most], at_most is not None and len(rows) > at_most)


def write(connection: duckdb.DuckDBPyConnection, sql: str, file: Path) -> None:
    """One SELECT's rows as a Parquet file, told in a line. BadInput for anything else."""
    import duckdb

    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type is not duckdb.StatementType.SELECT:
        raise BadInput("--parquet takes one SELECT")
    rows = connection.sql(sql)
    rows.write_parquet(str(file), compression="zstd")
    (count,) = _one(connection, "SELECT count(*) FROM read_parquet(?)", str(file))
    show.say(f"{count:,} rows are in {file}")


def tell_results(results: Iterable[Result], how: str = "") -> None:
    """Results for people, or as "csv" (a blank line between statements), or as "json": a list of rows, of several
    statements a list of such lists."""
    if how == "json":
        told = [[dict(zip(one.names, row, strict=True)) for row in one.rows] for one in results]
        show.as_json(told[0] if len(told) == 1 else told)
        return
    for number, one in enumerate(results):
        if how == "csv":
            sys.stdout.write("\n" if number else "")
            show.as_csv(one.names, one.rows)
            continue
        cut = show.table(one.names, one.rows, cut=show.LONGEST)
        if one.more:
            show.say(f"Only the first {len(one.rows)} rows; --rows shows more, --json and --csv all")
        if cut:
            show.say(f"Values are cut at {show.LONGEST} characters; --json and --csv have them whole")


def _distinct(names: Iterable[str]) -> list[str]:
    """Names told apart: a, b, a -> a, b, a_2."""
    found: list[str] = []
    for name in names:
        number, distinct = 1, name
        while distinct in found:
            number += 1
            distinct = f"{name}_{number}"
        found.append(distinct)
    return found
