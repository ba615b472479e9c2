"""Replicates that are nested in whole plots, against t tests of their values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import ttest_ind

from cnnbench.stats.effects.estimate import (
    estimate,
    split_plot,
)
from cnnbench.stats.effects.questions import level_contrast
from cnnbench.stats.trials.cells import cell_data
from cnnbench.types import Factor, Refusal

if TYPE_CHECKING:
    from cnnbench.stats.trials.cells import CellData
    from tests.stats.conftest import Same
    from tests.stats.effects.estimate.conftest import Pair


def nested(blocks: tuple[int, ...], seed: int = 3) -> CellData:
    """A split plot: blocks of a depth, each with every size."""
    rng = np.random.default_rng(seed)
    factors = (Factor("depth", tuple(2**i for i in range(len(blocks))), "log2"), Factor("size", (16, 32, 64), "log2"))
    plot_K = np.repeat(np.arange(len(blocks)), blocks)
    y_KJ = rng.normal(0, 0.02, (len(plot_K), 1)) + rng.normal(0.5, 0.005, (len(plot_K), 3))
    row_N, inner_N = np.indices(y_KJ.shape).reshape(2, -1)
    return cell_data(factors, plot_K[row_N] * 3 + inner_N, row_N, y_KJ.ravel(), paired=True, between=(0,))


def without(data: CellData, row: int, cell: int) -> CellData:
    y_KM = data.y_KM.copy()
    y_KM[row, cell] = np.nan
    return replace(data, y_KM=y_KM)


@pytest.mark.parametrize("blocks", [(4, 4), (3, 7)])
def test_whole_plots_are_compared_by_welchs_t_of_the_blocks_means(blocks: tuple[int, int], same: Same, pair: Pair):
    data = nested(blocks)
    found = estimate(data, pair(data, 0, 1, 2).weights_M, "")
    first, second = (np.nanmean(data.y_KM[data.plot_K == plot], axis=1) for plot in (0, 1))
    welch_t, student_t = ttest_ind(first, second, equal_var=False), ttest_ind(first, second)
    assert same(found.value, first.mean() - second.mean())
    assert same(found.t, welch_t.statistic)
    assert same(found.df, welch_t.df)
    assert same(found.p, welch_t.pvalue)
    assert same(found.robust_p, student_t.pvalue)
    assert (found.n, found.n_per_cell) == (sum(blocks), min(blocks))


def test_a_within_block_effect_weighs_whole_plots_alike_and_not_blocks(same: Same, pair: Pair):
    data = nested((2, 9, 4))
    found = estimate(data, pair(data, 1, 16, 64).weights_M, "")
    scores = [
        data.y_KM[data.plot_K == plot][:, 3 * plot] - data.y_KM[data.plot_K == plot][:, 3 * plot + 2]
        for plot in range(3)
    ]
    part = np.array([score.var(ddof=1) / len(score) / 9 for score in scores])
    assert same(found.value, np.mean([score.mean() for score in scores]))
    assert same(found.se, part.sum() ** 0.5)
    assert same(found.df, part.sum() ** 2 / (part**2 / (np.array([2, 9, 4]) - 1)).sum())


def test_the_pooled_figures_hold_the_noise_of_plots_that_a_contrast_leaves_out(same: Same, pair: Pair):
    data = nested((3, 4, 5))
    found = split_plot(data, pair(data, 0, 1, 2).weights_M, "", equal_variances=True)
    means = [np.nanmean(data.y_KM[data.plot_K == plot], axis=1) for plot in range(3)]
    mse = sum(((mean - mean.mean()) ** 2).sum() for mean in means) / 9
    assert found.df == 9
    assert same(found.se, (mse * (1 / 3 + 1 / 4)) ** 0.5)


def test_a_nested_block_with_a_gap_counts_only_where_the_gap_does_not_matter(pair: Pair):
    data = without(nested((3, 4)), 1, 2)
    assert estimate(data, pair(data, 1, 16, 32).weights_M, "").n == 7
    gap = estimate(data, pair(data, 1, 16, 64).weights_M, "")
    assert gap.n == 6
    assert gap.method.endswith("; incomplete and left out: replicate 1")


def test_a_whole_plot_of_one_block_leaves_the_pooled_variance_alone(pair: Pair):
    data = nested((1, 4))
    found = estimate(data, pair(data, 0, 1, 2).weights_M, "")
    assert (found.df, found.robust_p) == (3, None)
    assert "variance pooled over whole plots" in found.method
    data = nested((1, 1))
    assert isinstance(estimate(data, pair(data, 0, 1, 2).weights_M, ""), Refusal)


def test_a_question_within_one_whole_plot_is_a_paired_t(same: Same):
    data = nested((3, 5))
    question = level_contrast(data, 1, np.array([1.0, 0, -1]), "", {"depth": 2})
    found = estimate(data, question.weights_M, "")
    score_K = data.y_KM[data.plot_K == 1][:, 3] - data.y_KM[data.plot_K == 1][:, 5]
    assert same(found.se, score_K.std(ddof=1) / 5**0.5)
    assert found.n == 5
