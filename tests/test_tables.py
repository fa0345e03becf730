"""Every table keeps the house's agreements, and reads Buildkite's own samples whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from buildkite_ci import graphql
from buildkite_ci.catalog import catalog, twin
from buildkite_ci.privacy import SHOWABLE, Privacy, kind
from buildkite_ci.table import Errand, GraphQL, Item, Ours, Rest, Table
from buildkite_ci.times import instant

SHARED = Path(__file__).parents[2] / "shared"
SAMPLES = SHARED / "buildkite" / "samples" / "rest"
OPEN = Privacy(frozenset(SHOWABLE))
TABLES = list(catalog().values())
BELOW = [table for table in TABLES if isinstance(table.fetch, Rest) and table.fetch.each]
QUERIED = [table for table in TABLES if twin(table).exists()]
LOADS = {
    "access_token": "merge",
    "access_token_scopes": "merge",
    "agents": "merge",
    "builds": "merge",
    "cluster_queues": "scd2",
    "clusters": "scd2",
    "emojis": "replace",
    "jobs": "merge",
    "members": "scd2",
    "organizations": "merge",
    "pipeline_metrics": "append",
    "pipeline_schedules": "scd2",
    "pipelines": "scd2",
    "team_members": "scd2",
    "team_pipelines": "scd2",
    "teams": "scd2",
    "webhook_ips": "scd2",
}
GIVEN = {
    "organization_slug": "acme",
    "observed_at": "2026-01-02T03:04:05+00:00",
    "last_seen_at": "2026-01-02T03:04:06+00:00",
}

every_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


@every_table
def test_a_table_says_everything_once(table: Table) -> None:
    names = [c.name for c in table.all_columns]
    assert table.doc.split("\n")[0].endswith("."), f"{table.name}.py: its first line is a sentence"
    assert table.grain.startswith("one row per "), f"{table.name}.py: its grain says what one row is"
    assert len(names) == len(set(names))
    assert set(table.key) <= set(names)
    for column in table.columns:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", column.name), f"{table.name}.py: {column.name} is not snake_case"
        assert re.fullmatch(r"\S.*\.", column.doc), f"{table.name}.py: {column.name} has no sentence"
        assert not column.now or table.load == "scd2", f"{table.name}.py: {column.name} is a reading, without versions"


@every_table
def test_a_key_is_text_or_given(table: Table) -> None:
    """But of the rows that come as Arrow, all that share a value of `whole` at a time."""
    types, ours = {c.name: c.type for c in table.columns}, isinstance(table.fetch, Ours)
    assert ours or table.whole or all(types[name] in ("text", "timestamp") or name in GIVEN for name in table.key)


@every_table
def test_no_column_is_a_secret(table: Table) -> None:
    for column in table.columns:
        assert "never" not in map(kind, (column.name, *column.path)), f"{table.name}.py: {column.name}"


@every_table
def test_what_is_private_has_a_type_that_says_so(table: Table) -> None:
    for column in table.columns:
        private = kind(column.path[-1])
        assert not private or column.type == private, f"{table.name}.py: {column.name} is {private}"
        assert column.type == "url" or not column.name.endswith("_url"), f"{table.name}.py: {column.name} is a url"


@every_table
def test_a_scope_is_one_that_buildkite_has(table: Table) -> None:
    if not SHARED.exists():
        pytest.skip("the API's facts are not here")
    facts = (SHARED / "buildkite" / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`([a-z_]+)`", facts.split("### 1.2 ")[1].split("\n### ")[0]))
    assert table.scope in listed | {""}, f"{table.name}.py: no scope {table.scope}"
    asked = catalog()[table.family].fetch
    by_query = isinstance(asked, GraphQL) or (isinstance(asked, Errand) and not asked.path)
    assert (table.scope == "graphql") == by_query


def test_how_each_table_is_loaded() -> None:
    assert {name: catalog()[name].load for name in LOADS} == LOADS


@every_table
def test_a_rows_organization_is_told(table: Table) -> None:
    everybodys = {"organizations", "webhook_ips", "access_token", "access_token_scopes"}
    named = any(c.name == "organization_slug" for c in table.columns)
    assert named != (table.name in everybodys)


@pytest.mark.parametrize("table", BELOW, ids=lambda table: table.name)
def test_what_a_listing_below_another_asks_of_its_parent_is_there(table: Table) -> None:
    fetch = table.fetch
    assert isinstance(fetch, Rest)
    parent = catalog()[fetch.each]
    known = {c.path for c in parent.columns}
    assert {(name,) for name in (*fetch.bind.values(), *fetch.given.values())} <= known
    assert set(fetch.given) <= {c.name for c in table.columns}
    assert set(re.findall(r"{(\w+)}", fetch.path)) == {"organization", *fetch.bind}


@pytest.mark.parametrize("table", QUERIED, ids=lambda table: table.name)
def test_a_query_asks_for_the_page(table: Table) -> None:
    request = graphql.read(twin(table))
    graphql.refuse_writes(request, table.name)
    one = isinstance(table.fetch, GraphQL) and not table.fetch.many
    assert not one or graphql.page_path(request, table.name)[0] == "organization"


# Buildkite's own samples: file -> tables that read it. A job alone is read as the one job of a build.
READ = {
    "access_token__01": ("access_token", "access_token_scopes"),
    **{f"agents__0{n}": ("agents",) for n in (1, 2)},
    **{f"builds__0{n}": ("builds", "jobs") for n in (1, 3, 4, 5, 6)},
    "builds__02": ("jobs",),
    **{f"clusters__0{n}": ("clusters",) for n in (1, 2, 3)},
    **{f"clusters__queues__0{n}": ("cluster_queues",) for n in range(1, 8)},
    "emojis__01": ("emojis",),
    **{f"jobs__0{n}": ("jobs",) for n in (1, 2, 5, 6, 7)},
    **{f"organizations__0{n}": ("organizations",) for n in (1, 2)},
    **{f"organizations__members__0{n}": ("members",) for n in (1, 2, 3)},
    **{f"pipeline_schedules__0{n}": ("pipeline_schedules",) for n in (1, 2, 3, 4)},
    **{f"pipelines__0{n}": ("pipelines",) for n in (1, 2)},
    "teams__01": ("teams",),
    **{f"teams__members__0{n}": ("team_members",) for n in (1, 2, 3)},
    **{f"teams__pipelines__0{n}": ("team_pipelines",) for n in (1, 2, 3)},
}
LEFT = {("builds__06", "builds"): {"retried_jobs_count"}}
"""What no column promises: the count belongs to the answer of a write (api.md 4.4)."""

PAIRS = [(file, table) for file, tables in READ.items() for table in tables]


def sample(file: str) -> Any:
    path = SAMPLES / f"rest_api__{file}.json"
    if not path.exists():
        pytest.skip("Buildkite's samples are not here")
    return json.loads(path.read_text(encoding="utf-8"))["body"]


def items(file: str) -> list[dict[str, Any]]:
    body = sample(file)
    if file.startswith("jobs__") or file == "builds__02":
        of = {"id": "b", "number": 1, "url": "https://api.buildkite.com/v2/organizations/o/pipelines/p/builds/1"}
        return [{**of, "jobs": body.get("items", [body])}]
    return body if isinstance(body, list) else [body]


def made(table: Table, found: list[dict[str, Any]]) -> list[Item]:
    return [row for item in found for row in (table.rows(item) if table.rows else (item,))]


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where an item says something."""
    if isinstance(value, Mapping) and value:
        for name, kept in value.items():
            yield from leaves(kept, (*path, name))
    elif value not in (None, {}, [], ""):
        yield path


