"""The signed-rank test, against R's answers and against counting every sign pattern."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, wilcoxon

from cnnbench.stats.ranks.wilcoxon import MOST_FOR_EXACT, signed_rank, signed_rank_without_zeros

if TYPE_CHECKING:
    from tests.stats.conftest import Same

ORACLE = Path(__file__).parents[1] / "oracle"
TIE = 1e-14
R = json.loads((ORACLE / "c13_models_datasets.json").read_text("utf-8"))["results"]


@pytest.mark.parametrize("pair", R["wilcoxon_pairs"], ids=lambda pair: f"{pair['a']}-{pair['b']}")
def test_both_forms_equal_r_with_ties_and_zeros(pair, same: Same):
    frame = pd.read_csv(ORACLE / "c13_models_datasets.csv").pivot_table("accuracy", "dataset", "model")
    difference_N = (frame[pair["a"]] - frame[pair["b"]]).to_numpy()
    pratt, dropped = signed_rank(difference_N, TIE), signed_rank_without_zeros(difference_N, TIE)
    assert pratt is not None
    assert dropped is not None
    assert same(pratt.p, pair["coin_pratt_exact_p"])
    assert (dropped.v, dropped.exact) == (pair["V"], pair["p"] == pair["coin_pratt_exact_p"])
    assert same(dropped.p, pair["p"])


def test_both_forms_equal_r_s_exact_test_without_ties():
    frame = pd.read_csv(ORACLE / "c15_two_conditions.csv").pivot_table("accuracy", "seed", "depth")
    low, high = frame.columns
    difference_N = (frame[high] - frame[low]).to_numpy()
    for test in (signed_rank, signed_rank_without_zeros):
        found = test(difference_N, TIE)
        assert found is not None
        assert found.v == 70  # wilcox.test(b, a, paired = TRUE) of R 4.2.2
        assert found.p == pytest.approx(0.01220703125, rel=1e-12)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=10))
def test_the_exact_p_is_the_share_of_sign_patterns_as_far_from_the_centre(counts: list[int]):
    difference_N = np.array(counts) / 7
    found = signed_rank(difference_N, TIE)
    if not any(counts):
        assert found is None
        return
    ranks_N = rankdata(np.abs(counts))[np.array(counts) != 0]
    signs_N = np.sign(counts)[np.array(counts) != 0]
    observed = abs(float(signs_N @ ranks_N))
    sums = [abs(float(np.array(signs) @ ranks_N)) for signs in product([-1, 1], repeat=len(ranks_N))]
    assert found is not None
    assert found.p == pytest.approx(np.mean([each >= observed - 1e-9 for each in sums]), rel=1e-12)
    assert found.v == ranks_N[signs_N > 0].sum()


@given(st.lists(st.floats(-1, 1).filter(lambda value: abs(value) > 1e-6), min_size=1, max_size=30, unique_by=abs))
def test_without_ties_both_forms_are_scipy_s_exact_test(values: list[float]):
    expected = wilcoxon(values, method="exact")
    for test in (signed_rank, signed_rank_without_zeros):
        found = test(np.array(values), 0.0)
        assert found is not None
        assert found.exact
        assert found.p == pytest.approx(expected.pvalue, rel=1e-9)


def test_signs_turned_give_the_same_p_and_the_other_v():
    difference_N = np.array([0.1, -0.2, 0.2, 0.0, 0.4, -0.1, 0.3])
    first, second = signed_rank(difference_N, TIE), signed_rank(-difference_N, TIE)
    assert first is not None
    assert second is not None
    assert first.p == second.p
    assert first.v + second.v == 28 - 1  # all ranks but that of the zero


def test_many_differences_are_approximated_and_the_seam_is_smooth():
    rng = np.random.default_rng(3)
    difference_N = rng.normal(0.06, 1, MOST_FOR_EXACT + 1)
    many, exact = signed_rank(difference_N, TIE), signed_rank(difference_N[:-1], TIE)
    assert many is not None
    assert exact is not None
    assert (many.exact, exact.exact) == (False, True)
    assert many.p == pytest.approx(wilcoxon(difference_N, method="approx").pvalue, rel=1e-3)
    assert exact.p == pytest.approx(wilcoxon(difference_N[:-1], method="approx").pvalue, rel=0.02)


def test_nothing_but_zeros_is_no_test():
    assert signed_rank(np.zeros(5), TIE) is None
    assert signed_rank_without_zeros(np.zeros(5), TIE) is None
