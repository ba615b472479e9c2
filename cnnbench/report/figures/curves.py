"""Learning curves: a metric over the epochs of training, phase by phase."""

from __future__ import annotations

import math
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import altair as alt

from cnnbench.report import format as fmt
from cnnbench.report.figures import theme
from cnnbench.report.figures.cells import colour_and_shape, facetted
from cnnbench.report.figures.drawing import Drawing, draw
from cnnbench.report.figures.layout import ROWS, AnyChart, Layout, finite, inline, panel_width, specification

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.types import Curve

Phase = tuple[str, int]
"""Name of a phase, and how many epochs it has."""


def curve_layout(layout: Layout) -> Layout:
    """The same factors in the same colours; the factor of the x axis makes panels, since epochs take its place."""
    if layout.colour is None:
        return Layout(None, layout.x, None, None, layout.held)
    if layout.column is None:
        return Layout(None, layout.colour, layout.x, None, layout.held)
    if layout.row is None:
        return Layout(None, layout.colour, layout.x, layout.column, layout.held)
    held = {**layout.held, layout.row.name: layout.row.levels[0]}
    return Layout(None, layout.colour, layout.x, layout.column, held)


def phases(curve: Curve) -> tuple[Phase, ...]:
    """The phases of a curve's cell, in order."""
    found: list[tuple[str, int]] = []
    for name in curve.phase:
        if found and found[-1][0] == name:
            found[-1] = (name, found[-1][1] + 1)
        else:
            found.append((name, 1))
    return tuple(found)


def curves_figure(key: str, curves: Sequence[Curve], layout: Layout) -> Drawing | None:
    """One metric's curves with interval bands, from `curve_layout`'s parts; None where there is nothing to draw."""
    shown = [curve for curve in curves if layout.shows(curve.cell) and len(curve.epoch) > 0]
    rows = [row for curve in shown for row in _rows(curve, layout)]
    if not rows:
        return None
    schedules = {phases(curve) for curve in shown}
    common = schedules.pop() if len(schedules) == 1 else None
    common = common if common and len(common) > 1 else None
    cut = _cut_bands(rows)
    spec = specification(_chart(rows, shown[0], layout, common), rows=rows)
    caption = _caption(shown, layout, has_phases=common is not None, cut=cut)
    return draw(key, spec, caption=caption, alt=caption)


def _cut_bands(rows: list[dict[str, Any]]) -> bool:
    """Cut wide bands at half the means' range beyond the means, lest curves turn flat; say whether any was cut."""
    values = [row["value"] for row in rows]
    room = 0.5 * (max(values) - min(values)) or math.inf
    floor, ceiling = min(values) - room, max(values) + room
    cut = False
    for row in rows:
        low, high = row["low"], row["high"]
        if low is not None and high is not None and (low < floor or high > ceiling):
            row["low"], row["high"], cut = max(low, floor), min(high, ceiling), True
    return cut


def _rows(curve: Curve, layout: Layout) -> list[dict[str, Any]]:
    place: dict[str, Any] = {
        part: fmt.level(curve.cell[factor.name])
        for part, factor in (("colour", layout.colour), ("row", layout.row), ("column", layout.column))
        if factor is not None
    }
    place.setdefault("colour", "")
    place["cell"] = fmt.cell(curve.cell)
    points = zip(curve.epoch, curve.phase, curve.size_px, curve.mean, curve.low, curve.high, strict=True)
    return [
        {
            **place,
            "epoch": int(epoch) + 1,
            "phase": f"{phase}, {size_px} px",
            "value": float(mean),
            "low": finite(float(low)),
            "high": finite(float(high)),
            "shown": fmt.number(float(mean)),
            "n": curve.n,
        }
        for epoch, phase, size_px, mean, low, high in points
        if finite(float(mean)) is not None
    ]


def _chart(rows: list[dict[str, Any]], first: Curve, layout: Layout, common: tuple[Phase, ...] | None) -> AnyChart:
    last = max(row["epoch"] for row in rows)
    colour, shape = colour_and_shape(layout.colour)
    domain = [0.5, last + 0.5] if last < 30 else [0, last + 1]
    step = max(1, -(-last // 10))
    axis = alt.Axis(values=list(range(step, last + 1, step)), grid=False, format="d")
    x = alt.X("epoch:Q", scale=alt.Scale(domain=domain, nice=False), axis=axis, title="epoch")
    height = 280 if layout.column is None else 170
    # A title along the axis must not be longer than its panel, or those of two rows overlap.
    label = wrap(fmt.with_unit(fmt.capitalised(fmt.name(first.long_name)), first.unit), height // 7)
    y = alt.Y("value:Q", scale=alt.Scale(zero=False, padding=8), title=label, axis=alt.Axis(tickCount=5))
    base = alt.Chart().transform_filter("isValid(datum.value)").encode(x=x, color=colour)
    about = [alt.Tooltip(f"{name}:N") for name in ("cell", "epoch", "phase", "shown", "n")]
    band = alt.Chart().transform_filter("isValid(datum.low)").mark_area(opacity=0.16)
    layers: list[alt.Chart] = [
        band.encode(x=x, y=alt.Y("low:Q", title=label), y2="high:Q", color=colour),
        base.mark_line(strokeWidth=1.7).encode(y=y),
        base.mark_point(filled=True, size=26 if last < 30 else 6, opacity=1).encode(y=y, shape=shape, tooltip=about),
    ]
    width = panel_width(layout, 520)
    if common is not None:
        layers = [*_phase_marks(common, domain, width), *layers]
    layered = alt.layer(*layers, data=ROWS).properties(width=width, height=height)
    return facetted(layered, layout, headroom=8 if common is None else 20)


def _phase_marks(common: tuple[Phase, ...], domain: Sequence[float], width: int) -> list[alt.Chart]:
    """A line where a phase ends and the next begins, and the phases' names where they fit."""
    start = 0.5
    bounds: list[dict[str, Any]] = []
    names: list[dict[str, Any]] = []
    px_per_epoch = width / (domain[1] - domain[0])
    fits = all(len(name) * 6.2 + 6 < count * px_per_epoch for name, count in common)
    for index, (name, count) in enumerate(common):
        names.append({"at": start + count / 2, "label": name if fits else str(index + 1)})
        start += count
        bounds.append({"at": start})
    lines = alt.Chart(inline(bounds[:-1])).mark_rule(color=theme.FAINT, strokeWidth=1, strokeDash=[2, 3])
    labels = alt.Chart(inline(names)).mark_text(color=theme.MUTED, fontSize=10.5, baseline="bottom", dy=-4)
    return [lines.encode(x="at:Q"), labels.encode(x="at:Q", y=alt.value(0), text="label:N")]


def _caption(shown: Sequence[Curve], layout: Layout, *, has_phases: bool, cut: bool) -> str:
    n = sorted({curve.n for curve in shown})
    counts = f"n = {n[0]}" if len(n) == 1 else f"n = {n[0]} to {n[-1]}"
    band = "bands are pointwise 95\N{NO-BREAK SPACE}% intervals" if n[-1] > 1 else "one trial gives no interval"
    band += ", cut off where they leave the frame" if cut else ""
    marks = " Dotted lines part the phases of training, which the table of phases names in order." if has_phases else ""
    what = fmt.capitalised(fmt.name(shown[0].long_name))
    return f"{what} after each epoch: means over replicates ({counts}), {band}.{marks}{layout.held_sentence()}"
