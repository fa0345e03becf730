"""`plan`: what a load would cost, told by cheap counts before anything is spent on data (buildkite_ci.probe).

It reads the file's own state, so of a second load it says what that one would cost. Nothing is written.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from buildkite_ci.budget import Budget, Limits
from buildkite_ci.catalog import catalog, families, with_families
from buildkite_ci.choice import Filter
from buildkite_ci.errors import BuildkiteError, ScopeMissing, Stopped, TokenRefused
from buildkite_ci.probe import LIGHT, Cost, Counts, Probe, listed, walked, windows
from buildkite_ci.sync import newer
from buildkite_ci.table import Errand, GraphQL, Inside, Rest, Table
from buildkite_ci.times import told
from buildkite_ci.wire import Wire

from . import show
from .known import Known, done, read
from .plan_asks import Asks
from .plan_lists import Lists

if TYPE_CHECKING:
    from .loads import Origin, Target

USUAL = {"rest": {"user": 50, "organization": 200}, "graphql": {"user": 5_000, "organization": 20_000}}
"""Limits of a window where no answer told of it (api.md 2.1, 2.2)."""
WINDOW = {"rest": 1.0, "graphql": 5.0}
"""Minutes."""
TYPICAL = 1_500
"""Bytes of an item where no load has told yet, roughly."""
PAGE = 20
"""Builds that are read to see how many jobs and bytes one has, where no load has told yet."""
BRANCHES = "branch_build_counts"
"""The GraphQL table that is asked pipeline by pipeline."""
STANDING = {"agents", "members", "clusters", "teams"}


@dataclass(frozen=True)
class Line:
    """One table of the plan. `why`: why it would be left out, or what is odd about its figures; rows, bytes: None
    where nothing tells; rest_requests: those of the requests that are limited."""

    table: str
    api: str
    requests: int = 0
    rest_requests: int = 0
    points: int = 0
    rows: int | None = None
    bytes: int | None = None
    why: str = ""


def plan(
    origin: Origin,
    target: Target,
    wanted: tuple[str, ...] = (),
    since: datetime | None = None,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> list[dict[str, Any]]:
    """What a load of these tables since `since` (30 days back for None) would cost: one JSON object for each
    organization. Raises what errors.py lists."""
    found, since = [], since or datetime.now(UTC) - timedelta(days=30)
    for slug in origin.organizations:
        budget = Budget(reserve=origin.reserve)
        with Wire(origin.token, origin.rest_url, origin.graphql_url, budget=budget, sleep=sleep) as wire:
            probe, selected = Probe(wire, slug), with_families(wanted)
            scopes = probe.scopes()
            known = read(target, slug, since, origin.choices, probe.at if "builds" in selected else None)
            lines = _Planner(probe, scopes, known, since, origin, target).lines(selected)
            found.append(_document(origin, slug, since, known, lines, probe))
    return found


class _Planner:
    """The lines of one plan; asks as little as they need."""

    def __init__(
        self, probe: Probe, scopes: frozenset[str], known: Known, since: datetime, origin: Origin, target: Target
    ) -> None:
        self.probe, self.scopes, self.known, self.since = probe, scopes, known, since
        self.filter = origin.filter
        self.counts = Counts()
        self.lists = Lists(probe, known, since, origin.choices, partial(done, target))
        self.asks = Asks(probe, known, since, origin.choices)
        self.chosen = Cost()

    def lines(self, selected: Mapping[str, Table]) -> list[Line]:
        able = {n: t for n, t in selected.items() if t.scope in ("", *self.scopes)}
        above = {name for table in able.values() for name in _above(table)}
        parents = {name: catalog()[name] for name in sorted(above - able.keys())}
        self._count(able, parents)
        self._filtered(able)
        self.lists.coming, self.asks.named = self._coming(able), "queue_jobs" in able
        found: list[Line] = []
        for family, readers in families(selected.values()).items():
            if family in able:
                found += self._family(catalog()[family], readers)
            else:
                found += [Line(one.name, one.api, why=str(ScopeMissing(one.scope))) for one in readers]
        spend = {line.table for line in found if line.rest_requests}
        needed = {
            above for n, t in able.items() if n in spend or not isinstance(t.fetch, Errand) for above in _above(t)
        }
        found += [self._parent(parent) for name, parent in parents.items() if name in needed]
        return sorted(found, key=lambda line: line.table)

    def _count(self, able: Mapping[str, Table], parents: Mapping[str, Table]) -> None:
        """How long each listing is: by GraphQL where the token may, else by REST."""
        spans = windows(self.known.kept, self.since, self.probe.at or self.since, _lag()) if "builds" in able else []
        if "graphql" in self.scopes:
            if STANDING & (able.keys() | parents.keys()):
                self.probe.standing(self.counts)
            if {"builds", "pipelines"} & able.keys() or any(map(_one_by_one, able.values())):
                self.probe.pipelines(self.counts, spans)
                self.asks.pipelines = list(self.counts.pipelines.values())
        for name, table in {**able, **parents}.items():
            fetch = table.fetch
            if not isinstance(fetch, Rest) or fetch.each or fetch.one or not fetch.paged:
                continue
            if not fetch.since and name not in self.counts.listings:
                self.counts.listings[name] = self.probe.count(fetch.path, name) or 0
            elif fetch.since and not self.counts.builds:
                self.counts.builds = [self._between(fetch, *span) for span in spans]

    def _between(self, fetch: Rest, begin: datetime, end: datetime | None) -> int:
        asked = {**LIGHT, "created_from": told(begin), **({"created_to": told(end)} if end else {})}
        return self.probe.count(fetch.path, "builds created", asked) or 0

    def _filtered(self, able: Mapping[str, Table]) -> None:
        """Leave the pipelines that the filter leaves, where some table asks for them one by one."""
        if self.filter != Filter() and any(_one_by_one(table) for table in able.values()):
            chosen, self.chosen = self.probe.chosen(self.filter)
            self.asks.pipelines = [one for one in self.asks.pipelines if one["uuid"] in chosen]
            self.counts.asked = len(chosen)
        schedules = [one["schedules"]["count"] for one in self.asks.pipelines]
        if "graphql" in self.scopes:
            self.counts.children["pipeline_schedules"] = schedules

    def _coming(self, able: Mapping[str, Table]) -> tuple[Mapping[str, Any], int] | None:
        """The builds that the load would bring and a work list could ask for: of a later load those that ended since,
        and those of what is not read yet. The filter of the most of them, and how many there are."""
        fetch = catalog()["builds"].fetch
        if "builds" not in able or not any(isinstance(table.fetch, Errand) for table in able.values()):
            return None
        if not self.known.kept.get("covered") or not isinstance(fetch, Rest):
            return {"created_from": told(self.since)}, sum(self.counts.builds)
        ended, further = self._ended(fetch, timedelta(0)), sum(self.counts.builds[1:])
        begin, finished = self._finished(fetch, timedelta(0))
        if further > ended:
            return {"created_from": told(self.since), "created_to": begin}, ended + further
        return {"created_from": begin, **finished}, ended + further

    def _parent(self, table: Table) -> Line:
        cost = listed(self.counts.listings.get(table.name, 0))
        return Line(table.name, table.api, cost, cost, why="its listing only: other tables are asked for by it")

    def _family(self, table: Table, readers: Sequence[Table]) -> list[Line]:
        try:
            cost = self._cost(table)
        except (TokenRefused, Stopped):
            raise
        except BuildkiteError as error:
            return [Line(one.name, one.api, why=str(error)) for one in readers]
        size, found = self._size(table), []
        for one in readers:
            rows = self._rows(one, cost)
            weight = round(cost.rows * size) if one is table and cost.rows is not None else None
            mine = cost if one is table else Cost()
            found.append(
                Line(one.name, one.api, mine.rest + mine.documents, mine.rest, mine.points, rows, weight),
            )
        return found

    def _cost(self, table: Table) -> Cost:
        fetch, cost = table.fetch, Cost()
        if isinstance(fetch, GraphQL):
            given = {**self.filter.variables(), "since": told(newer(self.known.begun.get(table.name, {}), self.since))}
            cost = self.asks.cost(table.name) if fetch.many else self.probe.document(table, given)
        elif isinstance(fetch, Errand):
            cost = self.lists.cost(table, fetch)
        elif isinstance(fetch, Rest):
            cost = self._windowed(fetch) if fetch.since else self._listing(table, fetch)
        if _one_by_one(table):  # the first of them asks which pipelines there are
            cost = Cost(cost.rest, cost.documents + self.chosen.documents, cost.points + self.chosen.points, cost.rows)
            self.chosen = Cost()
        return cost

    def _listing(self, table: Table, fetch: Rest) -> Cost:
        if fetch.each:
            parents = self.counts.listings.get(fetch.each, 0)
            if fetch.each == "pipelines" and self.counts.asked is not None:
                parents = self.counts.asked
            children = self.counts.children.get(table.name, [])[:parents]
            unseen = parents - len(children)
            rows = sum(children) if not unseen else self.known.rows.get(table.name)
            return Cost(sum(map(listed, children)) + unseen, rows=rows)
        if fetch.one or not fetch.paged:
            return Cost(1, rows=1 if fetch.one else self.known.rows.get(table.name))
        count = self.counts.listings.get(table.name, 0)
        return Cost(listed(count), rows=count)

    def _windowed(self, fetch: Rest) -> Cost:
        """The walks that sync.py would make: the windows of creation, and of a later load what ended and is open."""
        kept, requests, rows = self.known.kept, sum(map(walked, self.counts.builds)), sum(self.counts.builds)
        if not kept.get("covered") or not fetch.since:
            return Cost(requests, rows=rows)
        asked = {**LIGHT, "created_from": told(datetime.fromisoformat(kept["covered"][0][0]))}
        ended = self._ended(fetch, fetch.since.lag)
        still = self.probe.count(fetch.path, "open builds", {**asked, "state[]": list(fetch.since.open)}) or 0
        lost = max(len(kept.get("open", {})) - ended - still, 0)
        return Cost(requests + walked(ended) + walked(still) + lost, rows=rows + ended + still + lost)

    def _ended(self, fetch: Rest, lag: timedelta) -> int:
        """Builds that ended since the last load, and `lag` before it."""
        kept = self.known.kept
        if not kept.get("covered") or not fetch.since:
            return sum(self.counts.builds)
        begin, finished = self._finished(fetch, lag)
        asked = {**LIGHT, "created_from": begin, **finished}
        return self.probe.count(fetch.path, "builds that ended", asked) or 0

    def _finished(self, fetch: Rest, lag: timedelta) -> tuple[str, dict[str, str]]:
        """Since when what is covered was created, and the filter of what ended since the last load."""
        kept = self.known.kept
        name = fetch.since.finished if fetch.since else ""
        begin = told(datetime.fromisoformat(kept["covered"][0][0]))
        return begin, {name: told(datetime.fromisoformat(kept["swept"]) - lag)}

    def _size(self, table: Table) -> float:
        """Bytes of an item."""
        known = self.known.size.get(table.name)
        if isinstance(table.fetch, Rest) and table.fetch.since and (known is None or self.known.jobs is None):
            jobs, size = self.probe.sample(PAGE, sum(self.counts.builds))
            self.known.jobs = jobs if self.known.jobs is None else self.known.jobs
            return size if known is None else known
        return TYPICAL if known is None else known

    def _rows(self, one: Table, cost: Cost) -> int | None:
        if not isinstance(one.fetch, Inside):
            return cost.rows
        if one.name == "jobs" and cost.rows is not None and self.known.jobs is not None:
            return round(cost.rows * self.known.jobs)
        return len(self.scopes) if one.name == "access_token_scopes" else self.known.rows.get(one.name)


def _above(table: Table) -> tuple[str, ...]:
    """The listings that a table may be asked for by."""
    fetch = table.fetch
    if isinstance(fetch, Rest) and fetch.each:
        return (fetch.each,)
    by_slug = isinstance(fetch, Errand) and "{pipeline}" in fetch.path
    return ("pipelines",) if by_slug or table.name == BRANCHES else ()


def _one_by_one(table: Table) -> bool:
    return table.name == BRANCHES or (isinstance(table.fetch, Rest) and table.fetch.each == "pipelines")


def _lag() -> Any:
    fetch = catalog()["builds"].fetch
    return fetch.since.lag if isinstance(fetch, Rest) and fetch.since else None


def _document(
    origin: Origin, slug: str, since: datetime, known: Known, lines: list[Line], probe: Probe
) -> dict[str, Any]:
    """`plan --json`."""
    windows_of = limits(probe.wire.budget)
    rest = sum(line.rest_requests for line in lines)
    points = sum(line.points for line in lines)

    def minutes(requests: int, points: int) -> dict[str, float]:
        told = {}
        for who in ("user", "organization"):
            spans = (
                amount / usable(windows_of[api][who], origin.reserve) * WINDOW[api]
                for api, amount in (("rest", requests), ("graphql", points))
            )
            told[f"minutes_{who}"] = round(max(spans), 2)
        return told

    allowed = origin.limits or Limits()
    most = usable(windows_of["rest"]["user"], origin.reserve), usable(windows_of["graphql"]["user"], origin.reserve)
    covered = known.kept.get("covered") or []
    return {
        "organization": slug,
        "since": since,
        "covered": covered,
        "tables": [asdict(x) | minutes(x.rest_requests, x.points) for x in lines],
        "total": {
            "requests": sum(line.requests for line in lines),
            "rest_requests": rest,
            "points": points,
            "rows": sum(line.rows or 0 for line in lines),
            "bytes": sum(line.bytes or 0 for line in lines),
            **minutes(rest, points),
        },
        "reserve": origin.reserve,
        "limits": windows_of,
        "later": {
            "requests": _left(rest, allowed.requests, allowed.minutes, most[0], WINDOW["rest"]),
            "points": _left(points, allowed.points, allowed.minutes, most[1], WINDOW["graphql"]),
        },
        "probes": [asdict(one) for one in probe.asked],
    }


def limits(budget: Budget) -> dict[str, dict[str, int]]:
    """The limit of each window, as the answers told it."""
    names, told = {"user": "RateLimit-User", "organization": "RateLimit"}, budget.buckets
    return {
        api: {who: told[api, name].limit if (api, name) in told else USUAL[api][who] for who, name in names.items()}
        for api in USUAL
    }


def usable(limit: int, reserve: float) -> int:
    """What a window leaves beside the reserve, 1 at least."""
    return max(limit - int(limit * reserve), 1)


def _left(amount: int, most: int | None, minutes: float | None, window: int, length: float) -> int:
    """What this run's own limits leave for a later one. The first window is there at once."""
    by_time = None if minutes is None else (math.floor(minutes / length) + 1) * window
    return max([0, *(amount - one for one in (most, by_time) if one is not None)])


