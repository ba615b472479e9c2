"""The variance budget: where the differences between trials of the same cell come from.

Shapes: K replicates, M cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.effects.estimate import welch
from cnnbench.stats.omnibus.within import complete_replicates
from cnnbench.types import Refusal, VarianceBudget, VarianceComponent

if TYPE_CHECKING:
    from cnnbench.stats.effects.answers import Draft
    from cnnbench.stats.omnibus.quasi_binomial import Counts
    from cnnbench.stats.trials.cells import CellData


def variance_budget(
    raw: CellData, counts: Counts | None, analysed: CellData | None, primary: Draft | None
) -> VarianceBudget | None:
    """Return the components, or None where nothing is replicated.

    ``raw`` is in the response's own unit, ``analysed`` on the analysis scale, on which the gain from pairing is taken.
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
    return VarianceBudget(tuple(components), gain, mean_examples, _population(raw))


def pairing_gain(data: CellData, primary: Draft) -> float | None:
    """Return the variance of the primary effect without pairing over that with it; None for independent trials."""
    if not data.paired or primary.found is None or primary.weights_M is None:
        return None
    unpaired = welch(data, primary.weights_M, "")
    return None if isinstance(unpaired, Refusal) else (unpaired.se / primary.found.se) ** 2


def intraclass_correlation(data: CellData) -> float | None:
    """Return how alike trials with the same seeds are, ICC(3, 1) of Shrout & Fleiss (1979, Psychol. Bull. 86, 420-428).

    With mean squares of seeds and of the seed-by-cell residual over M cells, (MS_s - MS_e) / (MS_s + (M - 1) MS_e).
    """
    squares = _mean_squares(data)
    if squares is None:
        return None
    ms_seed, ms_error, (_, num_cells) = squares
    total = ms_seed + (num_cells - 1) * ms_error
    return (ms_seed - ms_error) / total if total > data.tiny**2 else None


def _mean_squares(data: CellData) -> tuple[float, float, tuple[int, int]] | None:
    """Return the mean squares of seeds and of seeds by cells over complete replicates, and their shape (K, M)."""
    y_KM = complete_replicates(data)
    num_replicates, num_cells = y_KM.shape
    if num_replicates < 2 or num_cells < 2:
        return None
    seed_K = y_KM.mean(axis=1)
    ms_seed = num_cells * float(seed_K.var(ddof=1))
    residual_KM = y_KM - y_KM.mean(axis=0) - seed_K[:, None] + y_KM.mean()
    ms_error = float((residual_KM**2).sum()) / ((num_replicates - 1) * (num_cells - 1))
    return ms_seed, ms_error, (num_replicates, num_cells)


def _paired(raw: CellData) -> list[VarianceComponent]:
    squares = _mean_squares(raw)
    if squares is None:
        return []
    ms_seed, ms_error, (num_replicates, num_cells) = squares
    seed = (ms_seed - ms_error) / num_cells  # method of moments, Searle, Casella & McCulloch 1992, section 4.3
    return [
        _component(
            "seed", seed, num_replicates - 1, "what trials with the same seeds have in common; pairing removes it"
        ),
        _component(
            "residual",
            ms_error,
            (num_replicates - 1) * (num_cells - 1),
            "what is left between trials with the same seeds: the noise of every comparison",
        ),
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


def _population(raw: CellData) -> str:
    what = "further seeds" if raw.paired else "further trials"
    return f"The findings hold for {what} of these cells, on these data; they say nothing about other data."
