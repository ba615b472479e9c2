"""A fitted model: its variances, its means, and their tests with Satterthwaite's degrees of freedom.

Shapes: N trials, M cells, C components (residual not counted), A variances above zero, Q groups of all components
together, R degrees of freedom of a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import f as f_distribution

from cnnbench.stats.omnibus.reml.layout import layout
from cnnbench.stats.omnibus.reml.likelihood import Likelihood, climb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cnnbench.stats.omnibus.reml.layout import Floats, Layout


def fit(
    y_N: Floats, cell_N: NDArray[np.int64], groups: Sequence[NDArray[np.int64]], near_C: Floats | None = None
) -> Reml:
    """Fit the model with components that are `separable`; the response must vary within cells.

    ``near_C`` are relative variances to begin with, from a fit of nearly the same model. Newton's method on the
    logarithms of the variances above zero; a variance is exactly zero where the deviance rises from zero on.
    """
    counted = layout(cell_N, groups)
    centred_N = y_N - (np.bincount(cell_N, y_N) / counted.n_M)[cell_N]
    likelihood = Likelihood(counted, counted.within_QQ(), counted.sums(centred_N), float(centred_N @ centred_N))
    gamma_C = climb(likelihood, near_C)
    return Reml(y_N, cell_N, counted, likelihood, gamma_C, likelihood.at(gamma_C).rest / counted.spare)


@dataclass(frozen=True, eq=False)
class Reml:
    """A fitted model."""

    y_N: Floats
    cell_N: NDArray[np.int64]
    counted: Layout
    likelihood: Likelihood
    gamma_C: Floats
    residual: float
    """Variance of the residual."""

    @property
    def variance_C(self) -> Floats:
        """Variances of the components; exactly 0.0 where the likelihood is highest at the boundary."""
        return self.gamma_C * self.residual

    @property
    def deviance(self) -> float:
        """-2 REML log likelihood, with a column for each cell as the coding of the fixed effects."""
        return self.likelihood.at(self.gamma_C).deviance + self._constant

    @property
    def null_deviance(self) -> float:
        """The same without any component: independent trials."""
        return self.likelihood.at(np.zeros_like(self.gamma_C)).deviance + self._constant

    @property
    def _constant(self) -> float:
        spare = self.counted.spare
        return spare * (1 + float(np.log(2 * np.pi / spare))) + float(np.log(self.counted.n_M).sum())

    @cached_property
    def _solved(self) -> tuple[Floats, Floats, Floats]:
        """The inverse of X'V^-1 X, X'V^-1 Z and X'V^-1 y, V relative to the residual variance."""
        counted = self.counted
        scale_Q = np.sqrt(self.gamma_C)[counted.owner_Q]
        inner_QQ = scale_Q[:, None] * counted.ztz_QQ * scale_Q + np.eye(len(scale_Q))
        taken_QM = scale_Q[:, None] * np.linalg.solve(inner_QQ, scale_Q[:, None] * counted.ztx_QM)
        information_MM = np.diag(counted.n_M) - counted.ztx_QM.T @ taken_QM
        return (
            np.linalg.inv((information_MM + information_MM.T) / 2),
            np.asarray(counted.ztx_QM.T - taken_QM.T @ counted.ztz_QQ),
            np.asarray(np.bincount(self.cell_N, self.y_N) - taken_QM.T @ counted.sums(self.y_N)),
        )

    @cached_property
    def mean_M(self) -> Floats:
        """Generalised least squares means of the cells."""
        inverse_MM, _, weighted_M = self._solved
        return np.asarray(inverse_MM @ weighted_M)

    @cached_property
    def covariance_MM(self) -> Floats:
        """Covariance of `mean_M`."""
        return np.asarray(self._solved[0] * self.residual)

    @cached_property
    def _gradients(self) -> list[Floats]:
        """Derivatives of `covariance_MM` by the variances above zero, the residual's last."""
        inverse_MM, across_MQ, _ = self._solved
        parts = [across_MQ[:, self.counted.owner_Q == c] for c in range(len(self.gamma_C))]
        outer = [part @ part.T for part in parts]
        above = np.flatnonzero(self.gamma_C)
        squared_MM = np.linalg.inv(inverse_MM) - sum((self.gamma_C[c] * outer[c] for c in above), np.zeros(()))
        return [inverse_MM @ middle @ inverse_MM for middle in (*(outer[c] for c in above), squared_MM)]

    @cached_property
    def _uncertainty(self) -> Floats:
        """Covariance of the variances above zero, the residual's last: twice the inverse of the deviance's curvature.

        With P V P = P every trace and quadratic form follows from Z'PZ and Z'Py. A variance of zero is taken as known:
        in terms of its square root the likelihood is flat there.
        """
        counted, gamma_C = self.counted, self.gamma_C
        point = self.likelihood.at(gamma_C)
        inner_QQ, w_Q = point.inner_QQ, point.w_Q
        gamma_Q = gamma_C[counted.owner_Q]
        twice_Q = w_Q - inner_QQ @ (gamma_Q * w_Q)  # Z'PPy
        squares_Q = np.diag(inner_QQ) - inner_QQ**2 @ gamma_Q  # diagonal of Z'PPZ
        trace_p = counted.spare - float(gamma_Q @ np.diag(inner_QQ))
        trace_pp = trace_p - float(gamma_Q @ squares_Q)
        yppy = point.rest - float(gamma_Q @ w_Q**2)
        ypppy = yppy - float(gamma_Q @ (w_Q * twice_Q))
        above = np.flatnonzero(gamma_C)
        belongs_QA = counted.belongs_QC[:, above]
        size = len(above) + 1
        curved = np.zeros((size, size))
        bend_AA = belongs_QA.T @ (w_Q[:, None] * inner_QQ * w_Q) @ belongs_QA
        curved[:-1, :-1] = -(belongs_QA.T @ inner_QQ**2 @ belongs_QA) + 2 * bend_AA / self.residual
        curved[:-1, -1] = belongs_QA.T @ (-squares_Q + 2 * w_Q * twice_Q / self.residual)
        curved[-1, :-1] = curved[:-1, -1]
        curved[-1, -1] = -trace_pp + 2 * ypppy / self.residual
        unit = np.sqrt(np.abs(np.diag(curved)))
        value, vector = np.linalg.eigh(curved / np.outer(unit, unit))
        sound = value > 1e-8
        inverse = (vector[:, sound] / value[sound]) @ vector[:, sound].T / np.outer(unit, unit)
        return np.asarray(2 * self.residual**2 * inverse)

    def satterthwaite(self, weights_M: Floats) -> tuple[float, float, float]:
        """Return estimate, standard error and degrees of freedom of a weighted sum of cell means.

        df = 2 v^2 / (g'Ag) with the variance v, its derivatives g by the variances, and their covariance A
        (Giesbrecht & Burns 1985, Biometrics 41, 477-486).
        """
        variance = float(weights_M @ self.covariance_MM @ weights_M)
        slope_A = np.array([weights_M @ gradient_MM @ weights_M for gradient_MM in self._gradients])
        df = 2 * variance**2 / float(slope_A @ self._uncertainty @ slope_A)
        return float(weights_M @ self.mean_M), variance**0.5, df

    def f_test(self, contrasts_RM: Floats) -> tuple[float, int, float, float]:
        """Return F, its two degrees of freedom and p of several contrasts at once.

        The contrasts are turned so that their estimates are uncorrelated; F is the mean of their squared t, and the
        denominator's df gives F the mean that these t have (Fai & Cornelius 1996, J. Stat. Comput. Simul. 54, 363-378;
        as in lmerTest: Kuznetsova, Brockhoff & Christensen 2017, J. Stat. Software 82(13)).
        """
        value_R, vector_RR = np.linalg.eigh(contrasts_RM @ self.covariance_MM @ contrasts_RM.T)
        sound_R = value_R > 1.5e-8 * value_R.max()
        turned = vector_RR[:, sound_R].T @ contrasts_RM
        tests = [self.satterthwaite(weights_M) for weights_M in turned]
        f = sum((value / se) ** 2 for value, se, _ in tests) / len(tests)
        df2 = _denominator([df for _, _, df in tests])
        return f, len(tests), df2, float(f_distribution.sf(f, len(tests), df2))


def _denominator(df: Sequence[float]) -> float:
    """Return the df2 at which F has the mean of the squared t values: 2 E / (E - R), E = sum of df / (df - 2)."""
    if max(df) - min(df) <= 1e-6 * max(df):
        return float(np.mean(df))
    if min(df) <= 2:
        return 2.0
    expected = sum(each / (each - 2) for each in df)
    return 2 * expected / (expected - len(df))
