"""Trials that share nothing, against R."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cnnbench.stats.effects.estimate import (
    Estimate,
    equivalence_p,
    estimate,
    pooled,
)
from cnnbench.stats.effects.questions import Question, interaction_contrasts, level_contrast, slope
from cnnbench.stats.trials.cells import cell_data
from cnnbench.types import Factor, Refusal

if TYPE_CHECKING:
    from tests.stats.conftest import Oracle, Same
    from tests.stats.effects.estimate.conftest import Pair


@pytest.mark.parametrize("case", ["c01", "c03"])
def test_pooled_comparisons_of_marginal_means_equal_emmeans(oracle: Oracle, same: Same, case: str, pair: Pair):
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


def test_two_one_sided_tests_equal_emmeans(oracle: Oracle, same: Same, pair: Pair):
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


def test_two_independent_conditions_equal_rs_welch_test(oracle: Oracle, same: Same, pair: Pair):
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


def test_one_trial_per_cell_leaves_rs_additive_comparisons(oracle: Oracle, same: Same, pair: Pair):
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
