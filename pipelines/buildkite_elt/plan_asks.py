"""What the GraphQL tables would cost that are asked for many things (asks.py): each branch, each queue, each group."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from buildkite_ci import graphql
from buildkite_ci.asks import BRANCHES, HOLDING, TOKENS
from buildkite_ci.batch import at_once
from buildkite_ci.budget import cost
from buildkite_ci.catalog import TABLES, catalog, twin
from buildkite_ci.choice import Choice
from buildkite_ci.probe import Cost, Probe, Queues, fixed
from buildkite_ci.queues import PAGE, unclustered
from buildkite_ci.table import Item
from buildkite_ci.times import told

from .known import Known

GROUPS = 20
"""Groups whose jobs are counted; the others are taken to be like them."""


@dataclass
class Asks:
    """One plan's. `pipelines`: those that are asked one by one; `named`: whether the queues' names are needed."""

    probe: Probe
    known: Known
    since: datetime
    choices: Mapping[str, Choice]
    pipelines: Iterable[Item] = ()
    named: bool = False
    _queues: Queues | None = None

    def cost(self, name: str) -> Cost:
        """What the table takes."""
        return COSTS[name](self, self.choices.get(name, Choice()))

    def tokens(self, choice: Choice) -> Cost:
        """Two listings of one page: a token and who made it, and who revoked it."""
        current, revoked = (min(count, TOKENS) for count in self.probe.tokens())
        return Cost(0, 1, 5 + 2 * current + 3 * revoked, current + revoked)

    def branches(self, choice: Choice) -> Cost:
        """A point for each count and one for each pipeline in a document, exactly."""
        asked: list[str] = []
        for pipeline in self.pipelines:
            built = self.known.branches.get(pipeline["uuid"], [])
            named = dict.fromkeys(filter(None, [pipeline["defaultBranch"], *built]))
            count = len(choice.branches) or min(len(named), BRANCHES)
            asked += [pipeline["uuid"]] * count * max(len(choice.states), 1)
        size = at_once(cost(graphql.read(twin(catalog()["branch_build_counts"])).document))
        pages = [asked[at : at + size] for at in range(0, len(asked), size)]
        return Cost(0, len(pages), len(asked) + sum(len(set(page)) for page in pages), len(asked))

    def queues(self, choice: Choice) -> Cost:
        """The listing of the queues, and three counts for each that Buildkite does not measure, exactly."""
        found = self._found()
        counted = self.known.unclustered + (0 if found.measured else found.queues)
        one = cost(graphql.read(TABLES / "_queue_depth.graphql").document)
        pages, every = math.ceil(counted / at_once(one)), self._every()
        points = every.points + pages + (one - 1) * counted
        return Cost(0, every.documents + pages, points, found.queues + self.known.unclustered)

    def jobs(self, choice: Choice) -> Cost:
        """The listing of the queues, and the pages of each one's jobs; what a job costs is what its query asks for."""
        table, every, asks = catalog()["queue_jobs"], self._every(), self._asks(choice)
        begin, end = choice.since or self.since, choice.until
        span = {"createdAtFrom": told(begin), **({"createdAtTo": told(end)} if end else {})}
        counts = self.probe.jobs("jobs of each queue (GraphQL counts)", [{**one, **span} for one in asks.values()])
        pages, rows = sum(max(math.ceil(count / PAGE), 1) for count in counts), sum(counts)
        page, full = fixed(table), cost(graphql.read(twin(table)).document)
        points = every.points + pages * page + rows * (full - page) // PAGE
        return Cost(0, every.documents + pages, points, rows)

    def groups(self, choice: Choice) -> Cost:
        """The jobs of each group, counted for some."""
        request = graphql.read(twin(catalog()["concurrency_group_jobs"]))
        groups = choice.groups or tuple(self.known.groups)
        states = sorted(HOLDING | {"LIMITING", "LIMITED"})
        asks = [{"concurrency": {"group": [group]}, "state": states} for group in groups[:GROUPS]]
        counts = self.probe.jobs("jobs of concurrency groups (GraphQL counts)", asks)
        one, none = (cost(graphql.resized(request, size).document) for size in (PAGE, 0))
        pages = sum(max(math.ceil(count / PAGE), 1) for count in counts)
        points = pages * (none - 1) + sum(counts) * (one - none) // PAGE
        share = len(groups) / max(len(asks), 1)
        shared = math.ceil(pages * share / at_once(one))
        return Cost(0, shared, round(shared + points * share), round(sum(counts) * share))

    def _found(self) -> Queues:
        if self._queues is None:
            self._queues = self.probe.queues(named=self.named)
        return self._queues

    def _every(self) -> Cost:
        """The listing of clusters with their queues, as queues.py reads it."""
        request, found = graphql.read(TABLES / "queue_metrics.graphql"), self._found()
        page = cost(graphql.resized(request, 0).document)
        pages = max(math.ceil(found.clusters / graphql.page_size(request)), 1)
        points = pages * page + CLUSTER * found.clusters + (1 + 2 * found.measured) * found.queues
        return Cost(0, pages, points)

    def _asks(self, choice: Choice) -> dict[str, Mapping[str, Any]]:
        """The arguments of each queue's jobs, as queues.jobs has them."""
        asks: dict[str, Mapping[str, Any]] = {}
        known: set[str] = set()
        for queue in self._found().named:
            known.add(queue["uuid"])
            if not choice.queues or {queue["uuid"], queue["key"]} & {*choice.queues}:
                asks[queue["uuid"]] = {"clusterQueue": [queue["id"]]}
        for key in [name for name in choice.queues if name not in known] if choice.queues else [None]:
            asked = unclustered(key).asked
            rules = {"agentQueryRules": asked["rules"]} if "rules" in asked else {}
            asks[f"queue={key}"] = {"clustered": False, **rules}
        return asks


CLUSTER = 3
"""Points of a cluster, its connection of queues and the edges of it."""

COSTS: Mapping[str, Callable[[Asks, Choice], Cost]] = {
    "agent_tokens": Asks.tokens,
    "branch_build_counts": Asks.branches,
    "queue_metrics": Asks.queues,
    "queue_jobs": Asks.jobs,
    "concurrency_group_jobs": Asks.groups,
}
