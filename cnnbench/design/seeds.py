"""Seeds by named stream."""

from __future__ import annotations

import functools
import hashlib
import json
from typing import TYPE_CHECKING, Literal

import numpy as np

from cnnbench.types import STREAMS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.types import Level


def trial_seeds(
    base_seed: int, replicate: int, cell: Mapping[str, Level], pairing: Literal["shared", "independent"]
) -> dict[str, int]:
    """Return one seed below 2**63 for each stream of a trial.

    With ``shared`` pairing they depend on the replicate alone, so that replicate k sees the same split, order and
    augmentation draws in every cell; with ``independent`` they depend on the cell as well (on its levels, not on its
    place in the design, so that adding a level changes no other trial).
    """
    scope = "" if pairing == "shared" else json.dumps(dict(sorted(cell.items())))
    return {stream: _seed(base_seed, replicate, stream, scope) for stream in STREAMS}


@functools.lru_cache(maxsize=1024)  # shared seeds are the same in every cell
def _seed(base_seed: int, replicate: int, stream: str, scope: str) -> int:
    digest = hashlib.sha256(f"{stream}\n{scope}".encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "big") for i in range(0, 16, 4)]
    sequence = np.random.SeedSequence(entropy=base_seed, spawn_key=(replicate, *words))
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)
