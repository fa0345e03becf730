"""The views in another engine's SQL: what sqlglot leaves of DuckDB's own, written out.

A rule for each kind of node, and each only where an engine has it in another way. PostgreSQL (15 or newer) and Spark
(4.1 or newer) have run what is written here; for the others it is only parsed, and docs/warehouses.md says so.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp


def portable(query: exp.Expr, dialect: str) -> exp.Expr:
    """A view's SELECT as that engine can be told it; DuckDB's own is left as it is. ValueError where it has no word."""
    if rules := RULES.get(dialect):
        query = query.copy()
        for node in reversed(list(query.walk())):  # what is inside a node comes before it
            rule = rules.get(type(node))
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


def inlined(over: exp.Expr) -> exp.Expr:
    """A window that is named after the FROM, written where it is used: few engines let a frame be added to a name."""
    select = over.find_ancestor(exp.Select)
    named: dict[str, exp.Expr] = {one.name: one for one in (select.args.get("windows") or [] if select else [])}
    if name := over.args.get("alias"):
        for part in ("partition_by", "order", "spec"):
            if (found := named[name.name].args.get(part)) and not over.args.get(part):
                over.set(part, [one.copy() for one in found] if isinstance(found, list) else found.copy())
        over.set("alias", None)
    return over


def unnamed(select: exp.Expr) -> exp.Expr:
    """Its named windows are where they are used by now."""
    for over in select.find_all(exp.Window):
        inlined(over)
    select.set("windows", None)
    return select


def divided(node: exp.Expr) -> exp.Expr:
    """DuckDB divides in DOUBLE, whatever it divides; others keep six digits of a decimal."""
    return exp.Div(this=exp.cast(node.this, exp.DataType.Type.DOUBLE), expression=node.expression)


def sequence(node: exp.Expr) -> exp.Expr:
    """Whole numbers as a table; as a list sqlglot knows them."""
    if not isinstance(node.parent, exp.Table):
        return node
    return exp.func("range", node.args["start"], exp.Add(this=node.args["end"], expression=exp.Literal.number(1)))


def placed_in(node: exp.Expr) -> exp.Expr:
    """An element of a JSON list by a column that counts."""
    if isinstance(node.expression, exp.JSONPath):
        return node
    path = exp.func("concat", exp.Literal.string("$["), node.expression, exp.Literal.string("]"))
    return exp.func("get_json_object", node.this, path)


def seconds(text: str) -> Callable[[exp.Expr], exp.Expr]:
    """Seconds since 1970 with their fractions, as DuckDB's epoch; `x` in the text is the moment."""

    def rule(node: exp.Expr) -> exp.Expr:
        told: exp.Expr = exp.maybe_parse(text)
        return exp.Paren(this=told.transform(lambda one: node.this if one == exp.column("x") else one))

    return rule


def either(node: exp.Expr) -> exp.Expr:
    """greatest and least, which DuckDB takes of what is not null."""
    made: exp.Expr
    made, *others = [node.this, *node.expressions]
    for other in others:
        pair = type(node)(this=made, expressions=[other])
        made = exp.func("coalesce", pair, made.copy(), other.copy())
    return made


def filtered(node: exp.Expr) -> exp.Expr:
    """FILTER as CASE inside of the aggregate."""
    call: exp.Expr = node.this.copy()
    counted = exp.Literal.number(1) if isinstance(call.this, exp.Star) else call.this
    call.set("this", exp.Case().when(node.expression.this, counted))
    return call


def same(node: exp.Expr) -> exp.Expr:
    """IS NOT DISTINCT FROM."""
    one, other = node.this, node.expression
    found: exp.Expr = exp.paren(exp.or_(one.eq(other), exp.and_(one.is_(exp.null()), other.is_(exp.null()))))
    return found


def unhinted(cte: exp.Expr) -> exp.Expr:
    """Whether it is MATERIALIZED is left to the engine."""
    cte.set("materialized", None)
    return cte


def columns_named(cte: exp.Expr) -> exp.Expr:
    """Of a recursive CTE its columns stand beside its name."""
    unhinted(cte)
    if cte.parent and cte.parent.args.get("recursive"):
        cte.args["alias"].set("columns", [exp.to_identifier(name) for name in cte.this.named_selects])
    return cte


