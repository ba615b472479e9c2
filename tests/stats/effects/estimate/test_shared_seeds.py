"""Replicates that share their seeds, against R and against brute force."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from cnnbench.stats.effects.estimate import (
    Estimate,
    complete_only,
    equivalence_p,
    estimate,
    fixed_block,
    sign_flip_p,
)
from cnnbench.stats.effects.questions import slope
from cnnbench.stats.trials.cells import cell_data
from cnnbench.types import Factor

if TYPE_CHECKING:
    from cnnbench.stats.trials.cells import CellData
    from tests.stats.conftest import Oracle, Same
    from tests.stats.effects.estimate.conftest import Pair


def test_the_per_seed_slope_equals_r(oracle: Oracle, same: Same):
    loaded = oracle("c07")
    r = loaded.r["per_seed_interaction_slope"]
    data = loaded.cells(paired=True)
    weights_M = slope(data, ("depth", "size")).weights_M
    assert data.y_KM @ weights_M == pytest.approx(r["scores"], abs=1e-12)
    found = estimate(data, weights_M, "")
    assert same(found.value, r["mean"])
    assert same(found.t, r["t"])
    assert same(found.p, r["p"])
    assert same(found.interval(0.05).low, r["ci95"][0])
    assert same(found.interval(0.05).high, r["ci95"][1])
    assert found.df == r["df"]
    assert found.robust_p == r["sign_flip_exact_p"]


def test_two_paired_conditions_equal_r(oracle: Oracle, same: Same, pair: Pair):
    loaded = oracle("c15")
    data = loaded.cells(paired=True)
    found = estimate(data, pair(data, 0, 4, 2).weights_M, "")
    r = loaded.r["paired_t"]
    assert same(found.value, r["estimate"])
    assert same(found.t, r["t"])
    assert same(found.p, r["p"])
    assert same(found.interval(0.05).low, r["ci95"][0])
    assert found.robust_p == loaded.r["sign_flip_exact_p"]
    for margin in (0.005, 0.002):
        assert same(equivalence_p(found, margin), loaded.r[f"tost_paired_{margin}"]["p"])


def test_left_out_replicates_are_named_in_the_method():
    factors = (Factor("depth", (8, 18)),)
    data = cell_data(
        factors, np.array([0, 1, 0, 1, 0, 1, 0]), np.array([0, 0, 1, 1, 2, 2, 3]), np.arange(7.0) ** 2, paired=True
    )
    found = estimate(data, np.array([1.0, -1.0]), "")
    assert found.n == 3
    assert found.method.endswith("incomplete and left out: replicate 3")


def gapped_blocks(nan_cells: tuple[tuple[int, int], ...]) -> CellData:
    """Return 3 x 3 cells of 7 seeds, ordered by doublings, without some (seed, cell)."""
    factors = (Factor("depth", (1, 2, 4), "log2"), Factor("size", (16, 32, 64), "log2"))
    seed_N, cell_N = np.repeat(np.arange(7), 9), np.tile(np.arange(9), 7)
    kept_N = np.array([(k, m) not in nan_cells for k, m in zip(seed_N, cell_N, strict=True)])
    y_N = np.random.default_rng(5).normal(0.6, 0.02, 63)
    return cell_data(factors, cell_N[kept_N], seed_N[kept_N], y_N[kept_N], paired=True)


def test_the_t_over_complete_seeds_stands_beside_a_slope_that_needs_fewer_cells():
    data = gapped_blocks(((2, 4), (5, 0)))  # the middle cell has no weight in the slope, the first one has
    weights_M = np.array([1, 0, -1, 0, 0, 0, -1, 0, 1]) / 4
    found, complete = estimate(data, weights_M, ""), complete_only(data, weights_M)
    scores_K = data.y_KM[[0, 1, 3, 4, 6]] @ weights_M
    assert isinstance(found, Estimate)
    assert (found.n, complete.n) == (6, 5)
    assert complete.value == pytest.approx(scores_K.mean(), rel=1e-12)
    assert complete.p == pytest.approx(float(ttest_1samp(scores_K, 0).pvalue), rel=1e-10)
    assert complete_only(gapped_blocks(((5, 0),)), weights_M) is None


def test_fixed_blocks_equal_r_on_complete_replicates(oracle: Oracle, same: Same, pair: Pair):
    loaded = oracle("c07")
    data = loaded.cells(paired=True)
    for record in loaded.r["fixed_block_pairs_depth_tukey"]:
        first, second = (int(level) for level in record["contrast"].split(" - "))
        found = fixed_block(data, pair(data, 0, first, second).weights_M)
        assert same(found.value, record["estimate"])
        assert same(found.se, record["SE"])
        assert found.df == record["df"]


def test_fixed_blocks_are_least_squares_of_cells_and_replicates_whatever_is_missing(oracle: Oracle, pair: Pair):
    from statsmodels.api import OLS

    data = oracle("c07").cells(paired=True)
    gaps_KM = np.random.default_rng(4).random(data.y_KM.shape) < 0.3
    data = replace(data, y_KM=np.where(gaps_KM, np.nan, data.y_KM))
    row_N, cell_N = np.nonzero(~gaps_KM)
    columns = np.hstack([cell_N[:, None] == np.arange(9), row_N[:, None] == np.arange(1, 8)]).astype(float)
    dense = OLS(data.y_KM[~gaps_KM], columns).fit()
    weights_M = pair(data, 0, 1, 4).weights_M
    theirs = dense.t_test(np.concatenate([weights_M, np.zeros(7)]))
    ours = fixed_block(data, weights_M)
    assert (ours.n, ours.df) == (len(row_N), dense.df_resid)
    assert ours.value == pytest.approx(theirs.effect.item(), rel=1e-10)
    assert ours.se == pytest.approx(theirs.sd.item(), rel=1e-10)


def test_fixed_blocks_are_not_asked_for_what_the_trials_do_not_determine():
    factors = (Factor("depth", (8, 18, 34)),)
    data = cell_data(
        factors, np.array([0, 1, 0, 1, 2]), np.array([0, 0, 1, 1, 2]), np.array([1.0, 2, 1.1, 2.4, 9]), paired=True
    )
    assert fixed_block(data, np.array([1.0, -1.0, 0.0])) is not None
    assert fixed_block(data, np.array([1.0, 0.0, -1.0])) is None


@pytest.mark.parametrize("n", [6, 7, 11])
def test_the_sign_flip_test_counts_every_pattern(n: int):
    scores_K = np.random.default_rng(n).normal(0.4, 1, n)
    sums = np.array([np.dot(signs, scores_K) for signs in product([-1, 1], repeat=n)])
    assert sign_flip_p(scores_K) == np.mean(np.abs(sums) >= abs(scores_K.sum()) - 1e-12)


def test_the_sign_flip_test_counts_ties():
    assert sign_flip_p(np.array([0.1, 0.2, 0.3, -0.1, -0.2, 0.3])) == np.mean(
        [abs(np.dot(signs, [1, 2, 3, 1, 2, 3])) >= 6 for signs in product([-1, 1], repeat=6)]
    )


def test_five_seeds_are_too_few_for_the_sign_flip_test():
    assert sign_flip_p(np.arange(1.0, 6.0)) is None
