"""Findings as tables of text: what the page prints, row by row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnnbench.report import format as fmt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cnnbench.types import (
        Accuracy,
        Cell,
        Claim,
        Effect,
        ExampleComparison,
        Exclusion,
        Factor,
        Level,
        RankComparison,
        ReferenceCheck,
        ResponseFindings,
        SectionTable,
        TestRow,
        TestTable,
        TrialFailure,
        VarianceBudget,
    )


_MOST_NOTES = 6
"""More different methods than this are not spelled out below a table."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column and how it is set."""

    title: str
    numeric: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it is printed."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    """Sentences below it: methods, families, footnotes."""


def _table(caption: str, columns: Sequence[tuple[Column, Iterable[str]]], notes: Iterable[str] = ()) -> Table:
    rows = tuple(zip(*(values for _, values in columns), strict=True))
    return Table(
        caption, tuple(column for column, _ in columns), rows, tuple(dict.fromkeys(note for note in notes if note))
    )


def _text(title: str) -> Column:
    return Column(title, numeric=False)


def _interval_title(
    effects: Sequence[Effect] | Sequence[Cell] | Sequence[ReferenceCheck] | Sequence[Accuracy],
) -> str:
    level = next((item.interval.level for item in effects if item.interval is not None), 0.95)
    return f"{fmt.percent(level)} interval"


def effects_table(found: ResponseFindings, effects: Sequence[Effect], caption: str) -> Table:
    """Estimates with intervals, tests and verdicts; ratios beside log units where the scale is logarithmic."""
    places = fmt.decimals_for(fmt.half_width(effect.interval) for effect in effects)
    columns: list[tuple[Column, Iterable[str]]] = [(_text("Effect"), [effect.label for effect in effects])]
    if found.scale == "log":
        ratio_places = fmt.decimals_for(fmt.half_width(effect.ratio_interval) for effect in effects)
        columns += [
            (Column("Ratio"), [fmt.number(effect.ratio, ratio_places) for effect in effects]),
            (Column(_interval_title(effects)), [fmt.interval_text(e.ratio_interval, ratio_places) for e in effects]),
            (Column("Log ratio"), [fmt.number(effect.estimate, places) for effect in effects]),
        ]
    else:
        title = "Estimate (log odds)" if found.scale == "logit" else fmt.with_unit("Estimate", found.unit)
        columns += [
            (Column(title), [fmt.number(effect.estimate, places) for effect in effects]),
            (Column(_interval_title(effects)), [fmt.interval_text(effect.interval, places) for effect in effects]),
        ]
    columns += [
        (Column("Statistic"), [fmt.statistic(effect.statistic) for effect in effects]),
        (Column("df"), [fmt.degrees(effect.df) for effect in effects]),
        (Column("p"), [fmt.p_value(effect.p) for effect in effects]),
        (Column("p adjusted"), [fmt.p_value(effect.p_adjusted) for effect in effects]),
        (Column("p robust"), [fmt.p_value(effect.robust_p) for effect in effects]),
        (Column("p equivalence"), [fmt.p_value(effect.equivalence_p) for effect in effects]),
        (Column("n"), [fmt.number(effect.n) for effect in effects]),
        (_text("Verdict"), [effect.verdict or fmt.ABSENT for effect in effects]),
    ]
    kept = [column for column in columns if any(value != fmt.ABSENT for value in column[1])]
    return _table(caption, kept, _effect_notes(effects))


def sizes_table(effects: Sequence[Effect], caption: str) -> Table | None:
    """Standardised sizes of effects, for readers who compare studies; None where no effect has one."""
    sized = [effect for effect in effects if effect.hedges_g is not None or effect.cliffs_delta is not None]
    if not sized:
        return None
    places = [min(max(fmt.decimals_for([fmt.half_width(effect.hedges_g_interval)]) or 2, 1), 3) for effect in sized]
    intervals = [effect.hedges_g_interval for effect in sized]
    level = next((interval.level for interval in intervals if interval is not None), 0.95)
    columns: list[tuple[Column, Iterable[str]]] = [
        (_text("Effect"), [effect.label for effect in sized]),
        (Column("Hedges g"), [fmt.number(effect.hedges_g, d) for effect, d in zip(sized, places, strict=True)]),
        (
            Column(f"{fmt.percent(level)} interval"),
            [fmt.interval_text(interval, d) for interval, d in zip(intervals, places, strict=True)],
        ),
        (Column("Cliff's δ"), [fmt.number(effect.cliffs_delta, 2) for effect in sized]),
    ]
    kept = [column for column in columns if any(value != fmt.ABSENT for value in column[1])]
    meanings = {
        "Hedges g": "the effect in standard deviations: of the per-seed values where seeds are shared, of trials "
        "within cells where they are not.",
        "Cliff's δ": "how much more often a trial of the first cell lies above one of the second than below it.",
    }
    shown = {column.title for column, _ in kept}
    return _table(caption, kept, [f"{title}: {meaning}" for title, meaning in meanings.items() if title in shown])


def _effect_notes(effects: Sequence[Effect]) -> list[str]:
    parts = (
        ("Method", [effect.method for effect in effects]),
        ("Robust p", [effect.robust_method for effect in effects]),
        ("Adjusted p", [effect.family for effect in effects]),
    )
    notes = []
    for title, texts in parts:
        different = list(dict.fromkeys(text for text in texts if text))
        if len(different) > _MOST_NOTES:
            different = [*different[:_MOST_NOTES], f"and {len(different) - _MOST_NOTES} more, in findings.json"]
        if different:
            notes.append(f"{title}: {fmt.sentence('; '.join(different))}")
    return notes


def table_of_tests(table: TestTable) -> Table:
    """One table of tests with effect sizes."""
    rows = table.rows
    etas = [fmt.decimals_for([fmt.half_width(row.partial_eta_sq_interval)]) or 3 for row in rows]
    eta_level = next((row.partial_eta_sq_interval.level for row in rows if row.partial_eta_sq_interval), 0.95)
    square_places = _shared_places(row.sum_sq for row in rows)
    columns: list[tuple[Column, Iterable[str]]] = [
        (_text("Term"), [term(row.term) for row in rows]),
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
    kept = [column for column in columns if any(value != fmt.ABSENT for value in column[1])]
    notes = [fmt.sentence(table.method), f"Adjusted p: {fmt.sentence(table.family)}" if table.family else ""]
    notes.append(fmt.sentence("; ".join(f"{term(row.term)}: {row.note.rstrip('. ')}" for row in rows if row.note)))
    return _table(table.title, kept, notes)


def variance_table(budget: VarianceBudget, unit: str, label: str) -> Table:
    """Where the noise of a response comes from."""
    components = budget.components
    places = _shared_places(component.sd for component in components)
    columns: list[tuple[Column, Iterable[str]]] = [
        (_text("Source"), [fmt.capitalised(component.name) for component in components]),
        (Column(fmt.with_unit("SD", unit)), [fmt.number(component.sd, places) for component in components]),
        (Column("df"), [fmt.degrees(component.df) for component in components]),
        (_text("What it is"), [component.meaning for component in components]),
    ]
    notes = []
    if budget.mean_examples is not None:
        notes.append(f"Evaluated examples of a trial: {fmt.number(round(budget.mean_examples))} on average.")
    if budget.pairing_gain is not None:
        notes.append(
            f"Shared seeds are worth {budget.pairing_gain:.3g} times as many independent trials for the primary effect."
        )
    return _table(f"Where the noise of {label} comes from.", columns, notes)


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
        (_text(fmt.name(ranks.factor)), [fmt.level(each.level) for each in best]),
        (Column("Mean rank"), [fmt.number(each.mean_rank, 2) for each in best]),
    ]
    return _table(f"Mean ranks over {ranks.num_blocks} {ranks.blocks}.", columns, notes)


def accuracies_table(found: ExampleComparison) -> Table:
    """Shares of right answers with Wilson's intervals."""
    places = fmt.decimals_for(fmt.half_width(each.interval) for each in found.accuracies)
    columns = [
        (_text("Classifier"), [fmt.level(each.name) for each in found.accuracies]),
        (Column("Right"), [fmt.number(each.correct) for each in found.accuracies]),
        (Column("Share"), [fmt.number(each.share, places) for each in found.accuracies]),
        (Column(_interval_title(found.accuracies)), [fmt.interval_text(e.interval, places) for e in found.accuracies]),
    ]
    return _table(f"Right answers to {found.num_examples} examples.", columns, ["Intervals: Wilson's."])


