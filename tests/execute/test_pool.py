from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from cnnbench.execute import RunOptions, Session, open_session, run_session
from cnnbench.plugin import hookimpl
from cnnbench.registry import Registry
from cnnbench.spec import StudyFile
from cnnbench.store import read_trial
from cnnbench.types import EpochRecord, Plan, Trial, TrialFailure, TrialOutcome

pytestmark = pytest.mark.filterwarnings(
    # The pool forks, and the test runner may have threads; the workers start none of their own.
    "ignore:This process .* is multi-threaded, use of fork.*:DeprecationWarning"
)


class Watcher:
    """Counts what observers are told."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.epochs: list[tuple[str, int]] = []
        self.outcomes: dict[str, TrialOutcome] = {}
        self.study: list[tuple[str, int]] = []

    @hookimpl
    def cnnbench_study_started(self, plan: Plan, num_finished: int) -> None:
        self.study.append((plan.study, num_finished))

    @hookimpl
    def cnnbench_trial_started(self, trial: Trial, device: str) -> None:
        self.started.append(f"{trial.id} on {device}")

    @hookimpl
    def cnnbench_epoch_finished(self, trial: Trial, record: EpochRecord) -> None:
        self.epochs.append((trial.id, record.epoch))

    @hookimpl
    def cnnbench_trial_finished(self, trial: Trial, outcome: TrialOutcome) -> None:
        self.outcomes[trial.id] = outcome

    @hookimpl
    def cnnbench_study_finished(self, num_finished: int) -> None:
        self.study.append(("finished", num_finished))


def run(study: StudyFile, options: RunOptions, *observers: object, **changes: Any):
    registry = Registry.discover()
    options = dataclasses.replace(options, **changes)
    session = open_session(study, registry, options)
    return session, run_session(session, registry, options, registry.observers(*observers))


def scalars(session: Session) -> dict[str, dict[str, bytes]]:
    """Every scalar of every trial that does not depend on the clock."""
    found = {}
    for trial in session.plan.trials:
        stored = read_trial(session.folder.trial_file(trial.id))
        found[trial.id] = {name: v.tobytes() for name, v in stored.scalars.items() if not name.endswith("_s")}
    return found


def test_results_do_not_depend_on_the_number_of_workers(study: StudyFile, options: RunOptions, tmp_path: Path):
    runs = [
        scalars(run(study, options, workers=workers, runs_dir=tmp_path / f"runs{workers}")[0]) for workers in (0, 1, 2)
    ]

    assert runs[0] == runs[1] == runs[2]


def test_observers_see_everything_once(study: StudyFile, options: RunOptions):
    watcher = Watcher()

    session, summary = run(study, options, watcher, workers=2)

    ids = {trial.id for trial in session.plan.trials}
    assert summary.num_finished == 4
    assert watcher.study == [("tiny", 0), ("finished", 4)]
    assert sorted(watcher.started) == sorted(f"{one} on cpu" for one in ids)
    assert sorted(watcher.epochs) == sorted((one, epoch) for one in ids for epoch in range(3))
    assert set(watcher.outcomes) == ids


def test_an_outcome_is_on_disk_before_it_is_told(study: StudyFile, options: RunOptions):
    class Checker:
        def __init__(self) -> None:
            self.seen: list[bool] = []

        @hookimpl
        def cnnbench_trial_finished(self, trial: Trial) -> None:
            self.seen.append((options.runs_dir / "tiny" / "trials" / f"{trial.id}.h5").exists())

    checker = Checker()
    run(study, options, checker, workers=1)

    assert checker.seen == [True] * 4


def test_trials_that_ran_side_by_side_are_marked(study: StudyFile, options: RunOptions, tmp_path: Path):
    alone, _ = run(study, options, workers=1, runs_dir=tmp_path / "alone")
    beside, _ = run(study, options, workers=2, runs_dir=tmp_path / "beside")

    def most(session: Session) -> list[int]:
        trials = session.plan.trials
        return [read_trial(session.folder.trial_file(trial.id)).cost.concurrent_trials for trial in trials]

    assert most(alone) == [1, 1, 1, 1]
    assert max(most(beside)) == 2


class Killer:
    """Kills the first worker it hears of."""

    def __init__(self) -> None:
        self.victim: str | None = None

    @hookimpl
    def cnnbench_epoch_finished(self, trial: Trial) -> None:
        if self.victim is None:
            self.victim = trial.id
            for pid in _children():
                os.kill(pid, signal.SIGKILL)


def _children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text("utf-8").split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds its children through Linux's /proc")
def test_a_killed_worker_costs_its_trial_and_not_the_study(study: StudyFile, options: RunOptions):
    killer, watcher = Killer(), Watcher()

    session, summary = run(study, options, killer, watcher, workers=1)

    assert (summary.num_finished, summary.num_failed) == (3, 1)
    (failure,) = session.folder.failures()
    assert isinstance(failure, TrialFailure)
    assert (failure.trial.id, failure.error_class) == (killer.victim, "WorkerDied")
    assert "SIGKILL" in failure.message


class Interrupter:
    """Presses Ctrl-C when the first trial is done."""

    @hookimpl
    def cnnbench_trial_finished(self) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize("workers", [0, 1])
def test_an_interruption_keeps_what_is_finished(study: StudyFile, options: RunOptions, workers: int):
    session, summary = run(study, options, Interrupter(), workers=workers)

    assert summary.interrupted
    assert summary.num_finished == 1
    assert len(session.folder.finished()) == 1
    assert _children_are_gone()


def _children_are_gone() -> bool:
    import multiprocessing

    return multiprocessing.active_children() == []
