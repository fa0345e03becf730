"""The report's charts: rows of a query as a still SVG, whose colours are the page's CSS variables.

A chart is drawn twice, wide and narrow, and the page shows the one that fits. Labels of rows stand above their marks,
so that a long name needs no margin.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from math import log
from typing import Any

import altair as alt
import vl_convert
from markupsafe import Markup, escape

Row = Mapping[str, Any]
Kinds = Mapping[str, str]
"""What a row's `kind` may be, in the order in which they are stacked -> the CSS variable of its colour."""
Plot = Any
"""A chart of altair's, whose types do not say what its methods return."""
Draw = Callable[[Sequence[Row], int, Kinds], Plot]

WIDE, NARROW = 540, 340
"""Widths in pixels."""
INK, QUIET, LINE, ACCENT = (f"var(--{name})" for name in ("ink", "quiet", "line", "accent"))
ROW, MARK = 38, 28
"""Pixels of a row, and where in it the mark is."""
NOISE = re.compile(r' (?:font-family|pointer-events|aria-hidden|class|role|aria-roledescription)="[^"]*"| opacity="1"')
"""What the page's style says, or nobody reads; marks keep their class (`marks`)."""
LETTER = 7.8
"""Pixels that a letter of 12 may take: system fonts differ."""
TICKS = {
    0.1: "0.1 s",
    1: "1 s",
    5: "5 s",
    10: "10 s",
    30: "30 s",
    60: "1 min",
    120: "2 min",
    300: "5 min",
    600: "10 min",
    1_800: "30 min",
    3_600: "1 h",
    7_200: "2 h",
    18_000: "5 h",
    36_000: "10 h",
    86_400: "1 day",
    172_800: "2 days",
    432_000: "5 days",
    864_000: "10 days",
    2_592_000: "30 days",
}
"""Seconds that an axis may name."""
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def svg(draw: Draw, rows: Sequence[Row], width: int, kinds: Kinds, label: str) -> Markup:
    """A chart as an <svg> as wide as what it stands in; `label` is what a screen reader says of it."""
    spec = draw(rows, width, kinds).properties(padding={"left": 0, "right": 0, "top": 4, "bottom": 2}).to_dict()
    axis = {"labelColor": QUIET, "labelFontSize": 12, "labelPadding": 6, "title": None}
    spec["background"] = None
    spec["config"] = {
        "aria": False,
        "font": "sans-serif",
        "view": {"stroke": None},
        "axis": axis | {"domain": False, "ticks": False, "gridColor": LINE},
        "text": {"fontSize": 12, "color": INK},
    }
    drawn = vl_convert.vegalite_to_svg(spec)
    head = f'<svg role="img" aria-label="{escape(label)}" '
    begun, replaced = re.subn(r'^<svg [^>]*?(?=viewBox="[^"]*">)', lambda _: head, drawn)
    if not replaced:
        raise ValueError("vl-convert's SVG begins in another way than it did")
    return Markup(re.sub(r"<[^>]+>", lambda tag: _short(tag[0]), begun))  # noqa: S704 - vl-convert escapes what rows say


def _short(tag: str) -> str:
    """A tag with two digits behind the point, and without what is not needed."""
    tag = re.sub(r"(\.\d\d)\d+", r"\1", tag)
    if tag.startswith("<svg"):
        return tag
    kept = ' class="marks"' if "role-mark" in tag else ""
    return NOISE.sub("", tag).replace("<g", f"<g{kept}", 1)


def days(rows: Sequence[Row], width: int, kinds: Kinds) -> Plot:
    """{day, kind, amount}: a bar for each day, stacked by kind. Days are ISO dates; a row without a kind names a day
    on which nothing was."""
    every = sorted({row["day"] for row in rows})
    mondays = [day for day in every if date.fromisoformat(day).weekday() == 0]
    order = list(kinds)
    values = [{**row, "order": order.index(row["kind"])} for row in rows if row["kind"]]
    told = "utcFormat(toDate(datum.value + 'T00:00:00Z'), '%-d %b')"
    x = alt.X(
        "day:O",
        scale=alt.Scale(domain=every, paddingInner=0.25, paddingOuter=0.1),
        axis=alt.Axis(values=mondays, labelExpr=told, labelAngle=0, grid=False, labelOverlap=False),
    )
    y = alt.Y("amount:Q", stack="zero", axis=alt.Axis(tickCount=4, format="~s"), scale=alt.Scale(nice=4))
    return _sized(
        alt.Chart(_data(values))
        .mark_bar(cornerRadius=1)
        .encode(x=x, y=y, color=_colour(kinds), order=alt.Order("order:Q")),
        width,
        200,
    )


def bars(rows: Sequence[Row], width: int, kinds: Kinds) -> Plot:
    """{label, kind, amount, told}: a bar for each label, by kind one after another; `told` is its amount in words."""
    order = list(kinds)
    values = [{**row, "order": order.index(row["kind"])} for row in rows]
    marks = (
        alt.Chart(_data(values))
        .mark_bar(height=9, yOffset=MARK - ROW / 2, cornerRadius=1)
        .encode(
            x=alt.X("amount:Q", stack="zero", axis=None, scale=alt.Scale(nice=False, zero=True)),
            y=_lines(rows),
            color=_colour(kinds),
            order=alt.Order("order:Q"),
        )
    )
    return _sized(alt.layer(marks, *_words(rows, width)), width, None)


