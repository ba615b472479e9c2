"""Run one trial from its start, or from its checkpoint, to its outcome."""

from __future__ import annotations

import contextlib
import resource
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch

from cnnbench.environment import comparability, compiler
from cnnbench.errors import CnnbenchError
from cnnbench.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from cnnbench.train.loop import DivergedError, Training
from cnnbench.train.weights import WeightsKeeper, save_weights, state_on_cpu
from cnnbench.types import Cost, EpochRecord, Predictions, Trial, TrialFailure, TrialOutcome, TrialResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnbench.data import PreparedDataset
    from cnnbench.registry import Registry
    from cnnbench.spec import Phase, Recipe
    from cnnbench.train.features import FeatureFolder


_MOST_FOR_CHECKPOINTS = 0.02
"""Most of a trial's time that checkpoints take: those of large networks take seconds, and come less often. The shorter
one of the last two counts: a disk that stalls once is no reason.
"""


@dataclass(frozen=True, slots=True)
class TrialRequest:
    """A trial and where it is to be run."""

    trial: Trial
    device: str
    checkpoint: Path | None
    """File of its checkpoint; None for no checkpoints."""
    checkpoint_every_s: float = 30.0
    """Least time between two checkpoints, seconds; 0 for one at each epoch."""
    features: FeatureFolder | None = None
    """Where features of frozen layers may be kept on the disk; None: in memory only."""
    weights: Path | None = None
    """File for the network's weights, where the recipe wants them kept; None: they are not."""


class Listener(Protocol):
    """Is told how a trial goes on."""

    def started(self, resumed_epoch: int) -> None:
        """Called when training begins; ``resumed_epoch`` is 0 unless it goes on from a checkpoint."""

    def epoch(self, record: EpochRecord) -> None:
        """Called after each epoch, when its clock has stopped."""


def run_trial(request: TrialRequest, registry: Registry, dataset: PreparedDataset, listener: Listener) -> TrialOutcome:
    """Train, evaluate, and return the outcome; what goes wrong in a trial is its outcome, too."""
    run = _Run(request, registry, dataset, listener)
    try:
        return run.to_end()
    except DivergedError as error:
        return run.failure("Diverged", str(error), "")
    except CnnbenchError as error:  # a mistake of the user's that shows only here, in one sentence
        return run.failure(type(error).__name__, str(error), "")
    except Exception as error:  # noqa: BLE001 - a trial's failure is data: the study goes on without it
        kind = "OutOfMemory" if _is_out_of_memory(error) else type(error).__name__
        return run.failure(kind, str(error), traceback.format_exc())


def _is_out_of_memory(error: Exception) -> bool:
    # On CPUs torch raises a plain RuntimeError, known by its text alone.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


