"""From power to seeds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.stats.power.seeds import (
    MOST_SEEDS,
    detectable_effect,
    fewest_seeds,
    seed_range,
    seeds_for_equivalence,
    seeds_to_detect,
    seeds_to_settle,
)
from cnnbench.stats.power.t_test import OneSampleT, WelchT


@given(st.integers(2, MOST_SEEDS))
def test_the_fewest_seeds_are_found_wherever_they_lie(first: int):
    assert fewest_seeds(lambda seeds: float(seeds >= first), 0.8) == first


def test_beyond_a_thousand_there_is_no_answer():
    assert fewest_seeds(lambda seeds: float(seeds > MOST_SEEDS), 0.8) is None
    assert seeds_to_detect(OneSampleT(1.0, 0.05), 1e-9) is None
    assert seeds_to_settle(OneSampleT(1.0, 0.05), 0.0, None) is None
    assert seeds_to_settle(OneSampleT(1.0, 0.05), 1.0, 1e-9) is None


@pytest.mark.parametrize(("dz", "seeds"), [(0.5, 34), (0.8, 15), (1.0, 10), (1.5, 6), (2.0, 5)])
def test_seeds_for_80_percent_power_are_those_of_the_paired_t_test(dz: float, seeds: int):
    assert seeds_to_detect(OneSampleT(1.0, 0.05), dz) == seeds


def test_independent_seeds_are_those_of_r():
    # R: power.t.test(power = 0.8, delta = 0.5, sd = 1)$n is 63.8 per group
    assert seeds_to_detect(WelchT(np.ones(2), 0.05), 0.5) == 64


def test_a_question_is_settled_when_both_answers_are_within_reach():
    test = OneSampleT(1.0, 0.05)
    detect, equivalence = seeds_to_detect(test, 1.0), seeds_for_equivalence(test, 1.0)
    assert (detect, equivalence) == (10, 11)
    assert seeds_to_settle(test, 99.0, 1.0) == 11
    assert seeds_to_settle(test, 1.0, None) == 10


def test_the_detectable_effect_is_that_of_r():
    # R: power.t.test(power = 0.8, n = 5, sd = 1, type = "one.sample", strict = TRUE, tol = 1e-12)$delta, and of two
    # samples for power = 0.9, n = 12, sd = 2
    assert detectable_effect(OneSampleT(1.0, 0.05), 5) == pytest.approx(1.68199696595358, rel=1e-8)
    assert detectable_effect(WelchT(np.full(2, 4.0), 0.05), 12, 0.9) == pytest.approx(2.77031964576051, rel=0.005)
    assert detectable_effect(OneSampleT(1.0, 0.05), 1) is None


@given(st.floats(0.05, 20), st.integers(2, 60), st.floats(0.55, 0.95))
def test_the_detectable_effect_has_the_power_asked_for(sd: float, seeds: int, power: float):
    test = OneSampleT(sd, 0.05)
    assert test.detect(seeds, detectable_effect(test, seeds, power)) == pytest.approx(power, abs=1e-7)


def test_the_range_of_seeds_is_that_at_the_ends_of_the_sd():
    test = OneSampleT(1.0, 0.05, known_df=4)
    ends = seed_range(test, lambda one: seeds_to_detect(one, 1.0))
    expected = tuple(seeds_to_detect(OneSampleT(sd, 0.05), 1.0) for sd in (0.717060530995462, 1.9392602312252))
    assert ends == expected
    assert ends[0] < seeds_to_detect(test, 1.0) < ends[1]
    assert seed_range(OneSampleT(1.0, 0.05), lambda one: seeds_to_detect(one, 1.0)) is None
