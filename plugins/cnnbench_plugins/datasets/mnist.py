"""MNIST, from the four official files."""

from __future__ import annotations

import gzip
import math
import zlib
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from cnnbench.errors import DataError
from cnnbench.plugin import Dataset, ImageArrays
from cnnbench_plugins.datasets.published import fetch, files_state, in_each_class
from cnnbench_plugins.paths import expand_path

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Mnist"]

NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
"""Split -> files of its images and of its labels; each also with ``.gz``."""
SUBFOLDERS = ("", "MNIST/raw")
"""Where below the named folder the files are looked for; the second is torchvision's own."""
LARGEST_BYTES = 1 << 28
"""Most that a file may unpack to; the largest official one has 47 MB."""
UNSIGNED_BYTE = 8
"""The idx format's code of its only type that occurs here."""


class Mnist(Dataset):
    """MNIST: handwritten digits of 28 x 28 px in ten classes, 60,000 for training and 10,000 for testing.

    LeCun, Bottou, Bengio & Haffner (1998, "Gradient-based learning applied to document recognition"). The official
    files in the idx format, packed (.gz) or not; their own division is the dataset's predefined split. Without a
    ``path`` they are downloaded from where torchvision gets them. The path is no part of a trial's identity: the images
    themselves are.
    """

    key = "mnist"
    path: str | None = Field(
        None,
        min_length=1,
        exclude=True,
        description="Folder with the four files; `~` and `${VARIABLE}` are expanded. Default: download them.",
    )
    limit_per_class: int | None = Field(
        None, ge=1, description="Images of each class, in training and in testing part, spread evenly; default: all."
    )

    def source_state(self) -> str:
        """Return sizes and times of the four files, where they are named."""
        if self.path is None:
            return ""
        folder = expand_path(self.path)
        return files_state(_find(folder, name) for names in NAMES.values() for name in names)

    def load(self, cache: Path) -> ImageArrays:
        """Return 1 x 28 x 28 images: those for training, then those for testing."""
        folder = expand_path(self.path) if self.path else _downloaded(cache)
        parts = {split: _part(folder, *names) for split, names in NAMES.items()}
        images_NHW = np.concatenate([images for images, _ in parts.values()])
        label_N = np.concatenate([labels for _, labels in parts.values()]).astype(np.int64)
        split_N = np.repeat(list(parts), [len(labels) for _, labels in parts.values()])
        kept_N = in_each_class(label_N, split_N, self.limit_per_class)
        return ImageArrays(images_NHW[kept_N, None], label_N[kept_N], tuple("0123456789"), split_N[kept_N])


def _downloaded(cache: Path) -> Path:
    from torchvision.datasets import MNIST

    place = MNIST.mirrors[0]
    needed = f"{', '.join(name for name, _ in MNIST.resources)} from {place}"
    for name, md5 in MNIST.resources:
        fetch(f"{place}{name}", cache, md5, needed)
    return cache


def _find(folder: Path, name: str) -> Path:
    for subfolder in SUBFOLDERS:
        for candidate in (name, f"{name}.gz"):
            file = folder / subfolder / candidate
            if file.is_file():
                return file
    wanted = ", ".join(f"`{one}`" for names in NAMES.values() for one in names)
    raise DataError(
        f"{folder.absolute()} holds no file `{name}` or `{name}.gz`; MNIST's files are {wanted}: put them there, "
        "correct the dataset's `path`, or leave it out to download them."
    )


def _part(folder: Path, images_name: str, labels_name: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    images_file, labels_file = _find(folder, images_name), _find(folder, labels_name)
    images_NHW, label_N = _read_idx(images_file, 3), _read_idx(labels_file, 1)
    if len(images_NHW) != len(label_N):
        raise DataError(
            f"{images_file} holds {len(images_NHW)} images and {labels_file.name} {len(label_N)} labels; download both "
            "again."
        )
    if label_N.size and label_N.max() > 9:
        raise DataError(f"{labels_file} holds the label {label_N.max()}, and MNIST's are 0 to 9; download it again.")
    return images_NHW, label_N


def _read_idx(file: Path, num_dims: int) -> NDArray[np.uint8]:
    """Return the array in a file of the idx format: two zeros, type, number of dimensions, the dimensions, the data."""
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            content = stream.read(LARGEST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file} cannot be read ({error}); download it again.") from error
    start = 4 + 4 * num_dims
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4))
    if content[:4] != bytes((0, 0, UNSIGNED_BYTE, num_dims)) or len(content) != start + math.prod(shape):
        raise DataError(f"{file} is no whole idx file of bytes in {num_dims} dimensions; download it again.")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)
