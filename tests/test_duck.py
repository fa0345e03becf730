"""Rows on their short way into DuckDB: what is there after each package, against a dictionary."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pyarrow as pa
import pytest
from dlt.destinations.impl.duckdb.configuration import DuckDbCredentials

from buildkite_elt.duck import Duck
from buildkite_elt.warehouse import DLT

Row = tuple[str, int, int]
SCHEMA = pa.schema([("id", pa.string()), ("part", pa.int64()), ("seen", pa.int64())])


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in DLT.items():
        monkeypatch.setenv(name, value)
    where = Duck(DuckDbCredentials(str(tmp_path / "it's; here.duckdb")))
    made = dlt.pipeline("duck", destination=where, dataset_name="ci", pipelines_dir=str(tmp_path / "work"))
    yield made
    made.deactivate()


def load(pipe: Any, packages: list[list[Row]], **keys: Any) -> None:
    """One package: a table for each list, so that a key may come in two files and twice in one."""
    how: Any = {"disposition": "merge", "strategy": "delete-insert"}

    def rows() -> Iterator[pa.Table]:
        for one in packages:
            yield pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in one], schema=SCHEMA)

    pipe.run(dlt.resource(rows, name="things", write_disposition=how, **keys))


def held(pipe: Any) -> list[Row]:
    with duckdb.connect(pipe.destination.config_params["credentials"].database) as connection:
        found: list[Row] = connection.execute("SELECT id, part, seen FROM ci.things ORDER BY ALL").fetchall()
    return found


@pytest.mark.parametrize("key", [("id",), ("id", "part")])
def test_the_newest_row_of_each_key_is_there(pipe: Any, key: tuple[str, ...]) -> None:
    dice, model, seen = random.Random(1), dict[tuple[Any, ...], Row](), 0
    for _ in range(6):
        packages: list[list[Row]] = [[], [], []]
        for one in packages:
            for _ in range(dice.randrange(9)):
                seen += 1
                one.append((f"b{dice.randrange(12)}", dice.randrange(2), seen))
        for row in sorted((row for one in packages for row in one), key=lambda row: row[2]):
            model[row[:1] if key == ("id",) else row[:2]] = row
        dice.shuffle(packages)
        load(pipe, packages, primary_key=key, columns={"seen": {"dedup_sort": "desc"}})
        assert held(pipe) == sorted(model.values())


def test_what_comes_whole_replaces_what_was_there_of_it(pipe: Any) -> None:
    load(pipe, [[("a", 1, 1), ("b", 1, 2), ("c", 2, 3)]], merge_key="part")
    load(pipe, [[("a", 1, 4), ("a", 1, 4)], [("d", 1, 5)]], merge_key="part")
    assert held(pipe) == [("a", 1, 4), ("a", 1, 4), ("c", 2, 3), ("d", 1, 5)]


def test_nothing_is_written_twice(pipe: Any) -> None:
    load(pipe, [[("a", 1, 1)]], primary_key="id")
    with duckdb.connect(pipe.destination.config_params["credentials"].database) as connection:
        tables = connection.execute("SELECT table_schema, table_name FROM information_schema.tables").fetchall()
    assert ("ci", "things") in tables
    assert ("ci_staging", "things") not in tables
