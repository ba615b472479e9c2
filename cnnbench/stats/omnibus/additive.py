"""One trial per cell: the interaction has to serve as noise."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.omnibus.term_tests import f_row, not_estimable, table_of_terms, type2_ss
from cnnbench.stats.trials.models import connected, design, lack_of_fit, orthonormal, rank, term_name
from cnnbench.types import Refusal, TestTable

if TYPE_CHECKING:
    from cnnbench.stats.omnibus.term_tests import Tables
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.stats.trials.models import Term
    from cnnbench.types import TestRow


def one_trial_per_cell(data: CellData, alpha: float) -> Tables:
    """Test main effects against the residual of the main-effects model, and one structured part of the interaction."""
    refusals: list[Refusal] = []
    if len(data.active) > 1:
        refusals.append(
            Refusal(
                "interaction tests",
                "There is one trial per cell, so an interaction cannot be told from noise.",
                "Run at least 2 replicates per cell (the exact sign-flip test of paired seeds needs 6).",
            )
        )
    error = additive_error(data)
    if error[1] < 1 or error[0] <= error[1] * data.tiny**2:
        refusals.append(
            Refusal(
                "main effects",
                "With one trial per cell nothing is left to estimate the noise from.",
                "Run at least 2 replicates per cell.",
            )
        )
        return [], refusals
    mains = [(position,) for position in data.active]

    def row(term: Term) -> TestRow | None:
        if len(term) > 1 or not connected(data):
            return None
        sum_sq, df = type2_ss(data, term, mains)
        return f_row(term_name(data.factors, term), sum_sq, df, error, alpha)

    tables = [
        table_of_terms(
            data,
            "additive_type2",
            "Main effects without replication",
            "Main-effects model with the interaction as error: right if there is none, else conservative.",
            row,
        )
    ]
    if len(data.active) == 2 and connected(data):
        tables += _tukey_table(data, error, alpha)
    return tables, [*refusals, *not_estimable(data, [row.term for row in tables[0].rows], main_only=True)]


def _tukey_table(data: CellData, error: tuple[float, int], alpha: float) -> list[TestTable]:
    """Return Tukey's one-df test of nonadditivity (Tukey 1949, Biometrics 5, 232-242).

    Its column is the square of the fitted main-effects model, which on a complete grid is the product of the two
    factors' effects beside what that model holds already, and is defined where cells are missing, too.
    """
    if error[1] < 2:
        return []
    columns = design(data, [(position,) for position in data.active])
    basis_MP = orthonormal(columns)
    fitted = basis_MP @ (basis_MP.T @ data.mean_M[data.seen_M])
    column = fitted**2 - basis_MP @ (basis_MP.T @ fitted**2)
    size = float(np.abs(column).max())
    if size <= max(data.tiny**2, 1e-12 * float((fitted**2).max())):
        return []
    column /= size
    rest_ss = lack_of_fit(data, np.column_stack([columns, column]))
    rest = (rest_ss, error[1] - 1)
    if rest_ss <= rest[1] * data.tiny**2:
        return []
    name = term_name(data.factors, data.active)
    row = replace(f_row(name, error[0] - rest_ss, 1, rest, alpha), note="one structured part of the interaction only")
    method = "The product of the two factors' effects, one degree of freedom; all other interaction counts as noise."
    return [TestTable("tukey_nonadditivity", "Tukey's test of nonadditivity", method, (row,))]


def additive_error(data: CellData, extra_M: list[np.ndarray] | None = None) -> tuple[float, int]:
    """Return residual sum of squares and df of the main-effects model, the only error term with one trial per cell.

    ``extra_M`` adds columns, one value per cell of the grid, to the model.
    """
    if not extra_M:
        return _main_effects_error(data)
    columns = design(data, [(position,) for position in data.active])
    columns = np.column_stack([columns, *(column[data.seen_M] for column in extra_M)])
    return lack_of_fit(data, columns), int(data.seen_M.sum()) - rank(columns)


@lru_cache(maxsize=4)
def _main_effects_error(data: CellData) -> tuple[float, int]:
    """Return `additive_error` of the main effects alone, which every mean and comparison of a response asks for."""
    columns = design(data, [(position,) for position in data.active])
    return lack_of_fit(data, columns), int(data.seen_M.sum()) - rank(columns)
