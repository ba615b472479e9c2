"""The curve of power over seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import altair as alt

from cnnbench.report import format as fmt
from cnnbench.report.figures import theme
from cnnbench.report.figures.drawing import Drawing, draw
from cnnbench.report.figures.layout import ROWS, inline, specification

if TYPE_CHECKING:
    from cnnbench.types import SeedPlan


def power_figure(plan: SeedPlan) -> Drawing:
    """Power to detect the effect, and to show equivalence, over the seeds per cell, for both kinds of seeds."""
    rows = [
        {"seeds": point.seeds, "power": power, "goal": goal, "pairing": f"{design.pairing} seeds"}
        for design in plan.designs
        for point in design.curve
        for goal, power in (("detect", point.power), ("equivalence", point.equivalence))
        if power is not None
    ]
    caption = _caption(plan)
    layers = [*_marks(plan), _lines(plan, rows)]
    chart = alt.layer(*layers, data=ROWS).properties(width=560, height=300)
    return draw("power", specification(chart, rows=rows), caption=caption, alt=caption)


def _lines(plan: SeedPlan, rows: list[dict[str, Any]]) -> alt.Chart:
    last = max(row["seeds"] for row in rows)
    scale = alt.Scale(type="log", domain=[2, last], nice=False) if last > 60 else alt.Scale(domain=[0, last])
    pairings = [f"{design.pairing} seeds" for design in plan.designs]
    colour = alt.Color("pairing:N", scale=alt.Scale(domain=pairings, range=list(theme.CATEGORIES[:2])), title=None)
    dash = alt.StrokeDash(
        "goal:N",
        scale=alt.Scale(domain=["detect", "equivalence"], range=[[1, 0], [5, 3]]),
        title=None,
        legend=alt.Legend() if plan.margin is not None else None,
    )
    percent = alt.Axis(format=".0%", tickCount=6)
    y = alt.Y("power:Q", scale=alt.Scale(domain=[0, 1]), axis=percent, title="power")
    x = alt.X("seeds:Q", scale=scale, axis=alt.Axis(format="d", grid=False), title="seeds per cell")
    lines: alt.Chart = alt.Chart().mark_line(strokeWidth=1.8).encode(x=x, y=y, color=colour, strokeDash=dash)
    return lines


def _marks(plan: SeedPlan) -> list[alt.Chart]:
    """The power asked for, and the planned seeds."""
    wanted = _rule([{"power": plan.power}]).encode(y="power:Q")
    if plan.replicates < 2:
        return [wanted]
    planned = [{"seeds": plan.replicates, "label": f"planned: {plan.replicates}"}]
    name = alt.Chart(inline(planned)).mark_text(color=theme.MUTED, fontSize=10.5, align="left", dx=4, dy=-6)
    return [
        wanted,
        _rule(planned).encode(x="seeds:Q"),
        name.encode(x="seeds:Q", y=alt.value(0), text="label:N"),
    ]


def _rule(rows: list[dict[str, Any]]) -> alt.Chart:
    chart: alt.Chart = alt.Chart(inline(rows)).mark_rule(color=theme.FAINT, strokeWidth=1, strokeDash=[2, 3])
    return chart


def _caption(plan: SeedPlan) -> str:
    whose = "an assumed SD" if plan.noise.pilot is None else "the noise of a pilot"
    goals = "" if plan.margin is None else "; dashed, to show equivalence within the margin if there is no effect"
    return (
        f"Power to detect an effect of {fmt.number(plan.effect)} ({plan.scale} scale) on {fmt.name(plan.response)} "
        f"over the seeds per cell, for {whose}{goals}. The dotted lines are the power asked for and the planned seeds."
    )
