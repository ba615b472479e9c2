"""Parts of variance and standardised effects, with intervals from the noncentral F and t distributions."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq
from scipy.special import betainc, gammaln, log_ndtr, logsumexp, ndtr
from scipy.stats import chi2, norm
from scipy.stats import f as f_distribution

from cnnbench.types import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST = 1e7
"""Noncentrality beyond which the interval is a point for all purposes and its sum of terms is long."""
LARGEST_T = 100.0
"""Beyond, the interval of a standardised effect tells nothing that the effect's own interval does not."""


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


def f_power(noncentrality: float, df1: float, df2: float, alpha: float) -> float:
    """Return the power of an F test whose statistic has that noncentrality.

    For a term of an analysis of variance with n trials per cell the noncentrality is n sum(gamma^2) / sigma^2, gamma
    the term's part of the cell means (Cohen 1988, Statistical Power Analysis, chapter 8). statsmodels' ``FTestPower``
    has its two degrees of freedom swapped (issue 8651).
    """
    return 1 - ncf_cdf(float(f_distribution.isf(alpha, df1, df2)), df1, df2, noncentrality)


def partial_eta_sq(f: float, df1: float, df2: float) -> float:
    """Return F df1 / (F df1 + df2), the part of the variance that the other terms leave (Cohen 1973)."""
    return f * df1 / (f * df1 + df2)


def partial_omega_sq(f: float, df1: float, df2: float) -> float:
    """Return (F - 1) df1 / (F df1 + df2 + 1), nearly unbiased; below zero where F is below 1 (Keren & Lewis 1979)."""
    return (f - 1) * df1 / (f * df1 + df2 + 1)


def partial_eta_sq_interval(f: float, df1: float, df2: float, alpha: float) -> Interval | None:
    """Return the equal-tailed 1 - ``alpha`` interval of partial eta squared, lambda / (lambda + df2).

    The limits of lambda are where the observed F is a tail quantile of the noncentral F (Steiger 2004, Psychological
    Methods 9, 164-182; the scaling by df2 alone is that of R's effectsize). None where F is too large to bother.
    """
    if not 0 <= f * df1 < LARGEST:
        return None
    low, high = (_noncentrality(f, df1, df2, tail) for tail in (1 - alpha / 2, alpha / 2))
    return Interval(low / (low + df2), high / (high + df2), 1 - alpha)


def partial_omega_sq_interval(f: float, df1: float, df2: float, alpha: float) -> Interval | None:
    """Return the interval of partial omega squared, as R's effectsize has it.

    That of partial eta squared at the F whose partial eta squared is the observed partial omega squared. None where
    omega squared is not above zero, or F is too large to bother.
    """
    omega = partial_omega_sq(f, df1, df2)
    if not 0 < omega < 1:  # a huge F leaves no digits of 1 - omega
        return None
    return partial_eta_sq_interval(omega / (1 - omega) * df2 / df1, df1, df2, alpha)


def _noncentrality(f: float, df1: float, df2: float, tail: float) -> float:
    """Return the lambda at which P(F <= f) = tail, or 0 where even lambda = 0 lies below."""
    if ncf_cdf(f, df1, df2, 0.0) <= tail:
        return 0.0
    upper = max(10.0, 4 * f * df1)
    while ncf_cdf(f, df1, df2, upper) > tail:
        upper *= 2
    return float(brentq(lambda value: ncf_cdf(f, df1, df2, value) - tail, 0.0, upper, xtol=1e-12, rtol=1e-14))


def standard_interval(t: float, df: float, alpha: float) -> tuple[float, float] | None:
    """Return the noncentralities at which ``t`` is a tail quantile of the noncentral t distribution.

    (Steiger & Fouladi 1997, in: What If There Were No Significance Tests?, 221-257.) None for a huge ``t``.
    """
    if abs(t) > LARGEST_T:
        return None
    spread_N, weight_N = chi_nodes(df)
    reach = float(norm.isf(alpha / 2)) * (1 + t**2 / (2 * df)) ** 0.5 + 1

    def limit(tail: float) -> float:
        # P(T <= t) = E[Phi(t s - delta)] with s^2 = chi^2 / df; scipy's ``nct`` can return nan far out.
        def excess(shift: float) -> float:
            return float(weight_N @ ndtr(t * spread_N - shift)) - tail

        width = reach
        while not excess(t - width) > 0 > excess(t + width):
            width *= 2
        return float(brentq(excess, t - width, t + width, xtol=1e-12, rtol=1e-14))

    return limit(1 - alpha / 2), limit(alpha / 2)


