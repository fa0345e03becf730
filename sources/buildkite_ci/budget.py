"""What the organization and the user may still spend at Buildkite, as the response headers tell it, and what a
GraphQL document will cost (api.md section 2)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from graphql import DocumentNode, FieldNode, FragmentDefinitionNode, OperationDefinitionNode
from graphql import language as ast

LONGEST = {"rest": 120.0, "graphql": 330.0}
"""No window is longer than this many seconds, whatever a header says (60 and 300, and some room)."""

BUCKETS = ("RateLimit", "RateLimit-User")
PAGE = 500
"""A connection without `first` or `last` is counted as this many nodes."""


def seconds(text: str | float | None, api: str) -> float | None:
    """A reset header or field as seconds to wait, 0 to LONGEST; None where it is no number."""
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return min(max(value, 0.0), LONGEST[api]) if value == value else None


@dataclass
class Bucket:
    """One window as last told: `left` of `limit`, until `until` on our clock."""

    limit: int
    left: int
    until: float


@dataclass
class Spent:
    """What one API has cost so far."""

    requests: int = 0
    points: int = 0
    bytes: int = 0
    refused: int = 0
    waited: float = 0.0


@dataclass
class Budget:
    """Shared by all threads. `now` is a monotonic clock in seconds; a test gives its own."""

    now: Callable[[], float] = time.monotonic
    spent: dict[str, Spent] = field(default_factory=lambda: {"rest": Spent(), "graphql": Spent()})
    buckets: dict[tuple[str, str], Bucket] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def told(self, api: str, headers: Mapping[str, str], size: int, refused: bool) -> None:
        """Take note of one response: its cost, and what its headers say is left."""
        with self.lock:
            spent = self.spent[api]
            spent.requests += 1
            spent.bytes += size
            spent.refused += refused
            spent.points += int(seconds(headers.get("RateLimit-Complexity-Actual"), "graphql") or 0)
            for name in BUCKETS:
                left, limit = headers.get(f"{name}-Remaining"), headers.get(f"{name}-Limit")
                reset = seconds(headers.get(f"{name}-Reset"), api)
                if left and limit and left.isdigit() and limit.isdigit() and reset is not None:
                    self.buckets[api, name] = Bucket(int(limit), int(left), self.now() + reset)

    def pause(self, api: str) -> float:
        """Seconds to wait before the next request, 0 if none: an empty bucket is waited for, not run into."""
        with self.lock:
            empty = [b.until - self.now() for (of, _), b in self.buckets.items() if of == api and b.left <= 0]
        return max([0.0, *empty])

    def waited(self, api: str, pause: float) -> None:
        with self.lock:
            self.spent[api].waited += pause

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
    total = 0
    for one in fields(selected, fragments):
        if one.selection_set is None:
            continue
        below = {field.name.value for field in fields(one.selection_set, fragments)}
        if below & {"edges", "nodes"}:
            size = _page_size(one, variables)
            total += times * (1 + ("pageInfo" in below) + ("edges" in below))
            for part in fields(one.selection_set, fragments):
                if part.name.value in ("edges", "nodes"):
                    total += _nodes(part, fragments, variables, times * size)
        elif "count" in below and below <= {"count", "pageInfo", "__typename"}:
            total += times
        else:
            total += times + _cost(one.selection_set, fragments, variables, times)
    return total


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
