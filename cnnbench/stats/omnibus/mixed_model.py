"""The mixed model of a design: which random effects it has, its tests, and what it says of an estimate.

It stands beside the tests that decide. Shapes: N trials, M cells of the fixed factors, K replicates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import chi2
from scipy.stats import t as student_t

from cnnbench.stats.omnibus.reml import MOST, fit, separable
from cnnbench.stats.trials.cells import grid, t_interval
from cnnbench.stats.trials.models import (
    base_of,
    design,
    kronecker,
    orthonormal,
    term_columns,
    term_name,
    terms,
)
from cnnbench.types import Classical, EstimatedMean, MixedModel, RandomComponent, TestRow, TestTable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from cnnbench.stats.omnibus.reml import Reml
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.stats.trials.models import Term

MOST_TRIALS = 3000
MOST_GROUPS = 400
"""The time grows with the cube of the number of groups; this many take a few seconds."""


@dataclass(frozen=True, slots=True, eq=False)
class Mixed:
    """A fitted mixed model of one response."""

    fixed: CellData
    """Means over replicates by cell of the fixed factors; says which cells there are."""
    model: Reml
    groups: tuple[str, ...]
    left_out: tuple[str, ...]
    offset: float

    @property
    def formula(self) -> str:
        """As R's lme4 writes it, but for the response."""
        names = [self.fixed.factors[i].name for i in self.fixed.active]
        return " + ".join([f"y ~ {' * '.join(names) or '1'}", *(f"(1 | {group})" for group in self.groups)])

    def estimate(self, weights_M: NDArray[np.float64], alpha: float) -> Classical | None:
        """Return a weighted sum of cells with Satterthwaite's degrees of freedom; None where a cell has no trial."""
        seen_M = self.fixed.seen_M
        if np.abs(weights_M[~seen_M]).sum() > 1e-12:
            return None
        value, se, df = self.model.satterthwaite(weights_M[seen_M])
        value += self.offset * float(weights_M.sum())
        p = float(2 * student_t.sf(abs(value / se), df))
        method = f"mixed model {self.formula}, Satterthwaite's df"
        return Classical(method, value, se, df, value / se, p, t_interval(value, se, df, alpha))


def mixed_model(data: CellData, fixed: CellData, random: int | None) -> Mixed | str | None:
    """Fit the mixed model that a design has, or say in a sentence why not; None for designs without one.

    ``data`` holds all trials, ``fixed`` what the tests that decide work on (the same, unless datasets are random:
    their means by dataset). Shared seeds: a random intercept for each replicate. Random datasets, at the position
    ``random``: one for each dataset and for each combination of it with levels of the fixed factors (the maximal model:
    Barr et al. 2013, J. Memory and Language 68, 255-278), as far as a residual is left, and with shared seeds one for
    each replicate within a dataset.
    """
    if random is None and not (data.paired and data.replicated):
        return None
    row_N, cell_N = np.nonzero(np.isfinite(data.y_KM))
    y_N = data.y_KM[row_N, cell_N]
    named = _groupings(data, random, row_N, cell_N)
    fixed_N = _combined(data, [i for i in range(len(data.shape)) if i != random], cell_N)
    size = sum(int(group_N.max()) + 1 for group_N in named.values())
    if len(y_N) > MOST_TRIALS or size > MOST_GROUPS:
        return (
            f"The mixed model was left out: it is fitted up to {MOST_TRIALS:,} trials and {MOST_GROUPS:,} random "
            f"effects, and here are {len(y_N):,} and {size:,}."
        )
    kept = separable(fixed_N, list(named.values()))
    names = [name for i, name in enumerate(named) if i in kept]
    left_out = tuple(name for name in named if name not in names)
    spread = y_N - (np.bincount(fixed_N, y_N) / np.bincount(fixed_N))[fixed_N]
    if not names or float(spread @ spread) <= len(y_N) * data.tiny**2:
        return "The mixed model was left out: the trials cannot tell a random effect from the residual."
    try:
        model = fit(y_N, fixed_N, [named[name] for name in names])
        model.satterthwaite(np.ones(len(model.mean_M)) / len(model.mean_M))
    except (np.linalg.LinAlgError, FloatingPointError):
        model = None
    if model is None or model.gamma_C.max() >= MOST or model.residual <= data.tiny**2:
        return "The mixed model was left out: its random effects explain the trials without a residual."
    return Mixed(fixed, model, tuple(names), left_out, data.offset)


