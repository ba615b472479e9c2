"""Linear mixed models with independent variance components, fitted by restricted maximum likelihood (REML).

y = X b + Z_1 u_1 + ... + Z_C u_C + e, where X b is a mean for each cell, u_c ~ N(0, s_c I) and e ~ N(0, s_e I). A
variance may be exactly zero, which is a result and no failure. Everything is computed from counts: how many trials each
cell and each group have in common. statsmodels' MixedLM is not used: it tests by chi squared where F is due, and gives
fixed effects of 0.0 where a variance is zero (statsmodels issue 10239).

Shapes: N trials, M cells, C components (residual not counted), Q groups of all components together, R degrees of
freedom of a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from scipy.stats import f as f_distribution

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST = 1e5
"""Largest ratio of a component's standard deviation to the residual's that is searched."""
STEPS = 100
"""Newton needs a handful; the bound guards against a likelihood that is flat to rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Trials as counts. With W a diagonal of ones in the columns of one component, Z_c = Z W."""

    num_trials: int
    groups: tuple[NDArray[np.int64], ...]
    """For every component the group of each trial, numbered from 0."""
    owner_Q: NDArray[np.int64]
    """The component of each column of Z."""
    ztz_QQ: Floats
    ztx_QM: Floats
    n_M: Floats

    @property
    def spare(self) -> int:
        """Degrees of freedom that the cell means leave."""
        return self.num_trials - len(self.n_M)

    def split(self, values_Q: Floats) -> list[Floats]:
        """Return the part of each component."""
        return [values_Q[self.owner_Q == c] for c in range(len(self.groups))]

    def sums(self, y_N: Floats) -> Floats:
        """Return Z'y."""
        return np.concatenate([np.bincount(group_N, y_N) for group_N in self.groups])

    def within_QQ(self) -> Floats:
        """Return Z'QZ, where Q takes the cell means out."""
        return np.asarray(self.ztz_QQ - (self.ztx_QM / self.n_M) @ self.ztx_QM.T, dtype=np.float64)


def layout(cell_N: NDArray[np.int64], groups: Sequence[NDArray[np.int64]]) -> Layout:
    """Count. ``cell_N`` and each of the groups are numbered from 0 without gaps."""
    num_cells = int(cell_N.max()) + 1
    sizes = [int(group_N.max()) + 1 for group_N in groups]
    start = np.cumsum([0, *sizes])
    ztz_QQ, ztx_QM = np.zeros((start[-1], start[-1])), np.zeros((start[-1], num_cells))
    for a, group_N in enumerate(groups):
        np.add.at(ztx_QM, (start[a] + group_N, cell_N), 1.0)
        for b, other_N in enumerate(groups):
            np.add.at(ztz_QQ, (start[a] + group_N, start[b] + other_N), 1.0)
    owner_Q = np.repeat(np.arange(len(groups)), sizes)
    n_M = np.bincount(cell_N, minlength=num_cells).astype(np.float64)
    return Layout(len(cell_N), tuple(groups), owner_Q, ztz_QQ, ztx_QM, n_M)


def separable(cell_N: NDArray[np.int64], groups: Sequence[NDArray[np.int64]]) -> list[int]:
    """Return which components can be told from the residual, from the cells, and from those named before them.

    The matrices Q Z_c Z_c' Q and Q must be linearly independent (Rao & Kleffe 1988, Estimation of Variance Components
    and Applications, section 4.3). A component with one trial in every group, or one that only moves cell means, is
    not.
    """
    counted = layout(cell_N, groups)
    if counted.spare < 1:
        return []
    within_QQ = counted.within_QQ()
    size = len(groups) + 1
    gram = np.full((size, size), float(counted.spare))
    for a in range(len(groups)):
        rows_Q = counted.owner_Q == a
        gram[a, -1] = gram[-1, a] = np.trace(within_QQ[np.ix_(rows_Q, rows_Q)])
        for b in range(len(groups)):
            gram[a, b] = (within_QQ[np.ix_(rows_Q, counted.owner_Q == b)] ** 2).sum()
    length = np.sqrt(np.maximum(np.diag(gram), 0.0))
    kept: list[int] = []
    for a in range(len(groups)):
        chosen = [size - 1, *kept, a]
        if length[a] <= 1e-7 * length[-1]:
            continue
        cosine = gram[np.ix_(chosen, chosen)] / np.outer(length[chosen], length[chosen])
        if np.linalg.eigvalsh(cosine)[0] > 1e-9:
            kept.append(a)
    return kept


