"""A small world by hand, for the tests of the server: bodies with no more keys than its routes read."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from buildkite_elt.standin import Budgets, Clock, Organization, Standin, Token, World

TLS = ssl.create_default_context()
"""Made once: it takes a client longer than a test."""
START = datetime(2026, 10, 1, 9, 30, tzinfo=UTC)
USER = str(UUID(int=1))
Row = dict[str, Any]


def uid(number: int) -> str:
    return str(UUID(int=number))


def at(minutes: float) -> str:
    """ISO time, minutes after the start (before it, if negative)."""
    return (START + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def job(number: int, **facts: Any) -> Row:
    told = {"id": uid(number), "type": "script", "state": "passed", "step_key": None, "group_key": None, "agent": None}
    times = {"started_at": at(0), "finished_at": at(1), "log_url": None, "retried": False}
    return told | times | facts


def pipeline(slug: str, **facts: Any) -> Row:
    told = {"id": uid(sum(slug.encode()) + 1000), "slug": slug, "name": slug.title(), "_secret": "no"}
    return told | {"repository": f"git@example.com:acme/{slug}.git"} | facts


def build(owner: Row, number: int, **facts: Any) -> Row:
    """Created `number` minutes after the start and finished half a minute later."""
    told = {"id": uid(UUID(owner["id"]).int * 10**6 + number), "number": number, "pipeline": owner}
    state = {"state": "passed", "blocked": False, "branch": "main", "commit": "a" * 40, "_canceled_by": None}
    times = {"created_at": at(number), "finished_at": at(number + 0.5)}
    return told | state | times | {"creator": None, "meta_data": {}, "jobs": []} | facts


def put(organization: Organization, *rows: Row) -> None:
    """Builds into their store."""
    organization.builds.update({row["id"]: row for row in rows})


def world(**token: Any) -> World:
    """The organization `acme` with the pipeline `app`, one user, and one token."""
    made = World(Clock(START))
    made.users[USER] = {"id": USER, "name": "Ada", "email": "ada@example.com", "_password": "no"}
    made.tokens["first"] = Token("bkua_" + "a" * 40, USER, created_at=START, **token)
    acme = Organization({"id": uid(2), "slug": "acme", "name": "Acme"})
    made.organizations["acme"] = acme
    app = pipeline("app")
    acme.pipelines[app["id"]] = app
    return made


Get = Callable[..., httpx.Response]


@contextmanager
def serving(made: World | None = None, *, budgets: Budgets | None = None) -> Iterator[tuple[Standin, Get]]:
    """A stand-in, and `get(path, **options)` with the first token for paths below `/v2/organizations/acme`.

    A path that begins with a slash is meant from the server's root.
    """
    with Standin(made or world(), budgets=budgets) as standin, httpx.Client(timeout=5, verify=TLS) as client:
        bearer = {"Authorization": f"Bearer {standin.token}"}

        def get(path: str, method: str = "GET", headers: Row | None = None, **options: Any) -> httpx.Response:
            url = f"{standin.base}{path}" if path.startswith("/") else f"{standin.rest_url}/organizations/acme/{path}"
            return client.request(method, url, headers=bearer | (headers or {}), **options)

        yield standin, get
