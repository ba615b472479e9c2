"""Noise from trials."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cnnbench.stats.effects.estimate import estimate
from cnnbench.stats.effects.questions import slope
from cnnbench.stats.power.noise import assumed_noise, observed_noise, seed_correlation
from cnnbench.stats.power.t_test import t_test
from cnnbench.stats.trials.cells import cell_data
from cnnbench.types import Factor, Refusal

if TYPE_CHECKING:
    from tests.stats.conftest import Oracle

FACTOR = (Factor("depth", (8, 18)),)
EVERY = np.array([True, True])


@pytest.mark.parametrize(("case", "paired"), [("c07", True), ("c07", False), ("c01", False)])
def test_the_noise_of_a_question_is_the_standard_error_of_its_estimate(oracle: Oracle, case: str, *, paired: bool):
    """With n seeds sd / sqrt(n), and the degrees of freedom behind it, are those of the analysis."""
    data = oracle(case).cells(paired=paired)
    weights_M = slope(data, ("depth", "size")).weights_M
    found = estimate(data, weights_M, "")
    test = t_test(observed_noise(data, np.abs(weights_M) > 1e-12, ""), weights_M, paired=paired, alpha=0.05)
    assert test.sd / found.n_per_cell**0.5 == pytest.approx(found.se, rel=1e-10)
    assert test.known_df == pytest.approx(found.df, rel=1e-10)


def test_shared_seeds_that_lack_a_needed_cell_are_left_out():
    data = cell_data(
        FACTOR, np.array([0, 1, 0, 1, 0, 1, 0]), np.array([0, 0, 1, 1, 2, 2, 3]), np.arange(7.0) ** 2, paired=True
    )
    noise = observed_noise(data, EVERY, "")
    assert noise.covariance_MM == pytest.approx(np.cov(np.array([[0, 1], [4, 9], [16, 25]]), rowvar=False))
    assert (noise.paired_df, noise.variance_df_M.tolist()) == (2.0, [3.0, 2.0])


def test_independent_seeds_tell_of_no_correlation():
    data = cell_data(FACTOR, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([0.0, 2, 5, 6]), paired=False)
    noise = observed_noise(data, EVERY, "")
    assert noise.covariance_MM == pytest.approx(np.diag([2.0, 0.5]))
    assert noise.paired_df is None


def test_where_a_cell_has_one_trial_the_pooled_variance_stands_for_all():
    data = cell_data(FACTOR, np.array([0, 0, 0, 1]), np.arange(4), np.array([1.0, 2, 3, 9]), paired=False)
    noise = observed_noise(data, EVERY, "")
    assert noise.variance_M == pytest.approx([1.0, 1.0])
    assert noise.df_of(np.array([1.0, 1.0])) == 2.0


@pytest.mark.parametrize(
    ("y_N", "replicate_N", "why"),
    [
        ([1.0, 2.0], [0, 0], "one seed per cell"),
        ([1.0, 2.0, 1.0, 2.0], [0, 0, 1, 1], "do not differ at all"),
    ],
)
def test_trials_without_noise_are_refused(y_N: list[float], replicate_N: list[int], why: str):
    cell_N = np.array([0, 1] * (len(y_N) // 2))
    refused = observed_noise(cell_data(FACTOR, cell_N, np.array(replicate_N), np.array(y_N), paired=True), EVERY, "x")
    assert isinstance(refused, Refusal)
    assert refused.what == "x"
    assert why in refused.why


def test_seeds_none_of_which_has_every_cell_are_refused():
    data = cell_data(FACTOR, np.array([0, 0, 1, 1]), np.arange(4), np.array([0.0, 2, 5, 6]), paired=True)
    refused = observed_noise(data, EVERY, "x")
    assert isinstance(refused, Refusal)
    assert refused.why.startswith("Only 0 replicate(s)")


def test_assumed_noise_is_the_same_everywhere():
    noise = assumed_noise(3, 2.0, 0.25)
    assert noise.variance_M.tolist() == [4.0] * 3
    assert noise.covariance_MM == pytest.approx(np.array([[4.0, 1, 1], [1, 4, 1], [1, 1, 4]]))
    assert noise.df_of(noise.variance_M) is None


def test_the_correlation_of_seeds_is_recovered():
    rng = np.random.default_rng(1)
    y_KM = rng.normal(0, 3, (4000, 1)) + rng.normal(0, 4, (4000, 5)) + np.arange(5)
    assert seed_correlation(y_KM, 0.0) == pytest.approx(9 / 25, abs=0.02)


def test_without_spread_cells_or_seeds_there_is_no_correlation(oracle: Oracle):
    assert seed_correlation(np.ones((3, 2)), 1e-14) is None
    assert seed_correlation(np.arange(3.0)[:, None], 0.0) is None
    assert seed_correlation(np.arange(3.0)[None], 0.0) is None
    constant = replace(oracle("c07").cells(paired=True))
    assert seed_correlation(constant.y_KM, constant.tiny) is not None
