"""Airflow 3: a DAG for each named load, and a check of freshness after the hourly one. Lies in the folder of DAGs.

The connection `buildkite` has the token as its password and the organization as its login; the file's place is the
Variable `buildkite_elt_file`. The loads share a pool of one slot, as a DuckDB file takes one at a time:
`airflow pools set buildkite_elt 1 "one load at a time"`. buildkite-elt stands in an environment of its own, since
Airflow pins what it needs; BUILDKITE_ELT names its command.
"""

from __future__ import annotations

import os
import subprocess
from datetime import datetime, timedelta

from airflow.sdk import Connection, Variable, dag, task
from airflow.sdk.exceptions import AirflowSkipException

COMMAND = os.environ.get("BUILDKITE_ELT", "buildkite-elt")
LOADS = {"hourly": "7 * * * *", "nightly": "23 2 * * *", "backfill": "37 4 * * *"}
LEFT_OUT = 3
"""The exit code of a load that left tables out: it is told as skipped, and nothing is lost."""


def run(*words: str) -> int:
    """The command's exit code; it inherits the log. Raises where it failed."""
    at = Connection.get("buildkite")
    told = {"BUILDKITE_API_TOKEN": at.password or "", "BUILDKITE_ORGANIZATION": at.login or ""}
    code = subprocess.run([COMMAND, *words], env={**os.environ, **told}, check=False).returncode  # noqa: S603 - ours
    if code not in (0, LEFT_OUT):
        raise RuntimeError(f"buildkite-elt {' '.join(words[:2])} exited with {code}; its last line says why")
    return code


def file() -> str:
    return str(Variable.get("buildkite_elt_file"))


def scheduled(name: str, cron: str) -> None:
    @dag(
        dag_id=f"buildkite_elt_{name}",
        schedule=cron,
        start_date=datetime(2026, 1, 1),  # noqa: DTZ001 - Airflow's, in UTC
        catchup=False,
        max_active_runs=1,
        default_args={"retries": 2, "retry_delay": timedelta(minutes=10), "pool": "buildkite_elt"},
        tags=["buildkite"],
    )
    def loads() -> None:
        @task(execution_timeout=timedelta(hours=4))
        def load() -> None:
            if run("load", name, "--log-format", "json", "--database", file()) == LEFT_OUT:
                raise AirflowSkipException("Some tables were left out; the log names them")

        @task(trigger_rule="all_done", retries=0)
        def fresh() -> None:
            run("status", "builds", "jobs", "--max-age", "3h", "--database", file())

        if name == "hourly":
            load() >> fresh()
        else:
            load()

    loads()


for _name, _cron in LOADS.items():
    scheduled(_name, _cron)