@dataclass(slots=True, eq=False)
class _Likelihood:
    """The REML likelihood of one response; gamma_C are variances relative to the residual's."""

    counted: Layout
    within_QQ: Floats
    zty_Q: Floats
    """Z'Qy."""
    yty: float
    """y'Qy."""

    def parts(self, gamma_C: Floats) -> tuple[float, float, Floats, Floats]:
        """Return log |K'VK|, y'Py, Z'Py (Q) and H (Q x Q) with Z'PZ = Z'QZ - H'H (Harville 1977, JASA 72, 320-338)."""
        scale_Q = np.sqrt(gamma_C)[self.counted.owner_Q]
        inner_QQ = scale_Q[:, None] * self.within_QQ * scale_Q + np.eye(len(scale_Q))
        lower_QQ = np.linalg.cholesky(inner_QQ)
        half_QQ = solve_triangular(lower_QQ, scale_Q[:, None] * self.within_QQ, lower=True)
        half_Q = solve_triangular(lower_QQ, scale_Q * self.zty_Q, lower=True)
        rest = max(self.yty - float(half_Q @ half_Q), np.finfo(float).tiny)
        log_det = 2 * float(np.log(np.diag(lower_QQ)).sum())
        return log_det, rest, self.zty_Q - half_QQ.T @ half_Q, half_QQ

    def deviance(self, gamma_C: Floats) -> float:
        """Return -2 log likelihood but for a constant, the residual variance being profiled out."""
        log_det, rest, _, _ = self.parts(gamma_C)
        return log_det + self.counted.spare * float(np.log(rest))

    def slope(self, gamma_C: Floats) -> Floats:
        """Return the deviance's derivative by gamma."""
        _, rest, w_Q, half_QQ = self.parts(gamma_C)
        trace_Q = np.diag(self.within_QQ) - (half_QQ**2).sum(axis=0)
        by_Q = trace_Q - self.counted.spare / rest * w_Q**2
        return np.array([part.sum() for part in self.counted.split(by_Q)])

    def curvature(self, gamma_C: Floats) -> Floats:
        """Return the deviance's second derivatives by gamma, shape (C, C)."""
        _, rest, w_Q, half_QQ = self.parts(gamma_C)
        inner_QQ = self.within_QQ - half_QQ.T @ half_QQ
        belongs_QC = np.equal.outer(self.counted.owner_Q, np.arange(len(gamma_C))).astype(float)
        trace_CC = belongs_QC.T @ inner_QQ**2 @ belongs_QC
        bend_CC = belongs_QC.T @ (w_Q[:, None] * inner_QQ * w_Q) @ belongs_QC
        square_C = belongs_QC.T @ w_Q**2
        spare = self.counted.spare
        return np.asarray(-trace_CC + spare * (2 * bend_CC / rest - np.outer(square_C, square_C) / rest**2))


@dataclass(frozen=True, eq=False)
class Reml:
    """A fitted model."""

    y_N: Floats
    cell_N: NDArray[np.int64]
    counted: Layout
    likelihood: _Likelihood
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
        return self.likelihood.deviance(self.gamma_C) + self._constant

    @property
    def null_deviance(self) -> float:
        """The same without any component: independent trials."""
        return self.likelihood.deviance(np.zeros_like(self.gamma_C)) + self._constant

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
        _, rest, w_Q, half_QQ = self.likelihood.parts(gamma_C)
        inner_QQ = self.likelihood.within_QQ - half_QQ.T @ half_QQ
        gamma_Q = gamma_C[counted.owner_Q]
        twice_Q = w_Q - inner_QQ @ (gamma_Q * w_Q)  # Z'PPy
        squares_Q = np.diag(inner_QQ) - inner_QQ**2 @ gamma_Q  # diagonal of Z'PPZ
        trace_p = counted.spare - float(gamma_Q @ np.diag(inner_QQ))
        trace_pp = trace_p - float(gamma_Q @ squares_Q)
        yppy = rest - float(gamma_Q @ w_Q**2)
        ypppy = yppy - float(gamma_Q @ (w_Q * twice_Q))
        above = np.flatnonzero(gamma_C)
        belongs_QA = np.equal.outer(counted.owner_Q, above).astype(float)
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


