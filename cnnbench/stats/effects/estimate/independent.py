"""Trials that share nothing: a variance for each cell, one for all cells, or what one trial per cell leaves.

Shapes: M cells of the grid.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.effects.estimate.value import Estimate
from cnnbench.stats.omnibus.additive import additive_error
from cnnbench.stats.trials.cells import NO_NOISE_REMEDY
from cnnbench.stats.trials.models import design, orthonormal
from cnnbench.types import Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.trials.cells import CellData


def welch(data: CellData, weights_M: NDArray[np.float64], what: str) -> Estimate | Refusal:
    """Estimate with a variance for each cell: variance sum c^2 v / n, degrees of freedom by Satterthwaite.

    df = (sum c^2 v / n)^2 / sum[(c^2 v / n)^2 / (n - 1)] (Satterthwaite 1946, Biometrics Bulletin 2, 110-114; Welch
    1947, Biometrika 34, 28-35). The pooled-variance t stands beside it; it stands alone where a cell's variance cannot
    be estimated.
    """
    classical = pooled(data, weights_M, what)
    if isinstance(classical, Refusal):
        return classical
    used_M = np.abs(weights_M) > 1e-12
    n, var = data.n_M[used_M], data.var_M[used_M]
    if (n < 2).any() or (var <= data.tiny**2).any():
        return classical
    part = weights_M[used_M] ** 2 * var / n
    variance = float(part.sum())
    df = 1 / float(((part / variance) ** 2 / (n - 1)).sum())
    method = f"Welch-Satterthwaite t over {int(n.sum())} trials in {len(n)} cells"
    smallest = int(n.min())
    return Estimate(
        classical.value, variance**0.5, df, int(n.sum()), smallest, method, classical.p, "pooled-variance t test"
    )


def pooled(data: CellData, weights_M: NDArray[np.float64], what: str) -> Estimate | Refusal:
    """Estimate with the variance pooled over all cells, as in R's emmeans: variance MSE sum c^2 / n, df = N - cells."""
    if data.ss_within <= data.df_within * data.tiny**2:
        return Refusal(
            what,
            "Trials of the same cell do not differ at all, so there is no noise to hold it against.",
            NO_NOISE_REMEDY,
        )
    used_M = np.abs(weights_M) > 1e-12
    mse = data.ss_within / data.df_within
    return _with_error(
        data,
        weights_M,
        (mse, data.df_within),
        f"t with the pooled variance of all cells ({int(data.n_M[used_M].sum())} trials)",
    )


def additive(
    data: CellData, weights_M: NDArray[np.float64], what: str, product_M: NDArray[np.float64] | None
) -> Estimate | Refusal:
    """Estimate with the residual of the main-effects model, ``product_M`` as one more column in it, as the noise."""
    ss, df = additive_error(data, None if product_M is None else [product_M])
    if df < 1 or ss <= df * data.tiny**2:
        return Refusal(
            what,
            "With one trial per cell nothing is left to estimate the noise from.",
            "Run at least 2 replicates per cell.",
        )
    if abs(float(weights_M.sum())) < 1e-9:
        weights_M = additive_weights(data, weights_M, product_M)
    return _with_error(
        data, weights_M, (ss / df, df), "t with the residual of the main-effects model, as there is one trial per cell"
    )


def additive_weights(
    data: CellData, weights_M: NDArray[np.float64], product_M: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return the weights by which the main-effects model estimates a contrast of cells from all cells with a trial.

    Least squares projects the weights on the columns of the model. On a complete grid contrasts of marginal means and
    slopes stay as they are; where cells are missing, the cells that a plain average leaves out count, too.
    """
    basis = _main_effects(data)
    if product_M is not None:
        basis = orthonormal(np.column_stack([basis, product_M[data.seen_M]]))
    projected_M = np.zeros(len(weights_M))
    projected_M[data.seen_M] = basis @ (basis.T @ weights_M[data.seen_M])
    return projected_M


@lru_cache(maxsize=4)
def _main_effects(data: CellData) -> NDArray[np.float64]:
    """Return an orthonormal basis of the main-effects model in the cells with trials, which every contrast asks for."""
    return orthonormal(design(data, [(position,) for position in data.active]))


def _with_error(data: CellData, weights_M: NDArray[np.float64], error: tuple[float, int], method: str) -> Estimate:
    used_M = np.abs(weights_M) > 1e-12
    mse, df = error
    n_M = data.n_M[used_M]
    value = float(weights_M[used_M] @ data.mean_M[used_M]) + data.offset * float(weights_M.sum())
    se = float(np.sqrt(mse * (weights_M[used_M] ** 2 / n_M).sum()))
    return Estimate(value, se, df, int(n_M.sum()), int(n_M.min()), method, None, "")
