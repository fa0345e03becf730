"""A small world that lives, and how to ask the stand-in's GraphQL about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson

from buildkite_elt.standin import Budgets, World, graphql
from buildkite_elt.standin.answer import Ask
from buildkite_elt.standin.demo import empty
from buildkite_elt.standin.life import Life

Row = dict[str, Any]

FREE = Budgets(query=10**12, depth=100)

FLAKE = {"name": "Test", "key": "test", "outcome": "failed,passed", "retry": 1}
SHIP = {"name": "Ship", "key": "ship", "concurrency": ("ship", 1), "matrix": [{"os": "linux"}], "env": {"TO": "prod"}}
GATE = {"type": "manual", "name": "Ship it?", "key": "gate"}
NEXT = {"type": "trigger", "name": "Next", "key": "next", "pipeline": "site"}


def lively() -> Life:
    """One cluster, a clustered pipeline `app` and an unclustered one `site`, with builds that ended an hour ago."""
    world = empty()
    made = Life(world, "acme")
    cluster = made.cluster("Linux")
    made.agent(next(iter(made.organization.queues.values())))
    app = made.pipeline("app", cluster=cluster, tags=["web"])
    made.pipeline("site")
    made.archive_pipeline(made.pipeline("old"))
    team = made.team("Web")
    made.team_has(team, app, "read_only")
    made.team_has(team, made.user("Bob"), "maintainer")
    made.schedule(app, env={"NIGHT": "1"})
    made.build(app, plan=[FLAKE, {"type": "waiter"}, GATE, SHIP, NEXT], message="first", env={"A": "1=2"})
    made.build(app, plan=[{**FLAKE, "outcome": "failed", "retry": 0, "soft_fail": False}], branch="feature/x")
    world.advance(timedelta(hours=1))
    made.unblock(next(iter(made.organization.builds.values())))
    world.advance(timedelta(hours=1))
    return made


def execute(world: World, query: str, budgets: Budgets = FREE, **variables: Any) -> graphql.Result:
    return send(world, orjson.dumps({"query": query, "variables": variables}), budgets)


def send(world: World, body: bytes, budgets: Budgets = FREE, headers: dict[str, str] | None = None) -> graphql.Result:
    token = next(iter(world.tokens.values()))
    ask = Ask("POST", "/v1", "", headers or {}, body, world.now(), "http://127.0.0.1", token=token)
    return graphql.execute(world, ask, budgets)


def data(world: World, query: str, **variables: Any) -> Any:
    """The data of an answer without errors."""
    result = execute(world, query, **variables)
    assert result.status == 200
    assert "errors" not in result.body, result.body["errors"]
    return result.body["data"]


def message(result: graphql.Result) -> str:
    """The only error of an answer without data."""
    assert list(result.body) == ["errors"]
    [error] = result.body["errors"]
    return str(error["message"])


def nodes(connection: Row) -> list[Row]:
    return [edge["node"] for edge in connection["edges"]]


def organization(world: World, inner: str, **variables: Any) -> Any:
    return data(world, f'{{ organization(slug: "acme") {{ {inner} }} }}', **variables)["organization"]
