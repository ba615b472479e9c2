"""The paired bootstrap without simulation, held against scipy's simulated one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, bootstrap

from cnnbench.stats.examples.bootstrap import _sum_distribution, bootstrap_interval


@pytest.mark.parametrize(("n10", "n01", "n"), [(41, 80, 400), (12, 3, 100), (5, 5, 60), (9, 0, 50)])
def test_the_limits_are_those_of_many_resamples(n10: int, n01: int, n: int):
    values_N = np.array([1.0] * n10 + [-1.0] * n01 + [0.0] * (n - n10 - n01))
    simulated = bootstrap(
        (values_N,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(1), batch=2_000
    ).confidence_interval
    found = bootstrap_interval(n10, n01, n, 0.05)
    assert found is not None
    assert found.low == pytest.approx(simulated.low, abs=1.01 / n)
    assert found.high == pytest.approx(simulated.high, abs=1.01 / n)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 200))
def test_the_interval_holds_the_difference_and_turns_with_it(n10: int, n01: int, neither: int):
    n = n10 + n01 + neither
    if n10 + n01 == 0:
        assert n == 0 or bootstrap_interval(n10, n01, n, 0.05) is None
        return
    found, turned = bootstrap_interval(n10, n01, n, 0.05), bootstrap_interval(n01, n10, n, 0.05)
    assert found is not None
    assert turned is not None
    difference = (n10 - n01) / n
    assert -1 <= found.low <= difference <= found.high <= 1
    assert turned.low == pytest.approx(-found.high, abs=1.01 / n)
    assert turned.high == pytest.approx(-found.low, abs=1.01 / n)


def test_the_distribution_of_the_sum_is_the_binomial_where_one_sign_is_missing():
    share_V = _sum_distribution(0.3, 0.0, 25)
    assert share_V.sum() == pytest.approx(1)
    assert share_V[25:] == pytest.approx(binom.pmf(np.arange(26), 25, 0.3), abs=1e-13)


def test_the_interval_covers_the_true_difference_as_often_as_it_says():
    rng, true, n = np.random.default_rng(11), 0.08, 300
    counts = rng.multinomial(n, [0.14, 0.06, 0.8], size=600)
    found = [bootstrap_interval(int(a), int(b), n, 0.05) for a, b, _ in counts]
    covered = np.mean([each is not None and each.low <= true <= each.high for each in found])
    assert 0.92 <= covered <= 0.98


def test_many_examples_take_no_resampling():
    found = bootstrap_interval(700, 500, 50_000, 0.05)
    assert found is not None
    half = 1.959964 * np.sqrt(1200 - 200**2 / 50_000) / 50_000
    assert found.low == pytest.approx(0.004 - half, abs=3e-5)
    assert found.high == pytest.approx(0.004 + half, abs=3e-5)
