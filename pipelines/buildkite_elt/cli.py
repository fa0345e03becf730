"""The command `buildkite-elt`. Each command imports what it needs when it runs, so that --help is quick.

Exit codes: 0 done, 1 failed, 2 usage, 3 partly loaded, 4 another load is running, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from . import __version__, failures, schedules
from .importing import imported
from .loading import load, plan, restore, verify
from .log_commands import logs
from .options import DATABASE, DATASET, Database, Dataset, Json, Organization, Seed, TokenFile

DEBUG = "BUILDKITE_ELT_DEBUG"
INTERRUPTED = ". What was committed stays, and the next load goes on from there"


class Sentences(TyperGroup):
    """A command that fails says one sentence and exits with its code; a traceback only where DEBUG asks for it."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            loading = ctx.invoked_subcommand in ("load", "import", "demo")
            code, text = failures.failure(error, INTERRUPTED if loading else "")
        except Exception as error:
            if (
                os.environ.get(DEBUG)
                or type(error).__module__.startswith("typer")
                or isinstance(error, BrokenPipeError)
            ):
                raise
            code, text = failures.failure(error, debug=DEBUG)
        from .watching import say

        say(text, code)
        raise typer.Exit(code)


app = typer.Typer(
    cls=Sentences,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"buildkite-elt {__version__}")
        raise typer.Exit


@app.callback()
def settings(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="The version.")] = False,
) -> None:
    """Everything Buildkite knows about your CI, as tables in a DuckDB file, and kept right. It reads, never writes."""
    os.umask(0o077)
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "CRITICAL", "DO_NOT_TRACK": "1"}


@app.command()
def demo(database: Database = DATABASE, seed: Seed = 7, json: Json = False) -> None:
    """A made-up organization, served by the stand-in in this process, loaded into a file, and a report. No token."""

    from buildkite_ci.catalog import catalog
    from buildkite_ci.choice import Choice

    from . import config, loads, show, status
    from . import outcomes as tell
    from . import report as reports
    from .standin import Standin
    from .standin.demo import demo as world

    tables = (*(name for name, table in catalog().items() if table.by_default), "job_logs")
    target = config.target("duckdb", database, DATASET)
    with Standin(world(seed)) as here:
        origin = loads.Origin(tuple(here.world.organizations), here.token, here.rest_url, here.graphql_url)
        origin = replace(origin, choices={"job_logs": Choice(since=here.clock.now() - timedelta(days=4))})
        with show.Progress(silent=json) as progress:
            progress.tell(f"A made-up Buildkite answers at {here.rest_url} …", now=True)
            since = here.clock.now() - timedelta(days=31)
            # Nobody should wait for a demo, and its clock stands still, so a wait empties the meter instead.
            outcomes = loads.load(origin, target, tables, since, progress=progress, sleep=lambda _: here.meter.clear())
    waits = sum(outcome.waited for outcome in outcomes)
    outcomes = [replace(outcome, waited=0.0) for outcome in outcomes]
    with status.opened(database, DATASET) as connection:
        answers = tell.answers(connection)
    page = reports.write(database, DATASET)
    if json:
        told = {
            question: [dict(zip(one.names, row, strict=True)) for row in one.rows] for question, one in answers.items()
        }
        show.as_json(tell.document(outcomes) | {"database": database, "answers": told, "report": page})
    else:
        for outcome in outcomes:
            tell.tell(outcome)
        skipped = f"; {show.span(waits)} of waiting for them were skipped" if waits else ""
        show.say(f"The rate limits were the API's own{skipped}.\n")
        tell.tell_answers(answers)
        show.say(f"A page of all this, with charts, is in {page}\n")
        tell.tell_next(database, DATABASE)
    raise typer.Exit(tell.code(outcomes))


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8765,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    days: Annotated[int, typer.Option(min=16, max=400, help="Days of builds behind it.")] = 30,
    seed: Seed = 7,
    big: Annotated[bool, typer.Option(help="With a build of 4,000 jobs.")] = False,
) -> None:
    """The stand-in by itself: REST v2 and GraphQL over HTTP, until Ctrl-C. Its builds go on while it runs."""
    from datetime import UTC, datetime

    from . import show
    from .standin import serve as run
    from .standin.demo import demo as world

    made = world(seed, now=datetime.now(UTC), days=days, running=True, big=big)
    made.settle()
    show.say(f"A made-up Buildkite, with the API's own rate limits: {', '.join(made.organizations)}. Ctrl-C ends it.\n")
    show.say(f"export BUILDKITE_API_TOKEN={next(iter(made.tokens))}")
    show.say(f"export BUILDKITE_REST_URL=http://{host}:{port}/v2")
    show.say(f"export BUILDKITE_GRAPHQL_URL=http://{host}:{port}/v1")
    sys.stdout.flush()
    run(made, host, port)


