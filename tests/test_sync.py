"""The builds stay right: what is new, what ended late, what was reopened, and what is gone, load after load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from buildkite_ci.catalog import catalog
from buildkite_ci.errors import BuildkiteError
from buildkite_ci.sync import State, sync
from buildkite_ci.table import Rest
from buildkite_ci.times import instant
from buildkite_ci.wire import Wire
from buildkite_elt.standin import Budgets, Standin
from hand_made import START, Row, at, build, put, world

FETCH = catalog()["builds"].fetch
MONTH = timedelta(days=30)
DAY = 24 * 60


class Copy:
    """What a warehouse would hold: builds by id, the newest reading of each; and the state that goes with them."""

    def __init__(self, standin: Standin, wire: Wire) -> None:
        self.standin, self.wire = standin, wire
        self.kept: dict[str, Any] = {}
        self.rows: dict[str, Row] = {}
        self.gone: set[str] = set()
        self.packages = 0

    @property
    def acme(self) -> dict[str, Row]:
        return self.standin.world.organizations["acme"].builds

    @property
    def app(self) -> Row:
        found = self.standin.world.organizations["acme"].pipeline("app")
        assert found
        return found

    def add(self, minute: float, **facts: Any) -> Row:
        facts = {"finished_at": at(minute + 1), **facts}
        one = build(self.app, len(self.acme) + 1, created_at=at(minute), **facts)
        put(self.standin.world.organizations["acme"], one)
        return one

    def load(self, since: timedelta = MONTH, at_most: int | None = None) -> int:
        """One load, package by package; the requests that it took."""
        assert isinstance(FETCH, Rest)
        before, sweep = len(self.standin.seen), True
        while True:
            self.packages += 1
            state = State(self.kept, START - since, timedelta(minutes=10))
            path = "organizations/acme/builds"
            for page in sync(self.wire, path, FETCH, state, at_most=at_most, sweep=sweep):
                self.rows |= {one["id"]: one for one in page.items}
                self.gone |= set(page.gone)
            if not state.gap():
                return len(self.standin.seen) - before
            sweep = False

    def wrong(self, since: timedelta = MONTH) -> list[str]:
        """Builds that differ from the stand-in's truth: missing, stale, or there without being marked."""
        truth = {i: b for i, b in self.acme.items() if instant(b["created_at"]) >= START - since}
        facts = ("state", "blocked", "finished_at")
        differ = [i for i, b in truth.items() if i not in self.rows or any(self.rows[i][f] != b[f] for f in facts)]
        return differ + [i for i in self.rows.keys() - truth.keys() if i not in self.gone]


@pytest.fixture
def copy() -> Iterator[Copy]:
    budgets = Budgets(rest=100_000, rest_user=100_000)
    with (
        Standin(world(), budgets=budgets) as standin,
        Wire(standin.token, standin.rest_url, standin.graphql_url, sleep=standin.clock.sleep, tries=2) as wire,
    ):
        yield Copy(standin, wire)


def test_nothing_new_costs_three_requests(copy: Copy) -> None:
    for n in range(250):
        copy.add(-300 + n)
    assert copy.load() == 3
    assert copy.load() <= 3
    assert copy.wrong() == []


def test_a_thousand_builds_cost_eleven_requests(copy: Copy) -> None:
    for n in range(1000):
        copy.add(-2000 + n)
    assert copy.load(at_most=1000) <= 12
    assert len(copy.rows) == 1000


@pytest.mark.parametrize("later", [1, 60, 2 * DAY, 20 * DAY])
def test_a_late_finish_is_seen(copy: Copy, later: int) -> None:
    slow = copy.add(-5, state="running", finished_at=None)
    copy.load()
    copy.standin.world.advance(timedelta(minutes=later))
    slow |= {"state": "failed", "finished_at": at(later)}
    copy.load()
    assert copy.wrong() == []


def test_a_retry_days_after_the_end_is_seen_while_it_runs_and_when_it_ended(copy: Copy) -> None:
    old = copy.add(-3 * DAY, state="failed", finished_at=at(-3 * DAY + 5))
    copy.load()
    old |= {"state": "running", "finished_at": None}
    copy.load()
    assert copy.rows[old["id"]]["state"] == "running"
    copy.standin.world.advance(timedelta(hours=3))
    old |= {"state": "passed", "finished_at": at(180)}
    copy.load()
    assert copy.wrong() == []


