"""The analysis of a study from end to end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.effects.answers import Draft, Setting, adjusted, answer, verdict
from cnnbench.stats.effects.families import interaction_families, pairwise_families, simple_families
from cnnbench.stats.effects.marginals import marginal_means, marginal_note
from cnnbench.stats.omnibus.anova import omnibus
from cnnbench.stats.omnibus.further_tests import further_tests
from cnnbench.stats.references import check_claim, check_value
from cnnbench.stats.trials.audit import audit
from cnnbench.stats.trials.cells import cell_data, observed_cells
from cnnbench.stats.trials.prepare import environment_refusal, margin_for, read_trials, scale_for, select, to_scale
from cnnbench.stats.words.notes import describe
from cnnbench.stats.words.wording import effect_sentence, headline
from cnnbench.types import Findings, Refusal, ResponseFindings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.spec import Hypothesis
    from cnnbench.stats.interface import AnalysisInput
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.stats.trials.prepare import Scale, Selection, Trials
    from cnnbench.types import Cell, Claim, DesignAudit, ReferenceCheck, ResponseInfo, TestTable


@dataclass(slots=True, eq=False)
class _Work:
    """One response on its way."""

    setting: Setting
    audit: DesignAudit
    raw: CellData | None = None
    """In the response's own unit; None without trials."""
    data: CellData | None = None
    """On the analysis scale; None where nothing may be tested."""
    cells: tuple[Cell, ...] = ()
    marginals: tuple[Cell, ...] = ()
    tables: list[TestTable] = field(default_factory=list)
    further_tables: list[TestTable] = field(default_factory=list)
    primary: Draft | None = None
    further: list[Draft] = field(default_factory=list)
    """Declared for this response; the family runs over the responses."""
    repeated: list[Draft] = field(default_factory=list)
    """The study's hypotheses, asked again of an `also` response."""
    families: list[Draft] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reason: str = ""
    """Why there is no effect to lead with."""


def analyse(data: AnalysisInput) -> Findings:
    """Test a study's hypotheses and describe its design, in the order of the decision table of docs/statistics.md.

    Whatever the trials do not bear is a `Refusal` in the findings, never an exception.

    Raises:
        AnalysisError: The table lacks a column, holds something that is no number or a level that the study does not
            name, or has the same replicate of a cell twice.
    """
    trials = read_trials(data)
    apart = environment_refusal(data, trials)
    works = {info.response.name: _start(data, trials, info, apart) for info in data.responses}
    for name, work in works.items():
        _test(data, work, name)
    _refuse_unrecorded(data, works)
    declared = adjusted(
        [draft for work in works.values() for draft in work.further], "further hypotheses", data.analysis.correction
    )
    for work in works.values():
        own = {id(draft.found): draft for draft in work.further}
        work.further = [draft for draft in declared if id(draft.found) in own]
    return Findings(
        study=data.study,
        question=data.question,
        alpha=data.analysis.alpha,
        confirmatory=data.confirmatory,
        responses=tuple(_finish(data, work) for work in works.values()),
        exclusions=data.exclusions,
        references=_references(data, works),
        claims=_claims(data, works),
        versions={name: version(name) for name in ("cnnbench", "numpy", "pandas", "scipy", "statsmodels")},
    )


def _start(data: AnalysisInput, trials: Trials, info: ResponseInfo, apart: Refusal | None) -> _Work:
    """Select the trials of a response, describe them, and put them on the analysis scale."""
    selection = select(data, trials, info)
    y_N = selection.y_N[selection.kept_N]
    raw = _cells(data, trials, selection, y_N, "raw") if len(y_N) else None
    scale, note = scale_for(data, info)
    setting = Setting(
        info, scale, data.analysis.alpha, margin_for(data, info, scale), data.paired, data.confirmatory, data.factors
    )
    work = _Work(setting, audit(data, trials, selection, raw), raw, refusals=list(selection.refusals))
    work.notes += [note] if note else []
    if raw is None:
        why = "No trial has finished." if not len(trials.ids) else "No trial is left that can be analysed."
        return _stop(
            work, Refusal(f"analysis of {info.response.name}", why, "Run the study; finished trials are kept.")
        )
    work.cells = observed_cells(raw, data.analysis.alpha)
    if apart is not None:
        return _stop(work, apart)
    work.marginals = marginal_means(raw, data.analysis.alpha)
    work.notes += [marginal_note(paired=data.paired, replicated=raw.replicated)] if work.marginals else []
    if np.ptp(y_N) <= raw.tiny and len(y_N) > 1:
        why = f"All {len(y_N)} trials gave the same value, {y_N[0]:.6g}."
        return _stop(
            work, Refusal(f"tests of {info.response.name}", why, "Choose a response that the factors can move.")
        )
    scaled = to_scale(y_N, scale, info.response.name)
    if isinstance(scaled, Refusal):
        return _stop(work, scaled)
    work.notes += [scaled[1]] if scaled[1] else []
    work.data = _cells(data, trials, selection, scaled[0], scale)
    return work


def _stop(work: _Work, refusal: Refusal) -> _Work:
    work.refusals.append(refusal)
    work.reason = f"Not tested: {refusal.why} {refusal.remedy}"
    return work


def _cells(
    data: AnalysisInput, trials: Trials, selection: Selection, y_N: NDArray[np.float64], scale: Scale
) -> CellData:
    """Arrange the selected trials; ``y_N`` holds a value for each of them."""
    cell_N, replicate_N = trials.cell_N[selection.kept_N], trials.replicate_N[selection.kept_N]
    return cell_data(data.factors, cell_N, replicate_N, y_N, paired=data.paired, transformed=scale != "raw")


