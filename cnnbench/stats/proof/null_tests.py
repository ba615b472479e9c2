"""The tests of primary hypotheses on many studies at once.

Each is the test of `cnnbench.stats.effects` on arrays with a leading axis of studies; `cnnbench.stats.proof.null_rate`
holds it to that test on the study's own trials before it uses it.

Shapes: S studies, K replicates, M cells, R degrees of freedom of a term.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import f as f_distribution
from scipy.stats import t as student_t

from cnnbench.stats.effects.estimate import additive_weights
from cnnbench.stats.trials.models import base_of, design, kronecker, orthonormal, term_basis, term_columns, terms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.trials.cells import CellData
    from cnnbench.stats.trials.models import Term


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """What a test says of each study."""

    p_S: NDArray[np.float64]
    """Of the test that decides."""
    beside_p_S: NDArray[np.float64] | None
    """Of the one beside it, where it has the same form in every study."""
    estimate_S: NDArray[np.float64] | None
    """Of tests with one degree of freedom."""
    half_width_S: NDArray[np.float64] | None
    """Half the length of the interval."""
    pair_p_S: NDArray[np.float64] | None = None
    """The smaller adjusted p of a slope and its omnibus test, where the two decide together."""


def _t_test(
    estimate_S: NDArray[np.float64],
    se_S: NDArray[np.float64],
    df: NDArray[np.float64] | float,
    alpha: float,
    beside_p_S: NDArray[np.float64] | None = None,
) -> Outcomes:
    p_S = 2 * student_t.sf(np.abs(estimate_S) / se_S, df)
    half_width_S = np.asarray(student_t.isf(alpha / 2, df) * se_S)
    return Outcomes(np.asarray(p_S), beside_p_S, estimate_S, half_width_S)


def per_seed_t(scores_SK: NDArray[np.float64], alpha: float) -> Outcomes:
    """Return the one-sample t over the seeds' scores."""
    n = scores_SK.shape[1]
    return _t_test(scores_SK.mean(axis=1), scores_SK.std(axis=1, ddof=1) / n**0.5, float(n - 1), alpha)


def welch_t(
    data: CellData,
    mean_SM: NDArray[np.float64],
    var_SM: NDArray[np.float64],
    weights_M: NDArray[np.float64],
    alpha: float,
) -> Outcomes:
    """Return the Welch-Satterthwaite t beside the pooled one, or the pooled t where a cell has no variance."""
    used_M = np.abs(weights_M) > 1e-12
    weights, n = weights_M[used_M], data.n_M[used_M]
    estimate_S = mean_SM[:, used_M] @ weights
    mse_S = _mse(data, var_SM)
    pooled = _t_test(estimate_S, np.sqrt(mse_S * (weights**2 / n).sum()), float(data.df_within), alpha)
    if (n < 2).any() or (data.var_M[used_M] <= data.tiny**2).any():
        return pooled
    part_SM = weights**2 * var_SM[:, used_M] / n
    variance_S = part_SM.sum(axis=1)
    df_S = variance_S**2 / (part_SM**2 / (n - 1)).sum(axis=1)
    return _t_test(estimate_S, np.sqrt(variance_S), df_S, alpha, pooled.p_S)


def additive_t(
    data: CellData,
    mean_SM: NDArray[np.float64],
    weights_M: NDArray[np.float64],
    product_M: NDArray[np.float64] | None,
    alpha: float,
) -> Outcomes:
    """Return the t with the residual of the main-effects model, for one trial per cell."""
    basis_MP = additive_basis(data, product_M)
    weights_M = additive_weights(data, weights_M, product_M)
    seen_SM, used_M = mean_SM[:, data.seen_M], np.abs(weights_M) > 1e-12
    residual_SM = seen_SM - (seen_SM @ basis_MP) @ basis_MP.T
    df = basis_MP.shape[0] - basis_MP.shape[1]
    mse_S = (residual_SM**2).sum(axis=1) / df
    estimate_S = mean_SM[:, used_M] @ weights_M[used_M]
    return _t_test(estimate_S, np.sqrt(mse_S * (weights_M[used_M] ** 2).sum()), float(df), alpha)


