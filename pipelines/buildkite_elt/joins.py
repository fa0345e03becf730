"""How tables join: which column holds another table's key, as names and sentences of the catalogue tell, as mermaid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from buildkite_ci.catalog import catalog
from buildkite_ci.table import Column, Table

WORDS = {"user": "members", "queue": "cluster_queues", "schedule": "pipeline_schedules", "rebuilt_from": "builds"}
"""Words before `_id` that are not the name of a table."""

SAME = {
    "build_details": "builds",
    "schedule_builds": "builds",
    "job_details": "jobs",
    "queue_jobs": "jobs",
    "api_access_token_activity": "api_access_tokens",
}
"""Tables that tell more of another table's rows: their id is that row's."""

PARTS = {"line": "line", "group_number": "number"}
"""Columns that name a row of a job's log together with job_id -> what they are called there."""

DIAGRAMS = {
    "Builds, jobs and agents": (
        *("pipelines", "pipeline_schedules", "pipeline_metrics", "builds", "jobs", "annotations", "artifacts"),
        *("agents", "clusters", "cluster_queues", "queue_metrics", "queue_jobs"),
    ),
    "Logs, events and details": (
        *("builds", "build_details", "build_env", "build_webhooks", "jobs", "job_details", "job_env", "job_events"),
        *("job_logs", "job_log_lines", "job_log_groups", "job_log_matches", "log_numbers"),
    ),
    "People and what they may do": (
        *("members", "member_security", "member_activity", "teams", "team_members", "team_pipelines", "pipelines"),
        *("invitations", "invitation_teams", "sso_providers", "sso_authorizations", "api_access_tokens"),
        *("api_access_token_activity", "audit_events"),
    ),
}


@dataclass(frozen=True)
class Join:
    """`table.columns = other.other_columns`; always: no row is without."""

    table: str
    columns: tuple[str, ...]
    other: str
    other_columns: tuple[str, ...]
    always: bool


@cache
def joins() -> tuple[Join, ...]:
    """Every join, but for organization_slug, which all tables have."""
    return tuple(one for table in catalog().values() for column in table.all_columns for one in _join(table, column))


def _join(table: Table, column: Column) -> Iterator[Join]:
    other = catalog().get(_other(table, column))
    if other is None or (other.name == table.name and column.name in table.key):
        return
    always = column.name in table.key or (column.doc.startswith("Its ") and "null" not in column.doc)
    if column.name in PARTS:
        yield Join(table.name, ("job_id", column.name), other.name, ("job_id", PARTS[column.name]), always)
        return
    key = "id" if "id" in other.key else other.key[0] if len(other.key) == 1 else column.name
    yield Join(table.name, (column.name,), other.name, (key,), always)


def _other(table: Table, column: Column) -> str:
    """The table whose key the column holds, or a word that is none."""
    if column.name == "id":
        return SAME.get(table.name, "")
    if told := re.search(r"\bas in (\w+)", column.doc):
        return told[1]
    if not column.name.endswith("_id") or column.name.endswith("_graphql_id"):
        return ""
    if "user UUID" in column.doc:
        return "members"
    words = column.name.removesuffix("_id").split("_")
    ends = ("_".join(words[start:]) for start in range(len(words)))
    return next((name for end in ends if (name := WORDS.get(end, f"{end}s")) in catalog()), "")


def told(table: str) -> str:
    """A table's joins in a line; empty for none."""
    found = [one for one in joins() if one.table == table]
    pairs = (zip(one.columns, one.other_columns, strict=True) for one in found)
    said = (
        " and ".join(f"`{column}` = `{one.other}.{other}`" for column, other in pair)
        for one, pair in zip(found, pairs, strict=True)
    )
    return "; ".join(said)


def drawn(tables: tuple[str, ...]) -> list[Join]:
    """The joins between these tables, without short cuts: what has a build_id needs no line to its pipeline."""
    inside = [one for one in joins() if one.table in tables and one.other in tables]
    return [one for one in inside if not _short(one, inside)]


def _short(join: Join, inside: list[Join]) -> bool:
    by = {one.other for one in inside if one.table == join.table and one.always} - {join.table, join.other}
    return any(one.table in by and one.columns == join.columns and one.other == join.other for one in inside)


def diagram(tables: tuple[str, ...]) -> Iterator[str]:
    """Lines of a mermaid erDiagram: keys, and the columns that join."""
    lines = drawn(tables)
    yield "erDiagram"
    for one in lines:
        left = "||" if one.always else "|o"
        right = "o|" if catalog()[one.table].key == one.columns else "o{"
        yield f'    {one.other} {left}--{right} {one.table} : "{", ".join(one.columns)}"'
    for name in tables:
        foreign = {column for one in lines if one.table == name for column in one.columns}
        yield f"    {name} {{"
        for column in catalog()[name].columns:
            marks = [mark for mark, of in (("PK", catalog()[name].key), ("FK", foreign)) if column.name in of]
            if marks:
                yield f"        {column.type} {column.name} {', '.join(marks)}"
        yield "    }"


def markdown() -> Iterator[str]:
    """The part of docs/tables.md."""
    yield "## How they join"
    yield ""
    yield "A line says which column holds the key of the other table: `jobs.build_id` is `builds.id`. Every table has"
    yield "`organization_slug` besides, which is `organizations.slug`; join by it, too, where a file holds several"
    yield "organizations. Of tables that keep a history (load: scd2) the current rows are those of"
    yield "`_dlt_valid_to IS NULL`. Short cuts are left out: what has a `build_id` has its pipeline from there."
    for title, tables in DIAGRAMS.items():
        yield ""
        yield f"### {title}"
        yield ""
        yield "```mermaid"
        yield from diagram(tables)
        yield "```"
