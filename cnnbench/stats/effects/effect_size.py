"""What stands beside an estimate: the classical figures of R's emmeans, Hedges' g and Cliff's delta.

Shapes: M cells of the grid.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

from cnnbench.stats.effects.estimate import Estimate, complete_only, equivalence_p, fixed_block, pooled, split_plot
from cnnbench.stats.omnibus.noncentral import standard_interval, studentized_range_sf
from cnnbench.types import Classical, Interval, Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.trials.cells import CellData
    from cnnbench.types import Effect


def described(  # noqa: PLR0913, PLR0917 - what an effect is, and how it is asked for
    effect: Effect,
    data: CellData,
    weights_M: NDArray[np.float64],
    found: Estimate,
    alpha: float,
    margin: float | None = None,
) -> Effect:
    """Return the effect with its classical figures and its sizes, as far as the design has them."""
    complete = complete_only(data, weights_M)
    classical = classical_estimate(data, weights_M, found)
    size = hedges_g(data, weights_M, found, alpha)
    return replace(
        effect,
        classical=None if classical is None else _classical(classical, alpha, margin),
        complete=None if complete is None else _classical(complete, alpha, margin),
        hedges_g=None if size is None else size[0],
        hedges_g_interval=None if size is None else size[1],
        cliffs_delta=cliffs_delta_of(data, weights_M),
    )


def classical_estimate(data: CellData, weights_M: NDArray[np.float64], found: Estimate) -> Estimate | None:
    """Return the estimate with one variance for all cells.

    None for shared seeds that are complete, where the per-seed t needs nothing beside it but the sign-flip test, and
    for random datasets, which no analysis may take as fixed.
    """
    if not data.replicated:
        return found
    if data.nested:
        whole = split_plot(data, weights_M, "", equal_variances=True)
        return None if isinstance(whole, Refusal) else whole
    if data.block != "seed":
        return None
    if data.paired:
        complete = data.complete_rows(data.seen_M).all()
        return None if complete else fixed_block(data, weights_M)
    classical = pooled(data, weights_M, "")
    return None if isinstance(classical, Refusal) else classical


def _classical(found: Estimate, alpha: float, margin: float | None) -> Classical:
    interval = found.interval(alpha)
    equivalence = None if margin is None else equivalence_p(found, margin)
    return Classical(
        found.method, found.value, found.se, found.df, found.t, found.p, interval, equivalence_p=equivalence
    )


def tukey_p(t: float, num_means: int, df: float) -> float:
    """Return the p of a pairwise comparison among ``num_means`` means, adjusted for all of them.

    P(Q > sqrt(2) |t|) of the studentized range (Tukey 1953; Kramer 1956, Biometrics 12, 307-310).
    """
    return studentized_range_sf(2**0.5 * abs(t), num_means, df)


def hedges_factor(df: float) -> float:
    """Return J = gamma(df / 2) / [sqrt(df / 2) gamma((df - 1) / 2)] (Hedges 1981, J. Educ. Stat. 6, 107-128)."""
    return float(np.exp(gammaln(df / 2) - gammaln((df - 1) / 2)) / np.sqrt(df / 2))


def hedges_g(
    data: CellData, weights_M: NDArray[np.float64], found: Estimate, alpha: float
) -> tuple[float, Interval | None] | None:
    """Return the standardised effect with its interval from the noncentral t.

    Shared seeds: the mean of the per-seed values over their SD. Independent seeds: the difference of two averages of
    cells over the pooled SD within cells; other weighted sums, such as slopes, have no natural standard, nor have
    nested seeds, which differ between and within. None with fewer than 2 degrees of freedom, where the correction is
    not defined.
    """
    if not data.replicated or data.nested:
        return None
    if data.paired:
        base, per_t = found, found.n**-0.5
    else:
        classical = pooled(data, weights_M, "")
        if isinstance(classical, Refusal) or not np.isclose(np.abs(weights_M).sum(), 2):
            return None
        base, per_t = classical, classical.se / (data.ss_within / data.df_within) ** 0.5
    if base.df < 2:
        return None
    scale = hedges_factor(base.df) * per_t
    limits = standard_interval(base.t, base.df, alpha)
    interval = None if limits is None else Interval(scale * limits[0], scale * limits[1], 1 - alpha)
    return scale * base.t, interval


def cliffs_delta_of(data: CellData, weights_M: NDArray[np.float64]) -> float | None:
    """Return Cliff's delta where the weights compare exactly two cells, else None."""
    used = np.flatnonzero(np.abs(weights_M) > 1e-12)
    if len(used) != 2 or not np.allclose(np.sort(weights_M[used]), [-1, 1]):
        return None
    first, second = (data.y_KM[:, weights_M * sign > 0.5].ravel() for sign in (1, -1))
    return cliffs_delta(first[np.isfinite(first)], second[np.isfinite(second)])


def cliffs_delta(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return P(first > second) - P(first < second) over all pairs (Cliff 1993, Psychological Bulletin 114, 494-509)."""
    ordered = np.sort(second)
    above = np.searchsorted(ordered, first, side="left").sum()
    below = (len(ordered) - np.searchsorted(ordered, first, side="right")).sum()
    return float(above - below) / (len(first) * len(second))
