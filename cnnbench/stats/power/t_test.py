"""Power of a t test of one weighted sum of cells, and of its equivalence test.

Shapes: M cells, S drawn sets of variances.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import ndtr, stdtrit
from scipy.stats import chi2
from scipy.stats import t as student_t

from cnnbench.stats.omnibus.noncentral import chi_nodes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.power.noise import Noise


VARIANCES = 4_000
"""Drawn sets of variances for one figure of Welch's test."""
_SEED = 1908  # the same input shall give the same answer


@dataclass(frozen=True, slots=True)
class OneSampleT:
    """The t test over the per-seed values of shared seeds."""

    sd: float
    """Of the estimate from one seed per cell; from n seeds it is sd / sqrt(n)."""
    alpha: float
    known_df: float | None = None
    """Degrees of freedom behind `sd`; None where it is an assumption."""
    smooth: ClassVar[bool] = True

    @property
    def unit(self) -> float:
        """An effect whose size is of the order of the noise."""
        return self.sd

    def detect(self, seeds: int, effect: float) -> float:
        """Return the probability that the two-sided test rejects zero, from the noncentral t distribution."""
        return t_power(effect / self.sd * seeds**0.5, seeds - 1, self.alpha)

    def equivalence(self, seeds: int, margin: float) -> float:
        """Return the probability that equivalence within ``margin`` is shown where there is no effect."""
        return equivalence_power(margin / self.sd * seeds**0.5, seeds - 1, self.alpha)

    def monte_carlo_se(self, seeds: int, effect: float) -> None:  # noqa: ARG002 - nothing is simulated
        """Nothing is simulated."""
        return

    def louder(self, factor: float) -> OneSampleT:
        """Return the test with ``factor`` times the noise."""
        return replace(self, sd=self.sd * factor)


@dataclass(frozen=True, slots=True, eq=False)
class WelchT:
    """The Welch-Satterthwaite t test of independent seeds.

    Its degrees of freedom vary with the variances that happen to be seen. Given these, the estimate is normal, so that
    the power is the mean over drawn variances of a normal probability. The noncentral t with the degrees of freedom of
    the true variances would promise up to 8 points more with 3 seeds in each of 9 cells.
    """

    part_M: NDArray[np.float64]
    """What each cell adds to the variance of the estimate from one seed per cell."""
    alpha: float
    known_df: float | None = None
    """Degrees of freedom behind `sd`; None where it is an assumption."""
    smooth: ClassVar[bool] = True

    @property
    def sd(self) -> float:
        """Of the estimate from one seed per cell; from n seeds it is sd / sqrt(n)."""
        return float(np.sqrt(self.part_M.sum()))

    @property
    def unit(self) -> float:
        """An effect whose size is of the order of the noise."""
        return self.sd

    def detect(self, seeds: int, effect: float) -> float:
        """Return the probability that the two-sided test rejects zero."""
        return float(self._power_S(seeds, effect).mean())

    def equivalence(self, seeds: int, margin: float) -> float:
        """Return the probability that equivalence within ``margin`` is shown where there is no effect."""
        room_S = margin / self.sd * seeds**0.5 - self._critical_S(seeds, self.alpha)
        return float(np.maximum(0.0, 2 * ndtr(room_S) - 1).mean())

    def monte_carlo_se(self, seeds: int, effect: float) -> float:
        """Return the standard error of `detect`."""
        return float(self._power_S(seeds, effect).std() / np.sqrt(VARIANCES))

    def louder(self, factor: float) -> WelchT:
        """Return the test with ``factor`` times the noise."""
        return replace(self, part_M=self.part_M * factor**2)

    def _power_S(self, seeds: int, effect: float) -> NDArray[np.float64]:
        shift, critical_S = effect / self.sd * seeds**0.5, self._critical_S(seeds, self.alpha / 2)
        return np.asarray(ndtr(shift - critical_S) + ndtr(-shift - critical_S))

    def _critical_S(self, seeds: int, tail: float) -> NDArray[np.float64]:
        """Return the critical distance of the estimate from the tested value, in true standard errors."""
        rng = np.random.default_rng([_SEED, seeds])
        share_M = self.part_M[self.part_M > 0] / self.part_M.sum()
        share_SM = share_M * rng.chisquare(seeds - 1, (VARIANCES, len(share_M))) / (seeds - 1)
        total_S = share_SM.sum(axis=1)
        df_S = total_S**2 * (seeds - 1) / (share_SM**2).sum(axis=1)
        return np.asarray(-stdtrit(df_S, tail) * np.sqrt(total_S))


def t_test(noise: Noise, weights_M: NDArray[np.float64], *, paired: bool, alpha: float) -> OneSampleT | WelchT:
    """Return the test that decides on ``weights_M`` in a design with shared (``paired``) or independent seeds."""
    part_M = weights_M**2 * noise.variance_M
    if not paired:
        return WelchT(part_M, alpha, noise.df_of(part_M))
    variance = float(weights_M @ noise.covariance_MM @ weights_M)
    known_df = noise.df_of(part_M) if noise.paired_df is None else noise.paired_df
    return OneSampleT(max(variance, 0.0) ** 0.5, alpha, known_df)


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
