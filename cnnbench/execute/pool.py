"""A pool of workers, one for each core or device, that live as long as the study.

The parent imports torch once and forks: workers start in milliseconds and share its imports and the images' pages.
Where CUDA is used they are spawned, because a CUDA context does not survive a fork.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import signal
from collections import deque
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from cnnbench.execute.worker import WorkerSetup, worker_main
from cnnbench.types import EpochRecord, Trial, TrialFailure, TrialOutcome, TrialResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from cnnbench.registry import HookObservers, Registry

_TICK_S = 0.5


@dataclass(eq=False)
class _Worker:
    device: str
    process: BaseProcess
    pipe: Connection[Any, Any]
    trial: Trial | None = None
    most_beside: int = 1
    """The most trials on the same device at once while the present one has been running."""
    epochs: int = 0
    """Epochs that the present trial has done, those before it was resumed included."""


@dataclass
class Pool:
    """Runs trials in worker processes."""

    registry: Registry
    setup: WorkerSetup
    devices: Sequence[str]
    """Device of each worker."""
    observers: HookObservers
    tick: Callable[[], None]
    """Called at least every half second."""
    workers: list[_Worker] = field(default_factory=list)

    def run(self, trials: Sequence[Trial]) -> Iterator[TrialOutcome]:
        """Yield each trial's outcome as it comes; a worker that dies costs its trial, not the study."""
        queue = deque(trials)
        try:
            for device in self.devices[: len(queue)]:
                self._give(self._start(device), queue)
            while any(worker.trial is not None for worker in self.workers):
                yield from self._outcomes(queue)
                self.tick()
        finally:
            self._stop()

    def _start(self, device: str) -> _Worker:
        is_cuda = device.startswith("cuda")
        context = multiprocessing.get_context("spawn" if is_cuda else "fork")
        if not is_cuda:
            import torch  # noqa: F401, PLC0415 - imported before the fork, so that every worker has it
        ours, theirs = context.Pipe()
        registry = None if is_cuda else self.registry
        inherited = () if is_cuda else (ours, *(worker.pipe for worker in self.workers))
        process = context.Process(  # type: ignore[attr-defined]  # the stubs lack it on the base context
            target=worker_main, args=(theirs, inherited, registry, self.setup, device), daemon=True
        )
        process.start()
        theirs.close()
        worker = _Worker(device, process, ours)
        self.workers.append(worker)
        return worker

    def _give(self, worker: _Worker, queue: deque[Trial]) -> None:
        worker.trial = queue.popleft() if queue else None
        worker.most_beside, worker.epochs = 1, 0
        with contextlib.suppress(OSError):  # a worker that has died meanwhile is found when it is waited for
            worker.pipe.send(worker.trial)
        for device in {other.device for other in self.workers}:
            busy = [other for other in self.workers if other.device == device and other.trial is not None]
            for other in busy:
                other.most_beside = max(other.most_beside, len(busy))

    def _outcomes(self, queue: deque[Trial]) -> Iterator[TrialOutcome]:
        pipes = {worker.pipe: worker for worker in self.workers if worker.trial is not None}
        for ready in wait(list(pipes), timeout=_TICK_S):
            worker = pipes[ready]  # type: ignore[index]  # what comes out is what went in
            try:
                kind, content = worker.pipe.recv()
            except (EOFError, OSError):
                yield self._replace(worker, queue)
                continue
            assert worker.trial is not None  # noqa: S101 - only busy workers are waited for
            if kind == "started":
                worker.epochs = content
                self.observers.trial_started(worker.trial, worker.device, content)
            elif kind == "epoch":
                worker.epochs += 1
                record: EpochRecord = content
                self.observers.epoch_finished(worker.trial, record)
            else:
                outcome: TrialOutcome = content
                if isinstance(outcome, TrialResult):
                    cost = dataclasses.replace(outcome.cost, concurrent_trials=worker.most_beside)
                    outcome = dataclasses.replace(outcome, cost=cost)
                self._give(worker, queue)  # first, so that the worker does not wait for the disk
                yield outcome

    def _replace(self, worker: _Worker, queue: deque[Trial]) -> TrialFailure:
        """Put a new worker in the place of one that died."""
        worker.process.join()
        worker.pipe.close()
        self.workers.remove(worker)
        trial, code = worker.trial, worker.process.exitcode or 0
        assert trial is not None  # noqa: S101 - only busy workers are waited for
        why = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
        hint = "; the machine may have run out of memory" if -code == signal.SIGKILL else ""
        if queue:
            self._give(self._start(worker.device), queue)
        message = f"the worker process {why}{hint}."
        return TrialFailure(trial, "WorkerDied", message, "", worker.epochs or None)

    def _stop(self) -> None:
        for worker in self.workers:
            if worker.trial is not None:
                worker.process.kill()
            worker.pipe.close()
        for worker in self.workers:
            worker.process.join()
        self.workers.clear()