def from_monday(node: exp.Expr) -> exp.Expr:
    """A week begins on Monday."""
    if node.text("unit").upper() == "WEEK":
        node.set("unit", exp.Week(this=exp.var("MONDAY")))
    return node


def exact(node: exp.Expr) -> exp.Expr:
    """A percentile between two values, as quantile_cont has it."""
    return exp.func("percentile", node.this, node.expression)


def inclusive(node: exp.Expr) -> exp.Expr:
    """The same in ClickHouse."""
    name = "quantileExactInclusive"
    return exp.ParameterizedAgg(this=name, expressions=[node.expression], params=[node.this])


def sorted_once(node: exp.Expr) -> exp.Expr:
    """Redshift sorts the rows of a SELECT in one way only."""
    select = node.find_ancestor(exp.Select)
    others = {one.this.sql() for one in (select or node).find_all(exp.PercentileCont)}
    if len(others) > 1:
        raise ValueError("no percentiles of several columns in one SELECT")
    return node


def cannot(reason: str) -> Callable[[exp.Expr], exp.Expr]:
    """What the engine has no word for that means the same."""

    def rule(node: exp.Expr) -> exp.Expr:
        raise ValueError(reason)

    return rule


def upper(node: exp.Expr) -> exp.Expr:
    """dlt's names are without case in Snowflake, which writes them large; a quoted one has to be."""
    return exp.to_identifier(node.name.upper(), quoted=True) if node.args.get("quoted") else node


SERIES = "no series, of hours or of numbers, that is a table"
LISTS = "no row for each text of a JSON list"
PARTS = "no SPLIT_PART"
Rules = dict[type[exp.Expr], Callable[[exp.Expr], exp.Expr]]
SPARK: Rules = {
    exp.CTE: unhinted,
    exp.Div: divided,
    exp.GenerateSeries: sequence,
    exp.JSONExtract: placed_in,
    exp.PercentileCont: exact,
    exp.Select: unnamed,
    exp.TimeToUnix: seconds("CAST(CAST(x AS TIMESTAMPTZ) AS DOUBLE)"),
}
RULES: dict[str, Rules] = {
    "postgres": POSTGRES,
    "bigquery": {
        exp.CTE: unhinted,
        exp.Explode: cannot(LISTS),
        exp.GenerateSeries: cannot(SERIES),
        exp.Greatest: either,
        exp.Least: either,
        exp.PercentileCont: cannot("no exact percentile that is an aggregate"),
        exp.Select: unnamed,
        exp.SplitPart: cannot(PARTS),
        exp.TimeToUnix: seconds("UNIX_MICROS(x) / 1000000"),
        exp.TimestampTrunc: from_monday,
    },
    "clickhouse": {
        exp.CTE: unhinted,
        exp.Explode: cannot(LISTS),
        exp.GenerateSeries: cannot(SERIES),
        exp.Greatest: either,
        exp.Least: either,
        exp.LogicalOr: lambda node: exp.Max(this=node.this),
        exp.PercentileCont: inclusive,
        exp.Select: unnamed,
        exp.SplitPart: cannot(PARTS),
        exp.TimeToUnix: seconds("toUnixTimestamp64Micro(toDateTime64(x, 6)) / 1000000"),
    },
    "databricks": SPARK,
    "redshift": {
        exp.Avg: averaged,
        exp.CTE: columns_named,
        exp.Div: divided,
        exp.Explode: cannot(LISTS),
        exp.Filter: filtered,
        exp.GenerateSeries: cannot(SERIES),
        exp.Group: grouped,
        exp.NullSafeEQ: same,
        exp.PercentileCont: sorted_once,
        exp.Select: unnamed,
        exp.TimeToUnix: seconds("EXTRACT(EPOCH FROM x) + EXTRACT(MICROSECOND FROM x) / CAST(1000000 AS DOUBLE)"),
    },
    "snowflake": {
        exp.Avg: averaged,
        exp.CTE: unhinted,
        exp.Div: divided,
        exp.Explode: cannot(LISTS),
        exp.GenerateSeries: cannot(SERIES),
        exp.Identifier: upper,
        exp.Select: unnamed,
        exp.TimeToUnix: seconds("CAST(DATE_PART(EPOCH_MICROSECOND, x) AS DOUBLE) / 1000000"),
    },
    "spark": SPARK,
}
"""By sqlglot's name of the engine. MotherDuck is DuckDB."""
