"""Run trials one after another in this process: for debugging, and for plugins that are under a debugger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.environment import tune_torch
from cnnbench.execute.worker import WorkerSetup, request_for
from cnnbench.train import run_trial

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnbench.registry import HookObservers, Registry
    from cnnbench.types import EpochRecord, Trial, TrialOutcome


class _Teller:
    def __init__(self, trial: Trial, device: str, observers: HookObservers) -> None:
        self._trial, self._device, self._observers = trial, device, observers

    def started(self, resumed_epoch: int) -> None:
        self._observers.trial_started(self._trial, self._device, resumed_epoch)

    def epoch(self, record: EpochRecord) -> None:
        self._observers.epoch_finished(self._trial, record)


def run_in_process(
    trials: Sequence[Trial], registry: Registry, setup: WorkerSetup, device: str, observers: HookObservers
) -> Iterator[TrialOutcome]:
    """Yield each trial's outcome."""
    tune_torch()
    for trial in trials:
        dataset = setup.datasets[trial.data_fingerprint]
        yield run_trial(request_for(trial, setup, device), registry, dataset, _Teller(trial, device, observers))
