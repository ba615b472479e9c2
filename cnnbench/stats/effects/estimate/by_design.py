"""The method that the design decides.

Shapes: M cells of the grid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.effects.estimate.independent import additive, welch
from cnnbench.stats.effects.estimate.nested_seeds import split_plot
from cnnbench.stats.effects.estimate.shared_seeds import paired
from cnnbench.types import Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.effects.estimate.value import Estimate
    from cnnbench.stats.trials.cells import CellData


def estimate(
    data: CellData, weights_M: NDArray[np.float64], what: str, product_M: NDArray[np.float64] | None = None
) -> Estimate | Refusal:
    """Estimate ``sum of weights x cell means``, with the method that the design decides.

    Shared seeds: a one-sample t over the replicates' scores; nested seeds: Welch's over whole plots. Independent seeds:
    Welch-Satterthwaite. One trial per cell: the error of the main-effects model (with ``product_M`` in it, where the
    estimate is that column's slope). ``what`` names the estimate in a refusal.
    """
    used_M = np.abs(weights_M) > 1e-12
    if (used_M & ~data.seen_M).any():
        missing = data.cell_name(int(np.flatnonzero(used_M & ~data.seen_M)[0]))
        return Refusal(what, f"It needs a cell without trials ({missing}).", "Run that cell.")
    if data.nested:
        return split_plot(data, weights_M, what)
    if not data.replicated:
        return additive(data, weights_M, what, product_M)
    if data.paired:
        return paired(data, weights_M, what)
    return welch(data, weights_M, what)
