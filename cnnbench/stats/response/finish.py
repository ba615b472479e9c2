"""The last step: verdicts, sentences and the headline."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cnnbench.stats.diagnostics import residuals
from cnnbench.stats.effects.answers import verdict
from cnnbench.stats.effects.means import estimated_means
from cnnbench.stats.other_scale import on_other_scale
from cnnbench.stats.variance import seeds_population, variance_budget
from cnnbench.stats.words.wording import effect_sentence, headline
from cnnbench.types import ResponseFindings

if TYPE_CHECKING:
    from cnnbench.stats.effects.answers import Draft, Setting
    from cnnbench.stats.interface import AnalysisInput
    from cnnbench.stats.response.work import Work
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.types import OtherScale, VarianceBudget


def finish(data: AnalysisInput, work: Work) -> ResponseFindings:
    """Add verdicts and sentences, and write the headline."""
    cells, setting = work.data, work.setting
    pair = [draft for draft in (work.primary, work.partner) if draft is not None]
    drafts = [*pair, *work.repeated, *work.further, *work.families]
    done = [] if cells is None else [_concluded(draft, setting, cells) for draft in drafts]
    leads = () if work.reason or not done or done[0].effect.role == "family" else done[: max(1, len(pair))]
    reason = work.reason or _no_lead(data, setting)
    head = headline(leads, work.tables, setting, cells, reason)
    if work.lead and not leads and not work.reason:
        head = work.lead
    elif work.lead:
        work.notes.insert(0, work.lead)
    refusals = tuple(dict.fromkeys(work.refusals))
    return ResponseFindings(
        response=setting.info.response.name,
        unit=setting.info.unit,
        scale=setting.scale,
        higher_is_better=setting.info.higher_is_better,
        headline=" ".join([head, *work.promise]),
        audit=work.audit,
        cells=work.cells,
        marginals=work.marginals,
        tests=tuple(work.tables),
        effects=tuple(draft.effect for draft in done),
        refusals=refusals,
        notes=tuple(work.notes),
        further_tests=tuple(work.further_tables),
        other_scale=_other_scale(work),
        variance=_variance(work),
        residuals=None if cells is None else residuals(cells),
        mixed_model=work.mixed,
        ranks=work.ranks,
        examples=work.examples,
        clock=work.clock,
        margin=setting.margin,
        estimated_means=() if cells is None else estimated_means(cells, setting.alpha),
        further_effects=tuple(replace(draft.effect, verdict=verdict(draft, setting.alpha)) for draft in work.beside),
    )


def _variance(work: Work) -> VarianceBudget | None:
    if work.raw is None:
        return None
    info = work.setting.info
    population = work.setting.population or seeds_population(work.raw, timed=info.uses_time)
    return variance_budget(work.raw, work.counts, work.data, work.primary, population)


def _other_scale(work: Work) -> OtherScale | None:
    if work.other is None or not work.tables:
        return None
    primary = work.primary
    asked = None if primary is None or primary.hypothesis is None else (primary.hypothesis, primary)
    return on_other_scale(work.other, work.setting, asked, work.tables)


def _no_lead(data: AnalysisInput, setting: Setting) -> str:
    if not data.factors:
        return f"The study has one cell and no factors, so there is nothing to compare in {setting.info.response.name}."
    return "No hypothesis was declared for this response."


def _concluded(found: Draft, setting: Setting, cells: CellData) -> Draft:
    sentence = effect_sentence(found, setting, cells)
    return replace(found, effect=replace(found.effect, verdict=verdict(found, setting.alpha), sentence=sentence))
