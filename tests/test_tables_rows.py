"""What tables make of items: of good ones, and of what nobody expects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from buildkite_ci.catalog import catalog
from buildkite_ci.privacy import SHOWABLE, Privacy
from buildkite_ci.table import Table
from buildkite_ci.tables import jobs, pipeline_metrics

OPEN = Privacy(frozenset(SHOWABLE))
TABLES = list(catalog().values())
GIVEN = {
    "organization_slug": "acme",
    "observed_at": "2026-01-02T03:04:05+00:00",
    "last_seen_at": "2026-01-02T03:04:06+00:00",
}

# What nobody expects, at every place (reliability.md T10).
GOOD: Mapping[str, Any] = {
    "text": "some text",
    "bigint": 7,
    "double": 1.5,
    "bool": True,
    "timestamp": "2026-01-02T03:04:05.678Z",
    "json": {"a": [1]},
    "env": {"A": "b"},
    "variable": ["A", "b"],
    "email": "ada@example.com",
    "ip": "192.0.2.7",
    "url": "https://example.com/x",
}
BAD: tuple[Any, ...] = (
    None,
    "no such thing",
    "",
    5,
    0,
    -1.5,
    True,
    {},
    {"a": 1},
    [],
    [1],
    [None],
    float("nan"),
    2**70,
    "a\0b",
    "a\ud800b",
)


def full(table: Table, key: str) -> dict[str, Any]:
    """A row that says something in every column."""
    row: dict[str, Any] = {}
    for column in sorted(table.columns, key=lambda c: len(c.path), reverse=True):
        below = row
        for part in column.path[:-1]:
            below = below.setdefault(part, {})
        value = f"{column.name} of {key}" if column.type == "text" else GOOD[column.type]
        below.setdefault(column.path[-1], deepcopy(value))
    return row


def places(table: Table) -> list[tuple[str, ...]]:
    """Every object and value that a column is read from."""
    return sorted({c.path[:n] for c in table.columns for n in range(1, len(c.path) + 1)})


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_wrong_value_hurts_nothing_else(table: Table) -> None:
    """Each place of each table, once with each bad value; only rows without a key of their own may fall together."""
    table = replace(table, rows=None)
    cases = [(place, bad) for place in places(table) for bad in BAD]
    rows = []
    for number, (place, bad) in enumerate(cases):
        row = full(table, str(number))
        below = row
        for part in place[:-1]:
            below = below[part]
        below[place[-1]] = bad
        rows.append({**row, "n": number})
    good = table.read([full(table, str(number)) for number in range(len(cases))], {}, OPEN).to_pylist()
    stored = table.read(rows, {}, OPEN)
    stored.validate(full=True)
    found = {json.loads(row["more"])["n"]: row for row in stored.to_pylist()}
    for number, (place, bad) in enumerate(cases):
        if number not in found:
            assert place[0] in table.key, f"{table.name}: {place} = {bad!r} lost its row"
            continue
        for column in table.columns:
            shared = min(len(place), len(column.path))
            if column.path[:shared] != place[:shared]:
                assert found[number][column.name] == good[number][column.name], f"{place} = {bad!r}: {column.name}"


def test_a_wrong_value_does_not_stop_what_makes_rows() -> None:
    for table in TABLES:
        for bad in BAD:
            items = [
                {**full(table, "1"), field: bad} for field in (*full(table, "1"), "author", "scopes", "cluster_url")
            ]
            table.read(items, GIVEN).validate(full=True)


@pytest.mark.parametrize("bad", BAD, ids=repr)
def test_a_wrong_value_does_not_stop_jobs_metrics_and_ranges(bad: Any) -> None:
    job = {"id": "j", "type": "script", "agent": bad, "agent_query_rules": [bad], "step": bad}
    (row,) = catalog()["jobs"].read([{"id": "b", "jobs": [job, "bad"], "pipeline": bad, "url": bad}], GIVEN).to_pylist()
    assert (row["id"], row["queue_key"], row["build_id"]) == ("j", "default", "b")
    assert catalog()["jobs"].read([{"id": "b", "jobs": bad}], GIVEN).num_rows == 0
    node = {"label": "Speed", "value": bad}
    for edges in (bad, [bad], [{"node": bad}], [{"node": node}]):
        catalog()["pipeline_metrics"].read([{"id": "p", "metrics": {"edges": edges}}], GIVEN).validate(full=True)
    catalog()["webhook_ips"].read([{"webhook_ips": bad}]).validate(full=True)
    catalog()["webhook_ips"].read([{"webhook_ips": [bad]}]).validate(full=True)
    catalog()["access_token_scopes"].read([{"uuid": bad, "scopes": [bad]}], GIVEN).validate(full=True)


# What single tables do.
URL = "https://api.buildkite.com/v2/organizations/acme/pipelines/deploy/builds/2"


def build(**said: Any) -> dict[str, Any]:
    (row,) = catalog()["builds"].read([{"id": "b", "url": URL, **said}], GIVEN, OPEN).to_pylist()
    return dict(row)


@pytest.mark.parametrize(
    ("author", "username", "name", "email"),
    [
        (None, None, None, None),
        ({}, None, None, None),
        ("ada@example.com", None, None, "ada@example.com"),
        ("Ada Lovelace <ada@example.com>", None, "Ada Lovelace", "ada@example.com"),
        ("Ada", None, "Ada", None),
        ({"username": "ada", "name": "Ada", "email": "ada@example.com"}, "ada", "Ada", "ada@example.com"),
    ],
)
def test_an_author_is_three_columns(author: Any, username: Any, name: Any, email: Any) -> None:
    row = build(author=author)
    assert (row["author_username"], row["author_name"], row["author_email"]) == (username, name, email)
    assert row["more"] is None


def test_an_authors_address_is_masked_in_every_form() -> None:
    for author in ("ada@example.com", "Ada <ada@example.com>", {"email": "ada@example.com"}, ["ada@example.com"]):
        stored = catalog()["builds"].read([{"id": "b", "author": author}]).to_pylist()
        assert "ada@" not in str(stored)


def test_a_builds_pipeline_is_known_without_the_pipeline() -> None:
    assert (build()["pipeline_slug"], build()["pipeline_id"]) == ("deploy", None)
    told = build(pipeline={"id": "p", "slug": "renamed", "name": "Renamed", "description": "."})
    assert (told["pipeline_slug"], told["pipeline_id"], told["pipeline_name"]) == ("renamed", "p", "Renamed")
    assert told["more"] is None


def test_a_builds_nothings_are_null() -> None:
    row = build(
        pull_request={}, merge_queue={}, rebuilt_from=None, triggered_from={}, env={}, meta_data={}, creator=None
    )
    filled = {name for name, value in row.items() if value is not None}
    assert filled == {"id", "url", "pipeline_slug", "organization_slug", "last_seen_at"}
    assert build(merge_queue={"base_branch": "main", "x": 1})["merge_queue_base_branch"] == "main"


def test_jobs_know_where_they_belong() -> None:
    of = {"id": "b", "number": 2, "url": URL, "pipeline": {"id": "p", "slug": "deploy"}}
    attempts = [
        {"id": n, "type": kind} for n, kind in (("1", "script"), ("2", "manual"), ("3", "waiter"), ("4", "trigger"))
    ]
    rows = catalog()["jobs"].read([{**of, "jobs": attempts}, {**of, "jobs": []}, {"id": "c"}], GIVEN).to_pylist()
    assert [row["queue_key"] for row in rows] == ["default", None, None, None]
    for row in rows:
        assert (row["build_id"], row["build_number"], row["pipeline_id"], row["pipeline_slug"]) == (
            "b",
            2,
            "p",
            "deploy",
        )
        assert row["organization_slug"] == "acme"
        assert row["last_seen_at"] == datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("job", "queue"),
    [
        ({"agent_query_rules": ["os=linux", "queue=gpu"], "agent": {"queue": "other"}}, "gpu"),
        ({"agent_query_rules": ["queue=*"], "agent": {"queue": "small", "meta_data": ["queue=old"]}}, "small"),
        ({"agent_query_rules": ["*"], "agent": {"queue": None, "meta_data": ["os=linux", "queue=old"]}}, "old"),
        ({"agent_query_rules": [], "agent": None}, "default"),
        ({"agent": {"meta_data": None}}, "default"),
    ],
)
def test_a_jobs_queue(job: dict[str, Any], queue: str) -> None:
    assert jobs.queue_key({"type": "script", **job}) == queue
    assert jobs.queue_key({"type": "manual", **job}) is None


@pytest.mark.parametrize(
    ("value", "number", "unit"),
    [
        ("17.5m", 17.5, "m"),
        ("60%", 60.0, "%"),
        ("9/week", 9.0, "/week"),
        ("1,204/week", 1204.0, "/week"),
        ("1,204,999.5 s", 1204999.5, "s"),
        ("12 345 h", 12345.0, "h"),
        ("-3.5%", -3.5, "%"),
        ("0", 0.0, None),
        (" 42 d ", 42.0, "d"),
        ("3m 2s", 3.0, "m 2s"),
        ("1,5m", None, None),
        ("1.2.3", None, None),
        ("9" * 400, None, None),
        ("fast", None, None),
        ("-", None, None),
        ("", None, None),
        (None, None, None),
        (17.5, None, None),
    ],
)
def test_a_metric_is_a_number_and_a_unit(value: Any, number: float | None, unit: str | None) -> None:
    assert pipeline_metrics.parsed(value) == (number, unit)


def test_a_metric_without_a_value_is_a_row() -> None:
    nodes = [
        {"id": "m1", "label": "Speed", "value": None, "url": None},
        {"id": "m2", "label": "Novel", "value": "7 of 9"},
    ]
    page = [{"id": "p", "slug": "deploy", "metrics": {"edges": [{"node": node} for node in nodes]}}]
    rows = catalog()["pipeline_metrics"].read(page, GIVEN).to_pylist()
    assert [(row["pipeline_id"], row["label"], row["value"], row["value_number"]) for row in rows] == [
        ("p", "Speed", None, None),
        ("p", "Novel", "7 of 9", 7.0),
    ]
    assert {row["more"] for row in rows} == {None}
    assert {row["observed_at"] for row in rows} == {datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)}


def test_agents_have_the_ids_of_their_addresses() -> None:
    queue = "https://api.buildkite.com/v2/organizations/acme/clusters/c/queues/q"
    agents = catalog()["agents"]
    for said in ({"cluster_queue_url": queue}, {"cluster_url": queue.split("/queues")[0], "cluster_queue_url": queue}):
        (row,) = agents.read([{"id": "a", "access_token": "s", **said}], GIVEN).to_pylist()
        assert (row["cluster_id"], row["cluster_queue_id"], row["more"]) == ("c", "q", None)
    (row,) = agents.read([{"id": "a", "cluster_url": None}], GIVEN).to_pylist()
    assert (row["cluster_id"], row["cluster_queue_id"]) == (None, None)


def test_ranges_and_scopes_are_rows() -> None:
    ranges = catalog()["webhook_ips"].read([{"webhook_ips": ["192.0.2.0/24", "198.51.100.7/32"]}]).to_pylist()
    assert [row["range"] for row in ranges] == ["192.0.2.0/24", "198.51.100.7/32"]
    token = {"uuid": "u", "scopes": ["read_builds", "graphql"]}
    assert [row["scope"] for row in catalog()["access_token_scopes"].read([token]).to_pylist()] == token["scopes"]


def test_counters_make_no_version_of_a_pipeline() -> None:
    pipelines = catalog()["pipelines"]
    one = {
        "id": "p",
        "slug": "deploy",
        "running_builds_count": 1,
        "provider": {"id": "github", "settings": {"a": True}},
    }
    others = (
        {"running_builds_count": 9},
        {"slug": "renamed"},
        {"provider": {"id": "github", "settings": {"a": False}}},
    )
    hashes = [pipelines.read([{**one, **other}], GIVEN)["row_hash"][0].as_py() for other in ({}, *others)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_a_pipelines_secrets_are_not_stored() -> None:
    one = {"id": "p", "provider": {"id": "github", "webhook_url": "https://x/s3cret", "settings": {"token": "s3cret"}}}
    assert "s3cret" not in str(catalog()["pipelines"].read([{**one, "env": {"A": "s3cret"}}]).to_pylist())
