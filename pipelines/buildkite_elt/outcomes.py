"""What a load came to, and what the demo's file answers."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buildkite_ci.catalog import catalog, families

from . import show, status

if TYPE_CHECKING:
    import duckdb

    from .loads import Outcome

ANSWERS = {
    "How builds end": """
        SELECT state, count(*) AS builds, count(DISTINCT pipeline_slug) AS pipelines
        FROM builds GROUP BY ALL ORDER BY builds DESC, state""",
    "Where jobs wait longest for an agent": """
        SELECT queue_key AS queue, count(*) AS jobs,
               to_seconds(median(epoch(started_at - runnable_at))) AS p50,
               to_seconds(quantile_cont(epoch(started_at - runnable_at), 0.95)) AS p95
        FROM jobs WHERE type = 'script' AND runnable_at <= started_at
        GROUP BY ALL ORDER BY p95 DESC, queue LIMIT 5""",
    "Steps that failed, then passed when tried again": """
        SELECT again.pipeline_slug AS pipeline, again.name AS step, count(*) AS times
        FROM jobs AS first JOIN jobs AS again ON again.id = first.retried_in_job_id
        WHERE first.state = 'failed' AND again.state = 'passed'
        GROUP BY ALL ORDER BY times DESC, pipeline, step LIMIT 5""",
    "Slowest pipelines": """
        SELECT pipeline_slug AS pipeline, count(*) AS builds,
               to_seconds(median(epoch(finished_at - started_at))) AS p50,
               to_seconds(quantile_cont(epoch(finished_at - started_at), 0.95)) AS p95
        FROM builds WHERE state IN ('passed', 'failed') AND started_at <= finished_at
        GROUP BY ALL ORDER BY p50 DESC, pipeline LIMIT 5""",
}
"""The demo's questions, in plain SQL over the tables."""


def code(outcomes: list[Outcome]) -> int:
    """The exit code of several organizations: 0 where all were loaded, 1 where all failed, 3 otherwise."""
    codes = {outcome.exit_code for outcome in outcomes}
    return codes.pop() if len(codes) == 1 else 3


def document(outcomes: list[Outcome]) -> dict[str, Any]:
    """`load --json`."""
    return {
        "exit_code": code(outcomes),
        "organizations": [asdict(one) | {"exit_code": one.exit_code} for one in outcomes],
    }


def ended(run_id: str, outcomes: list[Outcome], json: bool) -> int:
    """Tell what came of a load, as one document or a table each, and give its exit code."""
    if json:
        show.as_json({"run_id": run_id} | document(outcomes))
    else:
        for outcome in outcomes:
            tell(outcome)
    return code(outcomes)


def tell(outcome: Outcome) -> None:
    """What one organization's load came to, for people."""
    rows = {name: number for name, number in sorted(outcome.rows.items()) if name not in outcome.failed}
    show.table(("table", "rows read"), list(rows.items()), title=outcome.organization)
    for name, why in outcome.skipped.items():
        show.say(f"Left out {_family(name)}: {why}", "yellow")
    for name, why in outcome.failed.items():
        show.say(f"Failed {_family(name)}: {why}", "red")
    for name, why in outcome.waiting.items():
        show.say(f"Waits {_family(name)}: {why}", "yellow")
    for why in outcome.warnings.values():
        show.say(why, "bold red")
    waited = f", {show.span(outcome.waited)} of it waiting for the rate limit" if outcome.waited >= 1 else ""
    show.say(
        f"{sum(outcome.rows.values()):,} rows in {len(rows)} tables; {outcome.requests:,} requests, "
        f"{outcome.points:,} GraphQL points, {outcome.refused:,} answers 429; {outcome.seconds:.1f} s{waited}"
    )
    if outcome.published:
        rows_of = f"{sum(outcome.published.values()):,} rows of {len(outcome.published)} tables"
        show.say(f"Published what changed into the lake: {rows_of} were written")


def _family(name: str) -> str:
    """A table and those that are read from its pages, which share its fate."""
    return ", ".join(table.name for table in families(catalog().values()).get(name, ())) or name


def answers(connection: duckdb.DuckDBPyConnection) -> dict[str, status.Result]:
    """Each of the demo's questions with its rows."""
    return {question: next(iter(status.run(connection, sql))) for question, sql in ANSWERS.items()}


def tell_answers(found: dict[str, status.Result]) -> None:
    """The demo's answers, for people."""
    for question, result in found.items():
        show.table(result.names, result.rows, title=question)


def _command() -> str:
    """This command as it can be typed here: by its name, or by its path where it is not on PATH."""
    ours = Path(sys.argv[0]).absolute()
    if shutil.which("buildkite-elt") or ours.name != "buildkite-elt" or not ours.is_relative_to(Path.cwd()):
        return "buildkite-elt"
    return str(ours.relative_to(Path.cwd()))


def tell_next(database: Path, usual: Path) -> None:
    """What to type after the demo."""
    where = "" if database == usual else f" --database {shlex.quote(str(database))}"
    us = _command()
    show.say("Next", "bold")
    for command, what in (
        (f"{us} status{where}", "how each table stands"),
        (f"{us} report{where}", "the page anew, after a load"),
        (f"{us} tables jobs", "what a table's columns mean"),
        (f'{us} sql{where} "SELECT * FROM builds LIMIT 3"', "ask something"),  # noqa: S608
        (f"{us} check", "your own organization, once BUILDKITE_API_TOKEN is set"),
    ):
        show.say(f"  {command:<64}  {what}")
