"""Tests of whole terms, ranks and right answers, and where the noise comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.report import format as fmt
from cnnbench.report.tables.table import Column, Table, filled, interval_title, make_table, shared_places, text_column

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cnnbench.types import (
        ExampleComparison,
        RankComparison,
        TestRow,
        TestTable,
        VarianceBudget,
    )


def table_of_tests(table: TestTable) -> Table:
    """One table of tests with effect sizes."""
    rows = table.rows
    etas = [fmt.decimals_for([fmt.half_width(row.partial_eta_sq_interval)]) or 3 for row in rows]
    eta_level = next((row.partial_eta_sq_interval.level for row in rows if row.partial_eta_sq_interval), 0.95)
    square_places = shared_places(row.sum_sq for row in rows)
    columns: list[tuple[Column, Iterable[str]]] = [
        (text_column("Term"), [term(row.term) for row in rows]),
        (Column("Sum of squares"), [fmt.number(row.sum_sq, square_places) for row in rows]),
        (Column("df"), [_two_degrees(row) for row in rows]),
        (Column(table.statistic_name), [fmt.statistic(row.statistic) for row in rows]),
        (Column("p"), [fmt.p_value(row.p) for row in rows]),
        (Column("p adjusted"), [fmt.p_value(row.p_adjusted) for row in rows]),
        (Column("Partial η²"), [fmt.number(row.partial_eta_sq, max(d, 2)) for row, d in zip(rows, etas, strict=True)]),
        (
            Column(f"{fmt.percent(eta_level)} interval"),
            [fmt.interval_text(row.partial_eta_sq_interval, max(d, 2)) for row, d in zip(rows, etas, strict=True)],
        ),
        (Column("ε"), [fmt.number(row.epsilon, 3) for row in rows]),
    ]
    kept = filled(columns)
    notes = [fmt.sentence(table.method), f"Adjusted p: {fmt.sentence(table.family)}" if table.family else ""]
    notes.append(fmt.sentence("; ".join(f"{term(row.term)}: {row.note.rstrip('. ')}" for row in rows if row.note)))
    return make_table(table.title, kept, notes)


def term(key: str) -> str:
    """A model term as it is printed, with times signs between its factors."""
    return " \N{MULTIPLICATION SIGN} ".join(key.split(":"))


def _two_degrees(row: TestRow) -> str:
    if row.df1 is None:
        return fmt.ABSENT
    return fmt.degrees(row.df1) if row.df2 is None else f"{fmt.degrees(row.df1)}, {fmt.degrees(row.df2)}"


def variance_table(budget: VarianceBudget, unit: str, label: str) -> Table:
    """Where the noise of a response comes from."""
    components = budget.components
    places = shared_places(component.sd for component in components)
    columns: list[tuple[Column, Iterable[str]]] = [
        (text_column("Source"), [fmt.capitalised(component.name) for component in components]),
        (Column(fmt.with_unit("SD", unit)), [fmt.number(component.sd, places) for component in components]),
        (Column("df"), [fmt.degrees(component.df) for component in components]),
        (text_column("What it is"), [component.meaning for component in components]),
    ]
    notes = []
    if budget.mean_examples is not None:
        notes.append(f"Evaluated examples of a trial: {fmt.number(round(budget.mean_examples))} on average.")
    if budget.pairing_gain is not None:
        worth = (
            f"Shared seeds are worth {budget.pairing_gain:.3g} times as many independent trials for the primary effect"
        )
        if (interval := budget.pairing_gain_interval) is not None:
            worth += f" ({fmt.percent(interval.level)} interval {interval.low:.2g} to {interval.high:.2g})"
        notes.append(f"{worth}.")
    return make_table(f"Where the noise of {label} comes from.", columns, notes)


def ranks_table(ranks: RankComparison) -> Table:
    """Mean ranks, best first, and what they differ by at least where they differ."""
    best = sorted(ranks.mean_ranks, key=lambda each: each.mean_rank)
    groups = "; ".join(", ".join(fmt.level(level) for level in group) for group in ranks.groups)
    direction = "highest" if ranks.higher_is_better else "lowest"
    notes = [
        f"Rank 1 is the {direction} value of a block; ties share their ranks.",
        f"Kendall's W, the agreement of the blocks: {fmt.number(ranks.kendall_w, 3)}.",
        f"Critical difference (Nemenyi, {fmt.percent(ranks.level)}): {fmt.number(ranks.critical_difference, 3)}.",
        f"Not told apart: {groups}." if groups else "All pairs are told apart.",
    ]
    columns = [
        (text_column(fmt.name(ranks.factor)), [fmt.level(each.level) for each in best]),
        (Column("Mean rank"), [fmt.number(each.mean_rank, 2) for each in best]),
    ]
    return make_table(f"Mean ranks over {ranks.num_blocks} {ranks.blocks}.", columns, notes)


def accuracies_table(found: ExampleComparison) -> Table:
    """Shares of right answers with Wilson's intervals."""
    places = fmt.decimals_for(fmt.half_width(each.interval) for each in found.accuracies)
    columns = [
        (text_column("Classifier"), [fmt.level(each.name) for each in found.accuracies]),
        (Column("Right"), [fmt.number(each.correct) for each in found.accuracies]),
        (Column("Share"), [fmt.number(each.share, places) for each in found.accuracies]),
        (Column(interval_title(found.accuracies)), [fmt.interval_text(e.interval, places) for e in found.accuracies]),
    ]
    return make_table(f"Right answers to {found.num_examples} examples.", columns, ["Intervals: Wilson's."])


def example_pairs_table(found: ExampleComparison) -> Table:
    """Differences of shares, pair by pair, with what one of the two alone has right."""
    pairs = found.pairs
    places = fmt.decimals_for(fmt.half_width(pair.wald_interval) for pair in pairs)
    columns = [
        (text_column("Pair"), [f"{fmt.level(pair.first)} - {fmt.level(pair.second)}" for pair in pairs]),
        (Column("Only one right"), [f"{pair.n10} : {pair.n01}" for pair in pairs]),
        (Column("Difference"), [fmt.number(pair.difference, places) for pair in pairs]),
        (Column(interval_title(found.accuracies)), [fmt.interval_text(pair.interval, places) for pair in pairs]),
        (Column("p"), [fmt.p_value(pair.p_exact) for pair in pairs]),
        (Column("p adj."), [fmt.p_value(pair.p_exact_holm) for pair in pairs]),
    ]
    notes = [
        "Intervals: paired bootstrap over examples (BCa). p: McNemar's exact test.",
        f"Adjusted p: {found.family}.",
    ]
    return make_table("Differences on the same examples.", columns, notes)
