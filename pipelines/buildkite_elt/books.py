"""The load's own books: what each table cost, what became of it and what waits, as rows of three tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import dlt

from buildkite_ci import warehouse
from buildkite_ci.catalog import catalog
from buildkite_ci.resources import hints
from buildkite_ci.sync import State
from buildkite_ci.table import Errand

if TYPE_CHECKING:
    from dlt.extract import DltSource

    from buildkite_ci.extract import Run

    from .loads import Outcome

Row = dict[str, Any]
MISSING = """
SELECT count(*) AS missing FROM {gaps} AS g WHERE g.organization_slug = %s AND g.found
AND NOT EXISTS (SELECT 1 FROM {builds} AS b WHERE b.pipeline_id = g.pipeline_id AND b.number = g.number)
"""
SOON = timedelta(days=3)
"""Builds that Buildkite will delete within this time are warned of."""


def of(run: Run, outcome: Outcome, began: datetime) -> DltSource:
    """A dlt source of the books' rows. `began`: when the load did."""
    coverage = list(_coverage(run, outcome))
    for name, found in (("oldest_missing_at", outcome.oldest_missing), ("covered_to", outcome.covered)):
        found |= {row["table_name"]: datetime.fromisoformat(row[name]) for row in coverage if row.get(name)}
    missing = warehouse.select(MISSING, {"gaps": "build_gaps", "builds": "builds"}, (outcome.organization,))
    outcome.missing_builds = missing[0]["missing"] if missing else 0
    return _source(run, outcome, began, load_coverage=coverage)


def failure(run: Run, outcome: Outcome, began: datetime) -> DltSource:
    """The rows of a load that an error ended; what it covered the next one says."""
    return _source(run, outcome, began)


def _source(run: Run, outcome: Outcome, began: datetime, **more: list[Row]) -> DltSource:
    ended = datetime.now(began.tzinfo)
    books = {"api_usage": list(_usage(run)), "sync_runs": list(_runs(outcome, began, ended)), **more}

    def rows(name: str) -> Iterator[Any]:
        given = {"run_id": outcome.run_id, "organization_slug": outcome.organization, "observed_at": ended.isoformat()}
        yield catalog()[name].read(books[name], given)

    def resources() -> Iterator[Any]:
        for name in books:
            yield dlt.resource(rows(name), name=name, **hints(catalog()[name]))

    return dlt.source(resources, name="buildkite_ci", max_table_nesting=0)()


def _usage(run: Run) -> Iterator[Row]:
    for (api, table), spent in sorted(run.wire.budget.by_table.items()):
        yield {
            "api": api,
            "table_name": table,
            "requests": spent.requests,
            "points": spent.points,
            "bytes": spent.bytes,
            "refused": spent.refused,
            "waited_seconds": float(spent.waited),
        }


def _reasons(outcome: Outcome) -> dict[str, tuple[str, str]]:
    """Table -> what became of it and why, where it was not simply loaded."""
    cut = dict.fromkeys(outcome.unfinished, "The load was interrupted before this was in the database")
    told = (("failed", cut), ("waiting", outcome.waiting), ("skipped", outcome.skipped), ("failed", outcome.failed))
    return {table: (what, why) for what, tables in told for table, why in tables.items()}


def became(outcome: Outcome) -> dict[str, tuple[str, str | None]]:
    """{table: what became of it, as in sync_runs, and why}, in the order of their names."""
    reasons = _reasons(outcome)
    return {table: reasons.get(table, ("loaded", None)) for table in sorted(outcome.rows.keys() | reasons.keys())}


def _runs(outcome: Outcome, began: datetime, ended: datetime) -> Iterator[Row]:
    for table, (what, why) in became(outcome).items():
        times = {"started_at": began.isoformat(), "finished_at": ended.isoformat()}
        yield {"table_name": table, "outcome": what, "reason": why, "rows": outcome.rows.get(table, 0), **times}


def leaving(run: Run, retention: timedelta | None, now: datetime) -> dict[str, str]:
    """The listings with builds that leave Buildkite's retention soon and are not loaded yet: {table: a warning}."""
    found = {}
    for table, state in run.report.states.items():
        gap = state.gap() or (None if state.covered else (run.since, now))
        if retention and gap and gap[0] < now - retention + SOON:
            until = f"{min(gap[1], now - retention + SOON):%Y-%m-%d %H:%M} UTC"
            found[table] = (
                f"Builds created before {until} are not loaded yet, and Buildkite keeps them {retention.days} days: "
                "load again soon, with a larger budget"
            )
    return found


def _coverage(run: Run, outcome: Outcome) -> Iterator[Row]:
    because = {"waiting": "budget", "skipped": "scope", "failed": "error"}
    reasons = {table: because[what] for table, (what, _) in _reasons(outcome).items()}
    reasons |= dict.fromkeys(outcome.warnings, "retention")
    for table in sorted(outcome.rows.keys() | reasons.keys()):
        declared = catalog()[table]
        row: Row = {"table_name": table, "reason": reasons.get(table)}
        if declared.family in run.report.states:
            row |= _span(run.report.states[declared.family], run.since)
        elif isinstance(declared.fetch, Errand):
            every, waiting, oldest = run.todo(declared).tally()
            oldest_at = oldest and oldest.isoformat()
            row |= {"selected": every, "loaded": every - waiting, "waiting": waiting, "oldest_missing_at": oldest_at}
        elif table not in reasons:
            row |= {"selected": outcome.rows[table], "loaded": outcome.rows[table], "waiting": 0}
        yield row


def _span(state: State, since: datetime) -> Row:
    """What is covered of a window's selection; `since` to the newest covered moment is what it held."""
    covered, gap = state.covered, state.gap()
    row: Row = {"selected_from": since.isoformat()}
    if covered:
        row |= {"covered_from": covered[-1][0].isoformat(), "covered_to": covered[-1][1].isoformat()}
    if gap or not covered:
        begin, end = gap or (since, None)
        row |= {"missing_from": begin.isoformat(), "missing_to": end and end.isoformat()}
        row |= {"oldest_missing_at": since.isoformat()}
    return row
