"""Colours, fonts and the Vega-Lite configuration of every figure.

Figures are drawn once, in light colours. The page swaps each of these colours for its dark counterpart with a CSS rule
(`dark_rules`), in static and interactive figures alike, so that nothing has to be drawn twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

FONTS = '-apple-system, BlinkMacSystemFont, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif'
"""The page's font stack for headings, tables and figures."""

INK = "#1d2329"
MUTED = "#59626d"
FAINT = "#98a1ab"
GRID = "#e4e7ea"
BAND = "#e0eee8"
"""The band of effects too small to matter."""

CATEGORIES = ("#0072b2", "#d55e00", "#009e73", "#b4659a", "#b98200", "#4299c9", "#6b7280")
"""Okabe and Ito's palette for colour-blind readers (jfly.uni-koeln.de/color), with purple, orange and sky darkened to
keep contrast on white, and a grey instead of its yellow."""

RAMP = ("#8fc1e3", "#66a8d8", "#428ecb", "#2a73b5", "#1b5996", "#123f74", "#0b2850")
"""One hue from light to dark, for ordered factors."""

SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right", "triangle-left")
"""Levels differ in shape as well as in colour."""

_DARK = {
    INK: "#e8eaed",
    MUTED: "#a9b1bb",
    FAINT: "#6f7882",
    GRID: "#2e343b",
    BAND: "#1d302b",
    **dict(zip(CATEGORIES, ("#5eb0ea", "#ff9248", "#37cfa3", "#dd9bc6", "#e6b549", "#8ccdf2", "#a3abb6"), strict=True)),
    **dict(zip(RAMP, ("#3474ae", "#4a88c2", "#639dd4", "#82b4e3", "#a4caef", "#c5dff8", "#e6f2fe"), strict=True)),
}

CONFIG: dict[str, Any] = {
    "aria": False,  # the page describes each figure once; a label on each of thousands of marks would only be noise
    "background": None,
    "font": FONTS,
    "view": {"stroke": None},
    "axis": {
        "domainColor": FAINT,
        "gridColor": GRID,
        "labelColor": MUTED,
        "labelFontSize": 12,
        "labelLimit": 260,
        "tickColor": FAINT,
        "tickSize": 4,
        "titleColor": INK,
        "titleFontSize": 12.5,
        "titleFontWeight": "normal",
        "titlePadding": 9,
    },
    "axisY": {"domain": False, "ticks": False, "labelPadding": 6},
    "header": {
        "labelColor": INK,
        "labelFontSize": 12.5,
        "labelFontWeight": "normal",
        "labelPadding": 8,
        "titleColor": MUTED,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 4,
    },
    "legend": {
        "labelColor": INK,
        "labelFontSize": 12.5,
        "labelLimit": 260,
        "symbolOpacity": 1,
        "symbolSize": 80,
        "titleColor": MUTED,
        "titleFontSize": 12.5,
        "titleFontWeight": "normal",
        "titleOrient": "left",
        "titlePadding": 10,
        "orient": "top",
        "direction": "horizontal",
        "offset": 20,
    },
    "title": {"anchor": "start", "color": INK, "fontSize": 12.5, "fontWeight": "normal", "offset": 8},
    "facet": {"spacing": 22},
    "concat": {"spacing": 34},
    "range": {"category": list(CATEGORIES)},
}
# One weight and one style throughout: the PDF writer's output is only reproducible while a single font is embedded.


def colours(num_levels: int, *, ordered: bool) -> list[str]:
    """A colour for each level: steps of one hue where levels are ordered, distinct hues where they are not."""
    if not ordered or num_levels > len(RAMP):
        return [CATEGORIES[index % len(CATEGORIES)] for index in range(num_levels)]
    if num_levels == 1:
        return [RAMP[3]]
    ramp = RAMP[1:-1] if num_levels <= 5 else RAMP  # the palest and the darkest step only where they are needed
    return [ramp[round(index * (len(ramp) - 1) / (num_levels - 1))] for index in range(num_levels)]


def shapes(num_levels: int) -> list[str]:
    """A point shape for each level."""
    return [SHAPES[index % len(SHAPES)] for index in range(num_levels)]


def configured(spec: dict[str, Any]) -> dict[str, Any]:
    """A Vega-Lite specification under this configuration; what the specification itself configures wins."""
    return {**spec, "config": _merged(CONFIG, spec.get("config") or {})}


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(base[key], over[key])
        for key in base.keys() & over.keys()
        if isinstance(base[key], dict) and isinstance(over[key], dict)
    }
    # Keys keep the order of `base`, then of `over`: sets have none, and the page must be the same every time.
    return {key: both.get(key, over.get(key, base.get(key))) for key in [*base, *(k for k in over if k not in base)]}


def dark_rules(selector: str) -> Sequence[str]:
    """CSS rules that turn the figures under ``selector`` dark."""
    return [
        f'{selector} [{attribute}="{light}"] {{ {attribute}: {dark}; }}'
        for light, dark in _DARK.items()
        for attribute in ("fill", "stroke")
    ]
