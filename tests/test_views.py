"""Views by given rows and expected rows (tests/views/*.toml), and over the demo's world."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Container, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest

from buildkite_ci.catalog import catalog
from buildkite_ci.errors import BadInput
from buildkite_elt import view_docs, views

FOLDER = Path(__file__).parent / "views"
ZONES = ("UTC", "America/New_York")
Row = dict[str, Any]


def cases() -> Iterator[Any]:
    for file in sorted(FOLDER.glob("*.toml")):
        for case in tomllib.loads(file.read_text(encoding="utf-8"))["case"]:
            yield pytest.param(file.stem, case, id=f"{file.stem}: {case['name']}")


def given(tables: dict[str, list[Row]]) -> duckdb.DuckDBPyConnection:
    """Tables of the catalogue with these rows (what a row does not say is null), and the views over them."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'America/New_York'; CREATE SCHEMA ci; USE ci")
    for name, rows in tables.items():
        if name in views.DATA:
            continue
        connection.execute(f"CREATE TABLE {name} AS {views.empty(name)}")
        insert(connection, name, rows)
    views.create(connection.execute, "ci", {*tables}, {})
    for name in views.DATA.keys() & tables.keys():
        connection.execute(f"DELETE FROM {name}")
        insert(connection, name, tables[name])
    return connection


def insert(connection: duckdb.DuckDBPyConnection, name: str, rows: list[Row]) -> None:
    for row in rows:
        marks = ", ".join("?" * len(row))
        columns = ", ".join(f'"{column}"' for column in row)
        connection.execute(f"INSERT INTO {name} ({columns}) VALUES ({marks})", list(row.values()))


@pytest.mark.parametrize(("view", "case"), list(cases()))
def test_given_rows_become_expected_rows(view: str, case: Row) -> None:
    """Expected rows name the columns that they look at; all rows of the view are among them, in whatever zone."""
    with given(case["given"]) as connection:
        for zone in ZONES:
            connection.execute(f"SET TimeZone = '{zone}'")
            assert_expected(view, case, rows_of(connection.execute(f"FROM {view}")), zone)


def rows_of(cursor: Any) -> list[Row]:
    """Rows by column, of a cursor of DuckDB or PostgreSQL."""
    names = [one[0] for one in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def assert_expected(view: str, case: Row, found: list[Row], zone: str) -> None:
    wanted = [{name: plain(value) for name, value in row.items()} for row in case["expected"]]
    looked_at = {name for row in wanted for name in row}
    told = [{name: plain(row[name]) for name in looked_at if row[name] is not None} for row in found]
    assert sorted(told, key=repr_of) == sorted(wanted, key=repr_of), zone
    # What no given row says, such as an organization, is null in all of them.
    unsaid = {column for row in found for column in row if all(other[column] is None for other in found)}
    assert_key_holds(view, found, unsaid)


def assert_key_holds(name: str, rows: list[Row], unsaid: Container[str] = ()) -> None:
    """No two rows share the view's key, and only its nullable columns are null in it."""
    view = views.views()[name]
    keys = [tuple(row[column] for column in view.key) for row in rows]
    assert not view.key or len({*keys}) == len(keys), f"{name}: its key {view.key} is in two rows"
    nulls = {column for row in rows for column in view.key if row[column] is None and column not in unsaid}
    assert nulls <= view.nullable, f"{name}: null in its key, so write {nulls - view.nullable} with a ?"


@pytest.mark.slow
def test_the_keys_hold_over_the_demo(demo_file: Path) -> None:
    with duckdb.connect(str(demo_file), read_only=True) as connection:
        connection.execute("SET schema = 'ci'")
        made = connection.execute("SELECT view_name FROM duckdb_views() WHERE schema_name = 'ci'").fetchall()
        for name in {name for (name,) in made} & views.views().keys():
            columns = [f'"{column}"' for column in views.views()[name].key]
            assert_key_holds(name, rows_of(connection.execute(f"SELECT {', '.join(columns) or '1'} FROM {name}")))


def repr_of(row: Row) -> str:
    return repr(sorted(row.items()))


def plain(value: Any) -> Any:
    """Numbers to six digits, moments as text without a zone, JSON in one way of writing it."""
    if isinstance(value, str) and value.startswith(("[", "{")):
        with suppress(ValueError):
            value = json.loads(value)
    if isinstance(value, list | dict):
        return json.dumps(value, sort_keys=True)
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float | Decimal):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, datetime) and value.tzinfo:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return value.isoformat(sep=" ") if hasattr(value, "isoformat") else value


@cache
def shown() -> dict[str, list[tuple[str, str]]]:
    return view_docs.columns()


@pytest.mark.parametrize("name", sorted(views.views()))
def test_every_view_reads_what_there_is_and_has_a_case(name: str) -> None:
    view = views.views()[name]
    assert view.reads <= {*catalog(), *views.views(), *views.DATA}
    assert view.without <= view.reads & {*catalog()}
    assert {*view.key} <= {column for column, _ in shown()[name]}
    assert view.nullable <= {*view.key}
    assert (FOLDER / f"{name}.toml").exists(), "given rows and expected rows are missing"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("queue,usd\nfast,1\n", "its first line should be queue_key,usd_per_hour"),
        ("queue_key,usd_per_hour\nfast,cheap\n", "where a number should be"),
        ("queue_key,usd_per_hour\nfast,1\nfast,2\n", "'fast' stands there twice"),
        ("queue_key,usd_per_hour\nfast\n", "another number of values"),
    ],
)
def test_a_users_prices_that_cannot_be_meant(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "prices.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=told):
        list(views.data("ci", {"price_list": str(file)}))


def test_a_users_prices_take_the_place_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_text("queue_key,usd_per_hour\nit's fast,1.5\n", encoding="utf-8")
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA ci")
        for _ in range(2):
            assert views.create(connection.execute, "ci", (), {"price_list": str(file)}) == {}
        assert connection.execute("FROM ci.price_list").fetchall() == [("it's fast", 1.5)]


def test_a_view_of_columns_that_are_not_there_is_told_and_the_others_are_made() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA ci; CREATE TABLE ci.builds (id VARCHAR)")
        failed = views.create(connection.execute, "ci", {"builds"}, {})
    assert "organization_slug" in failed["as_of"]
