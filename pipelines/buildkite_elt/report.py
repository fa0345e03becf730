"""`buildkite-elt report`: one HTML page of an organization's CI, from the views; no network, no script."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import sqlglot
from markupsafe import Markup, escape
from sqlglot import exp

from buildkite_ci.catalog import catalog
from buildkite_ci.errors import BadInput

from . import __version__, frames, report_charts, show
from . import views as every_view
from .report_parts import NUMBERS, Chart, Column, Rows
from .report_sections import SECTIONS

NAME = "buildkite-report.html"
"""What the page is called, beside the database, unless it is told otherwise."""
LONGEST = 160
"""Characters of a cell."""
SPAN_DAYS = 28
ENDS = (
    ("as_of", "as_of", "when builds were last read"),
    ("sync_runs", "finished_at", "when it was last loaded"),
)
"""What the days of a page end with, the first that the file has of an organization: table, column, in words."""

Row = dict[str, Any]


@dataclass
class Block:
    """A part of a section as it is shown: a chart (wide and narrow), a table (columns, rows), or only `says`."""

    title: str
    says: str = ""
    unit: str = ""
    wide: Markup | None = None
    narrow: Markup | None = None
    legend: dict[str, str] = field(default_factory=dict)
    columns: Sequence[Column] = ()
    rows: list[list[tuple[str, str]]] = field(default_factory=list)
    whole: bool = False


@dataclass
class Told:
    """A section as it is shown; missing says what to load where nothing of it can be."""

    title: str
    sentence: str
    anchor: str
    blocks: list[Block] = field(default_factory=list)
    missing: str = ""


@dataclass
class Page:
    """An organization as it is shown. since, until: the 28 days; ends: what is known of their end; numbers: (title,
    value, note)."""

    organization: str
    since: datetime
    until: datetime
    ends: str
    numbers: list[tuple[str, str, str]]
    sections: list[Told]


def write(database: Path, dataset: str, organizations: Sequence[str] = (), output: Path | None = None) -> Path:
    """Make the page; where it is. Raises BadInput where the file has nothing of these organizations, and
    DatabaseTrouble where it cannot be read."""
    file = output or database.with_name(NAME)
    if file.is_dir() or not file.name:
        raise BadInput(f"{file} is a folder: give a file name, such as {file / NAME}")
    if not file.parent.is_dir():
        raise BadInput(f"There is no folder {file.parent}: make it, or give another --output")
    with frames.connect(database, dataset) as warehouse:
        there = relations(warehouse)
        pages = [page(warehouse, there, *one) for one in chosen(warehouse, there, organizations)]
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["code"] = _code
    text = environment.get_template("report.html").render(pages=pages, version=__version__)
    half = file.with_name(file.name + ".new")  # a page that is open is whole
    half.write_text(text, encoding="utf-8")
    half.replace(file)
    return file


def _code(sentence: str) -> Markup:
    """What stands between backticks as <code>."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(sentence))))  # noqa: S704 - escaped before


def relations(warehouse: frames.Warehouse) -> set[str]:
    """Tables and views that are in the dataset."""
    found = warehouse.execute(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = current_schema() "
        "UNION ALL SELECT view_name FROM duckdb_views() WHERE schema_name = current_schema()"
    )
    return {name for (name,) in found.fetchall()}


def chosen(
    warehouse: frames.Warehouse, there: set[str], organizations: Sequence[str]
) -> list[tuple[str, datetime, str]]:
    """(organization, the end of its days, what it is) for each that the file knows, or those that are asked for."""
    known: dict[str, tuple[datetime, str]] = {}
    for table, moment, ends in ENDS:
        if table in there:
            rows = warehouse.execute(
                f"SELECT organization_slug, max({moment}) AS until FROM {table} "  # noqa: S608 - names of ours
                "GROUP BY ALL HAVING until IS NOT NULL"
            ).fetchall()
            known = {slug: (until, ends) for slug, until in rows} | known
    if unknown := [slug for slug in organizations if slug not in known]:
        has = f"it has {', '.join(sorted(known))}" if known else "`buildkite-elt load` fills it"
        raise BadInput(f"The file knows no organization {unknown[0]!r}: {has}")
    if not known:
        raise BadInput("The file holds nothing to report of: `buildkite-elt load` fills it")
    return [(slug, *known[slug]) for slug in organizations or sorted(known)]