@lru_cache(maxsize=256)
def chi_nodes(df: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes and weights that integrate over s = sqrt(chi^2 / df): 40 panels of 25 Gauss-Legendre nodes.

    With few degrees of freedom the density goes with s^(df - 1) near zero, which is no polynomial for a fraction of
    them. In u, where s = u^4, it is smooth enough.
    """
    power = 4 if df < 6 else 1
    low, high = np.sqrt(chi2.ppf([1e-17, 1 - 1e-16], df) / df) ** (1 / power)
    edges = np.linspace(low, high, 41)
    node_N, weight_N = np.polynomial.legendre.leggauss(25)
    at_N = (edges[:-1, None] + np.diff(edges)[:, None] * (node_N + 1) / 2).ravel()
    spread_N = at_N**power
    density_N = np.exp(chi2.logpdf(df * spread_N**2, df)) * spread_N * at_N ** (power - 1)
    combined_N = np.tile(weight_N, 40) * density_N
    return spread_N, combined_N / combined_N.sum()


_WIDEST = 20.0
"""Beyond this many SDs the range of normal values has a probability below 1e-40."""


def studentized_range_sf(q: float, num_means: int, df: float) -> float:
    """Return P(Q > q) of the studentized range (Tukey 1953), to about 1e-10.

    The range's own tail is tabulated once for a number of means; what is left for each q is one sum over the spread. A
    table of comparisons takes a hundredth of the time of as many double integrals.
    """
    spread_N, weight_N = chi_nodes(df)
    width_N = q * spread_N
    tail_N = np.where(width_N < _WIDEST, np.exp(_log_range_tail(num_means)(np.minimum(width_N, _WIDEST))), 0.0)
    return min(1.0, float(weight_N @ tail_N))


@lru_cache(maxsize=64)
def _log_range_tail(num_means: int) -> CubicSpline:
    """Return log P(range of that many standard normal values > w) for w up to `_WIDEST`.

    With the largest value at z: k times the integral of phi(z) {Phi(z)^(k-1) - [Phi(z) - Phi(z - w)]^(k-1)}.
    """
    width_W = np.linspace(0, _WIDEST, 1001)
    edges = np.linspace(-9.0, _WIDEST, 30)
    node_N, weight_N = np.polynomial.legendre.leggauss(16)
    z_N = (edges[:-1, None] + np.diff(edges)[:, None] * (node_N + 1) / 2).ravel()
    weight_N = np.tile(weight_N, len(edges) - 1) * np.repeat(np.diff(edges) / 2, 16)
    log_below_N = log_ndtr(z_N)
    log_ratio_WN = np.minimum(log_ndtr(z_N - width_W[:, None]) - log_below_N, -1e-300)
    # phi(z) Phi(z)^(k-1) {1 - [1 - Phi(z - w) / Phi(z)]^(k-1)}, on logarithms where the tail underflows
    with np.errstate(divide="ignore"):
        inner_WN = np.log(-np.expm1((num_means - 1) * np.log1p(-np.exp(log_ratio_WN))))
    small_WN = log_ratio_WN < -30
    inner_WN = np.where(small_WN, np.log(num_means - 1) + log_ratio_WN, inner_WN)
    outer_N = -(z_N**2) / 2 - 0.5 * np.log(2 * np.pi) + (num_means - 1) * log_below_N + np.log(weight_N)
    log_tail_W = np.log(num_means) + logsumexp(inner_WN + outer_N, axis=1)
    return CubicSpline(width_W, np.minimum(log_tail_W, 0.0))
