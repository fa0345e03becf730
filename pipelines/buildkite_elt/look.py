"""How the notebooks' charts look: a plain Vega theme, and colours that keep their meaning."""

from __future__ import annotations

from typing import Any

import altair as alt

INK, QUIET, LINES = "#1f2933", "#5f6b76", "#e3e7eb"
FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"
BLUE, ORANGE, GREEN, RED, PURPLE, YELLOW, GREY = (
    "#3b6fb5",
    "#e08a2e",
    "#2a9d76",
    "#cf4446",
    "#8a6bb1",
    "#e0b73b",
    "#98a3ae",
)

OUTCOMES = alt.Scale(domain=["passed", "failed", "canceled", "not run", "open"], range=[GREEN, RED, YELLOW, GREY, BLUE])
"""Colours of how builds end."""


@alt.theme.register("buildkite-elt", enable=False)
def theme() -> alt.theme.ThemeConfig:
    """White, 640 pixels wide, one colour for what has one kind, words in two shades of grey."""
    words: dict[str, Any] = {"labelColor": INK, "titleColor": QUIET, "titleFontWeight": "normal", "labelFontSize": 12}
    marks: Any = {"line": {"color": BLUE, "strokeWidth": 2}, "point": {"color": BLUE, "filled": True, "size": 60}}
    config: Any = {
        "background": "white",
        "padding": 16,
        "font": FONT,
        "view": {"stroke": None, "continuousWidth": 560, "continuousHeight": 260, "step": 24},
        "title": {"anchor": "start", "frame": "group", "fontSize": 16, "color": INK, "offset": 12}
        | {"subtitleColor": QUIET, "subtitleFontSize": 12, "subtitlePadding": 6},
        "axis": words | {"titleFontSize": 12, "domainColor": GREY, "tickColor": GREY, "gridColor": LINES},
        "axisQuantitative": {"tickCount": 6},
        "scale": {"barBandPaddingInner": 0.2, "rectBandPaddingInner": 0},
        "axisBand": {"grid": False, "ticks": False, "domain": False, "labelPadding": 6},
        "header": {"labelColor": INK, "labelFontSize": 12, "labelAnchor": "start"},
        "legend": words
        | {"titleFontSize": 12, "orient": "top", "labelLimit": 300, "symbolType": "square", "offset": 8},
        "bar": {"color": BLUE, "cornerRadiusEnd": 2},
        "area": {"color": BLUE},
        "rect": {"color": BLUE},
        "text": {"color": INK, "fontSize": 12},
        "range": {"category": [BLUE, ORANGE, GREEN, PURPLE, RED, YELLOW, GREY]},
        **marks,
    }
    return {"config": config}


def enable() -> None:
    """Charts look so from here on."""
    alt.theme.enable("buildkite-elt")
