"""Residuals as a description: nothing is decided by them, as tests chosen after a look at the data lose their level.

Shapes: K replicates, M cells, N residuals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from cnnbench.stats.omnibus.within import complete_blocks
from cnnbench.types import Residuals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.trials.cells import CellData

MOST_POINTS = 1000
"""Of more residuals the extremes and an even selection of the ranks between are kept: a picture shows no more."""
_EXTREMES = 50


def residuals(data: CellData) -> Residuals | None:
    """Return residuals in ascending order, or None where nothing is replicated.

    Independent trials: deviations from the cell's mean. Shared seeds: what is left after the means of cells and seeds,
    over the seeds that have every cell. The quantiles are standard normal ones at (rank - 3/8) / (N + 1/4) (Blom 1958,
    Statistical Estimates and Transformed Beta-Variables).
    """
    if not data.replicated:
        return None
    parts = _shared(data) if data.paired else _independent(data)
    if parts is None:
        return None
    fitted_N, residual_N = parts
    order_N = np.argsort(residual_N, kind="stable")
    num = len(order_N)
    quantile_N = norm.ppf((np.arange(1, num + 1) - 0.375) / (num + 0.25))
    kept = _kept(num)
    return Residuals(
        tuple(float(value) + data.offset for value in fitted_N[order_N][kept]),
        tuple(float(value) for value in residual_N[order_N][kept]),
        tuple(float(value) for value in quantile_N[kept]),
        num,
    )


def _independent(data: CellData) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y_KM = data.y_KM[:, data.n_M > 1]
    fitted_KM = np.broadcast_to(np.nanmean(y_KM, axis=0), y_KM.shape)
    there_KM = np.isfinite(y_KM)
    return fitted_KM[there_KM], (y_KM - fitted_KM)[there_KM]


def _shared(data: CellData) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    blocks = complete_blocks(data)
    if blocks is None or len(blocks.y_KJ) < 2:
        return None
    mean_GJ = np.stack([blocks.y_KJ[blocks.plot_K == plot].mean(axis=0) for plot in range(len(blocks.size_G))])
    centred_KJ = blocks.y_KJ - mean_GJ[blocks.plot_K]
    residual_KJ = centred_KJ - centred_KJ.mean(axis=1, keepdims=True)
    return (blocks.y_KJ - residual_KJ).ravel(), residual_KJ.ravel()


def _kept(num: int) -> NDArray[np.int64]:
    if num <= MOST_POINTS:
        return np.arange(num)
    inner = np.linspace(_EXTREMES, num - 1 - _EXTREMES, MOST_POINTS - 2 * _EXTREMES).round().astype(int)
    return np.concatenate([np.arange(_EXTREMES), inner, np.arange(num - _EXTREMES, num)])