def _combined(data: CellData, positions: Sequence[int], cell_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number each trial's combination of the levels of some factors, from 0, the last factor varying fastest."""
    code_N = np.zeros(len(cell_N), dtype=np.int64)
    for position in positions:
        code_N = code_N * data.shape[position] + data.level_M(position)[cell_N]
    return np.unique(code_N, return_inverse=True)[1]


def _groupings(
    data: CellData, random: int | None, row_N: NDArray[np.int64], cell_N: NDArray[np.int64]
) -> dict[str, NDArray[np.int64]]:
    """Return the group of every trial by random effect, coarse ones first."""
    if random is None:
        return {"replicate": np.unique(row_N, return_inverse=True)[1]}
    name = data.factors[random].name
    subsets: list[Term] = [(), *terms([i for i in data.active if i != random])]
    found = {}
    for subset in subsets:
        found[":".join([name, *(data.factors[i].name for i in subset)])] = _combined(data, (random, *subset), cell_N)
    if data.paired:
        code_N = data.level_M(random)[cell_N] * len(data.y_KM) + row_N
        found[f"{name}:replicate"] = np.unique(code_N, return_inverse=True)[1]
    return found


def mixed_tables(mixed: Mixed) -> list[TestTable]:
    """Return the F tests of the fixed terms: type III, and type II where cells are missing or unequal in size."""
    tables = []
    grouped = " and ".join(mixed.groups)
    fitted = f"{mixed.formula}, REML, Satterthwaite's df. {_variances(mixed)}"
    if mixed.groups == ("replicate",):
        fitted += " It takes effects as equal in all replicates and is liberal where they are not."
    n_M = mixed.model.counted.n_M
    if mixed.fixed.complete:
        contrasts = _type3 if len(mixed.fixed.active) > 1 else _type2  # one factor: the same F, and lmerTest's df
        tables.append(_table(mixed, "mixed_model", f"Mixed model, {grouped} random, type III", fitted, contrasts))
    if len(mixed.fixed.active) > 1 and (not mixed.fixed.complete or n_M.min() != n_M.max()):
        key = "mixed_model_type2" if tables else "mixed_model"
        tables.append(_table(mixed, key, f"Mixed model, {grouped} random, type II", fitted, _type2))
    return [table for table in tables if table.rows]


def _variances(mixed: Mixed) -> str:
    parts = [f"{name} {v:.3g}" for name, v in zip(mixed.groups, mixed.model.variance_C, strict=True)]
    return f"Variances: {', '.join(parts)}, residual {mixed.model.residual:.3g}."


def _type3(mixed: Mixed, term: Term) -> NDArray[np.float64]:
    """Return the term's contrasts of unweighted cell means, shape (df, M): differences from the first levels.

    F does not depend on which contrasts span the term, but the denominator's df do a little; these are lmerTest's.
    """
    blocks = [np.full((1, size), 1 / size) for size in mixed.fixed.shape]
    for position in term:
        size = mixed.fixed.shape[position]
        blocks[position] = np.hstack([-np.ones((size - 1, 1)), np.eye(size - 1)])
    return kronecker(blocks)


def _type2(mixed: Mixed, term: Term) -> NDArray[np.float64]:
    """Return the contrasts that the term's columns put on cell means, shape (df, M with trials).

    Each sum-coded column is adjusted for all terms that do not contain the term and for the columns before it, by the
    numbers of trials and not by the fitted variances, as lmerTest does.
    """
    fixed, n_M = mixed.fixed, mixed.model.counted.n_M
    if fixed.complete and len(term) == len(fixed.active):
        centred = [np.eye(size)[: max(1, size - 1)] - (size > 1) / size for size in fixed.shape]
        return kronecker(centred)
    root_M = np.sqrt(n_M)
    known = orthonormal(design(fixed, base_of(term, terms(fixed.active))) * root_M[:, None])
    rows = []
    for column_M in (term_columns(fixed.shape, term)[fixed.seen_M] * root_M[:, None]).T:
        rest_M = column_M - known @ (known.T @ column_M)
        rest_M -= known @ (known.T @ rest_M)
        square = float(rest_M @ rest_M)
        if square > 1e-14 * float(column_M @ column_M):
            rows.append(rest_M * root_M / square)
            known = np.column_stack([known, rest_M / square**0.5])
    return np.array(rows)


def _table(
    mixed: Mixed, key: str, title: str, method: str, contrasts: Callable[[Mixed, Term], NDArray[np.float64]]
) -> TestTable:
    rows = []
    for term in terms(mixed.fixed.active):
        contrasts_RM = contrasts(mixed, term)
        if not len(contrasts_RM):
            continue
        f, df1, df2, p = mixed.model.f_test(contrasts_RM)
        name = term_name(mixed.fixed.factors, term)
        rows.append(TestRow(name, f, df1, df2, p, sum_sq=f * df1 * mixed.model.residual))
    return TestTable(key, title, method, tuple(rows))


def described(mixed: Mixed, alpha: float) -> MixedModel:
    """Return the model's random part and its means as findings have them."""
    model = mixed.model
    components = []
    for c, group in enumerate(mixed.groups):
        variance = float(model.variance_C[c])
        statistic = max(0.0, _without(mixed, c) - model.deviance)
        number = int(model.counted.groups[c].max()) + 1
        components.append(
            RandomComponent(group, number, variance, variance**0.5, statistic, float(chi2.sf(statistic, 1)))
        )
    total = sum(component.variance for component in components) + model.residual
    columns = design(mixed.fixed, terms(mixed.fixed.active))
    coding = np.linalg.slogdet(columns)[1] if mixed.fixed.complete else None
    return MixedModel(
        formula=mixed.formula,
        num_trials=model.counted.num_trials,
        components=tuple(components),
        residual_variance=model.residual,
        intraclass_correlation=components[0].variance / total if len(components) == 1 else None,
        log_likelihood=None if coding is None else -(model.deviance + 2 * float(coding)) / 2,
        singular=any(component.variance == 0 for component in components),
        left_out=mixed.left_out,
        means=tuple(_means(mixed, alpha)),
    )


def _without(mixed: Mixed, component: int) -> float:
    """Return the deviance of the model that lacks one component."""
    model = mixed.model
    others = [c for c in range(len(mixed.groups)) if c != component]
    groups = [model.counted.groups[c] for c in others]
    if groups and model.gamma_C[component] > 0:
        return fit(model.y_N, model.cell_N, groups, model.gamma_C[others]).deviance
    return model.deviance if groups else model.null_deviance


def _means(mixed: Mixed, alpha: float) -> list[EstimatedMean]:
    """Return the means of every level of every factor, then of every cell; those over a missing cell are left out."""
    fixed = mixed.fixed
    cells = np.arange(len(fixed.n_M))
    wanted = [
        ({fixed.factors[i].name: level}, fixed.level_M(i) == index)
        for i in fixed.active
        for index, level in enumerate(fixed.factors[i].levels)
    ]
    if len(fixed.active) > 1:
        wanted += [(dict(levels), cells == index) for index, levels in enumerate(grid(fixed.factors))]
    means = []
    for levels, inside_M in wanted:
        found = mixed.estimate(inside_M / inside_M.sum(), alpha)
        if found is not None:
            means.append(EstimatedMean(levels, found.estimate, found.se, found.df, found.interval))
    return means


def mixed_notes(mixed: Mixed) -> list[str]:
    """Say where a variance is zero, and which random effects the trials do not bear."""
    notes = []
    zero = [name for name, v in zip(mixed.groups, mixed.model.variance_C, strict=True) if v == 0]
    if zero:
        notes.append(
            f"The mixed model is singular: the variance of {' and '.join(zero)} is estimated as exactly zero, which "
            "these trials cannot tell from a small one."
        )
    if mixed.left_out:
        notes.append(
            f"The mixed model has no random effect of {' and '.join(mixed.left_out)}: these trials cannot tell it from "
            "the other effects or the residual."
        )
    return notes
