"""How much trials differ: from a pilot's trials, or as somebody assumes it.

Shapes: K replicates, M cells of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.trials.cells import NO_NOISE_REMEDY
from cnnbench.types import Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.trials.cells import CellData


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """Spread between seeds, cell by cell, and how alike the cells of one seed are."""

    variance_M: NDArray[np.float64]
    """Of a trial within its cell."""
    covariance_MM: NDArray[np.float64]
    """Of the cells of one replicate where seeds are shared."""
    variance_df_M: NDArray[np.float64] | float | None
    """Degrees of freedom behind each variance, or behind the one that all cells have in common; None: assumed."""
    paired_df: float | None
    """Degrees of freedom behind the covariances; None: they are assumed, or follow from the variances."""

    def df_of(self, part_M: NDArray[np.float64]) -> float | None:
        """Return the degrees of freedom behind a sum of parts of the variances (Satterthwaite 1946)."""
        if self.variance_df_M is None or isinstance(self.variance_df_M, float):
            return self.variance_df_M
        used_M = part_M > 0
        return float(part_M.sum()) ** 2 / float((part_M[used_M] ** 2 / self.variance_df_M[used_M]).sum())


def assumed_noise(
    num_cells: int, sd: float, correlation: float, df: float | None = None, paired_df: float | None = None
) -> Noise:
    """Return the same SD in every cell, and the same correlation between any two cells of a seed."""
    variance_M = np.full(num_cells, sd**2)
    covariance_MM = sd**2 * (np.full((num_cells, num_cells), correlation) + (1 - correlation) * np.eye(num_cells))
    return Noise(variance_M, covariance_MM, df, paired_df)


def observed_noise(data: CellData, used_M: NDArray[np.bool_], what: str) -> Noise | Refusal:
    """Return the noise of the cells that a question uses; the other cells get none.

    Covariances come from the replicates that have all used cells, as the analysis uses them. Trials with independent
    seeds tell of no correlation, so that there is none. Where a cell has one trial or no spread of its own, the
    variance pooled over all cells stands for every cell.

    Returns a refusal where the trials do not differ, or are not repeated. ``what`` names the question.
    """
    refused = no_noise(data, what)
    if refused is not None:
        return refused
    variance_M, df = _variances(data, used_M)
    if not data.paired:
        return Noise(variance_M, np.diag(variance_M), df, None)
    y_KM = data.y_KM[data.complete_rows(used_M)][:, used_M]
    if len(y_KM) < 2:
        why = f"Only {len(y_KM)} replicate(s) have a trial in every cell that it needs; at least 2 are needed."
        return Refusal(what, why, "Rerun the failed trials (`--retry-failed`) or add replicates.")
    covariance_MM = np.zeros((len(used_M), len(used_M)))
    covariance_MM[np.ix_(used_M, used_M)] = np.atleast_2d(np.cov(y_KM, rowvar=False))
    return Noise(variance_M, covariance_MM, df, float(len(y_KM) - 1))


def no_noise(data: CellData, what: str) -> Refusal | None:
    """Return why trials tell nothing of their noise, or None where they do."""
    if not data.replicated:
        why = "It has one seed per cell, which tells nothing of the spread between seeds."
        return Refusal(what, why, "Run at least 2 seeds per cell (`--set design.replicates=3`).")
    if data.ss_within <= data.df_within * data.tiny**2:
        why = "Trials of the same cell do not differ at all, so there is no noise to plan with."
        return Refusal(what, why, NO_NOISE_REMEDY)
    return None


def _variances(data: CellData, used_M: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64] | float]:
    """Return the variance of each used cell and its degrees of freedom, or the pooled ones for all of them."""
    own_M = used_M & (data.n_M > 1) & (np.nan_to_num(data.var_M) > data.tiny**2)
    if (own_M == used_M).all():
        return np.where(used_M, data.var_M, 0.0), np.where(used_M, data.n_M - 1.0, np.inf)
    return np.where(used_M, data.ss_within / data.df_within, 0.0), float(data.df_within)


def seed_correlation(y_KM: NDArray[np.float64], tiny: float) -> float | None:
    """Return how alike the cells of one replicate are: the intraclass correlation of complete replicates.

    With mean squares of seeds and of the seed-by-cell residual over M cells, (MS_s - MS_e) / (MS_s + (M - 1) MS_e)
    (Shrout & Fleiss 1979, Psychological Bulletin 86, 420-428, ICC(3, 1)). None with fewer than two replicates or cells,
    or where nothing varies by more than ``tiny``.
    """
    num_replicates, num_cells = y_KM.shape
    if num_replicates < 2 or num_cells < 2:
        return None
    seed_K = y_KM.mean(axis=1)
    ms_seed = num_cells * float(seed_K.var(ddof=1))
    residual_KM = y_KM - y_KM.mean(axis=0) - seed_K[:, None] + y_KM.mean()
    ms_error = float((residual_KM**2).sum()) / ((num_replicates - 1) * (num_cells - 1))
    total = ms_seed + (num_cells - 1) * ms_error
    return (ms_seed - ms_error) / total if total > tiny**2 else None
