"""Residuals as three pictures: against normal quantiles, against what was fitted, and the spread of every cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from cnnbench.report import format as fmt
from cnnbench.report.figures import theme
from cnnbench.report.figures.drawing import Drawing, draw
from cnnbench.report.figures.layout import AnyChart, inline, specification

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.types import Cell, ResponseFindings

_SIDE = 210


def _points(rows: Sequence[Mapping[str, Any]], colour: str = theme.CATEGORIES[0]) -> alt.Chart:
    points: alt.Chart = alt.Chart(inline(rows)).mark_point(filled=True, opacity=0.6, color=colour, size=26)
    return points


def diagnostics_figure(key: str, found: ResponseFindings) -> Drawing | None:
    """Draw the residuals of the analysis scale and the SD of every cell, or None where there are no residuals."""
    residuals = found.residuals
    if residuals is None:
        return None
    rows = [
        {"fitted": fitted, "residual": residual, "quantile": quantile}
        for fitted, residual, quantile in zip(residuals.fitted, residuals.residual, residuals.quantile, strict=True)
    ]
    scale = {"raw": "", "log": " (log)", "logit": " (log odds)"}[found.scale]
    panels: list[AnyChart] = [_quantiles(rows, scale), _fitted(rows, scale)]
    spread = _spread(found.cells, fmt.with_unit("", found.unit).strip())
    panels += [spread] if spread is not None else []
    shown = "" if len(rows) == residuals.num else f" ({len(rows)} of them drawn, the extremes among them)"
    caption = (
        f"Residuals of {fmt.name(found.response)}{scale}, {residuals.num} in all{shown}: against the quantiles of a "
        "normal distribution (on the line where they follow it), against the fitted values, and the SD of each cell "
        "against its mean. A description: no test was chosen by it."
    )
    alternative = "Normal quantile plot, residuals against fitted values, and cell SDs against cell means."
    return draw(key, specification(alt.hconcat(*panels)), caption=caption, alt=alternative)


def _quantiles(rows: Sequence[dict[str, float]], scale: str) -> AnyChart:
    # Through the quartiles, as quantile plots draw it: the tails shall not pull the line.
    low, high = rows[len(rows) // 4], rows[(3 * len(rows)) // 4]
    gap = high["quantile"] - low["quantile"]
    slope = (high["residual"] - low["residual"]) / gap if gap else 0.0
    ends = [rows[0]["quantile"], rows[-1]["quantile"]]
    line = inline([{"quantile": q, "residual": low["residual"] + slope * (q - low["quantile"])} for q in ends])
    x = alt.X("quantile:Q", title="Normal quantile", axis=alt.Axis(tickCount=5))
    y = alt.Y("residual:Q", title=f"Residual{scale}", axis=alt.Axis(tickCount=5))
    return alt.layer(
        alt.Chart(line).mark_line(color=theme.FAINT, strokeWidth=1.2).encode(x=x, y=y),
        _points(rows).encode(x=x, y=y),
    ).properties(width=_SIDE, height=_SIDE)


def _fitted(rows: Sequence[dict[str, float]], scale: str) -> AnyChart:
    x = alt.X("fitted:Q", title=f"Fitted{scale}", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
    y = alt.Y("residual:Q", title=None, axis=alt.Axis(tickCount=5))
    zero = alt.Chart(inline([{"residual": 0.0}])).mark_rule(color=theme.FAINT, strokeWidth=1.2).encode(y=y)
    return alt.layer(zero, _points(rows).encode(x=x, y=y)).properties(width=_SIDE, height=_SIDE)


def _spread(cells: Sequence[Cell], unit: str) -> AnyChart | None:
    rows = [
        {"mean": cell.mean, "sd": cell.sd, "cell": fmt.cell(cell.levels), "n": cell.n}
        for cell in cells
        if cell.mean is not None and cell.sd is not None
    ]
    if len(rows) < 2:
        return None
    x = alt.X(
        "mean:Q", title=f"Mean of the cell {unit}".strip(), scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5)
    )
    y = alt.Y("sd:Q", title=f"SD of the cell {unit}".strip(), axis=alt.Axis(tickCount=5))
    tooltip = [alt.Tooltip(f"{name}:N") for name in ("cell", "n")]
    return _points(rows, theme.CATEGORIES[1]).encode(x=x, y=y, tooltip=tooltip).properties(width=_SIDE, height=_SIDE)
