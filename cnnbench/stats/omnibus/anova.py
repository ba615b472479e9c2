"""Omnibus tests: which effects and interactions of the factors are there at all."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import f as f_distribution

from cnnbench.stats.omnibus.heteroscedastic import ats, ats_obstacle
from cnnbench.stats.omnibus.noncentral import (
    partial_eta_sq,
    partial_eta_sq_interval,
    partial_omega_sq,
    partial_omega_sq_interval,
)
from cnnbench.stats.omnibus.within import complete_blocks, within_test
from cnnbench.stats.trials.models import (
    base_of,
    connected,
    design,
    lack_of_fit,
    orthonormal,
    rank,
    term_columns,
    term_name,
    terms,
)
from cnnbench.types import Refusal, TestRow, TestTable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cnnbench.stats.omnibus.within import WithinTest
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.stats.trials.models import Term

MOST_REFUSED_ONE_BY_ONE = 4

Tables = tuple[list[TestTable], list[Refusal]]


def omnibus(data: CellData, alpha: float) -> Tables:
    """Return the test tables that the design bears, the decisive one first, and what was refused."""
    if not data.active:
        return [], []
    if not data.replicated and not data.nested:
        return _one_trial_per_cell(data, alpha)
    if data.paired:
        return _within(data, alpha)
    if data.ss_within <= data.df_within * data.tiny**2:
        return [], [
            Refusal(
                "analysis of variance",
                "Trials of the same cell do not differ at all, so there is no noise to hold the effects against.",
                "Check that replicates have different seeds.",
            )
        ]
    return _complete(data, alpha) if data.complete else _missing_cells(data, alpha)


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
        _table(
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
        *_not_estimable(data, [row.term for row in table.rows]),
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

    return _table(
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

    return _table(
        data,
        "ats",
        "ANOVA-type statistic",
        "Unweighted cell means, a variance for each cell (Brunner, Dette, Munk 1997): valid when spreads differ.",
        row,
    )


def _within(data: CellData, alpha: float) -> Tables:
    complete = int(data.complete_rows(data.seen_M).sum())
    if data.nested:
        return _split_plot(data, alpha, complete)
    if complete < 2:
        return [], [
            Refusal(
                "repeated-measures analysis of variance",
                f"Only {complete} {block_word(data)}(s) have a trial in every cell; at least 2 are needed.",
                more_blocks(data),
            )
        ]
    main_effects = connected(data)

    def row(term: Term) -> TestRow | None:
        if len(term) == 1 and not main_effects:
            return None
        test = within_test(data, term)
        return None if test is None else within_row(data, term, test, alpha)

    table = _table(
        data,
        "rm_anova",
        "Repeated-measures analysis of variance",
        f"{complete} {blocks_word(data)} as blocks, each term against its interaction with them; Greenhouse-Geisser df "
        "and p.",
        row,
    )
    return [table] if table.rows else [], _not_estimable(data, [row.term for row in table.rows])


def block_word(data: CellData) -> str:
    """Return what a row is: a replicate, a dataset, an example, or the name of a random factor."""
    return "replicate" if data.block == "seed" else data.block


def blocks_word(data: CellData) -> str:
    """Return what the rows are in the plural: replicates, datasets, levels of a random factor of another name."""
    known = {"seed": "replicates", "dataset": "datasets", "example": "examples"}
    return known.get(data.block, f"levels of {data.block}")


def more_blocks(data: CellData) -> str:
    """Say what to do where too few rows are complete."""
    if data.block == "seed":
        return "Rerun the failed trials (`--retry-failed`) or add replicates."
    return f"Run the missing cells, or add {blocks_word(data)}."


def _split_plot(data: CellData, alpha: float, complete: int) -> Tables:
    """Test whole-plot factors between replicates and the others within them."""
    what = "split-plot analysis of variance"
    blocks = complete_blocks(data)
    if blocks is None:
        why = "It needs every cell, and in every whole plot a replicate that is complete."
        return [], [Refusal(what, why, "Run the missing cells; the mixed model stands beside it.")]
    rows = [
        within_row(data, term, test, alpha)
        for term in terms(data.active)
        if (test := within_test(data, term)) is not None
    ]
    if not rows:
        why = f"Only {complete} replicate(s) in {len(blocks.size_G)} whole plots are complete, or they do not differ."
        return [], [Refusal(what, why, "Add replicates to every whole plot.")]
    plots = " and ".join(data.factors[i].name for i in data.between if i in data.active)
    sizes = sorted(set(blocks.size_G.tolist()))
    each = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    method = (
        f"{complete} replicates, {each} in each whole plot ({plots}); {plots} against the replicates within whole "
        "plots, the other terms against their interaction with these; type III, Greenhouse-Geisser df and p."
    )
    table = TestTable("split_plot", "Split-plot analysis of variance", method, tuple(rows))
    return [table], _not_estimable(data, [row.term for row in rows])


def within_row(data: CellData, term: Term, test: WithinTest, alpha: float) -> TestRow:
    """Return a repeated-measures test as a line of a table: Greenhouse-Geisser decides."""
    df1, df2 = test.epsilon_gg * test.df1, test.epsilon_gg * test.df2
    note = df_note(data, term, test.df1)
    whole_plot = data.nested and set(term) <= set(data.between)
    if test.spherical:
        parts = [f"uncorrected df {test.df1}, {test.df2}: p = {test.p:.4g}"]
        if test.epsilon_hf is not None:
            parts.append(f"Huynh-Feldt epsilon {test.epsilon_hf:.4g}: p = {test.p_hf:.4g}")
        note = "; ".join([note, *parts] if note else parts)
    return TestRow(
        term_name(data.factors, term),
        test.f,
        df1,
        df2,
        test.p_gg,
        sum_sq=test.sum_sq,
        partial_eta_sq=partial_eta_sq(test.f, df1, df2),
        partial_eta_sq_interval=partial_eta_sq_interval(test.f, df1, df2, alpha),
        epsilon=None if whole_plot else test.epsilon_gg,
        note=note,
        partial_omega_sq=partial_omega_sq(test.f, test.df1, test.df2),
        partial_omega_sq_interval=partial_omega_sq_interval(test.f, test.df1, test.df2, alpha),
        p_uncorrected=None if whole_plot else test.p,
        epsilon_hf=None if whole_plot else test.epsilon_hf,
        p_hf=None if whole_plot else test.p_hf,
    )


def additive_error(data: CellData, extra_M: list[np.ndarray] | None = None) -> tuple[float, int]:
    """Return residual sum of squares and df of the main-effects model, the only error term with one trial per cell.

    ``extra_M`` adds columns, one value per cell of the grid, to the model.
    """
    if not extra_M:
        return _main_effects_error(data)
    columns = design(data, [(position,) for position in data.active])
    columns = np.column_stack([columns, *(column[data.seen_M] for column in extra_M)])
    return lack_of_fit(data, columns), int(data.seen_M.sum()) - rank(columns)


@lru_cache(maxsize=4)
def _main_effects_error(data: CellData) -> tuple[float, int]:
    """Return `additive_error` of the main effects alone, which every mean and comparison of a response asks for."""
    columns = design(data, [(position,) for position in data.active])
    return lack_of_fit(data, columns), int(data.seen_M.sum()) - rank(columns)


def _one_trial_per_cell(data: CellData, alpha: float) -> Tables:
    refusals: list[Refusal] = []
    if len(data.active) > 1:
        refusals.append(
            Refusal(
                "interaction tests",
                "There is one trial per cell, so an interaction cannot be told from noise.",
                "Run at least 2 replicates per cell (the exact sign-flip test of paired seeds needs 6).",
            )
        )
    error = additive_error(data)
    if error[1] < 1 or error[0] <= error[1] * data.tiny**2:
        refusals.append(
            Refusal(
                "main effects",
                "With one trial per cell nothing is left to estimate the noise from.",
                "Run at least 2 replicates per cell.",
            )
        )
        return [], refusals
    mains = [(position,) for position in data.active]

    def row(term: Term) -> TestRow | None:
        if len(term) > 1 or not connected(data):
            return None
        sum_sq, df = type2_ss(data, term, mains)
        return f_row(term_name(data.factors, term), sum_sq, df, error, alpha)

    tables = [
        _table(
            data,
            "additive_type2",
            "Main effects without replication",
            "Main-effects model with the interaction as error: right if there is none, else conservative.",
            row,
        )
    ]
    if len(data.active) == 2 and connected(data):
        tables += _tukey_table(data, error, alpha)
    return tables, [*refusals, *_not_estimable(data, [row.term for row in tables[0].rows], main_only=True)]


def _tukey_table(data: CellData, error: tuple[float, int], alpha: float) -> list[TestTable]:
    """Return Tukey's one-df test of nonadditivity (Tukey 1949, Biometrics 5, 232-242).

    Its column is the square of the fitted main-effects model, which on a complete grid is the product of the two
    factors' effects beside what that model holds already, and is defined where cells are missing, too.
    """
    if error[1] < 2:
        return []
    columns = design(data, [(position,) for position in data.active])
    basis_MP = orthonormal(columns)
    fitted = basis_MP @ (basis_MP.T @ data.mean_M[data.seen_M])
    column = fitted**2 - basis_MP @ (basis_MP.T @ fitted**2)
    size = float(np.abs(column).max())
    if size <= max(data.tiny**2, 1e-12 * float((fitted**2).max())):
        return []
    column /= size
    rest_ss = lack_of_fit(data, np.column_stack([columns, column]))
    rest = (rest_ss, error[1] - 1)
    if rest_ss <= rest[1] * data.tiny**2:
        return []
    name = term_name(data.factors, data.active)
    row = replace(f_row(name, error[0] - rest_ss, 1, rest, alpha), note="one structured part of the interaction only")
    method = "The product of the two factors' effects, one degree of freedom; all other interaction counts as noise."
    return [TestTable("tukey_nonadditivity", "Tukey's test of nonadditivity", method, (row,))]


def _table(data: CellData, key: str, title: str, method: str, make_row: Callable[[Term], TestRow | None]) -> TestTable:
    rows = [make_row(term) for term in terms(data.active)]
    return TestTable(key, title, method, tuple(row for row in rows if row is not None))


def nominal_df(data: CellData, term: Term) -> int:
    """Return the degrees of freedom of a term on the full grid."""
    return prod(data.shape[position] - 1 for position in term)


def df_note(data: CellData, term: Term, df: int) -> str:
    """Say how much of a term lies in missing cells."""
    nominal = nominal_df(data, term)
    return "" if df == nominal else f"{df} of {nominal} df; the rest lies in missing cells"


def _not_estimable(data: CellData, tested: list[str], *, main_only: bool = False) -> list[Refusal]:
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
            remedy = "Check that replicates have different seeds."
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
