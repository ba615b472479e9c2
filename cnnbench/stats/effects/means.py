"""Estimated marginal means with one variance for all cells, as R's emmeans has them.

They stand beside observed cells and marginal means, whose standard errors are those of their own trials or seeds.
Shapes: K replicates, M cells of the grid, P columns of a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.effects.estimate import estimate, pooled, split_plot
from cnnbench.stats.trials.cells import grid, t_interval
from cnnbench.stats.trials.models import term_columns
from cnnbench.types import EstimatedMean, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cnnbench.stats.trials.cells import CellData

    Mean = Callable[[NDArray[np.float64]], tuple[float, float, float] | None]

MOST_CELLS = 400
"""Means of more cells than this are not listed one by one, nor are the blocks' columns of a larger model fitted."""


def estimated_means(data: CellData, alpha: float) -> tuple[EstimatedMean, ...]:
    """Return the means of every level of every factor, then of every cell, unweighted over cells.

    Independent trials: the variance pooled over all cells. Shared seeds and random datasets: t over the blocks' own
    averages, or where trials are missing least squares of cells and blocks. Nested seeds: the variance pooled over
    whole plots. One trial per cell: the main-effects model. Means that the trials do not determine are left out.
    """
    mean = _method(data)
    cells = np.arange(len(data.n_M))
    wanted = [
        ({data.factors[i].name: level}, data.level_M(i) == index)
        for i in data.active
        for index, level in enumerate(data.factors[i].levels)
    ]
    if len(data.active) > 1 and len(cells) <= MOST_CELLS:
        wanted += [(dict(levels), cells == index) for index, levels in enumerate(grid(data.factors))]
    means = []
    for levels, inside_M in wanted:
        found = None if mean is None else mean(inside_M / inside_M.sum())
        if found is not None:
            means.append(EstimatedMean(levels, *found, t_interval(*found, alpha)))
    return tuple(means)


def _method(data: CellData) -> Mean | None:
    """Return the function from weights of cells to mean, standard error and df that the design has."""
    if data.nested:
        return _by(data, lambda weights_M: split_plot(data, weights_M, "mean", equal_variances=True))
    if not data.replicated:
        return _of_model(data, _additive(data), np.zeros(0))
    if not data.paired:
        return _by(data, lambda weights_M: pooled(data, weights_M, "mean"))
    if data.complete_rows(data.seen_M).all():
        return _by(data, lambda weights_M: estimate(data, weights_M, "mean"))
    present_K = np.isfinite(data.y_KM).any(axis=1)
    num_blocks = int(present_K.sum())
    if data.block != "seed" or num_blocks + len(data.n_M) > MOST_CELLS:
        return None
    return _of_model(data, np.eye(len(data.n_M)), np.full(num_blocks, 1 / num_blocks))


def _by(data: CellData, found: Callable[[NDArray[np.float64]], object]) -> Mean:
    def mean(weights_M: NDArray[np.float64]) -> tuple[float, float, float] | None:
        if not data.seen_M[weights_M > 0].all():
            return None
        made = found(weights_M)
        return None if isinstance(made, Refusal) else (made.value, made.se, float(made.df))  # type: ignore[attr-defined]

    return mean


def _additive(data: CellData) -> NDArray[np.float64]:
    """Return the columns of the main-effects model for every cell of the grid, M x P."""
    ones = np.ones((len(data.n_M), 1))
    return np.hstack([ones, *(term_columns(data.shape, (position,)) for position in data.active)])


def _of_model(data: CellData, columns_MP: NDArray[np.float64], on_blocks: NDArray[np.float64]) -> Mean | None:
    """Return means by ordinary least squares of all trials on columns of cells, and on blocks where there are weights.

    None where no noise is left.
    """
    row_N, cell_N = np.nonzero(np.isfinite(data.y_KM))
    y_N = data.y_KM[row_N, cell_N]
    model_NP = columns_MP[cell_N]
    if len(on_blocks):
        _, block_N = np.unique(row_N, return_inverse=True)
        model_NP = np.hstack([model_NP, np.eye(len(on_blocks))[block_N]])
    inverse_PP = np.linalg.pinv(model_NP.T @ model_NP, hermitian=True)
    beta_P = inverse_PP @ (model_NP.T @ y_N)
    df = len(y_N) - int(np.linalg.matrix_rank(model_NP))
    ss = float(((y_N - model_NP @ beta_P) ** 2).sum())
    if df < 1 or ss <= df * data.tiny**2:
        return None
    projection_PP = inverse_PP @ (model_NP.T @ model_NP)

    def mean(weights_M: NDArray[np.float64]) -> tuple[float, float, float] | None:
        on_P = np.concatenate([weights_M @ columns_MP, on_blocks])
        if not np.allclose(on_P @ projection_PP, on_P, atol=1e-8):
            return None
        se = float(np.sqrt(ss / df * (on_P @ inverse_PP @ on_P)))
        return float(on_P @ beta_P) + data.offset, se, float(df)

    return mean
