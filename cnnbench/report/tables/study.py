"""The design and its cells, what was not run, what failed, and the tables of plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.report import format as fmt
from cnnbench.report.tables.table import Column, Table, interval_title, make_table, text_column

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cnnbench.types import (
        Cell,
        Exclusion,
        Factor,
        Level,
        SectionTable,
        TrialFailure,
    )


def cells_table(factors: Sequence[Factor], cells: Sequence[Cell], unit: str, caption: str) -> Table:
    """Observed cells, or marginal means: n, mean, standard deviation and interval."""
    places = fmt.decimals_for(fmt.half_width(cell.interval) for cell in cells)
    columns: list[tuple[Column, Iterable[str]]] = [
        (text_column(fmt.name(factor.name)), [_level(cell.levels.get(factor.name)) for cell in cells])
        for factor in factors
    ]
    if len(factors) > 1 and all(len(cell.levels) == 1 for cell in cells):
        columns = [
            (text_column("Factor"), [fmt.name(next(iter(cell.levels))) for cell in cells]),
            (text_column("Level"), [fmt.level(next(iter(cell.levels.values()))) for cell in cells]),
        ]
    columns += [
        (Column("n"), [fmt.number(cell.n) for cell in cells]),
        (Column(fmt.with_unit("Mean", unit)), [fmt.number(cell.mean, places) for cell in cells]),
        (Column("SD"), [fmt.number(cell.sd, places) for cell in cells]),
        (Column(interval_title(cells)), [fmt.interval_text(cell.interval, places) for cell in cells]),
    ]
    return make_table(caption, columns)


def _level(value: Level | None) -> str:
    return "all" if value is None else fmt.level(value)


def factors_table(factors: Sequence[Factor]) -> Table:
    """The factors of the design with their levels in the study's order."""
    orders = {"log2": "ordered, by doublings", "linear": "ordered, linear", None: "unordered"}
    return make_table(
        "Factors and their levels.",
        [
            (text_column("Factor"), [factor.name for factor in factors]),
            (text_column("Levels"), [", ".join(fmt.level(level) for level in factor.levels) for factor in factors]),
            (text_column("Kind"), [orders[factor.order] for factor in factors]),
        ],
    )


def exclusions_table(exclusions: Sequence[Exclusion]) -> Table:
    """Cells that were not run, gathered by reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for exclusion in exclusions:
        groups.setdefault((exclusion.kind, exclusion.reason), []).append(fmt.cell(exclusion.cell))
    return make_table(
        "Cells that were not run, and why.",
        [
            (text_column("Cells"), ["; ".join(cells) for cells in groups.values()]),
            (text_column("Kind"), [kind for kind, _ in groups]),
            (text_column("Reason"), [fmt.sentence(reason) for _, reason in groups]),
        ],
    )


def failures_table(failures: Sequence[TrialFailure]) -> Table:
    """Trials that did not reach their end."""
    return make_table(
        "Trials that failed. They are no part of any estimate.",
        [
            (text_column("Trial"), [failure.trial.id[:12] for failure in failures]),
            (text_column("Cell"), [fmt.cell(failure.trial.cell) for failure in failures]),
            (Column("Replicate"), [fmt.number(failure.trial.replicate) for failure in failures]),
            (Column("Epoch"), [fmt.number(None if f.epoch is None else f.epoch + 1) for f in failures]),
            (text_column("What happened"), [f"{failure.error_class}: {failure.message}" for failure in failures]),
        ],
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
    return make_table(table.caption, columns)
