"""Trials of several environments: they are not tested together unless the analysis asks for it, and then it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.trials.cells import grid
from cnnbench.types import Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.interface import AnalysisInput
    from cnnbench.stats.trials.prepare import Trials


def environment_refusal(data: AnalysisInput, trials: Trials) -> Refusal | None:
    """Return why trials of different places may not be compared, or None where they may."""
    keys, counts = np.unique(np.array(trials.environments, dtype=object).astype(str), return_counts=True)
    if len(keys) < 2 or data.analysis.pool_environments:
        return None
    each = "; ".join(f"{count} in {key}" for key, count in zip(keys, counts, strict=True))
    return Refusal(
        "all tests",
        f"The trials come from {len(keys)} environments that may give different results ({each}).",
        "Rerun the study in one environment (`--fresh`), or set `pool_environments = true` in `[analysis]`; of a table "
        "take the rows of one `environment_key`, or give `--pool-environments`.",
    )


def environment_sentences(data: AnalysisInput, trials: Trials, kept_N: NDArray[np.bool_]) -> list[str]:
    """Say that trials of several environments were put together, and whether cells can be told from environments."""
    keys, env_N = np.unique(np.array(trials.environments, dtype=object)[kept_N].astype(str), return_inverse=True)
    if len(keys) < 2 or not data.analysis.pool_environments:
        return []
    cell_N, replicate_N = trials.cell_N[kept_N], trials.replicate_N[kept_N]
    each = ", ".join(f"{count} in {key}" for key, count in zip(keys, np.bincount(env_N), strict=True))
    begin = f"Trials of {len(keys)} environments are put together as the analysis asks ({each})"
    if _is_balanced(cell_N, env_N):
        within = data.paired and _is_one_each(replicate_N, env_N)
        means = "; each replicate ran in one of them, so that no comparison within replicates is affected."
        return [f"{begin}{means if within else '; every cell has the same share of each.'}"]
    full = grid(data.factors)
    told_apart = []
    for factor in data.factors:
        level_N = np.array([factor.levels.index(full[cell][factor.name]) for cell in cell_N])
        if len(np.unique(level_N)) > 1 and _is_one_each(env_N, level_N):
            told_apart.append(factor.name)
    if not told_apart:
        return [f"{begin}; cells have different shares of them, so differences between cells may be partly theirs."]
    names = " and of ".join(told_apart)
    what = "what looks like an effect of it may be one of the environments, and no analysis can tell them apart."
    return [f"{begin}, and no environment has more than one level of {names}: {what}"]


def _is_one_each(group_N: NDArray[np.int64], value_N: NDArray[np.int64]) -> bool:
    """Return whether all members of each group have one value."""
    return all(len(np.unique(value_N[group_N == group])) == 1 for group in np.unique(group_N))


def _is_balanced(cell_N: NDArray[np.int64], env_N: NDArray[np.int64]) -> bool:
    """Return whether every cell has the same share of each environment."""
    n_ME = np.zeros((cell_N.max() + 1, env_N.max() + 1), dtype=np.int64)
    np.add.at(n_ME, (cell_N, env_N), 1)
    n_M = n_ME.sum(axis=1, keepdims=True)
    return bool((n_ME * len(env_N) == n_M * n_ME.sum(axis=0)).all())
