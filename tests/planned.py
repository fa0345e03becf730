"""A plan before each load, and the one held against the other."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from buildkite_ci.budget import Limits
from buildkite_ci.catalog import with_families
from buildkite_ci.choice import Choice, Filter
from buildkite_elt.database import connect
from buildkite_elt.loads import Origin, Outcome, Target, load
from buildkite_elt.plan import plan
from buildkite_elt.standin import Standin

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
Row = dict[str, Any]

LAST = "(SELECT run_id FROM ci.sync_runs GROUP BY run_id ORDER BY max(finished_at) DESC LIMIT 1)"


def usage(file: Path) -> dict[tuple[str, str], tuple[int, int]]:
    """What the last load says that it spent: {(api, table): (requests, points)}."""
    sql = f"SELECT api, table_name, requests, points FROM ci.api_usage WHERE run_id = {LAST}"
    with connect(file) as connection:
        return {(api, table): (requests, points) for api, table, requests, points in connection.execute(sql).fetchall()}


RARE = {"schedule_builds": 100}
"""Points that the plan may be off where few of the builds that it looks at are asked for."""


def near(planned: int, real: int, name: str, least: int = 0) -> None:
    """Within 15 %, or `least`."""
    assert abs(planned - real) <= max(0.15 * real, least), f"{name}: planned {planned}, cost {real}"


class Both:
    """A stand-in, a file, and a plan before each load."""

    def __init__(self, standin: Standin, file: Path) -> None:
        self.standin, self.target = standin, Target(database=file)
        self.origin = Origin(tuple(standin.world.organizations), standin.token, standin.rest_url, standin.graphql_url)

    def choose(self, *filters: Filter, **choices: Choice) -> None:
        self.origin = replace(self.origin, choices=choices, filter=next(iter(filters), Filter()))

    def plan(self, *tables: str, since: datetime = LONG_AGO, limits: Limits | None = None) -> Row:
        origin = replace(self.origin, limits=limits)
        before = len(self.standin.seen)
        (found,) = plan(origin, self.target, tables, since, sleep=self.standin.clock.sleep)
        spent = self.standin.count(since=before)
        assert sum(one["requests"] for one in found["probes"]) == spent.requests
        assert sum(one["points"] for one in found["probes"]) == spent.points
        assert all(one["what"] for one in found["probes"])
        return found

    def load(self, *tables: str, since: datetime = LONG_AGO) -> Outcome:
        (outcome,) = load(self.origin, self.target, tables, since, sleep=self.standin.clock.sleep)
        assert not outcome.failed
        assert not outcome.skipped
        return outcome

    def compare(self, *tables: str, since: datetime = LONG_AGO) -> Row:
        """Plan, load, and hold the one against the other, table by table and in total."""
        found = self.plan(*tables, since=since)
        outcome = self.load(*tables, since=since)
        requests, points, rest = Counter[str](), Counter[str](), Counter[str]()
        for (api, name), (asked, cost) in usage(self.target.database).items():
            requests[name] += asked
            points[name] += cost
            rest[name] += asked * (api == "rest")
        lines: dict[str, Row] = defaultdict(lambda: {"requests": 0, "rest_requests": 0, "points": 0})
        lines.update({line["table"]: line for line in found["tables"]})
        for name in requests.keys() | {name for name, line in lines.items() if line["requests"]}:
            near(lines[name]["requests"], requests[name], f"requests of {name}", 1)
            near(lines[name]["rest_requests"], rest[name], f"REST requests of {name}", 1)
            near(lines[name]["points"], points[name], f"points of {name}", RARE.get(name, 0))
        near(found["total"]["requests"], outcome.requests, "requests", 1)
        near(found["total"]["points"], outcome.points, "points")
        assert lines.keys() >= with_families(tables).keys()
        return found
