"""The course of bench/destinations.py by dlt's own destination ducklake, in an environment of its own; prints as JSON
what it took and what is there then.

python ducklake_loads.py CATALOG FOLDER BUILDS_PER_DAY
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import dlt
import duckdb_extension_ducklake  # type: ignore[import-not-found]
import duckdb_extension_postgres_scanner  # type: ignore[import-not-found]

import thrice
import truth
from buildkite_elt.loads import Target

LAKE = "DESTINATION__DUCKLAKE__CREDENTIALS"


def settings(catalog: str, folder: Path) -> None:
    """dlt's, with the extensions that the wheels brought."""
    wheels = duckdb_extension_ducklake, duckdb_extension_postgres_scanner
    files = [next(Path(one.__file__).parent.rglob("*.duckdb_extension")) for one in wheels]
    os.environ[f"{LAKE}__EXTENSIONS"] = json.dumps([f"'{file}'" for file in files])
    os.environ[f"{LAKE}__CATALOG"], os.environ[f"{LAKE}__STORAGE__BUCKET_URL"] = catalog, str(folder / "files")
    os.environ["DLT_DATA_DIR"] = str(folder / "dlt")


def copied(file: Path) -> tuple[int, int]:
    """The lake's tables in a DuckDB file; the number of its views, and of the versions of the team that changed."""
    pipe = dlt.pipeline("copy", destination="ducklake", dataset_name="ci", pipelines_dir=str(file.parent / "copy"))
    with pipe.sql_client() as client:
        lake = client.native_connection
        lake.execute(f"ATTACH '{file}' AS copied; CREATE SCHEMA copied.ci")
        for table in truth.TRUTH:
            lake.execute(f"CREATE TABLE copied.ci.{table} AS FROM {client.make_qualified_table_name(table)}")
        views = "SELECT count(*) FROM duckdb_views() WHERE schema_name = 'ci'"
        versions = thrice.versions(client.make_qualified_table_name("teams"))
        found = [lake.execute(sql).fetchall()[0][0] for sql in (views, versions)]
        lake.execute("DETACH copied")
    return found[0], found[1]


def main() -> None:
    folder = Path(sys.argv[2])
    settings(sys.argv[1], folder)
    with thrice.served(int(sys.argv[3])) as standin:
        took = thrice.loads(standin, Target("ducklake"))
        views, versions = copied(folder / "copied.duckdb")
        wrong = truth.wrong(folder / "copied.duckdb", standin.world, "acme-inc")
    told = {"wrong": wrong, "views": views, "versions": versions, "loads": [asdict(one) for one in took]}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
