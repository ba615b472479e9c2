"""Classifiers on the same examples, against R's answers and statsmodels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from statsmodels.stats.contingency_tables import cochrans_q, mcnemar

from cnnbench.stats.examples.compare import accuracy, compare_examples, compare_pair

if TYPE_CHECKING:
    from tests.stats.conftest import Same

ORACLE = Path(__file__).parents[1] / "oracle"
NAMES = ["m0", "m1", "m2", "m3", "m4"]
R = json.loads((ORACLE / "c12_example_level.json").read_text("utf-8"))["results"]
FRAME = pd.read_csv(ORACLE / "c12_example_level.csv").pivot_table("correct", "example", "model")
FOUND = compare_examples(NAMES, FRAME[NAMES].to_numpy() > 0.5, 0.05)


def test_cochran_s_q_equals_r(same: Same):
    assert same(FOUND.cochran_q, R["cochran_q"]["Q"])
    assert FOUND.cochran_df == R["cochran_q"]["df"]
    assert same(FOUND.cochran_p, R["cochran_q"]["p"])


def test_accuracies_and_wilson_s_intervals_equal_r(same: Same):
    for each in FOUND.accuracies:
        assert same(each.share, R["accuracy"][str(each.name)])
        low, high = R["wilson_ci95"][str(each.name)]
        assert same(each.interval.low, low)
        assert same(each.interval.high, high)


@pytest.mark.parametrize("index", range(10))
def test_every_form_of_mcnemar_s_test_equals_r(index: int, same: Same):
    pair, r = FOUND.pairs[index], R["mcnemar_pairs"][index]
    assert (pair.first, pair.second, pair.n10, pair.n01) == (r["a"], r["b"], r["n10"], r["n01"])
    assert same(pair.p_exact, r["p_exact"])
    assert same(pair.p_exact_holm, r["p_exact_holm"])
    assert same(pair.chisq, r["chisq"])
    assert same(pair.p_chisq, r["p"])
    assert same(pair.chisq_corrected, r["chisq_corrected"])
    assert same(pair.p_chisq_corrected, r["p_corrected"])
    assert same(pair.difference, -r["diff"])  # R's is second minus first
    assert same(pair.se, r["wald_se_paired"])
    assert same(pair.wald_interval.low, -r["wald_ci95"][1])


ANSWERS = arrays(np.bool_, st.tuples(st.integers(4, 40), st.integers(2, 5)))


@given(ANSWERS)
def test_any_table_agrees_with_statsmodels(correct_NT: np.ndarray):
    found = compare_examples([str(i) for i in range(correct_NT.shape[1])], correct_NT, 0.05)
    tells = (correct_NT.any(axis=1) & ~correct_NT.all(axis=1)).any()
    assert (found.cochran_q is not None) == tells
    if tells:
        expected = cochrans_q(correct_NT.astype(int))
        assert found.cochran_q == pytest.approx(expected.statistic, rel=1e-9, abs=1e-9)
    for pair in found.pairs:
        table = [[0, pair.n10], [pair.n01, 0]]
        assert pair.p_exact == pytest.approx(min(1.0, mcnemar(table, exact=True).pvalue), rel=1e-9)
        assert pair.p_exact <= pair.p_exact_holm <= 1
        if pair.n10 + pair.n01:
            assert pair.chisq == pytest.approx(mcnemar(table, exact=False, correction=False).statistic)


def test_a_classifier_that_is_always_or_never_right_has_an_interval_that_ends_at_the_bound():
    always, never = accuracy("a", 20, 20, 0.05), accuracy("b", 0, 20, 0.05)
    assert always.interval.high == 1
    assert never.interval.low == 0
    assert always.interval.low == pytest.approx(1 - never.interval.high)
    assert 0.8 < always.interval.low < 0.9


def test_two_that_answer_alike_cannot_be_told_apart():
    answers_N = np.array([True, False, True, True])
    pair = compare_pair("a", "b", answers_N, answers_N, 0.05)
    assert (pair.difference, pair.p_exact, pair.interval, pair.chisq) == (0, 1, None, None)
    assert compare_examples(["a", "b"], np.stack([answers_N, answers_N], axis=1), 0.05).cochran_q is None


def test_equal_counts_are_not_corrected_below_zero():
    first_N, second_N = np.array([True, False, True]), np.array([False, True, True])
    assert compare_pair("a", "b", first_N, second_N, 0.05).chisq_corrected == 0