def ranges(rows: Sequence[Row], width: int, _: Kinds) -> Plot:
    """{label, low, high, told}: from `low` to `high` seconds, on a logarithmic axis; a ring at low, a dot at high."""
    values = [{**row, "low": max(row["low"], 0.1), "high": max(row["high"], 0.1)} for row in rows]
    least = min(min(row["low"], row["high"]) for row in values)
    most = max(max(row["low"], row["high"]) for row in values)
    first = max((tick for tick in TICKS if tick <= least), default=least)
    last = min((tick for tick in TICKS if tick >= most and tick > first), default=most * 1.1)
    names = " : ".join(f"datum.value == {tick:g} ? '{name}'" for tick, name in TICKS.items()) + " : ''"
    scale = alt.Scale(type="log", domain=[first, last], nice=False, padding=6)
    axis = alt.Axis(values=_ticks(first, last, width), labelExpr=names, grid=True, labelFlush=8)
    base = alt.Chart(_data(values)).encode(y=_lines(rows))
    low, high = (alt.X(f"{end}:Q", scale=scale, axis=axis) for end in ("low", "high"))
    offset = MARK - ROW / 2
    dot: dict[str, Any] = {"size": 64, "yOffset": offset, "strokeWidth": 2, "opacity": 1}
    return _sized(
        alt.layer(
            base.mark_rule(strokeWidth=4, color=ACCENT, opacity=0.35, yOffset=offset).encode(x=low, x2="high:Q"),
            base.mark_point(**dot, stroke=ACCENT, fill="var(--paper)").encode(x=low),
            base.mark_point(**dot, stroke=ACCENT, fill=ACCENT).encode(x=high),
            *_words(rows, width),
        ),
        width,
        None,
    )


def hours(rows: Sequence[Row], width: int, kinds: Kinds) -> Plot:
    """{weekday: Mon …, hour: 0 …, kind}: a week of hours, coloured by kind."""
    clock = alt.Axis(
        values=list(range(0, 24, 3)), labelAngle=0, labelExpr="format(datum.value, '02d')", grid=False, labelPadding=4
    )
    return _sized(
        alt.Chart(_data(rows))
        .mark_rect(cornerRadius=2)
        .encode(
            x=alt.X("hour:O", scale=alt.Scale(domain=list(range(24)), paddingInner=0.12), axis=clock),
            y=alt.Y("weekday:O", scale=alt.Scale(domain=list(DAYS), paddingInner=0.12), axis=alt.Axis(grid=False)),
            color=_colour(kinds),
        ),
        width,
        210 if width == WIDE else 180,
    )


def _data(rows: Sequence[Row]) -> alt.Data:
    return alt.Data(values=[dict(row) for row in rows])


def _colour(kinds: Kinds) -> alt.Color:
    colours = [f"var(--{name})" for name in kinds.values()]
    return alt.Color("kind:N", scale=alt.Scale(domain=list(kinds), range=colours), legend=None)


def _lines(rows: Sequence[Row]) -> alt.Y:
    """A line for each label, in the order of the rows."""
    labels = list(dict.fromkeys(row["label"] for row in rows))
    return alt.Y("label:N", scale=alt.Scale(domain=labels, padding=0), axis=None, sort=None)


def _words(rows: Sequence[Row], width: int) -> list[alt.Chart]:
    """Each label above its mark at the left, and what it comes to at the right."""
    told = {row["label"]: str(row["told"]) for row in rows}
    room = int((width - 20) / LETTER) - max(map(len, told.values()))
    values = [{"label": label, "name": _cut(label, room), "told": text} for label, text in told.items()]
    base = alt.Chart(_data(values)).encode(y=_lines(rows))
    above: dict[str, Any] = {"dy": 13 - ROW / 2, "baseline": "middle"}
    return [
        base.mark_text(**above, align="left", color=INK).encode(text="name:N", x=alt.value(0)),
        base.mark_text(**above, align="right", color=QUIET).encode(text="told:N", x=alt.value("width")),
    ]


def _cut(label: str, room: int) -> str:
    """A label of so many letters: pipelines differ at the begin, steps at the end."""
    half = max((room - 1) // 2, 1)
    return label if len(label) <= room else f"{label[: room - 1 - half]}…{label[-half:]}"


def _ticks(first: float, last: float, width: int) -> list[float]:
    """Of TICKS between two ends those that have room beside each other."""
    found: list[float] = []
    for tick in (tick for tick in TICKS if first <= tick <= last):
        if not found or log(tick / found[-1]) / log(last / first) * width >= 9 * LETTER:
            found.append(tick)
    return found


def _sized(chart: Any, width: int, height: int | None) -> Plot:
    """All of it, labels included, is as wide as that; where no height is given, lines have ROW each."""
    fit = {"type": "fit" if height else "fit-x", "contains": "padding"}
    return chart.properties(width=width, height=height or {"step": ROW}, autosize=fit)
