from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from cnnbench.execute import RunOptions, Session, open_session, run_session
from cnnbench.execute.packing import Packing
from cnnbench.execute.pool import Pool
from cnnbench.execute.sharing import Sharing
from cnnbench.execute.worker import WorkerSetup
from cnnbench.plugin import hookimpl
from cnnbench.registry import Registry
from cnnbench.spec import StudyFile
from cnnbench.store import read_trial
from cnnbench.train import TrialRequest
from cnnbench.types import EpochRecord, Plan, Trial, TrialFailure, TrialOutcome, TrialResult

from .conftest import outcome_of


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
            for worker in multiprocessing.active_children():
                worker.kill()


class Silent:
    """The parent's end of a pipe to a worker that dies just before it is given a trial."""

    def __init__(self, pipe: Any, process: Any) -> None:
        self._pipe, self._process = pipe, process

    def send(self, trial: Trial | None) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.send(trial)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)


def test_a_worker_that_dies_between_two_trials_costs_one_of_them(
    study: StudyFile, options: RunOptions, monkeypatch: pytest.MonkeyPatch
):
    start = Pool._start
    started: list[str] = []

    def start_a_dying_one_first(pool: Pool, device: str):
        worker = start(pool, device)
        if not started:
            worker.pipe = Silent(worker.pipe, worker.process)
        started.append(device)
        return worker

    monkeypatch.setattr(Pool, "_start", start_a_dying_one_first)

    _, summary = run(study, options, workers=1)

    assert (summary.num_finished, summary.num_failed) == (3, 1)
    assert len(started) == 2


