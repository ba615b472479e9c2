"""A pool of workers, one for each core or device, that live as long as the study.

The parent imports torch once and forks: workers start in milliseconds and share its imports and the images' pages.
Where CUDA is used they are spawned, because a CUDA context does not survive a fork, and so are those of a parent that
must not be forked. A GPU begins with one worker and gets more as long as that makes it faster.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import signal
import time
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any

from cnnbench.cores import may_fork
from cnnbench.execute.packing import Packing
from cnnbench.execute.worker import WorkerSetup, worker_main
from cnnbench.types import EpochRecord, Trial, TrialFailure, TrialOutcome, TrialResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from cnnbench.execute.sharing import Sharing
    from cnnbench.execute.worker import DeviceFacts
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
    waits: bool = False
    """Whether it has no trial because none fits into memory beside those of others."""
    epochs: int = 0
    """Epochs that the present trial has done, those before it was resumed included."""
    is_warm: bool = False
    """Whether it has begun to train: before, it imports, and its trial takes nothing from the others."""
    since_s: float = 0.0
    """When the present trial began, or its last epoch was over."""
    phase: str | None = None
    """Of its last epoch."""


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
    sharing: Sharing | None = None
    """Finds out how many workers each of the devices gets; None: those that ``devices`` says."""
    workers: list[_Worker] = field(default_factory=list)
    _at_once: dict[str, tuple[int, float]] = field(default_factory=dict)
    """How many trials each device works on, and since when."""

    def run(self, trials: Sequence[Trial]) -> Iterator[TrialOutcome]:
        """Yield each trial's outcome as it comes; a worker that dies costs its trial, not the study.

        A trial that ran out of memory beside others has no outcome before it was tried again alone.
        """
        packing = Packing(trials)
        try:
            for device in self.devices[: len(packing.waiting)]:
                self._give(self._start(device), packing)
            while any(worker.trial is not None for worker in self.workers):
                yield from self._outcomes(packing)
                self._grow(packing)
                self.tick()
        finally:
            self._stop()

    def _start(self, device: str) -> _Worker:
        is_forked = device == "cpu" and may_fork()
        context = multiprocessing.get_context("fork" if is_forked else "spawn")
        if is_forked:
            import torch  # noqa: F401, PLC0415 - imported before the fork, so that every worker has it
        ours, theirs = context.Pipe()
        registry = self.registry if is_forked else None
        inherited = (ours, *(worker.pipe for worker in self.workers)) if is_forked else ()
        process = context.Process(  # type: ignore[attr-defined]  # the stubs lack it on the base context
            target=worker_main, args=(theirs, inherited, registry, self.setup, device), daemon=True
        )
        process.start()
        theirs.close()
        worker = _Worker(device, process, ours)
        self.workers.append(worker)
        return worker

    def _give(self, worker: _Worker, packing: Packing) -> None:
        """Give a worker its next trial; let it wait for room, or end it where there is nothing to wait for."""
        worker.trial = None
        beside = [other.trial for other in self.workers if other.device == worker.device and other.trial is not None]
        is_wanted = self.sharing is None or len(beside) < self.sharing.limit(worker.device)
        worker.trial = packing.next(worker.device, beside) if is_wanted else None
        worker.waits = is_wanted and worker.trial is None and bool(packing.waiting)
        worker.most_beside, worker.epochs, worker.phase = 1, 0, None
        if worker.waits:
            return
        with contextlib.suppress(OSError):  # a worker that has died meanwhile is found when it is waited for
            worker.pipe.send(worker.trial)
        for device in {other.device for other in self.workers}:
            busy = [other for other in self.workers if other.device == device and other.trial is not None]
            for other in busy:
                other.most_beside = max(other.most_beside, len(busy))

    def _give_again(self, worker: _Worker, packing: Packing) -> None:
        """Give a worker its next trial, and those that waited for its room."""
        self._give(worker, packing)
        for other in self.workers:
            if other.waits and other.device == worker.device:
                self._give(other, packing)

    def _outcomes(self, packing: Packing) -> Iterator[TrialOutcome]:
        pipes = {worker.pipe: worker for worker in self.workers if worker.trial is not None}
        for ready in wait(list(pipes), timeout=_TICK_S):
            worker = pipes[ready]  # type: ignore[index]  # what comes out is what went in
            try:
                kind, content = worker.pipe.recv()
            except (EOFError, OSError):
                yield from self._replace(worker, packing)
                continue
            assert worker.trial is not None  # noqa: S101 - only busy workers are waited for
            if kind == "device":
                self._meet(worker.device, content, packing)
            elif kind == "started":
                worker.epochs, worker.is_warm, worker.since_s = content, True, time.monotonic()
                self._count(worker.device)
                self.observers.trial_started(worker.trial, worker.device, content)
            elif kind == "epoch":
                worker.epochs += 1
                record: EpochRecord = content
                self._see(worker, worker.trial, record)
                self.observers.epoch_finished(worker.trial, record)
            else:
                outcome: TrialOutcome = content
                again = False
                if isinstance(outcome, TrialResult):
                    packing.learn(outcome)
                    cost = dataclasses.replace(outcome.cost, concurrent_trials=worker.most_beside)
                    outcome = dataclasses.replace(outcome, cost=cost)
                elif outcome.error_class == "OutOfMemory":
                    again = worker.most_beside > 1 and packing.put_aside(worker.trial)
                self._give_again(worker, packing)  # first, so that the worker does not wait for the disk
                if not again:
                    yield outcome

    # -------------------------------------------------------------------------------------- shared devices

    def _meet(self, device: str, about: DeviceFacts, packing: Packing) -> None:
        if about.memory is not None:
            packing.offer(device, *about.memory)
        if self.sharing is not None:
            self.sharing.introduce(device, about.name)

    def _see(self, worker: _Worker, trial: Trial, record: EpochRecord) -> None:
        """Let what shares the devices learn from an epoch, if all of it ran beside the same number of trials."""
        now_s = time.monotonic()
        at_once, unchanged_since_s = self._count(worker.device)
        if self.sharing is not None and worker.since_s >= unchanged_since_s:
            is_first = record.phase != worker.phase  # with everything that begins with a phase
            kind = (tuple(trial.cell.items()), record.phase, is_first)
            self.sharing.see(worker.device, at_once, kind, now_s - worker.since_s)
        worker.since_s, worker.phase = now_s, record.phase

    def _count(self, device: str) -> tuple[int, float]:
        """Return how many trials a device works on, and since when."""
        busy = sum(one.device == device and one.trial is not None and one.is_warm for one in self.workers)
        if self._at_once.get(device, (0, 0.0))[0] != busy:
            self._at_once[device] = busy, time.monotonic()
        return self._at_once.get(device, (0, 0.0))

    def _grow(self, packing: Packing) -> None:
        """Start more workers where a device may have more of them."""
        if self.sharing is None:
            return
        for device in dict.fromkeys(self.devices):
            there = sum(
                worker.device == device and (worker.trial is not None or worker.waits) for worker in self.workers
            )
            for _ in range(min(self.sharing.limit(device) - there, len(packing.waiting))):
                self._give(self._start(device), packing)

    def _replace(self, worker: _Worker, packing: Packing) -> Iterator[TrialFailure]:
        """Put a new worker in the place of one that died, and yield the failure of its trial, if that is its end."""
        worker.process.join()
        worker.pipe.close()
        self.workers.remove(worker)
        trial, code = worker.trial, worker.process.exitcode or 0
        assert trial is not None  # noqa: S101 - only busy workers are waited for
        why = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
        hint = "; the machine may have run out of memory" if -code == signal.SIGKILL else ""
        # Where main memory is short, the system kills a process rather than refuse it memory.
        again = code == -signal.SIGKILL and worker.most_beside > 1 and packing.put_aside(trial)
        if packing:
            self._give_again(self._start(worker.device), packing)
        if not again:
            message = f"the worker process {why}{hint}."
            yield TrialFailure(trial, "WorkerDied", message, "", worker.epochs or None)

    def _stop(self) -> None:
        for worker in self.workers:
            if worker.trial is not None:
                worker.process.kill()
            worker.pipe.close()
        for worker in self.workers:
            worker.process.join()
        self.workers.clear()
