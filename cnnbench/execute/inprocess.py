"""Run trials one after another in this process: for debugging, and for plugins that are under a debugger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.environment import tune_torch
from cnnbench.execute.worker import WorkerSetup, request_for
from cnnbench.train import run_trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cnnbench.registry import HookObservers, Registry
    from cnnbench.types import EpochRecord, Trial, TrialOutcome


class _Teller:
    def __init__(self, trial: Trial, device: str, observers: HookObservers, tick: Callable[[], None]) -> None:
        self._trial, self._device, self._observers, self._tick = trial, device, observers, tick

    def started(self, resumed_epoch: int) -> None:
        self._observers.trial_started(self._trial, self._device, resumed_epoch)
        self._tick()

    def epoch(self, record: EpochRecord) -> None:
        self._observers.epoch_finished(self._trial, record)
        self._tick()


def run_in_process(  # noqa: PLR0913, PLR0917 - what a pool takes, without the pool
    trials: Sequence[Trial],
    registry: Registry,
    setup: WorkerSetup,
    device: str,
    observers: HookObservers,
    tick: Callable[[], None],
) -> Iterator[TrialOutcome]:
    """Yield each trial's outcome; ``tick`` is called after each epoch."""
    tune_torch()
    for trial in trials:
        dataset = setup.datasets[trial.data_fingerprint]
        teller = _Teller(trial, device, observers, tick)
        yield run_trial(request_for(trial, setup, device), registry, dataset, teller)
