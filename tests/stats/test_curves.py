from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cnnbench.stats import summarise_curves
from cnnbench.types import Curve

CELL = {"depth": 8}
PHASE = ["small", "large", "large"]
SIZES_PX = [8, 16, 16]
NONE = np.nan


def summarise(*scalars: dict[str, list[float]], level: float = 0.95) -> dict[str, Curve]:
    trials = [{name: np.asarray(values) for name, values in trial.items()} for trial in scalars]
    described = {name: ("s", f"The {name}") for trial in scalars for name in trial}
    return {curve.name: curve for curve in summarise_curves(CELL, PHASE, SIZES_PX, trials, described, level)}


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_band_is_the_t_interval_of_the_mean_at_each_epoch(level: float):
    values_RE = np.array([[0.1, 0.5, 0.9], [0.3, 0.5, 0.8], [0.2, 0.8, 0.4], [0.6, 0.1, 0.7]])

    curve = summarise(*({"accuracy": row.tolist()} for row in values_RE), level=level)["accuracy"]

    low_E, high_E = stats.t.interval(level, 3, values_RE.mean(axis=0), stats.sem(values_RE, axis=0))
    assert curve.mean == pytest.approx(values_RE.mean(axis=0))
    assert curve.low == pytest.approx(low_E)
    assert curve.high == pytest.approx(high_E)
    assert curve.n == 4


def test_a_curve_says_where_it_comes_from():
    curve = summarise({"accuracy": [0.1, 0.2, 0.3]}, {"accuracy": [0.3, 0.4, 0.5]})["accuracy"]

    assert (curve.cell, curve.unit, curve.long_name) == (CELL, "s", "The accuracy")
    assert (curve.epoch, curve.phase, curve.size_px) == ([0, 1, 2], PHASE, SIZES_PX)


def test_a_single_trial_has_a_curve_without_a_band():
    curve = summarise({"accuracy": [0.1, 0.2, 0.3]})["accuracy"]

    assert curve.low == curve.mean == curve.high == [0.1, 0.2, 0.3]
    assert curve.n == 1


def test_epochs_at_which_a_trial_has_no_value_are_left_out():
    curve = summarise({"tta": [NONE, 0.2, 0.3]}, {"tta": [0.1, NONE, 0.5]}, {"tta": [0.1, 0.2, 0.7]})["tta"]

    assert (curve.epoch, curve.phase, curve.size_px) == ([2], ["large"], [16])
    assert curve.mean == pytest.approx([0.5])


def test_a_value_that_no_epoch_has_in_all_trials_makes_no_curve():
    curves = summarise({"tta": [NONE, 0.2, NONE], "loss": [3, 2, 1]}, {"tta": [0.1, NONE, NONE], "loss": [3, 2, 1]})

    assert list(curves) == ["loss"]


def test_a_value_that_a_trial_does_not_record_makes_no_curve():
    curves = summarise({"accuracy": [1, 1, 1], "loss": [3, 2, 1]}, {"loss": [3, 2, 1]})

    assert list(curves) == ["loss"]
