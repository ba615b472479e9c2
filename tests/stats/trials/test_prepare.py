"""Which trials count for a response, and on which scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from cnnbench.errors import AnalysisError
from cnnbench.stats.trials.environments import environment_refusal
from cnnbench.stats.trials.prepare import read_trials, scale_for, select, to_scale
from cnnbench.types import Factor, Refusal

if TYPE_CHECKING:
    from tests.stats.conftest import MakeResponse, MakeStudy

DEPTH = Factor("depth", (8, 18))


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "trial_id": ["a", "b", "c", "d"],
            "depth": [8, 8, 18, 18],
            "replicate": [0, 1, 0, 1],
            "accuracy": [0.5, 0.6, 0.7, 0.8],
            "concurrent_trials": [1, 1, 2, 1],
            "environment_key": ["here"] * 4,
        }
    )


@pytest.mark.parametrize("name", ["trial_id", "depth", "replicate", "accuracy", "concurrent_trials", "environment_key"])
def test_a_missing_column_is_one_clear_sentence(study: MakeStudy, frame: pd.DataFrame, name: str):
    with pytest.raises(AnalysisError, match=f"lacks the column `{name}`"):
        read_trials(study(frame.drop(columns=name), (DEPTH,)))


def test_an_unknown_level_is_one_clear_sentence(study: MakeStudy, frame: pd.DataFrame):
    with pytest.raises(AnalysisError, match="level `18` of factor `depth`, which the study does not name"):
        read_trials(study(frame, (Factor("depth", (8, 34)),)))


def test_a_column_without_numbers_is_one_clear_sentence(study: MakeStudy, response: MakeResponse, frame: pd.DataFrame):
    data = study(frame.assign(accuracy=["high"] * 4), (DEPTH,))
    with pytest.raises(AnalysisError, match="`accuracy` of the table of trials holds something that is no number"):
        select(data, read_trials(data), response())


def test_the_same_replicate_twice_is_one_clear_sentence(study: MakeStudy, frame: pd.DataFrame):
    with pytest.raises(AnalysisError, match="same replicate of the same cell"):
        read_trials(study(frame.assign(replicate=[0, 0, 0, 1]), (DEPTH,)))


@pytest.mark.parametrize("levels", [(8, 18), ("8", "18"), (8.0, 18.0)])
def test_levels_are_recognised_as_numbers_and_as_text(
    study: MakeStudy, frame: pd.DataFrame, levels: tuple[object, ...]
):
    assert read_trials(study(frame, (Factor("depth", levels),))).cell_N.tolist() == [0, 0, 1, 1]


def test_true_and_false_are_levels(study: MakeStudy, frame: pd.DataFrame):
    data = study(frame.assign(depth=[False, False, True, True]), (Factor("depth", (True, False)),))
    assert read_trials(data).cell_N.tolist() == [1, 1, 0, 0]


def test_trials_without_a_finite_value_are_named_and_left_out(
    study: MakeStudy, response: MakeResponse, frame: pd.DataFrame
):
    data = study(frame.assign(accuracy=[0.5, np.nan, 0.7, np.inf]), (DEPTH,))
    selection = select(data, read_trials(data), response())
    assert selection.kept_N.tolist() == [True, False, True, False]
    assert selection.refusals[0].what == "accuracy of 2 trials"
    assert selection.refusals[0].why.endswith("left out: b, d.")


def test_trials_that_ran_beside_others_are_left_out_of_time_responses_only(
    study: MakeStudy, response: MakeResponse, frame: pd.DataFrame
):
    data = study(frame, (DEPTH,))
    trials = read_trials(data)
    assert select(data, trials, response()).kept_N.all()
    selection = select(data, trials, response(uses_time=True))
    assert selection.kept_N.tolist() == [True, True, False, True]
    assert "ran beside others" in selection.refusals[0].why
    assert "exclusive" in selection.refusals[0].remedy


def test_trials_that_took_their_features_from_others_are_left_out_of_time_responses_only(
    study: MakeStudy, response: MakeResponse, frame: pd.DataFrame
):
    data = study(frame.assign(features_reused=[False, True, True, False]), (DEPTH,))
    trials = read_trials(data)
    assert select(data, trials, response()).kept_N.all()
    selection = select(data, trials, response(uses_time=True))
    assert selection.kept_N.tolist() == [True, False, False, True]
    beside, reused = selection.refusals
    assert beside.what == "accuracy of 1 trial"
    assert "took the features of its frozen layers from another one" in reused.why
    assert reused.why.endswith("left out: b.")
    assert "exclusive" in reused.remedy


def test_two_environments_are_not_pooled_unasked(study: MakeStudy, frame: pd.DataFrame):
    mixed = frame.assign(environment_key=["cpu", "cpu", "cpu", "gpu"])
    refusal = environment_refusal(study(mixed, (DEPTH,)), read_trials(study(mixed, (DEPTH,))))
    assert "3 in cpu; 1 in gpu" in refusal.why
    pooled = study(mixed, (DEPTH,), pool_environments=True)
    assert environment_refusal(pooled, read_trials(pooled)) is None


def test_the_log_scale_needs_positive_values():
    assert to_scale(np.array([1.0, np.e]), "log", "time")[0] == pytest.approx([0, 1])
    refused = to_scale(np.array([1.0, 0.0]), "log", "time")
    assert isinstance(refused, Refusal)
    assert "1 trial(s) have time <= 0" in refused.why


def test_the_logit_of_a_bound_is_taken_half_a_step_inside():
    y_N, note = to_scale(np.array([0.5, 0.98, 1.0]), "logit", "accuracy")
    assert y_N == pytest.approx([0.0, np.log(0.98 / 0.02), np.log(0.99 / 0.01)])
    assert note.startswith("1 trial on 0 or 1 moved inwards by 0.01")


def test_the_logit_needs_fractions():
    assert "fractions" in to_scale(np.array([50.0, 98.0]), "logit", "accuracy").why
    assert "infinite" in to_scale(np.array([1.0, 1.0, 0.0]), "logit", "accuracy").why


def test_the_scale_of_a_further_response_follows_from_its_declared_bounds(
    study: MakeStudy, response: MakeResponse, frame: pd.DataFrame
):
    main, time = response(), response("time", bounded="positive")
    loss = response("loss", bounded="none")
    data = study(frame, (DEPTH,), responses=(main, time, loss), scale="log")
    assert [scale_for(data, info)[0] for info in data.responses] == ["log", "log", "raw"]
    assert "does not suit" in scale_for(data, loss)[1]
    logit = study(frame, (DEPTH,), responses=(main, time), scale="logit")
    assert [scale_for(logit, info)[0] for info in logit.responses] == ["logit", "raw"]
