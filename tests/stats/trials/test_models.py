"""Linear models of cell means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cnnbench.stats.trials.cells import cell_data
from cnnbench.stats.trials.models import connected, sum_coding, term_basis, term_columns, terms
from cnnbench.types import Factor

if TYPE_CHECKING:
    from cnnbench.stats.trials.cells import CellData

FACTORS = (Factor("a", (1, 2, 3)), Factor("b", (1, 2)))


def data_without(*missing: int) -> CellData:
    cells = [i for i in range(6) if i not in missing]
    return cell_data(
        FACTORS, np.tile(cells, 2), np.repeat([0, 1], len(cells)), np.arange(2.0 * len(cells)), paired=False
    )


def test_sum_coding_is_rs():
    assert sum_coding(3).tolist() == [[1, 0], [0, 1], [-1, -1]]


def test_terms_come_main_effects_first():
    assert terms((0, 1, 2)) == ((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))


def test_columns_of_all_terms_and_the_intercept_span_the_grid():
    columns = np.hstack([np.ones((6, 1)), *(term_columns((3, 2), term) for term in terms((0, 1)))])
    assert np.linalg.matrix_rank(columns) == 6


def test_the_basis_of_a_term_is_orthonormal_and_free_of_the_others():
    basis = term_basis(data_without(), (0, 1))
    assert basis.shape == (6, 2)
    assert basis.T @ basis == pytest.approx(np.eye(2))
    assert basis.T @ np.hstack(
        [np.ones((6, 1)), term_columns((3, 2), (0,)), term_columns((3, 2), (1,))]
    ) == pytest.approx(np.zeros((2, 4)))


def test_a_missing_cell_takes_a_dimension_from_the_interaction():
    assert term_basis(data_without(5), (0, 1)).shape == (5, 1)


@pytest.mark.parametrize(("missing", "expected"), [((), True), ((5,), True), ((1, 2, 4), False), ((1, 3), True)])
def test_a_grid_is_connected_while_the_additive_model_has_full_rank(missing: tuple[int, ...], *, expected: bool):
    assert connected(data_without(*missing)) is expected
