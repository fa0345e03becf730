"""Apache Spark, in an environment of its own: it takes every view, and answers as DuckDB does over the same rows."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import duckdb
import pytest
from bench import spark

from buildkite_elt import lake
from environments import needs_uv

SCALE = int(os.environ.get("BUILDKITE_ELT_SCALE", "1"))


@needs_uv
@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("java"), reason="Java, which Spark runs on, is not there")
def test_the_nine_most_asked_views_are_the_same_in_spark(tmp_path: Path) -> None:
    try:
        python = spark.environment(tmp_path / "environment")
    except RuntimeError as error:
        if "Failed to fetch" in str(error):
            pytest.skip("PySpark cannot be installed: its packages could not be fetched")
        raise
    # `compared` fails where Spark refuses a view, of all there are.
    made, version, found = spark.compared(python, tmp_path / "files", 40_000 * SCALE, 4, "1g")
    assert {*found} == {*spark.NINE.values()}
    assert all(answer.rows and {*answer.spark} == {*lake.FORMATS} for answer in found.values())
    assert {name: answer.different for name, answer in found.items() if answer.different} == {}
    page = spark.page(made, version, found, "today")
    assert "| L1 | build_log_lines |" in page
    assert "none differ." in page


def test_a_row_that_differs_is_counted(tmp_path: Path) -> None:
    """Of the same rows none differ; of a value, a null, a missing row and a fraction each does."""
    name = "load_costs"
    key = "'acme' AS organization_slug, 'run-' || i AS run_id"
    rows = f"SELECT {key}, i AS tables, i / 3 AS run_seconds FROM range(9) AS t (i)"
    (tmp_path / "delta" / name).mkdir(parents=True)
    wrong = {
        0: rows,
        1: f"SELECT * REPLACE (CASE WHEN tables = 3 THEN 4 ELSE tables END AS tables) FROM ({rows})",
        2: f"SELECT * REPLACE (CASE WHEN tables > 6 THEN NULL ELSE tables END AS tables) FROM ({rows})",
        3: f"SELECT * FROM ({rows}) WHERE tables < 6",
        9: f"SELECT * REPLACE (run_seconds + 1e-8 AS run_seconds) FROM ({rows})",
    }
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({rows}) TO '{tmp_path}/{name}.parquet'")
        for count, query in wrong.items():
            connection.execute(f"COPY ({query}) TO '{tmp_path}/delta/{name}/0.parquet'")
            assert spark.different(connection, name, tmp_path, "delta") == (9, count)