def fit(
    y_N: Floats, cell_N: NDArray[np.int64], groups: Sequence[NDArray[np.int64]], near_C: Floats | None = None
) -> Reml:
    """Fit the model with components that are `separable`; the response must vary within cells.

    ``near_C`` are relative variances to begin with, from a fit of nearly the same model. Bounded optimisation of the
    profiled deviance over standard deviations, then Newton steps on the logarithms of the variances above zero; a
    variance is zero where the deviance rises from zero on.
    """
    counted = layout(cell_N, groups)
    centred_N = y_N - (np.bincount(cell_N, y_N) / counted.n_M)[cell_N]
    likelihood = _Likelihood(counted, counted.within_QQ(), counted.sums(centred_N), float(centred_N @ centred_N))
    gamma_C = _climb(likelihood, near_C)
    rest = likelihood.parts(gamma_C)[1]
    return Reml(y_N, cell_N, counted, likelihood, gamma_C, rest / counted.spare)


def _climb(likelihood: _Likelihood, near_C: Floats | None) -> Floats:
    """Return the relative variances of the highest likelihood, from two beginnings or from ``near_C``."""
    counted = likelihood.counted
    trials_C = counted.num_trials / np.array([len(part) for part in counted.split(np.zeros(len(counted.owner_Q)))])

    def scaled(root_C: Floats) -> tuple[float, Floats]:
        return likelihood.deviance(root_C**2), 2 * root_C * likelihood.slope(root_C**2)

    bounds = [(0.0, MOST)] * len(trials_C)
    begin = [np.full(len(trials_C), at) for at in (1.0, 0.1)] if near_C is None else [np.sqrt(near_C) + 1e-3]
    ends = [minimize(scaled, root_C, jac=True, method="L-BFGS-B", bounds=bounds) for root_C in begin]
    gamma_C = np.asarray(min(ends, key=lambda found: float(found.fun)).x ** 2)
    zero_C = gamma_C * trials_C < 1e-4
    for _ in range(2 * len(gamma_C) + 2):
        gamma_C = _polish(likelihood, np.where(zero_C, 0.0, gamma_C), trials_C)
        zero_C = gamma_C == 0
        falls_C = np.where(zero_C, likelihood.slope(gamma_C) / trials_C, 0.0)
        if not zero_C.any() or falls_C.min() >= -1e-9 * counted.spare:
            break
        worst = int(falls_C.argmin())
        zero_C[worst] = False
        gamma_C[worst] = 1e-3 / trials_C[worst]
    return gamma_C


def _polish(likelihood: _Likelihood, gamma_C: Floats, trials_C: Floats) -> Floats:
    """Take Newton steps on log gamma for those above zero; one that shrinks to nothing becomes zero."""
    best = likelihood.deviance(gamma_C)
    for _ in range(STEPS):
        above = np.flatnonzero(gamma_C)
        slope_A = likelihood.slope(gamma_C)[above] * gamma_C[above]
        if not len(above) or np.abs(slope_A).max() < 1e-10:
            break
        curved_AA = likelihood.curvature(gamma_C)[np.ix_(above, above)] * np.outer(gamma_C[above], gamma_C[above])
        value, vector = np.linalg.eigh(curved_AA + np.diag(slope_A))
        step_A = -vector @ ((vector.T @ slope_A) / np.maximum(np.abs(value), 1e-8))
        step_A *= min(1.0, 3.0 / float(np.abs(step_A).max()))
        for _ in range(30):
            tried_C = gamma_C.copy()
            tried_C[above] *= np.exp(step_A)
            reached = likelihood.deviance(tried_C)
            if reached <= best + 1e-12 * abs(best):
                break
            step_A /= 2
        else:
            break
        gamma_C, best = np.where(tried_C * trials_C < 1e-9, 0.0, tried_C), reached
    return gamma_C
