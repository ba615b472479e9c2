from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cnnbench.environment import choose_devices
from cnnbench.errors import SetupError
from cnnbench.execute import Forecast, RunOptions, Session
from cnnbench.types import Trial, TrialFailure, TrialResult

from .conftest import outcome_of


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pending(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Four trials, two of 10 s and two of 20 s on a machine that nothing is known of."""
    monkeypatch.setenv("CNNBENCH_CACHE", str(tmp_path / "nothing-known"))
    trials = tuple(
        dataclasses.replace(trial, flops=2e10 * (10 if trial.cell["width"] == 2 else 20))
        for trial in session.plan.trials
    )
    return dataclasses.replace(session, pending=trials, plan=dataclasses.replace(session.plan, trials=trials))


def took(trial: Trial, seconds: float) -> TrialResult:
    result = outcome_of(trial, 0.5)
    assert isinstance(result, TrialResult)
    return dataclasses.replace(result, cost=dataclasses.replace(result.cost, total_s=seconds))


def test_the_rest_is_played_on_all_workers(pending: Session, options: RunOptions, clock: Clock):
    forecasts = [
        Forecast(pending, dataclasses.replace(options, workers=number), clock).left_s() for number in (0, 1, 2, 4)
    ]
    assert forecasts == [60, 60, 30, 20]


def test_it_goes_on_with_the_clock_and_learns_from_this_run(pending: Session, options: RunOptions, clock: Clock):
    forecast = Forecast(pending, dataclasses.replace(options, workers=1), clock)
    first, second, *_ = sorted(pending.pending, key=lambda trial: -trial.flops)
    forecast.cnnbench_trial_started(first)
    clock.now += 5
    assert forecast.left_s() == 55

    clock.now += 35  # it takes twice as long as expected
    forecast.cnnbench_trial_finished(first, took(first, 40.0))
    forecast.cnnbench_trial_started(second)

    assert forecast.left_s() == 40 + 2 * 20  # the small ones are near enough in size to be slower, too
    clock.now += 500
    assert forecast.left_s() == 0


def test_a_trial_that_failed_takes_no_more_time(pending: Session, options: RunOptions, clock: Clock):
    forecast = Forecast(pending, dataclasses.replace(options, workers=1), clock)
    trial = pending.pending[0]
    forecast.cnnbench_trial_started(trial)
    forecast.cnnbench_trial_finished(trial, TrialFailure(trial, "Diverged", "nan", "", 0))
    assert forecast.left_s() == 50


def test_a_plan_that_has_grown_is_forecast_anew(pending: Session, options: RunOptions, clock: Clock):
    forecast = Forecast(dataclasses.replace(pending, pending=()), dataclasses.replace(options, workers=1), clock)
    assert forecast.left_s() is None
    pending.folder.create()
    done, failed, *_ = pending.plan.trials
    pending.folder.save(took(done, 1.0))
    pending.folder.save(TrialFailure(failed, "Diverged", "nan", "", 0))

    forecast.cnnbench_plan_extended(pending.plan)

    assert forecast.left_s() == 30


def test_without_known_costs_there_is_no_forecast(pending: Session, options: RunOptions, clock: Clock):
    free = tuple(dataclasses.replace(trial, flops=0.0) for trial in pending.pending)
    assert Forecast(dataclasses.replace(pending, pending=free), options, clock).left_s() is None


def test_a_finished_study_needs_no_device(pending: Session, options: RunOptions, clock: Clock):
    elsewhere = dataclasses.replace(options, device="cuda:99")
    with pytest.raises(SetupError):
        choose_devices("cuda:99")
    assert Forecast(dataclasses.replace(pending, pending=()), elsewhere, clock).left_s() is None
