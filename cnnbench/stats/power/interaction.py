"""Power of the omnibus tests of an interaction, by simulating what they are computed from.

The ANOVA-type statistic and the Greenhouse-Geisser test have no power formula where spreads or correlations differ.
Trials are taken as normal. Cell means and variances (independent seeds), or the means and the covariance of the scores
(shared seeds), are then all that the tests see, and these are drawn directly: 10,000 studies cost the same with 5
seeds as with 500.

Shapes: M cells with trials, R degrees of freedom of the interaction, P differences of differences, S simulated studies.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.stats import f as f_distribution
from scipy.stats import t as student_t

from cnnbench.stats.omnibus.heteroscedastic import ats_figures
from cnnbench.stats.omnibus.noncentral import f_power
from cnnbench.stats.omnibus.within import greenhouse_geisser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

STUDIES = 10_000
"""Simulated studies for one figure: the standard error of a power of 80 % is 0.4 percentage points."""
QUICK_STUDIES = 2_000
"""For the ends of a range, which is wide."""
_AT_ONCE = 1_000
_SEED = 1908  # Student's t; any number would do, but the same input shall give the same answer


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What is asked of the cell means."""

    basis_MR: NDArray[np.float64]
    """Orthonormal contrasts of the interaction."""
    contrasts_PM: NDArray[np.float64]
    """Every difference of differences."""
    pattern_M: NDArray[np.float64]
    """The interaction's part of the cell means for an effect of 1: its largest difference of differences is 1."""


