"""Omnibus tests that need no equal variances: ANOVA-type statistic, Welch-James, and HC3.

Shapes: M cells of the grid, R degrees of freedom of a term.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import f as f_distribution

from cnnbench.stats.trials.models import kronecker, term_basis

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.trials.cells import CellData
    from cnnbench.stats.trials.models import Term


@dataclass(frozen=True, slots=True)
class RobustTest:
    """A statistic with its approximate F distribution."""

    statistic: float
    df1: float
    df2: float
    p: float


def ats(data: CellData, term: Term) -> RobustTest:
    """Test a term of a complete grid with n > 1 and variance > 0 in every cell (see `ats_obstacle`).

    With cell means m, variances v, counts n and the projection C of the term: S = N diag(v / n), D = diag C,
    A = N m'Cm / tr(DS) ~ F(f1, f2), f1 = tr(DS)^2 / tr(CSCS), f2 = tr(DS)^2 / tr(D^2 S^2 L), L = diag(1 / (n - 1))
    (Brunner, Dette & Munk 1997, JASA 92, 1494-1502). N cancels.
    """
    blocks = [np.full((k, k), 1 / k) for k in data.shape]
    for position in term:
        blocks[position] = np.eye(data.shape[position]) - blocks[position]
    projection = kronecker(blocks)
    statistic, df1, df2 = (
        float(value) for value in ats_figures(data.mean_M, data.var_M / data.n_M, data.n_M - 1, projection)
    )
    return RobustTest(statistic, df1, df2, float(f_distribution.sf(statistic, df1, df2)))


def ats_figures(
    mean_M: NDArray[np.float64],
    variance_M: NDArray[np.float64],
    df_M: NDArray[np.int64] | int,
    projection_MM: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return A, f1 and f2 of `ats`, from the variances of the cell means and their degrees of freedom.

    Means and variances may have axes before the cells, such as many simulated studies; the figures keep these axes.
    """
    weighted_M = np.diag(projection_MM) * variance_M
    trace = weighted_M.sum(axis=-1)
    statistic = ((mean_M @ projection_MM) * mean_M).sum(axis=-1) / trace
    df1 = trace**2 / ((variance_M @ projection_MM**2) * variance_M).sum(axis=-1)
    df2 = trace**2 / (weighted_M**2 / df_M).sum(axis=-1)
    return statistic, df1, df2


def welch_james(data: CellData, term: Term) -> RobustTest:
    """Test a term with n > 1 and variance > 0 in every cell with trials (see `spread_obstacle`).

    With contrasts H (R x M) of the cell means m and V = diag(v / n): T = (Hm)'(HVH')^-1 Hm, M = VH'(HVH')^-1 H,
    A = sum M_ii^2 / (n_i - 1), c = R + 2A - 6A / (R + 2): T / c ~ F(R, R (R + 2) / (3A)) (Johansen 1980, Biometrika
    67, 85-92; Keselman, Carriere & Lix 1993, J. Educ. Stat. 18, 305-319).
    """
    seen_M = data.seen_M
    basis_MR, n_M = term_basis(data, term), data.n_M[seen_M]
    variance_M = data.var_M[seen_M] / n_M
    wald, inverse_RR = _wald(basis_MR, data.mean_M[seen_M], variance_M)
    leverage_M = variance_M * np.einsum("ma,ab,mb->m", basis_MR, inverse_RR, basis_MR)
    a = float((leverage_M**2 / (n_M - 1)).sum())
    df1 = basis_MR.shape[1]
    df2 = df1 * (df1 + 2) / (3 * a)
    statistic = wald / (df1 + 2 * a - 6 * a / (df1 + 2))
    return RobustTest(statistic, df1, df2, float(f_distribution.sf(statistic, df1, df2)))


def hc3(data: CellData, term: Term) -> RobustTest:
    """Test a term by the joint Wald F with the HC3 covariance (MacKinnon & White 1985, J. Econometrics 29, 305-325).

    In the cell-means model a trial's leverage is 1 / n, so that HC3 gives a cell's mean the variance v / (n - 1).
    Degrees of freedom: those of the term, and trials less cells, as in R's ``car::Anova(white.adjust = "hc3")``.
    """
    seen_M = data.seen_M
    basis_MR = term_basis(data, term)
    wald, _ = _wald(basis_MR, data.mean_M[seen_M], data.var_M[seen_M] / (data.n_M[seen_M] - 1))
    df1, df2 = basis_MR.shape[1], data.df_within
    statistic = wald / df1
    return RobustTest(statistic, df1, df2, float(f_distribution.sf(statistic, df1, df2)))


def _wald(
    basis_MR: NDArray[np.float64], mean_M: NDArray[np.float64], variance_M: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Return the Wald statistic of the contrasts, and the inverse of their covariance."""
    inverse_RR = np.asarray(np.linalg.inv((basis_MR.T * variance_M) @ basis_MR), dtype=np.float64)
    contrasts_R = basis_MR.T @ mean_M
    return float(contrasts_R @ inverse_RR @ contrasts_R), inverse_RR


def ats_obstacle(data: CellData) -> str:
    """Return in words why the ANOVA-type statistic cannot be had, or an empty string."""
    return spread_obstacle(data) if data.complete else "the grid has cells without trials"


def spread_obstacle(data: CellData) -> str:
    """Return in words why the variances of the cells with trials cannot be used, or an empty string."""
    single = [int(i) for i in np.flatnonzero(data.n_M == 1)]
    if single:
        return (
            f"{_named(data, single)} has only one trial"
            if len(single) == 1
            else f"{_named(data, single)} have one trial"
        )
    constant = [int(i) for i in np.flatnonzero(data.seen_M) if data.var_M[i] <= data.tiny**2]
    if constant:
        return f"the trials do not differ at all in {_named(data, constant)}"
    return ""


def _named(data: CellData, cells: list[int]) -> str:
    shown = "; ".join(data.cell_name(i) for i in cells[:6])
    return shown if len(cells) <= 6 else f"{shown}; and {len(cells) - 6} more cells"
