"""Findings in a terminal: design, finding, hypotheses, tests, families, refusals and notes, in 80 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cnnbench.report import format as fmt
from cnnbench.report import tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from cnnbench.types import Effect, Findings, OtherScale, ResponseFindings, TestTable, VarianceBudget


def findings_text(findings: Findings) -> Iterator[RenderableType]:
    """Yield what is printed, response by response, of a sequential design stage by stage."""
    for stage in findings.stages:
        yield _paragraph(f"Stage {stage.name}. {' '.join(stage.sentences)}")
        yield from _responses(stage.responses)
    if not findings.stages:
        yield from _responses(findings.responses)
    for exclusion in findings.exclusions:
        yield _paragraph(
            f"Not run ({exclusion.kind}): {fmt.cell(exclusion.cell)}. {fmt.capitalised(fmt.sentence(exclusion.reason))}"
        )
    if findings.null_rate is not None:
        yield _paragraph(findings.null_rate.sentence)
    if findings.self_check is not None and findings.self_check.failed:
        yield _paragraph(findings.self_check.sentence)


def _responses(responses: Sequence[ResponseFindings]) -> Iterator[RenderableType]:
    for found in responses:
        if len(responses) > 1:
            yield _paragraph(found.response)
        yield _paragraph(" ".join(found.audit.sentences))
        yield _paragraph(found.headline)
        for family, effects in _families(found).items():
            yield _effects(found, effects, family or "Declared hypotheses")
        for table in (*found.tests, *found.further_tests):
            yield _tests(table)
        yield from _beside(found)
        for refusal in found.refusals:
            why, remedy = fmt.sentence(refusal.why), fmt.sentence(refusal.remedy)
            yield _paragraph(f"Refused: {refusal.what}. {why} {remedy}")
        for note in found.notes:
            yield _paragraph(note)


def _beside(found: ResponseFindings) -> Iterator[RenderableType]:
    """Yield what stands beside the tests, as far as the response has it."""
    if found.other_scale is not None:
        yield from _other_scale(found.other_scale)
    if found.variance is not None:
        yield from _variance(found.variance)
    if found.ranks is not None:
        yield _as_drawn(tables.ranks_table(found.ranks))
    if found.examples is not None:
        yield _as_drawn(tables.accuracies_table(found.examples))
        yield _as_drawn(tables.example_pairs_table(found.examples))


def _other_scale(other: OtherScale) -> Iterator[RenderableType]:
    yield _paragraph(f"On another scale ({other.method}). {other.sentence}")
    for table in other.tests:
        yield _tests(table)


def _variance(budget: VarianceBudget) -> Iterator[RenderableType]:
    components = budget.components
    columns = [
        ("Source", [component.name for component in components]),
        ("SD", [fmt.number(component.sd) for component in components]),
        ("df", [fmt.degrees(component.df) for component in components]),
    ]
    yield drawn("Where the noise comes from", columns)
    yield _paragraph(budget.population)


def _as_drawn(table: tables.Table) -> RenderableType:
    """Draw a table of the report."""
    columns = [(column.title, [row[i] for row in table.rows]) for i, column in enumerate(table.columns)]
    return Group(drawn(table.caption.rstrip("."), columns), *(_paragraph(note) for note in table.notes))


def _paragraph(text: str) -> RenderableType:
    return Padding(Text(text), (0, 0, 1, 0))


def _families(found: ResponseFindings) -> dict[str, list[Effect]]:
    """Return the effects by family, declared ones first, as the findings have them."""
    families: dict[str, list[Effect]] = {}
    for effect in found.effects:
        title = f"Exploratory: {effect.family}" if effect.role == "family" else effect.family
        families.setdefault(title, []).append(effect)
    return families


def drawn(title: str, columns: Sequence[tuple[str, Sequence[str]]], *, wrap: bool = False) -> Table:
    """Draw named columns, the first of them text; one that says nothing is left out. ``wrap``: all of them are text."""
    table = Table(
        title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0)
    )
    shown = [column for column in columns if any(value != fmt.ABSENT for value in column[1])]
    for index, (heading, _) in enumerate(shown):
        if index and not wrap:
            table.add_column(Text(heading), justify="right", no_wrap=True)
        else:
            table.add_column(Text(heading), overflow="fold")
    for values in zip(*(values for _, values in shown), strict=True):
        table.add_row(*map(Text, values))
    return table


def _effects(found: ResponseFindings, effects: Sequence[Effect], title: str) -> Table:
    ratios = found.scale == "log"
    intervals = [effect.ratio_interval if ratios else effect.interval for effect in effects]
    places = fmt.decimals_for(map(fmt.half_width, intervals))
    level = next((interval.level for interval in intervals if interval is not None), 0.95)
    adjusted = [fmt.p_value(effect.p_adjusted) for effect in effects]
    columns = [
        ("Effect", [effect.label for effect in effects]),
        (
            "Ratio" if ratios else "Estimate",
            [fmt.number(effect.ratio if ratios else effect.estimate, places) for effect in effects],
        ),
        (f"{fmt.percent(level)} interval", [fmt.interval_text(interval, places) for interval in intervals]),
        ("p", [fmt.p_value(effect.p) for effect in effects]),
        ("p adj.", adjusted),
        ("Verdict", [effect.verdict or fmt.ABSENT for effect in effects]),
    ]
    return drawn(title, columns)


def _tests(table: TestTable) -> Table:
    rows = table.rows
    columns = [
        ("Term", [row.term for row in rows]),
        (
            "df",
            [", ".join(fmt.degrees(df) for df in (row.df1, row.df2) if df is not None) or fmt.ABSENT for row in rows],
        ),
        (table.statistic_name, [fmt.statistic(row.statistic) for row in rows]),
        ("p", [fmt.p_value(row.p) for row in rows]),
        ("p adj.", [fmt.p_value(row.p_adjusted) for row in rows]),
        ("Partial η²", [fmt.number(row.partial_eta_sq, 3) for row in rows]),
    ]
    return drawn(table.title, columns)
