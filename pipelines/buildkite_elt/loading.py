"""The commands that ask Buildkite for data: load, plan and verify."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer

from .options import (
    DATABASE,
    DATASET,
    Database,
    Dataset,
    Json,
    LogFormat,
    MaxMinutes,
    MaxPoints,
    MaxRequests,
    Metrics,
    Organization,
    Reserve,
    Since,
    TableFormat,
    Tables,
    TokenFile,
    choosing,
)


@choosing
def load(
    ctx: typer.Context,
    tables: Tables = None,
    since: Since = "30d",
    organization: Organization = None,
    token_file: TokenFile = None,
    destination: Annotated[
        str, typer.Option(help="duckdb, another of dlt's, or filesystem: the DuckDB file and a lake that is its copy.")
    ] = "duckdb",
    table_format: TableFormat = "",
    database: Database = DATABASE,
    dataset: Dataset = DATASET,
    show: Annotated[
        list[str] | None, typer.Option(help="Store as they are: emails, ips, env, env:NAME, secrets.")
    ] = None,
    hash_key_file: Annotated[
        Path | None, typer.Option(help="File with a key; what is not shown is hashed with it.")
    ] = None,
    reserve: Reserve = "20%",
    max_requests: MaxRequests = None,
    max_points: MaxPoints = None,
    max_minutes: MaxMinutes = None,
    retention: Annotated[
        int | None, typer.Option(min=1, help="Days that your plan keeps builds; warns before some are lost.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Read builds since --since once more.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what it would cost, as plan does.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    json: Json = False,
    log_format: LogFormat = "text",
    metrics: Metrics = None,
    wait: Annotated[str, typer.Option(help="How long to wait for another load of this dataset to end: 30m, 2h.")] = "",
    *,
    chosen: dict[str, Any],
) -> None:
    """Load what is new, what finished since and what was open.

    Exits with 3 where a table was left out, failed, or waits for a later load because of a --max option.
    """
    from . import choices, config, loads, schedules, watching
    from . import outcomes as tell

    run_id = str(uuid4())
    own = schedules.settled(ctx, tables, since=since, reserve=reserve, max_minutes=max_minutes, again=again)
    moment, target = _selected(own["tables"], own["since"]), config.target(destination, database, dataset, table_format)
    spend = _spend(own["reserve"], max_requests, max_points, own["max_minutes"])
    choice = choices.choices(own["tables"], **chosen)
    telling = watching.progress(run_id, log_format, silent=quiet or json)
    watched: Any = nullcontext([]) if dry_run else watching.watched(run_id, metrics)
    with telling as progress, watched as outcomes:
        origin = config.origin(organization or (), token_file, show or (), hash_key_file, sleep=progress.sleep)
        origin = replace(origin, again=own["again"], retention=timedelta(retention) if retention else None, **spend)
        origin = replace(origin, choices=choice)
        if not dry_run:
            how: Any = {"progress": progress, "sleep": progress.sleep, "run_id": run_id, "outcomes": outcomes}
            how["wait"] = config.age(wait, "--wait") if wait else 0.0
            loads.load(origin, target, own["tables"], moment, **how)
    if dry_run:
        _plan(origin, target, own["tables"], moment, json)
        return
    raise typer.Exit(tell.ended(run_id, outcomes, json))


def _selected(tables: tuple[str, ...], since: str) -> Any:
    """The moment that --since names; BadInput where a table is none."""
    from buildkite_ci.catalog import find

    from . import config

    find(tables)
    return config.since(since)


def _spend(reserve: str, requests: int | None, points: int | None, minutes: float | None = None) -> dict[str, Any]:
    """The budget options, as loads.Origin takes them."""
    from buildkite_ci.budget import Limits

    from . import config

    return {"reserve": config.share(reserve), "limits": Limits(requests, points, minutes)}


@choosing
def plan(
    ctx: typer.Context,
    tables: Tables = None,
    since: Since = "30d",
    organization: Organization = None,
    token_file: TokenFile = None,
    destination: Annotated[str, typer.Option(help="duckdb, or another of dlt's, which is not looked into.")] = "duckdb",
    database: Database = DATABASE,
    dataset: Dataset = DATASET,
    reserve: Reserve = "20%",
    max_requests: MaxRequests = None,
    max_points: MaxPoints = None,
    max_minutes: MaxMinutes = None,
    json: Json = False,
    *,
    chosen: dict[str, Any],
) -> None:
    """What a load would cost now: requests, points, rows, bytes and minutes of each table, told by a few cheap counts.

    It looks into the file, so a second plan tells only what is new. With a --max option also what it would leave.
    """
    from . import choices, config, schedules, show

    own = schedules.settled(ctx, tables, since=since, reserve=reserve, max_minutes=max_minutes)
    moment, target = _selected(own["tables"], own["since"]), config.target(destination, database, dataset)
    spend = _spend(own["reserve"], max_requests, max_points, own["max_minutes"])
    choice = choices.choices(own["tables"], **chosen)
    with show.Progress(silent=json) as progress:
        origin = config.origin(organization or (), token_file, sleep=progress.sleep)
    _plan(replace(origin, choices=choice, **spend), target, own["tables"], moment, json)


def _plan(origin: Any, target: Any, tables: tuple[str, ...], since: Any, json: bool) -> None:
    from . import plan as plans
    from . import show

    with show.Progress(silent=json) as progress:
        found = plans.plan(origin, target, tables, since, sleep=progress.sleep)
    if json:
        show.as_json({"organizations": found})
    else:
        for one in found:
            plans.tell(one)


def restore(database: Database = DATABASE, dataset: Dataset = DATASET, table_format: TableFormat = "") -> None:
    """The DuckDB file with all its views, from the lake that `load --destination filesystem` keeps."""
    from buildkite_ci.errors import BadInput

    from . import config, lake, show
    from .warehouse import alone

    target = config.target("filesystem", database, dataset, table_format)
    if target.database.exists():
        raise BadInput(f"{target.database} is there already: move it away, or give another --database")
    with alone(target), lake.told(target):
        made = lake.restore(target)
    if not made:
        raise BadInput("The lake is empty: `buildkite-elt load --destination filesystem` publishes into it")
    show.say(f"{target.database} holds what the lake does")


def verify(
    since: Annotated[str, typer.Option(help="Builds created since, as for load; if empty, all that is loaded.")] = "",
    sample: Annotated[int, typer.Option(min=0, help="Builds to read again field by field, drawn by lot.")] = 20,
    organization: Organization = None,
    token_file: TokenFile = None,
    database: Database = DATABASE,
    dataset: Dataset = DATASET,
    reserve: Reserve = "20%",
    max_requests: MaxRequests = 100,
    max_points: MaxPoints = 5_000,
    json: Json = False,
) -> None:
    """Is the file what Buildkite has? Counts, changes, a sample and every gap in the build numbers, asked for again.

    Exits with 1 where a build is missing or stale and not only changed since the last load, and says what to type.
    """
    from . import config, show, verdict
    from . import verify as verifying

    moment, target = config.since(since), config.target("duckdb", database, dataset)
    spend = _spend(reserve, max_requests, max_points)
    with show.Progress(silent=json) as progress:
        origin = replace(config.origin(organization or (), token_file, sleep=progress.sleep), **spend)
        found = verifying.verify(origin, target, moment, sample, sleep=progress.sleep)
    if json:
        show.as_json({"organizations": found})
    else:
        for one in found:
            verdict.tell(one)
    raise typer.Exit(max((one["exit_code"] for one in found), default=0))
