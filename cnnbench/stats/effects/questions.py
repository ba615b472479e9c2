"""Hypotheses of a study file as weights of cells.

Shapes: M cells of the grid (those levels that have trials), row-major in the order of the factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.spec import parse_contrast
from cnnbench.stats.trials.cells import level_index, level_text
from cnnbench.types import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from cnnbench.spec import Hypothesis
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.types import Factor, Level


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """A weighted sum of cell means that somebody wants to know."""

    label: str
    weights_M: NDArray[np.float64]
    averaged: tuple[str, ...]
    """Names of the factors that were averaged over."""
    caveat: str = ""
    """In words, where cells are missing: which part of the grid it rests on."""
    product_M: NDArray[np.float64] | None = None
    """For a slope over two factors, its column of the model."""


def contrast(
    data: CellData, declared: Factor, text: str, within: Mapping[str, Level] | None = None
) -> Question | Refusal:
    """Return the weights of a contrast as the study file has it; ``declared`` is the factor with all its levels.

    Raises:
        ValueError: The text is no contrast of the factor's levels.
    """
    position = _position(data, declared.name)
    present = data.factors[position]
    weights_L = np.zeros(len(present.levels))
    for level, weight in zip(declared.levels, parse_contrast(text, declared.levels), strict=True):
        index = level_index(present, level)
        if index is not None:
            weights_L[index] = weight
        elif weight:
            return Refusal(text, f"No trial has {declared.name} {level_text(level)}.", "Run cells with that level.")
    return level_contrast(data, position, weights_L, text, within)


def level_contrast(
    data: CellData,
    position: int,
    weights_L: NDArray[np.float64],
    text: str,
    within: Mapping[str, Level] | None = None,
) -> Question | Refusal:
    """Return the weights of a contrast of one factor's levels, averaged over the other factors without weights.

    ``within`` holds other factors at one level. Where cells are missing, the average runs over those combinations of
    the other factors that have every level of the contrast.
    """
    stratum_M = strata(data, [position])
    inside_M = _inside(data, within or {})
    needed_M = (np.abs(weights_L) > 1e-12)[data.level_M(position)]
    wanted = np.unique(stratum_M[inside_M])
    complete = [s for s in wanted if data.seen_M[(stratum_M == s) & needed_M].all()]
    if not complete:
        why = "No combination of the other factors has trials at every level that it compares."
        return Refusal(_within_label(text, within), why, "Run the missing cells.")
    weights_M = weights_L[data.level_M(position)] * np.isin(stratum_M, complete) / len(complete)
    caveat = _strata_caveat(data, stratum_M, complete, wanted, [position])
    averaged = () if _only_one(complete, len(wanted)) else _averaged(data, [position], within)
    return Question(_within_label(text, within), weights_M, averaged, caveat)


def slope(data: CellData, names: Sequence[str], within: Mapping[str, Level] | None = None) -> Question | Refusal:
    """Return the weights of the least-squares slope over one or two ordered factors.

    One factor: change per step (a doubling with ``log2``, one unit with ``linear``), with a level of its own for every
    combination of the other factors. Two: the coefficient of x z, given the additive effects of both factors in every
    combination of the others; on a complete grid sum(x z y) / sum(x^2 z^2) with centred x and z.
    """
    label = _within_label(slope_label(data, names), within)
    positions = [_position(data, name) for name in names]
    for position in positions:
        factor = data.factors[position]
        if factor.order is None:
            remedy = f'Give it `order = "log2"` or `"linear"` in `[factors.{factor.name}]`.'
            return Refusal(label, f"The factor {factor.name} has no order.", remedy)
        if len(factor.levels) < 2:
            return Refusal(label, f"Only one level of {factor.name} has trials.", "Run cells with other levels.")
    inside_M = _inside(data, within or {}) & data.seen_M
    product_M = np.prod([_steps(data.factors[i])[data.level_M(i)] for i in positions], axis=0)
    if len(positions) == 1:
        nuisance = _dummies(strata(data, positions))
    else:
        nuisance = np.hstack([_dummies(strata(data, [position])) for position in positions])
    columns, column = nuisance[inside_M], product_M[inside_M]
    residual = column - columns @ np.linalg.lstsq(columns, column, rcond=None)[0]
    total = float(residual @ residual)
    if total <= 1e-12 * float(column @ column):
        return Refusal(label, "The cells that have trials do not determine it.", "Run the missing cells.")
    weights_M = np.zeros(len(product_M))
    weights_M[inside_M] = residual / total
    inside = _inside(data, within or {})
    caveat = (
        ""
        if data.seen_M[inside].all()
        else f"least squares over the {inside_M.sum()} of {inside.sum()} cells with trials"
    )
    return Question(
        label,
        weights_M,
        _averaged(data, positions, within),
        caveat,
        product_M if len(positions) == 2 else None,
    )


def interaction_contrasts(data: CellData, names: Sequence[str]) -> list[Question | Refusal]:
    """Return all differences of differences: every pair of levels of each factor, first minus second."""
    positions = [_position(data, name) for name in names]
    questions: list[Question | Refusal] = []
    stratum_M = strata(data, positions)
    for pairs in _pair_products([data.factors[i] for i in positions]):
        sign_M = np.ones(len(data.n_M))
        for position, (first, second) in zip(positions, pairs, strict=True):
            level_M = data.level_M(position)
            sign_M = sign_M * ((level_M == first).astype(float) - (level_M == second).astype(float))
        label = " x ".join(
            f"({level_text(data.factors[i].levels[a])} - {level_text(data.factors[i].levels[b])})"
            for i, (a, b) in zip(positions, pairs, strict=True)
        )
        every = np.unique(stratum_M)
        complete = [s for s in every if data.seen_M[(stratum_M == s) & (sign_M != 0)].all()]
        if not complete:
            questions.append(Refusal(label, "A cell that it compares has no trials.", "Run the missing cells."))
            continue
        weights_M = sign_M * np.isin(stratum_M, complete) / len(complete)
        caveat = _strata_caveat(data, stratum_M, complete, every, positions)
        averaged = () if _only_one(complete, len(every)) else _averaged(data, positions, None)
        questions.append(Question(label, weights_M, averaged, caveat))
    return questions


def cell_average(data: CellData, levels: Mapping[str, Level]) -> Question | Refusal:
    """Return the unweighted average of the cells that have the given levels."""
    label = ", ".join(f"{name} {level_text(level)}" for name, level in levels.items()) or "all cells"
    for name, level in levels.items():
        factor = next((factor for factor in data.factors if factor.name == name), None)
        if factor is None or level_index(factor, level) is None:
            return Refusal(
                label, f"This study has no trial with {name} {level_text(level)}.", "Add the level to the study."
            )
    inside_M = _inside(data, levels)
    if not data.seen_M[inside_M].all():
        why = (
            f"{int((~data.seen_M[inside_M]).sum())} of the {int(inside_M.sum())} cells that it averages have no trials."
        )
        return Refusal(label, why, "Run these cells.")
    return Question(label, inside_M / inside_M.sum(), tuple(f.name for f in data.factors if f.name not in levels))


def hypothesis_label(hypothesis: Hypothesis, data: CellData) -> str:
    """Return how reports call a hypothesis."""
    if hypothesis.name:
        return hypothesis.name
    if hypothesis.contrast is not None:
        return _within_label(hypothesis.contrast, hypothesis.at)
    if hypothesis.slope is not None:
        return _within_label(slope_label(data, hypothesis.slope), hypothesis.at)
    return ":".join(hypothesis.interaction or ())


def slope_label(data: CellData, names: Sequence[str]) -> str:
    """Return e.g. ``slope of depth (per doubling) x size (per doubling)``."""
    return "slope of " + " x ".join(f"{name} (per {step_name(data, name)})" for name in names)


def step_name(data: CellData, name: str) -> str:
    """Return what one step of an ordered factor is."""
    order = next((factor.order for factor in data.factors if factor.name == name), None)
    return "doubling" if order == "log2" else "unit"


def strata(data: CellData, without: Sequence[int]) -> NDArray[np.int64]:
    """Return for every cell the index of its combination of all factors but the given ones."""
    index_M = np.zeros(len(data.n_M), dtype=np.int64)
    for position, size in enumerate(data.shape):
        if position not in without:
            index_M = index_M * size + data.level_M(position)
    return index_M


def _position(data: CellData, name: str) -> int:
    return next(i for i, factor in enumerate(data.factors) if factor.name == name)


def _pair_products(factors: Sequence[Factor]) -> list[tuple[tuple[int, int], ...]]:
    products: list[tuple[tuple[int, int], ...]] = [()]
    for factor in factors:
        size = len(factor.levels)
        pairs = [(a, b) for a in range(size) for b in range(a + 1, size)]
        products = [(*done, pair) for done in products for pair in pairs]
    return products


def _steps(factor: Factor) -> NDArray[np.float64]:
    """Return the centred positions of an ordered factor's levels on its scale."""
    values = np.array(factor.levels, dtype=np.float64)
    steps = np.log2(values) if factor.order == "log2" else values
    return np.asarray(steps - steps.mean(), dtype=np.float64)


