"""In which order trials are given to workers, and how long that takes.

Replicate by replicate, so that a study that is interrupted has whole replicates to compare cells in; within a replicate
longest trials first, so that its end is made of short ones. Towards the end of the study the last replicates are put
together, as many as it takes to keep all workers busy (docs/decisions/0027-whole-replicates-then-longest-first.md).
"""

from __future__ import annotations

import heapq
import json
import math
import statistics
from typing import TYPE_CHECKING

from cnnbench.data import default_cache_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from cnnbench.types import Level, Trial, TrialResult

_GUESSED_FLOPS_PER_S = 2e10
"""For the first estimate on a machine where nothing has run yet: small nets on one core of a present CPU."""
_WORTH_WAITING = 1.02
"""Whole replicates may make a study longer by this factor."""


class Pace:
    """How long trials take: as they did on this machine before, until this run has measured it itself."""

    def __init__(self, device_type: str, known: Mapping[str, float]) -> None:
        self._device_type = device_type
        self._known = dict(known)
        """Floating-point operations per second, by kind of trial."""
        self._rates: dict[str, list[float]] = {}
        self._seconds: dict[tuple[tuple[str, Level], ...], list[float]] = {}

    @classmethod
    def of_machine(cls, device_type: str) -> Pace:
        """Return what earlier runs on this machine have left."""
        return cls(device_type, _known_rates())

    def learn(self, result: TrialResult) -> None:
        """Take down how long a trial took."""
        trial, seconds = result.trial, result.cost.total_s
        kind = _kind(result.environment["device_type"], trial.flops)
        # Of trials that shared a GPU, what it did for all of them: a later run is planned as one after another.
        shared = result.cost.concurrent_trials if result.environment["device_type"] != "cpu" else 1
        self._rates.setdefault(kind, []).append(shared * trial.flops / seconds)
        self._seconds.setdefault(tuple(trial.cell.items()), []).append(seconds)
        self._known[kind] = statistics.median(self._rates[kind])

    def seconds(self, trial: Trial) -> float:
        """Return how long a trial is expected to take: as others of its cell, else as others of its size."""
        measured = self._seconds.get(tuple(trial.cell.items()))
        if measured:
            return statistics.fmean(measured)
        alike, larger, smaller = (self._known.get(_kind(self._device_type, trial.flops, step)) for step in (0, 1, -1))
        # Smaller trials spend much of their time on other things: their rate says what this one reaches at least.
        return trial.flops / (alike or larger or max(smaller or 0.0, _GUESSED_FLOPS_PER_S))

    def remember(self) -> None:
        """Leave what this run has measured to later ones."""
        if not self._rates:
            return
        known = _known_rates() | {kind: self._known[kind] for kind in self._rates}
        try:
            _rate_file().write_text(json.dumps({"flops_per_s": known}), "utf-8")
        except OSError:
            return  # the estimate stays a guess; nothing depends on it


def _known_rates() -> dict[str, float]:
    try:
        return {kind: float(rate) for kind, rate in json.loads(_rate_file().read_text("utf-8"))["flops_per_s"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _rate_file() -> Path:
    return default_cache_dir() / "rate.json"


def _kind(device_type: str, flops: float, larger: int = 0) -> str:
    """Name the trials whose rate is about the same: small ones spend their time on other things than arithmetic."""
    return f"{device_type} 1e{round(math.log10(max(flops, 1.0))) + larger}"


def makespan_s(seconds: Iterable[float], num_workers: int, busy_s: Sequence[float] = ()) -> float:
    """Return when the last of some trials is done, seconds from now: whoever is free takes the next one.

    ``busy_s`` says how long workers still need for what they are doing; the others are free.
    """
    free_at = [*busy_s, *([0.0] * (num_workers - len(busy_s)))]
    heapq.heapify(free_at)
    for each in seconds:
        heapq.heapreplace(free_at, free_at[0] + each)
    return max(free_at)


def in_order(
    trials: Sequence[Trial], seconds_of: Callable[[Trial], float], num_workers: int, *, timed: bool
) -> tuple[Trial, ...]:
    """Return trials in the order in which workers take them.

    The last replicates are put together where whole ones would take over 2 % longer: as few of them as will do.
    Trials whose time is measured come replicate by replicate, within each in the order of their ids: as if drawn by
    lot, so that neither a drift of the machine nor the trial before favours a cell, and the same whenever it goes on.
    """
    groups: dict[int, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.replicate, []).append(trial)
    replicates = [groups[number] for number in sorted(groups)]
    if timed:
        return tuple(trial for group in replicates for trial in sorted(group, key=lambda trial: trial.id))
    expected = {trial.id: seconds_of(trial) for trial in trials}
    found: list[tuple[float, list[Trial]]] = []
    together = 1
    while replicates and (not found or together < 2 * len(replicates)):
        cut = max(0, len(replicates) - together)
        parts = [*replicates[:cut], [trial for group in replicates[cut:] for trial in group]]
        order = [one for part in parts for one in sorted(part, key=lambda trial: expected[trial.id], reverse=True)]
        found.append((makespan_s((expected[trial.id] for trial in order), num_workers), order))
        together *= 2
    shortest = min((length for length, _ in found), default=0.0)
    return next((tuple(order) for length, order in found if length <= _WORTH_WAITING * shortest), ())
