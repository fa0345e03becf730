"""The options that several commands share, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Seed = Annotated[int, typer.Option(help="Another seed, another made-up organization.")]

Reserve = Annotated[str, typer.Option(help="Part of each rate limit that is left for others.")]
MaxRequests = Annotated[int | None, typer.Option(min=1, help="REST requests that this run may spend at most.")]
MaxPoints = Annotated[int | None, typer.Option(min=1, help="GraphQL points that this run may spend at most.")]
MaxMinutes = Annotated[float | None, typer.Option(min=0, help="Minutes after which this run asks for nothing more.")]
Tables = Annotated[list[str] | None, typer.Argument(help="Tables; if none is named, those asked for always.")]
Since = Annotated[
    str, typer.Option(help="Builds created since: 30d, 12h, 2w, a date or a timestamp. Counts when first loaded.")
]

DATABASE = Path("buildkite.duckdb")
DATASET = "ci"

Words = list[str] | None
Pipelines = Annotated[
    Words, typer.Option("--pipeline", help="Work lists: only rows of this pipeline; may be repeated.")
]
Branches = Annotated[Words, typer.Option("--branch", help="Work lists and counts: only this branch; may be repeated.")]
States = Annotated[
    Words,
    typer.Option("--state", help="Work lists and counts: only this state; soft_failed, retried and all are some."),
]
Slower = Annotated[str, typer.Option(help="Work lists: also jobs that ran longer: 90s, 10m, 2h.")]
Sample = Annotated[str, typer.Option(help="Work lists: also this part of all others, the same ones each time.")]
AtMost = Annotated[int | None, typer.Option(min=1, help="Work lists: rows that one load asks for.")]
Queues = Annotated[Words, typer.Option("--queue", help="queue_jobs: only this queue, key or UUID; may be repeated.")]
Groups = Annotated[Words, typer.Option("--group", help="concurrency_group_jobs: only this group; may be repeated.")]
Until = Annotated[str, typer.Option(help="Work lists, queue_jobs, counts: only what was created before.")]
