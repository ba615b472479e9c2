"""The variance budget: where the differences between trials of the same cell come from.

Shapes: K replicates, M cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import f as f_distribution

from cnnbench.stats.effects.estimate import welch
from cnnbench.stats.omnibus.within import complete_blocks
from cnnbench.types import Interval, Refusal, VarianceBudget, VarianceComponent

if TYPE_CHECKING:
    from cnnbench.stats.effects.answers import Draft
    from cnnbench.stats.omnibus.quasi_binomial import Counts
    from cnnbench.stats.trials.cells import CellData


@dataclass(frozen=True, slots=True)
class _Squares:
    ms_seed: float
    ms_error: float
    num_cells: int
    """Of a seed."""
    df_seed: int
    df_error: int


def variance_budget(
    raw: CellData, counts: Counts | None, analysed: CellData | None, primary: Draft | None, population: str
) -> VarianceBudget | None:
    """Return the components, or None where nothing is replicated.

    ``raw`` is in the response's own unit, ``analysed`` on the analysis scale, on which the gain from pairing is taken.
    ``population`` says what the findings generalise to.
    """
    if not raw.replicated:
        return None
    components = _paired(raw) if raw.paired else [_between_trials(raw)]
    if not components:
        return None
    mean_examples = None
    if counts is not None:
        components.append(_examples(counts))
        mean_examples = float(np.nanmean(counts.num_KM))
    gain = None if analysed is None or primary is None else pairing_gain(analysed, primary)
    num, interval = (None, None) if gain is None else gain
    return VarianceBudget(tuple(components), num, mean_examples, population, interval)


def pairing_gain(data: CellData, primary: Draft, level: float = 0.95) -> tuple[float, Interval] | None:
    """Return the variance of the primary effect without pairing over that with it; None for independent trials.

    The interval takes the two variances for independent, so that their ratio over the true one follows F with the
    degrees of freedom of both (those of the unpaired one by Satterthwaite): what few seeds cannot tell shows in it.
    """
    if not data.paired or primary.found is None or primary.weights_M is None:
        return None
    unpaired = welch(data, primary.weights_M, "")
    if isinstance(unpaired, Refusal):
        return None
    gain, tail = (unpaired.se / primary.found.se) ** 2, (1 - level) / 2
    low, high = (gain / float(f_distribution.ppf(p, unpaired.df, primary.found.df)) for p in (1 - tail, tail))
    return gain, Interval(low, high, level)


def intraclass_correlation(data: CellData) -> float | None:
    """Return how alike trials with the same seeds are, ICC(3, 1) of Shrout & Fleiss (1979, Psychol. Bull. 86, 420-428).

    With mean squares of seeds and of the seed-by-cell residual over M cells, (MS_s - MS_e) / (MS_s + (M - 1) MS_e).
    """
    squares = _mean_squares(data)
    if squares is None:
        return None
    total = squares.ms_seed + (squares.num_cells - 1) * squares.ms_error
    return (squares.ms_seed - squares.ms_error) / total if total > data.tiny**2 else None


def _mean_squares(data: CellData) -> _Squares | None:
    """Return the mean squares over complete seeds; those that are nested in a factor within its levels."""
    blocks = complete_blocks(data)
    df_seed = 0 if blocks is None else len(blocks.y_KJ) - len(blocks.size_G)
    if blocks is None or df_seed < 1 or blocks.y_KJ.shape[1] < 2:
        return None
    num_cells = blocks.y_KJ.shape[1]
    mean_GJ = np.stack([blocks.y_KJ[blocks.plot_K == plot].mean(axis=0) for plot in range(len(blocks.size_G))])
    centred_KJ = blocks.y_KJ - mean_GJ[blocks.plot_K]
    seed_K = centred_KJ.mean(axis=1)
    df_error = df_seed * (num_cells - 1)
    ms_seed = num_cells * float((seed_K**2).sum()) / df_seed
    ms_error = float(((centred_KJ - seed_K[:, None]) ** 2).sum()) / df_error
    return _Squares(ms_seed, ms_error, num_cells, df_seed, df_error)


def _paired(raw: CellData) -> list[VarianceComponent]:
    squares = _mean_squares(raw)
    if squares is None:
        return []
    # Method of moments: Searle, Casella & McCulloch 1992, Variance Components, section 4.3.
    seed = (squares.ms_seed - squares.ms_error) / squares.num_cells
    common = "what trials with the same seeds have in common; pairing removes it"
    rest = "what is left between trials with the same seeds: the noise of every comparison"
    return [
        _component("seed", seed, squares.df_seed, common),
        _component("residual", squares.ms_error, squares.df_error, rest),
    ]


def _between_trials(raw: CellData) -> VarianceComponent:
    variance = raw.ss_within / raw.df_within
    return _component("seed", variance, raw.df_within, "differences between trials of the same cell, pooled over cells")


def _examples(counts: Counts) -> VarianceComponent:
    """Return the binomial variance p (1 - p) / n of a trial's share, averaged over trials."""
    share_KM = counts.correct_KM / counts.num_KM
    return VarianceComponent(
        "examples",
        variance := float(np.nanmean(share_KM * (1 - share_KM) / counts.num_KM)),
        variance**0.5,
        None,
        "what the choice of the evaluated examples alone would do; a part of the above where each seed draws its own "
        "split, on top of it where all trials are evaluated on the same examples",
    )


def _component(name: str, variance: float, df: float, meaning: str) -> VarianceComponent:
    return VarianceComponent(name, variance, max(0.0, variance) ** 0.5, df, meaning)


def seeds_population(raw: CellData, *, timed: bool) -> str:
    """Return what findings over seeds hold for; ``timed`` is whether the response depends on a machine's time."""
    what = "further seeds" if raw.paired else "further trials"
    on, others = ("these data and where they were timed", "data or machines") if timed else ("these data", "data")
    return f"The findings hold for {what} of these cells, on {on}; they say nothing about other {others}."