class _Run:
    def __init__(self, request: TrialRequest, registry: Registry, dataset: PreparedDataset, listener: Listener) -> None:
        self.request, self.registry, self.dataset, self.listener = request, registry, dataset, listener
        self.records: list[EpochRecord] = []
        self.spent_before_s = 0.0
        self.keeper: WeightsKeeper | None = None
        self.started_at = self.saved_at = time.perf_counter()
        self.saving_s = (0.0, 0.0)
        """What the last two checkpoints took."""

    def failure(self, error_class: str, message: str, trace: str) -> TrialFailure:
        epoch = len(self.records) if self.records or error_class == "Diverged" else None
        return TrialFailure(self.request.trial, error_class, message, trace, epoch)

    def to_end(self) -> TrialResult:
        device = torch.device(self.request.device)
        self.memory = _PeakMemory(device)
        training = Training(self.request.trial, self.registry, self.dataset, device, self.request.features)
        if training.recipe.save_weights == "best":
            self.keeper = WeightsKeeper(training.metrics)
        checkpoint = self._load(device)
        if checkpoint is not None:
            self._restore(training, checkpoint)
        self.listener.started(len(self.records))
        if checkpoint is None:
            training.find_lr()
        outputs = self._train(training, checkpoint)
        return self._result(training, outputs, resumed=checkpoint is not None)

    def _train(self, training: Training, checkpoint: Checkpoint | None) -> tuple[Predictions, ...]:
        outputs: tuple[Predictions, ...] = ()
        entered: Phase | None = None
        num_done = len(self.records)
        for epoch, phase, epoch_in_phase in _schedule(training.recipe.phases):
            if epoch < num_done:
                continue
            if phase is not entered:
                training.enter_phase(phase)
                entered = phase
                if checkpoint is not None and epoch == num_done and epoch_in_phase > 0:
                    assert training.optimizer is not None  # noqa: S101 - just built
                    training.optimizer.load_state_dict(dict(checkpoint.optimizer))
            record, outputs = training.run_epoch(phase, epoch, epoch_in_phase)
            self.records.append(record)
            if self.keeper is not None:
                self.keeper.see(record, training.network)
            self.memory.look()
            self.listener.epoch(record)
            self._save(training)
        return outputs

    def _load(self, device: torch.device) -> Checkpoint | None:
        if self.request.checkpoint is None:
            return None
        return load_checkpoint(self.request.checkpoint, self.request.trial.id, device)

    def _restore(self, training: Training, checkpoint: Checkpoint) -> None:
        training.network.load_state_dict(dict(checkpoint.network))
        self.records = list(checkpoint.records)
        training.train_s = sum(record.train_s for record in self.records)
        training.train_flops = sum(record.flops for record in self.records)
        training.evaluation_s = checkpoint.evaluation_s
        training.features_s, training.features_reused = checkpoint.features_s, checkpoint.features_reused
        if checkpoint.found_lr is not None:
            training.found_lr = training.base_lr = checkpoint.found_lr
        self.spent_before_s = checkpoint.total_s
        if self.keeper is not None:
            self.keeper.kept = checkpoint.kept

    def _save(self, training: Training) -> None:
        """Write a checkpoint when the last one is old enough; not at the end, where the result itself is written."""
        path = self.request.checkpoint
        is_end = len(self.records) == sum(phase.epochs for phase in training.recipe.phases)
        now, least_s = time.perf_counter(), self.request.checkpoint_every_s
        pause_s = max(least_s, min(self.saving_s) / _MOST_FOR_CHECKPOINTS) if least_s else 0.0
        if path is None or is_end or now - self.saved_at < pause_s:
            return
        assert training.optimizer is not None  # noqa: S101 - an epoch has been trained
        checkpoint = Checkpoint(
            trial_id=self.request.trial.id,
            network=training.network.state_dict(),
            optimizer=training.optimizer.state_dict(),
            records=tuple(self.records),
            found_lr=training.found_lr,
            evaluation_s=training.evaluation_s,
            features_s=training.features_s,
            features_reused=training.features_reused,
            total_s=self.spent_before_s + now - self.started_at,
            kept=self.keeper.kept if self.keeper is not None else None,
        )
        # A full disk costs the checkpoint, not the trial; if it stays full, writing the result will say so.
        with contextlib.suppress(OSError, RuntimeError):
            save_checkpoint(path, checkpoint)
            self.saving_s = self.saving_s[1], time.perf_counter() - now
        self.saved_at = time.perf_counter()

    def _result(self, training: Training, outputs: tuple[Predictions, ...], *, resumed: bool) -> TrialResult:
        weights_epoch = self._keep_weights(training)
        cost = Cost(
            train_s=training.train_s,
            train_cpu_s=sum(record.train_cpu_s for record in self.records),
            evaluation_s=training.evaluation_s,
            total_s=self.spent_before_s + time.perf_counter() - self.started_at,
            flops=training.train_flops,
            parameters=sum(parameter.numel() for parameter in training.network.parameters()),
            peak_memory_bytes=self.memory.most_bytes,
            concurrent_trials=1,
            resumed=resumed,
            train_images=len(self.records) * training.examples.per_epoch,
            features_s=training.features_s,
            features_reused=training.features_reused,
        )
        return TrialResult(
            trial=self.request.trial,
            epochs=tuple(self.records),
            metrics=training.metric_infos,
            class_names=self.dataset.info.class_names,
            predictions=outputs,
            cost=cost,
            environment=_environment(self.request.device, training.recipe),
            found_lr=training.found_lr,
            weights_epoch=weights_epoch,
        )

    def _keep_weights(self, training: Training) -> int | None:
        """Write the weights that the recipe wants kept; return their epoch."""
        path, kept = self.request.weights, self.keeper.kept if self.keeper is not None else None
        if path is None or training.recipe.save_weights == "none":
            return None
        save_weights(path, kept.network if kept is not None else state_on_cpu(training.network))
        return kept.epoch if kept is not None else self.records[-1].epoch


def _environment(device: str, recipe: Recipe) -> dict[str, Any]:
    facts = comparability(device, recipe.precision)
    return {**facts, "compiler": compiler(device)} if recipe.compile else facts


def _schedule(phases: tuple[Phase, ...]) -> Iterator[tuple[int, Phase, int]]:
    """Yield (epoch, phase, epoch in the phase) through all phases."""
    epoch = 0
    for phase in phases:
        for epoch_in_phase in range(phase.epochs):
            yield epoch, phase, epoch_in_phase
            epoch += 1


class _PeakMemory:
    """The most memory that a trial has had, looked up from time to time.

    Between two looks a CPU's peak and the pages of files at the second one belong together: both have moved little.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.most_bytes = 0
        if (
            device.type == "cuda"
        ):  # what a larger trial had before goes back to the device, for those of other processes
            torch.cuda.empty_cache()
        self._begin()

    def look(self) -> None:
        """Take the peak since the last look."""
        self.most_bytes = max(self.most_bytes, _peak_memory_bytes(self._device))
        self._begin()

    def _begin(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            with contextlib.suppress(OSError):  # elsewhere than on Linux the peak is that of the worker's life
                Path("/proc/self/clear_refs").write_text("5", "ascii")


def _peak_memory_bytes(device: torch.device) -> int:
    """Return the peak since the last look: what torch held of a GPU, this process's own on a CPU.

    Pages of files do not count where the system tells them apart (Linux): they are the images that were read, shared by
    all workers, and the system takes them back where memory is short.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    with contextlib.suppress(OSError, KeyError):
        lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
        status = dict(line.split(":", 1) for line in lines)
        peak, of_files, shared = (int(status[name].split()[0]) for name in ("VmHWM", "RssFile", "RssShmem"))
        return (peak - of_files - shared) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes but on macOS
