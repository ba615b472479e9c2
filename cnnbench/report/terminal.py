"""What the terminal says at the end of a study: the finding, in 80 columns, with or without colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from cnnbench.report import format as fmt
from cnnbench.report import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType

    from cnnbench.types import Effect, ResponseFindings, StudyView, TestTable

_MOST_FAILURES = 5


def terminal_summary(view: StudyView) -> list[RenderableType]:
    """The end of a study in plain language: finding, effects, tests, and what limits them.

    Nothing in it is read as markup, so that names may hold brackets.
    """
    if not view.findings.responses:
        return [Text("No trial has been analysed, so there is no finding yet."), *_limits(view)]
    found = view.findings.responses[0]
    parts: list[RenderableType] = []
    if not view.findings.confirmatory:
        parts.append(Text("Exploratory: the analysis plan was changed after the first trial.", style="bold"))
    leading = next((stage for stage in reversed(view.findings.stages) if stage.responses), None)
    for stage in view.findings.stages:
        if stage.choice is not None and stage is not leading:  # whose sentences begin the headline
            parts += [Padding(Text(f"Stage {stage.name}. {' '.join(stage.sentences)}"), (0, 0, 1, 0))]
    parts.append(Padding(Text(found.headline), (0, 0, 1, 0)))
    hypotheses = [effect for effect in found.effects if effect.role != "family"]
    if hypotheses:
        parts.append(_effects(found, hypotheses))
    parts += [Padding(Text(line), (0, 0, 1, 0)) for line in _elsewhere(view.findings.responses[1:])]
    parts += [_tests(table) for table in found.tests]
    parts += [Padding(Text(line), (0, 0, 1, 0)) for line in _remarks(found)]
    rate, check = view.findings.null_rate, view.findings.self_check
    if rate is not None and rate.verdict != "as declared":
        parts.append(Padding(Text(rate.sentence), (0, 0, 1, 0)))
    if check is not None and check.failed:
        parts.append(Padding(Text(check.sentence), (0, 0, 1, 0)))
    return [*parts, *_limits(view)]


def _elsewhere(responses: Sequence[ResponseFindings]) -> list[str]:
    """The primary hypothesis asked of further responses: what is better by one may be worse by another."""
    asked = [effect for found in responses for effect in found.effects if effect.key == "primary"]
    return [f"{fmt.sentence(effect.sentence)} {fmt.capitalised(effect.verdict)}." for effect in asked if effect.verdict]


def _plain_table(title: str) -> RichTable:
    return RichTable(
        title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0)
    )


def _effects(found: ResponseFindings, effects: Sequence[Effect]) -> RichTable:
    ratios = found.scale == "log"
    odds = " (log odds)" if found.scale == "logit" else ""
    title = f"Ratio of {fmt.name(found.response)}" if ratios else f"Effect on {fmt.name(found.response)}{odds}"
    table = _plain_table(fmt.with_unit(title, "" if ratios or odds else found.unit))
    places = fmt.decimals_for(fmt.half_width(e.ratio_interval if ratios else e.interval) for e in effects)
    level = next((effect.interval.level for effect in effects if effect.interval is not None), 0.95)
    table.add_column("Contrast", overflow="fold")
    adjusted = any(effect.p_adjusted not in {None, effect.p} for effect in effects)
    headings = (
        "Ratio" if ratios else "Estimate",
        f"{fmt.percent(level)} interval",
        "p",
        *(["p adj."] if adjusted else []),
    )
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Verdict", no_wrap=True)
    for effect in effects:
        value = effect.ratio if ratios else effect.estimate
        interval = effect.ratio_interval if ratios else effect.interval
        label = Text(effect.label)
        if effect.role == "primary":
            label.append(" (primary)")
        cells = [fmt.number(value, places), fmt.interval_text(interval, places), fmt.p_value(effect.p)]
        cells += [fmt.p_value(effect.p_adjusted)] if adjusted else []
        table.add_row(label, *map(Text, cells), Text(effect.verdict or fmt.ABSENT))
    return table


def _tests(table: TestTable) -> RichTable:
    shown = tables.table_of_tests(table)
    kept = [
        index
        for index, column in enumerate(shown.columns)
        if column.title not in {"Sum of squares", "ε"} and not column.title.endswith("interval")
    ]
    printed = _plain_table(table.title)
    for index in kept:
        column = shown.columns[index]
        printed.add_column(Text(column.title), justify="right" if column.numeric else "left", no_wrap=column.numeric)
    for row in shown.rows:
        printed.add_row(*(Text(row[index]) for index in kept))
    return printed


def _remarks(found: ResponseFindings) -> Iterable[str]:
    family = sum(effect.role == "family" for effect in found.effects)
    if family:
        yield f"{fmt.plural(family, 'further contrast')}, exploratory, in the report."
    for refusal in found.refusals:
        yield f"{refusal.what}: {fmt.sentence(refusal.why)} {fmt.sentence(refusal.remedy)}"


def _limits(view: StudyView) -> list[RenderableType]:
    """What was not run, what failed, and what is still to come."""
    lines = []
    pending = view.findings.responses[0].audit.pending if view.findings.responses else 0
    if pending:
        lines.append(f"{fmt.plural(pending, 'planned trial has', 'planned trials have')} not run yet.")
    if view.findings.exclusions:
        kinds = [exclusion.kind for exclusion in view.findings.exclusions]
        counts = " and ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        lines.append(f"Cells not run: {counts}; the report gives the reasons.")
    if view.failures:
        lines.append(f"{fmt.plural(len(view.failures), 'trial')} failed:")
        for failure in view.failures[:_MOST_FAILURES]:
            what = f"{failure.error_class}: {failure.message}".splitlines()[0]
            lines.append(f"  {fmt.cell(failure.trial.cell)}, replicate {failure.trial.replicate}: {what}")
        if len(view.failures) > _MOST_FAILURES:
            lines.append(f"  and {len(view.failures) - _MOST_FAILURES} more")
    return [Text(line) for line in lines]
