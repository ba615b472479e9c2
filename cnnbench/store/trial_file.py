"""One HDF5 file for each trial.

Made in memory, written under a temporary name, flushed to disk and renamed: a file that exists is whole. Dimensions are
real HDF5 dimension scales, so that ``xarray.open_dataset(path, engine="h5netcdf")`` finds them by name.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from cnnbench.errors import StoreError
from cnnbench.types import Cost, Predictions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from cnnbench.types import EpochRecord, MetricInfo, TrialResult

FORMAT_VERSION = 1

_SPLITS = ("validation", "test")
_TEXT = h5py.string_dtype("utf-8")
_COLUMNS = {
    "phase": ("1", "Phase of training"),
    "size_px": ("pixel", "Side of training and evaluation images"),
    "lr": ("1", "Learning rate at the last step of the epoch, of layer groups with multiplier 1"),
    "train_s": ("s", "Wall time in training steps"),
    "train_cpu_s": ("s", "Processor time of the training thread in training steps"),
    "train_flops": ("1", "Floating-point operations in training steps"),
}


@dataclass(frozen=True, slots=True)
class StoredTrial:
    """A trial as it was read back: everything but the large arrays."""

    id: str
    cell: Mapping[str, Any]
    replicate: int
    recipe: Mapping[str, Any]
    seeds: Mapping[str, int]
    environment: Mapping[str, Any]
    cost: Cost
    found_lr: float | None
    phase: tuple[str, ...]
    """Phase of each epoch."""
    size_px: NDArray[np.int64]
    """Image side of each epoch."""
    scalars: Mapping[str, NDArray[np.float64]]
    """Scalar values by epoch; NaN where an epoch has none."""
    descriptions: Mapping[str, tuple[str, str]]
    """Name of a value -> (unit, long name)."""
    higher_is_better: Mapping[str, bool]
    """By name of a value, where one direction is better."""
    num_examples: Mapping[str, int]
    """Evaluated examples by split."""
    data_fingerprint: str
    """SHA-256 of the dataset that it was trained and evaluated on."""
    weights: str | None = None
    """File of the network's weights, relative to the run folder; None where none were kept."""
    weights_epoch: int | None = None
    """Epoch that they belong to."""
    class_names: tuple[str, ...] = ()
    by_class: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Values of each class (columns) by epoch (rows), e.g. ``test_recall_by_class``."""


def write_trial(path: Path, result: TrialResult) -> None:
    """Write the file of a finished trial.

    Raises:
        OSError: It cannot be written; nothing of it is left behind.
    """
    # HDF5 may bring the process down where it cannot write, so it never sees the disk.
    with h5py.File(path.name, "w", driver="core", backing_store=False, track_order=True) as file:
        _write_attributes(file, result)
        _write_epochs(file, result)
        _write_predictions(file, result.predictions)
        file.flush()
        image: bytes = file.id.get_file_image()
    handle, name = tempfile.mkstemp(prefix=".new-", suffix=".h5", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as written:
            written.write(image)
            written.flush()
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_attributes(file: h5py.File, result: TrialResult) -> None:
    trial, cost = result.trial, result.cost
    attributes: dict[str, Any] = {
        "format": "cnnbench trial",
        "format_version": FORMAT_VERSION,
        "trial_id": trial.id,
        "study": trial.study,
        "replicate": trial.replicate,
        "cell": json.dumps(dict(trial.cell), ensure_ascii=False),
        "seeds": json.dumps(dict(trial.seeds)),
        "recipe": json.dumps(dict(trial.recipe), ensure_ascii=False),
        "data_fingerprint": trial.data_fingerprint,
        "environment": json.dumps(dict(result.environment), ensure_ascii=False),
        "train_s": cost.train_s,
        "train_cpu_s": cost.train_cpu_s,
        "evaluation_s": cost.evaluation_s,
        "total_s": cost.total_s,
        "train_flops": cost.flops,
        "parameters": cost.parameters,
        "peak_memory_bytes": cost.peak_memory_bytes,
        "concurrent_trials": cost.concurrent_trials,
        "resumed": np.int8(cost.resumed),
        "train_images": cost.train_images,
        "features_s": cost.features_s,
        "features_reused": np.int8(cost.features_reused),
    }
    if result.found_lr is not None:
        attributes["found_lr"] = result.found_lr
    if result.weights_epoch is not None:
        attributes["weights"] = f"weights/{trial.id}.pt"
        attributes["weights_epoch"] = result.weights_epoch
    file.attrs.update(attributes)


def _write_epochs(file: h5py.File, result: TrialResult) -> None:
    epochs = result.epochs
    _scale(file, "epoch", np.asarray([record.epoch for record in epochs], np.int64), "Epoch, counted from 0")
    columns: dict[str, Any] = {
        "phase": np.asarray([record.phase for record in epochs], dtype=object),
        "size_px": np.asarray([record.size_px for record in epochs], np.int64),
        "lr": np.asarray([record.lr for record in epochs]),
        "train_s": np.asarray([record.train_s for record in epochs]),
        "train_cpu_s": np.asarray([record.train_cpu_s for record in epochs]),
        "train_flops": np.asarray([record.flops for record in epochs]),
    }
    for name, values in columns.items():
        _variable(file, name, values, ("epoch",), _COLUMNS[name])
    for metric in result.metrics:
        values = _stacked(epochs, metric)
        for dim, length in zip(metric.dims, values.shape[1:], strict=True):
            _dimension(file, dim, length, result.class_names)
        _variable(file, metric.name, values, ("epoch", *metric.dims), (metric.unit, metric.long_name))
        if metric.higher_is_better is not None:
            file[metric.name].attrs["higher_is_better"] = np.int8(metric.higher_is_better)
    _dimension(file, "class", len(result.class_names), result.class_names)


def _stacked(epochs: Sequence[EpochRecord], metric: MetricInfo) -> NDArray[np.float64]:
    """Stack a metric over epochs, with NaN where an epoch has no value (test-time augmentation within a phase)."""
    shape = next((record.values[metric.name].shape for record in epochs if metric.name in record.values), ())
    empty = np.full(shape, np.nan)
    return np.stack([np.asarray(record.values.get(metric.name, empty), np.float64) for record in epochs])


def _write_predictions(file: h5py.File, blocks: Sequence[Predictions]) -> None:
    for block in blocks:
        dim = f"{block.split}_example"
        if dim not in file:
            _scale(file, dim, block.example_N, f"Index of the {block.split} example in the dataset")
            _variable(file, f"{block.split}_label", block.label_N, (dim,), ("1", "True class"))
        name = f"{block.split}_{'tta_' if block.view == 'tta' else ''}logits"
        long_name = "Log-probabilities averaged over views" if block.view == "tta" else "Logits"
        _variable(file, name, block.logits_NK, (dim, "class"), ("1", f"{long_name} of the last epoch"))


def _dimension(file: h5py.File, dim: str, length: int, class_names: Sequence[str]) -> None:
    if dim in file:
        return
    if dim in ("class", "predicted_class") and length == len(class_names):
        _scale(file, dim, np.asarray(class_names, dtype=object), "Class" if dim == "class" else "Predicted class")
    else:
        _scale(file, dim, np.arange(length), dim)


def _scale(file: h5py.File, name: str, values: NDArray[Any], long_name: str) -> None:
    data = file.create_dataset(name, data=values, dtype=_TEXT if values.dtype == object else None)
    data.attrs["long_name"] = long_name
    data.make_scale(name)


def _variable(
    file: h5py.File, name: str, values: NDArray[Any], dims: Sequence[str], described: tuple[str, str]
) -> None:
    data = file.create_dataset(name, data=values, dtype=_TEXT if values.dtype == object else None)
    data.attrs["units"], data.attrs["long_name"] = described
    for axis, dim in enumerate(dims):
        data.dims[axis].attach_scale(file[dim])


def read_trial(path: Path) -> StoredTrial:
    """Read the file of a trial, without its predictions and matrices.

    Raises:
        StoreError: It is no trial file, or one of a later format.
    """
    try:
        with h5py.File(path, "r") as file:
            return _read(file, path)
    except (OSError, KeyError, ValueError, RuntimeError) as error:  # h5py's words for a damaged file
        raise StoreError(
            f"{path} cannot be read as a trial ({error}); delete it and run the study again to replace it."
        ) from error


def _read(file: h5py.File, path: Path) -> StoredTrial:
    attributes = dict(file.attrs)
    version = int(attributes["format_version"])
    if version > FORMAT_VERSION:
        raise StoreError(
            f"{path} has format {version}; this cnnbench reads formats up to {FORMAT_VERSION}: upgrade it."
        )
    scalars: dict[str, NDArray[np.float64]] = {}
    descriptions: dict[str, tuple[str, str]] = {}
    better: dict[str, bool] = {}
    by_class: dict[str, NDArray[np.float64]] = {}
    for name, data in _by_epoch(file):
        if data.ndim == 2:
            by_class[name] = np.asarray(data[()], np.float64)
            continue
        described = data.attrs
        scalars[name] = np.asarray(data[()], np.float64)
        descriptions[name] = (str(described["units"]), str(described["long_name"]))
        if "higher_is_better" in described:
            better[name] = bool(described["higher_is_better"])
    return StoredTrial(
        id=str(attributes["trial_id"]),
        cell=json.loads(attributes["cell"]),
        replicate=int(attributes["replicate"]),
        recipe=json.loads(attributes["recipe"]),
        seeds=json.loads(attributes["seeds"]),
        environment=json.loads(attributes["environment"]),
        cost=Cost(
            train_s=float(attributes["train_s"]),
            train_cpu_s=float(attributes["train_cpu_s"]),
            evaluation_s=float(attributes["evaluation_s"]),
            total_s=float(attributes["total_s"]),
            flops=float(attributes["train_flops"]),
            parameters=int(attributes["parameters"]),
            peak_memory_bytes=int(attributes["peak_memory_bytes"]),
            concurrent_trials=int(attributes["concurrent_trials"]),
            resumed=bool(attributes["resumed"]),
            train_images=int(attributes.get("train_images", 0)),
            features_s=float(attributes.get("features_s", 0.0)),
            features_reused=bool(attributes.get("features_reused", False)),
        ),
        found_lr=float(attributes["found_lr"]) if "found_lr" in attributes else None,
        phase=tuple(text.decode() for text in file["phase"][()]),
        size_px=np.asarray(file["size_px"][()], np.int64),
        scalars=scalars,
        descriptions=descriptions,
        higher_is_better=better,
        num_examples={split: len(file[f"{split}_label"]) for split in _SPLITS if f"{split}_label" in file},
        data_fingerprint=str(attributes["data_fingerprint"]),
        weights=str(attributes["weights"]) if "weights" in attributes else None,
        weights_epoch=int(attributes["weights_epoch"]) if "weights_epoch" in attributes else None,
        class_names=tuple(name.decode() for name in file["class"][()]),
        by_class=by_class,
    )


def read_predictions(path: Path) -> tuple[Predictions, ...]:
    """Read what a trial predicted for each example, by split and view; empty where nothing is stored.

    Raises:
        StoreError: It is no trial file.
    """
    try:
        with h5py.File(path, "r") as file:
            return tuple(
                Predictions(
                    split,
                    view,
                    np.asarray(file[f"{split}_example"][()], np.int64),
                    np.asarray(file[f"{split}_label"][()], np.int64),
                    np.asarray(file[f"{split}_{prefix}logits"][()], np.float32),
                )
                for split in ("test", "validation")
                for view, prefix in (("plain", ""), ("tta", "tta_"))
                if f"{split}_{prefix}logits" in file
            )
    except (OSError, KeyError, ValueError, RuntimeError) as error:  # h5py's words for a damaged file
        raise StoreError(
            f"the predictions in {path} cannot be read ({error}); delete it and run the study again to replace it."
        ) from error


def _by_epoch(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield the numbers by epoch, and those by epoch and class.

    A study has thousands of files, each with dozens of variables: what can be told by its shape is not opened further.
    Only where two dimensions are equally long is a variable asked which of them it has, by h5py's low-level calls.
    """
    found = {name: h5py.h5d.open(file.id, name.encode()) for name in file}
    epoch, of_class = found["epoch"], found["class"]
    num_epochs, num_classes = epoch.shape[0], of_class.shape[0]
    lengths = [data.shape[0] for data in found.values() if data.rank == 1 and not h5py.h5a.exists(data, b"units")]
    is_plain = lengths.count(num_epochs) == lengths.count(num_classes) == 1
    for name, data in found.items():
        if data.shape == (num_epochs,) and data.dtype.kind in "fi":
            scales = [epoch]
        elif data.shape == (num_epochs, num_classes):
            scales = [epoch, of_class]
        else:
            continue
        if h5py.h5a.exists(data, b"units") and (is_plain or _has_scales(data, scales)):
            yield name, h5py.Dataset(data)


def _has_scales(data: h5py.h5d.DatasetID, scales: Sequence[h5py.h5d.DatasetID]) -> bool:
    return all(h5py.h5ds.is_attached(data, scale, axis) for axis, scale in enumerate(scales))
