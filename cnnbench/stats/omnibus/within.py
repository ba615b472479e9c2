"""Repeated-measures and split-plot ANOVA over any number of factors.

Every replicate is measured in every cell, or (split plot) in every cell of one whole plot: replicates are then nested
in the factors between them.

Shapes: K replicates, G whole plots, J cells of a replicate, M cells with trials, R contrasts within replicates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import f as f_distribution

from cnnbench.stats.trials.models import kronecker, orthonormal, sum_coding, term_basis

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
    spherical: bool = True
    """Whether sphericity is asked for: not with one contrast within replicates."""


def within_test(data: CellData, term: Term) -> WithinTest | None:
    """Test a term over the replicates that are complete in every cell with trials.

    With orthonormal contrasts C of the term's factors within replicates, each replicate gives scores z = C'y. Without
    whole plots, with their mean zbar and covariance S over K replicates, F = K zbar'zbar / tr S on R and R (K - 1)
    degrees of freedom. Replicates that are nested in a factor fall into G whole plots: with contrasts L of the plots'
    mean scores, H = (L zbar)'(L diag(1 / K_g) L')^-1 (L zbar) and the scores' covariance S within plots,
    F = tr H / (rank L tr S) on R rank L and R (K - G) degrees of freedom (type III: plots count alike, however many
    replicates they have). A term of whole-plot factors alone is tested against the replicates within plots.

    Greenhouse-Geisser: epsilon = tr(S)^2 / (R tr(S^2)) (Greenhouse & Geisser 1959, Psychometrika 24, 95-112);
    Huynh-Feldt: ((d + 1) R epsilon - 2) / (R (d - R epsilon)) with d = K - G, or K - 1 (Huynh & Feldt 1976, J. Educ.
    Stat. 1, 69-82; for several plots as in R's car).

    Returns None with too few complete replicates, where the term is not estimable (with whole plots: where any cell is
    missing), or where every replicate gives the same scores.
    """
    blocks = complete_blocks(data)
    if blocks is None:
        return None
    basis_JR, contrasts_LG = _contrasts(data, term, len(blocks.size_G))
    rank, df_error = basis_JR.shape[1], len(blocks.y_KJ) - len(blocks.size_G)
    if df_error < 1 or rank == 0:
        return None
    z_KR = blocks.y_KJ @ basis_JR
    zbar_GR = np.stack([z_KR[blocks.plot_K == plot].mean(axis=0) for plot in range(len(blocks.size_G))])
    residual_KR = z_KR - zbar_GR[blocks.plot_K]
    covariance_RR = residual_KR.T @ residual_KR / df_error
    trace = float(np.trace(covariance_RR))
    if trace <= rank * data.tiny**2:
        return None
    shift_LR = contrasts_LG @ zbar_GR
    weight_LL = (contrasts_LG / blocks.size_G) @ contrasts_LG.T
    sum_sq = float((shift_LR * np.linalg.solve(weight_LL, shift_LR)).sum())
    df, df2 = rank * len(contrasts_LG), rank * df_error
    f = sum_sq / (len(contrasts_LG) * trace)
    gg = float(greenhouse_geisser(covariance_RR)) if rank > 1 else 1.0
    hf = _huynh_feldt(df_error, rank, gg)
    p, p_gg = (_p(f, df, df2, epsilon) for epsilon in (1.0, gg))
    p_hf = None if hf is None else _p(f, df, df2, min(1.0, hf))
    return WithinTest(sum_sq, f, df, df2, p, gg, p_gg, hf, p_hf, rank > 1)


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Replicates that are complete in their whole plot; one plot where nothing is nested."""

    y_KJ: NDArray[np.float64]
    """J cells within a replicate, in the same order in every whole plot."""
    plot_K: NDArray[np.int64]
    size_G: NDArray[np.int64]
    """Replicates of each whole plot."""


def complete_blocks(data: CellData) -> Blocks | None:
    """Return the replicates without a gap; None where nested replicates leave a cell or a whole plot without any."""
    kept_K = data.complete_rows(data.seen_M)
    if not data.nested:
        y_KJ = data.y_KM[kept_K][:, data.seen_M]
        return Blocks(y_KJ, np.zeros(len(y_KJ), dtype=np.int64), np.array([len(y_KJ)])) if len(y_KJ) else None
    plot_K, plot_M = data.plot_K[kept_K], data.plot_M
    num_plots = int(plot_M.max()) + 1
    size_G = np.bincount(plot_K, minlength=num_plots)
    if not data.complete or (size_G == 0).any():
        return None
    y_KM = data.y_KM[kept_K]
    y_KJ = np.stack([row_M[plot_M == plot] for row_M, plot in zip(y_KM, plot_K, strict=True)])
    return Blocks(y_KJ, plot_K, size_G)


def greenhouse_geisser(covariance_RR: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return epsilon = tr(S)^2 / (R tr(S^2)) of a covariance; there may be axes before the last two."""
    trace = np.trace(covariance_RR, axis1=-2, axis2=-1)
    return np.asarray(trace**2 / (covariance_RR.shape[-1] * (covariance_RR**2).sum(axis=(-2, -1))))


def complete_replicates(data: CellData) -> NDArray[np.float64]:
    """Return the rows without a gap, for the cells that have trials; nan outside a nested replicate's whole plot."""
    return data.y_KM[data.complete_rows(data.seen_M)][:, data.seen_M]


def complete_means(data: CellData) -> NDArray[np.float64]:
    """Return the mean of the complete replicates in every cell with trials."""
    return np.asarray(np.nanmean(complete_replicates(data), axis=0), dtype=np.float64)


def _contrasts(data: CellData, term: Term, num_plots: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the term's orthonormal contrasts of cells within a replicate, and its contrasts of whole plots."""
    if not data.nested:
        return term_basis(data, term), np.ones((1, num_plots))
    inner = [i for i in range(len(data.shape)) if i not in data.between]
    average = {i: np.full((size, 1), size**-0.5) for i, size in enumerate(data.shape)}
    coded = {i: orthonormal(sum_coding(data.shape[i])) if i in term else average[i] for i in data.active}
    basis_JR = kronecker([coded.get(i, average[i]) for i in inner])
    return basis_JR, kronecker([coded.get(i, average[i]) for i in data.between]).T


def _huynh_feldt(df_error: int, rank: int, gg: float) -> float | None:
    if rank == 1:
        return 1.0
    denominator = rank * (df_error - rank * gg)
    return ((df_error + 1) * rank * gg - 2) / denominator if denominator > 1e-9 else None


def _p(f: float, df1: float, df2: float, epsilon: float) -> float:
    return float(f_distribution.sf(f, epsilon * df1, epsilon * df2))
