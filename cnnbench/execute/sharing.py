"""How many trials share a GPU: as many as make it do more work.

Small networks leave a GPU idle between their kernels, and trials of other processes fill the gaps; large ones fill it
alone. Which of the two a study has is measured while it runs: the number of trials on a device is doubled as long as
that makes it faster by a tenth. Epochs are compared with epochs of the same cell and phase, so that it does not matter
which cells happened to be at work. What was found is kept for later studies on such a device. No result depends on it.
"""

from __future__ import annotations

import json
import math
import os
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cnnbench.data import default_cache_dir

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from pathlib import Path

    from cnnbench.types import Trial

_WORTH = 1.1
"""Twice as many trials must bring this factor in throughput; else there are enough of them."""
_ENOUGH = 3
"""Epochs of one kind whose median counts."""


@dataclass
class _Device:
    """What is known of one device."""

    limit: int = 1
    """Trials that may run at once now."""
    accepted: int = 0
    """The most that were worth it so far; 0: not even one has been measured."""
    settled: bool = False
    name: str | None = None
    seconds: dict[int, dict[Hashable, list[float]]] = field(default_factory=dict)
    """Wall time of epochs, by number of trials at once and kind of epoch."""


class Sharing:
    """Says how many trials may run on a device at once, and learns it from their epochs."""

    def __init__(self, most: int, trials: Sequence[Trial]) -> None:
        """Begin with one trial on each device.

        Args:
            most: Trials at once on a device at most.
            trials: Those that are to be run; their size says which earlier studies are like this one.
        """
        self._most = most
        self._steps = _steps(trials)
        self._devices: dict[str, _Device] = {}

    def limit(self, device: str) -> int:
        """Return how many trials may run on a device at once."""
        return self._of(device).limit

    def introduce(self, device: str, name: str) -> None:
        """Take down the product name of a device, by which an earlier study may have left its number."""
        of = self._of(device)
        if of.name is None:
            of.name = name
            known = _kept().get(self._key(name))
            if known is not None and not of.seconds:
                limit, is_open = known
                of.limit, of.settled = min(limit, self._most), not is_open or limit >= self._most

    def see(self, device: str, at_once: int, kind: Hashable, wall_s: float) -> None:
        """Learn from an epoch during which the number of trials on its device did not change.

        Args:
            device: Where it ran.
            at_once: Trials on the device.
            kind: Epochs of one kind do the same work.
            wall_s: Seconds since the epoch before, evaluation included.
        """
        of = self._of(device)
        if of.settled or at_once != of.limit:
            return
        of.seconds.setdefault(at_once, {}).setdefault(kind, []).append(wall_s)
        gain = _gain(of.seconds, of.accepted, of.limit)
        if gain is None:
            return
        if gain < _WORTH:
            of.limit, of.settled = of.accepted, True
            self._keep(of, is_open=False)
        else:
            of.accepted, of.limit = of.limit, min(2 * of.limit, self._most)
            of.settled = of.limit == of.accepted
            self._keep(of, is_open=True)

    def retreat(self, device: str, at_once: int) -> None:
        """Let a device have no more trials at once than these from now on: one more had no room."""
        of = self._of(device)
        of.limit, of.settled = max(1, min(at_once, of.limit)), True

    def _of(self, device: str) -> _Device:
        return self._devices.setdefault(device, _Device())

    def _key(self, name: str) -> str:
        return f"{name}, {self._steps}"

    def _keep(self, of: _Device, *, is_open: bool) -> None:
        """Leave to later studies what was worth it; ``is_open``: more may be."""
        if of.name is None:
            return
        kept: dict[str, list[int | bool]] = {name: list(known) for name, known in _kept().items()}
        kept[self._key(of.name)] = [of.accepted, is_open]
        file = _file()
        temporary = file.with_suffix(f".{os.getpid()}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps({"trials_at_once": kept}), "utf-8")
            temporary.replace(file)
        except OSError:
            return  # the next study finds it out again


def _steps(trials: Sequence[Trial]) -> str:
    """Return what the training steps of these trials are like: magnitude of their FLOPs, and precision."""
    flops = [trial.flops_per_image[0] * trial.recipe.get("batch_size", 1) for trial in trials]
    precisions = sorted({str(trial.recipe.get("precision", "fp32")) for trial in trials})
    return f"1e{round(math.log10(max(statistics.median(flops or [1.0]), 1.0)))} FLOPs {' '.join(precisions)}"


def _gain(seconds: dict[int, dict[Hashable, list[float]]], before: int, now: int) -> float | None:
    """Return the factor in throughput from one number of trials at once to another; None where too little is known.

    The first number is compared with nothing; it is enough that something is known of it.
    """
    known = {kind: epochs for kind, epochs in seconds.get(now, {}).items() if len(epochs) >= _ENOUGH}
    if not before:
        return math.inf if known else None
    ratios = [
        statistics.median(seconds[before][kind]) / statistics.median(epochs)
        for kind, epochs in known.items()
        if len(seconds[before].get(kind, ())) >= _ENOUGH
    ]
    return now / before * statistics.fmean(ratios) if ratios else None


def _kept() -> dict[str, tuple[int, bool]]:
    """Return by kind of device and step how many trials were worth it, and whether more may be."""
    try:
        found = json.loads(_file().read_text("utf-8"))["trials_at_once"]
        return {str(name): (int(limit), bool(is_open)) for name, (limit, is_open) in found.items() if int(limit) > 0}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _file() -> Path:
    return default_cache_dir() / "sharing.json"
