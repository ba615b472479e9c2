"""Questions that the tests of several methods ask."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cnnbench.stats.effects.questions import Question, level_contrast
from cnnbench.stats.trials.cells import CellData

Pair = Callable[[CellData, int, int, int], Question]


@pytest.fixture(scope="session")
def pair() -> Pair:
    """Return the comparison of two levels of the factor at a position."""

    def make(data: CellData, position: int, first: int, second: int) -> Question:
        levels = data.factors[position].levels
        weights_L = np.array([1.0 if level == first else -1.0 if level == second else 0.0 for level in levels])
        return level_contrast(data, position, weights_L, f"{first} - {second}")

    return make
