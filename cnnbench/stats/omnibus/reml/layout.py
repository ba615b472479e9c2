"""Trials as counts: how many each cell and each group have in common, and which components these can tell apart.

Shapes: N trials, M cells, C components (residual not counted), Q groups of all components together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


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
