"""Access to the data files that come with the package; `data/ATTRIBUTION.md` names their sources and licences."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["read_embedded", "spread"]


def read_embedded(name: str) -> bytes:
    """Return the content of a data file of this package."""
    return files("cnnbench_plugins").joinpath("data", name).read_bytes()


def spread(count: int, limit: int) -> NDArray[np.int64]:
    """Return the indices of at most ``limit`` of ``count`` items, evenly spread and in order.

    Neighbouring items often are alike (the same writer, the same corner of a photograph), so the first ones would be a
    narrower sample than the dataset is.
    """
    kept = min(limit, count)
    return np.arange(kept, dtype=np.int64) * count // kept
