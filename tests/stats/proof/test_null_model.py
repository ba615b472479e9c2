"""Noise for simulated studies: shrunk as far as the trials call for it, and drawn with exactly those moments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.stats.proof.null_model import _inverse_trigamma, null_model, shrunk_variances
from cnnbench.stats.trials.cells import CellData, cell_data
from cnnbench.types import Factor


def cells_of(y_KM: np.ndarray, *, paired: bool) -> CellData:
    replicate_N, cell_N = np.nonzero(np.isfinite(y_KM))
    factor = Factor("cell", tuple(range(y_KM.shape[1])))
    return cell_data((factor,), cell_N, replicate_N, y_KM[replicate_N, cell_N], paired=paired)


def test_variances_that_differ_by_chance_alone_are_pooled():
    data = cells_of(np.array([[0.0, 1.0, 5.0], [1.0, 2.1, 6.2], [2.0, 2.9, 7.0]]), paired=False)
    assert shrunk_variances(data) == pytest.approx([data.ss_within / data.df_within] * 3, rel=1e-12)


def test_variances_of_many_trials_that_differ_keep_their_differences():
    rng = np.random.default_rng(1)
    data = cells_of(rng.normal(0, [1.0, 1.0, 1.0, 6.0, 6.0, 6.0], (60, 6)), paired=False)
    assert shrunk_variances(data) == pytest.approx(data.var_M, rel=0.1)


def test_a_cell_with_one_trial_gets_the_common_variance_and_one_without_spread_has_none():
    y_KM = np.array([[0.0, 1.0, 3.0, 7.0], [1.0, 2.0, 3.0, np.nan], [2.1, 2.9, 3.0, np.nan]])
    shrunk_M = shrunk_variances(cells_of(y_KM, paired=False))
    assert shrunk_M[2] == 0
    assert (
        shrunk_M[3] == shrunk_M[0] == pytest.approx(np.var([0, 1, 2.1], ddof=1) / 2 + np.var([1, 2, 2.9], ddof=1) / 2)
    )


@given(st.lists(st.lists(st.floats(-100, 100), min_size=2, max_size=5), min_size=2, max_size=6))
def test_a_shrunk_variance_lies_between_its_own_and_the_common_one(rows: list[list[float]]):
    y_KM = np.full((5, len(rows)), np.nan)
    for m, row in enumerate(rows):
        y_KM[: len(row), m] = np.round(row, 3)
    data = cells_of(y_KM, paired=False)
    spread_M = data.var_M > 1e-6
    if spread_M.sum() < 2:
        return
    shrunk_M = shrunk_variances(data)
    assert (shrunk_M[spread_M] > 0).all()
    order = np.argsort(data.var_M[spread_M & (data.n_M == 3)])
    assert (np.diff(shrunk_M[spread_M & (data.n_M == 3)][order]) >= -1e-9 * shrunk_M[spread_M].max()).all()


@pytest.mark.parametrize("x", [1e-6, 0.3, 2.0, 1e5])
def test_trigamma_is_inverted(x: float):
    from scipy.special import polygamma

    assert _inverse_trigamma(float(polygamma(1, x))) == pytest.approx(x, rel=1e-6)


def test_replicates_are_drawn_with_the_observed_correlation_where_there_are_many():
    rng = np.random.default_rng(2)
    mixing = np.array([[1.0, 0.0, 0.0], [0.9, 0.3, 0.0], [-0.5, 0.2, 1.0]])
    data = cells_of(rng.standard_normal((400, 3)) @ mixing.T, paired=True)
    model = null_model(data, np.zeros(3))
    assert model.shrinkage < 0.05
    drawn = model.scores(np.random.default_rng(3), 200, 500, np.eye(3)).reshape(-1, 3)
    observed = np.corrcoef(data.y_KM, rowvar=False)
    assert np.corrcoef(drawn, rowvar=False) == pytest.approx(observed, abs=0.05)
    assert drawn.var(axis=0) == pytest.approx(model.sd_M**2, rel=0.03)


def test_correlations_of_few_seeds_are_drawn_towards_one_common_correlation():
    rng = np.random.default_rng(4)
    y_KM = rng.normal(0, 1, (5, 1)) + rng.normal(0, 0.5, (5, 40))
    model = null_model(cells_of(y_KM, paired=True), np.zeros(40))
    assert model.shrinkage > 0.3
    drawn = model.scores(np.random.default_rng(5), 400, 100, np.eye(40)).reshape(-1, 40)
    assert np.linalg.matrix_rank(np.cov(drawn, rowvar=False)) == 40
    away = np.corrcoef(drawn, rowvar=False)[~np.eye(40, dtype=bool)]
    assert away.mean() == pytest.approx(model.common, abs=0.05)


def test_too_few_complete_seeds_leave_the_common_correlation_over_the_pairs_that_there_are():
    rng = np.random.default_rng(6)
    y_KM = rng.normal(0, 3, (6, 1)) + rng.normal(0, 0.3, (6, 4))
    y_KM[np.arange(4), np.arange(4)] = np.nan
    model = null_model(cells_of(y_KM, paired=True), np.zeros(4))
    assert model.shrinkage == 1
    assert len(model.scores_JM) == 0
    assert model.common > 0.9


def test_sums_over_cells_are_drawn_with_the_covariance_of_the_cells():
    rng = np.random.default_rng(9)
    model = null_model(cells_of(rng.normal(0, 2, (6, 1)) + rng.normal(0, 1, (6, 8)), paired=True), np.arange(8.0))
    model = replace(model, shrinkage=0.4, common=0.5)
    basis_MR = rng.standard_normal((8, 3))
    cells, sums = (
        model.scores(np.random.default_rng(seed), 500, 200, basis).reshape(100_000, -1)
        for seed, basis in ((10, np.eye(8)), (11, basis_MR))
    )
    wanted = basis_MR.T @ np.cov(cells, rowvar=False) @ basis_MR
    assert np.cov(sums, rowvar=False) == pytest.approx(wanted, rel=0.05, abs=0.05 * np.trace(wanted))
    assert sums.mean(axis=0) == pytest.approx(np.arange(8) @ basis_MR, abs=0.02 * np.sqrt(np.trace(wanted)))


def test_moments_of_independent_trials_are_those_of_samples():
    data = cells_of(np.random.default_rng(7).normal(0, [1.0, 2.0], (5, 2)), paired=False)
    model = null_model(data, np.array([1.0, -1.0]))
    mean_SM, var_SM = model.moments(np.random.default_rng(8), 40_000, data.n_M)
    assert mean_SM.mean(axis=0) == pytest.approx([1, -1], abs=0.03)
    assert mean_SM.var(axis=0) == pytest.approx(model.sd_M**2 / 5, rel=0.03)
    assert var_SM.mean(axis=0) == pytest.approx(model.sd_M**2, rel=0.03)
    assert var_SM.var(axis=0) == pytest.approx(2 * model.sd_M**4 / 4, rel=0.06)
