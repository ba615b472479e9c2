"""Ranks over blocks: Friedman's test, Iman and Davenport's, and comparisons of mean ranks.

Shapes: B blocks, L levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial, prod, sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import chi2, norm, rankdata, studentized_range
from scipy.stats import f as f_distribution

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Friedman:
    """Both omnibus tests over blocks."""

    mean_rank_L: NDArray[np.float64]
    num_blocks: int
    chisq: float
    df: int
    p: float
    f: float | None
    """Iman and Davenport's; None where all blocks agree, and it grows beyond every bound."""
    df2: int
    p_f: float
    """Of the F; where all blocks agree, the exact probability of that."""
    kendall_w: float

    @property
    def rank_se(self) -> float:
        """Standard error of the difference of two mean ranks, without ties: sqrt(L (L + 1) / (6 B))."""
        num_levels = len(self.mean_rank_L)
        return sqrt(num_levels * (num_levels + 1) / (6 * self.num_blocks))


def ranks_of(values: NDArray[np.float64], tie: float) -> NDArray[np.float64]:
    """Rank along the last axis, 1 for the smallest; values no further apart than ``tie`` share their mean rank.

    The tolerance makes 0.58 - 0.57 and 0.57 - 0.56 the tie that they are on paper.
    """
    order = np.argsort(values, axis=-1, kind="stable")
    steps = np.diff(np.take_along_axis(values, order, axis=-1), axis=-1) > tie
    place = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(steps, axis=-1)], axis=-1)
    level = np.empty_like(place)
    np.put_along_axis(level, order, place, axis=-1)
    return np.asarray(rankdata(level, axis=-1), dtype=np.float64)


def friedman(y_BL: NDArray[np.float64], *, higher_is_better: bool, tie: float) -> Friedman | None:
    """Test whether the levels have the same mean rank; the best of a block has rank 1. None if every block is one tie.

    chi2 = (L - 1) sum (R_l - B (L + 1) / 2)^2 / (sum r^2 - B L (L + 1)^2 / 4) with rank sums R_l, which holds with ties
    (Friedman 1937, JASA 32, 675-701; Conover 1999, section 5.8); F = (B - 1) chi2 / (B (L - 1) - chi2) on L - 1 and
    (L - 1)(B - 1) df (Iman & Davenport 1980, Commun. Stat. A 9, 571-595); W = chi2 / (B (L - 1)) (Kendall).
    """
    rank_BL = ranks_of(-y_BL if higher_is_better else y_BL, tie)
    num_blocks, num_levels = rank_BL.shape
    spread = float((rank_BL**2).sum()) - num_blocks * num_levels * (num_levels + 1) ** 2 / 4
    if spread <= 1e-9:
        return None
    sums_L = rank_BL.sum(axis=0)
    df = num_levels - 1
    chisq = df * float(((sums_L - num_blocks * (num_levels + 1) / 2) ** 2).sum()) / spread
    w = chisq / (num_blocks * df)
    if w > 1 - 1e-12:
        f, p_f = None, _agreement_p(rank_BL)
    else:
        f = (num_blocks - 1) * w / (1 - w)
        p_f = float(f_distribution.sf(f, df, df * (num_blocks - 1)))
    return Friedman(
        sums_L / num_blocks, num_blocks, chisq, df, float(chi2.sf(chisq, df)), f, df * (num_blocks - 1), p_f, min(w, 1)
    )


def _agreement_p(rank_BL: NDArray[np.float64]) -> float:
    """Return the probability that all blocks rank alike if every order is as likely as any other."""
    _, ties = np.unique(rank_BL[0], return_counts=True)
    orders = factorial(rank_BL.shape[1]) / prod(factorial(int(count)) for count in ties)
    return float(orders ** (1.0 - len(rank_BL)))


def nemenyi_q(difference: float, found: Friedman) -> tuple[float, float]:
    """Return q = |difference of mean ranks| / sqrt(L (L + 1) / (12 B)) and its p from the studentized range.

    All pairs at once (Nemenyi 1963; Demsar 2006, JMLR 7, 1-30); adjusted by construction.
    """
    q = abs(difference) / found.rank_se * sqrt(2)
    return q, float(np.clip(studentized_range.sf(q, len(found.mean_rank_L), np.inf), 0.0, 1.0))


def critical_difference(found: Friedman, alpha: float) -> float:
    """Return the difference of mean ranks from which Nemenyi's test rejects: q / sqrt(2) sqrt(L (L + 1) / (6 B))."""
    q = float(studentized_range.ppf(1 - alpha, len(found.mean_rank_L), np.inf))
    return q / sqrt(2) * found.rank_se


def control_z(found: Friedman, control: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return z of every level's mean rank minus the control's, and two-sided p, unadjusted (Demsar 2006)."""
    z_L = (found.mean_rank_L - found.mean_rank_L[control]) / found.rank_se
    return z_L, np.asarray(2 * norm.sf(np.abs(z_L)))


def indistinct_groups(mean_rank_L: NDArray[np.float64], limit: float) -> list[list[int]]:
    """Return the largest sets of two or more levels whose mean ranks differ by less than ``limit``, best first."""
    order = [int(i) for i in np.argsort(mean_rank_L, kind="stable")]
    groups: list[list[int]] = []
    reached = 0
    for start in range(len(order)):
        end = start
        while end + 1 < len(order) and mean_rank_L[order[end + 1]] - mean_rank_L[order[start]] < limit:
            end += 1
        if end > start and end >= reached + (1 if groups else 0):
            groups.append(order[start : end + 1])
            reached = end
    return groups
