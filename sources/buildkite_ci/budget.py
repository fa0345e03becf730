"""What the organization and the user may still spend at Buildkite, as the response headers tell it, and what a
GraphQL document will cost (api.md section 2)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from threading import Lock, local
from typing import Any

from graphql import DocumentNode, FieldNode, FragmentDefinitionNode, OperationDefinitionNode
from graphql import language as ast

from .errors import BudgetSpent, Stopped

LONGEST = {"rest": 120.0, "graphql": 330.0}
"""No window is longer than this many seconds, whatever a header says (60 and 300, and some room)."""

BUCKETS = ("RateLimit", "RateLimit-User")
SINGLE_QUERY = 50_000
"""The most points that one document may ask for (api.md 2.2)."""
PAGE = 500
"""A connection without `first` or `last` is counted as this many nodes."""


def number(text: str | float | None) -> float | None:
    """A header or field as a number; None where it is none."""
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return value if value == value else None


def seconds(text: str | float | None, api: str) -> float | None:
    """A reset header or field as seconds to wait, 0 to LONGEST; None where it is no number."""
    value = number(text)
    return None if value is None else min(max(value, 0.0), LONGEST[api])


RESERVE = 0.2
"""The part of every window that is left for others unless told otherwise."""


@dataclass
class Bucket:
    """One window as last told: `left` of `limit`, until `until` on our clock."""

    limit: int
    left: int
    until: float


@dataclass
class Spent:
    """What one API has cost so far; `asked`: the points that its documents might have cost."""

    requests: int = 0
    points: int = 0
    asked: int = 0
    bytes: int = 0
    refused: int = 0
    waited: float = 0.0


@dataclass(frozen=True)
class Limits:
    """The most that one run may spend; None: whatever the windows allow."""

    requests: int | None = None
    points: int | None = None
    minutes: float | None = None


@dataclass
class Budget:
    """The one account of what was spent and what is left, shared by all threads and tables.

    reserve: the part of each window, of the organization's and of the user's, that is left for others, 0 to 1.
    now: a monotonic clock in seconds; a test gives its own. stopped: whether the run was asked to end; blocking:
    entered around what a wish to end may break off. `doing` names the table that this thread works for.
    """

    now: Callable[[], float] = time.monotonic
    reserve: float = RESERVE
    limits: Limits = Limits()
    stopped: Callable[[], bool] = lambda: False
    blocking: Callable[[], AbstractContextManager[None]] = nullcontext
    buckets: dict[tuple[str, str], Bucket] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)
    by_table: dict[tuple[str, str], Spent] = field(default_factory=dict)
    _doing: local = field(default_factory=local)

    def __post_init__(self) -> None:
        self.began = self.now()

    @property
    def doing(self) -> str:
        return getattr(self._doing, "table", "")

    @doing.setter
    def doing(self, table: str) -> None:
        self._doing.table = table

    @property
    def spent(self) -> dict[str, Spent]:
        """What each API has cost, all tables together."""
        with self.lock:
            return {api: self._sum(api) for api in LONGEST}

    def _sum(self, api: str) -> Spent:
        ours = [spent for (of, _), spent in self.by_table.items() if of == api]
        return Spent(*(sum(getattr(one, part.name) for one in ours) for part in dataclass_fields(Spent)))

    def _mine(self, api: str) -> Spent:
        return self.by_table.setdefault((api, self.doing), Spent())

    def told(self, api: str, headers: Mapping[str, str], size: int, refused: bool, points: int = 0) -> None:
        """Take note of one response: its cost (it might have been `points`), and what its headers say is left."""
        with self.lock:
            spent = self._mine(api)
            spent.requests += 1
            spent.asked += points if "RateLimit-Complexity-Actual" in headers else 0
            spent.bytes += size
            spent.refused += refused
            spent.points += int(number(headers.get("RateLimit-Complexity-Actual")) or 0)
            for name in BUCKETS:
                left, limit = headers.get(f"{name}-Remaining"), headers.get(f"{name}-Limit")
                reset = seconds(headers.get(f"{name}-Reset"), api)
                if left and limit and left.isdigit() and limit.isdigit() and reset is not None:
                    until = self.now() + reset + 1  # told in whole seconds
                    self.buckets[api, name] = Bucket(int(limit), int(left), until)

    def pause(self, api: str, points: int = 0) -> float:
        """Seconds to wait before the next request, 0 if none. A bucket that is down to its reserve is waited for, not
        run into; so is one of GraphQL that does not hold what a document will cost: its `points`, or, where this
        table's documents cost a part of them so far, that part and half as much again."""
        with self.lock:
            mine = self._mine(api)
            points = min(points, points * mine.points * 3 // (mine.asked * 2)) if mine.asked else points
            short = [
                b.until - self.now() for (of, _), b in self.buckets.items() if of == api and self._short(b, points)
            ]
        return max([0.0, *short])

    def _short(self, bucket: Bucket, points: int) -> bool:
        kept = int(bucket.limit * self.reserve)
        return bucket.left - max(min(points, bucket.limit - kept), 1) < kept

    def allow(self, api: str, points: int = 0) -> None:
        """Raise BudgetSpent where one more request, of up to `points`, is more than this run may spend; Stopped, which
        is one, where nobody wants it any more."""
        if self.stopped():
            raise Stopped
        limits, spent = self.limits, self.spent[api]
        if limits.requests is not None and api == "rest" and spent.requests >= limits.requests:
            raise BudgetSpent(f"{limits.requests} REST requests")
        if limits.points is not None and api == "graphql" and spent.points + points > limits.points:
            raise BudgetSpent(f"{limits.points} GraphQL points")
        if limits.minutes is not None and self.now() - self.began >= limits.minutes * 60:
            raise BudgetSpent(f"{limits.minutes:g} minutes")

    def waited(self, api: str, pause: float) -> None:
        with self.lock:
            self._mine(api).waited += pause

    def left(self, api: str) -> int | None:
        """Requests or points that the tighter bucket still holds; None before the first answer, or when it is over."""
        with self.lock:
            known = [b.left for (of, _), b in self.buckets.items() if of == api and b.until > self.now()]
        return min(known) if known else None


def cost(document: DocumentNode, variables: Mapping[str, Any] | None = None) -> int:
    """The points a document asks for (its requested complexity): one an object, and each connection's page size
    times what a node holds (api.md 2.2, checked against the three figures that Buildkite published)."""
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    return sum(_cost(operation.selection_set, fragments, variables or {}) for operation in operations)


def _cost(
    selected: Any, fragments: Mapping[str, FragmentDefinitionNode], variables: Mapping[str, Any], times: int = 1
) -> int:
    """The points of a selection; a key that fragments on several types select counts once, at its dearest."""
    dearest: dict[str, int] = {}
    for one in fields(selected, fragments):
        key = (one.alias or one.name).value
        dearest[key] = max(dearest.get(key, 0), _cost_of(one, fragments, variables, times))
    return sum(dearest.values())


def _cost_of(
    one: FieldNode, fragments: Mapping[str, FragmentDefinitionNode], variables: Mapping[str, Any], times: int
) -> int:
    """The points of one field."""
    if one.selection_set is None:
        return 0
    below = {field.name.value for field in fields(one.selection_set, fragments)}
    if below & {"edges", "nodes"}:
        size = _page_size(one, variables)
        parts = (part for part in fields(one.selection_set, fragments) if part.name.value in ("edges", "nodes"))
        listed = sum(_nodes(part, fragments, variables, times * size) for part in parts)
        return times * (1 + ("pageInfo" in below) + ("edges" in below)) + listed
    if "count" in below and below <= {"count", "pageInfo", "__typename"}:
        return times
    return times + _cost(one.selection_set, fragments, variables, times)


def _nodes(part: FieldNode, fragments: Any, variables: Mapping[str, Any], times: int) -> int:
    """`edges { node { … } }` or `nodes { … }`, `times` of them."""
    if part.name.value == "nodes":
        return times + _cost(part.selection_set, fragments, variables, times)
    return _cost(part.selection_set, fragments, variables, times)


def fields(selected: Any, fragments: Mapping[str, FragmentDefinitionNode]) -> Iterable[FieldNode]:
    """The fields of a selection, fragments opened."""
    for one in selected.selections if selected else ():
        if isinstance(one, FieldNode):
            yield one
        elif isinstance(one, ast.FragmentSpreadNode):
            yield from fields(fragments[one.name.value].selection_set, fragments)
        else:
            yield from fields(one.selection_set, fragments)


def _page_size(one: FieldNode, variables: Mapping[str, Any]) -> int:
    for argument in one.arguments or ():
        if argument.name.value in ("first", "last"):
            given = argument.value
            if isinstance(given, ast.VariableNode):
                return int(variables.get(given.name.value) or PAGE)
            if isinstance(given, ast.IntValueNode):
                return int(given.value)
    return PAGE
