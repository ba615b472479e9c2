"""One term of the model: its sum of squares, its line in a table, and the refusal where it has none."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import f as f_distribution

from cnnbench.stats.omnibus.noncentral import (
    partial_eta_sq,
    partial_eta_sq_interval,
    partial_omega_sq,
    partial_omega_sq_interval,
)
from cnnbench.stats.trials.cells import NO_NOISE_REMEDY
from cnnbench.stats.trials.models import base_of, connected, design, lack_of_fit, rank, term_columns, term_name, terms
from cnnbench.types import Refusal, TestRow, TestTable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnbench.stats.trials.cells import CellData
    from cnnbench.stats.trials.models import Term

Tables = tuple[list[TestTable], list[Refusal]]
"""Test tables, the decisive one first, and what was refused."""


MOST_REFUSED_ONE_BY_ONE = 4


def table_of_terms(
    data: CellData, key: str, title: str, method: str, make_row: Callable[[Term], TestRow | None]
) -> TestTable:
    """Return a table with a line for every term that ``make_row`` can test."""
    rows = [make_row(term) for term in terms(data.active)]
    return TestTable(key, title, method, tuple(row for row in rows if row is not None))


def f_row(name: str, sum_sq: float, df1: float, error: tuple[float, float], alpha: float) -> TestRow:
    """Return the F test of a sum of squares against an error term (sum of squares, df)."""
    error_ss, df2 = error
    f = (sum_sq / df1) / (error_ss / df2)
    return TestRow(
        name,
        f,
        df1,
        df2,
        float(f_distribution.sf(f, df1, df2)),
        sum_sq=sum_sq,
        partial_eta_sq=partial_eta_sq(f, df1, df2),
        partial_eta_sq_interval=partial_eta_sq_interval(f, df1, df2, alpha),
        partial_omega_sq=partial_omega_sq(f, df1, df2),
        partial_omega_sq_interval=partial_omega_sq_interval(f, df1, df2, alpha),
    )


def type3_ss(data: CellData, term: Term) -> float:
    """Return the type III sum of squares: what the cell-means model loses without the term's sum-coded columns.

    Only on complete grids: elsewhere the answer would depend on the coding.
    """
    return lack_of_fit(data, design(data, [other for other in terms(data.active) if other != term]))


def type2_ss(data: CellData, term: Term, among: Sequence[Term]) -> tuple[float, int]:
    """Return sum of squares and df of a term, adjusted for all of ``among`` that do not contain it.

    By comparison of models, with ranks instead of column counts, so that missing cells are handled as in R's car
    (Langsrud 2003, Statistics and Computing 13, 163-167).
    """
    base = design(data, base_of(term, among))
    full = np.hstack([base, term_columns(data.shape, term)[data.seen_M]])
    df = rank(full) - rank(base)
    return (lack_of_fit(data, base) - lack_of_fit(data, full) if df else 0.0), df


def nominal_df(data: CellData, term: Term) -> int:
    """Return the degrees of freedom of a term on the full grid."""
    return prod(data.shape[position] - 1 for position in term)


def df_note(data: CellData, term: Term, df: int) -> str:
    """Say how much of a term lies in missing cells."""
    nominal = nominal_df(data, term)
    return "" if df == nominal else f"{df} of {nominal} df; the rest lies in missing cells"


def not_estimable(data: CellData, tested: list[str], *, main_only: bool = False) -> list[Refusal]:
    """Return a refusal for each term that got no row, or one for many that lack their cells for the same reason."""
    refusals = []
    lacking: list[str] = []
    for term in terms(data.active):
        name = term_name(data.factors, term)
        if name in tested or (main_only and len(term) > 1):
            continue
        if len(term) == 1 and not connected(data):
            why = "The grid is disconnected: some levels share no combination of the other factors with the rest."
            remedy = "Compare levels within a connected part, or run cells that link the parts."
        elif data.complete:
            why = f"Every {data.block} gives the same differences between cells, so there is no noise to test against."
            remedy = NO_NOISE_REMEDY
        else:
            lacking.append(name)
            continue
        refusals.append(Refusal(f"test of {name}", why, remedy))
    return refusals + _without_cells(lacking)


def _without_cells(names: list[str]) -> list[Refusal]:
    """Refuse terms for want of cells: one by one, or together where a design leaves most of its grid out on purpose."""
    why, remedy = (
        "The cells that it would need are missing.",
        "Run these cells, or ask a question that does not need them.",
    )
    if len(names) <= MOST_REFUSED_ONE_BY_ONE:
        return [Refusal(f"test of {name}", why, remedy) for name in names]
    what = f"tests of {len(names)} terms ({', '.join(names[:3])}, ...)"
    return [Refusal(what, why.replace("it would", "they would"), remedy)]
