"""Run what is pending in a session."""

from __future__ import annotations

import contextlib
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench.cores import available_cores
from cnnbench.data import default_cache_dir
from cnnbench.design import is_last
from cnnbench.environment import check_compiler, check_torch, choose_devices, describe
from cnnbench.errors import SetupError
from cnnbench.execute.rounds import Undecided, next_decision
from cnnbench.execute.schedule import Pace, in_order, makespan_s
from cnnbench.execute.session import Session, open_session, write_documents
from cnnbench.execute.sharing import Sharing
from cnnbench.interruption import interruptible
from cnnbench.store import add_decision, read_decisions
from cnnbench.types import TrialOutcome, TrialResult

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from cnnbench.execute.session import RunOptions
    from cnnbench.registry import HookObservers, Registry


_MOST_AT_ONCE = 32
"""Trials on all GPUs together, at most."""
_WORKER_BYTES = 4 * 2**30
"""Main memory that a worker with a GPU may need: torch's CUDA libraries are loaded in each."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a run ended."""

    num_finished: int
    """Planned trials whose results are there now."""
    num_failed: int
    num_pending: int
    interrupted: bool
    num_planned: int
    """Trials of the plan as it is now; it may have grown."""
    undecided: str | None
    """Why the study stops before its end, where a finished round could not decide how it goes on."""


def run_session(
    session: Session,
    registry: Registry,
    options: RunOptions,
    observers: HookObservers,
    tick: Callable[[], None] = lambda: None,
) -> RunSummary:
    """Run the pending trials; each outcome is on disk before it is told.

    Where the plan depends on results, a finished round decides what the next one runs.

    An interruption (Ctrl-C, SIGTERM) ends the run, not the results: running again goes on from there.

    Raises:
        StoreError: Results cannot be written.
        RunLockedError: Another process runs in this folder.
        SetupError: The device is not there, or torch cannot be used.
    """
    if session.pending:  # what cannot run shall not have emptied the folder
        check_torch()
        devices = worker_devices(session, options)
        if any(trial.recipe.get("compile") for trial in session.pending):
            check_compiler(devices)
    session.folder.create()
    with session.folder.locked():
        _clear(session, options)
        write_documents(session, describe(Path.cwd()))
        course = _Course(session)
        observers.study_started(session.plan, session.num_finished, estimate_s(session, options))
        try:
            with contextlib.suppress(KeyboardInterrupt), interruptible():
                course.run(registry, options, observers, tick)
        finally:
            course.remember_pace()
            observers.study_finished(course.session.plan, course.num_finished, course.num_failed)
    return course.summary()