@app.command()
def check(organization: Organization = None, token_file: TokenFile = None, json: Json = False) -> None:
    """Who the token is, which tables it can fill, what it lacks and has too much, and what is left of the limits.

    Exits with 3 where some table cannot be filled.
    """
    from . import check as checks
    from . import config, show

    with show.Progress(silent=json) as progress, config.wire(token_file, sleep=progress.sleep) as wire:
        found = checks.check(wire, config.slugs(organization or ()))
    if json:
        show.as_json(found)
    else:
        checks.tell(found)
    raise typer.Exit(3 if checks.missing(found) else 0)


@app.command()
def tables(
    name: Annotated[str, typer.Argument(help="One table, with its columns.")] = "",
    json: Json = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="All tables with their columns, as docs/tables.md.")
    ] = False,
) -> None:
    """Every table: scope, API, load and grain; or one with its columns."""
    from . import describe, show

    if markdown:
        sys.stdout.write(describe.markdown())
    elif json:
        show.as_json(describe.described(name) if name else describe.listed())
    else:
        describe.tell(name)


@app.command()
def views(
    name: Annotated[str, typer.Argument(help="One view, with its columns and its SQL.")] = "",
    json: Json = False,
) -> None:
    """Every view: which question it answers, its grain and what a row says; or one with its columns and its SQL."""
    from . import show, view_docs

    if json:
        show.as_json(view_docs.described(name) if name else view_docs.listed())
    else:
        view_docs.tell(name)


for command in (load, plan):
    app.command(epilog=schedules.listing())(command)
app.command("import")(imported)
for command in (verify, restore):
    app.command()(command)
app.add_typer(logs, name="logs")


@app.command()
def status(
    tables: Annotated[list[str] | None, typer.Argument(help="Only these tables.")] = None,
    max_age: Annotated[
        str, typer.Option(help="Exit with 1 where a table was read longer ago: 90m, 2h, 3d. See below.")
    ] = "",
    database: Database = DATABASE,
    dataset: Dataset = DATASET,
    json: Json = False,
) -> None:
    """Each table of the file: its rows, the newest of them, when it was last written and last read, and its age.

    A history in which nothing changed is as old as its last reading. --max-age counts the tables that you name, or
    else those that each load asks for and some load has read.
    """
    from buildkite_ci.catalog import find

    from . import config, show
    from . import status as statuses

    find(tables or ())
    most = config.age(max_age) if max_age else None
    with statuses.opened(database, dataset) as connection:
        found, last = statuses.status(connection, wanted=tables or ()), statuses.last_load(connection)
    old = {} if most is None else statuses.old(found, most, tables or ())
    if json:
        told = {"database": database, "dataset": dataset, "last_load": last, "tables": found}
        show.as_json(told | ({} if most is None else {"max_age_seconds": most, "old": old}))
    else:
        statuses.tell(found, last)
    if old:
        read = ", ".join(f"{table} ({ago})" for table, ago in old.items())
        show.note(f"Last read longer than {max_age} ago: {read}. `buildkite-elt load` reads them", "red")
        raise typer.Exit(1)


