"""Replicates that are nested in whole plots: one value for each of them, whole plots weighed as the question says.

Shapes: K replicates, M cells of the grid, J cells of a whole plot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.effects.estimate.shared_seeds import left_out
from cnnbench.stats.effects.estimate.value import Estimate
from cnnbench.stats.trials.cells import NO_NOISE_REMEDY
from cnnbench.types import Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.trials.cells import CellData


def split_plot(
    data: CellData, weights_M: NDArray[np.float64], what: str, *, equal_variances: bool = False
) -> Estimate | Refusal:
    """Estimate where replicates are nested in whole plots: one value per replicate, a weighted sum of its cells.

    The estimate is the sum over whole plots of factor x mean value, so plots count as the question says, however many
    replicates they have. Variance sum b^2 v / n with a variance for each plot, and Satterthwaite's degrees of freedom
    as for independent trials: replicates of different plots are as unrelated as these (Welch 1947, Biometrika 34,
    28-35). The variance pooled over all plots stands beside it, on replicates - plots degrees of freedom, which is the
    one-way analysis of the per-replicate values; it stands alone where a plot has one replicate or no spread.
    """
    plots = _plots(data, weights_M)
    counted = [plot for plot in plots if plot.factor]
    n = np.array([len(plot.score_K) for plot in counted])
    df, squares = sum(plot.df for plot in plots), sum(plot.squares for plot in plots)
    if (n == 0).any() or df < 1:
        why = f"Only {n.sum()} replicate(s) in {len(n)} whole plot(s) have a trial in every cell that it needs."
        return Refusal(what, why, "Rerun the failed trials (`--retry-failed`) or add replicates to each whole plot.")
    if squares <= df * data.tiny**2:
        why = "The replicates of each whole plot give the same value, so there is no noise to test against."
        return Refusal(what, why, NO_NOISE_REMEDY)
    value = sum(plot.factor * float(plot.score_K.mean()) for plot in counted) + data.offset * float(weights_M.sum())
    part = np.array([plot.factor**2 for plot in counted]) / n
    where = f"the per-seed values of {n.sum()} replicates in {len(n)} whole plot{'s' if len(n) > 1 else ''}"
    without = left_out(data, data.complete_rows(np.abs(weights_M) > 1e-12) | ~_within_plots(data, weights_M))
    pooled_t = Estimate(
        value,
        float(np.sqrt(squares / df * part.sum())),
        df,
        int(n.sum()),
        int(n.min()),
        f"t over {where}, variance pooled over whole plots{without}",
        None,
        "",
    )
    if equal_variances or any(plot.squares <= plot.df * data.tiny**2 for plot in counted):
        return pooled_t
    part *= np.array([plot.squares for plot in counted]) / (n - 1)
    return replace(
        pooled_t,
        se=float(np.sqrt(part.sum())),
        df=float(part.sum() ** 2 / (part**2 / (n - 1)).sum()),
        method=f"Welch-Satterthwaite t over {where}{without}",
        robust_p=pooled_t.p,
        robust_method="t test with the variance pooled over plots",
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Plot:
    """The replicates of one whole plot that have what a question needs."""

    factor: float
    """How much the plot's mean value counts; 0 for plots that only tell of the noise."""
    score_K: NDArray[np.float64]

    @property
    def df(self) -> int:
        return max(0, len(self.score_K) - 1)

    @property
    def squares(self) -> float:
        return float(((self.score_K - self.score_K.mean()) ** 2).sum()) if len(self.score_K) else 0.0


def _plots(data: CellData, weights_M: NDArray[np.float64]) -> list[_Plot]:
    """Return the per-replicate values by whole plot.

    Where the question weighs the cells within replicates alike in all plots, up to a factor, the plots that it leaves
    out are there, too, as they tell of the noise in the same value.
    """
    plot_M, plot_K = data.plot_M, data.plot_K
    rows = [weights_M[plot_M == plot] for plot in range(int(plot_M.max()) + 1)]
    unit_J = max(rows, key=lambda row_J: float(np.abs(row_J).sum()))
    unit_J = unit_J / np.abs(unit_J).sum()
    factors = [float(row_J @ unit_J) / float(unit_J @ unit_J) for row_J in rows]
    alike = all(np.allclose(row_J, b * unit_J, atol=1e-12) for row_J, b in zip(rows, factors, strict=True))
    plots = []
    for plot, (row_J, b) in enumerate(zip(rows, factors, strict=True)):
        used_J = np.abs(unit_J if alike else row_J) > 1e-12
        if not used_J.any():
            continue
        y_KJ = data.y_KM[plot_K == plot][:, plot_M == plot][:, used_J]
        y_KJ = y_KJ[np.isfinite(y_KJ).all(axis=1)]
        factor = (b if abs(b) > 1e-12 else 0.0) if alike else 1.0
        plots.append(_Plot(factor, y_KJ @ (unit_J if alike else row_J)[used_J]))
    return plots


def _within_plots(data: CellData, weights_M: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which replicates belong to a whole plot with a cell that counts."""
    return np.asarray(np.isin(data.plot_K, data.plot_M[np.abs(weights_M) > 1e-12]))
