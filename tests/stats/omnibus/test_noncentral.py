"""The noncentral F distribution and the interval that rests on it."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import f as f_distribution
from scipy.stats import ncf, studentized_range
from scipy.stats import t as student_t

from cnnbench.stats.omnibus.noncentral import (
    ncf_cdf,
    partial_eta_sq_interval,
    partial_omega_sq_interval,
    studentized_range_sf,
)


@pytest.mark.parametrize(
    ("f", "df1", "df2", "noncentrality"), [(2.0, 3, 20, 4.0), (15.0, 2, 60, 25.0), (0.4, 5, 9, 0.5)]
)
def test_the_mixture_agrees_with_scipy_where_scipy_is_right(f: float, df1: float, df2: float, noncentrality: float):
    assert ncf_cdf(f, df1, df2, noncentrality) == pytest.approx(float(ncf.cdf(f, df1, df2, noncentrality)), rel=1e-9)


def test_without_noncentrality_it_is_the_f_distribution():
    assert ncf_cdf(1.7, 4, 31, 0.0) == pytest.approx(float(f_distribution.cdf(1.7, 4, 31)), rel=1e-12)


def test_it_stays_finite_and_falls_where_the_noncentrality_is_huge():
    values = [ncf_cdf(50_000.0, 3, 64, noncentrality) for noncentrality in (1e5, 1.5e5, 2e5)]
    assert values == sorted(values, reverse=True)
    assert 0 < values[1] < 1


def test_a_small_f_has_an_interval_that_starts_at_zero():
    interval = partial_eta_sq_interval(0.5, 3, 20, 0.05)
    assert interval.low == 0.0
    assert 0 < interval.high < 0.5


def test_the_limits_are_where_the_observed_f_is_a_tail_quantile():
    interval = partial_eta_sq_interval(6.0, 3, 40, 0.05)
    low, high = (40 * limit / (1 - limit) for limit in (interval.low, interval.high))
    assert ncf_cdf(6.0, 3, 40, low) == pytest.approx(0.975, abs=1e-9)
    assert ncf_cdf(6.0, 3, 40, high) == pytest.approx(0.025, abs=1e-9)


def test_an_enormous_f_gets_no_interval():
    assert partial_eta_sq_interval(1e9, 3, 40, 0.05) is None


def test_the_interval_of_partial_omega_squared_is_that_of_the_f_that_it_implies_as_in_effectsize():
    # R 4.2.2, effectsize 0.8.3: partial omega squared 0.74437201189264 of a term with 2 and 45 df, its 95 % interval
    omega = 0.74437201189264
    wanted = partial_eta_sq_interval(omega / (1 - omega) * 45 / 2, 2, 45, 0.05)
    assert (wanted.low, wanted.high) == pytest.approx((0.604755543089243, 0.8226874892544), abs=1e-6)
    f = (omega * 46 + 2) / (2 * (1 - omega))  # whose partial omega squared (F - 1) d1 / (F d1 + d2 + 1) is that
    found = partial_omega_sq_interval(f, 2, 45, 0.05)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), rel=1e-9)
    assert partial_omega_sq_interval(0.9, 2, 45, 0.05) is None


@given(
    num=st.integers(2, 30),
    df=st.one_of(st.integers(1, 60), st.floats(1, 1e5)),
    q=st.floats(0, 12, allow_subnormal=False),
)
@example(num=2, df=1.2, q=8.0)  # the density of the spread is infinitely steep near zero
@settings(max_examples=60, deadline=None)
def test_the_studentized_range_is_that_of_scipy(num: int, df: float, q: float):
    assert studentized_range_sf(q, num, df) == pytest.approx(float(studentized_range.sf(q, num, df)), abs=1e-8)


def test_far_tails_keep_their_digits_where_scipy_has_none():
    """Of two means the studentized range is Student's t."""
    for t in (5.0, 9.0, 13.0):
        assert studentized_range_sf(2**0.5 * t, 2, 30) == pytest.approx(2 * student_t.sf(t, 30), rel=1e-6)
