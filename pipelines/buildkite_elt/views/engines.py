"""The views in another engine's SQL: what sqlglot leaves of DuckDB's own, written out.

A rule for each kind of node, and each only where PostgreSQL (15 or newer) has it in another way.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp


def portable(query: exp.Expr, dialect: str) -> exp.Expr:
    """A view's SELECT as that engine can be told it; DuckDB's own is left as it is."""
    if dialect == "postgres":
        query = query.copy()
        for node in reversed(list(query.walk())):  # what is inside a node comes before it
            rule = POSTGRES.get(type(node))
            if rule and (new := rule(node)) is not node:
                node.replace(new)
    return query


def grouped(group: exp.Expr) -> exp.Expr:
    """GROUP BY ALL: the places of the columns that aggregate nothing."""
    select = group.parent
    if not group.args.get("all") or not isinstance(select, exp.Select):
        return group
    places = [place for place, column in enumerate(select.selects, 1) if not aggregates(column)]
    return exp.Group(expressions=[exp.Literal.number(place) for place in places])


def aggregates(column: exp.Expr) -> bool:
    """Whether it sums up rows of a group, and not over a window."""
    return any(not isinstance(one.parent, exp.Window) for one in column.find_all(exp.AggFunc))


def unnested(node: exp.Expr) -> exp.Expr:
    """A row for each moment of a series, or for each text of a JSON list."""
    listed = node.this
    if isinstance(listed, exp.GenerateSeries):
        return listed
    if isinstance(listed, exp.Cast) and listed.is_type("array<text>"):
        return exp.func("jsonb_array_elements_text", listed.this)
    return node


def found_in(node: exp.Expr) -> exp.Expr:
    """What stands at a path in JSON, for `->`, or its text, for `->>`."""
    if not isinstance(node.expression, exp.JSONPath):
        return node
    steps = [str(step.this) for step in node.expression.find_all(exp.JSONPathKey, exp.JSONPathSubscript)]
    name = "jsonb_extract_path_text" if isinstance(node, exp.JSONExtractScalar) else "jsonb_extract_path"
    return exp.func(name, node.this, *map(exp.Literal.string, steps))


def length(node: exp.Expr) -> exp.Expr:
    """How long a JSON list is; 0 for what is no list, of which PostgreSQL tells no length."""
    if node.name.lower() != "json_array_length":
        return node
    (listed,) = node.expressions
    is_none = exp.func("jsonb_typeof", listed).neq("array")
    return exp.Case().when(is_none, exp.Literal.number(0)).else_(exp.func("jsonb_array_length", listed))


def whole(node: exp.Expr) -> exp.Expr:
    """TRY_CAST to a whole number: null where the text is none."""
    if not node.is_type(*exp.DataType.INTEGER_TYPES):
        raise ValueError(f"TRY_CAST to {node.args['to']} is not written for PostgreSQL yet")
    digits = exp.RegexpLike(this=node.this, expression=exp.Literal.string("^[+-]?[0-9]{1,9}$"))
    return exp.Case().when(digits, exp.Cast(this=node.this, to=node.args["to"]))


def averaged(node: exp.Expr) -> exp.Expr:
    """avg as DOUBLE, also of whole numbers."""
    return exp.Avg(this=exp.cast(node.this, exp.DataType.Type.DOUBLE))


def kind(node: exp.Expr) -> exp.Expr:
    """dlt stores JSON as jsonb, which can be compared and grouped by."""
    return exp.DataType.build("jsonb") if node.is_type(exp.DataType.Type.JSON) else node


POSTGRES: dict[type[exp.Expr], Callable[[exp.Expr], exp.Expr]] = {
    exp.Anonymous: length,
    exp.Avg: averaged,
    exp.DataType: kind,
    exp.Explode: unnested,
    exp.Group: grouped,
    exp.JSONExtract: found_in,
    exp.JSONExtractScalar: found_in,
    exp.TryCast: whole,
}
