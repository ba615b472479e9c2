"""Forest plots: estimates with their intervals, against no effect; and published numbers beside ours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import altair as alt

from cnnbench.report import format as fmt
from cnnbench.report.figures import theme
from cnnbench.report.figures.drawing import Drawing, draw
from cnnbench.report.figures.layout import AnyChart, finite, inline, labels_by_position, ratio_ticks, specification

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.types import Effect, ReferenceCheck, ResponseFindings

MOST_ROWS = 40
"""More rows than this are left to the table."""

_WIDTH = 560
_VERDICTS = ("different", "equivalent", "undetermined", "no verdict")
_VERDICT_COLOURS = (theme.CATEGORIES[0], theme.CATEGORIES[2], theme.MUTED, theme.INK)


def effects_figure(
    key: str, found: ResponseFindings, effects: Sequence[Effect], *, margin: float | None
) -> Drawing | None:
    """A forest plot of ``effects`` in the given order, or None where none has an interval.

    Omnibus interactions have a size but no direction and no interval; they are left to the table.
    ``margin`` is the smallest effect of interest on the analysis scale; the band within it is shaded.
    """
    shown = [effect for effect in effects if effect.interval is not None and math.isfinite(effect.estimate)][:MOST_ROWS]
    if not shown:
        return None
    ratios = found.scale == "log"
    title = _axis_title(found)
    rows = [_row(effect, position, ratios=ratios) for position, effect in enumerate(shown)]
    chart = _forest(rows, title=title, ratios=ratios, margin=margin)
    return draw(key, specification(chart), caption=_caption(effects, shown, found, margin), alt=_alt(title, rows))


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
        "low": None if interval is None else finite(interval.low),
        "high": None if interval is None else finite(interval.high),
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


def _forest(rows: list[dict[str, Any]], *, title: str, ratios: bool, margin: float | None) -> AnyChart:
    data = inline(rows)
    x, y = _value_axis(rows, title=title, ratios=ratios, margin=margin), _label_axis(rows)
    present = [verdict for verdict in _VERDICTS if any(row["verdict"] == verdict for row in rows)]
    hues = [_VERDICT_COLOURS[_VERDICTS.index(verdict)] for verdict in present]
    legend = None if present == ["no verdict"] else alt.Legend(title="verdict")
    colour = alt.Color("verdict:N", scale=alt.Scale(domain=present, range=hues), legend=legend)
    shape = alt.Shape("verdict:N", scale=alt.Scale(domain=present, range=theme.shapes(len(present))), legend=legend)
    tooltip = [alt.Tooltip(f"{name}:N", title=name) for name in ("label", "estimate", "interval", "p", "n", "verdict")]
    points = alt.Chart(data).mark_point(filled=True, opacity=1)
    size = alt.Size("size:Q", scale=None, legend=None)
    layers = [
        _reference_line(1.0 if ratios else 0.0),
        _bars(data).encode(y=y, color=colour),
        points.encode(x=x, y=y, color=colour, shape=shape, size=size, tooltip=tooltip),
    ]
    if margin is not None:
        layers.insert(0, _band(*((math.exp(-margin), math.exp(margin)) if ratios else (-margin, margin))))
    return alt.layer(*layers).properties(width=_WIDTH, height=alt.Step(30))


def _value_axis(rows: list[dict[str, Any]], *, title: str, ratios: bool, margin: float | None) -> alt.X:
    if not ratios:
        return alt.X("value:Q", scale=alt.Scale(zero=True, padding=12), title=title, axis=alt.Axis(tickCount=6))
    ends = [1.0, *(row[end] for row in rows for end in ("value", "low", "high") if row[end])]
    ends += [math.exp(margin), math.exp(-margin)] if margin is not None else []
    padding = 0.06 * math.log(max(ends) / min(ends)) or 0.1
    low, high = min(ends) * math.exp(-padding), max(ends) * math.exp(padding)
    axis = alt.Axis(values=ratio_ticks(low, high), format="~g")
    return alt.X("value:Q", scale=alt.Scale(type="log", nice=False, domain=[low, high]), title=title, axis=axis)


def _label_axis(rows: list[dict[str, Any]]) -> alt.Y:
    expression = labels_by_position([row["label"] for row in rows])
    axis = alt.Axis(labelExpr=expression, labelColor=theme.INK, labelFontSize=12.5, labelLimit=340)
    return alt.Y("position:O", title=None, axis=axis)


def _bars(data: alt.InlineData) -> alt.Chart:
    known = alt.Chart(data).transform_filter("isValid(datum.low) && isValid(datum.high)")
    bars: alt.Chart = known.mark_rule(strokeWidth=2.2)
    return bars.encode(x=alt.X("low:Q"), x2="high:Q")


def _reference_line(value: float) -> alt.Chart:
    line: alt.Chart = alt.Chart(inline([{"value": value}])).mark_rule(
        color=theme.INK, strokeWidth=1.2, strokeDash=[4, 3]
    )
    return line.encode(x="value:Q")


def _band(low: float, high: float) -> alt.Chart:
    band: alt.Chart = alt.Chart(inline([{"low": low, "high": high}])).mark_rect(color=theme.BAND)
    return band.encode(x=alt.X("low:Q"), x2="high:Q")


def _caption(effects: Sequence[Effect], shown: Sequence[Effect], found: ResponseFindings, margin: float | None) -> str:
    ratios = found.scale == "log"
    level = next(effect.interval.level for effect in shown if effect.interval is not None)
    bars = f"bars {fmt.percent(level)} intervals"
    nothing = "ratio 1" if ratios else "0"
    parts = [f"{_axis_title(found)}. Points are estimates, {bars}; the dashed line is no effect ({nothing})."]
    if any(effect.role == "primary" for effect in shown):
        parts.append("The larger point is the primary hypothesis.")
    if margin is not None:
        limit = f"{math.exp(margin) if ratios else margin:.4g}"
        scope = f"ratios within a factor of {limit}" if ratios else f"differences within ±{limit}"
        parts.append(f"The shaded band holds {scope}, declared too small to matter.")
    if len(shown) < len(effects):
        parts.append(f"{len(shown)} of {len(effects)} are drawn; the table holds all.")
    return " ".join(parts)


def _alt(title: str, rows: Sequence[dict[str, Any]]) -> str:
    return f"{title}: " + "; ".join(f"{row['label']} {row['estimate']} {row['interval']}" for row in rows) + "."


def references_figure(key: str, response: str, checks: Sequence[ReferenceCheck], unit: str) -> Drawing | None:
    """Published numbers of one response beside ours, or None where this study has none of the cells."""
    rows = [row for index, check in enumerate(checks) for row in _reference_rows(index, check)]
    if not any(row["who"] == "this study" for row in rows):
        return None
    data = inline(rows)
    y = _label_axis([row for row in rows if row["who"] == "published"])
    who = ["published", "this study"]
    hues, marks = [theme.CATEGORIES[1], theme.CATEGORIES[0]], ["diamond", "circle"]
    colour = alt.Color("who:N", title=None, scale=alt.Scale(domain=who, range=hues))
    shape = alt.Shape("who:N", title=None, scale=alt.Scale(domain=who, range=marks))
    label = fmt.capitalised(fmt.with_unit(fmt.name(response), unit))
    x = alt.X("value:Q", scale=alt.Scale(zero=False, padding=14), title=label, axis=alt.Axis(tickCount=6))
    tooltip = [alt.Tooltip(f"{name}:N", title=name) for name in ("cell", "who", "shown")]
    points = alt.Chart(data).mark_point(filled=True, size=85, opacity=1)
    chart = alt.layer(
        _bars(data).encode(y=y, color=colour), points.encode(x=x, y=y, color=colour, shape=shape, tooltip=tooltip)
    ).properties(width=_WIDTH - 40, height=alt.Step(30))
    caption = (
        f"{fmt.capitalised(fmt.name(response))}: published numbers and this study's means with their intervals. "
        "A published number without a spread is drawn as a point."
    )
    return draw(key, specification(chart), caption=caption, alt=caption)


def _reference_rows(position: int, check: ReferenceCheck) -> list[dict[str, Any]]:
    cell = fmt.cell(check.cell)
    published = fmt.level(check.published)
    row: dict[str, Any] = {"label": cell, "cell": cell, "position": position}
    rows = [{**row, "who": "published", "value": check.published, "shown": published}]
    if check.ours is not None and check.ours.mean is not None:
        interval = check.ours.interval
        places = fmt.decimals_for([fmt.half_width(interval)])
        shown = f"{fmt.number(check.ours.mean, places)} {fmt.interval_text(interval, places)}"
        low, high = (None, None) if interval is None else (finite(interval.low), finite(interval.high))
        rows.append({**row, "who": "this study", "value": check.ours.mean, "low": low, "high": high, "shown": shown})
    return rows
