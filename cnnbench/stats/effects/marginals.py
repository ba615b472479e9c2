"""Unweighted marginal means of every factor on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.stats.effects.estimate import estimate, pooled
from cnnbench.stats.effects.questions import cell_average
from cnnbench.types import Cell, Refusal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cnnbench.stats.effects.estimate import Estimate
    from cnnbench.stats.trials.cells import CellData


def marginal_means(data: CellData, alpha: float) -> tuple[Cell, ...]:
    """Return the mean of every level of every factor, unweighted over the cells that it averages.

    Independent seeds: interval from the variance pooled over all cells, as in R's emmeans. Shared seeds: interval over
    the replicates' own averages, so it holds the spread between seeds; it is an interval for the level's mean with new
    seeds, and two such intervals may overlap although the paired difference is clear. Not estimable (mean None) where
    an averaged cell has no trials.
    """
    cells = []
    for position, factor in enumerate(data.factors):
        for level in factor.levels:
            question = cell_average(data, {factor.name: level})
            n = int(data.n_M[data.level_M(position) == factor.levels.index(level)].sum())
            if isinstance(question, Refusal):
                cells.append(Cell({factor.name: level}, n, None, None, None))
                continue
            found = mean_estimate(data, question.weights_M)
            if isinstance(found, Refusal):
                used_M = question.weights_M > 0
                mean = float(question.weights_M[used_M] @ data.mean_M[used_M]) + data.offset
                cells.append(Cell({factor.name: level}, n, mean, None, None))
            else:
                cells.append(
                    Cell({factor.name: level}, n, found.value, None, found.interval(alpha), found.se, found.df)
                )
    return tuple(cells)


def mean_estimate(data: CellData, weights_M: NDArray[np.float64]) -> Estimate | Refusal:
    """Estimate a mean of cells: over replicates where seeds are shared, with the pooled variance where not."""
    if data.replicated and not data.paired:
        return pooled(data, weights_M, "mean")
    return estimate(data, weights_M, "mean")


def marginal_note(*, paired: bool, replicated: bool, block: str = "seed", random: str | None = None) -> str:
    """Say which standard error the marginal means have; ``random`` names the factor whose levels are blocks."""
    if random is not None:
        return (
            f"Intervals of marginal means run over the levels of {random}, for a level drawn anew; those of {random} "
            "itself run over its own trials and speak of these levels only. Compare by the effects, not by overlap."
        )
    if not replicated:
        return (
            "With one trial per cell, intervals of marginal means use the residual of the main-effects model; they are "
            "right only if the factors do not interact."
        )
    if paired:
        return (
            f"Intervals of marginal means run over the {block}s' averages and hold the spread between {block}s; "
            "compare levels by the paired effects, not by whether these intervals overlap."
        )
    return "Intervals of marginal means use the pooled variance; the effects use each cell's own variance."
