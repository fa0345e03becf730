"""The views in PostgreSQL: of the same rows the same, in any zone, in a server of the machine's own package."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
import sqlglot

from buildkite_ci.catalog import catalog
from buildkite_elt import views
from buildkite_elt.views import engines
from postgres import Server
from test_views import ZONES, Row, assert_expected, cases, plain, repr_of, rows_of, shown

KINDS = {
    "bigint": "bigint",
    "double": "double precision",
    "bool": "boolean",
    "timestamp": "timestamptz",
    "json": "jsonb",
}
"""A column's type, as dlt makes it; all others are varchar."""
SAME = {
    "BIGINT": {"bigint", "integer", "numeric"},
    "BOOLEAN": {"boolean"},
    "DOUBLE": {"double precision"},
    "HUGEINT": {"bigint", "numeric"},
    "INTEGER": {"integer"},
    "JSON": {"jsonb"},
    "TIMESTAMP WITH TIME ZONE": {"timestamp with time zone"},
    "TIMESTAMP": {"timestamp without time zone"},
    "VARCHAR": {"character varying", "text"},
}
"""What a type of DuckDB may be here."""
Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def connection(postgres: Server) -> Iterator[Connection]:
    """An empty dataset `ci`; what is made in it is gone afterwards."""
    with psycopg.connect(postgres.url) as one:
        run(one, "CREATE SCHEMA ci; SET LOCAL search_path = ci; SET LOCAL TimeZone = 'America/New_York'")
        yield one
        one.rollback()


def run(connection: Connection, text: str) -> psycopg.Cursor[tuple[Any, ...]]:
    return connection.execute(text.encode())


def given(connection: Connection, tables: dict[str, list[Row]]) -> None:
    """Tables with these rows, and the views over them."""
    for name in tables.keys() - views.DATA.keys():
        make(connection, name)
        insert(connection, name, tables[name])
    create(connection, tables)
    for name in views.DATA.keys() & tables.keys():
        run(connection, f"DELETE FROM {name}")
        insert(connection, name, tables[name])


def make(connection: Connection, name: str) -> None:
    """An empty table of the catalogue, as dlt makes it."""
    kinds = {column.name: KINDS.get(column.type, "varchar") for column in catalog()[name].all_columns}
    if catalog()[name].load == "scd2":
        kinds |= {"_dlt_valid_from": "timestamptz", "_dlt_valid_to": "timestamptz"}
    columns = ", ".join(f'"{column}" {kind}' for column, kind in kinds.items())
    run(connection, f"CREATE TABLE {name} ({columns})")


def create(connection: Connection, there: Iterable[str]) -> None:
    assert views.create(lambda text: run(connection, text), "ci", there, {}, "postgres") == {}


def insert(connection: Connection, name: str, rows: list[Row]) -> None:
    for row in rows:
        columns, marks = ", ".join(f'"{column}"' for column in row), ", ".join(["%s"] * len(row))
        connection.execute(f"INSERT INTO {name} ({columns}) VALUES ({marks})".encode(), list(row.values()))


@pytest.mark.parametrize(("view", "case"), list(cases()))
def test_given_rows_become_expected_rows(connection: Connection, view: str, case: Row) -> None:
    given(connection, case["given"])
    for zone in ZONES:
        run(connection, f"SET LOCAL TimeZone = '{zone}'")
        assert_expected(view, case, rows_of(run(connection, f"SELECT * FROM {view}")), zone)


@pytest.mark.slow
def test_the_demos_rows_are_those_of_duckdb(connection: Connection, demo_file: Path) -> None:
    """Every column of every row of every view, over the demo's tables."""
    with duckdb.connect(str(demo_file), read_only=True) as duck:
        duck.execute("SET TimeZone = 'UTC'; SET schema = 'ci'")
        there = {name for (name,) in duck.execute("SELECT table_name FROM duckdb_tables()").fetchall()} & {*catalog()}
        for name in there:
            copy(connection, name, duck.execute(f"FROM {name}"))
        create(connection, there)
        run(connection, "ANALYZE")
        for name in [name for name, _ in views.statements("ci", there)]:
            assert_same(rows_of(run(connection, f"SELECT * FROM {name}")), rows_of(duck.execute(f"FROM {name}")), name)


def copy(connection: Connection, name: str, rows: duckdb.DuckDBPyConnection) -> None:
    make(connection, name)
    columns = [column.name for column in connection.execute(f"SELECT * FROM {name}".encode()).description or ()]
    with connection.cursor().copy(f"COPY {name} FROM STDIN".encode()) as into:
        for row in rows_of(rows):
            into.write_row([row[column] for column in columns])


def assert_same(here: list[Row], there: list[Row], name: str) -> None:
    for row, other in zip(told(here), told(there), strict=True):
        assert {column for column in other if not same(row[column], other[column])} == set(), (name, row, other)


