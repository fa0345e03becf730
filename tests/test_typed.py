"""Jobs read as typed objects are the rows that reader.py makes, whatever an answer holds."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from random import Random
from typing import Any

import httpx
import orjson
import pyarrow as pa
import pytest

from buildkite_ci.catalog import catalog
from buildkite_ci.privacy import Privacy
from buildkite_ci.typed import Odd, Rows, in_passing, typed
from buildkite_elt.standin import Standin
from faults import PLENTY
from lively import eventful

GIVEN = {"organization_slug": "acme", "last_seen_at": "2026-01-02T03:04:05+00:00"}
JOBS, TYPED = catalog()["jobs"], typed("jobs")
PRIVACY = [Privacy(), Privacy(frozenset({"emails", "ips"})), Privacy(key="k")]


@pytest.fixture(scope="module")
def page() -> list[dict[str, Any]]:
    """Builds with jobs of every type, retried, blocked, canceled, with and without agents."""
    life = eventful()
    life.world.advance(timedelta(hours=1))
    with Standin(life.world, budgets=PLENTY) as standin:
        url = f"{standin.rest_url}/organizations/acme/builds"
        told = {"Authorization": f"Bearer {standin.token}"}
        answer = httpx.get(url, params={"per_page": 100, "include_retried_jobs": "true"}, headers=told)
    found: list[dict[str, Any]] = orjson.loads(answer.content)
    return found


def slow(content: bytes, privacy: Privacy) -> pa.Table:
    items = orjson.loads(content)
    return JOBS.read(items, GIVEN, privacy)


@pytest.mark.parametrize("privacy", PRIVACY, ids=["plain", "shown", "hashed"])
def test_what_is_ordinary_is_typed_and_equal(page: list[dict[str, Any]], privacy: Privacy) -> None:
    content = orjson.dumps(page)
    items = TYPED.decode(content)
    assert all(isinstance(item["jobs"], Rows) for item in items)
    rows = TYPED.table(items, GIVEN, privacy)
    assert rows.equals(slow(content, privacy))
    assert rows.num_rows == sum(len(item["jobs"]) for item in page) > 30
    assert [dict(item) | {"jobs": [*item["jobs"]]} for item in items] == page
    for plain, item in zip(page, items, strict=True):
        found, wanted = (
            {one: find() for one, find in in_passing(rows, "agent")} for rows in (item["jobs"], plain["jobs"])
        )
        assert found == wanted


ODD: list[Any] = [
    *(None, True, 7, -1.5, 1.0, 2**70, "", "text", "2026-01-02", "a\0b", "🚀", "x" * 300, "queue=other"),
    *([], {}, ["queue=big"], {"id": "x"}, {"new": 1}, [1, None], {"email": "a@b.example", "token": "s"}, "1.2.3.4"),
]


def strange(page: list[dict[str, Any]], random: Random) -> bytes:
    """The page with some values put, taken away or made others."""
    made: list[dict[str, Any]] = orjson.loads(orjson.dumps(page[:6]))
    for _ in range(random.choice((1, 1, 2, 4))):
        build = random.choice(made)
        if not isinstance(build.get("jobs"), list) or not build["jobs"] or random.random() < 0.1:
            build[random.choice(("jobs", "id", "number", "pipeline", "url"))] = random.choice(ODD)
            continue
        place = random.randrange(len(build["jobs"]))
        at = build["jobs"][place]
        if not isinstance(at, dict) or random.random() < 0.05:
            build["jobs"][place] = random.choice(ODD)
            continue
        inside = [one for one in at.values() if isinstance(one, dict) and one]
        if inside and random.random() < 0.4:
            at = random.choice(inside)
        name = random.choice([*at, "new_field"])
        if random.random() < 0.2:
            at.pop(name, None)
        else:
            at[name] = random.choice(ODD)
    return orjson.dumps(made)


def test_what_is_strange_becomes_the_same_rows(page: list[dict[str, Any]]) -> None:
    kept = 0
    for seed in range(1000):
        random = Random(seed)
        try:
            content = strange(page, random)
        except TypeError:  # a number that orjson does not write
            continue
        items, privacy = TYPED.decode(content), random.choice(PRIVACY)
        found = JOBS.read(items, GIVEN, privacy)
        assert found.equals(slow(content, privacy)), seed
        with suppress(Odd):
            kept += TYPED.table(items, GIVEN, privacy).num_rows > 0
    assert 100 < kept < 900, kept


@pytest.mark.parametrize("text", [b'"\\ud83d"', b'"\\u0000"', b'"\xff"', b"nul", b"1e999"])
def test_what_is_no_json_or_no_text_is_told_or_read_as_before(page: list[dict[str, Any]], text: bytes) -> None:
    content = orjson.dumps(page[:2]).replace(b'"soft_failed":false', b'"soft_failed":' + text, 1)
    assert text in content
    try:
        wanted = slow(content, Privacy())
    except orjson.JSONDecodeError:
        with pytest.raises(orjson.JSONDecodeError):
            TYPED.decode(content)
    else:
        assert JOBS.read(TYPED.decode(content), GIVEN, Privacy()).equals(wanted)


def test_a_moment_that_is_given_is_in_every_row(page: list[dict[str, Any]]) -> None:
    rows = TYPED.table(TYPED.decode(orjson.dumps(page)), GIVEN, Privacy())
    assert set(rows["last_seen_at"].to_pylist()) == {datetime.fromisoformat(GIVEN["last_seen_at"])}
