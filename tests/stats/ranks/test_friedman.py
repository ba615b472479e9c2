"""Ranks over blocks, against R's answers, scipy, and each other."""

from __future__ import annotations

import json
from math import factorial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import friedmanchisquare

from cnnbench.stats.ranks.friedman import (
    control_z,
    critical_difference,
    friedman,
    indistinct_groups,
    nemenyi_q,
    ranks_of,
)

if TYPE_CHECKING:
    from tests.stats.conftest import Same

ORACLE = Path(__file__).parents[1] / "oracle"
NAMES = ["m0", "m1", "m2", "m3", "m4"]
R: dict[str, Any] = json.loads((ORACLE / "c13_models_datasets.json").read_text("utf-8"))["results"]


@pytest.fixture(scope="module")
def y_BL() -> np.ndarray:
    frame = pd.read_csv(ORACLE / "c13_models_datasets.csv").pivot_table("accuracy", "dataset", "model")
    return frame[NAMES].to_numpy()


def test_both_omnibus_tests_and_the_mean_ranks_equal_r(y_BL: np.ndarray, same: Same):
    found = friedman(y_BL, higher_is_better=True, tie=1e-14)
    assert found is not None
    assert same(found.chisq, R["friedman"]["chisq"])
    assert (found.df, found.df2) == (R["friedman"]["df"], R["iman_davenport"]["df2"])
    assert same(found.p, R["friedman"]["p"])
    assert same(found.f, R["iman_davenport"]["F"])
    assert same(found.p_f, R["iman_davenport"]["p"])
    assert same(found.kendall_w, R["kendall_w"])
    assert dict(zip(NAMES, found.mean_rank_L.tolist(), strict=True)) == pytest.approx(R["mean_ranks_best_is_1"])


def test_nemenyi_and_the_critical_difference_equal_r(y_BL: np.ndarray, same: Same):
    found = friedman(y_BL, higher_is_better=True, tie=1e-14)
    assert found is not None
    assert same(critical_difference(found, 0.05), R["nemenyi_critical_difference"]["CD"], rel=1e-6)
    for pair in R["nemenyi_pairs"]:
        first, second = (found.mean_rank_L[NAMES.index(pair[side])] for side in ("a", "b"))
        q, p = nemenyi_q(first - second, found)
        assert same(q, pair["statistic"])
        assert same(p, pair["p"], rel=1e-6)


def test_comparisons_with_a_control_equal_r(y_BL: np.ndarray, same: Same):
    found = friedman(y_BL, higher_is_better=True, tie=1e-14)
    assert found is not None
    z_L, p_L = control_z(found, 0)
    for name, z in R["vs_control_m0_z_holm"]["z"].items():
        assert same(z_L[NAMES.index(name)], z)
        assert same(p_L[NAMES.index(name)], R["vs_control_m0_z_holm"]["p"][name])


TABLES = arrays(
    np.float64,
    st.tuples(st.integers(5, 12), st.integers(3, 6)),
    elements=st.integers(0, 6).map(lambda count: count / 100),
)


@given(TABLES)
def test_ties_are_corrected_for_as_in_scipy(y_BL: np.ndarray):
    found = friedman(y_BL, higher_is_better=True, tie=1e-14)
    if found is None:
        assert (np.ptp(y_BL, axis=1) == 0).all()
        return
    statistic, p = friedmanchisquare(*y_BL.T)
    assert found.chisq == pytest.approx(statistic, rel=1e-9, abs=1e-9)
    assert found.p == pytest.approx(p, rel=1e-9)


@given(TABLES)
def test_only_the_order_within_blocks_counts(y_BL: np.ndarray):
    plain = friedman(y_BL, higher_is_better=True, tie=1e-14)
    assume(plain is not None)
    assert plain is not None
    shifts_B = np.arange(len(y_BL))[:, None]
    moved = friedman(100 * y_BL + shifts_B, higher_is_better=True, tie=1e-11)
    turned = friedman(-y_BL, higher_is_better=False, tie=1e-14)
    for other in (moved, turned):
        assert other is not None
        assert np.array_equal(other.mean_rank_L, plain.mean_rank_L)
        assert other.p_f == plain.p_f


def test_better_turns_the_ranks_around():
    y_BL = np.array([[0.9, 0.8, 0.7]] * 5) + np.arange(5)[:, None] / 100
    high, low = (friedman(y_BL, higher_is_better=higher, tie=1e-14) for higher in (True, False))
    assert high is not None
    assert low is not None
    assert high.mean_rank_L.tolist() == [1, 2, 3]
    assert low.mean_rank_L.tolist() == [3, 2, 1]


def test_blocks_that_all_agree_have_no_f_but_the_probability_of_agreeing():
    found = friedman(np.tile([0.1, 0.2, 0.3, 0.4], (6, 1)), higher_is_better=True, tie=1e-14)
    assert found is not None
    assert (found.f, found.kendall_w) == (None, 1)
    assert found.p_f == pytest.approx(factorial(4) ** -5)
    tied = friedman(np.tile([0.1, 0.2, 0.2], (5, 1)), higher_is_better=True, tie=1e-14)
    assert tied is not None
    assert tied.p_f == pytest.approx(3.0**-4)


def test_what_is_a_tie_on_paper_is_a_tie():
    values = np.array([0.58 - 0.57, 0.57 - 0.56, 0.3 - 0.1])
    assert values[0] != values[1]
    assert ranks_of(values, 1e-14).tolist() == [1.5, 1.5, 3.0]
    assert ranks_of(values, 0.0).tolist() != [1.5, 1.5, 3.0]


@pytest.mark.parametrize(
    ("ranks", "limit", "groups"),
    [
        ([1.7, 1.9, 3.55, 3.75, 4.1], 1.93, [[0, 1, 2], [1, 2, 3], [2, 3, 4]]),
        ([3.0, 1.0, 2.0], 5.0, [[1, 2, 0]]),
        ([1.0, 2.0, 3.0], 1.0, []),
        ([1.0, 1.5, 4.0, 4.2], 1.0, [[0, 1], [2, 3]]),
        ([1.0, 4.0, 4.2], 1.0, [[1, 2]]),
    ],
)
def test_groups_are_the_largest_sets_within_the_critical_difference(ranks, limit, groups):
    assert indistinct_groups(np.array(ranks), limit) == groups
