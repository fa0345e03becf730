"""Views by given rows and expected rows (tests/views/*.toml), and over the demo's world."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from buildkite_ci.catalog import catalog
from buildkite_elt import views

FOLDER = Path(__file__).parent / "views"
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
    """Expected rows name the columns that they look at; all rows of the view are among them."""
    with given(case["given"]) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        cursor = connection.execute(f"FROM {view}")
        names = [one[0] for one in cursor.description]
        found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    looked_at = {name for row in case["expected"] for name in row}
    assert looked_at <= {*names}
    told = [{name: plain(row[name]) for name in looked_at if row[name] is not None} for row in found]
    wanted = [{name: plain(value) for name, value in row.items()} for row in case["expected"]]
    assert sorted(told, key=repr_of) == sorted(wanted, key=repr_of)


def repr_of(row: Row) -> str:
    return repr(sorted(row.items()))


def plain(value: Any) -> Any:
    """Numbers to six digits, moments as text without a zone."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value.isoformat(sep=" ").removesuffix("+00:00") if hasattr(value, "isoformat") else value


@pytest.mark.parametrize("name", list(views.views()))
def test_every_view_reads_what_there_is_and_has_a_case(name: str) -> None:
    view = views.views()[name]
    assert view.reads <= {*catalog(), *views.views(), *views.DATA}
    assert view.without <= view.reads & {*catalog()}
    assert (FOLDER / f"{name}.toml").exists(), "given rows and expected rows are missing"
