"""The ANOVA-type statistic: an omnibus test that needs no equal variances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import f as f_distribution

from cnnbench.stats.models import kronecker

if TYPE_CHECKING:
    from cnnbench.stats.cells import CellData
    from cnnbench.stats.models import Term


@dataclass(frozen=True, slots=True)
class AtsTest:
    """An ANOVA-type statistic with its approximate F distribution."""

    statistic: float
    df1: float
    df2: float
    p: float


def ats(data: CellData, term: Term) -> AtsTest:
    """Test a term of a complete grid with n > 1 and variance > 0 in every cell (see `ats_obstacle`).

    With cell means m, variances v, counts n and the projection C of the term: S = N diag(v / n), D = diag C,
    A = N m'Cm / tr(DS) ~ F(f1, f2), f1 = tr(DS)^2 / tr(CSCS), f2 = tr(DS)^2 / tr(D^2 S^2 L), L = diag(1 / (n - 1))
    (Brunner, Dette & Munk 1997, JASA 92, 1494-1502). N cancels.
    """
    blocks = [np.full((k, k), 1 / k) for k in data.shape]
    for position in term:
        blocks[position] = np.eye(data.shape[position]) - blocks[position]
    projection = kronecker(blocks)
    variance_M = data.var_M / data.n_M
    weighted_M = np.diag(projection) * variance_M
    trace = float(weighted_M.sum())
    scaled = projection * variance_M
    statistic = float(data.mean_M @ projection @ data.mean_M) / trace
    df1 = trace**2 / float((scaled * scaled.T).sum())
    df2 = trace**2 / float((weighted_M**2 / (data.n_M - 1)).sum())
    return AtsTest(statistic, df1, df2, float(f_distribution.sf(statistic, df1, df2)))


def ats_obstacle(data: CellData) -> str:
    """Return in words why cell variances cannot be used, or an empty string."""
    if not data.complete:
        return "the grid has cells without trials"
    single = [i for i in range(len(data.n_M)) if data.n_M[i] < 2]
    if single:
        return (
            f"{_named(data, single)} has only one trial"
            if len(single) == 1
            else f"{_named(data, single)} have one trial"
        )
    constant = [i for i in range(len(data.n_M)) if data.var_M[i] <= data.tiny**2]
    if constant:
        return f"the trials do not differ at all in {_named(data, constant)}"
    return ""


def _named(data: CellData, cells: list[int]) -> str:
    shown = "; ".join(data.cell_name(i) for i in cells[:6])
    return shown if len(cells) <= 6 else f"{shown}; and {len(cells) - 6} more cells"