def example_pairs_table(found: ExampleComparison) -> Table:
    """Differences of shares, pair by pair, with what one of the two alone has right."""
    pairs = found.pairs
    places = fmt.decimals_for(fmt.half_width(pair.wald_interval) for pair in pairs)
    columns = [
        (_text("Pair"), [f"{fmt.level(pair.first)} - {fmt.level(pair.second)}" for pair in pairs]),
        (Column("Only one right"), [f"{pair.n10} : {pair.n01}" for pair in pairs]),
        (Column("Difference"), [fmt.number(pair.difference, places) for pair in pairs]),
        (Column(_interval_title(found.accuracies)), [fmt.interval_text(pair.interval, places) for pair in pairs]),
        (Column("p"), [fmt.p_value(pair.p_exact) for pair in pairs]),
        (Column("p adj."), [fmt.p_value(pair.p_exact_holm) for pair in pairs]),
    ]
    notes = [
        "Intervals: paired bootstrap over examples (BCa). p: McNemar's exact test.",
        f"Adjusted p: {found.family}.",
    ]
    return _table("Differences on the same examples.", columns, notes)


def _shared_places(values: Iterable[float | None]) -> int | None:
    """Places that show the smallest of some numbers with about three digits, for a column that lines up."""
    known = [abs(value) for value in values if value]
    return min(max(2 - math.floor(math.log10(min(known))), 0), 8) if known else None


