"""Replicates in which every cell shares its seed: one value for each of them, and what stands beside its t.

Shapes: K replicates, M cells of the grid.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.effects.estimate.value import Estimate
from cnnbench.stats.trials.cells import NO_NOISE_REMEDY, block_word, blocks_word, more_blocks
from cnnbench.types import Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.trials.cells import CellData


FEWEST_FOR_SIGN_FLIP = 6
"""With 5 replicates the smallest two-sided p of the exact test is 2 / 2^5 = 0.0625."""


MOST_FOR_SIGN_FLIP = 32
"""Beyond, the enumeration takes long and the t test is hardly sensitive to the distribution."""


MOST_NAMED = 20
"""More incomplete replicates than this are counted, not named."""


def paired(data: CellData, weights_M: NDArray[np.float64], what: str) -> Estimate | Refusal:
    """Estimate by the one-sample t over the per-seed values; in a two-stage design with the spread of its pilot."""
    scores_K, labels = per_seed(data, weights_M)
    n = len(scores_K)
    if n < 2:
        return Refusal(
            what,
            f"Only {n} {block_word(data)}(s) have a trial in every cell that it needs; at least 2 are needed.",
            more_blocks(data),
        )
    sd = float(scores_K.std(ddof=1))
    if sd <= data.tiny:
        return Refusal(
            what,
            f"All {n} {blocks_word(data)} give the same value, {scores_K.mean():.4g}, so there is no noise to test "
            "against.",
            NO_NOISE_REMEDY,
        )
    contrast = abs(float(weights_M.sum())) < 1e-9
    flip = sign_flip_p(scores_K) if contrast else None
    pilot_K = scores_K[np.isin(labels, data.pilot)]
    pilot_sd = float(pilot_K.std(ddof=1)) if len(pilot_K) > 1 else 0.0
    if pilot_sd > data.tiny:  # Stein 1945: the spread that decided n is the pilot's, and so is that of the interval
        sd, df = pilot_sd, len(pilot_K) - 1
        how = f"Stein's two-stage t over the per-seed values of {n} replicates, with the spread of the pilot's {df + 1}"
    else:
        df, how = n - 1, f"one-sample t over the per-{data.block} values of {n} {blocks_word(data)}"
    return Estimate(
        float(scores_K.mean()),
        sd / n**0.5,
        df,
        n,
        n,
        f"{how}{left_out(data, np.isin(data.replicates, labels))}",
        flip,
        "exact sign-flip test" if flip is not None else "",
    )


def per_seed(data: CellData, weights_M: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[int | str, ...]]:
    """Return the weighted sum of each replicate that has every cell it needs, and these replicates' labels."""
    used_M = np.abs(weights_M) > 1e-12
    complete_K = data.complete_rows(used_M)
    scores_K = data.y_KM[complete_K][:, used_M] @ weights_M[used_M] + data.offset * float(weights_M.sum())
    return scores_K, tuple(label for label, kept in zip(data.replicates, complete_K, strict=True) if kept)


def complete_only(data: CellData, weights_M: NDArray[np.float64]) -> Estimate | None:
    """Return the one-sample t over the blocks that have every cell of the grid that has trials.

    None where that is the estimate itself: every block that has the cells with weight has the others, too. A slope
    gives the middle of three levels no weight, so a block may lack that cell and still count in the estimate.
    """
    if not data.paired or data.nested or not data.replicated or data.pilot:
        return None
    complete_K = data.complete_rows(data.seen_M)
    if (complete_K == data.complete_rows(np.abs(weights_M) > 1e-12)).all():
        return None
    found = paired(replace(data, y_KM=np.where(complete_K[:, None], data.y_KM, np.nan)), weights_M, "")
    return None if isinstance(found, Refusal) else found


def left_out(data: CellData, complete_K: NDArray[np.bool_]) -> str:
    """Name the replicates that are not complete, as the end of a method's name."""
    labels = [label for label, kept in zip(data.replicates, complete_K, strict=True) if not kept]
    if not labels:
        return ""
    named = (
        f"{block_word(data)} {', '.join(map(str, labels))}"
        if len(labels) <= MOST_NAMED
        else f"{len(labels)} {blocks_word(data)}"
    )
    return f"; incomplete and left out: {named}"


def sign_flip_p(scores_K: NDArray[np.float64]) -> float | None:
    """Return the exact two-sided p of the mean under all 2^K changes of sign (Fisher 1935, The Design of Experiments).

    Every sign pattern is counted, by splitting the scores into halves whose 2^(K/2) sums are enumerated and matched.
    None below 6 replicates, where p < 0.05 is out of reach, and above 32.
    """
    if not FEWEST_FOR_SIGN_FLIP <= len(scores_K) <= MOST_FOR_SIGN_FLIP:
        return None
    half = len(scores_K) // 2
    first, second = _signed_sums(scores_K[:half]), np.sort(_signed_sums(scores_K[half:]))
    threshold = abs(float(scores_K.sum())) - 1e-10 * float(np.abs(scores_K).sum())
    above = len(second) - np.searchsorted(second, threshold - first, side="left")
    below = np.searchsorted(second, -threshold - first, side="right")
    return min(1.0, float((above + below).sum()) / 2.0 ** len(scores_K))


def _signed_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def fixed_block(data: CellData, weights_M: NDArray[np.float64]) -> Estimate | None:
    """Estimate a contrast over all trials of a paired design, gaps included, with replicates as fixed blocks.

    Ordinary least squares of cells plus replicates, by the normal equations of the cells once the replicates are taken
    out (intra-block analysis: John & Williams 1995, Cyclic and Computer Generated Designs). Shown beside the per-seed t
    only, as its size reaches 31 % where seeds have slopes of their own. None where the contrast is not estimable or no
    noise is left.
    """
    y_KM = data.y_KM[np.isfinite(data.y_KM).any(axis=1)]
    seen_KM = np.isfinite(y_KM)
    n_K = seen_KM.sum(axis=1, keepdims=True)
    centred_KM = np.where(seen_KM, y_KM - np.nanmean(y_KM, axis=1, keepdims=True), 0.0)
    information_MM = np.diag(seen_KM.sum(axis=0)) - seen_KM.T @ (seen_KM / n_K)
    inverse_MM = np.linalg.pinv(information_MM, hermitian=True)
    beta_M = inverse_MM @ centred_KM.sum(axis=0)
    n = int(n_K.sum())
    df = n - len(n_K) - int(np.linalg.matrix_rank(information_MM, hermitian=True))
    fitted_KM = beta_M - (seen_KM @ beta_M)[:, None] / n_K
    ss = float(((centred_KM - fitted_KM)[seen_KM] ** 2).sum())
    estimable = np.allclose(weights_M @ inverse_MM @ information_MM, weights_M, atol=1e-8)
    if not estimable or df < 1 or ss <= df * data.tiny**2:
        return None
    se = float(np.sqrt(ss / df * (weights_M @ inverse_MM @ weights_M)))
    method = "least squares with replicates as fixed blocks"
    return Estimate(float(weights_M @ beta_M), se, df, n, int(data.n_M[data.seen_M].min()), method, None, "")
