"""A factor whose levels are a sample of a population, such as datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnnbench.stats.trials.cells import CellData

FEWEST = 5
"""With fewer levels their spread, which is the noise of a random factor, is hardly known."""


def random_position(name: str | None, data: CellData | None) -> int | None:
    """Return the position of the random factor; None where there is none, or too few of its levels have trials."""
    if name is None or data is None:
        return None
    position = next(i for i, factor in enumerate(data.factors) if factor.name == name)
    return position if len(data.factors[position].levels) >= FEWEST else None


def population(name: str | None, data: CellData | None) -> str:
    """Return the sentence that says what the findings speak of; empty where all factors are fixed."""
    if name is None or data is None:
        return ""
    levels = next(factor.levels for factor in data.factors if factor.name == name)
    these = (
        f"{len(levels)} {name}{'' if len(levels) == 1 else 's'}"
        if name == "dataset"
        else f"{len(levels)} levels of {name}"
    )
    if random_position(name, data) is None:
        return (
            f"The findings speak of these {these} only: {name} was declared random, but fewer than {FEWEST} levels "
            "tell too little of the population that they come from, so they are analysed as fixed."
        )
    return (
        f"The findings speak of the population that these {these} were drawn from: {name} is random, and effects are "
        "held against their differences between its levels."
    )