def additive_basis(data: CellData, product_M: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Return an orthonormal basis of the main-effects model (and of one more column) in the cells with trials."""
    columns = design(data, [(position,) for position in data.active])
    if product_M is not None:
        columns = np.column_stack([columns, product_M[data.seen_M]])
    return orthonormal(columns)


def greenhouse_geisser(z_SKR: NDArray[np.float64]) -> Outcomes:
    """Return the repeated-measures F of a term, corrected, from the seeds' scores on its orthonormal contrasts.

    tr S^2 comes from the replicates' cross products, which are often fewer than those of the scores.
    """
    num_replicates, df = z_SKR.shape[1:]
    zbar_SR = z_SKR.mean(axis=1)
    z_SKR = z_SKR - zbar_SR[:, None]
    trace_S = (z_SKR**2).sum(axis=(1, 2)) / (num_replicates - 1)
    gram_SKK = z_SKR @ z_SKR.transpose(0, 2, 1) / (num_replicates - 1)
    epsilon_S = trace_S**2 / (df * (gram_SKK**2).sum(axis=(1, 2))) if df > 1 else np.ones(len(trace_S))
    f_S = num_replicates * (zbar_SR**2).sum(axis=1) / trace_S
    return Outcomes(f_distribution.sf(f_S, epsilon_S * df, epsilon_S * df * (num_replicates - 1)), None, None, None)


def between_interaction(
    data: CellData, mean_SM: NDArray[np.float64], var_SM: NDArray[np.float64], term: Term, *, robust: bool
) -> Outcomes:
    """Return the ANOVA-type statistic of a term beside the classical F, or the F alone."""
    mean_SM, weights_M = mean_SM[:, data.seen_M], np.sqrt(data.n_M[data.seen_M])
    lost_MP, kept_MP = tested_spaces(data, term)
    sum_sq_S = (((mean_SM * weights_M) @ lost_MP) ** 2).sum(axis=1)
    sum_sq_S -= (((mean_SM * weights_M) @ kept_MP) ** 2).sum(axis=1)
    df = lost_MP.shape[1] - kept_MP.shape[1]
    classical_p_S = f_distribution.sf(sum_sq_S / df / _mse(data, var_SM), df, data.df_within)
    if not robust:
        return Outcomes(classical_p_S, None, None, None)
    blocks = [np.full((k, k), 1 / k) for k in data.shape]
    for position in term:
        blocks[position] = np.eye(data.shape[position]) - blocks[position]
    projection_MM = kronecker(blocks)
    variance_SM = var_SM / data.n_M
    weighted_SM = np.diag(projection_MM) * variance_SM
    trace_S = weighted_SM.sum(axis=1)
    statistic_S = ((mean_SM @ projection_MM) * mean_SM).sum(axis=1) / trace_S
    df1_S = trace_S**2 / ((variance_SM @ projection_MM**2) * variance_SM).sum(axis=1)
    df2_S = trace_S**2 / (weighted_SM**2 / (data.n_M - 1)).sum(axis=1)
    return Outcomes(f_distribution.sf(statistic_S, df1_S, df2_S), classical_p_S, None, None)


def tested_spaces(data: CellData, term: Term) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return bases of the models with and without a term, in cell means times the root of their n.

    Type III on complete grids, type II elsewhere, as in the analysis.
    """
    weights_M1 = np.sqrt(data.n_M[data.seen_M])[:, None]
    every = terms(data.active)
    if data.complete:
        without = design(data, [other for other in every if other != term])
        return np.eye(len(without)), orthonormal(without * weights_M1)
    base = design(data, base_of(term, every))
    full = np.hstack([base, term_columns(data.shape, term)[data.seen_M]])
    return orthonormal(full * weights_M1), orthonormal(base * weights_M1)


def without_term(data: CellData, term: Term, *, above: bool = False) -> NDArray[np.float64]:
    """Return the cell means (M, centred) without the part that the test of a term sees; nan in empty cells.

    ``above``: where cells are missing, without everything but the model that the term is held against, that is without
    the terms that contain it, too. With unequal n a slope's weights are not orthogonal to those.
    """
    mean_M = data.mean_M.copy()
    seen = mean_M[data.seen_M]
    if data.paired or data.complete:
        basis_MR = term_basis(data, term)
        seen = seen - basis_MR @ (basis_MR.T @ seen)
    else:
        root_M = np.sqrt(data.n_M[data.seen_M])
        lost_MP, kept_MP = tested_spaces(data, term)
        scaled_M = seen * root_M
        rest_M = np.zeros_like(scaled_M) if above else scaled_M - lost_MP @ (lost_MP.T @ scaled_M)
        seen = (rest_M + kept_MP @ (kept_MP.T @ scaled_M)) / root_M
    mean_M[data.seen_M] = seen
    return mean_M


def _mse(data: CellData, var_SM: NDArray[np.float64]) -> NDArray[np.float64]:
    several_M = data.n_M > 1
    return np.asarray(var_SM[:, several_M] @ (data.n_M[several_M] - 1) / data.df_within)
