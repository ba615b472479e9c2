"""The level that a stage of a sequential design hands on, and how sure that choice is.

Shapes: K replicates, L levels that can be chosen, B resamples.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student_t

from cnnbench.stats.adaptive.scaled import scaled
from cnnbench.types import Choice, Refusal, Standing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.adaptive.scaled import Scaled
    from cnnbench.stats.interface import AnalysisInput
    from cnnbench.types import Level, Stage

RESAMPLES = 10_000


def choose(data: AnalysisInput, stage: Stage, preferred: Level, taken_at: str) -> Choice | Refusal:
    """Choose the level with the best mean of the first response, on the analysis scale.

    ``data`` holds the trials of the stage, with its factor alone. A level with a trial that failed cannot be chosen:
    its other trials are those that survived. Of equal means the ``preferred`` level (the baseline's) is taken, or else
    the first in the study's order.

    Raises:
        AnalysisError: As `analyse` does.
    """
    info, (factor,) = data.responses[0], data.factors
    assert info.higher_is_better is not None  # noqa: S101 - checked before the first trial
    taken = scaled(data, info)
    if isinstance(taken, Refusal):
        return taken
    sign = 1.0 if info.higher_is_better else -1.0
    standings = _standings(taken, stage, factor.name)
    able = [index for index, standing in enumerate(standings) if not standing.failed]
    if not able:
        return Refusal(
            f"the choice of {factor.name}",
            f"No level of {factor.name} has a result from all of its {len(stage.replicates)} trials.",
            "See why they failed, and run them again (`--retry-failed`).",
        )
    # First of equals: the preferred level, then the order of the study.
    able.sort(key=lambda index: (standings[index].level != preferred, index))
    y_KL = sign * np.column_stack([_values(taken, standings[index].level) for index in able])
    tiny = taken.cells.tiny
    mean_L = y_KL.mean(axis=0)
    share_L, optimism = _resampled(y_KL, tiny, paired=data.paired)
    p_L = p_best(y_KL, tiny, paired=data.paired)
    for place, index in enumerate(able):
        p = None if p_L is None else float(p_L[place])
        share = None if share_L is None else float(share_L[place])
        among = p is None or p >= data.analysis.alpha
        standings[index] = replace(standings[index], share=share, p_best=p, among_best=among)
    first, *others = np.flatnonzero(mean_L >= mean_L.max() - tiny)
    return Choice(
        taken_at=taken_at,
        factor=factor.name,
        level=standings[able[first]].level,
        held=stage.held,
        response=info.response.name,
        scale=taken.setting.scale,
        higher_is_better=info.higher_is_better,
        alpha=data.analysis.alpha,
        tied=tuple(standings[able[other]].level for other in others),
        optimism=optimism,
        standings=tuple(standings),
    )


def _standings(taken: Scaled, stage: Stage, factor: str) -> list[Standing]:
    found = []
    for cell in stage.cells:
        y_N = _values(taken, cell[factor])
        mean = float(y_N.mean()) + taken.cells.offset if len(y_N) else None
        sd = float(y_N.std(ddof=1)) if len(y_N) > 1 else None
        failed = len(stage.replicates) - len(y_N)
        found.append(Standing(cell[factor], len(y_N), failed, mean, sd, None, None, among_best=False))
    return found


def _values(taken: Scaled, level: Level) -> NDArray[np.float64]:
    """Return the values of a level by replicate, centred as all are; none where no trial finished."""
    levels = taken.cells.factors[0].levels
    if level not in levels:
        return np.empty(0)
    y_K = taken.cells.y_KM[:, levels.index(level)]
    return np.asarray(y_K[np.isfinite(y_K)])


def _resampled(
    y_KL: NDArray[np.float64], tiny: float, *, paired: bool
) -> tuple[NDArray[np.float64] | None, float | None]:
    """Return how often each level is the best over resamples of the seeds, and the winner's mean excess.

    The bootstrap's deviations are stretched by sqrt(K / (K - 1)), so that a mean has the variance s^2 / K (Rao & Wu
    1988, J. Am. Stat. Assoc. 83, 231-241). Shared seeds are drawn together, independent trials for each level apart.
    The excess of the winner's resampled mean over its mean is the bootstrap's estimate of the optimism of the winner
    (Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 10). The draws are the same in every run.
    """
    num_replicates, num_levels = y_KL.shape
    if num_replicates < 2:
        return None, None
    rng = np.random.default_rng(0)
    equal_K = np.full(num_replicates, 1 / num_replicates)
    mean_L = y_KL.mean(axis=0)
    drawn_BL = np.empty((RESAMPLES, num_levels))
    for place in range(num_levels):
        if place == 0 or not paired:
            weight_BK = rng.multinomial(num_replicates, equal_K, size=RESAMPLES) / num_replicates
        drawn_BL[:, place] = weight_BK @ y_KL[:, place]
    drawn_BL = mean_L + (drawn_BL - mean_L) * np.sqrt(num_replicates / (num_replicates - 1))
    best_B = np.argmax(drawn_BL >= drawn_BL.max(axis=1, keepdims=True) - tiny, axis=1)
    share_L = np.bincount(best_B, minlength=num_levels) / RESAMPLES
    excess_B = drawn_BL[np.arange(RESAMPLES), best_B] - mean_L[best_B]
    return share_L, float(excess_B.mean())


def p_best(y_KL: NDArray[np.float64], tiny: float, *, paired: bool) -> NDArray[np.float64] | None:
    """Return for each level the p of "no other level is better": multiple comparisons with the best.

    A level is held against each other one with a one-sided t (paired for shared seeds, else Welch's), and the smallest
    p counts L - 1 times (Bonferroni). So the truly best level is ruled out with probability alpha at most, whichever
    level looks best and however the levels differ in their spread. This is the subset of Hsu 1984 (Annals of
    Statistics 12, 1136-1144), with Bonferroni in place of Dunnett's constant, which supposes equal variances. A
    difference without any spread is not tested. None with one replicate.
    """
    num_replicates, num_levels = y_KL.shape
    if num_replicates < 2:
        return None
    p_L = np.ones(num_levels)
    for own in range(num_levels):
        for other in range(num_levels):
            if other != own:
                p = _p_better(y_KL[:, other], y_KL[:, own], tiny, paired=paired)
                p_L[own] = min(p_L[own], (num_levels - 1) * p)
    return p_L


def _p_better(first_K: NDArray[np.float64], second_K: NDArray[np.float64], tiny: float, *, paired: bool) -> float:
    """Return the one-sided p of "the first mean is not above the second"."""
    n = len(first_K)
    difference = float(first_K.mean() - second_K.mean())
    both_K = (first_K - second_K,) if paired else (first_K, second_K)
    parts = np.array([values_K.var(ddof=1) for values_K in both_K]) / n
    variance = float(parts.sum())
    if variance <= tiny**2 / n:
        return 1.0
    df = (n - 1) / float(((parts / variance) ** 2).sum())  # shares: the square of a tiny variance may be zero
    return float(student_t.sf(difference / variance**0.5, df))
