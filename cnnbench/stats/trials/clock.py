"""What measured times are worth: how much they differ between trials that do the same work, and who had the processor.

The intervals of a response that depends on time hold the spread between its trials, on one machine and beside whatever
else ran there. Other programs slow small networks and large ones, small images and large ones by different factors, so
that a busy machine may give another answer, with an interval just as narrow.

Shapes: N trials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnbench.types import Clock

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.interface import AnalysisInput
    from cnnbench.stats.trials.prepare import Trials
    from cnnbench.types import ResponseInfo

NOISY_SPREAD = 0.10
"""SD of the logarithms of training times within cells from which they are called noisy: 3 to 4 % on a quiet machine."""
NOISY_WAIT = 0.02
"""Share of training from which waiting for the processor makes times noisy: 0.02 % on a quiet machine."""


def read_clock(data: AnalysisInput, trials: Trials, info: ResponseInfo, kept_N: NDArray[np.bool_]) -> Clock | None:
    """Return what the clock was worth for a response; None where it uses no time, or where times are not recorded."""
    frame = data.trials
    if not info.uses_time or "train_s" not in frame.columns or not kept_N.any():
        return None
    seconds_N = frame["train_s"].to_numpy(dtype=np.float64)[kept_N]
    if not (np.isfinite(seconds_N) & (seconds_N > 0)).all():
        return None
    environment_N = np.unique(np.array(trials.environments, dtype=object)[kept_N].astype(str), return_inverse=True)[1]
    _, group_N, n_G = np.unique(
        np.stack([trials.cell_N[kept_N], environment_N]), axis=1, return_inverse=True, return_counts=True
    )
    log_N = np.log(seconds_N)
    left_N = log_N - (np.bincount(group_N, log_N) / n_G)[group_N]
    df = len(log_N) - len(n_G)
    waited = where = None
    if {"train_cpu_s", "device_type"} <= set(frame.columns) and (frame["device_type"][kept_N] == "cpu").all():
        waited_N = seconds_N - np.minimum(frame["train_cpu_s"].to_numpy(dtype=np.float64)[kept_N], seconds_N)
        waited = float(waited_N.sum() / seconds_N.sum())
        where = _furthest_apart(data, trials.cell_N[kept_N], waited_N, seconds_N)
    return Clock(
        spread=float(np.sqrt((left_N**2).sum() / df)) if df else None,
        slowest=float(np.exp(left_N.max())) if df else None,
        waited=waited,
        waited_by_level=where,
    )


def _furthest_apart(
    data: AnalysisInput, cell_N: NDArray[np.int64], waited_N: NDArray[np.float64], seconds_N: NDArray[np.float64]
) -> dict[str, float] | None:
    """Return the share of waiting at the two levels of one factor that differ most in it, by name and level."""
    shape = [len(factor.levels) for factor in data.factors]
    best: dict[str, float] | None = None
    for factor, level_N in zip(data.factors, np.unravel_index(cell_N, shape) if shape else (), strict=True):
        seen = np.unique(level_N)
        share = {
            f"{factor.name} {factor.levels[level]}": float(
                waited_N[level_N == level].sum() / seconds_N[level_N == level].sum()
            )
            for level in seen
        }
        low, high = min(share, key=lambda key: share[key]), max(share, key=lambda key: share[key])
        if best is None or share[high] - share[low] > max(best.values()) - min(best.values()):
            best = {low: share[low], high: share[high]} if low != high else best
    return best


def clock_note(clock: Clock) -> str:
    """Say what the times are worth."""
    sentences = []
    if clock.spread is not None and clock.slowest is not None:
        sentences.append(
            f"Trials of one cell do the same work; their training times differ by {_percent(clock.spread)} (SD), and "
            f"the slowest took {clock.slowest:.2f} times its cell's mean."
        )
    if clock.waited is not None:
        wait = f"Training waited for the processor, or for data, for {_percent(clock.waited)} of its time"
        if clock.waited >= NOISY_WAIT and clock.waited_by_level is not None:
            wait += ", from " + " to ".join(f"{_percent(share)} at {at}" for at, share in clock.waited_by_level.items())
        sentences.append(f"{wait}.")
    sentences.append(
        "Seconds are those of this machine and of what else it did; no interval here holds other machines."
    )
    return " ".join(sentences)


def noisy_sentence(clock: Clock) -> str | None:
    """Say beside the finding that its times were noisy; None where they were not."""
    if clock.waited is not None and clock.waited >= NOISY_WAIT:
        why = f"training waited for the processor, or for data, for {_percent(clock.waited)} of its time"
    elif clock.spread is not None and clock.spread >= NOISY_SPREAD:
        why = f"trials that do the same work differ by {_percent(clock.spread)} (SD) in training time"
    else:
        return None
    return f"The times are noisy: {why}; run the study again (`--fresh`) on a machine that does nothing else."


def _percent(share: float) -> str:
    if share < 0.001:
        return "less than 0.1 %"
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
