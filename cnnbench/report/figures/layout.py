"""Which factor goes where in a figure: on the x axis, into colour, into panels.

The choice depends on the design alone, so that the figures of all responses read alike, and a factor keeps its colours
throughout the report.
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import altair as alt

from cnnbench.report import format as fmt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.types import Factor, Level

AnyChart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.HConcatChart


@dataclass(frozen=True, slots=True)
class Layout:
    """The part that each factor plays in the figures of a study."""

    x: Factor | None
    colour: Factor | None
    column: Factor | None
    row: Factor | None
    held: Mapping[str, Level]
    """Factors for which no place is left, with the level that is drawn."""

    def shows(self, levels: Mapping[str, Level]) -> bool:
        """Whether a cell is drawn."""
        return all(levels.get(name, level) == level for name, level in self.held.items())

    @property
    def panels(self) -> tuple[Factor, ...]:
        """The factors that make panels: rows first."""
        return tuple(factor for factor in (self.row, self.column) if factor is not None)

    def held_sentence(self) -> str:
        """What is left out, in words; empty where nothing is."""
        if not self.held:
            return ""
        return f" Only the cells with {fmt.cell(self.held)} are drawn."


def arrange(factors: Sequence[Factor], of_interest: str | None = None) -> Layout:
    """Choose a part for every factor.

    An ordered factor goes on the x axis, the factor that the study asks about (``of_interest``; otherwise the last)
    into colour, the others into panels in the study's order. Factors with one level need no place.
    """
    left = [factor for factor in factors if len(factor.levels) > 1]
    if len(left) <= 1:
        return Layout(next(iter(left), None), None, None, None, {})
    candidates = [factor for factor in left if factor.order] or left
    others = [factor for factor in candidates if factor.name != of_interest] or candidates
    x = others[-1] if others[-1].order else others[0]
    left.remove(x)
    colour = next((factor for factor in left if factor.name == of_interest), left[-1])
    left.remove(colour)
    column = left.pop(0) if len(left) == 1 else left.pop(1) if left else None
    row = left.pop(0) if left else None
    return Layout(x, colour, column, row, {factor.name: factor.levels[0] for factor in left})


def panel_width(layout: Layout, alone: int) -> int:
    """The width of each panel in px, so that all of them fit on the page; ``alone`` where there is only one column."""
    if layout.column is None:
        return alone
    columns = len(layout.column.levels)
    room = 760 if layout.row is not None else 890
    return max(130, min(320, (room - 22 * (columns - 1)) // columns))


def level_axis(factor: Factor, width_px: float) -> alt.Axis:
    """An axis with a label at each level, slanted where level names are too long to stand side by side."""
    at = positions(factor)
    ticks = {fmt.level(level): place for level, place in at.items()}
    span = max(ticks.values()) - min(ticks.values()) + 1
    px_per_label = width_px / span
    slanted = any(6.6 * len(label) > px_per_label - 4 for label in ticks)
    angle = {"labelAngle": -35, "labelLimit": 150, "labelAlign": "right"} if slanted else {"labelLimit": 400}
    return alt.Axis.from_dict(
        {
            "values": list(ticks.values()),
            "labelExpr": label_expression(ticks),
            "grid": False,
            "labelOverlap": False,
            **angle,
        }
    )


def level_ends(factor: Factor | None) -> list[float]:
    """Both ends of an axis of levels."""
    at = positions(factor).values()
    return [min(at) - 0.5, max(at) + 0.5]


def positions(factor: Factor | None) -> dict[Level, float]:
    """Where each level stands on an axis of about unit steps: at its logarithm, at its value, or one after another."""
    if factor is None:
        return {}
    raw = [_position(factor, index) for index in range(len(factor.levels))]
    if len(raw) < 2:
        return dict.fromkeys(factor.levels, 0.0)
    # Ordered levels keep their proportions; the closest two are one step apart, so that dodged points do not mix.
    ordered = sorted(raw)
    step = min((b - a for a, b in itertools.pairwise(ordered) if b > a), default=1.0)
    return {level: (value - ordered[0]) / step for level, value in zip(factor.levels, raw, strict=True)}


def _position(factor: Factor, index: int) -> float:
    level = factor.levels[index]
    if factor.order is None or isinstance(level, str):
        return float(index)
    return math.log2(level) if factor.order == "log2" and level > 0 else float(level)


def label_expression(ticks: Mapping[str, float]) -> str:
    """A Vega expression that writes a label at each tick of an axis; ``ticks`` maps label to position."""
    table = {f"{value:.4f}": label for label, value in ticks.items()}
    return f"({json.dumps(table)})[format(datum.value, '.4f')]"


def step_sentence(factor: Factor | None) -> str:
    """How an ordered factor's axis is scaled; empty for others."""
    if factor is None or factor.order is None:
        return ""
    scale = "logarithmic" if factor.order == "log2" else "linear"
    return f" The axis of {fmt.name(factor.name)} is {scale}."


def ratio_ticks(low: float, high: float) -> list[float]:
    """Round tick values for a logarithmic axis of ratios from ``low`` to ``high``."""
    if high / low > 3:
        base = 2.0 if high / low < 300 else 10.0
        first, last = math.floor(math.log(low, base)), math.ceil(math.log(high, base))
        return [base**power for power in range(first, last + 1)]
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough)
    return [round(index * step, 12) for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def finite(value: float | None) -> float | None:
    """The value where it can be drawn."""
    return value if value is not None and math.isfinite(value) else None


def labels_by_position(labels: Sequence[str]) -> str:
    """A Vega expression for an axis whose values are the positions of ``labels``, which need not differ."""
    return f"({json.dumps(list(labels))})[datum.value]"


def inline(rows: Sequence[Mapping[str, Any]]) -> alt.InlineData:
    """Rows as a figure's own data."""
    return alt.InlineData(values=list(rows))


ROWS = alt.NamedData(name="rows")
"""Stands for the rows that `specification` puts in: altair would copy them at every step of building a chart."""


def specification(chart: AnyChart, **rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A chart as Vega-Lite, with the rows of each named data set."""
    # Drawing finds invalid specifications, too; checking each against the whole schema first takes longer than drawing.
    spec: dict[str, Any] = chart.to_dict(validate=False)
    return {**spec, "datasets": {**spec.get("datasets", {}), **{name: list(each) for name, each in rows.items()}}}
