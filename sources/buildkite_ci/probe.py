"""Cheap questions before the dear ones: how much there is, told by counts, and what reading it would cost.

A count costs two GraphQL points a pipeline, or one REST request for a page of one item: the number of its last page is
the count (api.md 2.2, 3.1). Each question is kept with what it cost.
"""

from __future__ import annotations

import copy
import json
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
from .catalog import TABLES, twin
from .choice import Filter
from .rest import PER_PAGE, onward
from .sync import Interval, State
from .table import Item, Table
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
      edges { node { uuid slug defaultBranch schedules { count } BUILDS } }
    }
  }
}
"""
EVERY_QUEUE = """
query PlanQueues($organization: ID!) {
  organization(slug: $organization) {
    measured: clusters(first: 1) { edges { node { queues(first: 1) { edges { node { metrics { timestamp } } } } } } }
    clusters(first: 100) { edges { node { queues(first: 50) { count NAMES } } } }
  }
}
"""
API_TOKENS = """
query PlanAPIAccessTokens($organization: ID!, $after: String) {
  organization(slug: $organization) {
    apiAccessTokens(first: 500, after: $after) { pageInfo { hasNextPage endCursor } edges { cursor } }
  }
}
"""
COUNTED = {"api_access_tokens": (API_TOKENS, "apiAccessTokens")}
"""Tables whose connection has no `count` (the schema): its edges are counted, without their nodes."""
TOKENS = """
query PlanTokens($organization: ID!) {
  organization(slug: $organization) {
    current: agentTokens(first: 1, revoked: false) { count }
    revoked: agentTokens(first: 1, revoked: true) { count }
  }
}
"""
JOBS = """
query PlanJobs($organization: ID!) { organization(slug: $organization) { COUNTS } }
"""
AT_ONCE = 100
"""Counts of jobs in one document."""
ENUMS = {"state", "type"}
"""Arguments of `jobs` whose values are not written in quotes."""
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
    """How long the listings are. `children`: of each parent; `builds`: in each window that was asked for; `pipelines`:
    each with its schedules, by UUID; `asked`: how many of these are asked one by one, None for all."""

    listings: dict[str, int] = field(default_factory=dict)
    children: dict[str, list[int]] = field(default_factory=dict)
    builds: list[int] = field(default_factory=list)
    pipelines: dict[str, Item] = field(default_factory=dict)
    asked: int | None = None


@dataclass(frozen=True)
class Cost:
    """What reading one listing takes: requests of REST, documents of GraphQL, points. And the rows that it gives; None
    where that cannot be told."""

    rest: int = 0
    documents: int = 0
    points: int = 0
    rows: int | None = None


@dataclass(frozen=True)
class Queues:
    """How many clusters and queues there are, whether Buildkite measures them, and the queues' names, if asked for."""

    clusters: int
    queues: int
    measured: bool
    named: Sequence[Item] = ()


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

    def builds(self, params: Mapping[str, Any], most: int) -> list[dict[str, Any]]:
        """The newest builds with all their jobs, `most` in full pages at the most."""
        found: list[dict[str, Any]] = []
        for page in range(1, most // PER_PAGE + 1):
            with self.asking(f"builds that work lists may ask for (REST, a page of {PER_PAGE})"):
                asked = {**params, "per_page": PER_PAGE, "page": page, "include_retried_jobs": "true"}
                answer = self.wire.get(f"organizations/{self.organization}/builds", asked)
            found += answer.body
            if not answer.next:
                break
        return found

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
            counts.pipelines[node["uuid"]] = node
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

    def chosen(self, filter: Filter) -> tuple[frozenset[str], Cost]:  # noqa: A002
        """The pipelines that a filter leaves, by UUID, and what the load takes to learn it: as much as this."""
        given = {"organization": self.organization, **filter.variables()}
        before = self.wire.budget.spent["graphql"].requests
        with self.asking("pipelines that the filter leaves (GraphQL)"):
            pages = list(graphql.pages(self.wire, TABLES / "_filtered_pipelines.graphql", given))
        found = frozenset(item["id"] for page in pages for item in page.items)
        return found, Cost(0, self.wire.budget.spent["graphql"].requests - before, self.asked[-1].points)

    def document(self, table: Table, variables: Mapping[str, Any]) -> Cost:
        """What a GraphQL table costs: its own document with its `count`, and with few nodes, which tell the points and
        the rows of one."""
        file = twin(table)
        request = graphql.read(file)
        path = graphql.page_path(request, file.name)
        few = graphql.resized(request, SAMPLE, count=table.name not in COUNTED)
        given = {"organization": self.organization, **variables, "after": None}
        with self.asking(f"{table.name} (GraphQL, {SAMPLE} nodes)"):
            data, _ = graphql.execute(self.wire, few, given, file.name)
        found = graphql.follow(data, path, file.name, self.organization)
        nodes, sampled = graphql.nodes(found, file.name), self.asked[-1].points
        count = self._edges(*COUNTED[table.name]) if table.name in COUNTED else int(found["count"])
        rows = sum(len(list(table.rows(graphql.rest_spelling(one)))) if table.rows else 1 for one in nodes)
        size, page = max(len(nodes), 1), fixed(table)
        paid = sampled or cost(few.document, given)
        pages = max(math.ceil(count / graphql.page_size(request)), 1)
        points = round(pages * page + count * (paid - page) / size)
        return Cost(0, pages, points, round(count * rows / size))

    def _edges(self, text: str, name: str) -> int:
        count, after = 0, None
        while True:
            with self.asking(f"{name} (GraphQL, counted)"):
                data, _ = self._execute(text, {"after": after})
            count += len(data[name]["edges"])
            if not data[name]["pageInfo"]["hasNextPage"]:
                return count
            after = data[name]["pageInfo"]["endCursor"]

    def queues(self, *, named: bool) -> Queues:
        """The queues of all clusters, with their names where they are wanted."""
        names = "edges { node { id uuid key } }" if named else ""
        with self.asking("clusters and queues (GraphQL counts)"):
            data, _ = self._execute(EVERY_QUEUE.replace("NAMES", names), {})
        clusters = graphql.nodes(data["clusters"], "clusters")
        first = [queue for one in graphql.nodes(data["measured"], "clusters") for queue in _nodes(one["queues"])]
        found = [queue for one in clusters for queue in _nodes(one["queues"])] if named else []
        count = sum(one["queues"]["count"] for one in clusters)
        return Queues(len(clusters), count, any(one["metrics"] for one in first), found)

    def tokens(self) -> tuple[int, int]:
        """Agent tokens in use, and revoked ones; none where they are not shown."""
        with self.asking("agent tokens (GraphQL counts)"):
            data, _ = self._execute(TOKENS, {})
        current, revoked = (int((data[name] or {}).get("count", 0)) for name in ("current", "revoked"))
        return current, revoked

    def jobs(self, what: str, asks: Sequence[Mapping[str, Any]]) -> list[int]:
        """How many command jobs there are for each of `asks`, arguments of `jobs`: a point each."""
        found: list[int] = []
        for start in range(0, len(asks), AT_ONCE):
            taken = [_arguments({"first": 1, "type": ["COMMAND"], **one}) for one in asks[start : start + AT_ONCE]]
            counts = " ".join(f"n{at}: jobs({one}) {{ count }}" for at, one in enumerate(taken))
            with self.asking(what):
                data, _ = self._execute(JOBS.replace("COUNTS", counts), {})
            found += [int(data[f"n{at}"]["count"]) for at in range(len(taken))]
        return found


def fixed(table: Table) -> int:
    """Points of a page of a GraphQL table's listing that holds nothing."""
    return cost(graphql.resized(graphql.read(twin(table)), 0).document)


def _nodes(connection: Mapping[str, Any]) -> list[dict[str, Any]]:
    return graphql.nodes(connection, "plan")


def _arguments(given: Mapping[str, Any]) -> str:
    """Arguments as GraphQL writes them: its strings and lists are JSON's, its objects' keys and enums bare."""
    return ", ".join(f"{name}: {_literal(value, name)}" for name, value in given.items())


def _literal(value: Any, name: str) -> str:
    if isinstance(value, Mapping):
        return f"{{ {_arguments(value)} }}"
    if name in ENUMS:
        return f"[{', '.join(value)}]"
    return json.dumps(value, ensure_ascii=False)


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
