"""Learning curves of a cell: the mean over replicates with a pointwise t interval.

Shapes: R replicates, E epochs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from cnnbench.types import Curve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from cnnbench.types import Level


def summarise_curves(  # noqa: PLR0913, PLR0917 - a curve has this many parts
    cell: Mapping[str, Level],
    phase: Sequence[str],
    size_px: Sequence[int],
    scalars: Sequence[Mapping[str, NDArray[np.float64]]],
    descriptions: Mapping[str, tuple[str, str]],
    level: float = 0.95,
) -> Iterator[Curve]:
    """Yield the curve of each value that the trials of a cell have in common.

    Args:
        cell: Levels of the cell.
        phase: Phase of each epoch.
        size_px: Image side of each epoch, px.
        scalars: For each trial, values by name and epoch; NaN where an epoch has none.
        descriptions: Unit and long name by name.
        level: Confidence level of the pointwise interval ``mean +- t(n - 1) s / sqrt(n)``.
    """
    num = len(scalars)
    names = [name for name in scalars[0] if all(name in trial for trial in scalars)]
    for name in names:
        values_RE = np.stack([trial[name] for trial in scalars])
        kept: list[int] = np.flatnonzero(np.isfinite(values_RE).all(axis=0)).tolist()
        if not kept:
            continue
        mean_E = values_RE[:, kept].mean(axis=0)
        half_E = np.zeros_like(mean_E)
        if num > 1:
            quantile = special.stdtrit(num - 1, (1 + level) / 2)
            half_E = quantile * values_RE[:, kept].std(axis=0, ddof=1) / np.sqrt(num)
        unit, long_name = descriptions[name]
        yield Curve(
            name=name,
            long_name=long_name,
            unit=unit,
            cell=cell,
            epoch=kept,
            phase=[phase[epoch] for epoch in kept],
            size_px=[int(size_px[epoch]) for epoch in kept],
            mean=mean_E.tolist(),
            low=(mean_E - half_E).tolist(),
            high=(mean_E + half_E).tolist(),
            n=num,
        )
