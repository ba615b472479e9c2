"""Rounds in which every way runs once, ratios within them, and how they are printed."""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence

import typer
from measure import Timed, WayError

Way = Callable[[], Timed]
Rounds = dict[str, list[Timed]]
"""Way -> one result for each round that it has done."""


def in_turn(ways: dict[str, Way], rounds: int) -> Rounds:
    """Run every way once a round; one that fails is left out from then on."""
    found: Rounds = defaultdict(list)
    failed: set[str] = set()
    names = list(ways)
    for number in range(rounds):
        turned = names[number % len(names) :] + names[: number % len(names)]
        for name in turned:
            if name in failed:
                continue
            try:
                found[name].append(ways[name]())
            except WayError as error:
                typer.echo(f"{name} is left out: {error}")
                failed.add(name)
                found.pop(name, None)
        typer.echo(f"  round {number + 1} of {rounds}; load average {os.getloadavg()[0]:.1f}", err=True)
    return {name: found[name] for name in names if name in found}


def ratios(values: Sequence[float], base: Sequence[float]) -> tuple[float, float, float]:
    """Return median, lowest and highest of the ratios within rounds."""
    each = [value / other for value, other in zip(values, base, strict=True)]
    return statistics.median(each), min(each), max(each)


def spread(values: Sequence[float], base: Sequence[float]) -> str:
    """Return the ratios as text."""
    median, low, high = ratios(values, base)
    return f"{median:6.2f} ({low:.2f} to {high:.2f})"


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    typer.echo(f"\n{title}; load average {os.getloadavg()[0]:.1f}")
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        typer.echo("  " + "  ".join(cells))


# ------------------------------------------------------------------------------------------------ what is read


def images_per_s(timed: Timed) -> float:
    """Return training images a second after the first epoch, of all trials that ran beside one another."""
    return sum(report.num_train / statistics.median(report.epoch_s[1:]) for report in timed.reports)


def cpu_images_per_s(timed: Timed) -> float:
    """Return training images a second of CPU time, after the first epoch."""
    (report,) = timed.reports
    return report.num_train / statistics.median(report.epoch_cpu_s[1:])


def accuracy(results: Sequence[Timed]) -> str:
    """Return the mean accuracy of all trials: a way that does not learn is not fast."""
    return f"{statistics.fmean(report.accuracy for timed in results for report in timed.reports):.3f}"


def median_of(results: Sequence[Timed], read: Callable[[Timed], float], digits: int = 1) -> str:
    """Return the median over the rounds."""
    return f"{statistics.median(map(read, results)):.{digits}f}"
