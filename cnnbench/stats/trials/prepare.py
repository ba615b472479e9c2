"""From the table of trials to the values of one response: checks, selection, scale.

Shapes: N trials.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from cnnbench.errors import AnalysisError
from cnnbench.stats.trials.cells import level_index, level_text
from cnnbench.types import Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.interface import AnalysisInput
    from cnnbench.types import Factor, ResponseInfo

Scale = Literal["raw", "log", "logit"]

SMALLEST, LARGEST = 1e-60, 1e60
"""Between these, squares of variances and their sums are numbers, those of small differences, too."""
_NO_COUNT = 0.2
"""Shares are often rounded to four digits; a product further from a whole number than this is no count."""


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """The checked table."""

    ids: tuple[str, ...]
    cell_N: NDArray[np.int64]
    """Index in the full grid of the study's factors, the last factor varying fastest."""
    replicate_N: NDArray[np.int64]
    concurrent_N: NDArray[np.bool_]
    """Whether the trial ran beside others on its device."""
    reused_N: NDArray[np.bool_]
    """Whether features of frozen layers were computed by another trial, so that its training time lacks them."""
    environments: tuple[str, ...]
    """One per trial."""


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The trials of one response that can be analysed."""

    kept_N: NDArray[np.bool_]
    y_N: NDArray[np.float64]
    """Response of all trials in its own unit."""
    refusals: tuple[Refusal, ...]


def read_trials(data: AnalysisInput) -> Trials:
    """Check the table and number its cells.

    Raises:
        AnalysisError: A column is missing or holds no numbers, a level is unknown, or a trial is there twice.
    """
    frame = data.trials
    needed = ["trial_id", "replicate", "concurrent_trials", "environment_key"]
    needed += [factor.name for factor in data.factors] + [info.response.name for info in data.responses]
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise AnalysisError(
            f"The table of trials lacks the column `{missing[0]}`; read the trials again from the store."
        )
    cell_N = np.zeros(len(frame), dtype=np.int64)
    for factor in data.factors:
        cell_N = cell_N * len(factor.levels) + _level_indices(frame[factor.name], factor)
    replicate_N = _numbers(frame, "replicate").astype(np.int64)
    trials = Trials(
        tuple(str(value) for value in frame["trial_id"]),
        cell_N,
        replicate_N,
        _numbers(frame, "concurrent_trials") > 1,
        _numbers(frame, "features_reused") > 0 if "features_reused" in frame else np.zeros(len(frame), dtype=np.bool_),
        tuple(str(value) for value in frame["environment_key"]),
    )
    places = np.stack([cell_N, replicate_N])
    if np.unique(places, axis=1).shape[1] < len(frame):
        raise AnalysisError("Two trials of the table are the same replicate of the same cell; keep one of them.")
    return trials


def _level_indices(column: pd.Series, factor: Factor) -> NDArray[np.int64]:
    by_text = {level_text(level): index for index, level in enumerate(factor.levels)}
    values = column.tolist()
    found = {}
    for key in {(type(value), value) for value in values}:
        index = level_index(factor, key[1])
        index = by_text.get(level_text(key[1])) if index is None else index
        if index is None:
            raise AnalysisError(
                f"A trial has level `{key[1]}` of factor `{factor.name}`, which the study does not name; "
                f"its levels are {', '.join(f'`{level}`' for level in factor.levels)}."
            )
        found[key] = index
    return np.array([found[type(value), value] for value in values], dtype=np.int64)


def _numbers(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    try:
        return np.asarray(pd.to_numeric(frame[name]), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise AnalysisError(f"The column `{name}` of the table of trials holds something that is no number.") from error


def select(data: AnalysisInput, trials: Trials, info: ResponseInfo) -> Selection:
    """Return which trials count for a response, and a refusal for each reason to leave some out."""
    name = info.response.name
    y_N = _numbers(data.trials, name)
    finite_N = np.isfinite(y_N)
    kept_N = finite_N.copy()
    refusals = []
    if not finite_N.all():
        refusals.append(
            Refusal(
                f"{name} of {_count(~finite_N)}",
                f"The value is not finite, and it is left out: {_named(trials, ~finite_N)}.",
                "See why these trials gave no number; a diverged training belongs among the failures.",
            )
        )
    beside_N = trials.concurrent_N & finite_N
    if info.uses_time and beside_N.any():
        kept_N &= ~trials.concurrent_N
        refusals.append(
            Refusal(
                f"{name} of {_count(beside_N)}",
                "It depends on measured time and the trial ran beside others on its device, so it is left out: "
                f"{_named(trials, beside_N)}.",
                'Rerun with `timing = "exclusive"` in `[design]`.',
            )
        )
    reused_N = trials.reused_N & kept_N
    if info.uses_time and reused_N.any():
        kept_N &= ~reused_N
        refusals.append(
            Refusal(
                f"{name} of {_count(reused_N)}",
                "It depends on measured time and the trial took the features of its frozen layers from another one, so "
                f"it is left out: {_named(trials, reused_N)}.",
                'Rerun with `timing = "exclusive"` in `[design]`.',
            )
        )
    return Selection(kept_N, y_N, tuple(refusals))


def within_arithmetic(selection: Selection, name: str) -> tuple[Selection, Refusal | None]:
    """Return the selection, or an empty one and why: squares of such responses are no numbers, or zero."""
    largest = float(np.abs(selection.y_N[selection.kept_N]).max(initial=0.0))
    if largest == 0 or SMALLEST <= largest <= LARGEST:
        return selection, None
    why = f"Its largest value is {largest:.3g} in size, and squares of such numbers cannot be computed."
    remedy = "Give it in another unit; a diverged training belongs among the failures."
    empty = replace(selection, kept_N=np.zeros_like(selection.kept_N))
    return empty, Refusal(f"analysis of {name}", why, remedy)


def _count(which_N: NDArray[np.bool_]) -> str:
    number = int(which_N.sum())
    return f"{number} trial{'s' if number > 1 else ''}"


def _named(trials: Trials, which_N: NDArray[np.bool_]) -> str:
    ids = [trials.ids[i][:12] for i in np.flatnonzero(which_N)]
    return ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")


def scale_for(data: AnalysisInput, info: ResponseInfo) -> tuple[Scale, str]:
    """Return the analysis scale of a response and, where it is not the study's, a note.

    The study's scale is meant for its own response. A further response whose metric declares bounds that do not fit is
    analysed as it is; that is decided by the declaration, never by the values.
    """
    wanted: Scale = data.analysis.scale
    if wanted == "raw" or info is data.responses[0]:
        return wanted, ""
    fits = info.bounded == "unit" or (wanted == "log" and info.bounded == "positive")
    if fits:
        return wanted, ""
    return "raw", f"Analysed on its own scale: the {wanted} scale of the study does not suit the bounds of this metric."


def examples_of(data: AnalysisInput, info: ResponseInfo) -> NDArray[np.float64] | None:
    """Return the evaluated examples behind each trial, or None where they or their meaning are not known.

    Raises:
        AnalysisError: A value times its number of examples is no count, though the response is said to be a share.
    """
    if not info.share_of_examples or "num_examples" not in data.trials.columns:
        return None
    num_N = _numbers(data.trials, "num_examples")
    if not (np.isfinite(num_N) & (num_N >= 1)).all():
        return None
    correct_N = _numbers(data.trials, info.response.name) * num_N
    for index in np.flatnonzero(np.abs(correct_N - np.round(correct_N)) > _NO_COUNT):
        trial, value = data.trials["trial_id"].iloc[index], correct_N[index] / num_N[index]
        raise AnalysisError(
            f"{trial}: {info.response.name} {value:.6g} of {num_N[index]:g} examples is no whole number of them; "
            "check the number of examples, or leave it out."
        )
    return num_N


def margin_for(data: AnalysisInput, info: ResponseInfo, scale: Scale) -> float | None:
    """Return the smallest effect of interest where it means something for this response.

    It is declared in units of the study's response on the study's scale. Relative units (log, logit) carry over to
    other responses on that scale, absolute ones to responses of the same unit and bounds.
    """
    main = data.responses[0]
    if scale != data.analysis.scale:
        return None
    same = scale != "raw" or (info.unit, info.bounded) == (main.unit, main.bounded)
    return data.analysis.equivalence_margin if same else None


def to_scale(
    y_N: NDArray[np.float64], scale: Scale, name: str, num_N: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], str] | Refusal:
    """Transform a response, and say what was done to values on a bound.

    ``logit`` of shares of ``num_N`` examples: the empirical logit log((k + 1/2) / (n - k + 1/2)) (Haldane 1956, Ann.
    Hum. Genet. 20, 309-311; Anscombe 1956, Biometrika 43, 461-464). Where n is not known: log(y / (1 - y)), with values
    of exactly 0 or 1 first moved inwards by half the smallest distance from a bound that occurs among the others; for
    fractions k / n that is at least half an example.
    """
    if scale == "raw":
        return y_N, ""
    if scale == "log":
        if (y_N > 0).all():
            return np.log(y_N), ""
        why = f"The log scale needs positive values; {int((y_N <= 0).sum())} trial(s) have {name} <= 0."
        return Refusal(f"analysis of {name}", why, 'Use `scale = "raw"` in `[analysis]`.')
    if ((y_N < 0) | (y_N > 1)).any():
        why = "The logit scale needs fractions between 0 and 1."
        return Refusal(f"analysis of {name}", why, 'Use `scale = "raw"` or `"log"` in `[analysis]`.')
    if num_N is not None:
        correct_N = np.round(y_N * num_N)
        return np.log((correct_N + 0.5) / (num_N - correct_N + 0.5)), ""
    return _logit(y_N, name)


def _logit(y_N: NDArray[np.float64], name: str) -> tuple[NDArray[np.float64], str] | Refusal:
    distance_N = np.minimum(y_N, 1 - y_N)
    bound_N = distance_N == 0
    if bound_N.all():
        why = "Every trial lies on 0 or 1, where the logit is infinite."
        return Refusal(f"analysis of {name}", why, 'Use `scale = "raw"` in `[analysis]`.')
    note = ""
    if bound_N.any():
        step = float(distance_N[~bound_N].min()) / 2
        y_N = np.clip(y_N, step, 1 - step)
        note = f"{_count(bound_N)} on 0 or 1 moved inwards by {step:.3g} before the logit."
    return np.log(y_N / (1 - y_N)), note
