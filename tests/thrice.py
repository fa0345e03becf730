"""The course that each destination goes through: a first load, one with nothing new, and one after half a day."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from buildkite_ci.catalog import catalog
from buildkite_elt.loads import Origin, Target, load
from buildkite_elt.standin import Budgets, Standin
from buildkite_elt.standin.demo import demo

FREE = Budgets(rest=10**6, rest_user=10**6, graphql=10**6, graphql_user=10**6)
TABLES = (*(name for name, table in catalog().items() if table.by_default), "job_logs")
CHANGED = "Another description"
"""What the description of a team becomes before the last load: a new version of its row."""


@dataclass(frozen=True)
class Took:
    """A load: seconds by the clock, requests, and builds that were read."""

    seconds: float
    requests: int
    builds: int


def served(builds_per_day: int) -> Standin:
    """The world of the course, with no limits."""
    return Standin(demo(days=16, pipelines=12, builds_per_day=builds_per_day), budgets=FREE)


def loads(standin: Standin, target: Target, before_last: Callable[[], object] = lambda: None) -> list[Took]:
    """The three loads. Raises AssertionError where one did not do all that was asked."""
    origin = Origin(("acme-inc",), standin.token, standin.rest_url, standin.graphql_url)
    took = []
    for turn in range(3):
        if turn == 2:
            standin.world.advance(timedelta(hours=12))
            with standin.world.lock:
                next(iter(standin.world.organizations["acme-inc"].teams.values()))["description"] = CHANGED
            before_last()
        asked, began = len(standin.seen), time.perf_counter()
        (outcome,) = load(origin, target, TABLES, datetime(2020, 1, 1, tzinfo=UTC), sleep=standin.clock.sleep)
        assert (outcome.exit_code, outcome.warnings) == (0, {}), outcome
        took.append(Took(time.perf_counter() - began, len(standin.seen) - asked, outcome.rows["builds"]))
    return took


def versions(teams: str) -> str:
    """SQL that counts the versions of the team that changed; teams: the table's qualified name."""
    return f"SELECT count(*) FROM {teams} WHERE id IN (SELECT id FROM {teams} WHERE description = '{CHANGED}')"
