"""Listings: pages by Link, and the walk of the builds without page numbers, under faults and races."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice

import pytest

from buildkite_ci.errors import BadAnswer, ForeignHost, Unreachable
from buildkite_ci.rest import pages, walk
from buildkite_ci.times import instant
from buildkite_ci.wire import Wire
from buildkite_elt.standin import Budgets, Standin, World
from hand_made import at, build, pipeline, put, world

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
BUILDS = "organizations/acme/builds"


@contextmanager
def wired(made: World) -> Iterator[tuple[Standin, Wire]]:
    """A stand-in and a wire to it that does not really wait."""
    budgets = Budgets(rest=10_000, rest_user=10_000)
    with (
        Standin(made, budgets=budgets) as standin,
        Wire(standin.token, standin.rest_url, standin.graphql_url, sleep=standin.clock.sleep, timeout=5.0) as wire,
    ):
        yield standin, wire


def with_builds(*minutes: float) -> World:
    made = world()
    acme = made.organizations["acme"]
    app = acme.pipeline("app")
    assert app
    put(acme, *(build(app, n, created_at=at(minute)) for n, minute in enumerate(minutes)))
    return made


def with_pipelines(count: int) -> World:
    made = world()
    for n in range(count):
        one = pipeline(f"p{n}", id=str(n))
        made.organizations["acme"].pipelines[one["id"]] = one
    return made


def walked(wire: Wire, size: int = 10, upper: datetime | None = None) -> list[int]:
    return [b["number"] for page in walk(wire, BUILDS, {}, LONG_AGO, upper, size=size) for b in page.items]


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 19, 20, 100])
def test_a_walk_reads_every_build_once_newest_first(count: int) -> None:
    with wired(with_builds(*range(-count, 0))) as (standin, wire):
        assert walked(wire) == list(range(count))[::-1]
        assert len(standin.seen) <= count // 9 + 2
        assert not any("page=2" in seen.query.split("&") for seen in standin.seen)


def test_builds_of_one_millisecond_are_paged_by_number() -> None:
    with wired(with_builds(*[-5] * 25, -4, -6)) as (_, wire):
        found = walked(wire)
        assert sorted(found) == list(range(27))
        assert (found[0], found[-1]) == (25, 26)


def test_a_window_is_half_open() -> None:
    with wired(with_builds(-3, -2, -1)) as (_, wire):
        found = [b["number"] for page in walk(wire, BUILDS, {}, instant(at(-2)), instant(at(-1))) for b in page.items]
        assert found == [1]


def test_every_page_says_how_far_it_came() -> None:
    with wired(with_builds(*range(-25, 0))) as (_, wire):
        reached = [page.reached for page in walk(wire, BUILDS, {}, LONG_AGO, size=10)]
        assert [moment and moment.minute for moment in reached] == [20, 11, 0]
        assert reached[-1] == LONG_AGO


@pytest.mark.parametrize("event", ["delete", "insert", "leave"])
@pytest.mark.parametrize("boundary", [1, 2, 3])
def test_a_row_that_comes_or_goes_between_pages_costs_no_other(event: str, boundary: int) -> None:
    made = with_builds(*range(-40, 0))
    acme = made.organizations["acme"]
    app = acme.pipeline("app")
    assert app
    gone: list[int] = []

    def change(number: int, _: object) -> None:
        if number != boundary:
            return
        builds = list(acme.builds.values())
        if event == "insert":
            put(acme, build(app, 99, created_at=at(0)))
        else:
            victim = builds[-1 - 5 * boundary]
            gone.append(victim["number"])
            if event == "delete":
                del acme.builds[victim["id"]]
            else:
                victim["branch"] = "elsewhere"

    with wired(made) as (standin, wire):
        standin.trouble.between(change)
        found = [b["number"] for page in walk(wire, BUILDS, {"branch": "main"}, LONG_AGO, size=10) for b in page.items]
    assert len(found) == len(set(found))
    assert set(range(40)) - set(found) <= set(gone)


@pytest.mark.parametrize("kind", ["link-dropped", "link-same", "page-before"])
@pytest.mark.parametrize("position", [1, 2, 3])
def test_a_page_that_lies_about_its_neighbours_loses_nothing(kind: str, position: int) -> None:
    with wired(with_builds(*range(-35, 0))) as (standin, wire):
        if kind == "page-before":
            newest = wire.get(BUILDS, {"per_page": 10}).body
            standin.trouble.add("wrong-type", nth=position, body=newest)
        else:
            standin.trouble.add(kind, nth=position)
        assert walked(wire) == list(range(35))[::-1]


def test_an_answer_from_outside_the_window_is_asked_for_again_and_then_refused() -> None:
    with wired(with_builds(*range(-35, 0))) as (standin, wire):
        standin.trouble.add("wrong-type", nth=2, times=None, body=wire.get(BUILDS, {"per_page": 10}).body)
        with pytest.raises(BadAnswer, match="outside the window"):
            walked(wire)


def test_pages_follow_the_link_and_nothing_else() -> None:
    made = with_pipelines(250)
    with wired(made) as (standin, wire):
        found = [p["slug"] for page in pages(wire, "organizations/acme/pipelines") for p in page.items]
        assert len(found) == len(set(found)) == 251
        assert len(standin.seen) == 3


def test_a_listing_that_goes_in_a_circle_is_an_error() -> None:
    made = with_pipelines(250)
    with wired(made) as (standin, wire):
        standin.trouble.add("link-same", nth=2, times=None)
        with pytest.raises(BadAnswer, match="circle"):
            list(islice(pages(wire, "organizations/acme/pipelines"), 20))


def test_a_link_to_another_host_is_refused() -> None:
    made = with_pipelines(250)
    with wired(made) as (standin, wire):
        standin.trouble.add("link-foreign")
        with pytest.raises(ForeignHost, match="elsewhere"):
            list(pages(wire, "organizations/acme/pipelines"))


def test_a_listing_that_stays_away_is_an_error_and_never_an_empty_page() -> None:
    with wired(with_builds(*range(-35, 0))) as (standin, wire):
        standin.trouble.add("503", nth=3, times=None)
        with pytest.raises(Unreachable, match="503"):
            walked(wire)


@pytest.mark.parametrize("kind", ["504", "stall"])
def test_a_page_that_is_too_heavy_is_asked_for_smaller_and_grows_again(kind: str) -> None:
    with wired(with_builds(*range(-400, 0))) as (standin, wire):
        wire.client.timeout = 0.5
        standin.trouble.add(kind, path=r"per_page=(100|50)\b", times=3, seconds=1)
        found = [b["number"] for page in walk(wire, BUILDS, {"branch": "main"}, LONG_AGO) for b in page.items]
        assert found == list(range(400))[::-1]
        sizes = [seen.params["per_page"] for seen in standin.seen]
        assert sizes[:4] == [["100"], ["50"], ["25"], ["25"]]
        assert sizes[-1] in (["50"], ["100"])


def test_a_single_heavy_item_is_read_all_the_same() -> None:
    with wired(with_builds(-3, -2, -1)) as (standin, wire):
        standin.trouble.add("504", times=6)
        assert walked(wire) == [2, 1, 0]


def test_a_very_large_body_is_not_read_but_asked_for_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buildkite_ci.wire.LARGEST", 10_000)
    with wired(with_builds(*range(-60, 0))) as (standin, wire):
        found = [b["number"] for page in walk(wire, BUILDS, {}, LONG_AGO) for b in page.items]
        assert found == list(range(60))[::-1]
        assert standin.seen[0].bytes > 10_000
        assert standin.seen[-1].bytes <= 10_000
