"""The primary hypothesis on the planned cells, before there is any trial.

Shapes: M cells of the grid, P differences of differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from cnnbench.stats.effects.answers import Setting, question_of
from cnnbench.stats.effects.questions import hypothesis_label, interaction_contrasts
from cnnbench.stats.trials.cells import cell_data, level_index
from cnnbench.stats.trials.models import term_basis
from cnnbench.types import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from cnnbench.spec import Hypothesis
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.types import Factor, Level


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What is to be tested."""

    label: str
    kind: Literal["contrast", "slope", "interaction"]
    grid: CellData
    """The planned cells, one blank trial each."""
    weights_M: NDArray[np.float64] | None
    """Of a question with one degree of freedom; None for a larger interaction."""
    contrasts_PM: NDArray[np.float64]
    """Every difference of differences of an interaction."""
    basis_MR: NDArray[np.float64]
    """Orthonormal contrasts of an interaction, zero in cells that are not planned."""

    @property
    def used_M(self) -> NDArray[np.bool_]:
        """The cells that it needs."""
        return self.grid.seen_M if self.weights_M is None else np.abs(self.weights_M) > 1e-12


def planned_grid(factors: tuple[Factor, ...], cells: Sequence[Mapping[str, Level]]) -> CellData:
    """Return the planned cells as a table with one blank trial each; levels without a planned cell are dropped."""
    cell_N = np.zeros(len(cells), dtype=np.int64)
    for factor in factors:
        index_N = np.array([level_index(factor, cell[factor.name]) for cell in cells], dtype=np.int64)
        cell_N = cell_N * len(factor.levels) + index_N
    blank_N = np.zeros(len(cells))
    return cell_data(factors, cell_N, blank_N.astype(np.int64), blank_N, paired=True)


def asked(grid: CellData, hypothesis: Hypothesis, setting: Setting) -> Asked | Refusal:
    """Return the hypothesis as weights of the planned cells; a refusal where they do not determine it.

    An interaction of one degree of freedom is its one difference of differences, whose t test is the omnibus test.
    """
    label = hypothesis_label(hypothesis, grid)
    none = np.zeros((0, len(grid.n_M)))
    if hypothesis.interaction is not None:
        return _interaction(grid, hypothesis.interaction, label)
    question = question_of(grid, hypothesis, setting)
    if isinstance(question, Refusal):
        return question
    kind: Literal["contrast", "slope"] = "slope" if hypothesis.slope is not None else "contrast"
    return Asked(label, kind, grid, question.weights_M, none, none.T)


def _interaction(grid: CellData, names: Sequence[str], label: str) -> Asked | Refusal:
    term = tuple(sorted(i for i, factor in enumerate(grid.factors) if factor.name in names))
    if any(position not in grid.active for position in term):
        return Refusal(label, "One of its factors has cells at a single level only.", "Plan cells with other levels.")
    seen_basis = term_basis(grid, term)
    questions = interaction_contrasts(grid, names)
    contrasts = [question.weights_M for question in questions if not isinstance(question, Refusal)]
    if not seen_basis.shape[1] or not contrasts:
        return Refusal(label, "The planned cells do not determine it.", "Plan the cells that are missing.")
    basis_MR = np.zeros((len(grid.n_M), seen_basis.shape[1]))
    basis_MR[grid.seen_M] = seen_basis
    contrasts_PM = np.array(contrasts)
    only = contrasts_PM[0] if basis_MR.shape[1] == 1 else None
    return Asked(label, "interaction", grid, only, contrasts_PM, basis_MR)