def told(rows: list[Row]) -> list[Row]:
    """In order of all but the numbers, whose last digits differ."""
    return sorted(({name: plain(value) for name, value in row.items()} for row in rows), key=place)


def place(row: Row) -> tuple[str, list[float]]:
    numbers = {name: value for name, value in row.items() if isinstance(value, float)}
    return repr_of({name: value for name, value in row.items() if name not in numbers}), [*numbers.values()]


def same(one: Any, other: Any) -> bool:
    return one == other or (isinstance(one, float) and math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-9))


def test_every_view_is_made_with_the_columns_and_types_of_duckdb(connection: Connection) -> None:
    given(connection, {name: [] for name in catalog()})
    asked = (
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position"
    )
    for name in views.views():
        here = connection.execute(asked, [name]).fetchall()
        assert [column for column, _ in here] == [column for column, _ in shown()[name]]
        for (column, kind), (_, wanted) in zip(here, shown()[name], strict=True):
            assert kind in SAME[wanted], f"{name}.{column} is {kind}, not {wanted}"


WORDS = (
    """SELECT x, avg(y) AS y, sum(y) / count(*) AS z FROM (VALUES ('a', 1), ('a', 2)) AS t (x, y) GROUP BY ALL""",
    """SELECT unnest(CAST(CAST('["a", "b"]' AS JSON) AS TEXT[])) AS text""",
    """SELECT unnest(generate_series(TIMESTAMP '2026-09-01', TIMESTAMP '2026-09-02', INTERVAL 12 HOUR)) AS half_day""",
    """SELECT (CAST('[{"name": "a"}]' AS JSON) -> 0) ->> 'name' AS name, CAST('[[1]]' AS JSON) -> i AS list
        FROM (VALUES (0)) AS t (i)""",
    """SELECT json_array_length(x) AS length FROM (VALUES (CAST('[1, 2]' AS JSON)), ('{"a": 1}'), (NULL)) AS t (x)""",
    """SELECT TRY_CAST(x AS INTEGER) AS number FROM (VALUES ('12'), ('-1'), ('3-beta'), (''), (NULL)) AS t (x)""",
)


@pytest.mark.parametrize("query", WORDS)
def test_a_word_of_duckdbs_means_the_same(connection: Connection, query: str) -> None:
    written = engines.portable(sqlglot.parse_one(query, read="duckdb"), "postgres").sql("postgres")
    with duckdb.connect() as duck:
        assert_same(rows_of(run(connection, written)), rows_of(duck.execute(query)), written)


def test_what_is_not_written_for_postgresql_yet_is_told() -> None:
    with pytest.raises(ValueError, match="TRY_CAST to DOUBLE"):
        engines.portable(sqlglot.parse_one("SELECT TRY_CAST(x AS DOUBLE)", read="duckdb"), "postgres")


OLDER = """CREATE TABLE ci.builds (organization_slug varchar, id varchar, last_seen_at timestamptz);
    CREATE VIEW ci.as_of AS SELECT 1 AS other, 'acme' AS organization_slug;
    CREATE VIEW ci.pipeline_activity AS SELECT other FROM ci.as_of"""
"""Views of an earlier version, with other columns."""


@pytest.fixture
def committed(postgres: Server) -> Iterator[Connection]:
    """Each statement by itself, as dlt sends them."""
    with psycopg.connect(postgres.url, autocommit=True) as one:
        yield one
        run(one, "DROP SCHEMA IF EXISTS ci, mine CASCADE")


def test_a_view_of_other_columns_takes_an_older_ones_place(committed: Connection) -> None:
    make_older(committed)
    assert "does not exist" in made_anew(committed)["trigger_roots"]
    assert committed.execute("SELECT organization_slug, as_of FROM ci.as_of").fetchall() == []
    # It read the older one, and its tables are not there any more.
    assert committed.execute("SELECT to_regclass('ci.pipeline_activity')").fetchall() == [(None,)]


def test_somebodys_own_view_is_not_dropped(committed: Connection) -> None:
    make_older(committed)
    run(committed, "CREATE SCHEMA mine; CREATE VIEW mine.newest AS SELECT other FROM ci.as_of")
    failed = made_anew(committed)
    assert "view mine.newest depends on view ci.as_of" in failed["as_of"]
    assert committed.execute("SELECT other FROM mine.newest").fetchall() == [(1,)]
    assert committed.execute("SELECT other FROM ci.pipeline_activity").fetchall() == [(1,)]


def make_older(connection: Connection) -> None:
    run(connection, f"CREATE SCHEMA ci; {OLDER}")


def made_anew(connection: Connection) -> dict[str, str]:
    return views.create(lambda text: run(connection, text), "ci", ["builds"], {}, "postgres")
