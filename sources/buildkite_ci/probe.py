"""Cheap questions before the dear ones: how much there is, told by counts, and what reading it would cost.

A count costs two GraphQL points a pipeline, or one REST request for a page of one item: the number of its last page is
the count (api.md 2.2, 3.1). Each question is kept with what it cost.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gql import GraphQLRequest

from . import graphql
from .budget import cost
from .catalog import twin
from .rest import PER_PAGE, onward
from .sync import Interval, State
from .table import Table
from .times import told
from .wire import Wire

Window = tuple[datetime, datetime | None]
"""A span of created_at; without an end it reaches until now."""
NEW = PER_PAGE - 1
"""Items that a page of a walk adds: its first one came before (rest.walk)."""
SAMPLE = 5
"""Nodes of a GraphQL listing that tell what a node costs."""
DEEP = 1_000
"""Builds back that a page is asked for by number; Buildkite does not say how deep is too deep (api.md 3.1)."""
LIGHT = {"exclude_jobs": "true", "exclude_pipeline": "true"}

BUILD_STATES = ["CREATING", "SCHEDULED", "RUNNING", "FAILING", "PASSED", "FAILED"]
BUILD_STATES += ["BLOCKED", "CANCELING", "CANCELED", "SKIPPED", "NOT_RUN"]
"""As GraphQL spells them; those of REST are the same in small letters (api.md 4.3, 5.0)."""

STANDING = """
query PlanListings($organization: ID!) {
  organization(slug: $organization) {
    agents { count }
    members { count }
    clusters(first: 100) { count edges { node { queues { count } } } }
    teams(first: 250) { count edges { node { members { count } pipelines { count } } } }
  }
}
"""
PIPELINES = """
query PlanPipelines($organization: ID!, $after: String) {
  organization(slug: $organization) {
    pipelines(first: 100, after: $after) {
      pageInfo { hasNextPage endCursor }
      edges { node { uuid slug schedules { count } BUILDS } }
    }
  }
}
"""
CHILDREN = {
    "cluster_queues": ("clusters", "queues"),
    "team_members": ("teams", "members"),
    "team_pipelines": ("teams", "pipelines"),
    "pipeline_schedules": ("pipelines", "schedules"),
}
"""Table -> the listing of its parents, and the connection of a parent that counts it."""


@dataclass(frozen=True)
class Asked:
    """One probe and what it cost."""

    what: str
    requests: int
    points: int


@dataclass
class Counts:
    """How long the listings are. `children`: of each parent; `builds`: in each window that was asked for."""

    listings: dict[str, int] = field(default_factory=dict)
    children: dict[str, list[int]] = field(default_factory=dict)
    builds: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Cost:
    """What reading one listing takes, and the rows that it gives; None where that cannot be told."""

    requests: int
    points: int = 0
    rows: int | None = None


@dataclass
class Probe:
    """Asks about one organization; `asked` tells what."""

    wire: Wire
    organization: str
    asked: list[Asked] = field(default_factory=list)
    at: datetime | None = None
    """The server's clock at the first answer."""

    @contextmanager
    def asking(self, what: str) -> Iterator[None]:
        before = self.wire.budget.spent
        try:
            yield
        finally:
            after = self.wire.budget.spent
            requests = sum(after[api].requests - before[api].requests for api in after)
            points = sum(after[api].points - before[api].points for api in after)
            self.asked.append(Asked(what, requests, points))

    def told(self) -> list[Asked]:
        """What was asked, what was asked several times in one."""
        found: dict[str, Asked] = {}
        for one in self.asked:
            had = found.get(one.what, Asked(one.what, 0, 0))
            found[one.what] = Asked(one.what, had.requests + one.requests, had.points + one.points)
        return list(found.values())

    def scopes(self) -> frozenset[str]:
        """What the token may do."""
        with self.asking("what the token may do"):
            answer = self.wire.get("access-token", shape=dict)
        self.at = answer.at
        return frozenset(map(str, answer.body.get("scopes") or self.wire.scopes or ()))

    def count(self, path: str, what: str, params: Mapping[str, Any] | None = None) -> int | None:
        """How many items a REST listing has; None where it names no last page."""
        with self.asking(f"{what} (REST, one item)"):
            answer = self.wire.get(path.format(organization=self.organization), {**(params or {}), "per_page": 1})
        if not answer.next:
            return len(answer.body)
        number = parse_qs(urlsplit(answer.last or "").query).get("page", [""])[0]
        return int(number) if number.isdecimal() else None

    def sample(self, size: int, among: int) -> tuple[float, float]:
        """Jobs and bytes of a build, by a page from the middle of the newest builds."""
        page = max(min(among // (2 * size), DEEP // size), 1)
        with self.asking(f"jobs and bytes of a build (REST, a page of {size})"):
            asked = {"per_page": size, "page": page, "include_retried_jobs": "true"}
            answer = self.wire.get(f"organizations/{self.organization}/builds", asked)
        count = max(len(answer.body), 1)
        return sum(len(build.get("jobs") or ()) for build in answer.body) / count, answer.size / count

    def standing(self, counts: Counts) -> None:
        """Agents, members, clusters with their queues, teams with their members and pipelines: one document."""
        with self.asking("agents, members, clusters, queues and teams (GraphQL counts)"):
            data, _ = self._execute(STANDING, {})
        for name, found in data.items():
            counts.listings[name] = found["count"]
            self._children(counts, name, found)

    def pipelines(self, counts: Counts, windows: Sequence[Window]) -> None:
        """Pipelines, their schedules, and their builds in each window: a document for every hundred pipelines."""
        parts = [f"w{at}: builds({_between(*window)}) {{ count }}" for at, window in enumerate(windows)]
        counts.builds, counts.listings["pipelines"] = [0] * len(windows), 0
        for node in self._every_pipeline(" ".join(parts), "pipelines, schedules and builds (GraphQL counts)"):
            counts.listings["pipelines"] += 1
            counts.children.setdefault("pipeline_schedules", []).append(node["schedules"]["count"])
            counts.builds = [so_far + node[f"w{at}"]["count"] for at, so_far in enumerate(counts.builds)]

    def _every_pipeline(self, counts: str, what: str) -> Iterator[Mapping[str, Any]]:
        """Each pipeline with these `counts` of its builds."""
        after = None
        while True:
            with self.asking(what):
                data, _ = self._execute(PIPELINES.replace("BUILDS", counts), {"after": after})
            found = data["pipelines"]
            yield from graphql.nodes(found, "pipelines")
            if not found["pageInfo"]["hasNextPage"]:
                return
            after = found["pageInfo"]["endCursor"]

    def states(self, begin: datetime, end: datetime) -> tuple[dict[str, str], dict[tuple[str, str], int]]:
        """{pipeline: slug} and {(pipeline, state): builds created in [begin, end)}, "" for all states: a document for
        every hundred pipelines."""
        parts = [f"ALL: builds({_between(begin, end)}) {{ count }}"]
        parts += [f"{state}: builds({_between(begin, end)}, state: {state}) {{ count }}" for state in BUILD_STATES]
        slugs: dict[str, str] = {}
        found: dict[tuple[str, str], int] = {}
        for node in self._every_pipeline(" ".join(parts), "builds by pipeline and state (GraphQL counts)"):
            slugs[node["uuid"]] = node["slug"]
            for state in ("ALL", *BUILD_STATES):
                found[node["uuid"], "" if state == "ALL" else state.lower()] = node[state]["count"]
        return slugs, found

    def _children(self, counts: Counts, parent: str, found: Mapping[str, Any]) -> None:
        if "edges" in found:
            nodes = graphql.nodes(found, parent)
            for table, (of, connection) in CHILDREN.items():
                if of == parent:
                    counts.children.setdefault(table, []).extend(node[connection]["count"] for node in nodes)

    def _execute(self, text: str, variables: Mapping[str, Any]) -> tuple[Any, Any]:
        given = {"organization": self.organization, **variables}
        data, answer = graphql.execute(self.wire, GraphQLRequest(text), given, "plan")
        return graphql.follow(data, ["organization"], "plan", self.organization), answer

    def document(self, table: Table) -> Cost:
        """What a GraphQL table costs: its own document with its `count`, and with few nodes, which tell the points and
        the rows of one."""
        file = twin(table)
        request = graphql.read(file)
        path = graphql.page_path(request, file.name)
        few, none = (graphql.resized(request, size, count=True) for size in (SAMPLE, 0))
        given = {"organization": self.organization, "after": None}
        with self.asking(f"{table.name} (GraphQL, {SAMPLE} nodes)"):
            data, _ = graphql.execute(self.wire, few, given, file.name)
        found = graphql.follow(data, path, file.name, self.organization)
        nodes, count = graphql.nodes(found, file.name), int(found["count"])
        rows = sum(len(list(table.rows(graphql.rest_spelling(one)))) if table.rows else 1 for one in nodes)
        fixed, size = cost(none.document, given), max(len(nodes), 1)
        paid = self.asked[-1].points or cost(few.document, given)
        pages = max(math.ceil(count / graphql.page_size(request)), 1)
        return Cost(pages, round(pages * fixed + count * (paid - fixed) / size), round(count * rows / size))


def windows(kept: Mapping[str, Any], since: datetime, now: datetime, lag: Any) -> list[Window]:
    """The windows of creation that a load would read: what is new, and each gap since `since`."""
    state = State(dict(copy.deepcopy(kept)), since, lag)
    if not state.covered:
        return [(since, None)]
    found: list[Window] = [(state.covered[-1][1] - lag, None)]
    state.cover(state.covered[-1][1] - lag, now)
    gap: Interval | None = state.gap()
    while gap:
        found.append(gap)
        state.cover(*gap)
        gap = state.gap()
    return found


def walked(count: int) -> int:
    """Requests of a walk (rest.walk) over `count` items: it ends at the first page that is not full."""
    return (count - 1) // NEW + 1 if count else 1


def listed(count: int) -> int:
    """Requests of a listing by page number (rest.pages) that holds `count` items."""
    requests, end, size = 1, PER_PAGE, PER_PAGE
    while count >= end:
        start, size = onward(end, PER_PAGE)
        requests, end = requests + 1, start + size
    return requests


def _between(begin: datetime, end: datetime | None) -> str:
    until = f', createdAtTo: "{told(end)}"' if end else ""
    return f'createdAtFrom: "{told(begin)}"{until}'
