"""Run what is pending in a session."""

from __future__ import annotations

import contextlib
import json
import math
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
    from collections.abc import Callable, Generator, Mapping, Sequence

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
    if session.pending:  # what cannot run shall not have emptied the folder
        check_torch()
        worker_devices(session, options)
    folder.create()
    with folder.locked():
        _clear(session, options)
        write_documents(session, describe(Path.cwd()))
        observers.study_started(session.plan, num_finished, estimate_s(session, options))
        rates: dict[str, list[float]] = {}
        try:
            with contextlib.closing(_outcomes(session, registry, options, observers, tick)) as outcomes:
                for outcome in outcomes:
                    folder.save(outcome)
                    if isinstance(outcome, TrialResult):
                        num_finished += 1
                        kind = _kind(outcome.environment["device_type"], outcome.trial.flops)
                        rates.setdefault(kind, []).append(outcome.trial.flops / outcome.cost.total_s)
                    else:
                        num_failed += 1
                    observers.trial_finished(outcome.trial, outcome)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            _remember_rates(rates)
            observers.study_finished(session.plan, num_finished, num_failed)
    num_pending = len(session.plan.trials) - num_finished - num_failed
    return RunSummary(num_finished, num_failed, num_pending, interrupted)


def _clear(session: Session, options: RunOptions) -> None:
    """Remove what this run replaces: everything, or the failures that are tried again, which then count as pending."""
    session.folder.clear_leftovers()
    if options.fresh:
        session.folder.empty()
    for trial_id in session.folder.failed().intersection(trial.id for trial in session.pending):
        session.folder.forget(trial_id)


def _outcomes(
    session: Session,
    registry: Registry,
    options: RunOptions,
    observers: HookObservers,
    tick: Callable[[], None],
) -> Generator[TrialOutcome]:
    if not session.pending:
        return
    # A plan, or a study that is finished, comes this far without torch.
    from cnnbench.execute.inprocess import run_in_process  # noqa: PLC0415 - see above
    from cnnbench.execute.pool import Pool  # noqa: PLC0415 - see above
    from cnnbench.execute.worker import WorkerSetup  # noqa: PLC0415 - see above

    devices = worker_devices(session, options)
    path = session.folder.path
    setup = WorkerSetup(session.datasets, path / "checkpoints", options.checkpoint_every_s, path / "weights")
    if options.workers == 0:
        yield from run_in_process(session.pending, registry, setup, devices[0], observers, tick)
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
    """Return the expected wall time of the pending trials, seconds, from this machine's earlier trials if any.

    Raises:
        SetupError: As `worker_devices` does.
    """
    if not session.pending:
        return 0.0
    if not any(trial.flops for trial in session.pending):
        return None
    devices = worker_devices(session, options)
    device_type = devices[0].partition(":")[0]
    known = _known_rates()
    seconds = sum(trial.flops / _rate(known, device_type, trial.flops) for trial in session.pending)
    workers = 1 if options.workers == 0 else len(devices)
    return seconds / min(workers, len(session.pending))


def _rate_file() -> Path:
    return default_cache_dir() / "rate.json"


def _kind(device_type: str, flops: float, larger: int = 0) -> str:
    """Name the trials whose rate is about the same: small ones spend their time on other things than arithmetic."""
    return f"{device_type} 1e{round(math.log10(max(flops, 1.0))) + larger}"


def _rate(known: Mapping[str, float], device_type: str, flops: float) -> float:
    near = (known.get(_kind(device_type, flops, larger)) for larger in (0, 1, -1))
    return next((rate for rate in near if rate), _GUESSED_FLOPS_PER_S)


def _known_rates() -> dict[str, float]:
    try:
        return {kind: float(rate) for kind, rate in json.loads(_rate_file().read_text("utf-8"))["flops_per_s"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _remember_rates(rates: Mapping[str, Sequence[float]]) -> None:
    if not rates:
        return
    known = _known_rates() | {kind: statistics.median(found) for kind, found in rates.items()}
    try:
        _rate_file().write_text(json.dumps({"flops_per_s": known}), "utf-8")
    except OSError:
        return  # the estimate stays a guess; nothing depends on it
