"""REST listings: every page of one, by the Link header; and the builds, newest first, without page numbers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import orjson

from .errors import BadAnswer, TooHeavy
from .times import instant, told
from .wire import Answer, Wire

T = TypeVar("T")

PER_PAGE = 100
CALM = 5
"""Pages that went well before a larger one is tried again."""
READINGS = 4
"""Times that a listing is read before it is given up: its pages never fitted together."""
TICK = timedelta(milliseconds=1)
"""The API tells times in milliseconds."""


@dataclass(frozen=True)
class Page:
    """One page's items and the server's clock when it was made.

    `gone`: ids that were there once and are not any more. `reached`: in a walk, every item that was created at this
    moment or later has been read. `entries`: what goes into the table errands for it.
    `whole`: all that the listing holds of this window is here, or came with the page before. `arrow`: rows that need no
    reading any more, by table. `size`: bytes of the answer that it came in, of a walk's pages.
    """

    items: list[dict[str, Any]]
    at: datetime
    gone: tuple[str, ...] = ()
    reached: datetime | None = None
    entries: tuple[Mapping[str, Any], ...] = ()
    whole: tuple[datetime, datetime] | None = None
    arrow: Mapping[str, Any] | None = None
    size: int = 0


def pages(wire: Wire, path: str, params: Mapping[str, Any] | None = None, *, paged: bool = True) -> Iterator[Page]:
    """A whole listing that is asked for by page number, as one page, each row once; BadAnswer where its pages never
    fit together.

    Page numbers shift when a row comes or goes between two requests (api.md 7.3). So each page but the first is asked
    for in a size that makes it begin with rows that the page before ended with. If they come again, no row was lost
    between the two; if none does, or more than should (a row was put in, or moved to where we had been), the listing
    is read again. A listing of one page costs one request, unless it fills that page.
    """
    held: dict[bytes, dict[str, Any]] = {}
    for reading in range(READINGS):
        found, at, fit = _reading(wire, path, {**(params or {}), **({"per_page": PER_PAGE} if paged else {})})
        held |= found
        if fit is Fit.WHOLE or (fit is Fit.MOVED and reading):
            yield Page(list(held.values()), at)
            return
    raise BadAnswer(
        f"The listing {path} goes in a circle, or changes while it is read: its pages did not fit together in "
        f"{READINGS} readings"
    )


class Fit(Enum):
    """How two pages meet. MOVED: nothing was lost unless a row changed its place; read twice, it is not."""

    WHOLE, MOVED, TORN = 1, 2, 3


def _reading(wire: Wire, path: str, asked: Mapping[str, Any]) -> tuple[dict[bytes, dict[str, Any]], datetime, Fit]:
    """All pages once: the rows by identity, the server's clock at the last one, and the worst fit of two of them."""
    size, answer = asked.get("per_page", 0), wire.get(path, asked)
    found = before = {_identity(item): item for item in answer.body}
    end, fits = len(before), [Fit.WHOLE]
    while answer.next or len(answer.body) == size > 0:
        if answer.next and (not size or len(answer.body) != size):
            answer, again, size = wire.get(answer.next), None, 0  # not the size asked for: only the link knows
        else:
            start, size = onward(end, asked["per_page"])
            again = end - start
            answer, end = wire.get(path, {**asked, "page": start // size + 1, "per_page": size}), start + size
        page = {_identity(item): item for item in answer.body}
        fits.append(_fit(again, before, page, found))
        if answer.next and page.keys() <= found.keys():
            return found, answer.at, Fit.TORN  # a page that we had, and another after it
        found, before = found | page, page
    return found, answer.at, max(fits, key=lambda fit: fit.value)


def onward(end: int, most: int) -> tuple[int, int]:
    """The offset and the size of the page that reaches furthest and begins some rows before `end`."""
    back = end - max(most // 20, 1)
    size = max(range(most // 2 + 1, most + 1), key=lambda size: (back // size + 1) * size)
    return back // size * size, size


def _fit(again: int | None, before: Collection[bytes], page: Collection[bytes], found: Collection[bytes]) -> Fit:
    """`again`: how many rows of the page before should come again; None where it cannot be told."""
    if again is None:
        return Fit.MOVED
    shared = sum(one in before for one in page)
    if shared == 0 or (shared > again and all(one in found for one in page)):
        return Fit.TORN
    return Fit.MOVED if shared > again else Fit.WHOLE


def _identity(item: Mapping[str, Any]) -> bytes:
    """What tells an item of a listing from the others: its id, or all of it."""
    return orjson.dumps(item.get("id") or item.get("uuid") or item, option=orjson.OPT_SORT_KEYS)


def one(wire: Wire, path: str) -> Page:
    """A single object, as a page of one."""

    def check(body: Any) -> None:
        if body.keys() <= {"message", "errors"}:
            raise BadAnswer(f"{path} answered 200 with a message and no object")

    answer = wire.get(path, shape=dict, check=check)
    return Page([answer.body], answer.at)


def walk(
    wire: Wire,
    path: str,
    params: Mapping[str, Any],
    lower: datetime,
    upper: datetime | None = None,
    size: int = PER_PAGE,
    decode: Callable[[bytes], Any] = orjson.loads,
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
        ask = partial(_asked, wire, path, window, _within(path, lower, upper), decode)
        answer = asking.of(ask, fixed=number > 1)
        if had and not any(item["id"] in had for item in answer.body):
            answer = asking.of(ask, fixed=number > 1)  # deleted meanwhile, or not our page
        items = answer.body
        if not items and answer.next:
            raise BadAnswer(f"{path} answered an empty page and named another after it")
        oldest = instant(items[-1]["created_at"]) if items else lower
        ended = not items or (answer.next is None and len(items) < asking.size)
        fresh = [item for item in items if item["id"] not in had]
        crowded = upper is not None and oldest + TICK >= upper
        had = frozenset(item["id"] for item in items) | (had if crowded else frozenset())
        page = Page(fresh, answer.at, reached=lower if ended else oldest + TICK, size=answer.size)
        del answer, items, fresh  # whoever hands a page on lets it go before the next one is read
        yield page
        del page
        if ended:
            return
        number, upper = (number + 1, upper) if crowded else (1, oldest + TICK)
        if not crowded:
            asking.grow()


def _asked(
    wire: Wire,
    path: str,
    window: Mapping[str, Any],
    check: Callable[[Any], None],
    decode: Callable[[bytes], Any],
    size: int,
    can_shrink: bool,
) -> Answer:
    return wire.get(path, {**window, "per_page": size}, check=check, can_shrink=can_shrink, decode=decode)


@dataclass
class Size:
    """The page size of one listing: halved where a page is too heavy, doubled again after some that were not."""

    most: int
    size: int = 0
    calm: int = 0

    def __post_init__(self) -> None:
        self.size = self.most

    def of(self, ask: Callable[[int, bool], T], *, fixed: bool = False) -> T:
        """What `ask(size, can_shrink)` answers, at the largest size that works. fixed: it has to be this one, as a
        page by number has: page 7 of fifties is not page 7 of hundreds."""
        while True:
            try:
                return ask(self.size, self.size > 1 and not fixed)
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
