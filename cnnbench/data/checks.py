"""What a dataset brings, checked before and while it is decoded.

Shapes: N examples, K classes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from cnnbench.plugin import Dataset, ImageArrays

_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Examples:
    """All that belongs to the examples of a dataset but their images."""

    label_N: NDArray[np.int64]
    class_names: tuple[str, ...]
    splits: list[str] | None
    groups: list[str] | None
    names: list[str] | None

    @classmethod
    def of(cls, dataset: Dataset, arrays: ImageArrays) -> Examples:
        """Check what a dataset brings.

        Raises:
            DataError: It cannot be used.
        """
        label_N = _checked_labels(dataset, arrays)
        num_states = len(label_N) if arrays.state_N is None else len(arrays.state_N)
        if num_states != len(label_N):
            raise DataError(f"dataset `{dataset.key}` has {num_states} states but {len(label_N)} labels.")
        names = None if arrays.name_N is None else [str(name) for name in arrays.name_N]
        splits, groups = _checked_splits(dataset, arrays), _checked_groups(dataset, arrays)
        return cls(label_N, tuple(arrays.class_names), splits, groups, names)

    def fingerprint(self, digest_N32: NDArray[np.uint8]) -> str:
        """Return the SHA-256 (hex) of class names, labels, splits, groups and the digest of each image."""
        digest = hashlib.sha256(json.dumps(list(self.class_names)).encode() + self.label_N.tobytes())
        if self.splits is not None:
            digest.update("\n".join(self.splits).encode())
        if self.groups is not None:
            digest.update(json.dumps(["groups", *self.groups]).encode())
        digest.update(np.ascontiguousarray(digest_N32).data)
        return digest.hexdigest()


@contextlib.contextmanager
def reading(key: str) -> Iterator[None]:
    """Tell a file that cannot be read from a cache that cannot be written."""
    try:
        yield
    except OSError as error:
        raise DataError(f"dataset `{key}` cannot be read: {error}.") from error


def check_image(key: str, image_CHW: NDArray[np.uint8], position: int, channels: int | None = None) -> None:
    """Check one image of the dataset that is called ``key``; the first one may have 1 or 3 channels.

    Raises:
        DataError: It cannot be used.
    """
    allowed = (1, 3) if channels is None else (channels,)
    fits = image_CHW.ndim == 3 and image_CHW.dtype == np.uint8 and image_CHW.shape[0] in allowed
    if not fits or 0 in image_CHW.shape:
        raise DataError(
            f"dataset `{key}`: image {position} is {image_CHW.dtype} of shape {image_CHW.shape}; images must "
            f"be uint8 of shape (channels, height, width) with {' or '.join(map(str, allowed))} channels."
        )


def _checked_labels(dataset: Dataset, arrays: ImageArrays) -> NDArray[np.int64]:
    label_N = np.asarray(arrays.label_N, dtype=np.int64)
    num_classes = len(arrays.class_names)
    name = f"dataset `{dataset.key}`"
    if len(arrays.images) != len(label_N):
        raise DataError(f"{name} has {len(arrays.images)} images but {len(label_N)} labels.")
    if arrays.name_N is not None and len(arrays.name_N) != len(label_N):
        raise DataError(f"{name} has {len(arrays.name_N)} names but {len(label_N)} labels.")
    if num_classes < 2:
        raise DataError(f"{name} has one class only; a classification needs at least two.")
    if label_N.min(initial=0) < 0 or label_N.max(initial=0) >= num_classes:
        raise DataError(f"{name} has a label outside 0 to {num_classes - 1}.")
    empty = np.flatnonzero(np.bincount(label_N, minlength=num_classes) == 0)
    if empty.size:
        raise DataError(f"{name}: the class `{arrays.class_names[empty[0]]}` has no image; add some, or leave it out.")
    return label_N


def _checked_splits(dataset: Dataset, arrays: ImageArrays) -> list[str] | None:
    if arrays.split_N is None:
        return None
    splits = [str(split) for split in np.asarray(arrays.split_N)]
    unknown = sorted(set(splits) - set(_SPLITS))
    if unknown or len(splits) != len(arrays.label_N):
        raise DataError(f"dataset `{dataset.key}` brings splits that are not {', '.join(_SPLITS)} for each image.")
    return splits


def _checked_groups(dataset: Dataset, arrays: ImageArrays) -> list[str] | None:
    if arrays.group_N is None:
        return None
    groups = [str(group) for group in np.asarray(arrays.group_N)]
    if len(groups) != len(arrays.label_N):
        raise DataError(f"dataset `{dataset.key}` names {len(groups)} groups for {len(arrays.label_N)} images.")
    return groups
