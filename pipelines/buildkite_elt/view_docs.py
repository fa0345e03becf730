"""What views there are: for people, as JSON, and as docs/views.md."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Iterator
from typing import Any

from buildkite_ci.catalog import catalog
from buildkite_ci.errors import BadInput

from . import show, views


def questions() -> list[dict[str, Any]]:
    """What people ask: {number, question, missing, views}; missing: what it would take, where no view answers."""
    by: dict[str, list[str]] = {}
    for view in views.views().values():
        for number in view.answers:
            by.setdefault(number, []).append(view.name)
    with (views.FOLDER / "questions.csv").open(encoding="utf-8", newline="") as file:
        return [row | {"views": by.get(row["number"], [])} for row in csv.DictReader(file)]


def columns() -> dict[str, list[tuple[str, str]]]:
    """Each view's columns: (name, type in DuckDB), by making all of them over empty tables."""
    import duckdb

    found: dict[str, list[tuple[str, str]]] = {}
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA ci; USE ci")
        for name in catalog():
            connection.execute(f'CREATE TABLE "{name}" AS {views.empty(name)}')
        views.create(connection.execute, "ci", catalog(), {})
        for name in views.views():
            found[name] = [(row[0], row[1]) for row in connection.execute(f'DESCRIBE "{name}"').fetchall()]
    return found


def listed() -> list[dict[str, str]]:
    """A row for each view."""
    return [
        {"view": view.name, "answers": ", ".join(view.answers), "grain": view.grain, "what it says": view.doc}
        for view in sorted(views.views().values(), key=lambda view: view.name)
    ]


def described(name: str) -> dict[str, Any]:
    """One view with its columns and its SQL. Raises BadInput with the nearest names."""
    every = views.views()
    if name not in every:
        near = difflib.get_close_matches(name, every, n=3, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else "`buildkite-elt views` lists them."
        raise BadInput(f"There is no view {name!r}. {hint}")
    view = every[name]
    told = [{"name": column, "type": kind} for column, kind in columns()[name]]
    return {
        "view": name,
        "doc": view.doc,
        "grain": view.grain,
        "key": list(view.key),
        "answers": list(view.answers),
        "reads": sorted(view.reads),
        "columns": told,
        "sql": view.sql,
    }


def tell(name: str = "") -> None:
    """`views`, or `views NAME`, for people."""
    if not name:
        rows = listed()
        show.table(list(rows[0]), [list(row.values()) for row in rows])
        show.say(f"{len(rows)} views. `buildkite-elt views {rows[0]['view']}` tells the columns and the SQL of one.")
        return
    one = described(name)
    show.say(one["view"], "bold")
    show.say(one["doc"] + "\n")
    show.pairs({"grain": one["grain"], **{of: ", ".join(one[of]) for of in ("key", "answers", "reads")}})
    show.say("")
    show.table(("column", "type"), [list(column.values()) for column in one["columns"]])
    show.say(one["sql"])


def markdown() -> str:
    """docs/views.md: the same text for the same views."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "# Views\n"
    yield "Written by `make docs`; do not edit. A view is made after each load, once all that it reads is loaded:"
    yield "in DuckDB, and from the same SQL in PostgreSQL 15 or newer. Types are DuckDB's."
    yield "\n## Questions\n"
    yield "| | question | answered by |\n|---|---|---|"
    for row in questions():
        by = ", ".join(f"[{name}](#{name})" for name in row["views"]) or f"no view: {row['missing']}"
        yield f"| {row['number']} | {row['question']} | {by} |"
    shown = columns()
    for view in sorted(views.views().values(), key=lambda view: view.name):
        yield f"\n## {view.name}\n\n{view.doc}\n"
        key = f" Key: {_names(view.key)}." if view.key else ""
        yield f"{view.grain[0].upper()}{view.grain[1:]}.{key} Reads {_names(sorted(view.reads))}."
        yield "\n| column | type |\n|---|---|"
        yield from (f"| `{column}` | {kind} |" for column, kind in shown[view.name])
    yield ""


def _names(of: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in of)