def page(warehouse: frames.Warehouse, there: set[str], organization: str, until: datetime, ends: str) -> Page:
    """One organization's numbers and sections."""
    since = until.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=SPAN_DAYS - 1)
    values = {"organization": organization, "since": since.replace(tzinfo=None), "until": until.replace(tzinfo=None)}

    def ask(sql: str) -> list[Row]:
        return asked(warehouse, sql, values)

    numbers = []
    for number in NUMBERS:
        if not missing(number.sql, there) and (rows := ask(number.sql)):
            value = shown(rows[0]["value"], number.kind) or "–"
            numbers.append((number.title, value, _tied(rows[0]["note"] or "")))
    sections = []
    for place, section in enumerate(SECTIONS):
        told = Told(section.title, section.sentence, f"{organization}-{place}")
        lacks = [missing(part.sql, there) for part in section.parts]
        if all(lacks):
            told.missing = min(lacks, key=len)
        else:
            told.blocks = [block(ask, part, why) for part, why in zip(section.parts, lacks, strict=True)]
        sections.append(told)
    return Page(organization, since, until, ends, numbers, sections)


def missing(sql: str, there: set[str]) -> str:
    """What to load before this can be asked, in a sentence; empty where nothing is missing."""
    named = _reads(sql)
    if not (lacks := sorted(named - there)):
        return ""
    tables = sorted(set().union(*(_tables(name, there) for name in lacks)))
    if tables:
        return f"This needs {_and(tables)}, not loaded yet: `buildkite-elt load {' '.join(tables)}`"
    return f"This needs the view {_and(lacks)}, which the next load makes: `buildkite-elt load`"


@cache
def _reads(sql: str) -> frozenset[str]:
    """Views, and tables of the catalogue, that a query names."""
    names = {table.name for table in sqlglot.parse_one(sql, read="duckdb").find_all(exp.Table)}
    return frozenset(names & (every_view.views().keys() | catalog().keys()))


def _tables(name: str, there: set[str]) -> set[str]:
    """The tables that a view is not made without, and that are not there."""
    view = every_view.views().get(name)
    if view is None:
        return {name} - there - every_view.DATA.keys()
    return set().union(*(_tables(one, there) for one in view.reads - view.without))


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def block(ask: Callable[[str], list[Row]], part: Chart | Rows, lacks: str) -> Block:
    """A chart or a table, or the sentence that stands for it."""
    rows = [] if lacks else ask(part.sql)
    if not rows:
        return Block(part.title, lacks or part.empty)
    if isinstance(part, Rows):
        cells = [[(shown(row[c.name], c.kind), _address(row.get(c.link))) for c in part.columns] for row in rows]
        return Block(part.title, columns=part.columns, rows=cells, whole=part.whole)
    for row in rows:
        if "low" in row:
            low, high = show.span(row["low"]), show.span(row["high"])
            row.setdefault("told", low if low == high else f"{low} – {high}")
        if "high" in row:
            row["p95"] = show.span(row["high"])
    says = _tied(part.see.format_map(rows[0]))
    used = {row.get("kind") for row in rows}
    label = f"{part.title}. {says} {part.unit}."
    wide, narrow = (
        report_charts.svg(part.draw, rows, width, part.kinds, label)
        for width in (report_charts.WIDE, report_charts.NARROW)
    )
    legend = {kind: colour for kind, colour in part.kinds.items() if kind and kind in used}
    return Block(part.title, says, part.unit, wide, narrow, legend)


def asked(warehouse: frames.Warehouse, sql: str, values: dict[str, Any]) -> list[Row]:
    """A query's rows; text without what steers, numbers that are none as null."""
    cursor = warehouse.execute(sql, {name: value for name, value in values.items() if f"${name}" in sql})
    names = [one[0] for one in cursor.description]
    return [dict(zip(names, map(_plain, row), strict=True)) for row in cursor.fetchall()]


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return show.clean(value)
    if isinstance(value, Decimal):
        return float(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _tied(sentence: str) -> str:
    """A number and its unit stay on one line."""
    return re.sub(r"(?<=\d) (?=(?:%|s|min|h|days)(?!\w))", "\N{NO-BREAK SPACE}", sentence)


def _address(value: Any) -> str:
    """What a link may lead to."""
    return value if isinstance(value, str) and value.startswith(("https://", "http://")) else ""


def shown(value: Any, kind: str) -> str:
    """A value as it stands in the page; empty for null."""
    if value is None:
        return ""
    if kind == "seconds":
        return show.span(value)
    if kind == "share":
        return f"{100 * value:.1f} %"
    if kind == "usd":
        return f"${value:,.2f}"
    if kind == "number":
        return f"{value:,.0f}"
    text = f"{value:%Y-%m-%d %H:%M}" if kind == "moment" else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
