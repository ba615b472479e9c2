"""Noise like a study's own, for simulated studies in which nothing is true.

Cell variances and correlations from few replicates are hardly known: the variance of two trials is ten times too small
in one case of four, and five seeds cannot span the covariance of 135 cells. Both are shrunk towards their
common part, by as much as the trials themselves say that their differences are chance.

Shapes: S studies, K replicates, M cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.trials.cells import CellData

FEWEST_FOR_CORRELATION = 3
"""Complete replicates below which every sample correlation is 1 or -1."""
_SWEEPS = 100


@dataclass(frozen=True, slots=True, eq=False)
class NullModel:
    """Means without the effect, and normal noise."""

    mean_M: NDArray[np.float64]
    """Centred; nan in cells without trials."""
    sd_M: NDArray[np.float64]
    """Shrunk; 0 in cells whose trials do not differ at all, nan in those without trials."""
    common: float
    """Correlation between any two cells of a replicate, the target of the shrinkage; 0 for independent trials."""
    shrinkage: float
    """Weight of the target, 0 to 1."""
    scores_JM: NDArray[np.float64]
    """Rows whose cross product is the sample correlation; no rows where it is not used."""

    def moments(
        self, rng: np.random.Generator, num_studies: int, n_M: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Draw means and variances (S x M) of independent trials: normal and chi square, as for the trials themselves.

        Sufficient statistics of normal samples, so that no trial need be drawn. Variances below two trials are nan.
        """
        mean_SM = self.mean_M + self.sd_M / np.sqrt(n_M) * rng.standard_normal((num_studies, len(n_M)))
        df_M = np.maximum(n_M - 1, 1)
        var_SM = self.sd_M**2 * rng.chisquare(df_M, (num_studies, len(n_M))) / df_M
        return mean_SM, np.where(n_M > 1, var_SM, np.nan)

    def scores(
        self, rng: np.random.Generator, num_studies: int, num_replicates: int, basis_MR: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Draw weighted sums over the cells of each replicate of paired studies, S x K x R; empty cells weigh nothing.

        With the target's correlation c, shrinkage a and sample scores Z, a replicate's standardised noise is
        sqrt(a c) u + sqrt(a (1 - c)) e + sqrt(1 - a) Z'g with u, e and g standard normal. Of e only its sums are drawn,
        whose covariance the triangular factor of the weights has: tests see nothing else of a replicate.
        """
        shape = (num_studies, num_replicates)
        spread_MR = np.nan_to_num(self.sd_M)[:, None] * basis_MR
        factor_RR = np.linalg.qr(spread_MR, mode="r")
        own_SKR = rng.standard_normal((*shape, len(factor_RR))) @ factor_RR
        scores_SKR = np.nan_to_num(self.mean_M) @ basis_MR + np.sqrt(self.shrinkage * (1 - self.common)) * own_SKR
        shared_R = np.sqrt(self.shrinkage * self.common) * spread_MR.sum(axis=0)
        scores_SKR += rng.standard_normal((*shape, 1)) * shared_R
        if len(self.scores_JM):
            sample_JR = np.sqrt(1 - self.shrinkage) * (self.scores_JM @ spread_MR)
            scores_SKR += rng.standard_normal((*shape, len(sample_JR))) @ sample_JR
        return np.asarray(scores_SKR)


def null_model(data: CellData, mean_M: NDArray[np.float64]) -> NullModel:
    """Return the noise of a replicated study around means in which nothing is true."""
    sd_M = np.sqrt(shrunk_variances(data))
    if not data.paired:
        return NullModel(mean_M, sd_M, 0.0, 1.0, np.empty((0, len(sd_M))))
    return NullModel(mean_M, sd_M, *_correlation(data))


def shrunk_variances(data: CellData) -> NDArray[np.float64]:
    """Return cell variances moderated by an inverse chi-square prior that the cells themselves give.

    With d = n - 1: (d0 v0 + d v) / (d0 + d), d0 and v0 from mean and variance of log v (Smyth 2004, Stat. Appl. Genet.
    Mol. Biol. 3, 3, section 6.2). If the variances differ no more than by chance, d0 is infinite and all cells get the
    pooled one. A cell with one trial gets v0; one whose trials do not differ at all stays at 0.
    """
    flat_M = (data.n_M > 1) & (np.nan_to_num(data.var_M) <= data.tiny**2)
    used_M = (data.n_M > 1) & ~flat_M
    df, var = (data.n_M[used_M] - 1).astype(np.float64), data.var_M[used_M]
    prior_df, prior = _prior(df, var)
    shrunk_M = np.where(data.seen_M, prior, np.nan)
    if np.isfinite(prior_df):
        shrunk_M[used_M] = (prior_df * prior + df * var) / (prior_df + df)
    shrunk_M[flat_M] = 0.0
    return shrunk_M


def _prior(df: NDArray[np.float64], var: NDArray[np.float64]) -> tuple[float, float]:
    """Return degrees of freedom and location of the prior of the variances."""
    pooled = float(df @ var / df.sum())
    if len(var) < 2:
        return np.inf, pooled
    unbiased = np.log(var) - digamma(df / 2) + np.log(df / 2)
    excess = float(unbiased.var(ddof=1) - polygamma(1, df / 2).mean())
    if excess <= 0:
        return np.inf, pooled
    half = _inverse_trigamma(excess)
    return 2 * half, float(np.exp(unbiased.mean() + digamma(half) - np.log(half)))


def _inverse_trigamma(value: float) -> float:
    """Return x > 0 with trigamma(x) = value; trigamma falls from infinity to 0."""
    return float(np.exp(brentq(lambda log_x: np.log(polygamma(1, np.exp(log_x)) / value), -40.0, 40.0)))


def _correlation(data: CellData) -> tuple[float, float, NDArray[np.float64]]:
    """Return the target's correlation, its weight, and the scores of the sample correlation.

    The target is one correlation for any two cells (one variance component of the seeds), the sample correlation that
    of the complete replicates; the weight minimises the expected squared error (Ledoit & Wolf 2004, J. Portfolio
    Management 30(4), 110-119; estimators of Schaefer & Strimmer 2005, Stat. Appl. Genet. Mol. Biol. 4, 32).
    """
    seen_M = data.seen_M
    rows_KM = data.y_KM[data.complete_rows(seen_M)]
    spread_M = np.zeros(len(seen_M), dtype=np.bool_)
    if len(rows_KM) >= FEWEST_FOR_CORRELATION:
        spread_M[seen_M] = rows_KM[:, seen_M].std(axis=0, ddof=1) > data.tiny
    varies_M = seen_M & (np.nan_to_num(data.var_M) > data.tiny**2)
    if spread_M.sum() < 2 or (varies_M & ~spread_M).any():
        return _additive_correlation(data), 1.0, np.empty((0, len(seen_M)))
    z_KM = rows_KM[:, spread_M] - rows_KM[:, spread_M].mean(axis=0)
    z_KM /= z_KM.std(axis=0, ddof=1)
    common, shrinkage = _common_part(z_KM)
    scores_KM = np.zeros((len(z_KM), len(seen_M)))
    scores_KM[:, spread_M] = z_KM / np.sqrt(len(z_KM) - 1)
    return common, shrinkage, scores_KM


def _common_part(z_KM: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean correlation (not below 0) and the weight of the constant-correlation target."""
    k, m = z_KM.shape
    pairs = m * (m - 1)
    per_row_K = z_KM.sum(axis=1) ** 2 - (z_KM**2).sum(axis=1)
    mean = float(per_row_K.sum()) / (k - 1) / pairs
    squares = float(((z_KM @ z_KM.T) ** 2).sum()) / (k - 1) ** 2 - m
    distance = squares - pairs * mean**2
    # Of each product of two cells over the replicates: its variance, and the part of it that the mean shares.
    products = float(((z_KM**2).sum(axis=1) ** 2 - (z_KM**4).sum(axis=1)).sum())
    own = k / (k - 1) ** 3 * (products - (k - 1) ** 2 / k * squares)
    shared = k / (k - 1) ** 3 * float(((per_row_K - per_row_K.mean()) ** 2).sum()) / pairs
    weight = 0.0 if distance <= 1e-12 * pairs else float(np.clip((own - shared) / distance, 0.0, 1.0))
    return float(np.clip(mean, 0.0, 1.0)), weight


def _additive_correlation(data: CellData) -> float:
    """Return the correlation of two cells from whatever trials there are, not below 0.

    One less the part of the standardised variance that cells and replicates as additive effects leave over, fitted by
    taking out the means of rows and columns in turn.
    """
    varies_M = (data.n_M > 1) & (np.nan_to_num(data.var_M) > data.tiny**2)
    z_KM = (data.y_KM[:, varies_M] - data.mean_M[varies_M]) / np.sqrt(data.var_M[varies_M])
    z_KM = z_KM[np.isfinite(z_KM).any(axis=1)]
    df = int(np.isfinite(z_KM).sum()) - sum(z_KM.shape) + 1
    if df < 1:
        return 0.0
    for _ in range(_SWEEPS):
        z_KM = z_KM - np.nanmean(z_KM, axis=1, keepdims=True)
        z_KM -= np.nanmean(z_KM, axis=0)
    return float(np.clip(1 - np.nansum(z_KM**2) / df, 0.0, 1.0))
