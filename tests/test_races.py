"""T7: the world changes between any two pages of any listing.

Whatever was there throughout is in the load once, and the next load has all of it right.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from buildkite_ci.errors import NotFound
from buildkite_ci.rest import READINGS, pages
from buildkite_elt.standin import Organization, Standin
from buildkite_elt.standin.demo import empty
from buildkite_elt.standin.life import Life
from faults import PLENTY, SCALE, Memory, small_pages, tried, wired
from truth import Row

ROWS = 14


@dataclass
class Listing:
    """A listing by its table: the rows behind it in the world, how one more is made, and where it is asked for."""

    store: Callable[[Organization], Any]
    make: Callable[[Life, str], Any]
    path: str
    key: str = "id"

    def rows(self, acme: Organization) -> list[Row]:
        store = self.store(acme)
        return list(store.values() if isinstance(store, dict) else store)

    def put(self, acme: Organization, rows: list[Row]) -> None:
        """Replace what is there, in this order."""
        store = self.store(acme)
        if isinstance(store, dict):
            store.clear()
            store.update({row["id"]: row for row in rows})
        else:
            store[:] = rows


def first(rows: dict[str, Row]) -> Row:
    return next(iter(rows.values()))


LISTINGS = {
    "pipelines": Listing(lambda o: o.pipelines, lambda life, name: life.pipeline(name), "/pipelines$"),
    "agents": Listing(lambda o: o.agents, lambda life, _: life.agent(first(life.organization.queues)), "/agents$"),
    "members": Listing(lambda o: o.members, lambda life, name: life.user(name), "acme/members$"),
    "teams": Listing(lambda o: o.teams, lambda life, name: life.team(name), "/teams$"),
    "clusters": Listing(lambda o: o.clusters, lambda life, name: life.cluster(name), "/clusters$"),
    "cluster_queues": Listing(
        lambda o: o.queues, lambda life, name: life.queue(first(life.organization.clusters), name), "/queues$"
    ),
    "pipeline_schedules": Listing(
        lambda o: o.schedules,
        lambda life, name: life.schedule(first(life.organization.pipelines), label=name),
        "/schedules$",
    ),
    "team_members": Listing(
        lambda o: first(o.teams)["_members"],
        lambda life, name: life.team_has(first(life.organization.teams), life.user(name), "member"),
        r"teams/[\w-]+/members$",
        "user_id",
    ),
    "team_pipelines": Listing(
        lambda o: first(o.teams)["_pipelines"],
        lambda life, name: life.team_has(first(life.organization.teams), life.pipeline(name), "read_only"),
        r"teams/[\w-]+/pipelines$",
        "pipeline_id",
    ),
}


def insert_first(rows: list[Row], made: Row, _: int) -> list[Row]:
    return [made, *rows]


def insert_last(rows: list[Row], made: Row, _: int) -> list[Row]:
    return [*rows, made]


def delete_first(rows: list[Row], _made: Row, _: int) -> list[Row]:
    return rows[1:]


def delete_last(rows: list[Row], _made: Row, _: int) -> list[Row]:
    return rows[:-1]


def delete_at_the_border(rows: list[Row], _made: Row, border: int) -> list[Row]:
    return rows[: max(border - 1, 0)] + rows[border:]


def swap_one_for_another(rows: list[Row], made: Row, _: int) -> list[Row]:
    return [*rows[1:], made]


def delete_three(rows: list[Row], _made: Row, _: int) -> list[Row]:
    return rows[3:]


def move_last_to_first(rows: list[Row], _made: Row, _: int) -> list[Row]:
    return [rows[-1], *rows[:-1]]


def move_first_to_last(rows: list[Row], _made: Row, _: int) -> list[Row]:
    return [*rows[1:], rows[0]]


def turn_round(rows: list[Row], _made: Row, _: int) -> list[Row]:
    return rows[::-1]


def touch(rows: list[Row], _made: Row, _: int) -> list[Row]:
    rows[0]["name"] = rows[-1]["name"] = "Touched"
    return rows


Event = Callable[[list[Row], Row, int], list[Row]]
EVENTS: list[Event] = [insert_first, insert_last, delete_first, delete_last, delete_at_the_border, delete_three]
EVENTS += [swap_one_for_another, move_last_to_first, move_first_to_last, turn_round, touch]


def standin_with(table: str) -> Standin:
    """A stand-in with one of each parent, and ROWS rows in this listing."""
    made = empty()
    life = Life(made, "acme")
    life.cluster("Main")
    life.pipeline("main")
    life.team("Main")
    listing = LISTINGS[table]
    while len(listing.rows(life.organization)) < ROWS:
        listing.make(life, f"one-{len(listing.rows(life.organization))}")
    return Standin(made, budgets=PLENTY)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
@pytest.mark.parametrize("table", LISTINGS)
def test_a_change_between_two_pages_costs_no_row_and_doubles_none(table: str, event: Event) -> None:
    listing, boundary = LISTINGS[table], 0
    with small_pages(5), standin_with(table) as standin, wired(standin) as wire:
        acme, life = standin.world.organizations["acme"], Life(standin.world, "acme")
        rows = listing.rows(acme)
        listing.make(life, "new")
        made = next(one for one in listing.rows(acme) if one not in rows)
        while boundary < 7:
            boundary += 1
            listing.put(acme, list(rows))
            watched, memory = Watched(standin, listing.path, boundary), Memory()
            watched.then = partial(change, listing, acme, event, rows, made, boundary * 4)
            run = memory.load(wire, [table])
            standin.trouble.clear()
            held = [row[listing.key] for row in memory.rows[table]]
            stayed = {row[listing.key] for row in rows} & {row[listing.key] for row in listing.rows(acme)}
            assert (run.report.failed, stayed - set(held)) == ({}, set()), boundary
            assert len(held) == len(set(held)), boundary
            memory.load(wire, [table])
            assert memory.wrong(standin.world, [table]) == [], boundary
            if not watched.happened:
                break
    assert boundary > 4


def change(listing: Listing, acme: Organization, event: Event, rows: list[Row], made: Row, border: int) -> None:
    listing.put(acme, event(list(rows), made, border))


class Watched:
    """Lets something happen when the nth request of a path has been answered, before the answer leaves."""

    def __init__(self, standin: Standin, path: str, nth: int) -> None:
        self.count, self.happened = 0, False
        self.then: Callable[[], Any] = dict

        def look(_number: int, seen: Any) -> None:
            self.count += bool(re.search(path, seen.path))
            if self.count == nth and not self.happened:
                self.happened = True
                self.then()

        standin.trouble.between(look)


@pytest.mark.parametrize("step", [1, 5, 7])
def test_a_listing_that_never_stands_still_ends_in_a_bounded_number_of_requests(step: int) -> None:
    with small_pages(5), standin_with("agents") as standin, wired(standin) as wire:
        acme = standin.world.organizations["acme"]
        rows = list(acme.agents.values())

        def churn(number: int, _: Any) -> None:
            turn = number * step % ROWS
            LISTINGS["agents"].put(acme, rows[turn:] + rows[:turn])

        standin.trouble.between(churn)
        done = tried(lambda: list(pages(wire, "organizations/acme/agents")))
        if isinstance(done, Exception):
            assert "did not fit together" in str(done)
        else:
            assert {one["id"] for one in done[0].items} == {one["id"] for one in rows}
        assert len(standin.seen) <= READINGS * ROWS


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (1, 1), (99, 1), (100, 2), (101, 2), (189, 2), (1000, 12)])
def test_the_price_of_a_sure_listing(count: int, requests: int) -> None:
    made = empty()
    life = Life(made, "acme")
    life.organization.members.clear()
    for n in range(count):
        life.user(f"User {n}")
    with Standin(made, budgets=PLENTY) as here, wired(here) as wire:
        [page] = pages(wire, "organizations/acme/members")
        assert len(page.items) == count
        assert len(here.seen) == requests


# --- parents that change while their children are asked for ---


@pytest.mark.parametrize("nth", range(1, 5))
def test_a_pipeline_renamed_between_its_listing_and_its_schedules_keeps_them(nth: int) -> None:
    with small_pages(5), standin_with("pipeline_schedules") as standin, wired(standin) as wire:
        life, memory = Life(standin.world, "acme"), Memory()
        Watched(standin, "/(pipelines|schedules)$", nth).then = lambda: life.rename_pipeline(
            first(life.organization.pipelines), "new"
        )
        assert not memory.load(wire, ["pipeline_schedules"]).report.failed
        standin.trouble.clear()
        assert len(memory.rows["pipeline_schedules"]) == ROWS
        memory.load(wire, ["pipeline_schedules"])
        assert memory.wrong(standin.world, ["pipeline_schedules"]) == []


def test_a_team_deleted_between_its_listing_and_its_members_takes_them_along() -> None:
    with small_pages(5), standin_with("team_members") as standin, wired(standin) as wire:
        acme, memory = standin.world.organizations["acme"], Memory()
        Life(standin.world, "acme").team("Other")
        Watched(standin, "/teams$", 1).then = partial(acme.teams.popitem)
        for _ in range(2):
            assert not memory.load(wire, ["team_members"]).report.failed
            assert memory.wrong(standin.world, ["team_members"]) == []


def test_a_team_that_is_there_and_whose_members_are_not_found_is_an_error() -> None:
    with small_pages(5), standin_with("team_members") as standin, wired(standin) as wire:
        memory = Memory()
        memory.load(wire, ["team_members"])
        standin.trouble.add("404", path="/members", times=None)
        with pytest.raises(NotFound):
            memory.load(wire, ["team_members"])
        standin.trouble.clear()
        standin.trouble.add("404", path="/members", times=1)
        assert not memory.load(wire, ["team_members"]).report.failed
        assert memory.wrong(standin.world, ["team_members"]) == []


# --- builds ---


def builds_world() -> Life:
    made = empty()
    life = Life(made, "acme")
    app = life.pipeline("app")
    life.pipeline("other")
    for n in range(23):
        made.advance(60)
        life.build(app, 1, takes=30, state="running" if n % 4 == 1 else "failed" if n % 4 == 2 else "passed")
    made.advance(3600)
    return life


def begin(life: Life) -> None:
    life.build("other", 1, takes=30)


def some(life: Life, state: str, which: int) -> Row | None:
    found = [one for one in life.organization.builds.values() if one["state"] == state]
    return found[which] if found else None


def end_oldest(life: Life) -> None:
    one = some(life, "running", 0)
    if one:
        life.finish(one)


def end_newest(life: Life) -> None:
    one = some(life, "running", -1)
    if one:
        life.finish(one, "failed")


def cancel(life: Life) -> None:
    one = some(life, "running", 2)
    if one:
        life.cancel(one)


def retry(life: Life) -> None:
    one = some(life, "failed", 0)
    if one:
        life.retry(one, next(job for job in one["jobs"] if job["state"] == "failed"))


def delete(which: int) -> Callable[[Life], None]:
    def happens(life: Life) -> None:
        del life.organization.builds[list(life.organization.builds)[which]]

    return happens


def rename(life: Life) -> None:
    life.rename_pipeline(first(life.organization.pipelines), "renamed")


BUILDS: dict[str, Callable[[Life], None]] = {
    **{one.__name__: one for one in (begin, end_oldest, end_newest, cancel, retry, rename)},
    **{f"delete_{which}": delete(which) for which in (0, 7, 12, -1)},
}


@pytest.mark.parametrize("event", BUILDS)
@pytest.mark.parametrize("which", ["window", "packages", "sweep"])
def test_a_change_between_two_pages_of_builds_costs_none_and_doubles_none(event: str, which: str) -> None:
    boundary = 0
    while True:
        boundary += 1
        life, memory = builds_world(), Memory()
        world, acme = life.world, life.organization
        with small_pages(5), Standin(world, budgets=PLENTY) as here, wired(here) as wire:
            if which == "sweep":
                memory.load(wire, ["builds"])
                world.advance(3600)
                end_oldest(life)
                for _ in range(7):
                    world.advance(60)
                    begin(life)
                world.advance(600)
            before = set(acme.builds)
            watched = Watched(here, "/builds$", boundary)
            watched.then = partial(BUILDS[event], life)
            run = memory.load(wire, ["builds"], 7 if which == "packages" else None)
            stayed = before & set(acme.builds)
            held = [row["id"] for row in memory.rows["builds"]]
            assert (run.report.failed, stayed - set(held)) == ({}, set()), boundary
            assert len(held) == len(set(held)), boundary
            here.trouble.clear()
            world.advance(3600)
            memory.load(wire, ["builds"])
            deleted = before - stayed
            wrong = [one for one in memory.wrong(world, ["builds", "jobs"]) if not said_of(one, deleted, memory)]
            assert wrong == [], boundary
        if not watched.happened:
            break
        boundary += 0 if SCALE > 1 else 2
    assert boundary > 4


def said_of(line: str, deleted: set[str], memory: Memory) -> bool:
    """Whether a difference is only that a build that was deleted, or a job of one, is still stored."""
    jobs = {row["id"] for row in memory.rows["jobs"] if row["build_id"] in deleted}
    return "is there and should not be" in line and any(one in line for one in deleted | jobs)


# --- GraphQL ---


@pytest.mark.parametrize("event", [insert_first, insert_last, delete_first, delete_last, delete_at_the_border])
@pytest.mark.parametrize("boundary", [1, 2, 3])
def test_a_change_between_two_pages_of_the_graph_costs_none(
    event: Callable[[list[Row], Row, int], list[Row]], boundary: int
) -> None:
    life, listing = Life(empty(), "acme"), LISTINGS["pipelines"]
    acme = life.organization
    for n in range(205):
        life.world.advance(1)
        life.pipeline(f"p{n}")
    rows = listing.rows(acme)
    life.world.advance(1)
    made = life.pipeline("new")
    listing.put(acme, rows)
    with Standin(life.world, budgets=PLENTY) as here, wired(here) as wire:
        watched, memory = Watched(here, "^/v1$", boundary), Memory()
        watched.then = lambda: listing.put(acme, event(list(rows), made, boundary * 100))
        assert not memory.load(wire, ["pipeline_metrics"]).report.failed
        assert watched.happened
        stayed = {row["id"] for row in rows} & set(acme.pipelines)
        held = [(row["pipeline_id"], row["label"]) for row in memory.rows["pipeline_metrics"]]
        assert stayed <= {one for one, _ in held}
        assert len(held) == len(set(held))