COLUMNS = ("requests", "points", "rows", "bytes", "minutes_user", "minutes_organization")


def tell(found: dict[str, Any]) -> None:
    """A plan for people."""
    names = ("table", "api", "requests", "points", "rows", "size", "min, your limit", "min, organization's")
    lines = [one for one in found["tables"] if not one["why"] or one["requests"]]
    show.table(
        names,
        [_cells(one) for one in [*lines, {"table": "total", "api": ""} | found["total"]]],
        title=found["organization"],
    )
    for one in found["tables"]:
        if one["why"]:
            show.say(f"{one['table']}: {one['why']}", "" if one["requests"] else "yellow")
    covered, later, asked = found["covered"], found["later"], found["probes"]
    begun = f"Builds are loaded until {covered[-1][1][:16]} UTC: this is what is new" if covered else "A first load"
    show.say(f"{begun}. Of each window {found['reserve']:.0%} is left for others")
    if later["requests"] or later["points"]:
        left = f"{later['requests']:,} requests and {later['points']:,} points"
        show.say(f"The limits of this run leave {left} for a later one; the newest builds come first", "yellow")
    spent = f"{sum(one['requests'] for one in asked)} requests, {sum(one['points'] for one in asked)} points"
    show.say(f"To know this, {spent} were spent:", "dim")
    for one in asked:
        show.say(f"  {one['what']}: {one['requests']} requests, {one['points']} points", "dim")


def _cells(line: dict[str, Any]) -> list[Any]:
    size = None if line["bytes"] is None else show.size(line["bytes"])
    told = [size if name == "bytes" else line[name] for name in COLUMNS]
    return [line["table"], line["api"], *told]
