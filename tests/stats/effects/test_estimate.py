"""Contrasts with their uncertainty, against R and against brute force."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_ind

from cnnbench.stats.effects.estimate import (
    Estimate,
    complete_only,
    equivalence_p,
    estimate,
    fixed_block,
    pooled,
    sign_flip_p,
    split_plot,
)
from cnnbench.stats.effects.questions import Question, interaction_contrasts, level_contrast, slope
from cnnbench.stats.trials.cells import cell_data
from cnnbench.types import Factor, Refusal

if TYPE_CHECKING:
    from cnnbench.stats.trials.cells import CellData
    from tests.stats.conftest import Oracle, Same


def pair(data: CellData, position: int, first: int, second: int) -> Question:
    levels = data.factors[position].levels
    weights_L = np.array([1.0 if level == first else -1.0 if level == second else 0.0 for level in levels])
    return level_contrast(data, position, weights_L, f"{first} - {second}")


@pytest.mark.parametrize("case", ["c01", "c03"])
def test_pooled_comparisons_of_marginal_means_equal_emmeans(oracle: Oracle, same: Same, case: str):
    loaded = oracle(case)
    data = loaded.cells()
    for record in loaded.r["pairs_depth"]["none"]:
        first, second = (int(level) for level in record["contrast"].split(" - "))
        found = pooled(data, pair(data, 0, first, second).weights_M, "")
        assert same(found.value, record["estimate"])
        assert same(found.se, record["SE"])
        assert same(found.t, record["t"])
        assert same(found.p, record["p"])
        assert same(found.interval(0.05).low, record["ci_low"])
        assert found.df == record["df"]


def test_pooled_comparisons_within_a_level_equal_emmeans(oracle: Oracle, same: Same):
    loaded = oracle("c01")
    data = loaded.cells()
    for record in loaded.r["pairs_depth_within_size"]["none"]:
        first, second = (int(level) for level in record["contrast"].split(" - "))
        weights_L = np.array([(level == first) - (level == second) for level in data.factors[0].levels], dtype=float)
        question = level_contrast(data, 0, weights_L, "", {"size": record["size"]})
        found = pooled(data, question.weights_M, "")
        assert same(found.value, record["estimate"])
        assert same(found.p, record["p"])


def test_pooled_interaction_contrasts_equal_emmeans(oracle: Oracle, same: Same):
    loaded = oracle("c01")
    data = loaded.cells()
    records = {
        f"({record['depth_pairwise']}) x ({record['size_pairwise']})": record
        for record in loaded.r["interaction_contrasts"]["none"]
    }
    questions = interaction_contrasts(data, ("depth", "size"))
    assert {question.label for question in questions} == set(records)
    for question in questions:
        found, record = pooled(data, question.weights_M, ""), records[question.label]
        assert same(found.value, record["estimate"])
        assert same(found.se, record["SE"])
        assert same(found.p, record["p"])


def test_two_one_sided_tests_equal_emmeans(oracle: Oracle, same: Same):
    loaded = oracle("c01")
    data = loaded.cells()
    for record in loaded.r["tost_pairs_depth_delta_0.02"]:
        first, second = (int(level) for level in record["contrast"].split(" - "))
        found = pooled(data, pair(data, 0, first, second).weights_M, "")
        assert same(equivalence_p(found, 0.02), record["p"])


@pytest.mark.parametrize("case", ["c01", "c04"])
def test_the_slope_over_two_factors_equals_rs_linear_by_linear_term(oracle: Oracle, same: Same, case: str):
    """Also with a missing cell: then it is the coefficient of x z beside the additive effects of both factors."""
    loaded = oracle(case)
    r = loaded.r["numeric_log2"]["linear_by_linear_in_factor_model"]
    data = loaded.cells()
    question = slope(data, ("depth", "size"))
    found = pooled(data, question.weights_M, "")
    assert same(found.value, r["coefficient"][0]["estimate"])
    assert same(found.t**2, r["seq"]["F_vs_full_mse"])
    assert same(found.p, r["seq"]["p"])


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


def test_two_paired_conditions_equal_r(oracle: Oracle, same: Same):
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


def test_two_independent_conditions_equal_rs_welch_test(oracle: Oracle, same: Same):
    loaded = oracle("c15")
    data = loaded.cells()
    found = estimate(data, pair(data, 0, 4, 2).weights_M, "")
    r = loaded.r["welch_t"]
    assert same(found.t, r["t"])
    assert same(found.df, r["df"])
    assert same(found.p, r["p"])
    assert same(found.interval(0.05).high, r["ci95"][1])
    assert same(found.robust_p, loaded.r["student_t"]["p"])
    for margin in (0.005, 0.015):
        assert same(equivalence_p(found, margin), loaded.r[f"tost_welch_{margin}"]["p"])


def test_unequal_spread_changes_the_standard_error_of_a_slope_but_not_the_slope(oracle: Oracle):
    data = oracle("c05").cells()
    weights_M = slope(data, ("depth", "size")).weights_M
    by_cell, classical = estimate(data, weights_M, ""), pooled(data, weights_M, "")
    assert by_cell.value == classical.value
    assert by_cell.df < 20 < classical.df
    expected = np.sqrt((weights_M**2 * data.var_M / data.n_M).sum())
    assert by_cell.se == pytest.approx(expected, rel=1e-12)


def test_one_trial_per_cell_leaves_rs_additive_comparisons(oracle: Oracle, same: Same):
    loaded = oracle("c09")
    data = loaded.cells()
    for record in loaded.r["additive_pairs_depth_tukey"]:
        first, second = (int(level) for level in record["contrast"].split(" - "))
        found = estimate(data, pair(data, 0, first, second).weights_M, "")
        assert same(found.value, record["estimate"])
        assert same(found.se, record["SE"])
        assert same(found.t, record["t"])
        assert found.df == record["df"]


def test_one_trial_per_cell_leaves_rs_linear_by_linear_test(oracle: Oracle, same: Same):
    loaded = oracle("c09")
    data = loaded.cells()
    question = slope(data, ("depth", "size"))
    found = estimate(data, question.weights_M, "", question.product_M)
    r = loaded.r["linear_by_linear"]
    assert same(found.value, r["estimate"])
    assert same(found.se, r["se"])
    assert same(found.p, r["p"])
    assert found.df == r["df2"]


def test_fixed_blocks_equal_r_on_complete_replicates(oracle: Oracle, same: Same):
    loaded = oracle("c07")
    data = loaded.cells(paired=True)
    for record in loaded.r["fixed_block_pairs_depth_tukey"]:
        first, second = (int(level) for level in record["contrast"].split(" - "))
        found = fixed_block(data, pair(data, 0, first, second).weights_M)
        assert same(found.value, record["estimate"])
        assert same(found.se, record["SE"])
        assert found.df == record["df"]


def test_fixed_blocks_are_least_squares_of_cells_and_replicates_whatever_is_missing(oracle: Oracle):
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


def test_a_contrast_over_an_empty_cell_is_refused_by_name():
    factors = (Factor("depth", (8, 18)), Factor("size", (32, 64)))
    data = cell_data(factors, np.array([0, 0, 1, 1, 2, 2]), np.tile([0, 1], 3), np.arange(6.0) ** 2, paired=True)
    refused = estimate(data, np.array([0.5, 0.5, -0.5, -0.5]), "8 - 18")
    assert isinstance(refused, Refusal)
    assert refused.what == "8 - 18"
    assert "depth 18, size 64" in refused.why


def test_the_welch_test_gives_way_to_the_pooled_one_where_a_cell_has_one_trial():
    factors = (Factor("depth", (8, 18)),)
    data = cell_data(factors, np.array([0, 0, 0, 1]), np.arange(4), np.array([1.0, 1.1, 1.3, 2.0]), paired=False)
    found = estimate(data, np.array([1.0, -1.0]), "")
    assert found.method.startswith("t with the pooled variance")
    assert found.robust_p is None


def test_left_out_replicates_are_named_in_the_method():
    factors = (Factor("depth", (8, 18)),)
    data = cell_data(
        factors, np.array([0, 1, 0, 1, 0, 1, 0]), np.array([0, 0, 1, 1, 2, 2, 3]), np.arange(7.0) ** 2, paired=True
    )
    found = estimate(data, np.array([1.0, -1.0]), "")
    assert found.n == 3
    assert found.method.endswith("incomplete and left out: replicate 3")


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
def test_whole_plots_are_compared_by_welchs_t_of_the_blocks_means(blocks: tuple[int, int], same: Same):
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


def test_a_within_block_effect_weighs_whole_plots_alike_and_not_blocks(same: Same):
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


def test_the_pooled_figures_hold_the_noise_of_plots_that_a_contrast_leaves_out(same: Same):
    data = nested((3, 4, 5))
    found = split_plot(data, pair(data, 0, 1, 2).weights_M, "", equal_variances=True)
    means = [np.nanmean(data.y_KM[data.plot_K == plot], axis=1) for plot in range(3)]
    mse = sum(((mean - mean.mean()) ** 2).sum() for mean in means) / 9
    assert found.df == 9
    assert same(found.se, (mse * (1 / 3 + 1 / 4)) ** 0.5)


def test_a_nested_block_with_a_gap_counts_only_where_the_gap_does_not_matter():
    data = without(nested((3, 4)), 1, 2)
    assert estimate(data, pair(data, 1, 16, 32).weights_M, "").n == 7
    gap = estimate(data, pair(data, 1, 16, 64).weights_M, "")
    assert gap.n == 6
    assert gap.method.endswith("; incomplete and left out: replicate 1")


def test_a_whole_plot_of_one_block_leaves_the_pooled_variance_alone():
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


def test_with_one_trial_per_cell_and_a_gap_contrasts_are_those_of_the_main_effects_model(same: Same):
    # R: emmeans(lm(y ~ depth + size), "depth"), pairs "1 - 2"; worked out from the normal equations here.
    factors = (Factor("depth", (1, 2, 4)), Factor("size", (16, 32, 64)))
    cell_N = np.array([0, 1, 2, 3, 5, 6, 7, 8])
    y_N = np.array([0.61, 0.64, 0.66, 0.63, 0.69, 0.64, 0.68, 0.72])
    data = cell_data(factors, cell_N, np.zeros(8, dtype=np.int64), y_N, paired=False)
    depth_NL, size_NL = np.eye(3)[cell_N // 3], np.eye(3)[cell_N % 3]
    columns = np.column_stack([depth_NL, size_NL[:, 1:]])
    beta, rss, _, _ = np.linalg.lstsq(columns, y_N, rcond=None)
    on = np.array([1.0, -1, 0, 0, 0])
    se = np.sqrt(float(rss[0]) / 3 * (on @ np.linalg.inv(columns.T @ columns) @ on))
    question = level_contrast(data, 0, np.array([1.0, -1, 0]), "1 - 2")
    assert isinstance(question, Question)
    found = estimate(data, question.weights_M, "", question.product_M)
    assert isinstance(found, Estimate)
    assert same(found.value, float(on @ beta))
    assert (found.se, found.df) == (pytest.approx(se, rel=1e-10), 3)
