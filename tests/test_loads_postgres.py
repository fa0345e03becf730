"""A load into PostgreSQL brings the rows that a load into DuckDB brings, and the views are made there too."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import psycopg
import pytest

from buildkite_ci.catalog import catalog
from buildkite_elt import views
from buildkite_elt.loads import Origin, Target, load
from buildkite_elt.standin import Standin
from postgres import Server
from test_views import Row, rows_of
from test_views_postgres import assert_same

OF_ITS_LOAD = {"_dlt_load_id", "_dlt_id", "_dlt_valid_from", "observed_at", "run_id"}
"""Columns that say when a row was loaded, or by which load."""
ABOUT_LOADS = {"sync_runs", "load_costs", "setting_changes", "webhook_ip_changes"}
"""Tables and views that tell when loads ran, or what one found changed."""


@pytest.fixture
def dataset(postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What dlt needs for a load into that server, and the dataset that is gone afterwards."""
    pytest.importorskip("psycopg2", reason="dlt loads into PostgreSQL by psycopg2, which is not here")
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", postgres.url)
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    yield "loaded"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS loaded, loaded_staging CASCADE")


@pytest.mark.slow
def test_both_hold_the_same_rows(standin: Standin, postgres: Server, dataset: str, tmp_path: Path) -> None:
    origin = Origin((*standin.world.organizations,), standin.token, standin.rest_url, standin.graphql_url)
    file = tmp_path / "buildkite.duckdb"
    tables = (*(name for name, table in catalog().items() if table.by_default), "job_logs")
    targets = Target("postgres", dataset=dataset), Target(database=file, dataset=dataset)
    for target in (*targets, *targets):  # the second load replaces the first one's views
        (outcome,) = load(origin, target, tables, datetime(2020, 1, 1, tzinfo=UTC), sleep=standin.clock.sleep)
        assert (outcome.exit_code, outcome.warnings) == (0, {})
    with duckdb.connect(str(file), read_only=True) as duck, psycopg.connect(postgres.url) as connection:
        made = duck.execute("SELECT table_name FROM information_schema.tables").fetchall()
        names = {name for (name,) in made} & {*catalog(), *views.views(), *views.DATA}
        assert {"jobs", "job_log_lines", "job_attempts", "failure_rules"} <= names
        for name in sorted(names - ABOUT_LOADS):
            here = connection.execute(f"SELECT * FROM {dataset}.{name}".encode())
            assert_same(kept(rows_of(here)), kept(rows_of(duck.execute(f"FROM {dataset}.{name}"))), name)


def kept(rows: list[Row]) -> list[Row]:
    """Without the columns of a load; dlt's COPY into PostgreSQL makes a null of an empty text."""
    return [{name: None if row[name] == "" else row[name] for name in row if name not in OF_ITS_LOAD} for row in rows]
