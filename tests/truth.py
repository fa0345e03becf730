"""The oracle: what the warehouse should hold, told by the stand-in's world and by naming rules, not by the tables.

A column is a REST key, nested ones joined by `_` (`creator.name` is creator_name). Maps and lists are JSON. What is
masked by default (e-mails, addresses, env values) is left out here; test_privacy.py looks at it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from buildkite_ci.catalog import catalog
from buildkite_elt.standin import Organization, World

Row = dict[str, Any]
MASKED = re.compile(r"(^|_)(email|ip_address|allowed_ip_addresses|env)$|webhook_url|access_token")
STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")


def flat(body: Row, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a body with its value, also those on the way (a map may be one JSON column)."""
    for key, value in body.items():
        if key[0] == "_":
            continue
        yield path + key, value
        if isinstance(value, dict):
            yield from flat(value, f"{path}{key}_")


def plain(value: Any) -> Any:
    """A value of either side as one that can be compared."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, str) and STAMP.match(value):
        moment = datetime.fromisoformat(value.removesuffix(" UTC"))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    if isinstance(value, str) and value[:1] in "[{":
        try:
            return plain(json.loads(value))
        except ValueError:
            return value
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k[0] != "_" and not MASKED.search(k)} or None
    if isinstance(value, list):
        return [plain(one) for one in value] or None
    return None if value == "" else value


def jobs(organization: Organization) -> Iterator[Row]:
    for build, job in organization.jobs():
        above = {"build_id": build["id"], "build_number": build["number"], "pipeline_slug": build["pipeline"]["slug"]}
        yield job | above


def teams(organization: Organization, inside: str) -> Iterator[Row]:
    for team in organization.teams.values():
        for one in team[inside]:
            yield one | {"team_id": team["id"], "team_slug": team["slug"]}


def queues(organization: Organization) -> Iterator[Row]:
    for queue in organization.queues.values():
        yield queue | {"cluster_id": queue["cluster_url"].rsplit("/", 1)[-1]}


TRUTH: dict[str, tuple[tuple[str, ...], Callable[[Organization], Iterable[Row]]]] = {
    "organizations": (("id",), lambda o: [o.body]),
    "pipelines": (("id",), lambda o: o.pipelines.values()),
    "builds": (("id",), lambda o: o.builds.values()),
    "jobs": (("id",), jobs),
    "clusters": (("id",), lambda o: o.clusters.values()),
    "cluster_queues": (("id",), queues),
    "members": (("id",), lambda o: o.members.values()),
    "teams": (("id",), lambda o: o.teams.values()),
    "team_members": (("team_id", "user_id"), lambda o: teams(o, "_members")),
    "team_pipelines": (("team_id", "pipeline_id"), lambda o: teams(o, "_pipelines")),
    "pipeline_schedules": (("id",), lambda o: o.schedules.values()),
    "emojis": (("name",), lambda o: o.emojis),
}
"""Table -> its key, and the bodies that it should hold. (agents keeps what left the list, so it is looked at apart.)"""

NOT_COPIED = {
    ("pipelines", "steps"): "its env values are masked",
    ("builds", "author"): "three columns, author_*",
    ("builds", "pull_request"): "{} is null",
}


MOMENTS = {
    (t.name, c.name): "a reading of when this version began" for t in catalog().values() for c in t.columns if c.now
}


PASSING = re.compile(
    r"^(builds|jobs) (\w*pipeline_slug|pipeline_name|pull_request_repository|\w*url)$|^jobs agent_(?!id|name)"
)
"""How a neighbour (a renamed pipeline, an agent) was when the row was read; later loads leave it so."""


def stored(where: Path | str, table: str, organization: str, dataset: str = "ci") -> list[Row]:
    """The table's rows of one organization; of a history, the current ones.

    where: a DuckDB file, or PostgreSQL's URL.
    """
    made: Any = duckdb.connect(str(where), read_only=True) if isinstance(where, Path) else psycopg.connect(where)
    with made as connection:
        found = connection.execute(f"SELECT * FROM {dataset}.{table}")
        names = [one[0] for one in found.description]
        rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    mine = "slug" if table == "organizations" else "organization_slug"
    return [row for row in rows if row[mine] == organization and not row.get("_dlt_valid_to")]


def wrong(
    where: Path | str, world: World, slug: str, tables: Iterable[str] = TRUTH, *, first: bool = False
) -> list[str]:
    """Every difference between what is stored and the world, a line each; an empty list is the truth.

    first: nothing has happened since the first load, so even what a row says of its neighbours is right. dlt
    makes nulls of empty texts in PostgreSQL.
    """
    organization, found = world.organizations[slug], []
    with world.lock:
        for table in tables:
            key, bodies = TRUTH[table]
            truth = {tuple(b[k] for k in key): b for b in bodies(organization)}
            found += list(compared(table, key, truth, stored(where, table, slug)))
    if isinstance(where, str):
        found = [line for line in found if not line.endswith(" is None and should be ''")]
    return (
        found
        if first
        else [line for line in found if not PASSING.search(re.sub(r": \(.*?,?\)", "", line).split(" is ")[0])]
    )


def compared(table: str, key: tuple[str, ...], truth: dict[tuple[Any, ...], Row], rows: list[Row]) -> Iterator[str]:
    held = {tuple(row[k] for k in key): row for row in rows}
    if len(held) != len(rows):
        yield f"{table}: {len(rows) - len(held)} rows are there twice"
    live = {k for k, row in held.items() if not row.get("gone_at")}
    yield from (f"{table}: {k} is missing" for k in truth.keys() - held.keys())
    yield from (f"{table}: {k} is there and should not be" for k in live - truth.keys())
    for k in truth.keys() & held.keys():
        told = dict(flat(truth[k]))
        for name, value in held[k].items():
            copied = name in told and not MASKED.search(name) and (table, name) not in NOT_COPIED | MOMENTS
            if copied and plain(value) != plain(told[name]):
                yield f"{table}: {k} {name} is {value!r} and should be {told[name]!r}"
