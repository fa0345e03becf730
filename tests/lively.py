"""Small worlds that live, how to ask the stand-in's GraphQL about them, and how to hold a loaded table to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import orjson

from buildkite_ci.catalog import catalog
from buildkite_elt.loads import Origin, Outcome, Target, load
from buildkite_elt.standin import Budgets, Standin, World, graphql
from buildkite_elt.standin.answer import Ask
from buildkite_elt.standin.demo import empty
from buildkite_elt.standin.life import Life
from faults import LONG_AGO
from truth import plain

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


TROUBLES: tuple[dict[str, Any], ...] = (
    {"name": "Upload", "key": "upload", "signed": True, "takes": 10},
    {"name": "Flake", "key": "flake", "queue": "pods", "outcome": "failed,passed", "retry": 1},
    {"name": "Red", "key": "red", "queue": "pods", "outcome": "failed", "retry": 1, "promise": 3},
    *({"key": word, "queue": "pods", "outcome": word} for word in ("timed_out", "lost", "agent_stop", "stack_error")),
    {"name": "Maybe", "key": "maybe", "queue": "pods", "outcome": "tests_failed", "soft_fail": True},
    {"name": "Ship", "key": "ship", "queue": "pods", "concurrency": ("ship", 1), "parallelism": 2},
    {"name": "Long", "key": "long", "takes": 5000},
    {"name": "Late", "key": "late"},
    {"name": "Never", "key": "never", "queue": "pods", "outcome": "stuck"},
)
"""Ends of every kind; the queue `default` has one agent, `pods` as many as it takes."""


def eventful() -> Life:
    """Every type of event that the stand-in has and builds of every source; of the queues some jobs wait and run."""
    world = empty()
    made = Life(world, "acme")
    made.floor.expiry = timedelta(hours=2)
    cluster = made.cluster("Linux")
    made.queue(cluster, "pods")
    made.agent(next(iter(made.organization.queues.values())))
    app, site = made.pipeline("app", cluster=cluster), made.pipeline("site")
    bob, night = made.user("Bob"), made.schedule(app)
    made.annotate(made.build(app, plan=TROUBLES, env={"A": "1=2", "EMPTY": ""}), "failures")
    made.build(app, plan=[GATE, {**SHIP, "queue": "pods"}, NEXT])
    dropped, superseded = (made.build(app, plan=[{"queue": "pods", "outcome": "hang"}]) for _ in range(2))
    told = {"type": "schedule", "schedule_id": night["id"], "trigger_job_id": None}
    made.build(app, plan=[{"queue": "pods"}], source="schedule", creator=None, _source=told)
    author = {"name": "Eve", "email": "eve@example.com", "username": "eve"}
    pushed = made.build(site, plan=[{"queue": None}], source="webhook", creator=None, author=author)
    made.build(site, plan=[{}], source="api", branch="feature/x")
    world.advance(600)
    made.unblock(next(one for one in made.organization.builds.values() if one["blocked"]))
    made.cancel(dropped, bob, "Not needed")
    made.cancel(superseded)
    made.rebuild(pushed)
    made.annotate(pushed, "summary", "<p>All is well</p>", "success")
    made.annotate(pushed, "plain", style=None, priority=7)
    made.annotate(pushed, "of a job", "<p>Slow</p>", "warning", job=pushed["jobs"][0])
    world.advance(timedelta(hours=4))
    made.build(app, plan=[{"queue": "pods"}, GATE, {**SHIP, "queue": "pods"}])
    ship = {"key": "hold", "queue": "pods", "concurrency": ("ship", 1), "outcome": "hang"}
    made.build(app, plan=[{**ship, "parallelism": 3}, {"outcome": "hang"}, {"outcome": "hang"}])
    world.advance(120)
    return made


def into(standin: Standin, file: Path, *tables: str, **more: Any) -> Outcome:
    """One load of acme from the beginning; `more` is for loads.Origin: choices, filter, show, hash_key."""
    origin = Origin(("acme",), standin.token, standin.rest_url, standin.graphql_url)
    (outcome,) = load(replace(origin, **more), Target(database=file), tables, LONG_AGO, sleep=standin.clock.sleep)
    return outcome


def ask(file: Path, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(file), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(query, values).fetchall()


def heard(standin: Standin) -> list[Row]:
    """The bodies of all GraphQL requests from now on, variables too, which `seen` does not keep."""
    bodies: list[Row] = []
    answer = standin.answer

    def listening(asked: Ask) -> Any:
        if asked.method == "POST":
            bodies.append(orjson.loads(asked.body))
        return answer(asked)

    setattr(standin, "answer", listening)  # noqa: B010 - mypy lets no method be replaced
    return bodies


def values(bodies: Iterable[Row], query: str, name: str) -> list[Any]:
    """What was asked for as `$name_0`, `$name_1` and so on by the queries of a name, as often as it was."""
    return [
        value
        for body in bodies
        if f"query {query}(" in body["query"]
        for key, value in body["variables"].items()
        if key.rpartition("_")[0] == name
    ]


OURS = {"organization_slug", "observed_at", "last_seen_at", "first_seen_at", "more", "row_hash"}


def differ(file: Path, table: str, truth: Iterable[Row], where: str = "TRUE") -> list[str]:
    """Every difference between the table's rows and what they should be, a line each. A true row names all columns."""
    key = [one for one in catalog()[table].key if one not in OURS]
    columns = [column.name for column in catalog()[table].all_columns if column.name not in OURS]
    stored = ask(file, f"SELECT {', '.join(columns)} FROM ci.{table} WHERE {where}")
    held = {tuple(row[columns.index(name)] for name in key): dict(zip(columns, row, strict=True)) for row in stored}
    right = {tuple(row[name] for name in key): row for row in truth}
    found = [f"{one} is missing" for one in right.keys() - held.keys()]
    found += [f"{one} should not be there" for one in held.keys() - right.keys()]
    found += [f"{len(stored) - len(held)} rows are there twice"] if len(stored) != len(held) else []
    for one in held.keys() & right.keys():
        for name, value in held[one].items():
            if plain(value) != plain(right[one][name]):
                found.append(f"{one} {name} is {value!r} and should be {right[one][name]!r}")
    return found


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
