"""Power of a t test of one weighted sum of cells, and of its equivalence test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import ndtr
from scipy.stats import chi2
from scipy.stats import t as student_t

from cnnbench.stats.omnibus.noncentral import chi_nodes

if TYPE_CHECKING:
    from cnnbench.stats.power.noise import Noise


@dataclass(frozen=True, slots=True)
class TTest:
    """The t test that decides on a weighted sum of cell means.

    Shared seeds: one-sample t over the per-seed values, exact. Independent seeds: Welch-Satterthwaite t with the
    degrees of freedom that the assumed variances give, an approximation within a point or two of the truth from three
    trials per cell on.
    """

    sd: float
    """Of the estimate from one seed per cell; from n seeds it is sd / sqrt(n)."""
    df_per_seed: float
    """Degrees of freedom are this times (n - 1)."""
    alpha: float
    known_df: float | None = None
    """Degrees of freedom behind `sd`; None where it is an assumption."""

    simulated: ClassVar[bool] = False

    @property
    def unit(self) -> float:
        """An effect whose size is of the order of the noise."""
        return self.sd

    def detect(self, seeds: int, effect: float) -> float:
        """Return the probability that the two-sided test rejects zero, from the noncentral t distribution."""
        return t_power(effect / self.sd * seeds**0.5, self.df_per_seed * (seeds - 1), self.alpha)

    def equivalence(self, seeds: int, margin: float) -> float:
        """Return the probability that equivalence within ``margin`` is shown where there is no effect."""
        return equivalence_power(margin / self.sd * seeds**0.5, self.df_per_seed * (seeds - 1), self.alpha)

    def louder(self, factor: float) -> TTest:
        """Return the test with ``factor`` times the noise."""
        return replace(self, sd=self.sd * factor)


def t_test(noise: Noise, weights_M: np.ndarray, *, paired: bool, alpha: float) -> TTest:
    """Return the test that decides on ``weights_M`` in a design with shared (``paired``) or independent seeds."""
    part_M = weights_M**2 * noise.variance_M
    if paired:
        variance = float(weights_M @ noise.covariance_MM @ weights_M)
        known_df = noise.df_of(part_M) if noise.paired_df is None else noise.paired_df
        return TTest(max(variance, 0.0) ** 0.5, 1.0, alpha, known_df)
    total = float(part_M.sum())
    return TTest(total**0.5, total**2 / float((part_M**2).sum()), alpha, noise.df_of(part_M))


def t_power(shift: float, df: float, alpha: float) -> float:
    """Return P(|T| > t_crit) for the noncentral t with noncentrality ``shift`` and ``df`` degrees of freedom.

    With s = sqrt(chi^2 / df), P(T > t) = E[Phi(shift - t s)] (Johnson, Kotz & Balakrishnan 1995, Continuous Univariate
    Distributions 2, chapter 31). Both tails count, as in R's ``power.t.test(strict = TRUE)``.
    """
    spread_N, weight_N = chi_nodes(df)
    critical_N = float(student_t.isf(alpha / 2, df)) * spread_N
    return float(weight_N @ (ndtr(shift - critical_N) + ndtr(-shift - critical_N)))


def equivalence_power(shift: float, df: float, alpha: float) -> float:
    """Return the power of two one-sided tests where the truth is zero; ``shift`` is the margin in standard errors.

    Both reject where |estimate| < margin - t_crit se: E[max(0, 2 Phi(shift - t_crit s) - 1)] over s = sqrt(chi^2 / df)
    (Owen 1965, Biometrika 52, 437-446; Phillips 1990, J. Pharmacokinet. Biopharm. 18, 137-144).
    """
    spread_N, weight_N = chi_nodes(df)
    room_N = shift - float(student_t.isf(alpha, df)) * spread_N
    return float(weight_N @ np.maximum(0.0, 2 * ndtr(room_N) - 1))


def noise_factors(known_df: float, level: float) -> tuple[float, float]:
    """Return by which factors the true SD may be smaller and larger than the observed one, with probability ``level``.

    The chi-square interval of a variance with ``known_df`` degrees of freedom.
    """
    tail = (1 - level) / 2
    return float((known_df / chi2.isf(tail, known_df)) ** 0.5), float((known_df / chi2.ppf(tail, known_df)) ** 0.5)
