"""The views: a .sql file each, created beside the tables after each load, as far as what they read is there.

A file begins with comments: what a row says, `grain:`, `key:`, the columns of which no two rows share all (`name?`: it
may be null; no key where the grain's is not among the columns), `answers:`, the questions of docs/views.md, and
`without:`, tables that it reads as empty where they are not loaded. Then comes one SELECT in DuckDB's SQL over tables
and views by their bare names; engines.py writes it for others. What a user may want to change is data: `rules.csv`
(classes of failures) and `prices.csv` (what a queue costs) are tables beside the views, `failure_rules` and
`price_list`.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sqlglot
from sqlglot import exp

from buildkite_ci.catalog import catalog
from buildkite_ci.errors import BadInput

from . import engines

FOLDER = Path(__file__).parent
HEADER = re.compile(r"--\s?(.*)")
DATA = {
    "failure_rules": ("rules.csv", {"rank": "BIGINT", "column_name": "TEXT", "pattern": "TEXT", "class": "TEXT"}),
    "price_list": ("prices.csv", {"queue_key": "TEXT", "usd_per_hour": "DOUBLE"}),
}
"""Tables of data: their file, and their columns. A user's file of the same columns takes its place."""

KINDS = {"bigint": "BIGINT", "double": "DOUBLE", "bool": "BOOLEAN", "timestamp": "TIMESTAMPTZ", "json": "JSON"}


@dataclass(frozen=True)
class View:
    """doc: what a row says; reads: the tables and views that it needs; answers: numbers of questions, such as W1.

    key: columns; nullable: those of them that may be null.
    """

    name: str
    doc: str
    grain: str
    key: tuple[str, ...]
    nullable: frozenset[str]
    answers: tuple[str, ...]
    sql: str
    reads: frozenset[str]
    without: frozenset[str]

    def placed(self, dataset: str, there: Container[str], dialect: str = "duckdb", **wanted: Any) -> str:
        """Its SELECT with every table in that dataset, and an empty one for what is not there. ValueError where the
        engine has no word for it. wanted: of sqlglot's generator."""
        return _placed(self, dataset, frozenset(name for name in self.without if name not in there), dialect, **wanted)


@cache
def _placed(view: View, dataset: str, missing: frozenset[str], dialect: str, **wanted: Any) -> str:
    def place(node: exp.Expression) -> exp.Expression:
        if not isinstance(node, exp.Table) or node.db or node.name not in view.reads:
            return node
        if node.name in missing:
            nothing = sqlglot.parse_one(empty(node.name), read="duckdb")
            return exp.Subquery(this=nothing, alias=exp.TableAlias(this=exp.to_identifier(node.alias_or_name)))
        node.set("db", exp.to_identifier(dataset, quoted=True))
        return node

    placed = sqlglot.parse_one(view.sql, read="duckdb").transform(place)
    return engines.portable(placed, dialect).sql(dialect=dialect, **wanted)


@cache
def views() -> Mapping[str, View]:
    """Every view by name, each after those that it reads. Raises ValueError, naming the file, where one is wrong."""
    found = {path.stem: read(path) for path in sorted(FOLDER.glob("*.sql"))}
    order = TopologicalSorter({name: sorted(view.reads & found.keys()) for name, view in found.items()}).static_order()
    return MappingProxyType({name: found[name] for name in order})


def empty(table: str) -> str:
    """A SELECT of no rows with a table's columns."""
    declared = catalog()[table]
    columns = [f'CAST(NULL AS {KINDS.get(column.type, "TEXT")}) AS "{column.name}"' for column in declared.all_columns]
    if declared.load == "scd2":
        columns += [f'CAST(NULL AS TIMESTAMPTZ) AS "{name}"' for name in ("_dlt_valid_from", "_dlt_valid_to")]
    return f"SELECT {', '.join(columns)} WHERE FALSE"


def read(path: Path) -> View:
    """One file."""
    text = path.read_text(encoding="utf-8")
    lines: list[str] = []
    for line in text.splitlines():
        comment = HEADER.fullmatch(line)
        if not comment:
            break
        lines.append(comment[1])
    told = dict(re.findall(r"^(grain|key|answers|without): *(.*)$", "\n".join(lines), re.MULTILINE))
    doc = " ".join(line for line in lines if not re.match(r"(grain|key|answers|without):", line)).strip()
    if not doc or "grain" not in told:
        raise ValueError(f"{path.name}: its first lines should say what a row is, and `-- grain: …`")
    parsed = sqlglot.parse_one(text, read="duckdb")
    names = {cte.alias for cte in parsed.find_all(exp.CTE)}
    reads = frozenset(table.name for table in parsed.find_all(exp.Table) if table.name) - names
    key, answers, without = (
        tuple(one.strip() for one in told.get(name, "").split(",") if one.strip())
        for name in ("key", "answers", "without")
    )
    nullable = frozenset(one.rstrip("?") for one in key if one.endswith("?"))
    names_of_key = tuple(one.rstrip("?") for one in key)
    return View(path.stem, doc, told["grain"], names_of_key, nullable, answers, text, reads, frozenset(without))


