"""The phases of training, with their image sizes: which cells follow which schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.report import figures
from cnnbench.report import format as fmt
from cnnbench.report.tables import Column, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.types import Curve

Schedule = tuple[tuple[str, int, str], ...]
"""Name, number of epochs and image size of each phase."""


def phases_table(curves: Sequence[Curve]) -> Table | None:
    """Epochs and image sizes of each phase, for every schedule that some cells follow; None without curves."""
    first = [curve for curve in curves if curve.name == curves[0].name and len(curve.epoch) > 0]
    followers: dict[Schedule, list[Curve]] = {}
    for curve in first:
        followers.setdefault(_schedule(curve), []).append(curve)
    if not followers:
        return None
    titles = _titles(first, followers)
    schedules = list(followers)
    if len({tuple(phase[:2] for phase in schedule) for schedule in schedules}) == 1:
        return _side_by_side(schedules, titles)
    rows = tuple(
        (title if place == 0 else "", name, fmt.number(count), size)
        for schedule, title in zip(schedules, titles, strict=True)
        for place, (name, count, size) in enumerate(schedule)
    )
    columns = (
        Column("Cells", numeric=False),
        Column("Phase", numeric=False),
        Column("Epochs"),
        Column("Image size (px)"),
    )
    return Table("Phases of training.", columns, rows)


def _side_by_side(schedules: Sequence[Schedule], titles: Sequence[str]) -> Table:
    """One column of sizes for each schedule, where they differ in nothing else."""
    columns = (Column("Phase", numeric=False), Column("Epochs"), *(Column(title) for title in titles))
    rows = tuple(
        (name, fmt.number(count), *(schedule[place][2] for schedule in schedules))
        for place, (name, count, _) in enumerate(schedules[0])
    )
    return Table("Phases of training: epochs, and image sizes in pixels.", columns, rows)


def _schedule(curve: Curve) -> Schedule:
    schedule = []
    start = 0
    for name, count in figures.phases(curve):
        sizes = dict.fromkeys(curve.size_px[start : start + count])
        schedule.append((name, count, " → ".join(str(size) for size in sizes)))
        start += count
    return tuple(schedule)


def _titles(curves: Sequence[Curve], followers: dict[Schedule, list[Curve]]) -> list[str]:
    """Who follows each schedule: all, the levels of the factor that decides it, or the cells themselves."""
    if len(followers) == 1:
        return ["Image size"]
    for factor in curves[0].cell:
        groups = [list(dict.fromkeys(fmt.level(c.cell[factor]) for c in group)) for group in followers.values()]
        if sum(map(len, groups)) == len({level for group in groups for level in group}):
            return [f"{fmt.name(factor)} {', '.join(group)}" for group in groups]
    return [_some(group) for group in followers.values()]


def _some(group: Sequence[Curve]) -> str:
    cells = "; ".join(fmt.cell(curve.cell) for curve in group[:3])
    return f"{cells} and {len(group) - 3} more" if len(group) > 3 else cells
