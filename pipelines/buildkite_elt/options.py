"""The options that several commands share, each said once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

Organization = Annotated[
    list[str] | None,
    typer.Option("--organization", "-o", help="Slug; repeat it or use commas. Or BUILDKITE_ORGANIZATION."),
]
TokenFile = Annotated[
    Path | None, typer.Option(help="File that holds the API token, readable by you only. Or BUILDKITE_API_TOKEN.")
]
Database = Annotated[Path, typer.Option("--database", "-d", help="The DuckDB file.")]
Dataset = Annotated[str, typer.Option(help="The schema of the tables.")]
TableFormat = Annotated[str, typer.Option(help="Of a lake: parquet (as is unless told), delta or iceberg.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
LogFormat = Annotated[
    Literal["text", "json"], typer.Option(help="json: a line of JSON on standard error for each thing that happens.")
]
Metrics = Annotated[
    Path | None, typer.Option(help="Write what came of the load to this file, for Prometheus' textfile collector.")
]
Seed = Annotated[int, typer.Option(help="Another seed, another made-up organization.")]

Reserve = Annotated[str, typer.Option(help="Part of each rate limit that is left for others.")]
MaxRequests = Annotated[int | None, typer.Option(min=1, help="REST requests that this run may spend at most.")]
MaxPoints = Annotated[int | None, typer.Option(min=1, help="GraphQL points that this run may spend at most.")]
MaxMinutes = Annotated[float | None, typer.Option(min=0, help="Minutes after which this run asks for nothing more.")]
Tables = Annotated[
    list[str] | None, typer.Argument(help="Tables, or one load by name; for none, those asked for always.")
]
Since = Annotated[
    str, typer.Option(help="Builds created since: 30d, 12h, 2w, a date or a timestamp. Counts when first loaded.")
]

DATABASE = Path("buildkite.duckdb")
DATASET = "ci"

Words = list[str] | None
CHOICES: dict[str, tuple[Any, Any]] = {
    "pipeline": (Annotated[Words, typer.Option(help="Work lists: only rows of this pipeline; may be repeated.")], None),
    "branch": (Annotated[Words, typer.Option(help="Work lists and counts: only this branch; may be repeated.")], None),
    "state": (
        Annotated[
            Words,
            typer.Option(help="Work lists and counts: only this state; soft_failed, retried and all are some."),
        ],
        None,
    ),
    "slower": (Annotated[str, typer.Option(help="Work lists: also jobs that ran longer: 90s, 10m, 2h.")], ""),
    "sample": (
        Annotated[str, typer.Option(help="Work lists: also this part of all others, the same ones each time.")],
        "",
    ),
    "at_most": (Annotated[int | None, typer.Option(min=1, help="Work lists: rows that one load asks for.")], None),
    "a_day": (Annotated[int | None, typer.Option(min=1, help="Work lists: rows that 24 hours ask for.")], None),
    "whole": (Annotated[bool, typer.Option("--whole", help="job_logs: all of those above 2 MiB, too.")], False),
    "archive": (Annotated[str, typer.Option(help="job_logs: a folder that their bytes are kept in, too.")], ""),
    "queue": (
        Annotated[Words, typer.Option(help="queue_jobs: only this queue, key or UUID; may be repeated.")],
        None,
    ),
    "group": (Annotated[Words, typer.Option(help="concurrency_group_jobs: only this group; may be repeated.")], None),
    "until": (Annotated[str, typer.Option(help="Work lists, queue_jobs, counts: only what was created before.")], ""),
}
"""Which part of the tables that are named is wanted: an option's name, what it is, and its default."""


def choosing(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of CHOICES; it takes their values in one dictionary, `chosen`."""
    own = [one for one in inspect.signature(command, eval_str=True).parameters.values() if one.name != "chosen"]
    kind = inspect.Parameter.KEYWORD_ONLY
    more = [inspect.Parameter(name, kind, default=no, annotation=what) for name, (what, no) in CHOICES.items()]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        command(**{one.name: given[one.name] for one in own}, chosen={one.name: given[one.name] for one in more})

    run.__signature__ = inspect.Signature([*(one.replace(kind=kind) for one in own), *more])  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in (*own, *more)}
    return run
