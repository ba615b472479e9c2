"""Hypotheses as weights of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cnnbench.stats.effects.questions import cell_average, contrast, slope
from cnnbench.stats.trials.cells import cell_data, level_index
from cnnbench.types import Factor, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.stats.trials.cells import CellData

REGIME = Factor("regime", ("none", "gradual", "stepwise"))
DEPTH = Factor("depth", (8, 16, 32), "log2")


def grid_data(factors: list[Factor], without: Sequence[int] = ()) -> CellData:
    shape = tuple(len(factor.levels) for factor in factors)
    cells = [i for i in range(int(np.prod(shape))) if i not in without]
    cell_N = np.tile(cells, 3)
    y_N = np.random.default_rng(0).normal(size=len(cell_N))
    return cell_data(tuple(factors), cell_N, np.repeat(np.arange(3), len(cells)), y_N, paired=True)


def test_a_contrast_averages_over_the_other_factors_without_weights():
    question = contrast(grid_data([DEPTH, REGIME]), REGIME, "gradual - none")
    assert question.weights_M == pytest.approx([-1 / 3, 1 / 3, 0] * 3)
    assert question.averaged == ("depth",)
    assert question.caveat == ""


def test_a_weighted_contrast_keeps_its_weights():
    question = contrast(grid_data([REGIME]), REGIME, "0.5 gradual + 0.5 stepwise - none")
    assert question.weights_M == pytest.approx([-1, 0.5, 0.5])


def test_within_a_level_only_its_cells_count():
    question = contrast(grid_data([DEPTH, REGIME]), REGIME, "gradual - none", {"depth": 16})
    assert question.weights_M == pytest.approx([0, 0, 0, -1, 1, 0, 0, 0, 0])
    assert question.label == "gradual - none at depth 16"


def test_a_missing_cell_confines_the_average_to_complete_combinations_and_says_so():
    question = contrast(grid_data([DEPTH, REGIME], without=[1]), REGIME, "gradual - none")
    assert question.weights_M == pytest.approx([0, 0, 0, -1 / 2, 1 / 2, 0, -1 / 2, 1 / 2, 0])
    assert question.caveat.startswith("averaged over the 2 of 3 combinations")


def test_a_missing_cell_that_the_contrast_does_not_need_changes_nothing():
    question = contrast(grid_data([DEPTH, REGIME], without=[2]), REGIME, "gradual - none")
    assert question.weights_M == pytest.approx([-1 / 3, 1 / 3, 0] * 3)
    assert question.caveat == ""


def test_a_level_without_trials_is_refused_by_name():
    refused = contrast(grid_data([DEPTH, REGIME], without=[1, 4, 7]), REGIME, "gradual - none")
    assert isinstance(refused, Refusal)
    assert refused.why == "No trial has regime gradual."


def test_levels_that_never_meet_cannot_be_compared():
    refused = contrast(
        grid_data([Factor("depth", (8, 16)), Factor("regime", ("none", "gradual"))], without=[1, 2]),
        Factor("regime", ("none", "gradual")),
        "gradual - none",
    )
    assert isinstance(refused, Refusal)
    assert "No combination" in refused.why


def test_a_slope_is_the_change_per_doubling():
    question = slope(grid_data([DEPTH]), ("depth",))
    assert question.weights_M @ np.array([1.0, 3.0, 5.0]) == pytest.approx(2.0)
    assert question.label == "slope of depth (per doubling)"


def test_a_linear_slope_is_the_change_per_unit():
    question = slope(grid_data([Factor("width", (10, 20, 40), "linear")]), ("width",))
    assert question.weights_M @ (3.0 * np.array([10, 20, 40])) == pytest.approx(3.0)


def test_a_slope_is_averaged_over_the_other_factors():
    weights_MM = slope(grid_data([DEPTH, REGIME]), ("depth",)).weights_M.reshape(3, 3)
    assert weights_MM[:, 0] == pytest.approx(weights_MM[:, 1])
    assert weights_MM.sum(axis=1) == pytest.approx([-0.5, 0, 0.5])


def test_a_slope_over_two_factors_ignores_additive_effects():
    size = Factor("size", (32, 64, 128), "log2")
    question = slope(grid_data([DEPTH, size]), ("depth", "size"))
    x, z = np.meshgrid([3.0, 4, 5], [5.0, 6, 7], indexing="ij")
    assert question.weights_M @ (0.25 * x * z + x**2 - 7 * z).ravel() == pytest.approx(0.25)


@pytest.mark.parametrize("without", [[8], [1, 3]])
def test_a_slope_over_two_factors_survives_missing_cells(without: list[int]):
    size = Factor("size", (32, 64, 128), "log2")
    question = slope(grid_data([DEPTH, size], without=without), ("depth", "size"))
    x, z = np.meshgrid([3.0, 4, 5], [5.0, 6, 7], indexing="ij")
    assert question.weights_M @ (0.25 * x * z + x**2 - 7 * z).ravel() == pytest.approx(0.25)
    assert question.weights_M[without] == pytest.approx([0] * len(without))
    assert question.caveat.startswith("least squares over the")


def test_a_slope_needs_an_order_and_two_levels():
    data = grid_data([DEPTH, REGIME])
    assert slope(data, ("regime",)).why == "The factor regime has no order."
    one = grid_data([DEPTH, REGIME], without=[3, 4, 5, 6, 7, 8])
    assert slope(one, ("depth",)).why == "Only one level of depth has trials."


def test_a_slope_that_the_cells_do_not_determine_is_refused():
    size = Factor("size", (32, 64), "log2")
    refused = slope(grid_data([Factor("depth", (8, 16), "log2"), size], without=[3]), ("depth", "size"))
    assert isinstance(refused, Refusal)
    assert "do not determine" in refused.why


def test_a_cell_average_is_unweighted_and_needs_all_its_cells():
    data = grid_data([DEPTH, REGIME], without=[1])
    assert cell_average(data, {"depth": 16}).weights_M == pytest.approx([0, 0, 0, 1 / 3, 1 / 3, 1 / 3, 0, 0, 0])
    assert "1 of the 3 cells" in cell_average(data, {"depth": 8}).why
    assert cell_average(data, {"depth": 50}).why == "This study has no trial with depth 50."


def test_true_and_one_are_different_levels_but_one_and_one_point_zero_are_not():
    factor = Factor("augment", (True, 1, "1"))
    assert [level_index(factor, level) for level in (True, 1, 1.0, "1", False)] == [0, 1, 1, 2, None]
