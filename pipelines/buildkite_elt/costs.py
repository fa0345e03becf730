"""What a table costs for 1,000 of its items, in a sentence: for docs/tables.md."""

from __future__ import annotations

import math

from buildkite_ci import graphql
from buildkite_ci.budget import cost
from buildkite_ci.catalog import twin
from buildkite_ci.probe import fixed, listed, walked
from buildkite_ci.table import Errand, GraphQL, Inside, Rest, Table

ITEMS = 1_000
SAID = {
    "agent_tokens": "3,005 points for 1,000 at most: two listings of one page",
    "branch_build_counts": "1,000 points for 1,000 counts, and one for each pipeline in a document of 150 counts",
    "queue_metrics": "3,000 points for 1,000 queues that Buildkite measures, 4,000 for those that it does not; "
    "3 more for each cluster",
}
"""By hand, from their queries: they are no listing of their items."""
MEASURED = {
    "annotations": 3_350,
    "build_details": 3_170,
    "build_env": 1_000,
    "build_webhooks": 2_000,
    "job_details": 3_250,
    "job_events": 16_050,
    "schedule_builds": 3_000,
}
"""Points for 1,000 rows of each work list, as the local Buildkite's demo counts them (tests/test_points.py)."""


def told(table: Table) -> str:
    """The sentence; what is computed says so, and so does what is measured."""
    fetch = table.fetch
    if isinstance(fetch, Rest):
        return f"{_rest(fetch)} (computed)."
    if isinstance(fetch, Inside):
        return f"nothing of its own: it is read from the pages of {fetch.table}."
    if isinstance(fetch, Errand):
        return _errand(table, fetch)
    if isinstance(fetch, GraphQL):
        return f"{SAID.get(table.name) or _pages(table)} (computed)."
    return "nothing: the loader writes it."


def _rest(fetch: Rest) -> str:
    if fetch.each:
        return f"{ITEMS:,} requests for {ITEMS:,} {fetch.each}, and their listing"
    if fetch.since:
        return f"{walked(ITEMS)} requests for {ITEMS:,}; of a later load, three where nothing is new"
    return "1 request" if fetch.one or not fetch.paged else f"{listed(ITEMS)} requests for {ITEMS:,}"


def _pages(table: Table) -> str:
    """By the query's own page size; what a node may hold is counted whole, though Buildkite counts what there is."""
    request = graphql.read(twin(table))
    size, page = graphql.page_size(request), fixed(table)
    points = math.ceil(ITEMS / size) * page + ITEMS * (cost(request.document) - page) // size
    return f"{points:,} points for {ITEMS:,} at most, {math.ceil(ITEMS / size)} requests of GraphQL"


def _errand(table: Table, errand: Errand) -> str:
    asked = f"{ITEMS:,} {errand.of} that it is asked for"
    if table.name not in MEASURED:
        return f"{ITEMS:,} requests for {asked} (computed)."
    points = f"{MEASURED[table.name]:,} points for {asked} (measured on the local Buildkite)"
    if errand.path:
        points += f"; without the scope `graphql`, {ITEMS:,} requests"
    return f"{points}."
