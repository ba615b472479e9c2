"""Power of t tests against R's ``power.t.test`` and numerical integration, and by what power has to do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student_t

from cnnbench.stats.power.noise import Noise, assumed_noise
from cnnbench.stats.power.t_test import OneSampleT, WelchT, equivalence_power, noise_factors, t_power, t_test

PAIR = np.array([1.0, -1.0])


def paired(sd: float = 1.0) -> OneSampleT:
    return OneSampleT(sd, 0.05)


# R 4.2.2: power.t.test(n = n, delta = 0.5, sd = 1, type = "one.sample", strict = TRUE)$power
@pytest.mark.parametrize(
    ("n", "power"), [(3, 0.0841070558965017), (5, 0.140516689990415), (10, 0.293175606514385), (34, 0.80777750127944)]
)
def test_power_with_shared_seeds_is_that_of_r(n: int, power: float):
    assert paired().detect(n, 0.5) == pytest.approx(power, abs=1e-9)


# R: the same with type = "two.sample", whose variance is pooled: Welch's test of two equal cells has a little less.
@pytest.mark.parametrize(("n", "power", "loss"), [(5, 0.107685989798184, 0.02), (64, 0.801459557922328, 0.002)])
def test_power_with_independent_seeds_is_nearly_that_of_rs_pooled_test(n: int, power: float, loss: float):
    test = t_test(assumed_noise(2, 1.0, 0.0), PAIR, paired=False, alpha=0.05)
    assert power - loss <= test.detect(n, 0.5) <= power + 3 * test.monte_carlo_se(n, 0.5)


@pytest.mark.parametrize("seeds", [2, 3, 6])
@pytest.mark.parametrize("shares", [[1.0, 1.0], [1.0, 25.0], [1.0] * 9])
def test_power_with_independent_seeds_is_that_of_simulated_welch_tests(seeds: int, shares: list[float]):
    """Against tests on 20,000 sets of simulated trials; many cells with few seeds are where degrees of freedom vary."""
    test = WelchT(np.array(shares), 0.05)
    effect = 2.8 * test.sd / seeds**0.5
    rng = np.random.default_rng(4)
    y_SKM = rng.normal(size=(20_000, seeds, len(shares))) * np.sqrt(shares)
    part_SM = y_SKM.var(axis=1, ddof=1) / seeds
    value_S, variance_S = y_SKM.mean(axis=1).sum(axis=1), part_SM.sum(axis=1)
    df_S = variance_S**2 * (seeds - 1) / (part_SM**2).sum(axis=1)
    p_S = 2 * student_t.sf(np.abs(value_S + effect) / np.sqrt(variance_S), df_S)
    shown_S = np.abs(value_S) + student_t.isf(0.05, df_S) * np.sqrt(variance_S) < effect
    assert test.detect(seeds, effect) == pytest.approx((p_S < 0.05).mean(), abs=0.015)
    assert test.equivalence(seeds, effect) == pytest.approx(shown_S.mean(), abs=0.025)
    assert 0 < test.monte_carlo_se(seeds, effect) < 0.01


# R: integrate() of max(0, 2 pnorm(d - t s) - 1) over the density of s = sqrt(chi^2 / df)
@pytest.mark.parametrize(("n", "power"), [(4, 0.0974278411963228), (9, 0.433740047627463), (20, 0.928345601258803)])
def test_the_power_of_the_equivalence_test_is_its_integral(n: int, power: float):
    assert paired().equivalence(n, 0.8) == pytest.approx(power, abs=1e-5)


def test_the_interval_of_the_sd_is_that_of_chi_square():
    # As R's qchisq has it for 4 degrees of freedom.
    assert noise_factors(4, 0.8) == pytest.approx((0.717060530995462, 1.9392602312252), rel=1e-9)


def test_without_an_effect_the_power_is_alpha():
    assert t_power(0.0, 7.3, 0.05) == pytest.approx(0.05, abs=1e-12)
    assert equivalence_power(0.0, 7.3, 0.05) == 0.0


def test_shared_seeds_have_the_variance_of_the_scores():
    noise = assumed_noise(2, 2.0, 0.75)
    shared, independent = (t_test(noise, PAIR, paired=paired, alpha=0.05) for paired in (True, False))
    assert shared.sd == pytest.approx(2.0 * (2 * 0.25) ** 0.5)
    assert independent.sd == pytest.approx(2.0 * 2**0.5)
    assert (shared.known_df, independent.known_df) == (None, None)


def test_unequal_variances_are_known_with_the_degrees_of_freedom_of_satterthwaite():
    noise = Noise(np.array([1.0, 4.0]), np.diag([1.0, 4.0]), np.array([4.0, 9.0]), None)
    test = t_test(noise, PAIR, paired=False, alpha=0.05)
    assert test.known_df == pytest.approx(25 / (1 / 4 + 16 / 9))
    assert t_test(noise, PAIR, paired=True, alpha=0.05).known_df == test.known_df


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=6), st.integers(2, 60), st.floats(0.1, 5))
def test_independent_seeds_grow_in_power_too(shares: list[float], seeds: int, effect: float):
    test = WelchT(np.array(shares), 0.05)
    power = test.detect(seeds, effect)
    assert test.detect(seeds, 1.5 * effect) >= power
    assert test.detect(2 * seeds, effect) >= power - 0.01
    assert test.louder(1.5).detect(seeds, effect) <= power
    assert test.equivalence(seeds, 1.5 * effect) >= test.equivalence(seeds, effect)
    assert test.detect(seeds, effect) == power


SDS = st.floats(0.05, 20)
SEEDS = st.integers(2, 300)


@given(SDS, SEEDS, st.floats(0.01, 5), st.floats(1.05, 3), st.integers(1, 100))
def test_power_grows_with_effect_and_seeds_and_falls_with_noise(
    sd: float, seeds: int, effect: float, factor: float, more: int
):
    test = paired(sd)
    power = test.detect(seeds, effect)
    assert 0.05 - 1e-9 <= power <= 1 + 1e-9
    assert test.detect(seeds, effect * factor) >= power - 1e-9
    assert test.detect(seeds + more, effect) >= power - 1e-9
    assert test.louder(factor).detect(seeds, effect) <= power + 1e-9


@given(SDS, SEEDS, st.floats(0.01, 5), st.floats(1.05, 3), st.integers(1, 100))
def test_equivalence_is_easier_with_a_wider_margin_and_more_seeds_and_harder_with_noise(
    sd: float, seeds: int, margin: float, factor: float, more: int
):
    test = paired(sd)
    power = test.equivalence(seeds, margin)
    assert 0 <= power <= 1 + 1e-9
    assert test.equivalence(seeds, margin * factor) >= power - 1e-9
    if power > 0.2:  # with two or three seeds a small SD by chance shows more than a third seed does
        assert test.equivalence(seeds + more, margin) >= power - 1e-5
    assert test.louder(factor).equivalence(seeds, margin) <= power + 1e-9


@given(SDS, SEEDS, st.floats(0.01, 5), st.floats(1e-3, 1e3))
def test_only_the_ratio_of_effect_and_noise_counts(sd: float, seeds: int, effect: float, unit: float):
    assert paired(sd * unit).detect(seeds, effect * unit) == pytest.approx(paired(sd).detect(seeds, effect), abs=1e-12)