def test_workers_end_when_their_parent_lets_go_of_them(
    session: Session, registry: Registry, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("cnnbench.execute.worker._die_with_parent", lambda: None)
    setup = WorkerSetup(session.datasets, session.folder.path, 1e9)
    pool = Pool(registry, setup, ["cpu", "cpu"], registry.observers(), lambda: None)
    processes = [pool._start("cpu").process for _ in range(2)]
    try:
        for worker in pool.workers:
            worker.pipe.close()
            worker.process.join(30)
        assert [process.exitcode for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()


def test_a_termination_signal_ends_a_worker_without_a_word(
    session: Session, registry: Registry, capfd: pytest.CaptureFixture[str]
):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    setup = WorkerSetup(session.datasets, session.folder.path, 1e9)
    pool = Pool(registry, setup, ["cpu"], registry.observers(), lambda: None)
    try:
        worker = pool._start("cpu")
        pool._give(worker, Packing(session.plan.trials))
        assert worker.pipe.poll(60)
        worker.process.terminate()
        worker.process.join(30)
    finally:
        signal.signal(signal.SIGTERM, before)
        pool._stop()

    assert worker.process.exitcode == -signal.SIGTERM
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("workers", [0, 1])
def test_the_display_is_called_while_trials_run(study: StudyFile, options: RunOptions, workers: int):
    ticks: list[None] = []
    registry = Registry.discover()
    options = dataclasses.replace(options, workers=workers)
    session = open_session(study, registry, options)

    run_session(session, registry, options, registry.observers(), lambda: ticks.append(None))

    assert len(ticks) >= 4


def test_a_killed_worker_costs_its_trial_and_not_the_study(study: StudyFile, options: RunOptions):
    killer, watcher = Killer(), Watcher()

    session, summary = run(study, options, killer, watcher, workers=1)

    assert (summary.num_finished, summary.num_failed) == (3, 1)
    (failure,) = session.folder.failures()
    assert isinstance(failure, TrialFailure)
    assert (failure.trial.id, failure.error_class) == (killer.victim, "WorkerDied")
    assert "SIGKILL" in failure.message


@pytest.fixture
def side_by_side(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Trials with made-up results, which start no sooner than two run, in a folder where each leaves a file."""
    folder = tmp_path / "tried"
    folder.mkdir()

    def run_trial(request: TrialRequest, *_: object) -> TrialOutcome:
        (folder / f"{request.trial.id}.{len(list(folder.glob(f'{request.trial.id}*')))}").touch()
        time.sleep(0.3)
        result = outcome_of(request.trial, 0.5)
        assert isinstance(result, TrialResult)
        return dataclasses.replace(result, cost=dataclasses.replace(result.cost, peak_memory_bytes=60))

    monkeypatch.setattr("cnnbench.execute.worker.run_trial", run_trial)
    return folder


def beside(session: Session) -> list[int]:
    trials = session.plan.trials
    return sorted(read_trial(session.folder.trial_file(trial.id)).cost.concurrent_trials for trial in trials)


@pytest.mark.usefixtures("side_by_side")
@pytest.mark.parametrize(("free", "expected"), [((100, 0), [1, 1, 2, 2]), ((100, -20), [2] * 4), (None, [2] * 4)])
def test_trials_that_do_not_fit_into_memory_together_run_one_after_another(
    study: StudyFile,
    options: RunOptions,
    monkeypatch: pytest.MonkeyPatch,
    free: tuple[int, int] | None,
    expected: list[int],
):
    monkeypatch.setattr("cnnbench.execute.worker.memory_of", lambda _: free)

    session, summary = run(study, options, workers=2)

    assert summary.num_finished == 4
    assert beside(session) == expected


@pytest.mark.parametrize(("workers", "always", "ends"), [(2, False, (4, 0)), (2, True, (0, 4)), (1, False, (0, 4))])
@pytest.mark.parametrize("killed", [False, True])
def test_what_ran_out_of_memory_beside_others_is_tried_once_more_alone(
    study: StudyFile,
    options: RunOptions,
    side_by_side: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    ends: tuple[int, int],
    *,
    always: bool,
    killed: bool,
):
    import cnnbench.execute.worker as module

    whole = module.run_trial

    def run_trial(request: TrialRequest, *others: Any) -> TrialOutcome:
        outcome = whole(request, *others)
        if not always and (side_by_side / f"{request.trial.id}.1").exists():
            return outcome
        if killed:
            os.kill(os.getpid(), signal.SIGKILL)
        return TrialFailure(request.trial, "OutOfMemory", "no more", "", 0)

    monkeypatch.setattr(module, "run_trial", run_trial)

    session, summary = run(study, options, workers=workers)

    assert (summary.num_finished, summary.num_failed) == ends
    assert len(list(side_by_side.iterdir())) == 4 * workers
    if ends == (4, 0):
        assert beside(session) == [1] * 4


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
    assert multiprocessing.active_children() == []


def test_a_device_gets_more_workers_as_long_as_they_make_it_faster(session: Session, monkeypatch: pytest.MonkeyPatch):
    """Trials that sleep do not mind each other; those that were begun alone say how long an epoch takes alone."""

    def run_trial(request: TrialRequest, *others: Any) -> TrialOutcome:
        listener = others[-1]
        result = outcome_of(request.trial, 0.5)
        assert isinstance(result, TrialResult)
        listener.started(0)
        for _ in range(12):
            time.sleep(0.05)
            listener.epoch(result.epochs[0])
        return result

    monkeypatch.setattr("cnnbench.execute.worker.run_trial", run_trial)
    sharing = Sharing(2, session.pending)

    outcomes = list(sharing_pool(session, sharing).run(session.pending))

    assert {outcome.trial.id for outcome in outcomes} == {trial.id for trial in session.pending}
    at_once = [outcome.cost.concurrent_trials for outcome in outcomes if isinstance(outcome, TrialResult)]
    assert sharing.limit("cpu") == max(at_once) == 2


def test_workers_beyond_the_limit_are_sent_home(session: Session, side_by_side: Path):
    class Narrowing(Sharing):
        """Has two trials at once until the first of them is over."""

        def limit(self, device: str) -> int:
            del device
            return 1 if len(list(side_by_side.iterdir())) > 2 else 2

    outcomes = list(sharing_pool(session, Narrowing(2, session.pending)).run(session.pending))

    assert len(outcomes) == len(session.pending) == 4
    last = outcomes[-1]
    assert isinstance(last, TrialResult)
    assert last.cost.concurrent_trials == 1


def sharing_pool(session: Session, sharing: Sharing | None, devices: tuple[str, ...] = ("cpu",)) -> Pool:
    registry = Registry.discover()
    session.folder.create()
    setup = WorkerSetup(session.datasets, session.folder.path / "checkpoints", 30.0)
    return Pool(registry, setup, devices, registry.observers(), lambda: None, sharing)


@pytest.mark.usefixtures("side_by_side")
@pytest.mark.parametrize("shared", [True, False])
def test_a_worker_that_cannot_start_beside_others_costs_no_trial(
    session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, shared: bool
):
    """As on a GPU that takes one process only."""

    def name_of(_: str) -> str:
        try:
            (tmp_path / "taken").touch(exist_ok=False)
        except FileExistsError:
            os._exit(1)
        return "takes one"

    class FourAtOnce(Sharing):
        """Begins with four trials at once."""

        def _of(self, device: str) -> Any:
            of = super()._of(device)
            if not of.settled:
                of.limit = 4
            return of

    monkeypatch.setattr("cnnbench.execute.worker.device_name", name_of)
    sharing = FourAtOnce(4, session.pending) if shared else None

    outcomes = list(sharing_pool(session, sharing, ("cpu",) if shared else ("cpu", "cpu", "cpu")).run(session.pending))

    assert all(isinstance(outcome, TrialResult) for outcome in outcomes)
    assert len(outcomes) == 4
    assert sharing is None or sharing.limit("cpu") == 1


def test_where_no_worker_can_start_every_trial_fails_and_the_run_ends(
    session: Session, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("cnnbench.execute.worker.device_name", lambda _: os._exit(7))

    outcomes = list(sharing_pool(session, None, ("cpu", "cpu")).run(session.pending))

    assert len(outcomes) == 4
    assert all(isinstance(one, TrialFailure) and "exit status 7" in one.message for one in outcomes)


def test_a_trial_without_room_beside_others_ends_the_growth(
    session: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Trials that fill more than half of a device: the second one finds no memory, and no third one is tried."""

    def run_trial(request: TrialRequest, *others: Any) -> TrialOutcome:
        listener = others[-1]
        result = outcome_of(request.trial, 0.5)
        assert isinstance(result, TrialResult)
        listener.started(0)
        try:
            (tmp_path / "taken").touch(exist_ok=False)
        except FileExistsError:
            (tmp_path / f"refused {request.trial.id}").touch()
            return TrialFailure(request.trial, "OutOfMemory", "no more", "", 0)
        for _ in range(8):
            time.sleep(0.05)
            listener.epoch(result.epochs[0])
        (tmp_path / "taken").unlink()
        return result

    monkeypatch.setattr("cnnbench.execute.worker.run_trial", run_trial)
    sharing = Sharing(4, session.pending)

    outcomes = list(sharing_pool(session, sharing).run(session.pending))

    assert all(isinstance(outcome, TrialResult) for outcome in outcomes)
    assert len(outcomes) == 4
    assert len(list(tmp_path.glob("refused *"))) == 1
    assert sharing.limit("cpu") == 1


def test_a_device_without_workers_is_given_up_while_others_work(session: Session):
    sharing = Sharing(4, session.pending)
    pool = sharing_pool(session, sharing, ("broken", "cpu"))
    dead, works = (pool._start("cpu") for _ in range(2))
    dead.device = "broken"
    dead.process.kill()
    packing = Packing(session.pending)
    try:
        assert list(pool._bury(dead, packing)) == []
        assert pool.workers == [works]
        pool._grow(packing)
        assert pool.workers == [works]
        assert len(packing.waiting) == len(session.pending)
    finally:
        pool._stop()
