"""Partial eta squared with an interval from the noncentral F distribution."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainc, gammaln

from cnnbench.types import Interval

LARGEST = 1e7
"""Noncentrality beyond which the interval is a point for all purposes and its sum of terms is long."""


def ncf_cdf(f: float, df1: float, df2: float, noncentrality: float) -> float:
    """Return P(F <= f) for the noncentral F distribution.

    A Poisson mixture of central beta distributions, sum over j of Poisson(j; lambda / 2) I_x(df1 / 2 + j, df2 / 2) with
    x = df1 f / (df1 f + df2) (Johnson, Kotz & Balakrishnan 1995, Continuous Univariate Distributions 2, eq. 30.12).
    scipy's ``ncf`` can return nan inside a root search.
    """
    rate = noncentrality / 2
    spread = 12 * np.sqrt(rate) + 40
    j = np.arange(max(0, np.floor(rate - spread)), np.ceil(rate + spread) + 1)
    log_weight = j * np.log(rate) - rate - gammaln(j + 1) if rate > 0 else np.where(j == 0, 0.0, -np.inf)
    x = df1 * f / (df1 * f + df2)
    return float(np.exp(log_weight) @ betainc(df1 / 2 + j, df2 / 2, x))


def partial_eta_sq(f: float, df1: float, df2: float) -> float:
    """Return F df1 / (F df1 + df2), the part of the variance that the other terms leave (Cohen 1973)."""
    return f * df1 / (f * df1 + df2)


def partial_eta_sq_interval(f: float, df1: float, df2: float, alpha: float) -> Interval | None:
    """Return the equal-tailed 1 - ``alpha`` interval of partial eta squared, lambda / (lambda + df2).

    The limits of lambda are where the observed F is a tail quantile of the noncentral F (Steiger 2004, Psychological
    Methods 9, 164-182; the scaling by df2 alone is that of R's effectsize). None where F is too large to bother.
    """
    if not 0 <= f * df1 < LARGEST:
        return None
    low, high = (_noncentrality(f, df1, df2, tail) for tail in (1 - alpha / 2, alpha / 2))
    return Interval(low / (low + df2), high / (high + df2), 1 - alpha)


def _noncentrality(f: float, df1: float, df2: float, tail: float) -> float:
    """Return the lambda at which P(F <= f) = tail, or 0 where even lambda = 0 lies below."""
    if ncf_cdf(f, df1, df2, 0.0) <= tail:
        return 0.0
    upper = max(10.0, 4 * f * df1)
    while ncf_cdf(f, df1, df2, upper) > tail:
        upper *= 2
    return float(brentq(lambda value: ncf_cdf(f, df1, df2, value) - tail, 0.0, upper, xtol=1e-12, rtol=1e-14))
