"""Estimated marginal means, held against R's emmeans and the normal equations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cnnbench.stats.effects.marginals import marginal_means
from cnnbench.stats.effects.means import estimated_means
from cnnbench.stats.trials.cells import cell_data, observed_cells
from cnnbench.types import Factor

if TYPE_CHECKING:
    from tests.stats.conftest import Oracle, Same


@pytest.mark.parametrize("case", ["c01", "c03"])
def test_means_of_independent_trials_equal_emmeans(oracle: Oracle, same: Same, case: str):
    loaded = oracle(case)
    data = loaded.cells()
    means = {tuple(mean.levels.items()): mean for mean in estimated_means(data, 0.05)}
    for record in loaded.r["emm_depth"]:
        mean = means[("depth", record["depth"]),]
        assert same(mean.mean, record["emmean"])
        assert same(mean.se, record["SE"])
        assert same(mean.df, record["df"])
        assert same(mean.interval.low, record["ci_low"])
    for cell in observed_cells(data, 0.05):
        mean = means[tuple(cell.levels.items())]
        assert same(mean.mean, cell.mean)
        assert same(mean.se, (data.ss_within / data.df_within / cell.n) ** 0.5)


def test_marginal_means_and_cells_have_the_standard_error_of_their_interval(oracle: Oracle, same: Same):
    loaded = oracle("c03")
    for mean, record in zip(marginal_means(loaded.cells(), 0.05), loaded.r["emm_depth"], strict=False):
        assert same(mean.se, record["SE"])
        assert same(mean.df, record["df"])
    cell = observed_cells(loaded.cells(), 0.05)[0]
    assert cell.se == pytest.approx(cell.sd / cell.n**0.5)
    assert cell.df == cell.n - 1


def test_what_averages_over_an_empty_cell_is_left_out(oracle: Oracle):
    named = [dict(mean.levels) for mean in estimated_means(oracle("c04").cells(), 0.05)]
    assert {"depth": 3} in named
    assert {"depth": 4} not in named
    assert {"depth": 4, "size": 128} not in named


def test_one_trial_per_cell_has_means_of_the_main_effects_model_even_of_empty_cells(oracle: Oracle, same: Same):
    loaded = oracle("c09")
    for mean, record in zip(estimated_means(loaded.cells(), 0.05), loaded.r["additive_emm_depth"], strict=False):
        assert same(mean.mean, record["emmean"])
        assert same(mean.se, record["SE"])
    factors = (Factor("depth", (1, 2, 4)), Factor("size", (16, 32, 64)))
    cell_N = np.array([0, 1, 2, 3, 4, 5, 6, 7])
    y_N = np.array([0.1, 0.2, 0.3, 0.2, 0.3, 0.4, 0.3, 0.4]) + np.array([0.001, -0.001, 0, 0, 0.001, 0, -0.001, 0])
    data = cell_data(factors, cell_N, np.zeros(8, dtype=np.int64), y_N, paired=False)
    means = {tuple(mean.levels.values()): mean.mean for mean in estimated_means(data, 0.05)}
    assert means[4, 64] == pytest.approx(0.5, abs=0.01)


def test_means_of_seeds_with_gaps_are_least_squares_with_seeds_as_fixed_blocks(same: Same):
    rng = np.random.default_rng(3)
    seed_N, cell_N = np.repeat(np.arange(5), 4), np.tile(np.arange(4), 5)
    kept_N = np.arange(20) != 6
    seed_N, cell_N = seed_N[kept_N], cell_N[kept_N]
    y_N = rng.normal(0.6, 0.01, 19) + 0.05 * seed_N
    data = cell_data((Factor("depth", (1, 2, 4, 8)),), cell_N, seed_N, y_N, paired=True)
    columns = np.column_stack([np.eye(4)[cell_N], np.eye(5)[seed_N][:, 1:]])
    beta, rss, _, _ = np.linalg.lstsq(columns, y_N, rcond=None)
    on = np.concatenate([[0, 0, 1, 0], np.full(4, 0.2)])
    se = np.sqrt(float(rss[0]) / 11 * (on @ np.linalg.inv(columns.T @ columns) @ on))
    mean = estimated_means(data, 0.05)[2]
    assert same(mean.mean, float(on @ beta))
    assert same(mean.se, float(se))
    assert mean.df == 11
