"""CIFAR-10, from its Python batches."""

from __future__ import annotations

import math
import tarfile
import zlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from cnnbench.errors import DataError
from cnnbench.plugin import Dataset, ImageArrays
from cnnbench_plugins.datasets.plain_pickle import read_plain_pickle
from cnnbench_plugins.datasets.published import fetch, files_state, in_each_class
from cnnbench_plugins.paths import expand_path

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Cifar10"]

TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_BATCH = "test_batch"
META = "batches.meta"
MEMBERS = (*TRAIN_BATCHES, TEST_BATCH, META)
FOLDER = "cifar-10-batches-py"
SHAPE_CHW = (3, 32, 32)
LARGEST_BYTES = 1 << 28
"""Largest batch that is read; the official ones have 31 MB."""


class Cifar10(Dataset):
    """CIFAR-10: photographs of 32 x 32 px in ten classes, 50,000 for training and 10,000 for testing.

    Krizhevsky (2009, "Learning Multiple Layers of Features from Tiny Images"). The "Python version" of the official
    page, or batches of that form with fewer images; their own division is the dataset's predefined split. Pickles are
    read without running what they name. Without a ``path`` the archive is downloaded from where torchvision gets it.
    The path is no part of a trial's identity: the images themselves are.
    """

    key = "cifar10"
    path: str | None = Field(
        None,
        min_length=1,
        exclude=True,
        description="Folder with the batches, or the archive (.tar.gz) that holds them; `~` and `${VARIABLE}` are "
        "expanded. Default: download it.",
    )
    limit_per_class: int | None = Field(
        None, ge=1, description="Images of each class, in training and in testing part, spread evenly; default: all."
    )

    def source_state(self) -> str:
        """Return sizes and times of the batches (of an archive: its own), where they are named."""
        if self.path is None:
            return ""
        path = expand_path(self.path)
        return files_state([path] if path.is_file() else _files(path).values())

    def load(self, cache: Path) -> ImageArrays:
        """Return 3 x 32 x 32 images: the training batches in order, then the test batch."""
        path = expand_path(self.path) if self.path else _downloaded(cache)
        contents = _from_archive(path) if path.is_file() else _from_folder(path)
        class_names = _class_names(path, contents[META])
        parts = {name: _batch(path, name, contents[name], len(class_names)) for name in (*TRAIN_BATCHES, TEST_BATCH)}
        images_NCHW = np.concatenate([images for images, _ in parts.values()])
        label_N = np.concatenate([labels for _, labels in parts.values()])
        split_N = np.repeat(
            ["test" if name == TEST_BATCH else "train" for name in parts], [len(labels) for _, labels in parts.values()]
        )
        kept_N = in_each_class(label_N, split_N, self.limit_per_class)
        return ImageArrays(images_NCHW[kept_N], label_N[kept_N], class_names, split_N[kept_N])


def _downloaded(cache: Path) -> Path:
    from torchvision.datasets import CIFAR10

    return fetch(CIFAR10.url, cache, CIFAR10.tgz_md5, CIFAR10.url)


def _files(path: Path) -> dict[str, Path]:
    folder = path / FOLDER if (path / FOLDER).is_dir() else path
    files = {name: folder / name for name in MEMBERS}
    _refuse_missing(path, [name for name, file in files.items() if not file.is_file()])
    return files


def _from_folder(path: Path) -> dict[str, bytes]:
    return {name: file.read_bytes() for name, file in _files(path).items()}


def _from_archive(path: Path) -> dict[str, bytes]:
    """Return the batches of an archive, read in place; nothing is unpacked to the disk."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                stream = archive.extractfile(member) if name in MEMBERS and member.isreg() else None
                if stream is not None and member.size <= LARGEST_BYTES:
                    contents[name] = stream.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path.absolute()} is no whole tar archive ({error}); download it again.") from error
    _refuse_missing(path, [name for name in MEMBERS if name not in contents])
    return contents


def _refuse_missing(path: Path, missing: list[str]) -> None:
    if missing:
        raise DataError(
            f"{path.absolute()} holds no file `{missing[0]}`; CIFAR-10's Python version has `data_batch_1` to "
            f"`data_batch_5`, `{TEST_BATCH}` and `{META}`: put them there, correct the dataset's `path`, or leave it "
            "out to download them."
        )


def _class_names(path: Path, content: bytes) -> tuple[str, ...]:
    (names,) = _values(path, META, content, "label_names")
    if not isinstance(names, list) or len(names) < 2:
        raise DataError(f"{path.absolute()}: `{META}` holds no list of class names; download it again.")
    return tuple(name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in names)


def _batch(path: Path, name: str, content: bytes, num_classes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    images_NP, labels = _values(path, name, content, "data", "labels")
    plain = isinstance(labels, list) and all(isinstance(label, int) and 0 <= label < num_classes for label in labels)
    if not plain or not labels:
        raise DataError(
            f"{path.absolute()}: the labels of `{name}` are no list of numbers from 0 to {num_classes - 1}; download "
            "it again."
        )
    whole = isinstance(images_NP, np.ndarray) and images_NP.dtype == np.uint8
    if not whole or images_NP.shape != (len(labels), math.prod(SHAPE_CHW)):
        raise DataError(
            f"{path.absolute()}: `{name}` does not hold one row of 3,072 bytes for each label; download it again."
        )
    return images_NP.reshape(-1, *SHAPE_CHW), np.array(labels, dtype=np.int64)


def _values(path: Path, name: str, content: bytes, *keys: str) -> list[Any]:
    try:
        table = read_plain_pickle(content)
    except ValueError as error:
        raise DataError(
            f"{path.absolute()}: `{name}` is no batch of CIFAR-10 that can be read safely ({error}); download it again."
        ) from error
    values = []
    for key in keys:
        # Python 2 wrote the keys, so they are bytes; batches that were written again may have texts.
        value = table.get(key.encode(), table.get(key))
        if value is None:
            raise DataError(f"{path.absolute()}: `{name}` holds no `{key}`; download it again.")
        values.append(value)
    return values
