"""Quasi-binomial analysis of deviance: accuracies as counts of examples, with as much noise as the trials show.

Shapes: K replicates, M cells of the grid, P columns of a model.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import xlogy
from scipy.stats import f as f_distribution
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM

from cnnbench.stats.omnibus.term_tests import df_note
from cnnbench.stats.trials.models import base_of, connected, design, orthonormal, rank, term_columns, term_name, terms
from cnnbench.types import Refusal, TestRow, TestTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.trials.cells import CellData
    from cnnbench.stats.trials.models import Term


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Examples behind each trial of a `CellData`; nan where the replicate has no trial in the cell."""

    correct_KM: NDArray[np.float64]
    num_KM: NDArray[np.float64]


def quasi_binomial(data: CellData, counts: Counts) -> list[TestTable] | Refusal:
    """Test every term by F = (difference of deviances / df) / phi with phi = Pearson's chi-square / (trials - cells).

    Logit link. The differences are those of models on the cells' totals, as all trials of a cell share their
    expectation (McCullagh & Nelder 1989, Generalized Linear Models, sections 4.5 and 6.2; McCullagh 1983, Ann. Stat.
    11, 59-67). ``sum_sq`` holds the difference of deviances. Trials must be independent.
    """
    what = "quasi-binomial tests"
    seen_M = data.seen_M
    correct_M, num_M = np.nansum(counts.correct_KM, axis=0)[seen_M], np.nansum(counts.num_KM, axis=0)[seen_M]
    share_M = correct_M / num_M
    phi, df = _dispersion(data, counts)
    if df < 1 or phi <= 0:
        return Refusal(what, "Trials of the same cell do not differ, so there is no noise.", "Add replicates.")
    try:
        return [_table(data, (share_M, num_M), phi, df, kind) for kind in (("3", "2") if data.complete else ("2",))]
    except _NoFitError:
        why = "The fit does not converge, as it may where whole levels have every example right or every one wrong."
        return Refusal(what, why, "Read the tests on the raw scale, or evaluate on more examples.")


class _NoFitError(Exception):
    pass


def _dispersion(data: CellData, counts: Counts) -> tuple[float, int]:
    """Return Pearson's chi-square of the cell-means model over its residual degrees of freedom, and these."""
    correct_M, num_M = np.nansum(counts.correct_KM, axis=0), np.nansum(counts.num_KM, axis=0)
    inner_M = (correct_M > 0) & (correct_M < num_M)  # all right or all wrong: no residual
    share_M = correct_M[inner_M] / num_M[inner_M]
    num_KM = counts.num_KM[:, inner_M]
    pearson_KM = (counts.correct_KM[:, inner_M] - num_KM * share_M) ** 2 / (num_KM * share_M * (1 - share_M))
    df = data.df_within
    return (float(np.nansum(pearson_KM)) / df if df else 0.0), df


def _table(
    data: CellData, totals: tuple[NDArray[np.float64], NDArray[np.float64]], phi: float, df2: int, kind: str
) -> TestTable:
    every = terms(data.active)
    rows = []
    for term in every:
        if len(term) == 1 and not connected(data):
            continue
        row = _type3(data, totals, term) if kind == "3" else _type2(data, totals, term)
        if row is not None:
            deviance, df1 = row
            f = deviance / df1 / phi
            p = float(f_distribution.sf(f, df1, df2))
            made = TestRow(term_name(data.factors, term), f, df1, df2, p, sum_sq=deviance)
            rows.append(replace(made, note=df_note(data, term, df1)))
    given = "all others" if kind == "3" else "all that do not contain it"
    return TestTable(
        f"quasi_binomial_type{kind}",
        f"Quasi-binomial analysis of deviance, type {'I' * int(kind)}",
        f"Counts of correct examples, logit link, each term given {given}; dispersion {phi:.4g} (1: no more noise than "
        "that of the examples).",
        tuple(rows),
    )


def _type3(
    data: CellData, totals: tuple[NDArray[np.float64], NDArray[np.float64]], term: Term
) -> tuple[float, int] | None:
    reduced = design(data, [other for other in terms(data.active) if other != term])
    return _deviance(totals, reduced), int(term_columns(data.shape, term).shape[1])


def _type2(
    data: CellData, totals: tuple[NDArray[np.float64], NDArray[np.float64]], term: Term
) -> tuple[float, int] | None:
    base = design(data, base_of(term, terms(data.active)))
    full = np.hstack([base, term_columns(data.shape, term)[data.seen_M]])
    df = rank(full) - rank(base)
    return (_deviance(totals, base) - _deviance(totals, full), df) if df else None


def _deviance(totals: tuple[NDArray[np.float64], NDArray[np.float64]], columns_MP: NDArray[np.float64]) -> float:
    """Return the deviance of a model over that of the cell-means model.

    The proportion with ``var_weights``: with pairs of counts statsmodels would scale the dispersion wrongly.
    """
    share_M, num_M = totals
    basis_MP = orthonormal(columns_MP)
    if basis_MP.shape[1] == len(share_M):
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of perfect separation, see below
        fit = GLM(share_M, basis_MP, family=Binomial(), var_weights=num_M).fit(tol=1e-10, maxiter=100)
    fitted_M = np.asarray(fit.mu, dtype=np.float64)
    if not fit.converged or not np.isfinite(fitted_M).all():
        raise _NoFitError
    # Where a level has every example right its coefficient grows without bound, yet the deviance has a limit.
    # statsmodels clips its own deviance near 0 and 1
    wrong_M = 1 - share_M
    each_M = xlogy(share_M, share_M) - xlogy(share_M, fitted_M) + xlogy(wrong_M, wrong_M) - xlogy(wrong_M, 1 - fitted_M)
    return float(2 * (num_M * each_M).sum())