def smallest_pattern(shape: Shape, covariance_MM: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the interaction of least size that has a difference of differences of 1, and no larger one.

    It is the projection of one difference of differences, of the one that is hardest to see where noise differs.
    """
    noise_P = np.einsum("pm,mn,pn->p", shape.contrasts_PM, covariance_MM, shape.contrasts_PM)
    hardest_M = shape.contrasts_PM[int(np.argmax(noise_P.round(12 - _magnitude(noise_P))))]
    projected_M = shape.basis_MR @ (shape.basis_MR.T @ hardest_M)
    return np.asarray(projected_M / (hardest_M @ projected_M), dtype=np.float64)


def _magnitude(values: NDArray[np.float64]) -> int:
    """Return the order of magnitude of the largest value: equal noise shall not be told apart by its last bit."""
    return int(np.ceil(np.log10(values.max()))) if values.max() > 0 else 0


def largest_difference(shape: Shape, mean_M: NDArray[np.float64]) -> float:
    """Return the largest difference of differences of cell means."""
    return float(np.abs(shape.contrasts_PM @ mean_M).max())


def share_se(share: float, studies: int) -> float:
    """Return the standard error of a share of simulated studies."""
    return float((share * (1 - share) / studies) ** 0.5)


@dataclass(frozen=True, slots=True, eq=False)
class SharedSeeds:
    """The Greenhouse-Geisser test, and equivalence by per-seed t tests of all differences of differences."""

    shape: Shape
    covariance_RR: NDArray[np.float64]
    """Of one seed's scores on the contrasts of the interaction."""
    alpha: float
    known_df: float | None
    noise: float = 1.0
    studies: int = STUDIES
    smooth: ClassVar[bool] = False

    @property
    def unit(self) -> float:
        """An effect whose size is of the order of the noise."""
        size = float(np.linalg.norm(self.shape.pattern_M))
        return self.noise * float(np.sqrt(np.trace(self.covariance_RR))) / size

    def detect(self, seeds: int, effect: float) -> float:
        """Return the share of simulated studies in which the Greenhouse-Geisser test rejects."""
        shift_R = effect / self.noise * (self.shape.basis_MR.T @ self.shape.pattern_M)
        df = len(self.covariance_RR)
        rejected = 0
        for mean_SR, half_SRQ in self._studies(seeds):
            covariance_SRR = half_SRQ @ half_SRQ.swapaxes(1, 2)
            epsilon_S = greenhouse_geisser(covariance_SRR)
            f_S = seeds * ((mean_SR + shift_R) ** 2).sum(axis=1) / np.trace(covariance_SRR, axis1=1, axis2=2)
            p_S = f_distribution.sf(f_S, epsilon_S * df, epsilon_S * df * (seeds - 1))
            rejected += int(np.count_nonzero(p_S < self.alpha))
        return rejected / self.studies

    def equivalence(self, seeds: int, margin: float) -> float:
        """Return the share of studies without interaction that show every difference of differences to be small."""
        weights_PR = self.shape.contrasts_PM @ self.shape.basis_MR
        critical = float(student_t.isf(self.alpha, seeds - 1)) / seeds**0.5
        shown = 0
        for mean_SR, half_SRQ in self._studies(seeds):
            sd_SP = np.sqrt(((weights_PR @ half_SRQ) ** 2).sum(axis=2))
            reach_SP = np.abs(mean_SR @ weights_PR.T) + critical * sd_SP
            shown += int((reach_SP.max(axis=1) * self.noise < margin).sum())
        return shown / self.studies

    def monte_carlo_se(self, seeds: int, effect: float) -> float:
        """Return the standard error of `detect`."""
        return share_se(self.detect(seeds, effect), self.studies)

    def louder(self, factor: float) -> SharedSeeds:
        """Return the test with ``factor`` times the noise, simulated more coarsely."""
        return replace(self, noise=self.noise * factor, studies=QUICK_STUDIES)

    def _studies(self, seeds: int) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Yield mean scores and a root of their covariance, drawn without their effect.

        The root is that of Bartlett (1933, Proc. Royal Soc. Edinburgh 53, 260-283): below the diagonal normal numbers,
        on it roots of chi-square ones with ever fewer degrees of freedom, no more columns than there are.
        """
        values_R, vectors_RR = np.linalg.eigh(self.covariance_RR)
        root_RR = vectors_RR * np.sqrt(np.clip(values_R, 0, None))
        df, num_contrasts = seeds - 1, len(root_RR)
        num_columns = min(df, num_contrasts)
        rng = np.random.default_rng([_SEED, seeds])
        for _ in range(self.studies // _AT_ONCE):
            mean_SR = rng.standard_normal((_AT_ONCE, num_contrasts)) @ root_RR.T / seeds**0.5
            lower_SRQ = np.tril(rng.standard_normal((_AT_ONCE, num_contrasts, num_columns)), -1)
            diagonal_Q = np.arange(num_columns)
            lower_SRQ[:, diagonal_Q, diagonal_Q] = np.sqrt(rng.chisquare(df - diagonal_Q, (_AT_ONCE, num_columns)))
            yield mean_SR, root_RR @ lower_SRQ / df**0.5


@dataclass(frozen=True, slots=True, eq=False)
class IndependentSeeds:
    """The ANOVA-type statistic, or with missing cells the classical F, and equivalence by Welch's tests."""

    shape: Shape
    variance_M: NDArray[np.float64]
    alpha: float
    known_df: float | None
    complete: bool
    """Whether every cell of the grid has trials: the ANOVA-type statistic needs that."""
    noise: float = 1.0
    studies: int = STUDIES
    smooth: ClassVar[bool] = False

    @property
    def unit(self) -> float:
        """An effect whose size is of the order of the noise."""
        part = float((np.diag(self.shape.basis_MR @ self.shape.basis_MR.T) * self.variance_M).sum())
        return self.noise * float(np.sqrt(part)) / float(np.linalg.norm(self.shape.pattern_M))

    def detect(self, seeds: int, effect: float) -> float:
        """Return the share of simulated studies in which the deciding test rejects."""
        projection_MM = self.shape.basis_MR @ self.shape.basis_MR.T
        df = self.shape.basis_MR.shape[1]
        rejected = 0
        for noise_SM, variance_SM in self._studies(seeds):
            mean_SM = noise_SM + effect / self.noise * self.shape.pattern_M
            if self.complete:
                figures = ats_figures(mean_SM, variance_SM / seeds, seeds - 1, projection_MM)
            else:
                f_S = seeds * ((mean_SM @ self.shape.basis_MR) ** 2).sum(axis=1) / (df * variance_SM.mean(axis=1))
                figures = f_S, np.array(df), np.array(variance_SM.shape[1] * (seeds - 1))
            rejected += int(np.count_nonzero(f_distribution.sf(*figures) < self.alpha))
        return rejected / self.studies

    def classical(self, seeds: int, effect: float) -> float:
        """Return the power of the classical F with the cells' mean variance, exact where all variances are equal."""
        size = float(((effect / self.noise * self.shape.pattern_M) ** 2).sum())
        num_cells, df = self.shape.basis_MR.shape
        return f_power(seeds * size / float(self.variance_M.mean()), df, num_cells * (seeds - 1), self.alpha)

    def equivalence(self, seeds: int, margin: float) -> float:
        """Return the share of studies without interaction that show every difference of differences to be small."""
        contrasts_PM = self.shape.contrasts_PM
        inverse_G = np.linspace(0, 1 / (seeds - 1), 400)
        with np.errstate(divide="ignore"):
            critical_G = student_t.isf(self.alpha, 1 / inverse_G)
        shown = 0
        for mean_SM, variance_SM in self._studies(seeds):
            part_SP = variance_SM / seeds @ contrasts_PM.T**2
            inverse_SP = ((variance_SM / seeds) ** 2 @ contrasts_PM.T**4) / (seeds - 1) / part_SP**2
            reach_SP = np.abs(mean_SM @ contrasts_PM.T)
            reach_SP += np.interp(inverse_SP, inverse_G, critical_G) * np.sqrt(part_SP)
            shown += int((reach_SP.max(axis=1) * self.noise < margin).sum())
        return shown / self.studies

    def monte_carlo_se(self, seeds: int, effect: float) -> float:
        """Return the standard error of `detect`."""
        return share_se(self.detect(seeds, effect), self.studies)

    def louder(self, factor: float) -> IndependentSeeds:
        """Return the test with ``factor`` times the noise, simulated more coarsely."""
        return replace(self, noise=self.noise * factor, studies=QUICK_STUDIES)

    def _studies(self, seeds: int) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Yield cell means, drawn without an effect, and variances."""
        rng = np.random.default_rng([_SEED, seeds])
        shape = (_AT_ONCE, len(self.variance_M))
        for _ in range(self.studies // _AT_ONCE):
            mean_SM = rng.standard_normal(shape) * np.sqrt(self.variance_M / seeds)
            yield mean_SM, self.variance_M * rng.chisquare(seeds - 1, shape) / (seeds - 1)
