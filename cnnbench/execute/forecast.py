"""The time to the end of a running study, as an observer of it sees it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cnnbench.execute.schedule import in_order, makespan_s
from cnnbench.execute.study import num_workers, pace_of
from cnnbench.plugin import hookimpl
from cnnbench.types import TrialResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnbench.execute.schedule import Pace
    from cnnbench.execute.session import RunOptions, Session
    from cnnbench.types import Plan, Trial, TrialOutcome


class Forecast:
    """Plays the rest of a study: what runs goes on, and whoever is free takes the next trial.

    Trials take as long as others of their cell took in this run, else as others of their size did.

    Raises:
        SetupError: The device is not there.
    """

    def __init__(self, session: Session, options: RunOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._session, self._options, self._clock = session, options, clock
        self._pace: Pace | None = None
        self._waiting: dict[str, Trial] = {}
        self._running: dict[str, tuple[Trial, float]] = {}
        self._end: float | None = None
        self._plan(session.pending)

    @hookimpl
    def cnnbench_plan_extended(self, plan: Plan) -> None:
        """Take what a finished round has added."""
        over = self._session.folder.finished() | self._session.folder.failed()
        self._plan(tuple(trial for trial in plan.trials if trial.id not in over))

    @hookimpl
    def cnnbench_trial_started(self, trial: Trial) -> None:
        """A worker has taken a trial."""
        self._waiting.pop(trial.id, None)
        self._running[trial.id] = (trial, self._clock())
        self._end = None

    @hookimpl
    def cnnbench_trial_finished(self, trial: Trial, outcome: TrialOutcome) -> None:
        """Learn from a trial that is over."""
        self._waiting.pop(trial.id, None)
        self._running.pop(trial.id, None)
        if self._pace is not None and isinstance(outcome, TrialResult):
            self._pace.learn(outcome)
        self._end = None

    def left_s(self) -> float | None:
        """Return the expected time to the end, seconds; None where there is no ground for an expectation."""
        trials = [*self._waiting.values(), *(trial for trial, _ in self._running.values())]
        if self._pace is None or not any(trial.flops for trial in trials):
            return None
        now = self._clock()
        if self._end is None:
            busy = [max(0.0, self._pace.seconds(trial) - (now - since)) for trial, since in self._running.values()]
            rest = (self._pace.seconds(trial) for trial in self._waiting.values())
            self._end = now + makespan_s(rest, max(num_workers(self._session, self._options), len(busy)), busy)
        return max(0.0, self._end - now)

    def _plan(self, trials: Sequence[Trial]) -> None:
        if trials:  # a study that is finished is opened on machines without its devices, too
            self._pace = self._pace or pace_of(self._session, self._options)
            workers = num_workers(self._session, self._options)
            trials = in_order(trials, self._pace.seconds, workers, timed=self._session.exclusive)
        self._waiting = {trial.id: trial for trial in trials}
        self._running, self._end = {}, None
