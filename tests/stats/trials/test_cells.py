"""The table of replicates by cells."""

from __future__ import annotations

import numpy as np
import pytest

from cnnbench.stats.trials.cells import cell_data, grid, observed_cells, t_interval
from cnnbench.types import Factor

FACTORS = (Factor("depth", (8, 18)), Factor("size", (32, 64)))


def test_levels_without_trials_leave_the_table():
    data = cell_data(FACTORS, np.array([0, 2, 0, 2]), np.array([0, 0, 1, 1]), np.arange(4.0), paired=True)
    assert [factor.levels for factor in data.factors] == [(8, 18), (32,)]
    assert data.shape == (2, 1)
    assert data.complete
    assert data.active == (0,)


def test_paired_rows_are_replicates_and_gaps_are_nan():
    data = cell_data(FACTORS[:1], np.array([0, 1, 0]), np.array([4, 4, 7]), np.array([1.0, 2.0, 3.0]), paired=True)
    assert data.replicates == (4, 7)
    assert (data.y_KM + data.offset).tolist() == [[1.0, 2.0], [3.0, pytest.approx(np.nan, nan_ok=True)]]


def test_unpaired_trials_keep_no_common_rows():
    data = cell_data(FACTORS[:1], np.array([0, 1, 0]), np.array([4, 9, 7]), np.array([1.0, 2.0, 3.0]), paired=False)
    assert data.replicates == (0, 1)
    assert data.n_M.tolist() == [2, 1]


def test_a_study_without_factors_has_one_cell():
    data = cell_data((), np.zeros(3, dtype=int), np.arange(3), np.array([1.0, 2.0, 3.0]), paired=True)
    (cell,) = observed_cells(data, 0.05)
    assert (cell.levels, cell.n, cell.mean, cell.sd) == ({}, 3, 2.0, 1.0)
    assert data.cell_name(0) == "the only cell"


def test_a_cell_has_a_t_interval_of_its_own():
    data = cell_data(FACTORS[:1], np.array([0, 0, 0, 1]), np.arange(4), np.array([1.0, 2.0, 3.0, 9.0]), paired=False)
    first, second = observed_cells(data, 0.05)
    assert first.interval.low == pytest.approx(2 - 4.302652729911275 / 3**0.5)
    assert (second.n, second.mean, second.sd, second.interval) == (1, 9.0, None, None)


def test_cells_without_trials_are_not_listed():
    data = cell_data(FACTORS, np.array([0, 1, 2]), np.zeros(3, dtype=int), np.arange(3.0), paired=True)
    assert [dict(cell.levels) for cell in observed_cells(data, 0.05)] == grid(FACTORS)[:3]


def test_an_interval_carries_its_level():
    assert t_interval(0.0, 1.0, 10, 0.1).level == pytest.approx(0.9)


def test_a_factor_is_held_at_a_level_and_levels_without_trials_there_are_dropped():
    factors = (Factor("depth", (8, 18)), Factor("size", (16, 32, 64)))
    cell_N = np.array([0, 1, 2, 3, 5])
    data = cell_data(factors, cell_N, np.zeros(5, dtype=int), np.array([1.0, 2.0, 3.0, 4.0, 5.0]), paired=True)
    part = data.at_level(0, 1)
    assert part.factors == (Factor("depth", (18,)), Factor("size", (16, 64)))
    assert (part.mean_M + part.offset).tolist() == [4.0, 5.0]
    assert part.y_KM.shape == (1, 2)
