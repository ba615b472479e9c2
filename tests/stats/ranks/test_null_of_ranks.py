"""Measured false positives of the ranks over datasets."""

from __future__ import annotations

import numpy as np
import pytest

from cnnbench.stats.ranks.friedman import friedman

STUDIES = 1000


@pytest.mark.slow
def test_ranks_over_datasets_hold_their_level_where_noise_differs_between_them():
    """4,000 tables of 5 models on 10 datasets: the F approximates, and is known to reject a little over 5 %."""
    rng, hits = np.random.default_rng(1), 0
    for _ in range(4 * STUDIES):
        noise_BL = rng.normal(0, 1, (10, 5)) * np.exp(rng.normal(0, 1, (10, 1)))
        found = friedman(rng.normal(0, 1, (10, 1)) + noise_BL, higher_is_better=True, tie=1e-14)
        assert found is not None
        hits += found.p_f < 0.05
    assert 0.04 <= hits / (4 * STUDIES) <= 0.065
