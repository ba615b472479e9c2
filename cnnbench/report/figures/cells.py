"""Cell means with intervals and the single trials behind them; marginal means."""

from __future__ import annotations

import math
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import altair as alt

from cnnbench.report import format as fmt
from cnnbench.report.figures import theme
from cnnbench.report.figures.drawing import Drawing, draw
from cnnbench.report.figures.layout import (
    ROWS,
    AnyChart,
    finite,
    labels_by_position,
    level_axis,
    level_ends,
    panel_width,
    positions,
    specification,
    step_sentence,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.report.figures.layout import Layout
    from cnnbench.types import Cell, Factor, Level, ResponseFindings

MOST_CELLS = 60
"""A listing of more cells than this is left to the table."""

_MOST_PATHS = 24
"""More replicates than this in a panel are not joined by lines: they would hide the means."""


def cells_figure(
    key: str, found: ResponseFindings, trials: Sequence[Mapping[str, Any]], layout: Layout
) -> Drawing | None:
    """An interaction plot, or a listing of cells where the design is no grid; None where nothing was observed.

    ``trials`` are the rows of the trials table.
    """
    cells = [cell for cell in found.cells if finite(cell.mean) is not None and layout.shows(cell.levels)]
    if not cells:
        return None
    grid = math.prod(len(factor.levels) for factor in (layout.x, layout.colour, *layout.panels) if factor is not None)
    if layout.x is None or len(cells) < grid / 2:
        return _listing(key, found, cells[:MOST_CELLS], trials)
    rows = _mean_rows(cells, layout) + _trial_rows(found, trials, layout)
    spec = specification(_interaction(found, layout), rows=rows)
    caption = _caption(found, cells, layout)
    return draw(key, spec, caption=caption, alt=caption)


def _x_positions(layout: Layout) -> dict[tuple[Level, Level | None], float]:
    """The place of each combination of x level and colour level: colours stand side by side within a step."""
    colour_levels: tuple[Level | None, ...] = layout.colour.levels if layout.colour is not None else (None,)
    gap = min(0.13, 0.5 / len(colour_levels))
    return {
        (level, colour): place + gap * (index - (len(colour_levels) - 1) / 2)
        for level, place in positions(layout.x).items()
        for index, colour in enumerate(colour_levels)
    }


def _place(levels: Mapping[str, Any], layout: Layout, at: Mapping[tuple[Level, Level | None], float]) -> dict[str, Any]:
    """Where a cell or a trial goes: x, colour and panel."""
    colour = layout.colour
    x_level = levels[layout.x.name] if layout.x is not None else None
    place: dict[str, Any] = {
        "x": at[x_level, levels[colour.name] if colour is not None else None],  # type: ignore[index] # x is set here
        "colour": fmt.level(levels[colour.name]) if colour is not None else "",
        "cell": fmt.cell(levels),
    }
    for part, factor in (("row", layout.row), ("column", layout.column)):
        if factor is not None:
            place[part] = fmt.level(levels[factor.name])
    return place


def _mean_rows(cells: Sequence[Cell], layout: Layout) -> list[dict[str, Any]]:
    at = _x_positions(layout)
    return [{"kind": "mean", **_place(cell.levels, layout, at), **_summary(cell)} for cell in cells]


def _summary(cell: Cell) -> dict[str, Any]:
    places = fmt.decimals_for([fmt.half_width(cell.interval)])
    return {
        "value": cell.mean,
        "low": None if cell.interval is None else finite(cell.interval.low),
        "high": None if cell.interval is None else finite(cell.interval.high),
        "shown": fmt.number(cell.mean, places),
        "interval": fmt.interval_text(cell.interval, places),
        "n": cell.n,
    }


def _trial_rows(found: ResponseFindings, trials: Sequence[Mapping[str, Any]], layout: Layout) -> list[dict[str, Any]]:
    """One row for each trial with a value; its dot is moved aside a little by its replicate, so that none hides."""
    at = _x_positions(layout)
    factors = [factor.name for factor in found.audit.factors]
    spread = 0.09 / max(found.audit.replicates - 1, 1)
    rows = []
    for trial in trials:
        value = finite(trial.get(found.response))
        levels = {name: trial[name] for name in factors if name in trial}
        if value is None or not layout.shows(levels):
            continue
        place = _place(levels, layout, at)
        replicate = int(trial.get("replicate", 0))
        place["x"] += spread * (replicate - (found.audit.replicates - 1) / 2)
        shown = {
            "value": value,
            "shown": fmt.number(value),
            "replicate": replicate,
            "trial": str(trial.get("id", ""))[:12],
        }
        rows.append({"kind": "trial", **place, **shown})
    return rows


def _interaction(found: ResponseFindings, layout: Layout) -> AnyChart:
    x, y, colour, shape = _encodings(found, layout)
    base = alt.Chart().encode(x=x, color=colour)
    trials = base.transform_filter("datum.kind == 'trial'")
    means = base.transform_filter("datum.kind == 'mean'")
    about_trial = [alt.Tooltip(f"{name}:N") for name in ("cell", "replicate", "shown", "trial")]
    about_mean = [alt.Tooltip(f"{name}:N") for name in ("cell", "shown", "interval", "n")]
    layers = [
        trials.mark_point(filled=True, size=16, opacity=0.38).encode(y=y, tooltip=about_trial),
        means.mark_line(strokeWidth=1.8, opacity=0.9).encode(y=y),
        means.transform_filter("isValid(datum.low) && isValid(datum.high)")
        .mark_rule(strokeWidth=1.8)
        .encode(y=alt.Y("low:Q"), y2="high:Q"),
        means.mark_point(filled=True, size=64, opacity=1).encode(y=y, shape=shape, tooltip=about_mean),
    ]
    if _joins_replicates(found, layout):
        paths = trials.mark_line(strokeWidth=0.7, opacity=0.28).encode(y=y, detail="replicate:N")
        layers.insert(0, paths)
    size = {"width": panel_width(layout, 420), "height": _height(layout)}
    layered = alt.layer(*layers, data=ROWS).properties(**size)
    return facetted(layered, layout)


def _height(layout: Layout) -> int:
    """Of a panel, px."""
    return 300 - 60 * len(layout.panels)


def _encodings(found: ResponseFindings, layout: Layout) -> tuple[alt.X, alt.Y, alt.Color, alt.Shape]:
    assert layout.x is not None  # noqa: S101 - the caller draws a listing otherwise
    axis = level_axis(layout.x, panel_width(layout, 420))
    scale = alt.Scale(domain=level_ends(layout.x), nice=False, zero=False)
    x = alt.X("x:Q", scale=scale, axis=axis, title=fmt.name(layout.x.name))
    label = wrap(fmt.with_unit(fmt.capitalised(fmt.name(found.response)), found.unit), _height(layout) // 7)
    y = alt.Y("value:Q", scale=alt.Scale(zero=False, padding=8), title=label, axis=alt.Axis(tickCount=5))
    return x, y, *colour_and_shape(layout.colour)


def colour_and_shape(factor: Factor | None) -> tuple[alt.Color, alt.Shape]:
    """Colour and shape by level of ``factor`` in the study's order, with one legend for both."""
    levels = [fmt.level(level) for level in factor.levels] if factor is not None else [""]
    hues = theme.colours(len(levels), ordered=factor is not None and factor.order is not None)
    legend = alt.Legend(title=fmt.name(factor.name)) if factor is not None else None
    return (
        alt.Color("colour:N", scale=alt.Scale(domain=levels, range=hues), legend=legend),
        alt.Shape("colour:N", scale=alt.Scale(domain=levels, range=theme.shapes(len(levels))), legend=legend),
    )


def facetted(layered: AnyChart, layout: Layout, *, headroom: float = 8) -> AnyChart:
    """Panels for the factors without another place, in the study's order; ``headroom`` px between title and panel."""
    parts: dict[str, Any] = {}
    if layout.row is not None:
        header = alt.Header(title=fmt.name(layout.row.name), orient="right", labelLimit=150)
        parts["row"] = alt.Row("row:N", sort=[fmt.level(level) for level in layout.row.levels], header=header)
    if layout.column is not None:
        header = alt.Header(title=fmt.name(layout.column.name), labelPadding=headroom)
        order = [fmt.level(level) for level in layout.column.levels]
        parts["column"] = alt.Column("column:N", sort=order, header=header)
    return layered.facet(**parts) if parts else layered


def _joins_replicates(found: ResponseFindings, layout: Layout) -> bool:
    colours = len(layout.colour.levels) if layout.colour is not None else 1
    return found.audit.paired and 1 < found.audit.replicates * colours <= _MOST_PATHS


def _caption(found: ResponseFindings, cells: Sequence[Cell], layout: Layout) -> str:
    bars = _bars_sentence(cells)
    n = sorted({cell.n for cell in cells})
    counts = f"n = {n[0]}" if len(n) == 1 else f"n = {n[0]} to {n[-1]}"
    joined = " Thin lines join trials with the same seeds." if _joins_replicates(found, layout) else ""
    return (
        f"{fmt.capitalised(fmt.name(found.response))} by cell. Large marks are means ({counts}), {bars}; small dots "
        f"are single trials.{joined}{step_sentence(layout.x)}{layout.held_sentence()}"
    )


def _bars_sentence(cells: Sequence[Cell]) -> str:
    level = next((cell.interval.level for cell in cells if cell.interval is not None), None)
    return "one trial gives no interval" if level is None else f"bars their {fmt.percent(level)} intervals"


def _listing(key: str, found: ResponseFindings, cells: Sequence[Cell], trials: Sequence[Mapping[str, Any]]) -> Drawing:
    """One line for each cell, for designs that are no grid."""
    at = {fmt.cell(cell.levels): position for position, cell in enumerate(cells)}
    rows: list[dict[str, Any]] = [
        {"kind": "mean", "position": position, "cell": fmt.cell(cell.levels), **_summary(cell)}
        for position, cell in enumerate(cells)
    ]
    factors = [factor.name for factor in found.audit.factors]
    for trial in trials:
        value = finite(trial.get(found.response))
        label = fmt.cell({name: trial[name] for name in factors if name in trial})
        if value is not None and label in at:
            rows.append(
                {"kind": "trial", "position": at[label], "cell": label, "value": value, "shown": fmt.number(value)}
            )
    label = fmt.with_unit(fmt.capitalised(fmt.name(found.response)), found.unit)
    spec = specification(_listing_chart(list(at), label), rows=rows)
    caption = (
        f"{fmt.capitalised(fmt.name(found.response))} by cell. Large marks are means, {_bars_sentence(cells)}; small "
        f"dots are single trials."
    )
    if len(cells) == MOST_CELLS:
        caption += f" The first {MOST_CELLS} cells are drawn; the table holds all."
    return draw(key, spec, caption=caption, alt=caption)


def _listing_chart(labels: Sequence[str], title: str) -> AnyChart:
    axis = alt.Axis(labelExpr=labels_by_position(labels), labelColor=theme.INK, labelLimit=360, grid=True)
    base = alt.Chart().encode(y=alt.Y("position:O", title=None, axis=axis))
    x = alt.X("value:Q", title=title, scale=alt.Scale(zero=False, padding=14), axis=alt.Axis(grid=False, tickCount=6))
    means = base.transform_filter("datum.kind == 'mean'")
    about = [alt.Tooltip(f"{name}:N") for name in ("cell", "shown", "interval", "n")]
    layers = (
        base.transform_filter("datum.kind == 'trial'")
        .mark_point(filled=True, size=18, opacity=0.4, color=theme.CATEGORIES[0])
        .encode(x=x, tooltip=[alt.Tooltip("cell:N"), alt.Tooltip("shown:N")]),
        means.transform_filter("isValid(datum.low) && isValid(datum.high)")
        .mark_rule(strokeWidth=2, color=theme.CATEGORIES[0])
        .encode(x=alt.X("low:Q"), x2="high:Q"),
        means.mark_point(filled=True, size=70, opacity=1, color=theme.CATEGORIES[0]).encode(x=x, tooltip=about),
    )
    return alt.layer(*layers, data=ROWS).properties(width=460, height=alt.Step(26))


def marginals_figure(key: str, found: ResponseFindings) -> Drawing | None:
    """Marginal means of every factor, side by side on one axis; None with fewer than two factors."""
    factors = [
        (factor, cells)
        for factor in found.audit.factors
        if len(cells := [c for c in found.marginals if set(c.levels) == {factor.name} and finite(c.mean) is not None])
        > 1
    ]
    if len(factors) < 2:
        return None
    label = fmt.with_unit(fmt.capitalised(fmt.name(found.response)), found.unit)
    panels = [_marginal_panel(factor, label if index == 0 else None) for index, (factor, _) in enumerate(factors)]
    chart = alt.hconcat(*panels, spacing=26).resolve_scale(y="shared")
    spec = specification(chart, **{factor.name: _marginal_rows(factor, cells) for factor, cells in factors})
    caption = (
        f"Marginal means of {fmt.name(found.response)}: each factor on its own, unweighted over the cells of all "
        f"others, {_bars_sentence([cell for _, cells in factors for cell in cells])}."
    )
    return draw(key, spec, caption=caption, alt=caption)


def _marginal_rows(factor: Factor, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    at = positions(factor)
    return [{"x": at[cell.levels[factor.name]], "cell": fmt.cell(cell.levels), **_summary(cell)} for cell in cells]


def _marginal_panel(factor: Factor, y_title: str | None) -> AnyChart:
    width = max(110, min(240, 70 * len(factor.levels)))
    scale = alt.Scale(domain=level_ends(factor), nice=False)
    x = alt.X("x:Q", scale=scale, axis=level_axis(factor, width), title=fmt.name(factor.name))
    y_axis = alt.Axis(tickCount=5) if y_title else alt.Axis(tickCount=5, labels=False)
    y = alt.Y("value:Q", scale=alt.Scale(zero=False, padding=8), title=y_title, axis=y_axis)
    base = alt.Chart().encode(x=x)
    about = [alt.Tooltip(f"{name}:N") for name in ("cell", "shown", "interval", "n")]
    hue = theme.CATEGORIES[0]
    layers = [
        base.transform_filter("isValid(datum.low) && isValid(datum.high)")
        .mark_rule(strokeWidth=1.8, color=hue)
        .encode(y=alt.Y("low:Q", title=y_title), y2="high:Q"),
        base.mark_point(filled=True, size=64, opacity=1, color=hue).encode(y=y, tooltip=about),
    ]
    if factor.order is not None:
        layers.insert(0, base.mark_line(strokeWidth=1.4, opacity=0.7, color=hue).encode(y=y))
    return alt.layer(*layers, data=alt.NamedData(name=factor.name)).properties(width=width, height=210)
