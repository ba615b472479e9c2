"""What a worker process does: take a trial, run it, tell the parent, until there is no more."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from cnnbench.environment import device_name, tune_process, tune_torch
from cnnbench.execute.packing import memory_of
from cnnbench.registry import Registry
from cnnbench.train import TrialRequest, run_trial

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    from cnnbench.data import PreparedDataset
    from cnnbench.train import FeatureFolder
    from cnnbench.types import EpochRecord, Trial, TrialOutcome

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What every trial of a study needs."""

    datasets: Mapping[str, PreparedDataset]
    """By data fingerprint."""
    checkpoints: Path
    checkpoint_every_s: float
    features: FeatureFolder | None = None
    """Where features of frozen layers may be kept on the disk."""
    weights: Path | None = None
    """Folder for the weights of trials whose recipe wants them kept."""


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What a worker finds out about its device before its first trial."""

    name: str
    """Product name."""
    memory: tuple[int, int] | None
    """See `cnnbench.execute.packing.memory_of`."""


class PipeListener:
    """Sends how a trial goes on through a pipe."""

    def __init__(self, pipe: Connection[Any, Any]) -> None:
        self._pipe = pipe

    def started(self, resumed_epoch: int) -> None:
        """See `cnnbench.train.Listener`."""
        self._pipe.send(("started", resumed_epoch))

    def epoch(self, record: EpochRecord) -> None:
        """See `cnnbench.train.Listener`."""
        self._pipe.send(("epoch", record))


def request_for(trial: Trial, setup: WorkerSetup, device: str) -> TrialRequest:
    """Return the request to run a trial on a device."""
    name = f"{trial.id}.pt"
    weights = setup.weights / name if setup.weights is not None else None
    return TrialRequest(trial, device, setup.checkpoints / name, setup.checkpoint_every_s, setup.features, weights)


def worker_main(
    pipe: Connection[Any, Any],
    inherited: Sequence[Connection[Any, Any]],
    registry: Registry | None,
    setup: WorkerSetup,
    device: str,
) -> None:
    """Run trials as they come through the pipe, until None comes or the parent is gone.

    Args:
        pipe: Trials come in; ("device", facts), ("started", epoch), ("epoch", record) and ("done", outcome) go
            out.
        inherited: The parent's ends of pipes, which a fork has copied; while they are open here, nobody sees that the
            parent has gone.
        registry: The parent's, in a forked worker; None in a spawned one, which discovers the plugins itself.
        setup: What every trial needs.
        device: Where this worker trains.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides what it means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's handler is not meant for us
    _die_with_parent()
    for connection in inherited:
        connection.close()
    if registry is None:
        tune_process()
        registry = Registry.discover()
    tune_torch()
    with contextlib.suppress(EOFError, ConnectionError):
        pipe.send(("device", DeviceFacts(device_name(device), memory_of(device))))
        while (trial := pipe.recv()) is not None:
            outcome: TrialOutcome = run_trial(
                request_for(trial, setup, device), registry, setup.datasets[trial.data_fingerprint], PipeListener(pipe)
            )
            if device.startswith("cuda"):  # what torch keeps for itself is for trials of other processes, too
                torch.cuda.empty_cache()
            pipe.send(("done", outcome))
    # Leave at once: what the parent had open at the fork (its lock, its display) is not ours to flush or release.
    os._exit(0)


def _die_with_parent() -> None:
    """On Linux a worker is killed when its parent dies; elsewhere it ends at its next message to nobody."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
