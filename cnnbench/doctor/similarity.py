"""Which images of a dataset show the same picture?

Identical ones are found by the hash of their pixels. Near-identical ones (compressed again, resized, made brighter, a
little noise) are found in two steps. First every image becomes a signature: gray, averaged to at most 16 x 16, mean
zero, length one. The product of two signatures is their correlation, whatever brightness and contrast; all pairs are
one matrix product, block by block. Then an image and its nearest neighbours are compared at full size.

No fixed correlation tells a copy from a look-alike: two handwritten ones correlate better than two copies of a
photograph. So a copy has to stand out: its distance must be at most `GAP` times the distance of the nearest image that
is no copy (the ratio test of Lowe 2004, "Distinctive image features from scale-invariant keypoints", section 7.1), seen
from both sides.

Shapes: N images, C channels, H/W pixels, P pixels of a signature, B images of a block, M neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

SIGNATURE_PX = 16
LEAST_ALIKE = 0.9
"""Correlation of two signatures from which on their images are compared at full size."""
LEAST_SAME = 0.9
"""Correlation at full size below which two images are no copies."""
SURELY_SAME = 0.9995
"""Correlation at full size from which on they are, also where whole groups of images are that close."""
GAP = 0.4
NEIGHBOURS = 8
_FLAT = 1e-3
"""Deviation, in gray levels of 255, below which an image shows nothing that could be compared."""
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Copies:
    """Images of a dataset that show the same picture."""

    members: tuple[int, ...]
    """Their indices in the dataset, two or more, ascending."""
    identical: bool
    """Whether they agree in every pixel."""
    correlation: float
    """Least correlation among those that were compared; 1 for identical ones."""


def find_copies(
    search_NCHW: NDArray[np.uint8],
    full_NCHW: NDArray[np.uint8],
    hash_N: NDArray[np.uint64],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Copies, ...]:
    """Return all groups of images that show the same.

    Args:
        search_NCHW: The images at a small size, from which signatures are taken.
        full_NCHW: The same images at the size at which they are compared.
        hash_N: Hash of the pixels of each image as it was decoded.
        progress: Told (images compared, images in all).
    """
    distinct, first_of_N = np.unique(hash_N, return_index=True, return_inverse=True)[1:]
    first_N = distinct[first_of_N]
    pairs = {(int(first), int(index)): 1.0 for index, first in enumerate(first_N) if first != index}
    pairs |= _near_pairs(search_NCHW, full_NCHW, np.sort(distinct), progress)
    return _groups(pairs, hash_N)


def signatures_NP(images_NCHW: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the signature of each image; zeros for one without contrast."""
    height, width = images_NCHW.shape[2:]
    rows_PH, columns_PW = _averaging(height), _averaging(width)
    signature_NP = np.empty((len(images_NCHW), len(rows_PH) * len(columns_PW)), np.float32)
    for start in range(0, len(images_NCHW), _BLOCK):
        gray_BHW = images_NCHW[start : start + _BLOCK].mean(axis=1, dtype=np.float32)
        small_BPP = rows_PH @ gray_BHW @ columns_PW.T
        signature_NP[start : start + _BLOCK] = _normalized(small_BPP.reshape(len(small_BPP), -1))
    return signature_NP


def _averaging(side: int) -> NDArray[np.float32]:
    """Return P x side weights that average equal stretches of a side, with fractions of pixels at their ends."""
    num = min(SIGNATURE_PX, side)
    edges = np.linspace(0, side, num + 1)
    pixel = np.arange(side)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    weights_PS: NDArray[np.float32] = (np.clip(overlap, 0, 1) * (num / side)).astype(np.float32)
    return weights_PS


def _normalized(values_BP: NDArray[np.float32]) -> NDArray[np.float32]:
    centred_BP = values_BP - values_BP.mean(axis=1, keepdims=True)
    length_B1 = np.linalg.norm(centred_BP, axis=1, keepdims=True)
    is_flat_B1 = length_B1 < _FLAT * np.sqrt(values_BP.shape[1])
    return np.where(is_flat_B1, 0, centred_BP / np.where(is_flat_B1, 1, length_B1)).astype(np.float32)


def _near_pairs(
    search_NCHW: NDArray[np.uint8],
    full_NCHW: NDArray[np.uint8],
    kept: NDArray[np.int64],
    progress: Callable[[int, int], None] | None,
) -> dict[tuple[int, int], float]:
    """Return pairs of near-identical images among those kept, with their correlation at full size."""
    signature_NP = signatures_NP(search_NCHW)[kept]
    found: dict[tuple[int, int], float] = {}
    for index, neighbours_M in _alike(signature_NP, progress):
        for neighbour, correlation in _standing_out(full_NCHW, int(kept[index]), kept[neighbours_M]):
            found[int(kept[index]), neighbour] = correlation
    return {
        (first, second): correlation
        for (first, second), correlation in found.items()
        if first < second and ((second, first) in found)
    }


def _alike(
    signature_NP: NDArray[np.float32], progress: Callable[[int, int], None] | None
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield each image that has an alike one, with its nearest neighbours."""
    num = len(signature_NP)
    for start in range(0, num, _BLOCK):
        correlation_BN = signature_NP[start : start + _BLOCK] @ signature_NP.T
        rows = np.arange(len(correlation_BN))
        correlation_BN[rows, start + rows] = -1
        for row in np.flatnonzero(correlation_BN.max(axis=1) >= LEAST_ALIKE):
            count = min(NEIGHBOURS, num - 1)
            yield start + int(row), np.argpartition(correlation_BN[row], -count)[-count:]
        if progress is not None:
            progress(min(start + _BLOCK, num), num)


def _standing_out(
    full_NCHW: NDArray[np.uint8], index: int, neighbours_M: NDArray[np.int64]
) -> Iterator[tuple[int, float]]:
    """Yield the neighbours that are so much nearer than the others that they must be copies."""
    gray = full_NCHW[np.array([index, *neighbours_M])].mean(axis=1, dtype=np.float32)
    normalized = _normalized(gray.reshape(len(gray), -1))
    correlation_M = normalized[1:] @ normalized[0]
    order = np.argsort(-correlation_M)
    distance = np.sqrt(np.maximum(2 - 2 * correlation_M[order].astype(np.float64), 0))
    gaps = np.flatnonzero(distance[:-1] <= GAP * distance[1:])
    num_copies = int(gaps[-1]) + 1 if gaps.size else 0
    for place, at in enumerate(order):
        correlation = float(correlation_M[at])
        if correlation >= SURELY_SAME or (place < num_copies and correlation >= LEAST_SAME):
            yield int(neighbours_M[at]), min(correlation, 1.0)


def _groups(pairs: dict[tuple[int, int], float], hash_N: NDArray[np.uint64]) -> tuple[Copies, ...]:
    """Join pairs that share an image."""
    if not pairs:
        return ()
    first, second = np.array(list(pairs)).T
    num = len(hash_N)
    label_N = connected_components(coo_array((np.ones(len(first)), (first, second)), shape=(num, num)))[1]
    least: dict[int, float] = {}
    for (one, _), correlation in pairs.items():
        least[label_N[one]] = min(correlation, least.get(label_N[one], 1.0))
    groups = []
    for label, correlation in least.items():
        members = np.flatnonzero(label_N == label)
        identical = len(np.unique(hash_N[members])) == 1
        groups.append(Copies(tuple(map(int, members)), identical, 1.0 if identical else correlation))
    return tuple(sorted(groups, key=lambda group: group.members))