def term(key: str) -> str:
    """A model term as it is printed, with times signs between its factors."""
    return " \N{MULTIPLICATION SIGN} ".join(key.split(":"))


def _two_degrees(row: TestRow) -> str:
    if row.df1 is None:
        return fmt.ABSENT
    return fmt.degrees(row.df1) if row.df2 is None else f"{fmt.degrees(row.df1)}, {fmt.degrees(row.df2)}"


def cells_table(factors: Sequence[Factor], cells: Sequence[Cell], unit: str, caption: str) -> Table:
    """Observed cells, or marginal means: n, mean, standard deviation and interval."""
    places = fmt.decimals_for(fmt.half_width(cell.interval) for cell in cells)
    columns: list[tuple[Column, Iterable[str]]] = [
        (_text(fmt.name(factor.name)), [_level(cell.levels.get(factor.name)) for cell in cells]) for factor in factors
    ]
    if len(factors) > 1 and all(len(cell.levels) == 1 for cell in cells):
        columns = [
            (_text("Factor"), [fmt.name(next(iter(cell.levels))) for cell in cells]),
            (_text("Level"), [fmt.level(next(iter(cell.levels.values()))) for cell in cells]),
        ]
    columns += [
        (Column("n"), [fmt.number(cell.n) for cell in cells]),
        (Column(fmt.with_unit("Mean", unit)), [fmt.number(cell.mean, places) for cell in cells]),
        (Column("SD"), [fmt.number(cell.sd, places) for cell in cells]),
        (Column(_interval_title(cells)), [fmt.interval_text(cell.interval, places) for cell in cells]),
    ]
    return _table(caption, columns)


def _level(value: Level | None) -> str:
    return "all" if value is None else fmt.level(value)


