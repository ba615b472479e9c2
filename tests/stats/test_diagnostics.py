"""Residuals as a description."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import probplot

from cnnbench.stats import analyse
from cnnbench.stats.diagnostics import MOST_POINTS
from cnnbench.types import Factor

if TYPE_CHECKING:
    from tests.stats.conftest import MakeStudy, Simulate

FACTORS = (Factor("depth", (1, 2, 4), "log2"), Factor("size", (16, 32), "log2"))


def test_independent_residuals_are_deviations_from_the_cell(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda cell: cell["depth"] / 10, n=4)
    found = analyse(study(frame, FACTORS, paired=False)).responses[0].residuals
    mean = frame.groupby(["depth", "size"])["accuracy"].transform("mean")
    assert found.residual == pytest.approx(sorted(frame["accuracy"] - mean), abs=1e-12)
    assert sorted(found.fitted) == pytest.approx(sorted(mean))
    assert found.num == 24


def test_shared_seeds_take_their_own_means_out(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda cell: cell["depth"] / 10, n=6, sd=0.001, seed_sd=0.5)
    found = analyse(study(frame, FACTORS)).responses[0].residuals
    assert max(map(abs, found.residual)) < 0.01
    assert sum(found.residual) == pytest.approx(0, abs=1e-12)


def test_incomplete_seeds_are_left_out(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda _: 0.5, n=6).drop(index=[0])
    assert analyse(study(frame, FACTORS)).responses[0].residuals.num == 5 * 6


def test_normal_residuals_lie_on_their_quantiles(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda _: 0.5, n=100, sd=0.01)
    found = analyse(study(frame, FACTORS, paired=False)).responses[0].residuals
    assert np.array(found.residual) / 0.01 == pytest.approx(np.array(found.quantile), abs=0.4)
    theirs = probplot(found.residual, fit=False)[0]
    assert found.quantile == pytest.approx(theirs, abs=0.05)


def test_of_many_residuals_the_extremes_stay(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda _: 0.5, n=400)
    found = analyse(study(frame, FACTORS, paired=False)).responses[0].residuals
    deviations = frame["accuracy"] - frame.groupby(["depth", "size"])["accuracy"].transform("mean")
    assert len(found.residual) == len(found.quantile) == len(found.fitted) == MOST_POINTS
    assert found.num == 2400
    assert found.residual[:50] == pytest.approx(sorted(deviations)[:50])
    assert found.residual[-50:] == pytest.approx(sorted(deviations)[-50:])


def test_one_trial_per_cell_leaves_none(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda cell: cell["depth"] / 10, n=1)
    assert analyse(study(frame, FACTORS, replicates=1)).responses[0].residuals is None
