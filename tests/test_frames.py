"""The file as pandas frames."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

import buildkite_elt
from buildkite_elt.database import DatabaseTrouble

ROWS = """
SELECT 1::BIGINT AS number, NULL::BIGINT AS none, TRUE AS blocked, NULL::BOOLEAN AS unknown, 2.5 AS price,
    'passed' AS build_state, 'x' AS text, TIMESTAMPTZ '2026-09-01 12:00:00+02' AS created_at
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "buildkite.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"CREATE SCHEMA ci; CREATE TABLE ci.builds AS {ROWS}")
    return path


def test_a_query_is_a_frame_with_the_right_types(file: Path) -> None:
    with buildkite_elt.connect(file) as warehouse:
        frame = warehouse.df("FROM builds WHERE number = ?", [1])
        assert warehouse.execute("SELECT count(*) FROM builds").fetchone() == (1,)
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert kinds.pop("created_at").startswith("datetime64[us, ")
    assert kinds == {
        "number": "Int64",
        "none": "Int64",
        "blocked": "boolean",
        "unknown": "boolean",
        "price": "float64",
        "build_state": "category",
        "text": kinds["text"],
    }
    assert frame["created_at"][0].isoformat() == "2026-09-01T10:00:00+00:00"
    assert frame["none"].isna().all()


def test_it_is_read_only_and_says_what_is_missing(file: Path) -> None:
    with buildkite_elt.connect(file) as warehouse, pytest.raises(duckdb.Error, match="read-only"):
        warehouse.execute("DELETE FROM builds")
    with pytest.raises(DatabaseTrouble, match="dataset"):
        buildkite_elt.connect(file, "other")
    with pytest.raises(DatabaseTrouble, match="demo"):
        buildkite_elt.connect(file.with_name("none.duckdb"))
