"""What a trial returns.

Shapes: E epochs, N examples, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from cnnbench.types.plan import Trial


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """How a recorded value is to be read."""

    name: str
    """Name of the value in records and files, e.g. ``validation_tta_accuracy``."""
    metric: str
    """Key of the metric that computed it, e.g. ``accuracy``."""
    split: str
    """``train``, ``validation`` or ``test``."""
    view: str
    """``plain`` or ``tta``."""
    dims: tuple[str, ...]
    """Dimensions beside epoch; ``class`` and ``predicted_class`` are labelled with the class names."""
    unit: str
    long_name: str
    higher_is_better: bool | None


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch of a trial, as it is stored and as observers see it."""

    epoch: int
    """Counted from 0 through all phases."""
    phase: str
    size_px: int
    lr: float
    """Learning rate of the group with multiplier 1 at the last step of the epoch."""
    train_s: float
    """Seconds spent in training steps of this epoch; evaluation, preparation and storage excluded."""
    train_cpu_s: float
    """Processor seconds of the training thread in the same interval."""
    flops: float
    """Floating-point operations of this epoch's training steps (forward and backward)."""
    values: Mapping[str, NDArray[np.floating[Any]]]
    """Value by name (see `MetricInfo.name`); arrays in main memory, 0-d for scalars."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """Per-example outputs of the reported epoch on one split and view."""

    split: str
    view: str
    example_N: NDArray[np.int64]
    """Index of each example in the dataset."""
    label_N: NDArray[np.int64]
    logits_NK: NDArray[np.float32]
    """Logits; for the ``tta`` view log-probabilities of the averaged softmax."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a trial cost."""

    train_s: float
    train_cpu_s: float
    evaluation_s: float
    total_s: float
    """Wall seconds from the trial's start to its end, everything included."""
    flops: float
    parameters: int
    peak_memory_bytes: int
    """Peak memory of the device while the trial ran; on CPUs the worker's own, without pages of files."""
    concurrent_trials: int
    """The most trials that ran on the same device at the same time, this one included."""
    resumed: bool
    """Whether the trial went on from a checkpoint."""
    train_images: int = 0
    """Images that the training steps have seen, each as often as it came; 0 where it was not recorded."""
    features_s: float = 0.0
    """Wall seconds in which the features of a frozen body were computed once for every image; contained in ``train_s``
    and ``evaluation_s`` according to the parts' sizes."""
    features_reused: bool = False
    """Whether the features of a frozen body were those of an earlier trial, so that ``train_s`` lacks them."""

    @property
    def images_per_s(self) -> float:
        """Training images per second of training; NaN where the images were not recorded."""
        return self.train_images / self.train_s if self.train_images and self.train_s else math.nan


@dataclass(frozen=True, slots=True)
class CostInfo:
    """How a cost of a trial is to be read as a response."""

    long_name: str
    unit: str
    higher_is_better: bool
    uses_time: bool = False


COST_RESPONSES: Mapping[str, CostInfo] = MappingProxyType(
    {
        "train_s": CostInfo("Training time", "s", higher_is_better=False, uses_time=True),
        "total_s": CostInfo("Total time", "s", higher_is_better=False, uses_time=True),
        "images_per_s": CostInfo("Training images per second", "s-1", higher_is_better=True, uses_time=True),
        "flops": CostInfo("Floating-point operations of training", "1", higher_is_better=False),
        "parameters": CostInfo("Parameters", "1", higher_is_better=False),
        "peak_memory_bytes": CostInfo("Peak memory", "byte", higher_is_better=False),
    }
)
"""Costs that a study may name as responses, beside its metrics; each is above 0."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """A trial that reached its end."""

    trial: Trial
    epochs: tuple[EpochRecord, ...]
    metrics: tuple[MetricInfo, ...]
    class_names: tuple[str, ...]
    predictions: tuple[Predictions, ...]
    cost: Cost
    environment: Mapping[str, Any]
    """What `cnnbench.environment.comparability` says of the place where it ran."""
    found_lr: float | None = None
    """What the learning-rate finder chose, where the recipe asks for it."""
    weights_epoch: int | None = None
    """Epoch whose weights are kept in ``weights/<id>.pt``, where the recipe asks for it."""


@dataclass(frozen=True, slots=True)
class TrialFailure:
    """A trial that did not; data, not an exception."""

    trial: Trial
    error_class: str
    """``Diverged``, ``OutOfMemory``, ``WorkerDied``, or the name of the exception's class, e.g. ``DataError``."""
    message: str
    traceback: str
    epoch: int | None
    """Epoch in which it happened, counted from 0; None before the first."""


TrialOutcome = TrialResult | TrialFailure
