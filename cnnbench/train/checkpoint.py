"""Mid-trial checkpoints.

Every random draw of a trial is a function of (seed of its stream, epoch), so at the end of an epoch the state of a
trial is its network, its optimizer and its records; there are no generator states to restore. Written with torch's
format and read with ``weights_only=True``: a checkpoint can hold tensors and plain values, never code.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from cnnbench.train.weights import KeptWeights, write_torch
from cnnbench.types import EpochRecord

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a trial at the end of an epoch."""

    trial_id: str
    network: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    """State of the optimizer of the phase that the last record belongs to."""
    records: tuple[EpochRecord, ...]
    found_lr: float | None
    evaluation_s: float
    total_s: float
    features_s: float = 0.0
    features_reused: bool = False
    kept: KeptWeights | None = None
    """The weights of the best epoch so far, where the recipe asks for them."""


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; under its name there is always a whole one.

    Raises:
        OSError: It cannot be written.
        RuntimeError: The same, as torch puts it.
    """
    state = {
        "format": _FORMAT,
        "trial_id": checkpoint.trial_id,
        "network": dict(checkpoint.network),
        "optimizer": dict(checkpoint.optimizer),
        "records": [_plain(record) for record in checkpoint.records],
        "found_lr": checkpoint.found_lr,
        "evaluation_s": checkpoint.evaluation_s,
        "total_s": checkpoint.total_s,
        "features_s": checkpoint.features_s,
        "features_reused": checkpoint.features_reused,
        "kept": asdict(checkpoint.kept) if checkpoint.kept is not None else None,
    }
    write_torch(path, state)


def load_checkpoint(path: Path, trial_id: str, device: torch.device) -> Checkpoint | None:
    """Return the checkpoint of a trial; None if there is none, or none that can be read: the trial then starts anew."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception:  # noqa: BLE001 - a broken file makes torch raise nearly anything
        return None
    if not isinstance(state, dict) or state.get("format") != _FORMAT or state.get("trial_id") != trial_id:
        return None
    return Checkpoint(
        trial_id=trial_id,
        network=state["network"],
        optimizer=state["optimizer"],
        records=tuple(_record(record) for record in state["records"]),
        found_lr=state["found_lr"],
        evaluation_s=state["evaluation_s"],
        total_s=state["total_s"],
        features_s=state.get("features_s", 0.0),
        features_reused=state.get("features_reused", False),
        kept=KeptWeights(**state["kept"]) if state.get("kept") is not None else None,
    )


def _plain(record: EpochRecord) -> dict[str, Any]:
    return {**asdict(record), "values": {name: torch.as_tensor(value) for name, value in record.values.items()}}


def _record(plain: dict[str, Any]) -> EpochRecord:
    values = {name: value.cpu().numpy() for name, value in plain.pop("values").items()}
    return EpochRecord(**plain, values=values)
