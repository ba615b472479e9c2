"""What measured times are worth: how much they differ between trials that do the same work, and who had the processor.

The intervals of a response that depends on time hold the spread between its trials, on one machine and beside whatever
else ran there. Other programs slow small networks and large ones, small images and large ones by different factors, so
that a busy machine may give another answer, with an interval just as narrow.

Shapes: N trials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.trials.cells import grid, level_text
from cnnbench.types import Clock

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.interface import AnalysisInput
    from cnnbench.stats.trials.prepare import Trials
    from cnnbench.types import ResponseInfo

NOISY_SPREAD = 0.10
"""SD of the logarithms of times within cells from which they are called noisy: 3 to 4 % on a quiet machine."""
NOISY_WAIT = 0.02
"""Share of training from which waiting for the processor makes times noisy: 0.02 % on a quiet machine."""
NOISY_DIFFERENCE = 0.01
"""The same between two levels of a factor, whose comparison is off by as much."""
NOISY_CELL = 0.05
"""The same of one cell."""
_SWEEPS = 50
"""Means of cells and of replicates are taken out in turn; where the grid is complete, once is enough."""


def read_clock(data: AnalysisInput, trials: Trials, info: ResponseInfo, kept_N: NDArray[np.bool_]) -> Clock | None:
    """Return what the clock was worth for a response; None where it uses no time, or where times are not recorded."""
    frame = data.trials
    name = "total_s" if info.response.metric == "total_s" else "train_s"
    if not info.uses_time or name not in frame.columns or not kept_N.any():
        return None
    seconds_N = frame[name].to_numpy(dtype=np.float64)[kept_N]
    if not (np.isfinite(seconds_N) & (seconds_N > 0)).all():
        return None
    environment_N = np.unique(np.array(trials.environments, dtype=object)[kept_N].astype(str), return_inverse=True)[1]
    _, group_N = np.unique(np.stack([trials.cell_N[kept_N], environment_N]), axis=1, return_inverse=True)
    replicate_N = np.unique(trials.replicate_N[kept_N], return_inverse=True)[1] if data.paired else None
    waited, by_level, by_cell = _waiting(data, trials.cell_N[kept_N], kept_N)
    return Clock(
        seconds=name,
        within_replicates=data.paired,
        spread=_spread(np.log(seconds_N), group_N, replicate_N),
        slowest=_slowest(seconds_N, group_N),
        waited=waited,
        waited_by_level=by_level,
        waited_most=by_cell,
    )


def _spread(
    log_N: NDArray[np.float64], group_N: NDArray[np.int64], replicate_N: NDArray[np.int64] | None
) -> float | None:
    """Return the SD within groups, without what whole replicates have in common; None where nothing is left."""
    n_G = np.bincount(group_N)
    df = len(log_N) - len(n_G)
    left_N = log_N - (np.bincount(group_N, log_N) / n_G)[group_N]
    if replicate_N is not None and len(np.unique(replicate_N)) > 1:
        n_K = np.bincount(replicate_N)
        df -= len(n_K) - 1
        for _ in range(_SWEEPS):
            left_N = left_N - (np.bincount(replicate_N, left_N) / n_K)[replicate_N]
            left_N = left_N - (np.bincount(group_N, left_N) / n_G)[group_N]
    return float(np.sqrt((left_N**2).sum() / df)) if df > 0 else None


def _slowest(seconds_N: NDArray[np.float64], group_N: NDArray[np.int64]) -> float | None:
    """Return the longest time over the median of its group; None where no group has two."""
    groups = [seconds_N[group_N == group] for group in np.flatnonzero(np.bincount(group_N) > 1)]
    return max((float(own.max() / np.median(own)) for own in groups), default=None)


def _waiting(
    data: AnalysisInput, cell_N: NDArray[np.int64], kept_N: NDArray[np.bool_]
) -> tuple[float | None, dict[str, float] | None, dict[str, float] | None]:
    """Return the share of training in which the thread had no processor: of all, at two levels, and of a cell.

    The levels are those of one factor that differ most in it, the lower one first; the cell is the one with the most.
    """
    frame = data.trials
    if not {"train_s", "train_cpu_s", "device_type"} <= set(frame.columns):
        return None, None, None
    if not (frame["device_type"][kept_N] == "cpu").all():  # beside a GPU the processor waits as it should
        return None, None, None
    seconds_N, cpu_N = (frame[name].to_numpy(dtype=np.float64)[kept_N] for name in ("train_s", "train_cpu_s"))
    waited_N = seconds_N - np.minimum(cpu_N, seconds_N)

    def share(which_N: NDArray[np.bool_]) -> float:
        return float(waited_N[which_N].sum() / seconds_N[which_N].sum())

    level_FN = np.unravel_index(cell_N, [len(factor.levels) for factor in data.factors]) if data.factors else ()
    levels: dict[str, float] | None = None
    for factor, level_N in zip(data.factors, level_FN, strict=True):
        own = {f"{factor.name} {level_text(factor.levels[i])}": share(level_N == i) for i in np.unique(level_N)}
        low, high = min(own, key=lambda key: own[key]), max(own, key=lambda key: own[key])
        if low != high and (levels is None or own[high] - own[low] > max(levels.values()) - min(levels.values())):
            levels = {low: own[low], high: own[high]}
    seconds_M = np.bincount(cell_N, seconds_N)
    share_M = np.bincount(cell_N, waited_N) / np.where(seconds_M > 0, seconds_M, 1.0)
    most = int(share_M.argmax())
    where = ", ".join(f"{name} {level_text(level)}" for name, level in grid(data.factors)[most].items())
    return float(waited_N.sum() / seconds_N.sum()), levels, {where: float(share_M[most])} if where else None


def clock_note(clock: Clock) -> str:
    """Say what the times are worth."""
    times = _times(clock)
    if clock.spread is not None and clock.slowest is not None:
        apart = "apart from what slowed whole replicates, " if clock.within_replicates else ""
        differ = f"Trials of one cell do the same work; {apart}their {times} differ by {_percent(clock.spread)} (SD)."
        sentences = [f"{differ} The slowest took {clock.slowest:.2f} times the median of its cell."]
    else:
        sentences = [f"How much {times} differ between trials that do the same work cannot be told from so few."]
    if clock.waited is not None:
        wait = f"Training waited for the processor, or for data, for {_percent(clock.waited)} of its time"
        if clock.waited_by_level is not None and (clock.waited >= NOISY_WAIT or _difference(clock) >= NOISY_DIFFERENCE):
            wait += ", from " + " to ".join(f"{_percent(share)} at {at}" for at, share in clock.waited_by_level.items())
        if (most := _most(clock)) is not None:
            wait += f"; the most was {most}"
        sentences.append(f"{wait}.")
    sentences.append(
        "Seconds belong to where they were measured, and to what else ran there; no interval holds others."
    )
    return " ".join(sentences)


def noisy_sentence(clock: Clock) -> str | None:
    """Say beside the finding that its times were noisy; None where they were not."""
    levels = list((clock.waited_by_level or {}).items())
    if levels and _difference(clock) >= NOISY_DIFFERENCE:
        (low, less), (high, more) = levels
        why = f"training waited for the processor, or for data, for {_percent(more)} of its time at {high} and for "
        why += f"{_percent(less)} at {low}"
    elif clock.waited is not None and clock.waited >= NOISY_WAIT:
        why = f"training waited for the processor, or for data, for {_percent(clock.waited)} of its time"
    elif (most := _most(clock)) is not None:
        why = f"training waited for the processor, or for data, for {most}"
    elif clock.spread is not None and clock.spread >= NOISY_SPREAD:
        why = f"trials that do the same work differ by {_percent(clock.spread)} (SD) in their {_times(clock)}"
    else:
        return None
    return f"The times are noisy: {why}; run the study again, with --fresh, on a machine that does nothing else."


def _times(clock: Clock) -> str:
    return "total times" if clock.seconds == "total_s" else "training times"


def _difference(clock: Clock) -> float:
    shares = (clock.waited_by_level or {}).values()
    return max(shares) - min(shares) if shares else 0.0


def _most(clock: Clock) -> str | None:
    """Return the share of the cell that waited most, and its name; None where it is not worth telling."""
    for cell, share in (clock.waited_most or {}).items():
        if share >= NOISY_CELL:
            return f"{_percent(share)} of the time of {cell}"
    return None


def _percent(share: float) -> str:
    if share < 0.001:
        return "less than 0.1 %"
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"
