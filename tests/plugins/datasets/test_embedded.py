"""Spreading a limited number of items."""

from __future__ import annotations

from cnnbench_plugins.datasets.embedded import spread
from hypothesis import given
from hypothesis import strategies as st


def test_a_limit_above_the_count_takes_everything():
    assert spread(4, 9).tolist() == [0, 1, 2, 3]


def test_a_lower_limit_takes_evenly_spread_items():
    assert spread(10, 4).tolist() == [0, 2, 5, 7]


@given(count=st.integers(1, 500), limit=st.integers(1, 500))
def test_items_are_different_and_in_order(count: int, limit: int):
    taken = spread(count, limit).tolist()
    assert len(taken) == min(count, limit)
    assert taken == sorted(set(taken))
    assert 0 <= taken[0] <= taken[-1] < count
