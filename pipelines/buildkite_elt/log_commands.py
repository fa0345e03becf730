"""`buildkite-elt logs`: search the logs that the file has, and show one of them. Nobody but the file is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import DATABASE, DATASET, Database, Dataset, Json, Words

if TYPE_CHECKING:
    import duckdb

logs = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
Regex = Annotated[bool, typer.Option("--regex", help="TEXT is a regular expression, as RE2 has it.")]
IgnoreCase = Annotated[bool, typer.Option("--ignore-case", "-i", help="Capitals or not.")]
Context = Annotated[
    int, typer.Option("--context", "-C", min=0, max=1000, help="Lines to show before and after each hit.")
]


@logs.callback()
def settings() -> None:
    """Job logs that were loaded: search them, or show one."""


@contextmanager
def _opened(database: Path, dataset: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file; Ctrl-C ends what it is asked at once."""
    from . import status, stop

    with status.opened(database, dataset) as connection, stop.interrupting(connection):
        yield connection


def _words(given: Iterable[str] | None) -> tuple[str, ...]:
    """Options that may be repeated, each with commas."""
    return tuple(word.strip() for one in given or () for word in one.split(",") if word.strip())


@logs.command()
def search(
    text: Annotated[str, typer.Argument(help="What a line holds; '' for every line.")],
    regex: Regex = False,
    ignore_case: IgnoreCase = False,
    since: Annotated[str, typer.Option(help="Builds created since: 30d, 12h, 2w, a date or a timestamp.")] = "30d",
    until: Annotated[str, typer.Option(help="Builds created before.")] = "",
    pipeline: Annotated[Words, typer.Option(help="Only this pipeline's; may be repeated.")] = None,
    branch: Annotated[Words, typer.Option(help="Only this branch's; may be repeated.")] = None,
    state: Annotated[
        Words, typer.Option(help="Only jobs in this state; soft_failed, retried and all are some; may be repeated.")
    ] = None,
    step: Annotated[Words, typer.Option(help="Only this step's, by its key or name; may be repeated.")] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only lines that tell of an error.")] = False,
    context: Context = 0,
    limit: Annotated[int, typer.Option(min=1, help="Hits to show; all are counted.")] = 100,
    database: Database = DATABASE,
    dataset: Dataset = DATASET,
    json: Json = False,
) -> None:
    """Find lines in the logs that are loaded, those of the newest builds first.

    Exits with 0 where there is a hit, 1 where there is none, as grep does.
    """
    from . import config
    from . import log_search as searching

    query = searching.Query(
        text,
        regex,
        ignore_case,
        errors,
        config.since(since),
        config.since(until, where="--until"),
        _words(pipeline),
        _words(branch),
        _words(state),
        tuple(step or ()),
    )
    with _opened(database, dataset) as connection:
        found = searching.search(connection, query, context, limit)
        (searching.document if json else searching.tell)(found)
    raise typer.Exit(found.exit_code)


@logs.command()
def show(
    job: Annotated[
        str, typer.Argument(help="UUID of a job, a link to it, or organization/pipeline/number of a build.")
    ],
    step: Annotated[str, typer.Argument(help="Of a build: the step, by its key or name.")] = "",
    utc: Annotated[bool, typer.Option("--utc", help="When lines began, not how long after the first.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Only what the lines say.")] = False,
    errors: Annotated[
        bool, typer.Option("--errors", help="Only lines that tell of an error, and 3 around them.")
    ] = False,
    database: Database = DATABASE,
    dataset: Dataset = DATASET,
    json: Json = False,
) -> None:
    """One log that is loaded: each line's time, number and text; errors are red, sections say how long they took.

    A ↺ stands behind what was written over, as progress bars are. Exits with 1 where the file does not have the log.
    """
    from . import log_show as showing

    if json and plain:
        raise typer.BadParameter("--json and --plain exclude each other")
    with _opened(database, dataset) as connection:
        one = showing.log(connection, job, step, errors=errors)
        if json:
            showing.document(one)
        elif plain:
            showing.plain(one)
        else:
            showing.tell(one, utc=utc)
