"""Measured false positives where datasets are random, and where seeds are nested in a factor."""

from __future__ import annotations

import numpy as np
import pytest

from cnnbench.stats.effects.estimate import estimate, split_plot
from cnnbench.stats.effects.questions import slope
from cnnbench.stats.trials.cells import cell_data, over_levels
from cnnbench.types import Factor

DEPTH = Factor("depth", (8, 16, 32), "log2")
SIZE = Factor("size", (32, 64, 128), "log2")
FACTORS = (DEPTH, SIZE)
STUDIES = 1000


@pytest.mark.slow
def test_the_slope_over_random_datasets_holds_its_level_where_datasets_differ_in_every_effect():
    """2,000 studies of 6 datasets with 1 to 5 trials per cell; with datasets as fixed half of them would be wrong."""
    factors = (Factor("dataset", tuple(range(6))), *FACTORS)
    rng = np.random.default_rng(11)
    hits = fixed = 0
    for _ in range(2 * STUDIES):
        effects = [rng.normal(0, sd, shape) for sd, shape in ((0.05, (6, 1, 1)), (0.01, (6, 3, 1)), (0.01, (6, 1, 3)))]
        mean_M = (sum(effects, np.zeros((6, 3, 3))) + rng.normal(0, 0.008, (6, 3, 3))).ravel()
        cell_N = np.repeat(np.arange(54), rng.integers(1, 6, 54))
        y_N = mean_M[cell_N] + rng.normal(0, 0.004, len(cell_N))
        trials = cell_data(factors, cell_N, np.arange(len(cell_N)), y_N, paired=False)
        p = [estimate(d, slope(d, ("depth", "size")).weights_M, "").p for d in (over_levels(trials, 0), trials)]
        hits += p[0] < 0.05
        fixed += p[1] < 0.05
    assert 0.037 <= hits / (2 * STUDIES) <= 0.063
    assert fixed / (2 * STUDIES) > 0.4


@pytest.mark.slow
def test_whole_plots_with_few_noisy_seeds_are_compared_by_welch():
    """2,000 split plots of 3, 5 and 8 seeds, the fewest with the largest spread; pooled, one in six would be wrong."""
    rng = np.random.default_rng(12)
    plot_K = np.repeat([0, 1, 2], [3, 5, 8])
    row_N, inner_N = np.indices((16, 3)).reshape(2, -1)
    hits = pooled = 0
    for _ in range(2 * STUDIES):
        y_KJ = rng.normal(0, np.array([0.03, 0.02, 0.01])[plot_K])[:, None] + rng.normal(0, 0.005, (16, 3))
        data = cell_data(FACTORS, plot_K[row_N] * 3 + inner_N, row_N, y_KJ.ravel(), paired=True, between=(0,))
        weights_M = slope(data, ("depth",)).weights_M
        hits += estimate(data, weights_M, "").p < 0.05
        pooled += split_plot(data, weights_M, "", equal_variances=True).p < 0.05
    assert 0.037 <= hits / (2 * STUDIES) <= 0.085
    assert pooled / (2 * STUDIES) > 0.13
