"""T8: inside the rate limits, on a clock that only waiting moves: no 429 in steady work, and no wait without need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from graphql import parse

from buildkite_ci.budget import Budget, cost
from buildkite_ci.wire import Wire
from buildkite_elt.standin import Budgets, Standin
from buildkite_elt.standin.demo import empty
from buildkite_elt.standin.life import Life
from faults import SCALE

LISTING = "organizations/acme/pipelines"
QUERY = 'query { organization(slug: "acme") { pipelines(first: 100) { edges { node { slug } } } } }'


@contextmanager
def paced(reserve: float = 0.2, late: float = 0.0, **budgets: Any) -> Iterator[tuple[Standin, Wire]]:
    """A stand-in with true limits, `late` seconds into a window, and a wire whose waiting moves its clock."""
    world = empty()
    for n in range(100):
        Life(world, "acme").pipeline(f"p{n}")
    world.advance(late)
    with (
        Standin(world, budgets=Budgets(**budgets)) as standin,
        Wire(
            standin.token,
            standin.rest_url,
            standin.graphql_url,
            budget=Budget(lambda: standin.clock.now().timestamp(), reserve),
            sleep=standin.clock.sleep,
        ) as wire,
    ):
        yield standin, wire


def took(standin: Standin, work: Callable[[], Any], times: int) -> float:
    """Seconds of the stand-in's clock."""
    begin = standin.clock.now()
    for _ in range(times):
        work()
    return (standin.clock.now() - begin).total_seconds()


@pytest.mark.parametrize("late", [0.0, 0.7, 31.25, 59.999])
@pytest.mark.parametrize(("reserve", "a_window"), [(0.2, 40), (0.0, 50), (0.5, 25)])
def test_rest_meets_no_429_and_waits_for_no_more_than_the_windows(reserve: float, a_window: int, late: float) -> None:
    count = 300 * SCALE
    with paced(reserve, late) as (standin, wire):
        waited = took(standin, lambda: wire.get(LISTING, {"per_page": 1}), count)
        assert standin.count().refused == 0
    least = ((count - 1) // a_window) * 60 - late
    assert least - 60 <= waited <= least * 1.1 + 1


@pytest.mark.parametrize("late", [0.0, 123.4])
def test_graphql_meets_no_429_and_waits_for_no_more_than_the_windows(late: float) -> None:
    points, count = cost(parse(QUERY)), 150 * SCALE
    assert points > 100
    with paced(late=late) as (standin, wire):
        waited = took(standin, lambda: wire.post({"query": QUERY}, points), count)
        assert standin.count().refused == 0
        assert standin.count().points == points * count
    least = ((count - 1) // (4000 // points)) * 300 - late
    assert waited <= least * 1.1 + 1


@pytest.mark.parametrize("others", ["one for each of ours", "25 at once in each window"])
def test_while_another_consumer_takes_half_of_the_users_budget_nobody_meets_a_429(others: str) -> None:
    refused, windows = [], set()

    with paced() as (standin, wire):
        user = next(iter(standin.world.tokens.values())).user_id

        def spend(_: int, seen: Any) -> None:
            window = int(seen.at.timestamp() // 60)
            taken = 1 if others.startswith("one") else 0 if window in windows else 25
            windows.add(window)
            for _n in range(taken):
                standin.meter.spend("rest", "acme", 1, seen.at)
                level = standin.meter.spend("rest_user", user, 1, seen.at)
                refused.append(level.current > level.limit)

        standin.trouble.between(spend)
        waited = took(standin, lambda: wire.get(LISTING, {"per_page": 1}), 200 * SCALE)
        assert standin.count().refused == 0
    assert refused
    assert not any(refused)
    ours = 20 if others.startswith("one") else 15
    assert waited <= (200 * SCALE // ours) * 60 * 1.1


def test_a_load_of_the_user_who_is_out_of_budget_already_waits_once() -> None:
    with paced(late=20) as (standin, wire):
        user = next(iter(standin.world.tokens.values())).user_id
        for _ in range(50):
            standin.meter.spend("rest_user", user, 1, standin.clock.now())
        assert 40 <= took(standin, lambda: wire.get(LISTING), 1) <= 42
        assert standin.count().refused == 1


BOTH = ("RateLimit-Reset", "RateLimit-User-Reset")
VALUES = ("0", "-5", "1790000000", "23.0", "23.7", "soon", "", "1e9", "nan", "inf")
VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "no reset": dict.fromkeys(BOTH),
    "no user's reset": {BOTH[1]: None},
    "no organization's reset": {BOTH[0]: None},
    "no header at all": {
        f"RateLimit{user}-{name}": None for user in ("", "-User") for name in ("Scope", "Remaining", "Limit", "Reset")
    },
    "lower case": {name.lower(): "23" for name in BOTH},
    "only Retry-After": {**dict.fromkeys(BOTH), "Retry-After": "23"},
    "a Retry-After that is wrong": {"Retry-After": "1"},
    "both, the organization's longer": {BOTH[0]: "50"},
    "remaining is text": {"RateLimit-Remaining": "many", "RateLimit-User-Remaining": "few"},
    "remaining is negative": {"RateLimit-Remaining": "-1", "RateLimit-User-Remaining": "-1"},
    "limit is 0": {"RateLimit-Limit": "0", "RateLimit-User-Limit": "0"},
    **{f"user's reset {value!r}": {BOTH[1]: value} for value in VALUES},
    **{f"resets {value!r}": dict.fromkeys(BOTH, value) for value in ("0", "-5", "soon")},
}


def test_there_are_24_variants() -> None:
    assert len(VARIANTS) >= 24


@pytest.mark.parametrize("name", VARIANTS)
def test_after_a_429_nothing_is_sent_before_the_reset_that_its_body_tells(name: str) -> None:
    """The headers lie, the body does not (api.md 2.1): 23 seconds, and no more than the 120 of a wild header."""
    with paced(late=37) as (standin, wire):
        standin.trouble.add("429", nth=2, reset=23, headers=VARIANTS[name])
        took(standin, lambda: wire.get(LISTING), 3)
        times = [seen.at for seen in standin.seen]
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times[1:])]
    assert len(gaps) == 2
    assert 23 <= gaps[0] <= 122
    assert sum(gaps) <= 125


@pytest.mark.parametrize("name", VARIANTS)
def test_headers_on_a_200_never_make_us_send_before_a_reset_nor_wait_for_ever(name: str) -> None:
    """A window of twelve requests and no other knowledge than these headers, and the 429s that follow from them."""
    with paced(late=37, rest_user=12) as (standin, wire):
        standin.trouble.add("wrong-type", times=None, headers=VARIANTS[name])
        waited = took(standin, lambda: wire.get(LISTING, {"per_page": 1}), 30)
        seen = list(standin.seen)
    assert sum(one.status == 200 for one in seen) == 30
    for refused, after in pairwise(seen):
        if refused.status == 429:
            assert int(after.at.timestamp() // 60) > int(refused.at.timestamp() // 60)
    assert waited <= 30 * 120
    if name in ("as it is", "lower case", "no organization's reset", "both, the organization's longer"):
        assert not any(one.status == 429 for one in seen)
