"""What the tests of lakes need: an S3 server, two files compared, and a lake read by its format's own library."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs
from moto.server import ThreadedMotoServer

from buildkite_elt import lake, lake_delta, lake_iceberg
from buildkite_elt.lake_store import DAY, placed
from buildkite_elt.warehouse import Target

FORMATS = (*lake.FORMATS,)
SETTINGS = "DESTINATION__FILESYSTEM"
NINE = (
    "queue_waits_hourly",
    "flaky_steps",
    "failure_classes_weekly",
    "build_times_weekly",
    "step_slowdowns",
    "costs_daily",
    "retry_costs_weekly",
    "load_costs",
    "default_branch_weekly",
)
"""README's questions, but the one of a text."""


@contextmanager
def s3(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """An S3 server on this machine's loopback with one bucket, and dlt's settings of a lake in it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        told = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        told["endpoint_url"] = f"http://{host}:{port}"
        for name, value in told.items():
            patch.setenv(f"{SETTINGS}__CREDENTIALS__{name.upper()}", value)
        bucket = f"lake-{secrets.token_hex(4)}"  # what a server holds outlives it in this process
        patch.setenv(f"{SETTINGS}__BUCKET_URL", f"s3://{bucket}/ours")
        s3fs.S3FileSystem(key="test", secret="test", endpoint_url=told["endpoint_url"]).mkdir(bucket)
        yield
    finally:
        server.stop()


def differences(one: Path, other: Path) -> list[str]:
    """Tables of which the files do not hold the same rows, each as often, in the same columns."""
    with duckdb.connect() as both:
        both.execute(f"ATTACH '{one}' AS one (READ_ONLY); ATTACH '{other}' AS other (READ_ONLY)")
        made = "SELECT table_name FROM duckdb_tables() WHERE database_name = ? AND schema_name = 'ci' ORDER BY ALL"
        ones, others = ({name for (name,) in both.execute(made, [file]).fetchall()} for file in ("one", "other"))
        assert "builds" in ones
        same = {name for name in ones & others if alike(both, f'one.ci."{name}"', f'other.ci."{name}"')}
        return sorted((ones | others) - same)


def alike(duck: duckdb.DuckDBPyConnection, one: str, other: str) -> bool:
    """Whether two tables have the same columns, and the same rows as often."""
    if duck.execute(f"DESCRIBE {one}").fetchall() != duck.execute(f"DESCRIBE {other}").fetchall():
        return False
    sql = "SELECT count(*) FROM (FROM {} EXCEPT ALL FROM {})"
    return not any(duck.execute(sql.format(*two)).fetchall()[0][0] for two in ((one, other), (other, one)))


def read(target: Target) -> Iterator[tuple[str, pa.Table]]:
    """(table, its rows) as the format's own library reads what the manifest names."""
    place = placed(target)
    last = lake.manifest(place)
    for name, sheet in last.tables.items():
        if target.lake == "delta":
            found = lake_delta.at_version(place, name, sheet.at).to_pyarrow_table()
        elif target.lake == "iceberg":
            found = lake_iceberg.at_metadata(place, sheet.at).scan().to_arrow()
        else:  # what lies there, whatever the manifest says
            files = [place.fs.open(path) for path in place.fs.find(f"{place.path}/{name}")]
            if not files:  # an empty table
                continue
            found = pa.concat_tables([pq.read_table(file) for file in files], promote_options="default")
        yield name, found.drop_columns([DAY] if DAY in found.schema.names else [])


def held(rows: pa.Table, column: str) -> str:
    """A column; null where it is newer than all Parquet files of its table."""
    return f'"{column}"' if column in rows.schema.names else "NULL"


def wrong(target: Target) -> list[str]:
    """Tables of which the lake does not hold the rows that the DuckDB file holds."""
    found = []
    with duckdb.connect(str(target.database), read_only=True) as duck:
        duck.execute("SET TimeZone = 'UTC'")
        made = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'ci'"
        names = {name for (name,) in duck.execute(made).fetchall()}
        for name, rows in read(target):
            names.remove(name)
            duck.register("lake_rows", rows)
            shape = [one[:2] for one in duck.execute(f'DESCRIBE ci."{name}"').fetchall()]
            told = ", ".join(f'CAST({held(rows, one)} AS {kind}) AS "{one}"' for one, kind in shape)
            pair = f"(SELECT {told} FROM lake_rows)", f'(FROM ci."{name}")'
            sql = "SELECT count(*) FROM (FROM {} EXCEPT ALL FROM {})"
            if any(duck.execute(sql.format(*two)).fetchall()[0][0] for two in (pair, pair[::-1])):
                found.append(name)
        return found + [name for name in names if duck.execute(f'FROM ci."{name}" LIMIT 1').fetchall()]
