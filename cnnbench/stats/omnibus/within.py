"""Repeated-measures ANOVA over any number of factors: every replicate is measured in every cell.

Shapes: K replicates, M cells with trials, R degrees of freedom of a term.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import f as f_distribution

from cnnbench.stats.trials.models import term_basis

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.trials.cells import CellData
    from cnnbench.stats.trials.models import Term


@dataclass(frozen=True, slots=True)
class WithinTest:
    """One term of a repeated-measures ANOVA."""

    sum_sq: float
    f: float
    df1: int
    df2: int
    """Before any correction."""
    p: float
    """If sphericity held."""
    epsilon_gg: float
    p_gg: float
    epsilon_hf: float | None
    """As published, so it may exceed 1; None where its denominator is not positive (few replicates)."""
    p_hf: float | None
    """With the epsilon capped at 1."""


def within_test(data: CellData, term: Term) -> WithinTest | None:
    """Test a term over the replicates that are complete in every cell with trials.

    With orthonormal contrasts C of the term, each replicate gives scores z = C'y; with their mean zbar and covariance
    S over K replicates, F = K zbar'zbar / tr S on R and R (K - 1) degrees of freedom. Greenhouse-Geisser:
    epsilon = tr(S)^2 / (R tr(S^2)) (Greenhouse & Geisser 1959, Psychometrika 24, 95-112); Huynh-Feldt:
    (K R epsilon - 2) / (R (K - 1 - R epsilon)) (Huynh & Feldt 1976, J. Educ. Stat. 1, 69-82).

    Returns None with fewer than two complete replicates, where the term is not estimable, or where every replicate
    gives the same scores.
    """
    y_KM = complete_replicates(data)
    basis_MR = term_basis(data, term)
    num_replicates, df = len(y_KM), basis_MR.shape[1]
    if num_replicates < 2 or df == 0:
        return None
    z_KR = y_KM @ basis_MR
    zbar_R = z_KR.mean(axis=0)
    residual_KR = z_KR - zbar_R
    covariance_RR = residual_KR.T @ residual_KR / (num_replicates - 1)
    trace = float(np.trace(covariance_RR))
    if trace <= df * data.tiny**2:
        return None
    sum_sq = num_replicates * float(zbar_R @ zbar_R)
    f = sum_sq / trace
    df2 = df * (num_replicates - 1)
    gg = float(greenhouse_geisser(covariance_RR)) if df > 1 else 1.0
    hf = _huynh_feldt(num_replicates, df, gg)
    p, p_gg = (_p(f, df, df2, epsilon) for epsilon in (1.0, gg))
    p_hf = None if hf is None else _p(f, df, df2, min(1.0, hf))
    return WithinTest(sum_sq, f, df, df2, p, gg, p_gg, hf, p_hf)


def greenhouse_geisser(covariance_RR: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return epsilon = tr(S)^2 / (R tr(S^2)) of a covariance; there may be axes before the last two."""
    trace = np.trace(covariance_RR, axis1=-2, axis2=-1)
    return np.asarray(trace**2 / (covariance_RR.shape[-1] * (covariance_RR**2).sum(axis=(-2, -1))))


def complete_replicates(data: CellData) -> NDArray[np.float64]:
    """Return the rows without a gap, for the cells that have trials."""
    return data.y_KM[data.complete_rows(data.seen_M)][:, data.seen_M]


def _huynh_feldt(num_replicates: int, df: int, gg: float) -> float | None:
    if df == 1:
        return 1.0
    denominator = df * (num_replicates - 1 - df * gg)
    return (num_replicates * df * gg - 2) / denominator if denominator > 1e-9 else None


def _p(f: float, df1: float, df2: float, epsilon: float) -> float:
    return float(f_distribution.sf(f, epsilon * df1, epsilon * df2))
