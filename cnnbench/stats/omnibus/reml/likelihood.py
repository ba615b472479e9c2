"""The restricted likelihood of one response, and the way to where it is highest.

Shapes: M cells, C components (residual not counted), A components above zero, Q groups of all components together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cnnbench.stats.omnibus.reml.layout import Floats, Layout


MOST = 1e10
"""Largest ratio of a component's variance to the residual's that is searched."""


LONGEST = 3.0
"""Longest step on the logarithm of a variance."""


NEXT_TO_ZERO = 1e-5
"""Relative variance times trials in a group from which on down zero itself is tried."""


STEPS = 100
"""Newton needs about ten; the bound guards against a likelihood that is flat to rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Point:
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
class Likelihood:
    """The REML likelihood of one response; gamma_C are variances relative to the residual's."""

    counted: Layout
    within_QQ: Floats
    """Z'QZ, where Q takes the cell means out."""
    zty_Q: Floats
    """Z'Qy."""
    yty: float
    """y'Qy."""

    def at(self, gamma_C: Floats) -> Point:
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
        return Point(deviance, rest, np.asarray(solved[:, -1]), np.asarray(solved[:, :-1]))

    def derivatives(self, point: Point) -> tuple[Floats, Floats]:
        """Return the deviance's first (C) and second (C x C) derivatives by gamma."""
        belongs_QC = self.counted.belongs_QC
        spare, inner_QQ, w_Q = self.counted.spare, point.inner_QQ, point.w_Q / point.rest**0.5
        square_C = belongs_QC.T @ w_Q**2
        slope_C = belongs_QC.T @ np.diag(inner_QQ) - spare * square_C
        bend_CC = belongs_QC.T @ (w_Q[:, None] * inner_QQ * w_Q) @ belongs_QC
        trace_CC = belongs_QC.T @ inner_QQ**2 @ belongs_QC
        return slope_C, np.asarray(spare * (2 * bend_CC - np.outer(square_C, square_C)) - trace_CC)


def climb(likelihood: Likelihood, near_C: Floats | None) -> Floats:
    """Return the relative variances of the highest likelihood, from two beginnings or from ``near_C``."""
    counted = likelihood.counted
    trials_C = counted.num_trials / counted.belongs_QC.sum(axis=0)
    begin = [np.ones(len(trials_C)), 0.01 / trials_C] if near_C is None else [near_C + 1e-3 / trials_C]
    ends = [_descend(likelihood, gamma_C, trials_C) for gamma_C in begin]
    return min(ends, key=lambda gamma_C: likelihood.at(gamma_C).deviance)


def _descend(likelihood: Likelihood, gamma_C: Floats, trials_C: Floats) -> Floats:
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


def _newton(likelihood: Likelihood, gamma_C: Floats, trials_C: Floats) -> Floats:
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
