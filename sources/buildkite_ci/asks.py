"""What a GraphQL table is asked for, where that is more than one listing: each branch, each queue, each group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from . import queues, warehouse
from .batch import many
from .catalog import twin
from .choice import EVERY
from .errors import BuildkiteError
from .rest import Page
from .table import Table
from .times import told

if TYPE_CHECKING:
    from .extract import Run

BRANCHES = 3
"""Branches of a pipeline that are counted where none is named: its default branch, and those that are built most."""
GROUPS = 200
"""Concurrency groups that are asked for where none is named: those of the jobs that were read last."""

TOKENS = 500
"""Agent tokens that a listing may hold; it has no pages (api.md 5.7)."""

HOLDING = {"ACCEPTED", "ASSIGNED", "CANCELING", "RESERVED", "RUNNING", "SCHEDULED", "TIMING_OUT"}
"""States of a job that its concurrency group has let through and that has not ended (api.md 5.5, 7.5)."""

BUILT_MOST = """
SELECT pipeline_id, branch FROM {builds} WHERE organization_slug = %s AND gone_at IS NULL
GROUP BY pipeline_id, branch ORDER BY count(*) DESC, branch
"""
KNOWN_GROUPS = """
SELECT concurrency_group FROM {job_details} WHERE organization_slug = %s AND concurrency_group IS NOT NULL
GROUP BY concurrency_group ORDER BY max(last_seen_at) DESC, concurrency_group
"""


def agent_tokens(run: Run, table: Table) -> Iterator[Page]:
    """The organization once: its listings of agent tokens have no pages (api.md 5.7)."""
    for page in _read(run, table, [{}], [{}]):
        more = sum(max(item[name]["count"] - TOKENS, 0) for item in page.items for name in ("current", "revoked"))
        if more:
            run.report.failed[table.name] = BuildkiteError(
                f"Buildkite lists {TOKENS} of each kind, {more} more are there"
            )
        yield page


def branch_build_counts(run: Run, table: Table) -> Iterator[Page]:
    """The builds of each pipeline's branches, by state where states are named."""
    choice, built = run.choice(table), dict[str, list[str]]()
    if not choice.branches:
        for row in warehouse.select(BUILT_MOST, {"builds": "builds"}, (run.organization,)):
            built.setdefault(row["pipeline_id"], []).append(row["branch"])
    since, until = (told(one) if one else None for one in (choice.since, choice.until))
    asks, rows = [], []
    for pipeline in run.parents("pipelines"):
        named = [pipeline.get("default_branch"), *built.get(pipeline["id"], ())]
        for branch in choice.branches or list(dict.fromkeys(filter(None, named)))[:BRANCHES]:
            for state in choice.states or (EVERY,):
                asked: dict[str, Any] = {"pipeline": f"{run.organization}/{pipeline['slug']}", "branch": [branch]}
                asked |= {"state": None if state == EVERY else [state.upper()]}
                asks.append(asked | {"createdAtFrom": since, "createdAtTo": until})
                row = {"pipeline_id": pipeline["id"], "pipeline_slug": pipeline["slug"], "branch": branch}
                rows.append(row | {"state": state, "created_from": since or "", "created_to": until or ""})
    yield from _read(run, table, asks, rows)


def concurrency_group_jobs(run: Run, table: Table) -> Iterator[Page]:
    """The jobs that hold or await each group, those that wait in the order of their making (api.md 5.5)."""
    known = warehouse.select(KNOWN_GROUPS, {"job_details": "job_details"}, (run.organization,))
    groups = run.choice(table).groups or tuple(row["concurrency_group"] for row in known[:GROUPS])
    asks, rows = [{"group": one} for one in groups], [{"concurrency_group": one} for one in groups]
    for page in _read(run, table, asks, rows):
        items = sorted(page.items, key=lambda job: (job["state"] not in HOLDING, job["created_at"], job["id"]))
        waits = count(1)
        for job in items:
            job["position"] = None if job["state"] in HOLDING else next(waits)
        yield replace(page, items=items)


def queue_metrics(run: Run, table: Table) -> Iterator[Page]:
    """The latest minute of every queue that Buildkite measures, and the depth of the others now, by counts."""
    yield from queues.metrics(run, table)


def queue_jobs(run: Run, table: Table) -> Iterator[Page]:
    """The jobs of the queues that are named, or of all, created in the time frame."""
    yield from queues.jobs(run, table)


def _read(run: Run, table: Table, asks: list[dict[str, Any]], rows: list[dict[str, Any]]) -> Iterator[Page]:
    """A page for each answer; what is not there (any more) has none. A reading of the moment, so all bear the time of
    the first answer."""
    at: datetime | None = None
    for found in many(run.wire, twin(table), asks, {"organization": run.organization}):
        if found.error:
            run.report.failed[table.name] = found.error
        elif found.at and found.items:
            at = at or found.at
            yield Page([{**rows[found.number], **item} for item in found.items], at)


ASKS: Mapping[str, Callable[[Run, Table], Iterator[Page]]] = {
    one.__name__: one for one in (agent_tokens, branch_build_counts, concurrency_group_jobs, queue_metrics, queue_jobs)
}