def statements(dataset: str, there: Iterable[str], dialect: str = "duckdb") -> Iterator[tuple[str, list[str]]]:
    """(view, what creates it) for each whose tables are all there, in order."""
    known = {*there, *DATA}
    for view in views().values():
        if view.reads - view.without <= known:
            known.add(view.name)
            name = exp.table_(view.name, db=dataset, quoted=True).sql(dialect=dialect)
            said = exp.Literal.string(f"{view.doc} Grain: {view.grain}.").sql(dialect=dialect)
            yield (
                view.name,
                [
                    f"CREATE OR REPLACE VIEW {name} AS {view.placed(dataset, known, dialect)}",
                    f"COMMENT ON VIEW {name} IS {said}",
                ],
            )


def data(dataset: str, files: Mapping[str, str], dialect: str = "duckdb") -> Iterator[str]:
    """What makes the tables of DATA anew; files: a user's own, by table."""
    for table, (file, columns) in DATA.items():
        rows = listed(Path(files[table]) if files.get(table) else FOLDER / file, columns)
        name = exp.table_(table, db=dataset, quoted=True).sql(dialect=dialect)
        kinds = ", ".join(f'"{column}" {exp.DataType.build(kind).sql(dialect)}' for column, kind in columns.items())
        yield f"CREATE TABLE IF NOT EXISTS {name} ({kinds})"
        yield f"DELETE FROM {name}"  # noqa: S608 - a name of ours
        values = ", ".join(f"({', '.join(row)})" for row in rows)
        if values:
            yield f"INSERT INTO {name} VALUES {values}"  # noqa: S608 - literals, quoted


def listed(file: Path, columns: Mapping[str, str]) -> list[list[str]]:
    """A CSV file's rows as SQL literals. BadInput where it cannot be meant."""
    try:
        with file.open(encoding="utf-8", newline="") as source:
            rows = list(csv.DictReader(source))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} cannot be read ({getattr(error, 'strerror', None) or 'not text'})") from None
    if rows and rows[0].keys() != columns.keys():
        raise BadInput(f"{file}: its first line should be {','.join(columns)}")
    first = next(iter(columns))
    if twice := [value for value, count in Counter(row[first] for row in rows).items() if count > 1]:
        raise BadInput(f"{file}: {first} {twice[0]!r} stands there twice")
    try:
        return [[_literal(row[name], kind) for name, kind in columns.items()] for row in rows]
    except (AttributeError, ValueError):
        raise BadInput(f"{file}: a line has another number of values, or a word where a number should be") from None


def _literal(text: str, kind: str) -> str:
    if not text.strip():
        return "NULL"
    return exp.Literal.string(text).sql() if kind == "TEXT" else str(float(text) if kind == "DOUBLE" else int(text))


def create(
    execute: Callable[[str], Any],
    dataset: str,
    there: Iterable[str],
    files: Mapping[str, str],
    dialect: str = "duckdb",
) -> dict[str, str]:
    """Make the views anew. Those that cannot be made, and why: what they read is of an older load, or somebody's own
    view reads them and they have other columns now (PostgreSQL). What was there of them stays."""
    for statement in data(dataset, files, dialect):
        execute(statement)
    failed: dict[str, str] = {}
    for name, texts in statements(dataset, there, dialect):
        if unmade := views()[name].reads & failed.keys():
            failed[name] = f"it reads {', '.join(sorted(unmade))}"
            continue
        try:
            _made(execute, texts, [exp.table_(one, db=dataset, quoted=True).sql(dialect) for one in readers(name)])
        except Exception as error:  # dlt's or the engine's, by who executes it
            if not EXPECTED.search(str(error)):
                raise
            first, *more = str(error).splitlines()
            failed[name] = ". ".join([first, *(told for told in more if told.startswith("DETAIL"))])
    return failed


def _made(execute: Callable[[str], Any], texts: list[str], readers: list[str]) -> None:
    """PostgreSQL replaces no view by one of other columns: it and ours that read it (they are made again after it) have
    to go first. Several statements in one text are one transaction there. Nothing of somebody else's is dropped."""
    try:
        for text in texts:
            execute(text)
    except Exception as error:
        if not CHANGED.search(str(error)):
            raise
        execute("; ".join([*(f"DROP VIEW IF EXISTS {one}" for one in readers), *texts]))


def readers(name: str) -> list[str]:
    """A view and those that read it, or read what reads it, the last one first."""
    found = {name}
    for view in views().values():
        if view.reads & found:
            found.add(view.name)
    return [one for one in reversed([*views()]) if one in found]


CHANGED = re.compile(r"cannot (change (name|data type) of view column|drop columns from view)")
EXPECTED = re.compile(r"(Binder|Catalog) Error|(column|relation) \S+ does not exist|cannot drop view \S+ because")
"""A column or a table is not there, or a view has to stay."""