@app.command()
def report(
    organization: Annotated[
        list[str] | None, typer.Option("--organization", "-o", help="Only this one; repeat it or use commas.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The HTML file; otherwise buildkite-report.html beside the database.")
    ] = None,
    database: Database = DATABASE,
    dataset: Dataset = DATASET,
    json: Json = False,
) -> None:
    """One HTML page of the CI in the file, for 28 days: waits, flaky and slow steps, failures, cost, API use, coverage.

    It needs no network and runs no script.
    """
    from . import config, show
    from . import report as reports

    page = reports.write(database, dataset, config.slugs(organization) if organization else (), output)
    if json:
        show.as_json({"database": database, "dataset": dataset, "report": page})
    else:
        show.say(f"The report is in {page}")


@app.command()
def find(
    what: Annotated[str, typer.Argument(help="UUID of a build or job, its URL, or organization/pipeline/number.")],
    token_file: TokenFile = None,
    database: Database = DATABASE,
    dataset: Dataset = DATASET,
    json: Json = False,
) -> None:
    """What Buildkite, asked by one query, and the file know of one build or job, and whether the file is behind.

    Exits with 3 where Buildkite or the file could not be asked and the other answers alone, 1 where neither knows it.
    """
    from . import find as finds
    from . import show

    with show.Progress(silent=json) as progress:
        found = finds.find(what, token_file, database, dataset, sleep=progress.sleep)
    if json:
        show.as_json(finds.document(found))
    else:
        finds.tell(found, database)
    raise typer.Exit(found.exit_code)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="SQL, the name of a file that ends in .sql, or - for standard input.")],
    database: Database = DATABASE,
    dataset: Dataset = DATASET,
    rows: Annotated[int, typer.Option(min=1, help="How many rows to print; JSON and CSV have them all.")] = 100,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values.")] = False,
    parquet: Annotated[Path | None, typer.Option(help="Write the rows of one SELECT to this Parquet file.")] = None,
    lake: Annotated[bool, typer.Option("--lake", help="Ask the lake's files in place, and not the file.")] = False,
) -> None:
    """Ask the file in SQL, read-only; tables and views go by their bare names."""
    from . import config, stop
    from . import lake as lakes
    from . import status as statuses

    if json + csv + bool(parquet) > 1:
        raise typer.BadParameter("--json, --csv and --parquet exclude each other")
    text = sys.stdin.read() if query == "-" else Path(query).read_text("utf-8") if query.endswith(".sql") else query
    if not text.strip():
        raise typer.BadParameter("there is no SQL in it")
    asked = (
        lakes.session(config.target("filesystem", database, dataset)) if lake else statuses.opened(database, dataset)
    )
    with asked as connection, stop.interrupting(connection):
        if parquet:
            statuses.write(connection, text, parquet)
            return
        results = statuses.run(connection, text, None if json or csv else rows)
        statuses.tell_results(results, "json" if json else "csv" if csv else "")


@app.command()
def export(
    dbt: Annotated[Path | None, typer.Option("--dbt", help="The folder of the dbt project.")] = None,
    views: Annotated[Path | None, typer.Option("--views", help="The folder of the views, a .sql file each.")] = None,
    dialect: Annotated[str, typer.Option(help="Whose SQL the views are in: snowflake, bigquery …")] = "",
    database: Database = DATABASE,
    dataset: Dataset = DATASET,
) -> None:
    """The file's tables and views as a dbt project, or the views in the SQL of another engine.

    The project has sources with freshness, models, tests of every key and exposures.
    """
    from . import dbt_export, view_files

    if bool(dbt) + bool(views) != 1 or bool(views) != bool(dialect):
        raise typer.BadParameter("give --dbt FOLDER, or --views FOLDER with --dialect")
    if dbt:
        dbt_export.tell(dbt_export.export(dbt, database, dataset))
    if views:
        view_files.tell(view_files.export(views, dialect, database, dataset), views, dialect, database)


def main() -> None:
    """The console script."""
    app(prog_name="buildkite-elt")
