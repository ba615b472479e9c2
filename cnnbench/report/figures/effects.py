"""Forest plots: estimates with their intervals, against no effect; and published numbers beside ours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt

from cnnbench.report import format as fmt
from cnnbench.report.figures import theme
from cnnbench.report.figures.drawing import Drawing, draw

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.types import Effect, ReferenceCheck, ResponseFindings

MOST_ROWS = 40
"""More rows than this are left to the table."""

_WIDTH = 560
_VERDICTS = ("different", "equivalent", "undetermined", "no verdict")
_VERDICT_COLOURS = (theme.CATEGORIES[0], theme.CATEGORIES[2], theme.MUTED, theme.INK)


def effects_figure(
    key: str, found: ResponseFindings, effects: Sequence[Effect], *, title: str, margin: float | None
) -> Drawing | None:
    """A forest plot of ``effects`` in the given order, or None where there are none.

    ``margin`` is the smallest effect of interest on the analysis scale; the band within it is shaded.
    """
    shown = [effect for effect in effects if math.isfinite(effect.estimate)][:MOST_ROWS]
    if not shown:
        return None
    ratios = found.scale == "log"
    rows = [_row(effect, position, ratios=ratios) for position, effect in enumerate(shown)]
    chart = _forest(rows, title=_axis_title(found), ratios=ratios, margin=margin)
    return draw(key, chart.to_dict(), caption=_caption(effects, shown, title, ratios, margin), alt=_alt(title, rows))


def _row(effect: Effect, position: int, *, ratios: bool) -> dict[str, Any]:
    value, interval = effect.estimate, effect.interval
    if ratios:
        value = effect.ratio if effect.ratio is not None else math.exp(effect.estimate)
        interval = effect.ratio_interval
    places = fmt.decimals_for([fmt.half_width(interval)])
    return {
        "label": effect.label,
        "position": position,
        "value": value,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "verdict": effect.verdict or "no verdict",
        "size": 130 if effect.role == "primary" else 70,
        "estimate": fmt.number(value, places),
        "interval": fmt.interval_text(interval, places),
        "p": fmt.p_value(effect.p),
        "n": effect.n,
    }


def _axis_title(found: ResponseFindings) -> str:
    label = fmt.name(found.response)
    if found.scale == "log":
        return f"Ratio of {label} (logarithmic axis)"
    if found.scale == "logit":
        return f"Difference in log odds of {label}"
    return f"Difference in {fmt.with_unit(label, found.unit)}"


def _forest(rows: list[dict[str, Any]], *, title: str, ratios: bool, margin: float | None) -> alt.LayerChart:
    data = alt.Data(values=rows)
    nothing = 1.0 if ratios else 0.0
    scale = alt.Scale(type="log", base=2, nice=False, padding=12) if ratios else alt.Scale(zero=True, padding=12)
    axis = alt.Axis(grid=True, tickCount=6, format="~g") if ratios else alt.Axis(grid=True, tickCount=6)
    x = alt.X("value:Q", scale=scale, title=title, axis=axis)
    y = alt.Y(
        "label:N",
        sort=[row["label"] for row in rows],
        title=None,
        axis=alt.Axis(labelColor=theme.INK, labelFontSize=12.5, labelLimit=320),
    )
    present = [verdict for verdict in _VERDICTS if any(row["verdict"] == verdict for row in rows)]
    colour = alt.Color(
        "verdict:N",
        title="verdict",
        scale=alt.Scale(domain=present, range=[_VERDICT_COLOURS[_VERDICTS.index(verdict)] for verdict in present]),
        legend=None if present == ["no verdict"] else alt.Legend(),
    )
    shape = alt.Shape(
        "verdict:N", title="verdict", scale=alt.Scale(domain=present, range=theme.shapes(len(present))), legend=None
    )
    tooltip = [alt.Tooltip(f"{name}:N", title=name) for name in ("label", "estimate", "interval", "p", "n", "verdict")]
    lines = alt.Chart(data).mark_rule(strokeWidth=2.2).encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y, color=colour)
    points = (
        alt.Chart(data)
        .mark_point(filled=True, opacity=1)
        .encode(x=x, y=y, color=colour, shape=shape, size=alt.Size("size:Q", scale=None, legend=None), tooltip=tooltip)
    )
    layers: list[alt.Chart] = [_reference_line(nothing), lines, points]
    if margin is not None:
        layers.insert(0, _band(*((math.exp(-margin), math.exp(margin)) if ratios else (-margin, margin))))
    return alt.layer(*layers).properties(width=_WIDTH, height=alt.Step(30))


def _reference_line(value: float) -> alt.Chart:
    return (
        alt.Chart(alt.Data(values=[{"value": value}]))
        .mark_rule(color=theme.INK, strokeWidth=1.2, strokeDash=[4, 3])
        .encode(x="value:Q")
    )


def _band(low: float, high: float) -> alt.Chart:
    return (
        alt.Chart(alt.Data(values=[{"low": low, "high": high}]))
        .mark_rect(color=theme.BAND)
        .encode(x=alt.X("low:Q"), x2="high:Q")
    )


def _caption(
    effects: Sequence[Effect], shown: Sequence[Effect], title: str, ratios: bool, margin: float | None  # noqa: FBT001 - private, named at its only call
) -> str:
    interval = next((effect.interval for effect in shown if effect.interval is not None), None)
    bars = f"bars are {fmt.percent(interval.level)} intervals" if interval else "there are no intervals"
    parts = [f"{title}. Points are estimates, {bars}; the dashed line is no effect ({'ratio 1' if ratios else '0'})."]
    if any(effect.role == "primary" for effect in shown):
        parts.append("The larger point is the primary hypothesis.")
    if margin is not None:
        limit = fmt.number(math.exp(margin), 3) if ratios else fmt.number(margin)
        scope = f"ratios within {limit} of one another" if ratios else f"differences within ±{limit}"
        parts.append(f"The shaded band holds {scope}, declared too small to matter.")
    if len(shown) < len(effects):
        parts.append(f"The first {len(shown)} of {len(effects)} are drawn; the table holds all.")
    return " ".join(parts)


def _alt(title: str, rows: Sequence[dict[str, Any]]) -> str:
    return f"{title}: " + "; ".join(f"{row['label']} {row['estimate']} {row['interval']}" for row in rows) + "."


def references_figure(key: str, response: str, checks: Sequence[ReferenceCheck], unit: str) -> Drawing | None:
    """Published numbers of one response beside ours, or None where this study has none of the cells."""
    rows = [row for index, check in enumerate(checks) for row in _reference_rows(index, check)]
    if not any(row["who"] == "this study" for row in rows):
        return None
    labels = list(dict.fromkeys(row["label"] for row in rows))
    data = alt.Data(values=rows)
    y = alt.Y("label:N", sort=labels, title=None, axis=alt.Axis(labelColor=theme.INK, labelLimit=420))
    who = ["published", "this study"]
    colour = alt.Color("who:N", title=None, scale=alt.Scale(domain=who, range=[theme.CATEGORIES[1], theme.CATEGORIES[0]]))
    shape = alt.Shape("who:N", title=None, scale=alt.Scale(domain=who, range=["diamond", "circle"]))
    x = alt.X("value:Q", scale=alt.Scale(zero=False, padding=14), title=fmt.with_unit(fmt.name(response), unit))
    tooltip = [alt.Tooltip("label:N", title="cell"), alt.Tooltip("who:N", title="by"), alt.Tooltip("shown:N", title="value")]
    lines = alt.Chart(data).mark_rule(strokeWidth=2.2).encode(x="low:Q", x2="high:Q", y=y, color=colour)
    points = (
        alt.Chart(data)
        .mark_point(filled=True, size=85, opacity=1)
        .encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip)
    )
    chart = alt.layer(lines, points).properties(width=_WIDTH - 40, height=alt.Step(30))
    caption = (
        f"{fmt.capitalised(fmt.name(response))}: published numbers and this study's means with their intervals. "
        "A published number without a spread is drawn as a point."
    )
    return draw(key, chart.to_dict(), caption=caption, alt=caption)


def _reference_rows(index: int, check: ReferenceCheck) -> list[dict[str, Any]]:
    label = f"{fmt.cell(check.cell)} [{index + 1}]"
    rows: list[dict[str, Any]] = [
        {"label": label, "who": "published", "value": check.published, "shown": fmt.number(check.published)}
    ]
    if check.ours is not None and check.ours.mean is not None:
        interval = check.ours.interval
        places = fmt.decimals_for([fmt.half_width(interval)])
        rows.append(
            {
                "label": label,
                "who": "this study",
                "value": check.ours.mean,
                "low": None if interval is None else interval.low,
                "high": None if interval is None else interval.high,
                "shown": f"{fmt.number(check.ours.mean, places)} {fmt.interval_text(interval, places)}",
            }
        )
    return rows