class _Course:
    """A study on its way: rounds of trials, and what they decide."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._pace: Pace | None = None
        self.num_finished, self.num_failed = session.num_finished, session.num_failed
        self._undecided: str | None = None
        self._ended = False

    def run(self, registry: Registry, options: RunOptions, observers: HookObservers, tick: Callable[[], None]) -> None:
        """Run round after round until nothing is left to decide."""
        while True:
            self._run_pending(registry, options, observers, tick)
            later = self._next_session(registry, options)
            if later is None:
                break
            self.session = later
            self.num_finished, self.num_failed = later.num_finished, later.num_failed
            write_documents(later, describe(Path.cwd()))
            observers.plan_extended(later.plan, later.num_finished, estimate_s(later, options))
        self._ended = True

    def _run_pending(
        self, registry: Registry, options: RunOptions, observers: HookObservers, tick: Callable[[], None]
    ) -> None:
        if not self.session.pending:  # a study that is finished is opened on machines without its devices, too
            return
        self._pace = self._pace or pace_of(self.session, options)
        with contextlib.closing(_outcomes(self.session, self._pace, registry, options, observers, tick)) as outcomes:
            for outcome in outcomes:
                self.session.folder.save(outcome)
                if isinstance(outcome, TrialResult):
                    self.num_finished += 1
                    self._pace.learn(outcome)
                else:
                    self.num_failed += 1
                observers.trial_finished(outcome.trial, outcome)

    def remember_pace(self) -> None:
        """Leave to later runs how long trials take on this machine."""
        if self._pace is not None:
            self._pace.remember()

    def _next_session(self, registry: Registry, options: RunOptions) -> Session | None:
        """Take the decision that is due, store it, and plan on; None where there is none to take."""
        session = self.session
        study, known = session.study, len(session.decisions)
        if is_last(study.spec, known) or not self.num_finished:
            return None
        if len(read_decisions(session.folder)) == known:  # else another process took it before this one had the lock
            decision = next_decision(session.folder, study.spec, session.plan, known)
            if isinstance(decision, Undecided):
                self._undecided = decision.reason
                return None
            add_decision(session.folder, decision)
        return open_session(study, registry, replace(options, fresh=False, retry_failed=False))

    def summary(self) -> RunSummary:
        """Return how it ended."""
        num_planned = len(self.session.plan.trials)
        return RunSummary(
            num_finished=self.num_finished,
            num_failed=self.num_failed,
            num_pending=num_planned - self.num_finished - self.num_failed,
            interrupted=not self._ended,
            num_planned=num_planned,
            undecided=self._undecided,
        )


def _clear(session: Session, options: RunOptions) -> None:
    """Remove what this run replaces: everything, or the failures that are tried again, which then count as pending."""
    session.folder.clear_leftovers()
    if options.fresh:
        session.folder.empty()
    for trial_id in session.folder.failed().intersection(trial.id for trial in session.pending):
        session.folder.forget(trial_id)


def _outcomes(  # noqa: PLR0913, PLR0917 - a run needs this many things
    session: Session,
    pace: Pace,
    registry: Registry,
    options: RunOptions,
    observers: HookObservers,
    tick: Callable[[], None],
) -> Generator[TrialOutcome]:
    # A plan, or a study that is finished, comes this far without torch.
    from cnnbench.execute.inprocess import run_in_process  # noqa: PLC0415 - see above
    from cnnbench.execute.pool import Pool  # noqa: PLC0415 - see above
    from cnnbench.execute.worker import WorkerSetup  # noqa: PLC0415 - see above
    from cnnbench.train import FeatureFolder  # noqa: PLC0415 - see above

    devices = worker_devices(session, options)
    pending = in_order(session.pending, pace.seconds, num_workers(session, options), timed=session.exclusive)
    # A trial whose time counts computes its features itself: borrowed ones would cost it nothing.
    features = FeatureFolder(default_cache_dir() / "features", shared=not session.exclusive)
    path, every_s = session.folder.path, options.checkpoint_every_s
    setup = WorkerSetup(session.datasets, path / "checkpoints", every_s, features, path / "weights")
    if options.workers == 0:
        yield from run_in_process(pending, registry, setup, devices[0], observers, tick)
    else:
        sharing = _sharing(session, options, devices)
        yield from Pool(registry, setup, devices, observers, tick, sharing).run(pending)


def _sharing(session: Session, options: RunOptions, devices: Sequence[str]) -> Sharing | None:
    """Return what finds out how many trials share a GPU; None where that is given."""
    if session.exclusive or options.workers is not None or devices[0] == "cpu":
        return None
    from cnnbench.execute.packing import memory_of  # noqa: PLC0415 - a study that is finished does without

    main_memory = memory_of("cpu")
    by_memory = main_memory[0] // _WORKER_BYTES if main_memory is not None else _MOST_AT_ONCE
    most = min(available_cores(), by_memory, _MOST_AT_ONCE) // len(devices)
    return Sharing(max(1, most), session.pending)


def worker_devices(session: Session, options: RunOptions) -> Sequence[str]:
    """Return the device of each worker.

    On CPUs one single-threaded worker for each core, or one worker in all where trials are timed; one for each GPU,
    where more may follow (`cnnbench.execute.sharing`).

    Raises:
        SetupError: More workers were asked for than timed trials allow, or the device is not there.
    """
    devices = choose_devices(options.device)
    wanted = options.workers or None
    if session.exclusive:
        most = len(devices)
        if wanted is not None and wanted > most:
            raise SetupError(
                f"a response of this study depends on time, so its trials run one at a time on a device and "
                f"--workers {wanted} is too many; use --workers {most}, or --set design.timing=shared to give up on "
                "comparable times."
            )
        return devices[: wanted or most]
    if devices == ["cpu"]:
        return ["cpu"] * (wanted or available_cores())
    return [devices[index % len(devices)] for index in range(wanted or len(devices))]


def num_workers(session: Session, options: RunOptions) -> int:
    """Return how many trials run at once.

    Raises:
        SetupError: As `worker_devices` does.
    """
    return 1 if options.workers == 0 else len(worker_devices(session, options))


def pace_of(session: Session, options: RunOptions) -> Pace:
    """Return how long trials take on the devices of a run, as earlier runs have left it.

    Raises:
        SetupError: As `worker_devices` does.
    """
    return Pace.of_machine(worker_devices(session, options)[0].partition(":")[0])


def estimate_s(session: Session, options: RunOptions, more: int = 0) -> float | None:
    """Return the expected wall time of the pending trials, seconds, from this machine's earlier trials if any.

    ``more`` trials of average length are added to them.

    Raises:
        SetupError: As `worker_devices` does.
    """
    if not session.pending and not more:
        return 0.0
    trials = session.plan.trials
    if not any(trial.flops for trial in (*session.pending, *trials)):
        return None
    pace, workers = pace_of(session, options), num_workers(session, options)
    expected = [
        pace.seconds(trial) for trial in in_order(session.pending, pace.seconds, workers, timed=session.exclusive)
    ]
    if more:
        expected += more * [statistics.fmean(pace.seconds(trial) for trial in trials)]
    return makespan_s(expected, workers)
