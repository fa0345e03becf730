"""Keeping a listing right that cannot be asked for changes (api.md 7.2).

What was created is read in windows, newest first; what ended since the last load, and what is open, is read again.
The state says which intervals of creation are covered, when the last sweep began, and which items were open then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import orjson

from .rest import TICK, Page, walk
from .table import Rest, Since
from .times import instant, told
from .typed import typed
from .wire import Wire

HEAVIEST = 512 << 20
"""Bytes of JSON after which a load package of at most so many rows ends too: DuckDB holds a package in memory."""
PAGES = 100
"""Pages after which it ends too, two minutes at the API's pace: what a crash costs is asked for again."""

Interval = tuple[datetime, datetime]
Walk = Callable[..., Iterator[Page]]
"""rest.walk of one listing: its parameters, and the interval of creation."""


OVERLAP = timedelta(days=1)
"""How long an event may take to be listed."""


def newer(kept: Mapping[str, Any], since: datetime) -> datetime:
    """From when on a listing is read whose rows never change: `kept` is its state, {since, newest}, both as text."""
    if not kept or instant(kept["since"]) > since:
        return since
    return max(since, instant(kept["newest"]) - OVERLAP)


class State:
    """The state of one listing, on top of the dictionary that dlt keeps: `covered`, `swept` and `open`."""

    def __init__(self, kept: dict[str, Any], since: datetime, lag: timedelta) -> None:
        self.kept, self.since, self.lag = kept, since, lag
        self.open: dict[str, str] = dict(kept.get("open", {}))

    @property
    def covered(self) -> list[Interval]:
        """Disjoint intervals of created_at, oldest first, within which every item has been read."""
        return [(instant(begin), instant(end)) for begin, end in self.kept.get("covered", [])]

    @property
    def swept(self) -> datetime:
        """The server's clock when the last sweep began."""
        return instant(self.kept["swept"])

    def cover(self, begin: datetime, end: datetime) -> None:
        """Add an interval that has been read whole."""
        joined: list[Interval] = []
        for one in sorted([*self.covered, (begin, end)]):
            if joined and one[0] <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(joined[-1][1], one[1]))
            elif one[0] < one[1]:
                joined.append(one)
        self.kept["covered"] = [[begin.isoformat(), end.isoformat()] for begin, end in joined]

    def uncover(self, since: datetime) -> None:
        """Forget that items created at or after `since` have been read."""
        older = [(begin, min(end, since)) for begin, end in self.covered if begin < since]
        self.kept["covered"] = [[begin.isoformat(), end.isoformat()] for begin, end in older]

    def gap(self) -> Interval | None:
        """The newest interval since `since` that is not covered, below the newest that is; None if there is none."""
        covered = self.covered
        for older, newer in zip([(self.since, self.since), *covered][-2::-1], covered[::-1], strict=False):
            begin = max(older[1] - self.lag, self.since)
            if begin < newer[0]:
                return begin, newer[0]
        return None

    def note(self, page: Page, since: Since) -> None:
        """Remember which items of a page are open."""
        for item in page.items:
            if item.get("blocked") or item.get("state") in since.open:
                self.open[item["id"]] = item["created_at"]
            else:
                self.open.pop(item["id"], None)
        for one in page.gone:
            self.open.pop(one, None)
        self.kept["open"] = self.open


def sync(
    wire: Wire, path: str, fetch: Rest, state: State, *, at_most: int | None = None, sweep: bool = True
) -> Iterator[Page]:
    """The pages that bring a listing up to date: with `sweep` what is new and what changed, else the newest gap."""
    since = fetch.since
    if since is None:
        raise ValueError(f"{path} says no `since`")
    decode = typed(fetch.apart).decode if fetch.apart else orjson.loads
    walked, base = partial(walk, wire, path, decode=decode), dict(fetch.params)
    if not sweep:
        gap = state.gap()
        pages = _fill(walked, base, state, gap, at_most) if gap else iter(())
    elif state.covered:
        pages = _news(walked, base, state, since, at_most)
    else:
        pages = _fill(walked, base, state, (state.since, None), at_most)
    began: datetime | None = None
    for page in pages:
        began = began or page.at
        state.note(page, since)
        yield page
        del page
    if sweep and began:
        state.kept["swept"] = began.isoformat()


def _fill(
    walk: Walk,
    base: dict[str, Any],
    state: State,
    window: tuple[datetime, datetime | None],
    at_most: int | None,
) -> Iterator[Page]:
    """One window, newest first, down to about `at_most` rows; as far as it came it is covered, whatever stopped it.

    A window without an end ends at the server's clock when the first page was made: what comes later is a next load's.
    """
    begin, end = window
    reached, count, size = end, 0, 0
    try:
        for pages, page in enumerate(walk(base, begin, end), 1):
            end = end or page.at
            state.kept.setdefault("swept", page.at.isoformat())
            yield replace(page, whole=(page.reached or begin, reached or end))
            reached, count, size = page.reached, count + rows(page), size + page.size
            del page
            enough = at_most and (count >= at_most or size >= HEAVIEST or pages >= PAGES)
            # A package that covers nothing new would be read again for ever.
            if enough and reached and reached < end:
                break
    finally:
        if reached and end:
            state.cover(reached, end)


def rows(page: Page) -> int:
    """How many rows a page makes, those inside its items (a build's jobs) included."""
    return sum(1 + len(item.get("jobs") or ()) for item in page.items)


def _news(walk: Walk, base: dict[str, Any], state: State, since: Since, at_most: int | None) -> Iterator[Page]:
    """What was created since the last load, what ended since, what is open now, and what was open and is none of these.

    The last group is looked up by its moment of creation, not by its number: a pipeline may have been renamed.
    """
    lower, newest, swept = state.covered[0][0], state.covered[-1][1], state.swept
    unseen = dict(state.open)
    for page in _both(
        _fill(walk, base, state, (newest - state.lag, None), at_most),
        walk({**base, since.finished: told(swept - state.lag)}, lower),
        walk({**base, "state[]": list(since.open)}, lower),
    ):
        for item in page.items:
            unseen.pop(item["id"], None)
        yield page
    for one, created in unseen.items():
        moment, found = instant(created), False
        for page in walk(base, moment, moment + TICK):
            found = found or any(item["id"] == one for item in page.items)
            yield page
        if not found:
            yield Page([], page.at, gone=(one,))


def _both(*walks: Iterator[Page]) -> Iterator[Page]:
    for each in walks:
        yield from each
