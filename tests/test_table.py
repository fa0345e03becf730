"""How items become rows: types, what does not fit, what is given, what is left over, versions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from buildkite_ci.privacy import Privacy
from buildkite_ci.reader import FITS
from buildkite_ci.table import Item, Rest, Table, col, named, part, user

THINGS = Table(
    grain="one row per thing",
    fetch=Rest("things"),
    key=("id",),
    scope="",
    load="merge",
    name="things",
    elsewhere=("parts", "owner.boss"),
    columns=(
        col("id", "text", "Id."),
        col("organization_slug", "text", "Organization."),
        col("count", "bigint", "Count."),
        col("share", "double", "Share."),
        col("open", "bool", "Open."),
        col("at", "timestamp", "At."),
        col("labels", "json", "Labels."),
        col("env", "env", "Environment."),
        *user("owner", "Owner"),
    ),
)
AT = datetime(2015, 5, 3, 10, 2, 3, tzinfo=UTC)


def read(*items: Item, table: Table = THINGS, given: Item | None = None, show: str = "") -> list[dict[str, Any]]:
    rows = table.read(items, given or {}, Privacy(frozenset(show.split())))
    rows.validate(full=True)
    assert rows.schema.equals(table.schema())
    return [{**row, "more": row["more"] and json.loads(row["more"])} for row in rows.to_pylist()]


def one(item: Item, **how: Any) -> dict[str, Any]:
    (row,) = read(item, **how)
    return row


def test_each_type_holds_what_the_api_means() -> None:
    row = one({"id": "a", "count": 2**62, "share": 1, "open": False, "at": "2015-05-03T10:02:03.000Z", "labels": ["b"]})
    assert row["count"] == 2**62
    assert row["share"] == 1.0
    assert row["open"] is False
    assert row["at"] == AT
    assert row["labels"] == '["b"]'
    assert row["more"] is None


@pytest.mark.parametrize(
    "told",
    [
        "2015-05-03 10:02:03 UTC",
        "2015-05-03T10:02:03Z",
        "2015-05-03T10:02:03.000Z",
        "2015-05-03T20:02:03+10:00",
        "2015-05-03T10:02:03",
        "2015-05-03T10:02:03.000000000Z",
    ],
)
def test_every_form_of_a_moment_is_understood_also_beside_others(told: str) -> None:
    rows = read({"id": "a", "at": told}, {"id": "b", "at": "2020-01-01T00:00:00.000Z"}, {"id": "c", "at": None})
    assert [row["at"] for row in rows] == [AT, datetime(2020, 1, 1, tzinfo=UTC), None]
    assert [row["more"] for row in rows] == [None, None, None]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("count", "5"),
        ("count", 1.5),
        ("count", 1.0),
        ("count", True),
        ("count", 2**63),
        ("count", [1]),
        ("count", {"number": 1}),
        ("share", "half"),
        ("share", True),
        ("open", "yes"),
        ("open", 1),
        ("at", "yesterday"),
        ("at", "2012-03-04T56:07:08.910Z"),
        ("at", 1430647323),
        ("at", True),
        ("at", ["2015-05-03T10:02:03Z"]),
        ("organization_slug", 5),
        ("organization_slug", {"slug": "acme"}),
    ],
)
def test_what_does_not_fit_is_null_and_kept_and_hurts_nothing_else(column: str, value: Any) -> None:
    whole = {
        "id": "a",
        "organization_slug": "acme",
        "count": 3,
        "share": 0.5,
        "open": True,
        "at": "2015-05-03T10:02:03Z",
    }
    rows = read({**whole, column: value}, {**whole, "id": "b"})
    good = {**rows[1], "id": "a"}
    assert rows[0] == {**good, column: None, "more": {"misfits": {column: value}}}
    assert good["count"] == 3
    assert good["more"] is None


def test_numbers_that_no_database_holds_survive() -> None:
    row = one({"id": "a", "count": float("nan"), "labels": {"big": 2**70, "nan": float("nan")}, "new": -(2**80)})
    assert row["count"] is None
    assert json.loads(row["labels"]) == {"big": 2**70, "nan": None}
    assert row["more"] == {"new": -(2**80), "misfits": {"count": None}}


@pytest.mark.parametrize("bad", ["a\0b", "a\ud800b"])
def test_characters_that_no_database_holds_are_replaced_everywhere(bad: str) -> None:
    row = one(
        {"id": bad, "organization_slug": bad, "labels": {bad: [bad]}, "owner": {"email": f"{bad}@{bad}"}, "new": bad}
    )
    assert row["id"] == row["organization_slug"] == row["more"]["new"] == "a\ufffdb"
    assert json.loads(row["labels"]) == {"a\ufffdb": ["a\ufffdb"]}
    assert row["owner_email"] == "…@a\ufffdb"


def test_a_written_backslash_is_no_nul() -> None:
    assert json.loads(one({"id": "a", "labels": ["\\u0000"]})["labels"]) == ["\\u0000"]


def test_nothing_a_column_promises_is_lost() -> None:
    row = one(
        {"id": "a", "owner": {"id": "u", "boss": {"id": "v"}, "height": 2}, "parts": [1], "new": {"deep": [None]}}
    )
    assert row["owner_id"] == "u"
    assert row["more"] == {"new": {"deep": [None]}, "owner": {"height": 2}}


def test_an_object_that_is_none_is_kept_too() -> None:
    assert one({"id": "a", "owner": "Ada"})["more"] == {"owner": "Ada"}
    assert one({"id": "a", "owner": None, "labels": {}, "new": [], "newer": ""})["more"] is None


def test_given_fills_promised_columns_over_the_item_and_no_others() -> None:
    row = one({"id": "a", "organization_slug": "theirs"}, given={"organization_slug": "ours", "observed_at": "2020"})
    assert row["organization_slug"] == "ours"
    assert row["more"] is None


def test_the_last_of_a_key_wins() -> None:
    rows = read({"id": "a", "count": 1}, {"id": "b", "count": 2}, {"id": "a", "count": 3})
    assert {row["id"]: row["count"] for row in rows} == {"a": 3, "b": 2}


def test_a_key_of_several_columns_may_be_given_or_deep() -> None:
    table = replace(
        THINGS,
        key=("organization_slug", "owner_id", "at"),
        columns=tuple(c for c in THINGS.columns if c.name != "id"),
    )
    items = [{"owner": {"id": "u"}, "at": "2015-05-03T10:02:03Z", "count": n} for n in (1, 2)]
    rows = read(*items, {**items[0], "at": "2015-05-04T10:02:03Z"}, table=table, given={"organization_slug": "acme"})
    assert [row["count"] for row in rows] == [2, 1]


def test_a_key_that_is_no_text_becomes_one() -> None:
    rows = read({"id": 5}, {"id": [1]}, {"id": {"b": 1}}, {"count": 9}, {"id": "x"})
    assert [row["id"] for row in rows] == ["5", "[1]", '{"b":1}', "", "x"]
    assert [row["more"] for row in rows][:2] == [{"misfits": {"id": 5}}, {"misfits": {"id": [1]}}]
    assert (rows[3]["count"], rows[3]["more"]) == (9, None)


def test_rows_may_be_made_of_an_item() -> None:
    def rows(item: Item) -> Iterator[Item]:
        yield from item["things"]

    table = replace(THINGS, rows=rows)
    assert [row["id"] for row in read({"things": [{"id": "a"}, {"id": "b"}]}, {"things": []}, table=table)] == [
        "a",
        "b",
    ]


def test_no_items_make_an_empty_table_with_every_column() -> None:
    assert read() == []
    assert THINGS.schema().names == [c.name for c in THINGS.columns] + ["more"]


HISTORY = replace(THINGS, load="scd2", columns=(*THINGS.columns, col("running", "bigint", "Running.", now=True)))


def version(table: Table, item: Item) -> str:
    return str(one(item, table=table)["row_hash"])


def test_a_version_ends_when_a_row_says_something_else_but_for_readings() -> None:
    item = {"id": "a", "count": 1, "running": 1, "at": "2015-05-03T10:02:03Z"}
    assert version(HISTORY, item) == version(HISTORY, {**item, "running": 9, "at": "2015-05-03 10:02:03 UTC"})
    others = ({"count": 2}, {"id": "b"}, {"new": 1}, {"owner": {"name": "Ada"}}, {"count": None})
    assert len({version(HISTORY, {**item, **other}) for other in ({}, *others)}) == 1 + len(others)


def test_a_column_that_is_promised_later_ends_no_version() -> None:
    later = replace(HISTORY, columns=(col("colour", "text", "Colour."), *HISTORY.columns))
    assert version(HISTORY, {"id": "a", "count": 1}) == version(later, {"id": "a", "count": 1})


def test_secrets_are_not_left_over() -> None:
    more = one({"id": "a", "access_token": "s", "new": {"token": "s", "url": "https://me:s@example.com"}})["more"]
    assert more == {"new": {"url": "https://example.com"}}


def test_a_misfit_is_masked_as_its_column_is() -> None:
    row = one({"id": "a", "env": "A=secret", "owner": {"email": ["ada@example.com"]}})
    assert row["env"] == '{"A":null}'
    assert row["more"] == {"misfits": {"owner_email": ["…@example.com"]}}


def test_a_wrong_type_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="a: no type 'varchar'"):
        col("a", "varchar", "A.")
    assert set(FITS) >= {"text", "bigint", "double", "bool", "timestamp", "json", "env", "email", "ip", "url"}


def test_names_in_addresses() -> None:
    url = "https://api.buildkite.com/v2/organizations/acme/pipelines/deploy/builds/2?page=1"
    assert (named("pipelines", url), named("builds", url), named("teams", url), named("teams", None)) == (
        "deploy",
        "2",
        None,
        None,
    )
    assert part({"a": {"b": 1}}, "a") == {"b": 1}
    assert part({"a": [1]}, "a") == {} == part({}, "a")