def _test(data: AnalysisInput, work: _Work, name: str) -> None:
    """Run the omnibus tests, the hypotheses that concern this response, and the exploratory families."""
    cells, setting = work.data, work.setting
    if cells is None:
        return
    tables, refusals = omnibus(cells, setting.alpha)
    work.tables += tables
    work.refusals += refusals
    main = data.responses[0].response.name
    refused: set[str] = set()
    for key, hypothesis in _hypotheses(data):
        home = hypothesis.response or main
        asked_again = hypothesis.response is None and name != main and name in data.analysis.also
        if home != name and not asked_again:
            continue
        first = key == "primary" and home == name
        found = answer(cells, hypothesis, setting, key, "primary" if first else "further")
        if isinstance(found, Refusal):
            work.refusals.append(found)
            refused.add(key)
            if first:
                work.reason = f"The primary hypothesis ({found.what}) was not tested: {found.why} {found.remedy}"
        elif first:
            work.primary = found
        else:
            (work.further if home == name else work.repeated).append(found)
    work.repeated = adjusted(work.repeated, f"the study's hypotheses on {name}", data.analysis.correction)
    _explore(work, cells, None if "primary" in refused else data.analysis.primary)


def _refuse_unrecorded(data: AnalysisInput, works: dict[str, _Work]) -> None:
    """Refuse hypotheses on responses that no trial records, where the reader looks first."""
    main = works[data.responses[0].response.name]
    for key, hypothesis in _hypotheses(data):
        if hypothesis.response is not None and hypothesis.response not in works:
            what = "primary hypothesis" if key == "primary" else f"hypothesis {key.removeprefix('further:')}"
            why = f"The trials do not record the response {hypothesis.response}."
            main.refusals.append(Refusal(what, why, "Name one of the recorded responses in `[analysis]`."))


def _hypotheses(data: AnalysisInput) -> list[tuple[str, Hypothesis]]:
    primary = data.analysis.primary
    further = [(f"further:{i}", hypothesis) for i, hypothesis in enumerate(data.analysis.further, start=1)]
    return ([("primary", primary)] if primary is not None else []) + further


def _explore(work: _Work, cells: CellData, primary: Hypothesis | None) -> None:
    """Add the families that nobody declared; ``primary`` is None where there is none that can be answered."""
    families, refusals = pairwise_families(cells, work.setting)
    if primary is not None:
        simple, refused = simple_families(cells, primary, work.setting)
        families, refusals = simple + families, refused + refusals
    pairs, refused = interaction_families(cells, primary, work.setting)
    work.families += families + pairs
    work.refusals += refusals + refused
    work.further_tables, refused = further_tests(cells, work.setting.alpha)
    work.refusals += refused
    work.notes += describe(cells, work.primary, work.tables, work.setting.alpha)


def _finish(data: AnalysisInput, work: _Work) -> ResponseFindings:
    """Add verdicts and sentences, and write the headline."""
    cells, setting = work.data, work.setting
    drafts = [*([work.primary] if work.primary else []), *work.repeated, *work.further, *work.families]
    done = [] if cells is None else [_concluded(draft, setting, cells) for draft in drafts]
    lead = done[0] if done and done[0].effect.role != "family" else None
    reason = work.reason or _no_lead(data, setting)
    refusals = tuple(dict.fromkeys(work.refusals))
    return ResponseFindings(
        response=setting.info.response.name,
        unit=setting.info.unit,
        scale=setting.scale,
        higher_is_better=setting.info.higher_is_better,
        headline=headline(None if work.reason else lead, work.tables, setting, cells, reason),
        audit=work.audit,
        cells=work.cells,
        marginals=work.marginals,
        tests=tuple(work.tables),
        effects=tuple(draft.effect for draft in done),
        refusals=refusals,
        notes=tuple(work.notes),
        further_tests=tuple(work.further_tables),
    )


def _no_lead(data: AnalysisInput, setting: Setting) -> str:
    if not data.factors:
        return f"The study has one cell and no factors, so there is nothing to compare in {setting.info.response.name}."
    return "No hypothesis was declared for this response."


def _concluded(found: Draft, setting: Setting, cells: CellData) -> Draft:
    sentence = effect_sentence(found, setting, cells)
    return replace(found, effect=replace(found.effect, verdict=verdict(found, setting.alpha), sentence=sentence))


def _references(data: AnalysisInput, works: dict[str, _Work]) -> tuple[ReferenceCheck, ...]:
    checks = []
    for reference in data.references:
        if reference.value is None:
            continue
        work = works.get(reference.response)
        usable = work is not None and (work.data is not None or not work.reason or bool(work.marginals))
        raw = work.raw if work is not None and usable else None
        why = work.reason if work is not None else f"this study does not record {reference.response}."
        checks.append(check_value(reference, reference.value, raw, work.setting if work else None, why))
    return tuple(checks)


def _claims(data: AnalysisInput, works: dict[str, _Work]) -> tuple[Claim, ...]:
    claims = []
    for number, reference in enumerate(data.references, start=1):
        if reference.claim is None:
            continue
        work = works.get(reference.response)
        why = work.reason if work is not None else f"this study does not record {reference.response}."
        cells, setting = (work.data, work.setting) if work is not None else (None, None)
        claims.append(check_claim(reference, f"claim:{number}", cells, setting, why))
    return tuple(claims)