def _dummies(index_M: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(index_M[:, None] == np.unique(index_M), dtype=np.float64)


def _inside(data: CellData, levels: Mapping[str, Level]) -> NDArray[np.bool_]:
    inside_M = np.ones(len(data.n_M), dtype=np.bool_)
    for position, factor in enumerate(data.factors):
        if factor.name in levels:
            inside_M &= data.level_M(position) == level_index(factor, levels[factor.name])
    return inside_M


def _averaged(data: CellData, positions: Sequence[int], within: Mapping[str, Level] | None) -> tuple[str, ...]:
    held = set(within or {})
    return tuple(
        factor.name
        for i, factor in enumerate(data.factors)
        if i not in positions and factor.name not in held and len(factor.levels) > 1
    )


def place_text(levels: Mapping[str, Level]) -> str:
    """Return e.g. ``depth 50, size 64``."""
    return ", ".join(f"{name} {level_text(level)}" for name, level in levels.items())


def _within_label(label: str, within: Mapping[str, Level] | None) -> str:
    return f"{label} at {place_text(within)}" if within else label


def _only_one(complete: Sequence[np.int64], wanted: int) -> bool:
    return len(complete) == 1 < wanted


def _strata_caveat(
    data: CellData,
    stratum_M: NDArray[np.int64],
    complete: list[np.int64],
    wanted: NDArray[np.int64],
    positions: Sequence[int],
) -> str:
    """Say over which combinations of the other factors the average runs, where it is not all that are wanted."""
    if len(complete) == len(wanted):
        return ""
    if _only_one(complete, len(wanted)):
        cell = int(np.flatnonzero(stratum_M == complete[0])[0])
        others = [(i, f) for i, f in enumerate(data.factors) if i not in positions and len(f.levels) > 1]
        at = ", ".join(f"{factor.name} {level_text(factor.levels[data.level_M(i)[cell]])}" for i, factor in others)
        return f"at {at}, where alone every level that it compares has trials"
    missing = int((~data.seen_M[np.isin(stratum_M, wanted) & ~np.isin(stratum_M, complete)]).sum())
    return (
        f"averaged over the {len(complete)} of {len(wanted)} combinations of the other factors in which every level "
        f"that it compares has trials ({missing} {'cell is' if missing == 1 else 'cells are'} missing)"
    )
