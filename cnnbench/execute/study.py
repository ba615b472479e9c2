"""Run what is pending in a session."""

from __future__ import annotations

import json
import os
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench.data import default_cache_dir
from cnnbench.environment import check_torch, choose_devices, describe
from cnnbench.errors import SetupError
from cnnbench.execute.session import Session, write_documents
from cnnbench.types import TrialOutcome, TrialResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cnnbench.execute.session import RunOptions
    from cnnbench.registry import HookObservers, Registry

_GUESSED_FLOPS_PER_S = 2e10
"""For the first estimate on a machine where nothing has run yet: small nets on one core of a present CPU."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How a run ended."""

    num_finished: int
    """Planned trials whose results are there now."""
    num_failed: int
    num_pending: int
    interrupted: bool


def run_session(
    session: Session,
    registry: Registry,
    options: RunOptions,
    observers: HookObservers,
    tick: Callable[[], None] = lambda: None,
) -> RunSummary:
    """Run the pending trials; each outcome is on disk before it is told.

    An interruption (Ctrl-C) ends the run, not the results: running again goes on from there.

    Raises:
        StoreError: Results cannot be written.
        RunLockedError: Another process runs in this folder.
        SetupError: The device is not there, or torch cannot be used.
    """
    folder = session.folder
    num_finished, num_failed = session.num_finished, session.num_failed
    interrupted = False
    folder.create()
    with folder.locked():
        write_documents(session, describe(Path.cwd()))
        observers.study_started(session.plan, num_finished, estimate_s(session, options))
        rates: list[float] = []
        try:
            for outcome in _outcomes(session, registry, options, observers, tick):
                folder.save(outcome)
                if isinstance(outcome, TrialResult):
                    num_finished += 1
                    rates.append(outcome.trial.flops / outcome.cost.total_s)
                else:
                    num_failed += 1
                observers.trial_finished(outcome.trial, outcome)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            _remember_rate(rates)
            observers.study_finished(session.plan, num_finished, num_failed)
    num_pending = len(session.plan.trials) - num_finished - num_failed
    return RunSummary(num_finished, num_failed, num_pending, interrupted)


def _outcomes(
    session: Session,
    registry: Registry,
    options: RunOptions,
    observers: HookObservers,
    tick: Callable[[], None],
) -> Iterator[TrialOutcome]:
    if not session.pending:
        return
    check_torch()
    # A plan, or a study that is finished, comes this far without torch.
    from cnnbench.execute.inprocess import run_in_process  # noqa: PLC0415 - see above
    from cnnbench.execute.pool import Pool  # noqa: PLC0415 - see above
    from cnnbench.execute.worker import WorkerSetup  # noqa: PLC0415 - see above

    devices = worker_devices(session, options)
    setup = WorkerSetup(session.datasets, session.folder.path / "checkpoints", options.checkpoint_every_s)
    if options.retry_failed:
        for trial in session.pending:
            session.folder.checkpoint_file(trial.id).unlink(missing_ok=True)
    if options.workers == 0:
        yield from run_in_process(session.pending, registry, setup, devices[0], observers)
    else:
        yield from Pool(registry, setup, devices, observers, tick).run(session.pending)


def worker_devices(session: Session, options: RunOptions) -> Sequence[str]:
    """Return the device of each worker.

    On CPUs one single-threaded worker for each core, or one worker in all where trials are timed; one for each GPU.

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


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def estimate_s(session: Session, options: RunOptions) -> float | None:
    """Return the expected wall time of the pending trials, seconds, from this machine's earlier trials if any."""
    if not session.pending:
        return 0.0
    flops = sum(trial.flops for trial in session.pending)
    if flops == 0:
        return None
    workers = 1 if session.exclusive or options.workers == 0 else (options.workers or available_cores())
    return flops / _known_rate() / min(workers, len(session.pending))


def _rate_file() -> Path:
    return default_cache_dir() / "rate.json"


def _known_rate() -> float:
    try:
        return float(json.loads(_rate_file().read_text("utf-8"))["flops_per_s"])
    except (OSError, ValueError, KeyError, TypeError):
        return _GUESSED_FLOPS_PER_S


def _remember_rate(rates: Sequence[float]) -> None:
    if not rates or statistics.median(rates) <= 0:
        return
    try:
        _rate_file().write_text(json.dumps({"flops_per_s": statistics.median(rates)}), "utf-8")
    except OSError:
        return  # the estimate stays a guess; nothing depends on it
