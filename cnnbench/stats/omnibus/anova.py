"""Omnibus tests: which effects and interactions of the factors are there at all.

Here the design decides which; independent trials have their tables here, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench.stats.omnibus.additive import one_trial_per_cell
from cnnbench.stats.omnibus.heteroscedastic import ats, ats_obstacle
from cnnbench.stats.omnibus.repeated_measures import repeated_measures
from cnnbench.stats.omnibus.term_tests import (
    df_note,
    f_row,
    nominal_df,
    not_estimable,
    table_of_terms,
    type2_ss,
    type3_ss,
)
from cnnbench.stats.trials.cells import NO_NOISE_REMEDY
from cnnbench.stats.trials.models import connected, term_name, terms
from cnnbench.types import Refusal, TestRow, TestTable

if TYPE_CHECKING:
    from cnnbench.stats.omnibus.term_tests import Tables
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.stats.trials.models import Term


def omnibus(data: CellData, alpha: float) -> Tables:
    """Return the test tables that the design bears, the decisive one first, and what was refused."""
    if not data.active:
        return [], []
    if not data.replicated and not data.nested:
        return one_trial_per_cell(data, alpha)
    if data.paired:
        return repeated_measures(data, alpha)
    if data.ss_within <= data.df_within * data.tiny**2:
        return [], [
            Refusal(
                "analysis of variance",
                "Trials of the same cell do not differ at all, so there is no noise to hold the effects against.",
                NO_NOISE_REMEDY,
            )
        ]
    return _complete(data, alpha) if data.complete else _missing_cells(data, alpha)


def _complete(data: CellData, alpha: float) -> Tables:
    error = (data.ss_within, data.df_within)
    tables: list[TestTable] = []
    refusals: list[Refusal] = []
    obstacle = ats_obstacle(data)
    if obstacle:
        refusals.append(
            Refusal(
                "ANOVA-type statistic, Welch-James and HC3 tests",
                f"They need the variance of every cell, and {obstacle}.",
                "The classical F stands alone; add trials to these cells.",
            )
        )
    else:
        tables.append(_ats_table(data))
    balanced = len(set(data.n_M.tolist())) == 1
    same = " The design is balanced, so that types I, II and III agree." if balanced else ""
    tables.append(
        table_of_terms(
            data,
            "anova_type3",
            "Analysis of variance, type III",
            f"Cell-means model, sum coding, each term given all others; error: pooled variance within cells.{same}",
            lambda term: f_row(
                term_name(data.factors, term), type3_ss(data, term), nominal_df(data, term), error, alpha
            ),
        )
    )
    if not balanced and len(data.active) > 1:
        tables.append(_type2_table(data, error, alpha))
    return tables, refusals


def _missing_cells(data: CellData, alpha: float) -> Tables:
    table = _type2_table(data, (data.ss_within, data.df_within), alpha)
    refusals = [
        Refusal(
            "type III analysis of variance",
            "With missing cells its main effects would depend on the coding of the factors.",
            "Read the type II table, whose tests compare models and need no missing cell.",
        ),
        *not_estimable(data, [row.term for row in table.rows]),
    ]
    return [table] if table.rows else [], refusals


def _type2_table(data: CellData, error: tuple[float, float], alpha: float) -> TestTable:
    every = terms(data.active)
    main_effects = connected(data)

    def row(term: Term) -> TestRow | None:
        if len(term) == 1 and not main_effects:
            return None
        sum_sq, df = type2_ss(data, term, every)
        if not df:
            return None
        tested = f_row(term_name(data.factors, term), sum_sq, df, error, alpha)
        return replace(tested, note=df_note(data, term, df))

    return table_of_terms(
        data,
        "anova_type2",
        "Analysis of variance, type II",
        "Models with and without the term, given all that do not contain it; error: pooled variance within cells.",
        row,
    )


def _ats_table(data: CellData) -> TestTable:
    def row(term: Term) -> TestRow:
        test = ats(data, term)
        return TestRow(term_name(data.factors, term), test.statistic, test.df1, test.df2, test.p)

    return table_of_terms(
        data,
        "ats",
        "ANOVA-type statistic",
        "Unweighted cell means, a variance for each cell (Brunner, Dette, Munk 1997): valid when spreads differ.",
        row,
    )