@pytest.mark.parametrize(("file", "name"), PAIRS)
def test_nothing_of_a_sample_is_lost(file: str, name: str) -> None:
    table = catalog()[name]
    rows = made(table, items(file))
    promised = {c.path for c in table.columns} | {tuple(path.split(".")) for path in table.elsewhere}
    read = table.read(items(file), GIVEN, OPEN).to_pylist()
    assert len(read) == len(rows) > 0
    for row, stored in zip(rows, read, strict=True):
        more = json.loads(stored["more"] or "{}")
        assert set(more) == LEFT.get((file, name), set())
        for path in leaves(row):
            kept = any(path[:n] in promised for n in range(1, len(path) + 1)) or path[0] in more
            assert kept or any(kind(part) == "never" for part in path), f"{name}.py: {'.'.join(path)} is lost"


@pytest.mark.parametrize(("file", "name"), PAIRS)
def test_a_sample_is_stored_as_it_says(file: str, name: str) -> None:
    table = catalog()[name]
    for row, stored in zip(made(table, items(file)), table.read(items(file), {}, OPEN).to_pylist(), strict=True):
        for column in table.columns:
            value: Any = row
            for part in column.path:
                value = value.get(part) if isinstance(value, Mapping) else None
            if value is None and column.name in table.key:
                continue
            if column.type in ("json", "env"):
                assert (json.loads(stored[column.name]) if stored[column.name] else None) == (value or None)
            elif column.type == "timestamp":
                assert stored[column.name] == (instant(value) if value else None)
            else:
                assert stored[column.name] == value, column.name
