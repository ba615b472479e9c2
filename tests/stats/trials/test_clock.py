"""What measured times are worth."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.stats import analyse
from cnnbench.stats.trials.clock import clock_note, noisy_sentence, read_clock
from cnnbench.stats.trials.prepare import read_trials
from cnnbench.types import Clock, Factor

if TYPE_CHECKING:
    from tests.stats.conftest import MakeResponse, MakeStudy

FACTORS = (Factor("depth", (8, 14)), Factor("regime", ("none", "gradual")))


def timed_trials(noise: float, *, seconds: tuple[float, ...] = (1.0, 3.0, 10.0, 20.0), seed: int = 0) -> pd.DataFrame:
    """Return 20 trials in four cells, whose training times differ by factors and by noise."""
    rng = np.random.default_rng(seed)
    cells = [(depth, regime) for depth in FACTORS[0].levels for regime in FACTORS[1].levels]
    rows = [
        {
            "trial_id": f"{depth}-{regime}-{replicate}",
            "depth": depth,
            "regime": regime,
            "replicate": replicate,
            "accuracy": rng.normal(1, 0.1),
            "train_s": base * np.exp(rng.normal(0, noise)),
        }
        for (depth, regime), base in zip(cells, seconds, strict=True)
        for replicate in range(5)
    ]
    frame = pd.DataFrame(rows).assign(concurrent_trials=1, environment_key="here", device_type="cpu")
    return frame.assign(train_cpu_s=frame["train_s"])


@pytest.fixture
def clock_of(study: MakeStudy, response: MakeResponse):
    def read(frame: pd.DataFrame, *, uses_time: bool = True) -> Clock | None:
        data = study(frame, FACTORS)
        return read_clock(data, read_trials(data), response(uses_time=uses_time), np.ones(len(frame), dtype=bool))

    return read


@given(factor=st.lists(st.floats(0.01, 100), min_size=4, max_size=4), seed=st.integers(0, 99))
def test_the_spread_is_that_within_cells_whatever_the_cells_take(
    study: MakeStudy, response: MakeResponse, factor: list[float], seed: int
):
    def spread(seconds: tuple[float, ...]) -> Clock:
        data = study(timed_trials(0.1, seconds=seconds, seed=seed), FACTORS)
        found = read_clock(data, read_trials(data), response(uses_time=True), np.ones(20, dtype=bool))
        assert found is not None
        return found

    one, other = spread((1.0,) * 4), spread(tuple(factor))
    assert one.spread == pytest.approx(other.spread)
    assert one.slowest == pytest.approx(other.slowest)
    seconds_MK = timed_trials(0.1, seed=seed)["train_s"].to_numpy().reshape(4, 5)
    log_MK = np.log(seconds_MK)
    left_MK = log_MK - log_MK.mean(axis=1, keepdims=True) - log_MK.mean(axis=0) + log_MK.mean()
    assert one.spread == pytest.approx(np.sqrt((left_MK**2).sum() / 12))
    assert one.slowest == pytest.approx((seconds_MK / np.median(seconds_MK, axis=1, keepdims=True)).max())
    apart = study(timed_trials(0.1, seed=seed), FACTORS, paired=False)
    alone = read_clock(apart, read_trials(apart), response(uses_time=True), np.ones(20, dtype=bool))
    assert alone is not None
    assert alone.spread == pytest.approx(np.sqrt(log_MK.var(axis=1, ddof=1).mean()))
    assert ("whole replicates" in clock_note(one), "whole replicates" in clock_note(alone)) == (True, False)


def test_waiting_is_wall_time_without_processor_time(clock_of):
    frame = timed_trials(0.0)
    slow = (frame["regime"] == "gradual") & (frame["depth"] == 8)
    frame.loc[slow, "train_s"] *= 2
    found = clock_of(frame)
    assert found.waited == pytest.approx(5 * 3 / (5 * (1 + 6 + 10 + 20)))
    assert list(found.waited_by_level) == ["depth 14", "depth 8"]
    assert list(found.waited_by_level.values()) == [0, pytest.approx(3 / 7)]
    note = clock_note(found)
    assert "for 8.1 % of its time, from less than 0.1 % at depth 14 to 43 % at depth 8; the most was 50 %" in note
    assert "43 % of its time at depth 8 and for less than 0.1 % at depth 14; run the study again" in noisy_sentence(
        found
    )


def test_waiting_of_short_trials_is_not_lost_among_long_ones(clock_of):
    frame = timed_trials(0.0, seconds=(1.0, 1.0, 300.0, 300.0))
    one = (frame["regime"] == "gradual") & (frame["depth"] == 8)
    frame.loc[one, "train_s"] /= 0.9
    found = clock_of(frame)
    assert found.waited < 0.001
    assert "5.3 % of its time at depth 8" in noisy_sentence(found)
    # Both levels of each factor wait as much, and yet two cells do more than the others.
    frame = timed_trials(0.0, seconds=(1.0,) * 4)
    frame.loc[(frame["regime"] == "gradual") == (frame["depth"] == 8), "train_s"] *= 1.1
    assert "of the time of depth 8, regime gradual" in noisy_sentence(dataclasses.replace(clock_of(frame), waited=0.01))


def test_what_slows_whole_replicates_is_no_noise(clock_of):
    frame = timed_trials(0.0)
    frame.loc[frame["replicate"] > 2, ["train_s", "train_cpu_s"]] *= 2
    assert clock_of(frame).spread == pytest.approx(0, abs=1e-9)
    assert clock_of(frame).slowest == pytest.approx(2)


def test_a_response_of_total_time_is_held_against_total_times(study: MakeStudy, response: MakeResponse):
    frame = timed_trials(0.0).assign(total_s=np.exp(np.random.default_rng(0).normal(0, 0.3, 20)))
    data = study(frame, FACTORS)
    info = response("total_s", uses_time=True)
    found = read_clock(data, read_trials(data), info, np.ones(20, dtype=bool))
    assert found is not None
    assert found.spread > 0.1
    assert "total times" in clock_note(found)
    assert "total times" in noisy_sentence(found)


def test_what_is_not_known_is_not_told(clock_of):
    frame = timed_trials(0.01)
    assert clock_of(frame, uses_time=False) is None
    assert clock_of(frame.drop(columns="train_s")) is None
    assert clock_of(frame.assign(train_s=np.nan)) is None
    on_gpu = clock_of(frame.assign(device_type="cuda", train_cpu_s=0.0))
    assert (on_gpu.waited, on_gpu.waited_by_level) == (None, None)
    assert "waited" not in clock_note(on_gpu)
    single = clock_of(frame[frame["replicate"] == 0])
    assert (single.spread, single.slowest) == (None, None)
    assert clock_note(single).startswith("How much training times differ between trials that do the same work cannot")


def test_a_quiet_machine_is_not_complained_about(clock_of):
    assert noisy_sentence(clock_of(timed_trials(0.03))) is None
    sentence = noisy_sentence(clock_of(timed_trials(0.3)))
    assert "trials that do the same work differ by" in sentence
    assert "--fresh" in sentence


def test_two_machines_are_not_noise(clock_of):
    frame = timed_trials(0.0)
    frame.loc[frame["replicate"] > 1, "environment_key"] = "elsewhere"
    frame.loc[frame["replicate"] > 1, ["train_s", "train_cpu_s"]] *= 5
    assert clock_of(frame).spread == pytest.approx(0, abs=1e-9)


def test_the_finding_ends_with_it_and_the_notes_tell_it_once(study: MakeStudy, response: MakeResponse):
    frame = timed_trials(0.3)
    responses = (response(uses_time=True), response("train_s", uses_time=True), response("again"))
    data = study(frame.assign(again=frame["accuracy"]), FACTORS, responses=responses)
    found = analyse(data).responses
    assert [one.clock is not None for one in found] == [True, True, False]
    assert ["The times are noisy" in one.headline for one in found] == [True, True, False]
    assert [sum("do the same work" in note for note in one.notes) for one in found] == [1, 0, 0]
    places = [one.variance.population for one in found if one.variance is not None]
    assert ["timed" in place for place in places] == [True, True, False]
