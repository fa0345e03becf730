"""What there is: organizations and all that they hold, as REST would say it.

Every object is a dict that is its REST body (api.md section 4), whole and current, with URLs of the real hosts. A key
that begins with `_` is a fact that REST does not tell (GraphQL may); `public()` takes it away. Objects refer to one
another by being the same dict (a build's `pipeline`, a job's `agent`), so that an embedded copy is always current.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .clock import Clock
from .tokens import Token

Row = dict[str, Any]
HOST = "https://api.buildkite.com/v2"
WEB = "https://buildkite.com"


def public(row: Row) -> Row:
    """A REST body without the facts that REST does not tell, at every depth."""
    return {key: _public(value) for key, value in row.items() if key[0] != "_"}


def _public(value: Any) -> Any:
    if type(value) is dict:
        return public(value) if value else value
    if type(value) is list and value and type(value[0]) is dict:
        return [public(one) for one in value]
    return value


@dataclass(repr=False)
class Organization:
    """One organization; each store by id, in the order in which its objects were made."""

    body: Row
    pipelines: dict[str, Row] = field(default_factory=dict)
    builds: dict[str, Row] = field(default_factory=dict)
    agents: dict[str, Row] = field(default_factory=dict)
    clusters: dict[str, Row] = field(default_factory=dict)
    queues: dict[str, Row] = field(default_factory=dict)
    cluster_tokens: dict[str, Row] = field(default_factory=dict)
    cluster_maintainers: dict[str, Row] = field(default_factory=dict)
    members: dict[str, Row] = field(default_factory=dict)
    teams: dict[str, Row] = field(default_factory=dict)
    agent_tokens: dict[str, Row] = field(default_factory=dict)
    api_access_tokens: dict[str, Row] = field(default_factory=dict)
    invitations: dict[str, Row] = field(default_factory=dict)
    sso_providers: dict[str, Row] = field(default_factory=dict)
    audit_events: dict[str, Row] = field(default_factory=dict)
    schedules: dict[str, Row] = field(default_factory=dict)
    annotations: dict[str, list[Row]] = field(default_factory=dict)
    artifacts: dict[str, list[Row]] = field(default_factory=dict)
    logs: dict[str, Callable[[], bytes]] = field(default_factory=dict)
    emojis: list[Row] = field(default_factory=list)
    floor: Any = None
    """What the simulation remembers of agents and queues (work.Floor); nobody else looks at it."""

    @property
    def slug(self) -> str:
        return str(self.body["slug"])

    def pipeline(self, slug: str) -> Row | None:
        return next((one for one in self.pipelines.values() if one["slug"] == slug), None)

    def build(self, pipeline_slug: str, number: int) -> Row | None:
        return next(
            (b for b in self.builds.values() if b["number"] == number and b["pipeline"]["slug"] == pipeline_slug), None
        )

    def jobs(self) -> Iterator[tuple[Row, Row]]:
        """Every (build, job), all attempts and types."""
        for build in self.builds.values():
            for job in build["jobs"]:
                yield build, job


@dataclass(repr=False)
class World:
    """Everything, and the clock that moves it. What is due happens when somebody looks: call `settle()` first."""

    clock: Clock
    organizations: dict[str, Organization] = field(default_factory=dict)
    users: dict[str, Row] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    webhook_ips: list[str] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _due: list[tuple[datetime, int, Callable[[], None]]] = field(default_factory=list)
    _count: Iterator[int] = field(default_factory=itertools.count)
    _at: datetime | None = None

    def now(self) -> datetime:
        """The moment of the event under way, else the clock's."""
        return self._at or self.clock.now()

    def at(self, when: datetime, happens: Callable[[], None]) -> None:
        """Let something happen at a moment; a moment that is past happens at the next settle()."""
        heapq.heappush(self._due, (when, next(self._count), happens))

    def settle(self) -> None:
        """Let everything happen that is due by now, in order."""
        with self.lock:
            now = self.clock.now()
            while self._due and self._due[0][0] <= now:
                self._at, _, happens = heapq.heappop(self._due)
                try:
                    happens()
                finally:
                    self._at = None

    def advance(self, by: timedelta | float) -> None:
        """Move the clock on and let everything happen that became due."""
        self.clock.move(by)
        self.settle()
