"""Effects, their sizes, and published numbers beside ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.report import format as fmt
from cnnbench.report.tables.table import Column, Table, filled, interval_title, make_table, text_column

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cnnbench.types import (
        Claim,
        Effect,
        ReferenceCheck,
        ResponseFindings,
    )


_MOST_NOTES = 6
"""More different methods than this are not spelled out below a table."""


def effects_table(found: ResponseFindings, effects: Sequence[Effect], caption: str) -> Table:
    """Estimates with intervals, tests and verdicts; ratios beside log units where the scale is logarithmic."""
    places = fmt.decimals_for(fmt.half_width(effect.interval) for effect in effects)
    columns: list[tuple[Column, Iterable[str]]] = [(text_column("Effect"), [effect.label for effect in effects])]
    if found.scale == "log":
        ratio_places = fmt.decimals_for(fmt.half_width(effect.ratio_interval) for effect in effects)
        columns += [
            (Column("Ratio"), [fmt.ratio(effect.ratio, ratio_places) for effect in effects]),
            (
                Column(interval_title(effects)),
                [fmt.interval_text(e.ratio_interval, ratio_places, ratios=True) for e in effects],
            ),
            (Column("Log ratio"), [fmt.number(effect.estimate, places) for effect in effects]),
        ]
    else:
        title = "Estimate (log odds)" if found.scale == "logit" else fmt.with_unit("Estimate", found.unit)
        columns += [
            (Column(title), [fmt.number(effect.estimate, places) for effect in effects]),
            (Column(interval_title(effects)), [fmt.interval_text(effect.interval, places) for effect in effects]),
        ]
    columns += [
        (Column("Statistic"), [fmt.statistic(effect.statistic) for effect in effects]),
        (Column("df"), [fmt.degrees(effect.df) for effect in effects]),
        (Column("p"), [fmt.p_value(effect.p) for effect in effects]),
        (Column("p adjusted"), [fmt.p_value(effect.p_adjusted) for effect in effects]),
        (Column("p robust"), [fmt.p_value(effect.robust_p) for effect in effects]),
        (Column("p equivalence"), [fmt.p_value(effect.equivalence_p) for effect in effects]),
        (Column("n"), [fmt.number(effect.n) for effect in effects]),
        (text_column("Verdict"), [effect.verdict or fmt.ABSENT for effect in effects]),
    ]
    kept = filled(columns)
    return make_table(caption, kept, _effect_notes(effects))


def sizes_table(effects: Sequence[Effect], caption: str) -> Table | None:
    """Standardised sizes of effects, for readers who compare studies; None where no effect has one."""
    sized = [effect for effect in effects if effect.hedges_g is not None or effect.cliffs_delta is not None]
    if not sized:
        return None
    places = [min(max(fmt.decimals_for([fmt.half_width(effect.hedges_g_interval)]) or 2, 1), 3) for effect in sized]
    intervals = [effect.hedges_g_interval for effect in sized]
    level = next((interval.level for interval in intervals if interval is not None), 0.95)
    columns: list[tuple[Column, Iterable[str]]] = [
        (text_column("Effect"), [effect.label for effect in sized]),
        (Column("Hedges g"), [fmt.number(effect.hedges_g, d) for effect, d in zip(sized, places, strict=True)]),
        (
            Column(f"{fmt.percent(level)} interval"),
            [fmt.interval_text(interval, d) for interval, d in zip(intervals, places, strict=True)],
        ),
        (Column("Cliff's δ"), [fmt.number(effect.cliffs_delta, 2) for effect in sized]),
    ]
    kept = filled(columns)
    meanings = {
        "Hedges g": "the effect in standard deviations: of the per-seed values where seeds are shared, of trials "
        "within cells where they are not.",
        "Cliff's δ": "how much more often a trial of the first cell lies above one of the second than below it.",
    }
    shown = {column.title for column, _ in kept}
    return make_table(caption, kept, [f"{title}: {meaning}" for title, meaning in meanings.items() if title in shown])


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


def references_table(checks: Sequence[ReferenceCheck]) -> Table:
    """Published numbers beside ours."""
    ours = [check.ours for check in checks]
    places = [fmt.decimals_for([fmt.half_width(check.interval)]) for check in checks]
    columns: list[tuple[Column, Iterable[str]]] = [
        (text_column("Source"), [check.source for check in checks]),
        (text_column("Cell"), [fmt.cell(check.cell) for check in checks]),
        (text_column("Response"), [fmt.name(check.response) for check in checks]),
        (Column("Published"), [fmt.level(check.published) for check in checks]),
        (
            Column("Ours"),
            [fmt.number(cell.mean, d) if cell else "no such cell" for cell, d in zip(ours, places, strict=True)],
        ),
        (Column("n"), [fmt.number(cell.n if cell else None) for cell in ours]),
        (Column("Difference"), [fmt.number(c.difference, d) for c, d in zip(checks, places, strict=True)]),
        (
            Column(interval_title(checks)),
            [fmt.interval_text(c.interval, d) for c, d in zip(checks, places, strict=True)],
        ),
        (Column("p"), [fmt.p_value(check.p) for check in checks]),
    ]
    return make_table("Published numbers beside this study's; the difference is ours minus published.", columns)


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
