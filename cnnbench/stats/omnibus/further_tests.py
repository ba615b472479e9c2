"""Omnibus tests that decide nothing: Welch-James and HC3 beside the classical F, and simple effects."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.multiplicity import holm
from cnnbench.stats.omnibus.heteroscedastic import hc3, spread_obstacle, welch_james
from cnnbench.stats.omnibus.repeated_measures import within_row
from cnnbench.stats.omnibus.term_tests import df_note, f_row, type2_ss, type3_ss
from cnnbench.stats.omnibus.within import within_test
from cnnbench.stats.trials.cells import level_text
from cnnbench.stats.trials.models import connected, term_basis, term_name, terms
from cnnbench.types import Refusal, TestRow, TestTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.stats.omnibus.heteroscedastic import RobustTest
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.stats.trials.models import Term

MOST_FACTORS = 3
"""Simple effects of more factors are too many to be read."""


def further_tests(data: CellData, alpha: float) -> tuple[list[TestTable], list[Refusal]]:
    """Return the tables that stand beside those of `cnnbench.stats.omnibus.anova.omnibus`, and what was refused."""
    noise = data.ss_within > data.df_within * data.tiny**2
    if not data.active or not data.replicated or not noise:
        return [], []
    if data.paired:
        return _simple_effects(data, alpha), []
    obstacle = spread_obstacle(data)
    beside = [*_complete_subdesigns(data, alpha), *_simple_effects(data, alpha)]
    if not obstacle:
        return [*_robust(data), *beside], []
    refusals = []
    if not data.complete:  # on a complete grid the refusal of the ANOVA-type statistic says so
        refusals.append(
            Refusal(
                "Welch-James and HC3 tests",
                f"They need the variance of every cell with trials, and {obstacle}.",
                "The classical F stands alone; add trials to these cells.",
            )
        )
    return beside, refusals


def _robust(data: CellData) -> list[TestTable]:
    """Return both tests of every term; with missing cells of the highest interaction, which no coding can change."""
    tested = [term for term in terms(data.active) if data.complete or len(term) == len(data.active)]
    tested = [term for term in tested if term_basis(data, term).shape[1]]
    if not tested:
        return []

    def table(key: str, title: str, method: str, test: Callable[[CellData, Term], RobustTest]) -> TestTable:
        rows = []
        for term in tested:
            found = test(data, term)
            note = df_note(data, term, int(found.df1))
            name = term_name(data.factors, term)
            rows.append(TestRow(name, found.statistic, found.df1, found.df2, found.p, note=note))
        return TestTable(key, title, method, tuple(rows))

    return [
        table(
            "welch_james",
            "Welch-James test",
            "Unweighted cell means, a variance for each cell (Johansen 1980); liberal with 2 trials in a cell.",
            welch_james,
        ),
        table(
            "anova_hc3",
            "Analysis of variance, HC3",
            "Cell-means model, sum coding, type III; joint Wald F with the HC3 covariance (MacKinnon & White 1985).",
            hc3,
        ),
    ]


def _complete_subdesigns(data: CellData, alpha: float) -> list[TestTable]:
    """Return type III tables of what is complete once one factor's levels with missing cells are left out.

    The error is that of all trials, those of the left-out levels included. Where all levels but one go, none is made.
    """
    tables: list[TestTable] = []
    if data.complete or len(data.active) < 2:
        return tables
    for position in data.active:
        factor = data.factors[position]
        level_M = data.level_M(position)
        gaps = np.unique(level_M[~data.seen_M])
        part = data.without_levels(position, gaps)
        if position not in part.active:
            continue
        dropped = ", ".join(level_text(factor.levels[i]) for i in gaps)
        rows = [
            f_row(
                term_name(data.factors, term),
                type3_ss(part, term),
                _columns(part, term),
                (data.ss_within, data.df_within),
                alpha,
            )
            for term in terms(part.active)
        ]
        tables.append(
            TestTable(
                f"complete_subdesign:{factor.name}",
                f"Complete part without {factor.name} {dropped}",
                f"Type III without the levels of {factor.name} that lack a cell; error: variance within all cells.",
                tuple(rows),
            )
        )
    return tables


def _simple_effects(data: CellData, alpha: float) -> list[TestTable]:
    """Return a table for every factor: the tests of the others within each of its levels, adjusted after Holm."""
    if not 2 <= len(data.active) <= MOST_FACTORS:
        return []
    error = "repeated measures within the level" if data.paired else "error: variance within all cells, pooled"
    tables = []
    for position in data.active:
        factor = data.factors[position]
        rows = [
            replace(row, term=f"{row.term} at {factor.name} {level_text(level)}")
            for index, level in enumerate(factor.levels)
            for row in _rows_at(data, data.at_level(position, index), alpha)
        ]
        if not rows:
            continue
        adjusted = holm([1.0 if row.p is None else row.p for row in rows])
        rows = [replace(row, p_adjusted=p) for row, p in zip(rows, adjusted, strict=True)]
        size = f"{len(rows)} test{'s' if len(rows) > 1 else ''}"
        tables.append(
            TestTable(
                f"simple_effects:{factor.name}",
                f"Simple effects within each {factor.name}",
                f"The other factors' tests with {factor.name} held at one level; {error}.",
                tuple(rows),
                family=f"simple effects within {factor.name} ({size}, Holm)",
            )
        )
    return tables


def _rows_at(data: CellData, part: CellData, alpha: float) -> list[TestRow]:
    """Test the terms of the factors that vary in a part of the grid."""
    every = terms(part.active)
    main_effects = connected(part)
    rows = []
    for term in every:
        if len(term) == 1 and not main_effects:
            continue
        if data.paired:
            test = within_test(part, term)
            rows += [] if test is None else [within_row(data, term, test, alpha)]
            continue
        ss, df = (type3_ss(part, term), _columns(part, term)) if part.complete else type2_ss(part, term, every)
        if df:
            row = f_row(term_name(data.factors, term), ss, df, (data.ss_within, data.df_within), alpha)
            rows.append(replace(row, note=df_note(data, term, df)))
    return rows


def _columns(part: CellData, term: Term) -> int:
    return int(term_basis(part, term).shape[1])