def test_a_retry_that_begins_and_ends_between_two_loads_is_seen(copy: Copy) -> None:
    old = copy.add(-3 * DAY, state="failed", finished_at=at(-3 * DAY + 5))
    copy.load()
    copy.standin.world.advance(timedelta(hours=3))
    old |= {"state": "passed", "finished_at": at(100)}
    copy.load()
    assert copy.wrong() == []


@pytest.mark.parametrize("finished", [None, at(-5)])
def test_blocked_unblocked_and_blocked_again(copy: Copy, finished: str | None) -> None:
    one = copy.add(-10, state="passed", blocked=True, finished_at=finished)
    for facts in (
        {"state": "running", "blocked": False, "finished_at": None},
        {"state": "failed", "blocked": True, "finished_at": finished},
        {"state": "passed", "blocked": False, "finished_at": at(300)},
    ):
        copy.load()
        copy.standin.world.advance(timedelta(hours=2))
        one |= facts
    copy.load()
    assert copy.wrong() == []


@pytest.mark.parametrize("state", ["skipped", "not_run", "canceled"])
def test_an_open_build_that_ends_without_a_finish_is_seen(copy: Copy, state: str) -> None:
    one = copy.add(-10, state="scheduled", finished_at=None)
    copy.load()
    copy.standin.world.advance(timedelta(days=1))
    one["state"] = state
    copy.load()
    assert copy.wrong() == []
    assert copy.load() <= 3


def test_a_renamed_pipeline_does_not_hide_an_open_build(copy: Copy) -> None:
    one = copy.add(-10, state="running", finished_at=None)
    copy.load()
    copy.app["slug"] = "renamed"
    one |= {"state": "skipped"}
    copy.load()
    assert copy.gone == set()
    assert copy.wrong() == []


def test_an_open_build_that_was_deleted_is_marked_once(copy: Copy) -> None:
    one = copy.add(-10, state="running", finished_at=None)
    copy.load()
    del copy.acme[one["id"]]
    copy.load()
    assert copy.gone == {one["id"]}
    assert copy.load() <= 3


def test_a_window_that_reaches_further_back_is_filled_and_nothing_is_read_twice(copy: Copy) -> None:
    for n in range(300):
        copy.add(-300 * 60 + n * 60)
    copy.load(since=timedelta(days=2))
    few = len(copy.rows)
    assert copy.load() <= 3 + 4
    assert few < len(copy.rows) == 300


def test_a_load_in_packages_covers_all_and_a_long_pause_is_caught_up(copy: Copy) -> None:
    for n in range(450):
        copy.add(-1000 + n)
    copy.load(at_most=100)
    assert copy.wrong() == []
    copy.standin.world.advance(timedelta(days=9))
    for n in range(450):
        copy.add(DAY + n)
    copy.load(at_most=100)
    assert copy.wrong() == []
    assert len(copy.kept["covered"]) == 1


@pytest.mark.parametrize(("bound", "at"), [("PAGES", 2), ("HEAVIEST", 1)])
def test_a_package_ends_after_so_many_pages_or_bytes(
    copy: Copy, monkeypatch: pytest.MonkeyPatch, bound: str, at: int
) -> None:
    for n in range(450):
        copy.add(-1000 + n)
    monkeypatch.setattr(f"buildkite_ci.sync.{bound}", at)
    copy.load(at_most=100_000)
    assert copy.packages == {"PAGES": 3, "HEAVIEST": 5}[bound]
    assert copy.wrong() == []


@pytest.mark.parametrize("position", range(1, 14))
def test_a_load_that_breaks_off_anywhere_is_made_good_by_the_next(copy: Copy, position: int) -> None:
    for n in range(350):
        copy.add(-5000 + n)
    open_ones = [copy.add(-4000 + n, state="running", finished_at=None) for n in range(3)]
    if position > 6:
        copy.load(at_most=150)
        copy.standin.world.advance(timedelta(days=1))
        for n in range(120):
            copy.add(30 + n)
        for one, state in zip(open_ones, ("passed", "skipped", "running"), strict=True):
            one |= {"state": state, "finished_at": at(300) if state == "passed" else None}
    copy.standin.trouble.add("503", nth=position if position <= 6 else position - 6, times=None)
    with suppress(BuildkiteError):
        copy.load(at_most=150)
    copy.standin.trouble.clear()
    copy.load(at_most=150)
    assert copy.wrong() == []
