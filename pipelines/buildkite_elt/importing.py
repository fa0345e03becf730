"""The command that reads build exports, which Buildkite keeps in a bucket of yours, in the API's stead."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer

from .options import DATABASE, DATASET, Database, Dataset, Json, LogFormat, Metrics, TableFormat

NOBODY = "nobody's"
"""The token of a load that asks Buildkite for nothing."""


def imported(
    place: Annotated[str, typer.Argument(help="A folder, or a bucket with a prefix: s3://…, gs://…, az://….")],
    organization: Annotated[str, typer.Option("--organization", "-o", help="Its slug; else the builds tell.")] = "",
    destination: Annotated[str, typer.Option(help="duckdb, or another that load knows.")] = "duckdb",
    database: Database = DATABASE,
    dataset: Dataset = DATASET,
    show: Annotated[list[str] | None, typer.Option(help="Store as they are: emails, ips, env, env:NAME.")] = None,
    hash_key_file: Annotated[
        Path | None, typer.Option(help="File with a key; what is not shown is hashed with it.")
    ] = None,
    table_format: TableFormat = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json: Json = False,
    log_format: LogFormat = "text",
    metrics: Metrics = None,
) -> None:
    """Import build exports: builds, jobs, annotations and artifacts into the same tables, without a request.

    What was imported is not read again, and what a load has read later is kept. Exits with 3 where a file could not be
    read: it is named, and tried again by the next import.
    """
    from buildkite_ci.exports import TABLES, Place

    from . import config, loads, watching
    from . import outcomes as tell

    run_id, slug = str(uuid4()), organization or Place(place).organization()
    shown = config.showing(show or ())
    key = config.secret(hash_key_file, "--hash-key-file") if hash_key_file else ""
    origin = loads.Origin((slug,), NOBODY, show=shown, hash_key=key, views=config.own_views(), exports=place)
    target = config.target(destination, database, dataset, table_format)
    watched: Any = watching.watched(run_id, metrics)
    with watching.progress(run_id, log_format, silent=quiet or json) as progress, watched as outcomes:
        loads.load(origin, target, TABLES, progress=progress, run_id=run_id, outcomes=outcomes)
    raise typer.Exit(tell.ended(run_id, outcomes, json))
