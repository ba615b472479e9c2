"""The weights of a trained network: which epoch's are kept, and how they get to the disk and back.

A file of weights is a plain state dict in torch's format: tensors by name, which
``torch.load(path, weights_only=True)`` reads without running anything.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from cnnbench.design import build_network
from cnnbench.errors import StoreError
from cnnbench.registry import Registry
from cnnbench.spec import Recipe
from cnnbench.store import Study
from cnnbench.train.evaluate import value_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from cnnbench.plugin import Metric
    from cnnbench.types import EpochRecord


@dataclass(frozen=True, slots=True)
class KeptWeights:
    """The weights of one epoch, in main memory."""

    epoch: int
    """Counted from 0."""
    value: float
    """What the epoch was chosen by."""
    network: Mapping[str, torch.Tensor]


class WeightsKeeper:
    """Keeps the weights of the epoch with the best validation value; of equal ones the first."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        chooser = choosing_metric(metrics)
        assert chooser is not None  # noqa: S101 - the design has made sure
        self._name = value_name("validation", "plain", chooser.key)
        self._sign = 1.0 if chooser.higher_is_better else -1.0
        self.kept: KeptWeights | None = None

    def see(self, record: EpochRecord, network: nn.Module) -> None:
        """Keep the network's weights if this epoch is the best so far."""
        value = float(record.values[self._name])
        if self.kept is None or math.isnan(self.kept.value) or self._sign * value > self._sign * self.kept.value:
            self.kept = KeptWeights(record.epoch, value, state_on_cpu(network))


def choosing_metric(metrics: Sequence[Metric]) -> Metric | None:
    """Return the metric by which the best epoch's weights are chosen: the first that is one number with a direction."""
    return next((one for one in metrics if not one.dims and one.higher_is_better is not None), None)


def state_on_cpu(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of a network's parameters and buffers in main memory, in the usual order of memory."""
    return {
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }


def write_torch(path: Path, content: Mapping[str, Any]) -> None:
    """Write tensors and plain values; under its name there is always a whole file.

    Raises:
        OSError: It cannot be written.
        RuntimeError: The same, as torch puts it.
    """
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            torch.save(dict(content), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def save_weights(path: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Write the weights of a finished trial.

    Raises:
        StoreError: They cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_torch(path, state)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise StoreError(
            f"the weights cannot be written to {path} ({reason}); free some space there, or leave `save_weights` out."
        ) from error


def load_network(run: str | Path, trial_id: str) -> nn.Module:
    """Return the network of a finished trial with its weights, in evaluation mode, on the CPU.

    Args:
        run: The run folder.
        trial_id: The trial's id, or as much of its beginning as is unique in the folder.

    Raises:
        StoreError: There is no such trial, or it kept no weights.
    """
    study = Study.open(run)
    found = [trial for trial in study.stored if trial.id.startswith(trial_id)]
    if len(found) != 1:
        raise StoreError(
            f"{run} has {len(found)} finished trials whose id begins with `{trial_id}`; give one whole id."
        )
    trial = found[0]
    if trial.weights is None:
        raise StoreError(
            f'trial {trial.id[:12]} kept no weights; set `trial.save_weights` to "best" or "last" and run it again.'
        )
    path = study.folder.path / trial.weights
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise StoreError(
            f"the weights {path} cannot be read ({error.strerror or error}); run the trial again."
        ) from error
    recipe = Recipe.model_validate(trial.recipe)
    info = study.folder.read_json("plan.json")["datasets"][trial.data_fingerprint]
    shape = (info["channels"], max(phase.size_px for phase in recipe.phases), len(info["class_names"]))
    model = Registry.discover().model(recipe.model)
    # Built without memory, so that a pre-trained model does not fetch weights which are replaced here anyway.
    with torch.device("meta"):
        network = build_network(model, *shape)
    network.load_state_dict(state, assign=True)
    if any(buffer.is_meta for buffer in network.buffers()):  # one that is no part of the state has to be computed
        network = build_network(model, *shape)
        network.load_state_dict(state)
    return network.eval()
