"""One response as a table of replicates by cells, and its means.

Shapes: K replicates, M cells of the grid (row-major in the order of the factors), N trials.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student_t

from cnnbench.types import Cell, Factor, Interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from cnnbench.types import Level

ROUNDING = 1e-14
"""A spread below this part of the largest response is taken for rounding error, not for noise."""
NO_NOISE_REMEDY = (
    "Over few examples, equal values happen by chance: add replicates; else check that they have different seeds."
)


@dataclass(frozen=True, slots=True, eq=False)
class CellData:
    """The trials of one response on the analysis scale.

    The responses are centred: least squares on 0.97123, 0.97124, ... loses digits that it keeps on the deviations
    (NIST StRD, SmLs07).
    """

    factors: tuple[Factor, ...]
    """With the levels that have trials."""
    y_KM: NDArray[np.float64]
    """Response minus `offset`; nan where the replicate has no trial in the cell."""
    offset: float
    replicates: tuple[int | str, ...]
    """Label of each row. Rows of an unpaired design are mere positions: trial k of one cell has nothing to do with
    trial k of another."""
    paired: bool
    tiny: float
    """Spreads up to here are rounding error."""
    n_M: NDArray[np.int64]
    mean_M: NDArray[np.float64]
    """Mean of the centred responses; nan in empty cells."""
    var_M: NDArray[np.float64]
    """Variance with denominator n - 1; nan below two trials."""
    between: tuple[int, ...] = ()
    """Positions of the factors of which every replicate has one level only: whole plots of a split-plot design."""
    block: str = "seed"
    """What a row of a paired design is, as sentences call it; where datasets are random the name of that factor, and a
    row holds means over replicates."""
    pilot: tuple[int, ...] = ()
    """Of a two-stage design: the replicates whose spread decided how many there are."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of levels by factor."""
        return tuple(len(factor.levels) for factor in self.factors)

    @property
    def seen_M(self) -> NDArray[np.bool_]:
        """Which cells have trials."""
        return self.n_M > 0

    @property
    def complete(self) -> bool:
        """Whether every cell of the grid has a trial."""
        return bool(self.seen_M.all())

    @property
    def active(self) -> tuple[int, ...]:
        """Positions of the factors that have at least two levels."""
        return tuple(i for i, size in enumerate(self.shape) if size > 1)

    @property
    def df_within(self) -> int:
        """Degrees of freedom within cells: N - cells with trials."""
        return int(self.n_M.sum() - self.seen_M.sum())

    @property
    def ss_within(self) -> float:
        """Sum of squares within cells."""
        several_M = self.n_M > 1
        return float(((self.n_M[several_M] - 1) * self.var_M[several_M]).sum())

    @property
    def replicated(self) -> bool:
        """Whether anything can be estimated about noise from repeated trials."""
        return len(self.replicates) > 1 and self.df_within > 0

    def level_M(self, position: int) -> NDArray[np.int64]:
        """Index of the level of one factor in every cell."""
        if not self.shape:
            return np.zeros(1, dtype=np.int64)
        index_M: NDArray[np.int64] = np.indices(self.shape).reshape(len(self.shape), -1)[position]
        return index_M

    @property
    def plot_M(self) -> NDArray[np.int64]:
        """Whole plot of every cell: its combination of levels of the factors in `between`."""
        index_M = np.zeros(len(self.n_M), dtype=np.int64)
        for position in self.between:
            index_M = index_M * self.shape[position] + self.level_M(position)
        return index_M

    @property
    def plot_K(self) -> NDArray[np.int64]:
        """Whole plot of every replicate; -1 for one that has no trial."""
        seen_KM = np.isfinite(self.y_KM)
        return np.where(seen_KM.any(axis=1), self.plot_M[seen_KM.argmax(axis=1)], -1)

    @property
    def nested(self) -> bool:
        """Whether replicates are nested in a factor that has more than one level here."""
        return self.paired and bool(set(self.between) & set(self.active))

    def cell_name(self, index: int) -> str:
        """A cell as it is printed, e.g. ``depth 18, size 64``."""
        if not self.factors:
            return "the only cell"
        levels = np.unravel_index(index, self.shape)
        return ", ".join(f"{f.name} {level_text(f.levels[int(i)])}" for f, i in zip(self.factors, levels, strict=True))

    def at_level(self, position: int, level: int) -> CellData:
        """Return the part of the table in which one factor is held at the level with that index.

        Levels of other factors that have no trials there are dropped.
        """
        inside_M = self.level_M(position) == level
        factors = []
        for other, factor in enumerate(self.factors):
            level_M = self.level_M(other)
            kept = np.unique(level_M[inside_M & self.seen_M])
            inside_M = inside_M & np.isin(level_M, kept)
            factors.append(replace(factor, levels=tuple(factor.levels[i] for i in kept)))
        return replace(
            self,
            factors=tuple(factors),
            y_KM=self.y_KM[:, inside_M],
            n_M=self.n_M[inside_M],
            mean_M=self.mean_M[inside_M],
            var_M=self.var_M[inside_M],
        )

    def without_levels(self, position: int, dropped: NDArray[np.int64]) -> CellData:
        """Return the table without some levels of one factor, given by their indices."""
        factor = self.factors[position]
        kept_M = ~np.isin(self.level_M(position), dropped)
        levels = tuple(level for i, level in enumerate(factor.levels) if i not in dropped)
        return replace(
            self,
            factors=(*self.factors[:position], replace(factor, levels=levels), *self.factors[position + 1 :]),
            y_KM=self.y_KM[:, kept_M],
            n_M=self.n_M[kept_M],
            mean_M=self.mean_M[kept_M],
            var_M=self.var_M[kept_M],
        )

    def complete_rows(self, needed_M: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which replicates have a trial in every needed cell, shape K.

        Nested replicates: in every needed cell of their own whole plot, of which there must be one.
        """
        if not self.nested:
            return np.asarray(np.isfinite(self.y_KM[:, needed_M]).all(axis=1))
        own_KM = (self.plot_M == self.plot_K[:, None]) & needed_M
        return np.asarray(own_KM.any(axis=1) & (np.isfinite(self.y_KM) | ~own_KM).all(axis=1))


def cell_data(  # noqa: PLR0913 - a table has this many parts
    factors: tuple[Factor, ...],
    cell_N: NDArray[np.int64],
    replicate_N: NDArray[np.int64],
    y_N: NDArray[np.float64],
    *,
    paired: bool,
    transformed: bool = False,
    between: tuple[int, ...] = (),
) -> CellData:
    """Build the table; ``cell_N`` indexes the grid of ``factors``, whose levels without trials are dropped.

    ``between`` holds the positions of the factors that replicates are nested in. ``transformed`` says that the values
    are logarithms, whose rounding error is about that of 1 however small they are.
    """
    shape = tuple(len(factor.levels) for factor in factors)
    index_FN = np.array(np.unravel_index(cell_N, shape)) if shape else np.empty((0, len(y_N)), dtype=np.int64)
    kept: list[Factor] = []
    for position, factor in enumerate(factors):
        seen, index_FN[position] = np.unique(index_FN[position], return_inverse=True)
        kept.append(Factor(factor.name, tuple(factor.levels[int(i)] for i in seen), factor.order))
    new_shape = tuple(len(factor.levels) for factor in kept)
    flat_N = np.ravel_multi_index(tuple(index_FN), new_shape) if shape else np.zeros(len(y_N), dtype=np.int64)
    row_N, labels = _rows(flat_N, replicate_N, paired=paired)
    offset = float(y_N.mean())
    y_KM = np.full((len(labels), int(np.prod(new_shape, dtype=np.int64))), np.nan)
    y_KM[row_N, flat_N] = y_N - offset
    n_M = np.isfinite(y_KM).sum(axis=0)
    mean_M = np.where(n_M > 0, np.nansum(y_KM, axis=0) / np.maximum(n_M, 1), np.nan)
    var_M = np.where(n_M > 1, np.nansum((y_KM - mean_M) ** 2, axis=0) / np.maximum(n_M - 1, 1), np.nan)
    tiny = ROUNDING * max(float(np.abs(y_N).max()), 1.0 if transformed else 0.0)
    return CellData(tuple(kept), y_KM, offset, labels, paired, tiny, n_M, mean_M, var_M, between)


def named(data: CellData, names: Mapping[int, str]) -> CellData:
    """Return the table with names for its replicates, where these are blocks."""
    return replace(data, replicates=tuple(names.get(int(k), k) for k in data.replicates)) if data.paired else data


def over_levels(data: CellData, position: int) -> CellData:
    """Return the table with the levels of a random factor for rows: means of their cells over the replicates there.

    Each level of the random factor (a dataset) is a block that was measured in every cell of the fixed factors, and its
    value in a cell is an unweighted mean of one block, however many trials are behind it.
    """
    factor = data.factors[position]
    mean_DM = np.moveaxis(data.mean_M.reshape(data.shape), position, 0).reshape(len(factor.levels), -1)
    seen_DM = np.isfinite(mean_DM)
    row, cell = np.nonzero(seen_DM)
    fixed = tuple(other for i, other in enumerate(data.factors) if i != position)
    made = cell_data(fixed, cell, row, mean_DM[seen_DM] + data.offset, paired=True)
    labels = tuple(level_text(level) for level in factor.levels)
    return replace(made, replicates=labels, block=factor.name, tiny=data.tiny)


def _rows(
    cell_N: NDArray[np.int64], replicate_N: NDArray[np.int64], *, paired: bool
) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """Return each trial's row, and the label of each row."""
    if paired:
        labels, row_N = np.unique(replicate_N, return_inverse=True)
        return row_N, tuple(int(label) for label in labels)
    order = np.lexsort((replicate_N, cell_N))
    sorted_N = cell_N[order]
    row_N = np.empty(len(cell_N), dtype=np.int64)
    row_N[order] = np.arange(len(cell_N)) - np.searchsorted(sorted_N, sorted_N)
    return row_N, tuple(range(int(row_N.max()) + 1))


def t_interval(mean: float, se: float, df: float, alpha: float) -> Interval:
    """Return the two-sided 1 - ``alpha`` interval of Student's t."""
    half = float(student_t.isf(alpha / 2, df)) * se
    return Interval(mean - half, mean + half, 1 - alpha)


def observed_cells(data: CellData, alpha: float) -> tuple[Cell, ...]:
    """Return mean, SD and t interval of each cell that has trials, from its own trials alone."""
    cells = []
    for index, levels in enumerate(grid(data.factors)):
        n = int(data.n_M[index])
        if n == 0:
            continue
        mean = float(data.mean_M[index]) + data.offset
        sd = float(np.sqrt(data.var_M[index])) if n > 1 else None
        if sd is None:
            cells.append(Cell(levels, n, mean, None, None))
            continue
        se = sd / n**0.5
        cells.append(Cell(levels, n, mean, sd, t_interval(mean, se, n - 1, alpha), se, n - 1))
    return tuple(cells)


def level_index(factor: Factor, level: Level) -> int | None:
    """Return the position of a level; ``True`` and ``1`` are different levels, ``1`` and ``1.0`` are not."""
    for index, known in enumerate(factor.levels):
        if isinstance(known, bool) == isinstance(level, bool) and known == level:
            return index
    return None


def level_text(level: Level) -> str:
    """Return a level as study files write it: ``true``, not ``True``."""
    return str(level).lower() if isinstance(level, bool) else str(level)


def grid(factors: Sequence[Factor]) -> list[Mapping[str, Level]]:
    """Return the cells of the full grid, the last factor varying fastest."""
    names = [factor.name for factor in factors]
    return [dict(zip(names, levels, strict=True)) for levels in product(*(factor.levels for factor in factors))]


def block_word(data: CellData) -> str:
    """Return what a row is: a replicate, a dataset, an example, or the name of a random factor."""
    return "replicate" if data.block == "seed" else data.block


def blocks_word(data: CellData) -> str:
    """Return what the rows are in the plural: replicates, datasets, levels of a random factor of another name."""
    known = {"seed": "replicates", "dataset": "datasets", "example": "examples"}
    return known.get(data.block, f"levels of {data.block}")


def more_blocks(data: CellData) -> str:
    """Say what to do where too few rows are complete."""
    if data.block == "seed":
        return "Rerun the failed trials (`--retry-failed`) or add replicates."
    return f"Run the missing cells, or add {blocks_word(data)}."
