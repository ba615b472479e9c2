"""The critical-difference diagram: mean ranks on a line, and bars over those that no test tells apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import altair as alt

from cnnbench.report import format as fmt
from cnnbench.report.figures import theme
from cnnbench.report.figures.drawing import Drawing, draw
from cnnbench.report.figures.layout import AnyChart, inline, specification

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.types import LevelRank, RankComparison, ResponseFindings

Align = Literal["center", "left", "right"]
MOST_LEVELS = 30
"""More levels than this are left to the table."""

_AXIS_WIDTH = 360
_MOST_CHARACTERS, _CHARACTER_WIDTH = 30, 6.1
_DIFFERENCE_Y, _AXIS_Y, _BARS_Y, _BAR_STEP, _LABEL_STEP = 16, 66, 80, 11, 23


def ranks_figure(key: str, found: ResponseFindings) -> Drawing | None:
    """A critical-difference diagram (Demsar 2006) of the response's ranks, or None where it has none."""
    ranks = found.ranks
    if ranks is None or len(ranks.mean_ranks) > MOST_LEVELS:
        return None
    best = sorted(ranks.mean_ranks, key=lambda each: each.mean_rank)
    direction = "highest" if ranks.higher_is_better else "lowest"
    limit = fmt.number(ranks.critical_difference, 2)
    caption = (
        f"Mean ranks of {fmt.name(ranks.factor)} over {ranks.num_blocks} {ranks.blocks}; rank 1 is the {direction} "
        f"{fmt.name(found.response)}. "
        + (
            f"A bar joins levels whose mean ranks differ by less than the critical difference, {limit} "
            if ranks.groups
            else f"All mean ranks differ by at least the critical difference, {limit} "
        )
        + f"(Nemenyi, {fmt.percent(ranks.level)})."
    )
    alt_text = f"{caption} " + ", ".join(f"{fmt.level(e.level)} {fmt.number(e.mean_rank, 2)}" for e in best) + "."
    return draw(key, specification(_diagram(ranks, best)), caption=caption, alt=alt_text)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Places in px, x to the right and y downwards."""

    num_levels: int
    side: float
    """Room for labels on either side of the axis."""
    height: float

    @property
    def width(self) -> float:
        return _AXIS_WIDTH + 2 * self.side

    def x(self, rank: float) -> float:
        return self.side + (rank - 1) / (self.num_levels - 1) * _AXIS_WIDTH

    def place(self, chart: alt.Chart) -> alt.Chart:
        x = alt.X("x:Q", scale=alt.Scale(domain=[0, self.width], nice=False), axis=None)
        y = alt.Y("y:Q", scale=alt.Scale(domain=[self.height, 0], nice=False), axis=None)
        return chart.encode(x=x, y=y)


def _label(each: LevelRank) -> str:
    name = fmt.level(each.level)
    name = name if len(name) <= _MOST_CHARACTERS else name[: _MOST_CHARACTERS - 1] + "…"
    return f"{name} ({fmt.number(each.mean_rank, 2)})"


def _diagram(ranks: RankComparison, best: Sequence[LevelRank]) -> AnyChart:
    longest = max(len(_label(each)) for each in best)
    first_label_y = _BARS_Y + _BAR_STEP * len(ranks.groups) + 14
    rows = math.ceil(len(best) / 2)
    side = max(150.0, 26 + _CHARACTER_WIDTH * longest)
    frame = _Frame(len(best), side, first_label_y + _LABEL_STEP * (rows - 1) + 12)
    at = {each.level: frame.x(each.mean_rank) for each in best}
    lines = [*_axis_lines(frame), *_difference_lines(ranks, frame)]
    texts = [*_axis_texts(frame), _difference_text(ranks, frame)]
    for position, each in enumerate(best):
        left = position < rows
        y = first_label_y + _LABEL_STEP * (position if left else len(best) - 1 - position)
        end = side - 12 if left else frame.width - side + 12
        lines += [_line(at[each.level], _AXIS_Y, at[each.level], y), _line(at[each.level], y, end, y)]
        align = "right" if left else "left"
        texts.append({"x": end + (-6 if left else 6), "y": y, "text": _label(each), "align": align})
    bars = [
        _line(at[group[0]] - 4, _BARS_Y + _BAR_STEP * i, at[group[-1]] + 4, _BARS_Y + _BAR_STEP * i)
        for i, group in enumerate(ranks.groups)
    ]
    points = [{"x": at[each.level], "y": _AXIS_Y} for each in best]
    layers = [
        _rules(lines, frame, theme.MUTED, 1.2),
        *([_rules(bars, frame, theme.CATEGORIES[0], 4.5)] if bars else []),
        frame.place(alt.Chart(inline(points)).mark_circle(size=46, opacity=1, color=theme.INK)),
        *(_labels([text for text in texts if text["align"] == align], align, frame) for align in _aligns(texts)),
    ]
    return alt.layer(*layers).properties(width=frame.width, height=frame.height)


def _aligns(texts: Sequence[dict[str, Any]]) -> list[Align]:
    return [align for align in get_args(Align) if any(text["align"] == align for text in texts)]


def _line(x: float, y: float, x2: float, y2: float) -> dict[str, float]:
    return {"x": x, "y": y, "x2": x2, "y2": y2}


def _axis_lines(frame: _Frame) -> list[dict[str, float]]:
    ends = _line(frame.x(1), _AXIS_Y, frame.x(frame.num_levels), _AXIS_Y)
    ticks = (frame.x(rank) for rank in range(1, frame.num_levels + 1))
    return [ends, *(_line(x, _AXIS_Y - 6, x, _AXIS_Y) for x in ticks)]


def _axis_texts(frame: _Frame) -> list[dict[str, Any]]:
    step = math.ceil(frame.num_levels / 15)
    return [
        {"x": frame.x(rank), "y": _AXIS_Y - 15, "text": str(rank), "align": "center"}
        for rank in range(1, frame.num_levels + 1, step)
    ]


def _difference_lines(ranks: RankComparison, frame: _Frame) -> list[dict[str, float]]:
    """The critical difference as a bar above the axis; with few blocks it can be longer than the axis."""
    start, end, y = frame.x(1), min(frame.x(1 + ranks.critical_difference), frame.width - 4.0), _DIFFERENCE_Y
    return [_line(start, y, end, y), _line(start, y - 5, start, y + 5), _line(end, y - 5, end, y + 5)]


def _difference_text(ranks: RankComparison, frame: _Frame) -> dict[str, Any]:
    text = f"critical difference {fmt.number(ranks.critical_difference, 2)}"
    return {"x": frame.x(1) - 12, "y": _DIFFERENCE_Y, "text": text, "align": "right"}


def _rules(lines: Sequence[dict[str, float]], frame: _Frame, colour: str, width: float) -> alt.Chart:
    chart = alt.Chart(inline(lines)).mark_rule(color=colour, strokeWidth=width, opacity=1, strokeCap="round")
    return frame.place(chart).encode(x2="x2:Q", y2="y2:Q")


def _labels(texts: Sequence[dict[str, Any]], align: Align, frame: _Frame) -> alt.Chart:
    mark = alt.Chart(inline(texts)).mark_text(align=align, baseline="middle", fontSize=12.5, color=theme.INK)
    return frame.place(mark).encode(text="text:N")
