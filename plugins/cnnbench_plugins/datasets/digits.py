"""Handwritten digits, 8 x 8 px."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from cnnbench.plugin import Dataset, ImageArrays
from cnnbench_plugins.datasets.embedded import read_embedded, spread

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Digits"]

SIDE_PX = 8
HIGHEST_VALUE = 16


class Digits(Dataset):
    """Handwritten digits of 8 x 8 px in ten classes.

    The 1,797 images of the UCI data set "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak 1998, CC BY 4.0)
    that scikit-learn ships. Larger images of a study are enlarged from these: they cost more and show nothing new.
    """

    key = "digits"
    limit_per_class: int = Field(80, ge=1, description="Images per class, spread evenly; 183 and more take all 1,797.")

    def load(self, cache: Path) -> ImageArrays:  # noqa: ARG002 - nothing to download
        """Return 1 x 8 x 8 images, with the values 0 to 16 of the source stretched to 0 to 255."""
        text = gzip.decompress(read_embedded("digits.csv.gz")).decode("ascii")
        table = np.loadtxt(io.StringIO(text), delimiter=",")
        label_N = table[:, -1].astype(np.int64)
        kept_N = np.sort(
            np.concatenate([members[spread(len(members), self.limit_per_class)] for members in _by_class(label_N)])
        )
        values_NP = table[kept_N, :-1] * (255 / HIGHEST_VALUE)
        images_NCHW = np.rint(values_NP).astype(np.uint8).reshape(-1, 1, SIDE_PX, SIDE_PX)
        return ImageArrays(list(images_NCHW), label_N[kept_N], tuple("0123456789"))


def _by_class(label_N: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [np.flatnonzero(label_N == digit) for digit in range(10)]
