"""What published datasets have in common: files that lie somewhere on the disk, or are downloaded.

Shapes: N examples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnbench.errors import DataError
from cnnbench_plugins.datasets.embedded import spread

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["fetch", "files_state", "in_each_class"]


def fetch(url: str, folder: Path, md5: str, needed: str) -> Path:
    """Download a file, unless it is there already, and compare it with its MD5; ``needed`` names all that there is.

    Raises:
        DataError: It could not be downloaded, or came damaged.
    """
    from torchvision.datasets import utils

    name = url.rpartition("/")[2]
    try:
        utils.download_url(url, str(folder), name, md5)
    except (OSError, RuntimeError) as error:
        detail = " ".join(str(error).split())
        raise DataError(
            f"{url} could not be downloaded ({detail}); get {needed} on another machine, put it anywhere on this one, "
            "and name the place as the dataset's `path`."
        ) from error
    return folder / name


def files_state(files: Iterable[Path]) -> str:
    """Return a text that changes when one of the files changes, without reading them."""
    status_of = {file.resolve(): file.stat() for file in files}
    return "; ".join(f"{file}, {status.st_size} bytes, {status.st_mtime_ns}" for file, status in status_of.items())


def in_each_class(label_N: NDArray[np.int64], split_N: NDArray[np.str_], limit: int | None) -> NDArray[np.int64]:
    """Return the indices of at most ``limit`` examples of each class in each split, evenly spread and in order."""
    if limit is None:
        return np.arange(len(label_N), dtype=np.int64)
    groups = [
        np.flatnonzero((label_N == label) & (split_N == split))
        for split in np.unique(split_N)
        for label in np.unique(label_N)
    ]
    return np.sort(np.concatenate([members[spread(len(members), limit)] for members in groups if len(members)]))
