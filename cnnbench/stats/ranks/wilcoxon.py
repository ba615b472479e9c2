"""Wilcoxon's signed-rank test, exact under ties and zeros.

Shapes: N pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import copysign, sqrt
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from cnnbench.stats.ranks.friedman import ranks_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_FOR_EXACT = 1000
"""Beyond, the normal approximation is exact to more digits than anybody reads."""
MOST_FOR_R = 49
"""R's ``wilcox.test`` counts patterns up to here, and approximates beyond."""


@dataclass(frozen=True, slots=True)
class SignedRank:
    """Wilcoxon's signed-rank test of paired differences."""

    v: float
    """Sum of the ranks of positive differences."""
    n: int
    """Differences that count."""
    p: float
    exact: bool


def signed_rank(difference_N: NDArray[np.float64], tie: float) -> SignedRank | None:
    """Test by all changes of sign; None if no difference is left.

    Zeros are ranked with the others and then set aside (Pratt 1959, JASA 54, 655-667); ties share their ranks. p is the
    share of the 2^n sign patterns whose rank sum is at least as far from its centre as the observed one, counted by
    convolution over twice the ranks, which are whole numbers.
    """
    size_N = np.abs(difference_N)
    zero_N = size_N <= tie
    rank_N = ranks_of(np.where(zero_N, 0.0, size_N), tie)[~zero_N]
    if not len(rank_N):
        return None
    v = float(rank_N[difference_N[~zero_N] > 0].sum())
    if len(rank_N) > MOST_FOR_EXACT:
        z = (v - rank_N.sum() / 2) / (sqrt(float((rank_N**2).sum())) / 2)
        return SignedRank(v, len(rank_N), float(2 * norm.sf(abs(z))), exact=False)
    return SignedRank(v, len(rank_N), _exact_p(rank_N, v), exact=True)


def signed_rank_without_zeros(difference_N: NDArray[np.float64], tie: float) -> SignedRank | None:
    """Test as R's ``wilcox.test`` and most programs do: zeros dropped; None if no difference is left.

    Exact for fewer than 50 differences without ties; otherwise normal with continuity correction and the variance
    n (n + 1)(2n + 1) / 24 - sum (t^3 - t) / 48 over ties of t (Hollander & Wolfe 1999, section 3.1).
    """
    kept_N = difference_N[np.abs(difference_N) > tie]
    if not len(kept_N):
        return None
    n = len(kept_N)
    rank_N = ranks_of(np.abs(kept_N), tie)
    v = float(rank_N[kept_N > 0].sum())
    _, ties = np.unique(rank_N, return_counts=True)
    if n == len(difference_N) <= MOST_FOR_R and (ties == 1).all():
        return SignedRank(v, n, _exact_p(rank_N, v), exact=True)
    variance = n * (n + 1) * (2 * n + 1) / 24 - float((ties**3 - ties).sum()) / 48
    centred = v - n * (n + 1) / 4
    z = (centred - copysign(0.5, centred) if centred else 0.0) / sqrt(variance)
    return SignedRank(v, n, min(1.0, float(2 * min(norm.cdf(z), norm.sf(z)))), exact=False)


def _exact_p(rank_N: NDArray[np.float64], v: float) -> float:
    doubled_N = np.rint(2 * rank_N).astype(np.int64)
    total = int(doubled_N.sum())
    share_V = np.zeros(total + 1)  # share of the sign patterns, by twice the sum of positive ranks
    share_V[0] = 1.0
    reached = 0
    for step in doubled_N:
        share_V[step : reached + step + 1] += share_V[: reached + 1].copy()
        share_V[: reached + step + 1] /= 2
        reached += int(step)
    distance = abs(2 * round(2 * v) - total)
    far_V = np.abs(2 * np.arange(total + 1) - total) >= distance
    return min(1.0, float(share_V[far_V].sum()))
