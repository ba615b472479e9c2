"""Tables of replicates that were measured in every cell, or in every cell of their whole plot.

The tests themselves are those of `cnnbench.stats.omnibus.within`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.stats.omnibus.noncentral import (
    partial_eta_sq,
    partial_eta_sq_interval,
    partial_omega_sq,
    partial_omega_sq_interval,
)
from cnnbench.stats.omnibus.term_tests import df_note, not_estimable, table_of_terms
from cnnbench.stats.omnibus.within import complete_blocks, within_test
from cnnbench.stats.trials.cells import block_word, blocks_word, more_blocks
from cnnbench.stats.trials.models import connected, term_name, terms
from cnnbench.types import Refusal, TestRow, TestTable

if TYPE_CHECKING:
    from cnnbench.stats.omnibus.term_tests import Tables
    from cnnbench.stats.omnibus.within import WithinTest
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.stats.trials.models import Term


def repeated_measures(data: CellData, alpha: float) -> Tables:
    """Test every term over the replicates that are complete: within them all, or between them in a split plot."""
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

    table = table_of_terms(
        data,
        "rm_anova",
        "Repeated-measures analysis of variance",
        f"{complete} {blocks_word(data)} as blocks, each term against its interaction with them; Greenhouse-Geisser df "
        "and p.",
        row,
    )
    return [table] if table.rows else [], not_estimable(data, [row.term for row in table.rows])


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
    return [table], not_estimable(data, [row.term for row in rows])


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
