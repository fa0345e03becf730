"""REST listings: every page of one, by the Link header; and the builds, newest first, without page numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from .errors import BadAnswer, TooHeavy
from .times import instant, told
from .wire import Answer, Wire

PER_PAGE = 100
CALM = 5
"""Pages that went well before a larger one is tried again."""
TICK = timedelta(milliseconds=1)
"""The API tells times in milliseconds."""


@dataclass(frozen=True)
class Page:
    """One page's items and the server's clock when it was made.

    `gone`: ids that were there once and are not any more. `reached`: in a walk, every item that was created at this
    moment or later has been read.
    """

    items: list[dict[str, Any]]
    at: datetime
    gone: tuple[str, ...] = ()
    reached: datetime | None = None


def pages(wire: Wire, path: str, params: Mapping[str, Any] | None = None, *, paged: bool = True) -> Iterator[Page]:
    """Each page of a listing. Stops where no next page is named, never at a short page; raises BadAnswer at a loop."""
    answer = wire.get(path, {**({"per_page": PER_PAGE} if paged else {}), **(params or {})})
    asked: set[str] = set()
    while True:
        yield Page(answer.body, answer.at)
        if not answer.next:
            return
        if answer.next in asked:
            raise BadAnswer(f"The listing {path} goes in a circle: its next page is one we had")
        asked.add(answer.next)
        answer = wire.get(answer.next)


def one(wire: Wire, path: str) -> Page:
    """A single object, as a page of one."""
    answer = wire.get(path, shape=dict)
    return Page([answer.body], answer.at)


def walk(
    wire: Wire,
    path: str,
    params: Mapping[str, Any],
    lower: datetime,
    upper: datetime | None = None,
    size: int = PER_PAGE,
) -> Iterator[Page]:
    """A listing that is ordered newest created first: its items created in [lower, upper), each once.

    No page numbers: each request asks for what was created before the oldest item so far, and a millisecond more. So
    nothing is too deep, an item that leaves the listing cannot push another one out of sight, and the item that comes
    again shows that the pages join. (Where a whole page was created in one millisecond, page numbers do serve.)
    """
    number, had, asking = 1, frozenset[str](), Size(size)
    while True:
        window = {**params, "created_from": told(lower)}
        if upper:
            window["created_to"] = told(upper)
        if number > 1:
            window["page"] = number
        check = _within(path, lower, upper)
        answer = asking.of(wire, path, window, check)
        if had and not any(item["id"] in had for item in answer.body):
            answer = asking.of(wire, path, window, check)  # deleted meanwhile, or not our page
        items = answer.body
        if not items and answer.next:
            raise BadAnswer(f"{path} answered an empty page and named another after it")
        oldest = instant(items[-1]["created_at"]) if items else lower
        ended = not items or (answer.next is None and len(items) < asking.size)
        fresh = [item for item in items if item["id"] not in had]
        yield Page(fresh, answer.at, reached=lower if ended else oldest + TICK)
        if ended:
            return
        crowded = upper is not None and oldest + TICK >= upper
        number, upper = (number + 1, upper) if crowded else (1, oldest + TICK)
        had = frozenset(item["id"] for item in items) | (had if crowded else frozenset())
        if not crowded:
            asking.grow()


@dataclass
class Size:
    """The page size of one listing: halved where a page is too heavy, doubled again after some that were not."""

    most: int
    size: int = 0
    calm: int = 0

    def __post_init__(self) -> None:
        self.size = self.most

    def of(self, wire: Wire, path: str, asked: Mapping[str, Any], check: Callable[[Any], None]) -> Answer:
        """The answer, at the largest size that works. A first page only is asked for in a smaller size: page 7 of
        fifties is not page 7 of hundreds."""
        while True:
            can_shrink = self.size > 1 and "page" not in asked
            try:
                return wire.get(path, {**asked, "per_page": self.size}, check=check, can_shrink=can_shrink)
            except TooHeavy:
                self.size, self.calm = self.size // 2, 0

    def grow(self) -> None:
        self.calm += 1
        if self.calm >= CALM and self.size < self.most:
            self.size, self.calm = min(self.size * 2, self.most), 0


def _within(path: str, lower: datetime, upper: datetime | None) -> Callable[[Any], None]:
    """A check that a page holds what was asked for: created in [lower, upper), newest first, each once."""

    def check(items: Any) -> None:
        try:
            times = [instant(item["created_at"]) for item in items]
            ids = {item["id"] for item in items}
        except (KeyError, TypeError, ValueError):
            raise BadAnswer(f"{path} holds an item without an id or a created_at") from None
        if len(ids) != len(items):
            raise BadAnswer(f"{path} holds an item twice on one page")
        if any(later < earlier for later, earlier in pairwise(times)):
            raise BadAnswer(f"{path} is not ordered newest first")
        if times and (times[-1] < lower - TICK or (upper and times[0] >= upper)):
            raise BadAnswer(f"{path} holds items from outside the window that was asked for")

    return check
