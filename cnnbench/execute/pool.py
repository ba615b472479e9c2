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
    is_ready: bool = False
    """Whether it has said so; before, it imports, and may find out that it cannot use its device."""
    waits: bool = False
    """Whether it has no trial because none fits into memory beside those of others."""
    has_ended: bool = False
    epochs: int = 0
    """Epochs that the present trial has done, those before it was resumed included."""
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
    _given_up: set[str] = field(default_factory=set)
    """Devices on which no worker could be started, while there are others."""

    def run(self, trials: Sequence[Trial]) -> Iterator[TrialOutcome]:
        """Yield each trial's outcome as it comes; a worker that dies costs its trial, not the study.

        A trial that ran out of memory beside others has no outcome before it was tried again alone.
        """
        packing = Packing(trials)
        try:
            for device in self.devices[: len(packing.waiting)]:
                self._start(device)
            while any(worker.trial is not None or not worker.is_ready for worker in self.workers):
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
        worker.has_ended = worker.trial is None
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
        pipes = {worker.pipe: worker for worker in self.workers if not worker.has_ended}
        for ready in wait(list(pipes), timeout=_TICK_S):
            worker = pipes[ready]  # type: ignore[index]  # what comes out is what went in
            try:
                kind, content = worker.pipe.recv()
            except (EOFError, OSError):
                yield from self._bury(worker, packing)
                continue
            if kind == "device":
                self._meet(worker, content, packing)
                continue
            assert worker.trial is not None  # noqa: S101 - only busy workers say anything else
            if kind == "started":
                worker.epochs, worker.since_s = content, time.monotonic()
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
                    again = self._put_aside(worker, packing)
                self._give_again(worker, packing)  # first, so that the worker does not wait for the disk
                if not again:
                    yield outcome

    # -------------------------------------------------------------------------------------- shared devices

    def _meet(self, worker: _Worker, about: DeviceFacts, packing: Packing) -> None:
        """Take down what a new worker says of its device, and give it its first trial."""
        worker.is_ready = True
        if about.memory is not None:
            packing.offer(worker.device, *about.memory)
        if self.sharing is not None:
            self.sharing.introduce(worker.device, about.name)
        self._give(worker, packing)

    def _put_aside(self, worker: _Worker, packing: Packing) -> bool:
        """Keep a trial that found no memory beside others for later, and let fewer run there; False if it was alone."""
        assert worker.trial is not None  # noqa: S101 - it has just failed
        if worker.most_beside < 2 or not packing.put_aside(worker.trial):
            return False
        self._retreat(worker)
        return True

    def _retreat(self, worker: _Worker) -> None:
        """Let a device have no more trials at once than it has without this worker."""
        if self.sharing is not None:
            others = sum(
                one is not worker and one.device == worker.device and one.trial is not None for one in self.workers
            )
            self.sharing.retreat(worker.device, others)

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
        busy = sum(one.device == device and one.trial is not None for one in self.workers)
        if self._at_once.get(device, (0, 0.0))[0] != busy:
            self._at_once[device] = busy, time.monotonic()
        return self._at_once.get(device, (0, 0.0))

    def _grow(self, packing: Packing) -> None:
        """Start more workers where a device may have more of them."""
        if self.sharing is None:
            return
        for device in dict.fromkeys(device for device in self.devices if device not in self._given_up):
            there = sum(worker.device == device and not worker.has_ended for worker in self.workers)
            for _ in range(min(self.sharing.limit(device) - there, len(packing.waiting))):
                self._start(device)

    # -------------------------------------------------------------------------------------- workers that die

    def _bury(self, worker: _Worker, packing: Packing) -> Iterator[TrialFailure]:
        """Go on without a worker that died: its trial fails, and another worker comes.

        One that had no trial is not replaced while others are there, and costs none: it could not start, or waited for
        memory.
        """
        worker.process.join()
        worker.pipe.close()
        self.workers.remove(worker)
        alive = [one for one in self.workers if not one.has_ended]
        others = [one for one in alive if one.device == worker.device]
        if worker.trial is None and alive:
            if others:
                self._retreat(worker)
            else:
                self._given_up.add(worker.device)
            return
        trial, code = worker.trial or packing.next(worker.device, ()), worker.process.exitcode or 0
        if trial is None:
            return
        why = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
        hint = "; the machine may have run out of memory" if -code == signal.SIGKILL else ""
        # Where main memory is short, the system kills a process rather than refuse it memory.
        again = code == -signal.SIGKILL and worker.trial is not None and self._put_aside(worker, packing)
        for other in others:
            if other.waits:
                self._give(other, packing)
        if packing:
            self._start(worker.device)
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
