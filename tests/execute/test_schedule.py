from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.execute.schedule import Pace, in_order, makespan_s
from cnnbench.types import Trial, TrialResult

from .conftest import outcome_of

SECONDS = st.lists(st.integers(1, 1000).map(float), min_size=1, max_size=40)


def a_trial(replicate: int, level: int, seconds: float) -> Trial:
    """A trial that takes one second for each operation."""
    name = hashlib.sha256(f"{replicate} {level}".encode()).hexdigest()
    return Trial(name, "s", {"level": level}, replicate, {}, {}, "f" * 64, seconds, (1.0,))


def grid(seconds: list[float], replicates: int) -> list[Trial]:
    return [a_trial(r, level, each) for r in range(replicates) for level, each in enumerate(seconds)]


def flops(trial: Trial) -> float:
    return trial.flops


def order(trials: list[Trial], workers: int, *, timed: bool = False) -> list[tuple[int, int]]:
    return [(t.replicate, int(t.cell["level"])) for t in in_order(trials, flops, workers, timed=timed)]


def length(trials: list[Trial] | tuple[Trial, ...], workers: int) -> float:
    return makespan_s([trial.flops for trial in trials], workers)


def test_whoever_is_free_takes_the_next_trial():
    assert makespan_s([3, 2, 2, 1], 2) == 4
    assert makespan_s([3, 2, 2, 1], 1) == 8
    assert makespan_s([], 3) == 0
    assert makespan_s([2, 2], 2, [5]) == 5
    assert makespan_s([2, 4], 2, [5, 1]) == 7


@given(SECONDS, st.integers(1, 8))
def test_a_schedule_is_between_what_nobody_can_beat_and_what_nobody_can_miss(seconds: list[float], workers: int):
    bound = max(*seconds, sum(seconds) / workers)
    assert bound <= makespan_s(seconds, workers) + 1e-9
    assert makespan_s(seconds, workers) <= sum(seconds) / workers + max(seconds) + 1e-9


def test_on_few_workers_replicates_are_whole_and_their_longest_trials_first():
    assert order(grid([1, 3, 2], 3), 1) == [(r, level) for r in range(3) for level in (1, 2, 0)]


def test_on_many_workers_the_last_replicates_are_put_together():
    trials = grid([1, 1, 1, 9], 8)
    found = in_order(trials, flops, 8, timed=False)
    whole = [trial for r in range(8) for trial in sorted(trials[4 * r : 4 * r + 4], key=flops, reverse=True)]

    assert length(whole, 8) == 18
    assert length(found, 8) == 12
    assert [trial.flops for trial in found[-12:]] == [1] * 12


@given(st.lists(st.integers(1, 50).map(float), min_size=1, max_size=6), st.integers(1, 9), st.integers(1, 9))
def test_no_order_loses_a_trial_or_much_time(seconds: list[float], replicates: int, workers: int):
    trials = grid(seconds, replicates)
    found = in_order(trials, flops, workers, timed=False)
    longest_first = sorted(trials, key=flops, reverse=True)

    assert Counter(trial.id for trial in found) == Counter(trial.id for trial in trials)
    assert length(found, workers) <= 1.02 * length(longest_first, workers) + 1e-9
    assert in_order(found[::-1], flops, workers, timed=True) == in_order(trials, flops, workers, timed=True)


def test_timed_trials_are_drawn_by_lot_within_whole_replicates():
    found = order(grid([float(level) for level in range(1, 9)], 6), 1, timed=True)
    places = [[level for r, level in found if r == replicate] for replicate in range(6)]

    assert [r for r, _ in found] == [r for r in range(6) for _ in range(8)]
    assert len({tuple(one) for one in places}) == 6
    assert all(sorted(one) == list(range(8)) for one in places)


def test_nothing_to_run_has_no_order():
    assert in_order((), flops, 2, timed=False) == ()
    assert in_order((), flops, 2, timed=True) == ()


# ------------------------------------------------------------------------------------------------ pace


def result(trial: Trial, seconds: float) -> TrialResult:
    made = outcome_of(trial, 0.5)
    assert isinstance(made, TrialResult)
    return dataclasses.replace(made, cost=dataclasses.replace(made.cost, total_s=seconds))


def test_trials_take_as_long_as_others_of_their_cell_then_as_others_of_their_size():
    pace = Pace("cpu", {"cpu 1e9": 1e8, "cuda 1e9": 1e12})
    first, same, other = a_trial(0, 1, 1e9), a_trial(1, 1, 1e9), a_trial(0, 2, 2e9)
    assert pace.seconds(same) == 10

    pace.learn(result(first, 4.0))

    assert pace.seconds(same) == 4
    assert pace.seconds(other) == pytest.approx(8)
    pace.learn(result(other, 5.0))
    assert pace.seconds(other) == 5
    pace.learn(result(same, 6.0))
    assert pace.seconds(first) == 5


def test_small_trials_do_not_make_large_ones_look_slow():
    assert Pace("cpu", {"cpu 1e9": 1e9}).seconds(a_trial(0, 1, 2e10)) == 1
    assert Pace("cpu", {"cpu 1e9": 4e10}).seconds(a_trial(0, 1, 2e10)) == 0.5
    assert Pace("cpu", {"cpu 1e11": 1e9, "cpu 1e9": 4e10}).seconds(a_trial(0, 1, 2e10)) == 20


def test_what_a_run_measured_is_known_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CNNBENCH_CACHE", str(tmp_path))
    file = tmp_path / "rate.json"
    file.write_text(json.dumps({"flops_per_s": {"cuda 1e9": 7.0, "cpu 1e9": 1.0}}), "utf-8")
    pace = Pace.of_machine("cpu")
    assert pace.seconds(a_trial(0, 1, 1e9)) == 1e9

    pace.remember()
    assert json.loads(file.read_text("utf-8"))["flops_per_s"] == {"cuda 1e9": 7.0, "cpu 1e9": 1.0}
    pace.learn(result(a_trial(0, 1, 1e9), 4.0))
    pace.remember()

    assert json.loads(file.read_text("utf-8"))["flops_per_s"] == {"cuda 1e9": 7.0, "cpu 1e9": 2.5e8}
    assert Pace.of_machine("cpu").seconds(a_trial(0, 1, 1e9)) == 4
    file.write_text("[]", "utf-8")
    assert Pace.of_machine("cpu").seconds(a_trial(0, 1, 2e10)) == 1
