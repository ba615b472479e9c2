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
from scipy.stats import f as f_distribution

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MOST = 1e10
"""Largest ratio of a component's variance to the residual's that is searched."""
LONGEST = 3.0
"""Longest step on the logarithm of a variance."""
NEXT_TO_ZERO = 1e-5
"""Relative variance times trials in a group from which on down zero itself is tried."""
STEPS = 100
"""Newton needs about ten; the bound guards against a likelihood that is flat to rounding."""


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

    @property
    def belongs_QC(self) -> Floats:
        """1 where a column of Z belongs to a component."""
        return np.equal.outer(self.owner_Q, np.arange(len(self.groups))).astype(np.float64)

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


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """The likelihood at one choice of variances, relative to the residual's."""

    deviance: float
    """-2 restricted log likelihood but for a constant, the residual variance being profiled out."""
    rest: float
    """y'Py."""
    w_Q: Floats
    """Z'Py."""
    inner_QQ: Floats
    """Z'PZ."""


@dataclass(frozen=True, slots=True, eq=False)
class _Likelihood:
    """The REML likelihood of one response; gamma_C are variances relative to the residual's."""

    counted: Layout
    within_QQ: Floats
    """Z'QZ, where Q takes the cell means out."""
    zty_Q: Floats
    """Z'Qy."""
    yty: float
    """y'Qy."""

    def at(self, gamma_C: Floats) -> _Point:
        """Return the likelihood and what its derivatives are made of.

        As P = K (K'VK)^-1 K' for any K with Q = KK', everything follows from Z'QZ, Z'Qy and y'Qy:
        Z'PZ = (I + Z'QZ G)^-1 Z'QZ with G = diag(gamma), and log |K'VK| = log |I + Z'QZ G| (Harville 1977, JASA 72,
        320-338).
        """
        gamma_Q = gamma_C[self.counted.owner_Q]
        system_QQ = self.within_QQ * gamma_Q + np.eye(len(gamma_Q))
        solved = np.linalg.solve(system_QQ, np.column_stack([self.within_QQ, self.zty_Q]))
        rest = max(self.yty - float((self.zty_Q * gamma_Q) @ solved[:, -1]), np.finfo(float).tiny)
        log_det = float(np.linalg.slogdet(system_QQ)[1])
        deviance = log_det + self.counted.spare * float(np.log(rest))
        return _Point(deviance, rest, np.asarray(solved[:, -1]), np.asarray(solved[:, :-1]))

    def derivatives(self, point: _Point) -> tuple[Floats, Floats]:
        """Return the deviance's first (C) and second (C x C) derivatives by gamma."""
        belongs_QC = self.counted.belongs_QC
        spare, inner_QQ, w_Q = self.counted.spare, point.inner_QQ, point.w_Q / point.rest**0.5
        square_C = belongs_QC.T @ w_Q**2
        slope_C = belongs_QC.T @ np.diag(inner_QQ) - spare * square_C
        bend_CC = belongs_QC.T @ (w_Q[:, None] * inner_QQ * w_Q) @ belongs_QC
        trace_CC = belongs_QC.T @ inner_QQ**2 @ belongs_QC
        return slope_C, np.asarray(spare * (2 * bend_CC - np.outer(square_C, square_C)) - trace_CC)


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


def fit(
    y_N: Floats, cell_N: NDArray[np.int64], groups: Sequence[NDArray[np.int64]], near_C: Floats | None = None
) -> Reml:
    """Fit the model with components that are `separable`; the response must vary within cells.

    ``near_C`` are relative variances to begin with, from a fit of nearly the same model. Newton's method on the
    logarithms of the variances above zero; a variance is exactly zero where the deviance rises from zero on.
    """
    counted = layout(cell_N, groups)
    centred_N = y_N - (np.bincount(cell_N, y_N) / counted.n_M)[cell_N]
    likelihood = _Likelihood(counted, counted.within_QQ(), counted.sums(centred_N), float(centred_N @ centred_N))
    gamma_C = _climb(likelihood, near_C)
    return Reml(y_N, cell_N, counted, likelihood, gamma_C, likelihood.at(gamma_C).rest / counted.spare)


def _climb(likelihood: _Likelihood, near_C: Floats | None) -> Floats:
    """Return the relative variances of the highest likelihood, from two beginnings or from ``near_C``."""
    counted = likelihood.counted
    trials_C = counted.num_trials / counted.belongs_QC.sum(axis=0)
    begin = [np.ones(len(trials_C)), 0.01 / trials_C] if near_C is None else [near_C + 1e-3 / trials_C]
    ends = [_descend(likelihood, gamma_C, trials_C) for gamma_C in begin]
    return min(ends, key=lambda gamma_C: likelihood.at(gamma_C).deviance)


def _descend(likelihood: _Likelihood, gamma_C: Floats, trials_C: Floats) -> Floats:
    """Go down to the next lowest deviance, letting variances reach zero and rise from it again."""
    for _ in range(2 * len(gamma_C) + 2):
        gamma_C = _newton(likelihood, gamma_C, trials_C)
        hardly_C = (gamma_C > 0) & (gamma_C * trials_C < NEXT_TO_ZERO)
        if hardly_C.any():
            gamma_C = _newton(likelihood, np.where(hardly_C, 0.0, gamma_C), trials_C)
        slope_C, _ = likelihood.derivatives(likelihood.at(gamma_C))
        falls_C = np.where(gamma_C == 0, slope_C / trials_C, 0.0)
        worst = int(falls_C.argmin())
        if falls_C[worst] >= -1e-9 * likelihood.counted.spare:
            break
        gamma_C[worst] = 1e-3 / trials_C[worst]
    return gamma_C


def _newton(likelihood: _Likelihood, gamma_C: Floats, trials_C: Floats) -> Floats:
    """Take Newton steps on log gamma for those above zero; one that shrinks to nothing becomes zero.

    Where the deviance bends downwards the step goes against the bend, and it is halved until the deviance falls.
    """
    point, steepest = likelihood.at(gamma_C), np.inf
    for _ in range(STEPS):
        above = np.flatnonzero(gamma_C)
        slope_C, bend_CC = likelihood.derivatives(point)
        slope_A = slope_C[above] * gamma_C[above]
        before, steepest = steepest, float(np.abs(slope_A).max(initial=0.0))
        if steepest < 1e-10 or before <= steepest < 1e-5:  # as flat as rounding lets it be
            break
        bend_AA = bend_CC[np.ix_(above, above)] * np.outer(gamma_C[above], gamma_C[above])
        value, vector = np.linalg.eigh(bend_AA + np.diag(slope_A))
        step_A = -vector @ ((vector.T @ slope_A) / np.maximum(np.abs(value), 1e-8))
        step_A *= min(1.0, LONGEST / float(np.abs(step_A).max()))
        while np.abs(step_A).max() > 1e-10:
            tried_C = gamma_C.copy()
            tried_C[above] = np.minimum(gamma_C[above] * np.exp(step_A), MOST)
            tried_C[tried_C * trials_C < 1e-9] = 0.0
            tried = likelihood.at(tried_C)
            if tried.deviance <= point.deviance + 1e-9:
                break
            step_A /= 2
        else:
            break
        gamma_C, point = tried_C, tried
    return gamma_C
