"""What tables there are: for people, as JSON, and as docs/tables.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from buildkite_ci.catalog import catalog, find
from buildkite_ci.table import Ours, Table

from . import costs, joins, show


def listed() -> list[dict[str, str]]:
    """A row for each table; `asked`: whether a load that names no table asks for it."""
    return [
        {"table": t.name, "scope": t.scope, "api": t.api, "asked": _asked(t), "load": t.load, "grain": t.grain}
        for t in catalog().values()
    ]


def _asked(table: Table) -> str:
    return "always" if table.by_default else "" if isinstance(table.fetch, Ours) else "when named"


def described(name: str) -> dict[str, Any]:
    """One table with its documentation and columns. Raises BadInput with the nearest names."""
    table = find([name])[name]
    one: dict[str, Any] = next(row for row in listed() if row["table"] == name)
    columns = [{"name": c.name, "type": c.type, "doc": c.doc} for c in table.all_columns]
    return one | {"key": list(table.key), "doc": table.doc, "columns": columns}


def tell(name: str = "") -> None:
    """`tables`, or `tables NAME`, for people."""
    if not name:
        rows = listed()
        show.table(list(rows[0]), [list(row.values()) for row in rows])
        show.say(f"{len(rows)} tables. `buildkite-elt tables builds` tells the columns of one.")
        return
    one = described(name)
    show.say(one["table"], "bold")
    show.say(one["doc"] + "\n")
    told = ("grain", "scope", "api", "asked", "load")
    show.pairs({"key": ", ".join(one["key"]), **{of: one[of] or "none" for of in told}})
    show.say("")
    show.table(("column", "type", "what it is"), [list(column.values()) for column in one["columns"]])


def markdown() -> str:
    """docs/tables.md: the same text for the same tables."""
    return "\n".join(_lines())


BEGIN, END = "<!-- begin: written by make docs -->", "<!-- end -->"


def scopes() -> str:
    """README's table of scopes: what each lets a load fill."""
    asked = [table for table in catalog().values() if not isinstance(table.fetch, Ours)]
    order = list(dict.fromkeys(sorted((table.scope for table in asked), key=lambda scope: (not scope, scope))))
    rows = ((f"`{s}`" if s else "none", ", ".join(t.name for t in asked if t.scope == s)) for s in order)
    return "\n".join(["| scope | tables it fills |", "|---|---|", *(f"| {scope} | {names} |" for scope, names in rows)])


def written(readme: str) -> str:
    """README with its table of scopes as it is now."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{scopes()}\n{END}{rest.split(END, 1)[1]}"


def write(root: Path) -> None:
    """`make docs`: docs/tables.md, docs/views.md, and the table of scopes in README.md."""
    from . import view_docs

    (root / "docs" / "tables.md").write_text(markdown(), encoding="utf-8")
    (root / "docs" / "views.md").write_text(view_docs.markdown(), encoding="utf-8")
    readme = root / "README.md"
    readme.write_text(written(readme.read_text(encoding="utf-8")), encoding="utf-8")


def _lines() -> Iterator[str]:
    yield "# Tables"
    yield ""
    yield "Written by `make docs` from the tables themselves; do not edit. What a table costs is"
    yield "REST requests, or points of GraphQL, whose requests are not limited (api.md 2.1, 2.2)."
    yield ""
    yield "| table | scope | API | asked for | load | grain |"
    yield "|---|---|---|---|---|---|"
    for row in listed():
        scope = f"`{row['scope']}`" if row["scope"] else "none"
        said = (row["api"], row["asked"], row["load"], row["grain"])
        yield f"| [{row['table']}](#{row['table']}) | {scope} | {' | '.join(said)} |"
    yield ""
    yield from joins.markdown()
    for table in catalog().values():
        yield from _section(table)
    yield ""


def _section(table: Table) -> Iterator[str]:
    yield ""
    yield f"## {table.name}"
    yield ""
    yield table.doc
    yield ""
    yield f"Key: {', '.join(f'`{name}`' for name in table.key)}. Load: {table.load}. Cost: {costs.told(table)}"
    yield ""
    if joined := joins.told(table.name):
        yield f"Joins: {joined}."
        yield ""
    yield "| column | type | |"
    yield "|---|---|---|"
    for column in table.all_columns:
        yield f"| `{column.name}` | {column.type} | {column.doc.replace('|', '&#124;')} |"