def factors_table(factors: Sequence[Factor]) -> Table:
    """The factors of the design with their levels in the study's order."""
    orders = {"log2": "ordered, by doublings", "linear": "ordered, linear", None: "unordered"}
    return _table(
        "Factors and their levels.",
        [
            (_text("Factor"), [factor.name for factor in factors]),
            (_text("Levels"), [", ".join(fmt.level(level) for level in factor.levels) for factor in factors]),
            (_text("Kind"), [orders[factor.order] for factor in factors]),
        ],
    )


def exclusions_table(exclusions: Sequence[Exclusion]) -> Table:
    """Cells that were not run, gathered by reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for exclusion in exclusions:
        groups.setdefault((exclusion.kind, exclusion.reason), []).append(fmt.cell(exclusion.cell))
    return _table(
        "Cells that were not run, and why.",
        [
            (_text("Cells"), ["; ".join(cells) for cells in groups.values()]),
            (_text("Kind"), [kind for kind, _ in groups]),
            (_text("Reason"), [fmt.sentence(reason) for _, reason in groups]),
        ],
    )


def failures_table(failures: Sequence[TrialFailure]) -> Table:
    """Trials that did not reach their end."""
    return _table(
        "Trials that failed. They are no part of any estimate.",
        [
            (_text("Trial"), [failure.trial.id[:12] for failure in failures]),
            (_text("Cell"), [fmt.cell(failure.trial.cell) for failure in failures]),
            (Column("Replicate"), [fmt.number(failure.trial.replicate) for failure in failures]),
            (Column("Epoch"), [fmt.number(None if f.epoch is None else f.epoch + 1) for f in failures]),
            (_text("What happened"), [f"{failure.error_class}: {failure.message}" for failure in failures]),
        ],
    )


def references_table(checks: Sequence[ReferenceCheck]) -> Table:
    """Published numbers beside ours."""
    ours = [check.ours for check in checks]
    places = [fmt.decimals_for([fmt.half_width(check.interval)]) for check in checks]
    columns: list[tuple[Column, Iterable[str]]] = [
        (_text("Source"), [check.source for check in checks]),
        (_text("Cell"), [fmt.cell(check.cell) for check in checks]),
        (_text("Response"), [fmt.name(check.response) for check in checks]),
        (Column("Published"), [fmt.level(check.published) for check in checks]),
        (
            Column("Ours"),
            [fmt.number(cell.mean, d) if cell else "no such cell" for cell, d in zip(ours, places, strict=True)],
        ),
        (Column("n"), [fmt.number(cell.n if cell else None) for cell in ours]),
        (Column("Difference"), [fmt.number(c.difference, d) for c, d in zip(checks, places, strict=True)]),
        (
            Column(_interval_title(checks)),
            [fmt.interval_text(c.interval, d) for c, d in zip(checks, places, strict=True)],
        ),
        (Column("p"), [fmt.p_value(check.p) for check in checks]),
    ]
    return _table("Published numbers beside this study's; the difference is ours minus published.", columns)


def claim_effect(claim: Claim) -> str:
    """The estimate that a claim was held against, in a line; empty where there is none."""
    if claim.effect is None:
        return ""
    effect = claim.effect
    places = fmt.decimals_for([fmt.half_width(effect.interval)])
    return (
        f"{effect.label}: {fmt.number(effect.estimate, places)} {fmt.interval_text(effect.interval, places)}, "
        f"{fmt.p_sentence(effect.p)}, n = {effect.n}"
    )


def section_table(table: SectionTable) -> Table:
    """A table of a plugin's section: numbers are formatted, strings stay."""
    columns = []
    for index, title in enumerate(table.columns):
        values = [row[index] for row in table.rows]
        numeric = any(isinstance(value, (int, float)) for value in values)
        numeric = numeric and not any(isinstance(value, str) for value in values)
        shown = [value if isinstance(value, str) else fmt.number(value) for value in values]
        columns.append((Column(title, numeric), shown))
    return _table(table.caption, columns)
