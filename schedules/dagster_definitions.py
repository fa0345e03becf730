"""Dagster: an asset for each table that the named loads fill, with its rows, and a check of how long ago it was read.

`dagster dev -f dagster_definitions.py`. BUILDKITE_API_TOKEN and BUILDKITE_ORGANIZATION come from the environment, the
file from BUILDKITE_ELT_FILE. buildkite-elt may stand in an environment of its own; BUILDKITE_ELT names its command.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import dagster as dg

COMMAND = os.environ.get("BUILDKITE_ELT", "buildkite-elt")
FILE = os.environ.get("BUILDKITE_ELT_FILE", "buildkite.duckdb")
LOADS = {"hourly": ("7 * * * *", 3 * 3600), "nightly": ("23 2 * * *", 30 * 3600)}
"""Its cron, and how long ago in seconds a table of it may have been read."""
HOURLY = ("builds", "jobs", "agents", "clusters", "cluster_queues")


def told(*words: str) -> tuple[int, Any]:
    """The exit code of a command, and the document that it printed. Raises where there is none."""
    done = subprocess.run([COMMAND, *words, "--json"], stdout=subprocess.PIPE, check=False, text=True)  # noqa: S603
    if not done.stdout.strip():
        raise RuntimeError(f"buildkite-elt {words[0]} exited with {done.returncode}; its last line says why")
    return done.returncode, json.loads(done.stdout)


def tables(name: str) -> list[str]:
    """The tables of a load."""
    every = [one["table"] for one in told("tables")[1] if one["asked"] == "always"]
    return [table for table in every if (table in HOURLY) == (name == "hourly")]


def assets(name: str, names: list[str]) -> dg.AssetsDefinition:
    specs = [dg.AssetSpec(["buildkite", table], group_name=name, skippable=True) for table in names]

    @dg.multi_asset(name=f"load_{name}", specs=specs, pool="buildkite_elt")
    def load(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        code, document = told("load", name, "--wait", "40m", "--database", FILE)
        for one in document["organizations"]:
            for table, why in {**one["failed"], **one["skipped"], **one["waiting"]}.items():
                context.log.warning("%s: %s", table, why)
        rows = {one["table"]: one for one in told("status", "--database", FILE)[1]["tables"]}
        loaded = {table for one in document["organizations"] for table in one["rows"]}
        for table in sorted(loaded & set(names) & rows.keys()):
            meta = {"rows": rows[table]["rows"], "newest": str(rows[table]["newest"])}
            yield dg.MaterializeResult(asset_key=["buildkite", table], metadata=meta)
        if code not in (0, 3):
            raise RuntimeError(f"The load exited with {code}; the log says why")

    return load


def check(table: str, most: int) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=["buildkite", table], name="fresh")
    def fresh() -> dg.AssetCheckResult:
        _, document = told("status", table, "--database", FILE)
        ages = [one["age_seconds"] for one in document["tables"]]
        old = not ages or ages[0] is None or ages[0] > most
        return dg.AssetCheckResult(passed=not old, metadata={"seconds": ages[0] if ages else None})

    return fresh


FOUND = {name: tables(name) for name in LOADS}
JOBS = {name: dg.define_asset_job(f"buildkite_{name}", dg.AssetSelection.groups(name)) for name in LOADS}
defs = dg.Definitions(
    assets=[assets(name, names) for name, names in FOUND.items()],
    asset_checks=[check(table, LOADS[name][1]) for name, names in FOUND.items() for table in names],
    jobs=list(JOBS.values()),
    schedules=[dg.ScheduleDefinition(job=JOBS[name], cron_schedule=cron) for name, (cron, _) in LOADS.items()],
)
