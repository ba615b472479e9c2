from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from cnnbench.cli.display import LiveDisplay, PlainDisplay, describe_outcome, describe_trial
from cnnbench.cli.plan_text import count, duration
from cnnbench.execute import Forecast, RunOptions, Session
from cnnbench.types import TrialFailure


def a_console(width: int = 60) -> Console:
    return Console(file=io.StringIO(), width=width)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_failure_is_told_in_one_line(session: Session):
    failure = TrialFailure(session.plan.trials[0], "RuntimeError", "no such layer\nframe 0\nframe 1", "", None)

    assert describe_outcome(failure) == "FAILED (RuntimeError: no such layer)"


def test_replicates_are_named_as_in_the_results(session: Session):
    assert describe_trial(session.plan.trials[2]) == "width 2, replicate 1"
    assert describe_trial(dataclasses.replace(session.plan.trials[0], cell={})) == "replicate 0"


def test_trials_that_failed_before_count_and_take_no_more_time(session: Session):
    console, plan = a_console(), session.plan
    display = PlainDisplay(console, failed=2)
    display.cnnbench_study_started(plan, 1)

    display.cnnbench_trial_finished(plan.trials[0], TrialFailure(plan.trials[0], "Diverged", "nan.", "", 0))

    (line,) = text_of(console).splitlines()
    assert line == "[4/4] width 2, replicate 0: FAILED (Diverged: nan.)"


def test_lines_of_a_log_are_not_broken(session: Session):
    console, trial = a_console(width=20), session.plan.trials[0]
    display = PlainDisplay(console)
    display.cnnbench_study_started(session.plan, 0)

    display.cnnbench_trial_finished(trial, TrialFailure(trial, "Diverged", "nan.", "", 0))

    assert len(text_of(console).splitlines()) == 1


@pytest.mark.parametrize(("failed", "sentence"), [(0, ""), (1, "1 trial failed.\n"), (2, "2 trials failed.\n")])
def test_the_live_display_leaves_the_number_of_failures_behind(failed: int, sentence: str):
    console = a_console()

    with LiveDisplay(console, failed=failed):
        pass

    assert text_of(console).lstrip("\n") == sentence


def test_the_live_display_shows_running_trials_and_the_time_left(
    session: Session, options: RunOptions, monkeypatch: pytest.MonkeyPatch
):
    console, trial = a_console(), session.plan.trials[0]
    forecast = Forecast(session, options)
    monkeypatch.setattr(forecast, "left_s", lambda: 120.0)
    with LiveDisplay(console, forecast=forecast) as display:
        display.cnnbench_study_started(session.plan, 1)
        display.cnnbench_trial_started(trial, "cpu")
        console.print(display._picture())

    text = text_of(console)
    assert "1/4 trials" in text
    assert "about 2 min left" in text
    assert "width 2, replicate 0" in text
    assert "epoch 0/3" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (40, "40 s"), (360, "6 min"), (5399, "90 min"), (11520, "3.2 h")]
)
def test_times_are_said_as_people_say_them(seconds: float, text: str):
    assert duration(seconds) == text


def test_a_noun_is_in_the_plural_where_that_is_due():
    assert [count(number, "trial") for number in (0, 1, 2)] == ["0 trials", "1 trial", "2 trials"]
