"""The analysis of a study from end to end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.blocks import block_tests
from cnnbench.stats.diagnostics import residuals
from cnnbench.stats.effects.answers import Draft, Setting, adjusted, answer, interaction, verdict
from cnnbench.stats.effects.families import further_families, interaction_families, pairwise_families, simple_families
from cnnbench.stats.effects.marginals import marginal_means, marginal_note
from cnnbench.stats.effects.means import estimated_means
from cnnbench.stats.omnibus.anova import omnibus
from cnnbench.stats.omnibus.further_tests import further_tests
from cnnbench.stats.omnibus.mixed_model import described as random_part
from cnnbench.stats.omnibus.mixed_model import mixed_model, mixed_notes, mixed_tables
from cnnbench.stats.omnibus.quasi_binomial import Counts
from cnnbench.stats.other_scale import Rescaled, on_other_scale, scale_beside
from cnnbench.stats.references import check_claim, check_value
from cnnbench.stats.trials.audit import audit
from cnnbench.stats.trials.cells import cell_data, named, observed_cells, over_levels
from cnnbench.stats.trials.prepare import (
    environment_refusal,
    examples_of,
    margin_for,
    read_trials,
    scale_for,
    select,
    to_scale,
    within_arithmetic,
)
from cnnbench.stats.trials.random_levels import population, random_position
from cnnbench.stats.variance import variance_budget
from cnnbench.stats.words.adaptive import UNDECIDED, look_sentences
from cnnbench.stats.words.notes import describe
from cnnbench.stats.words.wording import effect_sentence, headline
from cnnbench.types import Findings, Refusal, ResponseFindings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.spec import Hypothesis
    from cnnbench.stats.interface import AnalysisInput
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.stats.trials.prepare import Scale, Selection, Trials
    from cnnbench.types import (
        Cell,
        Claim,
        DesignAudit,
        ExampleComparison,
        Look,
        MixedModel,
        OtherScale,
        RankComparison,
        ReferenceCheck,
        ResponseInfo,
        TestTable,
        VarianceBudget,
    )


@dataclass(slots=True, eq=False)
class _Work:
    """One response on its way."""

    setting: Setting
    audit: DesignAudit
    raw: CellData | None = None
    """In the response's own unit; None without trials."""
    data: CellData | None = None
    """On the analysis scale; None where nothing may be tested. Where datasets are random, their means are its rows."""
    trials: CellData | None = None
    """All trials on the analysis scale; the same as `data` where all factors are fixed."""
    cells: tuple[Cell, ...] = ()
    marginals: tuple[Cell, ...] = ()
    tables: list[TestTable] = field(default_factory=list)
    further_tables: list[TestTable] = field(default_factory=list)
    mixed: MixedModel | None = None
    primary: Draft | None = None
    partner: Draft | None = None
    """The omnibus interaction that shares alpha with a primary slope of two factors over independent trials."""
    further: list[Draft] = field(default_factory=list)
    """Declared for this response; the family runs over the responses."""
    repeated: list[Draft] = field(default_factory=list)
    """The study's hypotheses, asked again of an `also` response."""
    families: list[Draft] = field(default_factory=list)
    beside: list[Draft] = field(default_factory=list)
    """Families that stand in no report."""
    refusals: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: Counts | None = None
    """Where the response is a share of known numbers of examples."""
    other: Rescaled | None = None
    reason: str = ""
    """Why there is no effect to lead with."""
    lead: str = ""
    """What leads where no hypothesis does: the finding over blocks that are datasets or examples."""
    ranks: RankComparison | None = None
    examples: ExampleComparison | None = None
    promise: list[str] = field(default_factory=list)
    """Of a two-stage design: how it came to its number of seeds, and whether its interval is as narrow as promised."""


@dataclass(frozen=True, slots=True, eq=False)
class PrimaryTest:
    """The primary hypothesis with the trials that it was tested on."""

    hypothesis: Hypothesis
    cells: CellData
    setting: Setting
    draft: Draft
    partner: Draft | None
    """The omnibus interaction that shares alpha with it, if one does."""
    correction: str
    """How the two share it."""


def primary_test(data: AnalysisInput) -> PrimaryTest | Refusal:
    """Test the primary hypothesis alone, as `analyse` does, and return what it was tested on.

    Raises:
        AnalysisError: As `analyse`.
    """
    hypothesis, what = data.analysis.primary, "null rate of the primary test"
    if hypothesis is None:
        return Refusal(what, "The study declares no primary hypothesis.", "Declare one in `[analysis]`.")
    name = hypothesis.response or data.responses[0].response.name
    info = next((info for info in data.responses if info.response.name == name), None)
    if info is None:
        return Refusal(
            what,
            f"The trials do not record the response {name}.",
            "Name one of the recorded responses in `[analysis]`.",
        )
    trials = read_trials(data)
    work = _start(data, trials, info, environment_refusal(data, trials))
    if work.data is None:
        why = work.refusals[-1]
        return Refusal(what, f"The primary hypothesis was not tested: {why.why}", why.remedy)
    found = answer(work.data, hypothesis, work.setting, "primary", "primary")
    if isinstance(found, Refusal):
        return Refusal(what, f"The primary hypothesis was not tested: {found.why}", found.remedy)
    work.primary = found
    _pair(work, work.data, data.analysis.correction)
    return PrimaryTest(hypothesis, work.data, work.setting, found, work.partner, data.analysis.correction)


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
    look = _promise(data, works)
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
        look=look,
    )


def _start(data: AnalysisInput, trials: Trials, info: ResponseInfo, apart: Refusal | None) -> _Work:
    """Select the trials of a response, describe them, and put them on the analysis scale."""
    selection = select(data, trials, info)
    selection, beyond = within_arithmetic(selection, info.response.name)
    y_N = selection.y_N[selection.kept_N]
    raw = _cells(data, trials, selection, y_N, "raw") if len(y_N) else None
    scale, note = scale_for(data, info)
    setting = Setting(
        info, scale, data.analysis.alpha, margin_for(data, info, scale), data.paired, data.confirmatory, data.factors
    )
    position = random_position(data.random, raw)
    setting = replace(setting, random=data.random, population=population(data.random, raw))
    work = _Work(setting, audit(data, trials, selection, raw), raw, refusals=list(selection.refusals))
    work.notes += [note] if note else []
    if raw is None:
        why = "No trial has finished." if not len(trials.ids) else "No trial is left that can be analysed."
        none_left = Refusal(f"analysis of {info.response.name}", why, "Run the study; finished trials are kept.")
        return _stop(work, beyond or none_left)
    work.cells = observed_cells(raw, data.analysis.alpha)
    if apart is not None:
        return _stop(work, apart)
    work.marginals = _marginals(raw, position, data.analysis.alpha)
    at = None if position is None else data.random
    if work.marginals:
        about = marginal_note(paired=data.paired, replicated=raw.replicated, block=raw.block, random=at)
        work.notes.append(about)
    work.notes += [setting.population] if setting.population and position is None else []
    if np.ptp(y_N) <= raw.tiny and len(y_N) > 1:
        why = f"All {len(y_N)} trials gave the same value, {y_N[0]:.6g}."
        return _stop(
            work, Refusal(f"tests of {info.response.name}", why, "Choose a response that the factors can move.")
        )
    every_N = examples_of(data, info)
    num_N = None if every_N is None else every_N[selection.kept_N]
    scaled = to_scale(y_N, scale, info.response.name, num_N)
    if isinstance(scaled, Refusal):
        return _stop(work, scaled)
    work.notes += [scaled[1]] if scaled[1] else []
    work.trials = _cells(data, trials, selection, scaled[0], scale)
    work.data = work.trials if position is None else over_levels(work.trials, position)
    _fit_mixed(work, position)
    if num_N is not None:
        tables = [_cells(data, trials, selection, one_N, "raw") for one_N in (y_N * num_N, num_N)]
        work.counts = Counts(*(table.y_KM + table.offset for table in tables))
    beside = scale_beside(scale, info)
    again = None if beside is None else to_scale(y_N, beside, info.response.name, num_N)
    if beside is not None and again is not None and not isinstance(again, Refusal):
        cells = _cells(data, trials, selection, again[0], beside)
        work.other = Rescaled(beside, cells if position is None else over_levels(cells, position), work.counts)
    if data.look is not None and work.data is not None:
        work.data = replace(work.data, pilot=data.look.pilot)
    return work


def _marginals(raw: CellData, random: int | None, alpha: float) -> tuple[Cell, ...]:
    """Return the marginal means; those of fixed factors run over the levels of a random one."""
    if random is None:
        return marginal_means(raw, alpha)
    name = raw.factors[random].name
    own = tuple(cell for cell in marginal_means(raw, alpha) if name in cell.levels)
    return (*own, *marginal_means(over_levels(raw, random), alpha))


def _fit_mixed(work: _Work, random: int | None) -> None:
    """Fit the mixed model that stands beside the tests, where the design has one."""
    if work.trials is None or work.data is None:
        return
    mixed = mixed_model(work.trials, work.data, random)
    if isinstance(mixed, str):
        work.notes.append(mixed)
    elif mixed is not None:
        work.setting = replace(work.setting, mixed=mixed)
        work.mixed = random_part(mixed, work.setting.alpha)
        work.notes += mixed_notes(mixed)


def _stop(work: _Work, refusal: Refusal) -> _Work:
    work.refusals.append(refusal)
    work.reason = f"Not tested: {refusal.why} {refusal.remedy}"
    return work


def _cells(
    data: AnalysisInput, trials: Trials, selection: Selection, y_N: NDArray[np.float64], scale: Scale
) -> CellData:
    """Arrange the selected trials; ``y_N`` holds a value for each of them."""
    cell_N, replicate_N = trials.cell_N[selection.kept_N], trials.replicate_N[selection.kept_N]
    names = [factor.name for factor in data.factors]
    cells = cell_data(
        data.factors,
        cell_N,
        replicate_N,
        y_N,
        paired=data.paired,
        transformed=scale != "raw",
        between=tuple(names.index(name) for name in data.nested_in),
    )
    cells = replace(cells, block=data.blocks.removesuffix("s"))
    return cells if data.replicate_names is None else named(cells, data.replicate_names)


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
    _pair(work, cells, data.analysis.correction)
    work.repeated = adjusted(work.repeated, f"the study's hypotheses on {name}", data.analysis.correction)
    _explore(work, cells, None if "primary" in refused else data.analysis.primary)
    _over_blocks(data, work, cells)


def _over_blocks(data: AnalysisInput, work: _Work, cells: CellData) -> None:
    """Add the tests over blocks: before all others where blocks are datasets, instead of them for right and wrong."""
    found = block_tests(data, cells, work.setting)
    if found.decides:
        beside = work.tables if found.examples is None else []
        num_first = 1 if found.examples is None or found.examples.cochran_q is None else 2
        work.tables, rest = found.tables[:num_first], found.tables[num_first:]
        work.further_tables = [*rest, *beside, *work.further_tables]
    else:
        work.further_tables += found.tables
    work.lead, work.ranks, work.examples = found.lead, found.ranks, found.examples
    work.notes += found.notes
    work.refusals += found.refusals


def _pair(work: _Work, cells: CellData, correction: str) -> None:
    """Put the omnibus interaction beside a primary slope of two factors over independent trials, Holm over the two.

    The slope is the more powerful one where effects grow steadily, the omnibus test where a single cell stands out.
    """
    slope = work.primary.hypothesis.slope if work.primary is not None and work.primary.hypothesis is not None else None
    if work.primary is None or slope is None or len(slope) < 2 or cells.paired or not cells.replicated:
        return
    partner = interaction(cells, slope, work.setting, "primary:omnibus", "further")
    if isinstance(partner, Refusal):
        return
    pair = adjusted([work.primary, partner], "primary pair: slope and omnibus interaction", correction)
    # Equivalence is a claim about each of them alone.
    work.primary, work.partner = (replace(draft, adjusted_equivalence_p=None) for draft in pair)


def _refuse_unrecorded(data: AnalysisInput, works: dict[str, _Work]) -> None:
    """Refuse hypotheses on responses that no trial records, where the reader looks first."""
    main = works[data.responses[0].response.name]
    for key, hypothesis in _hypotheses(data):
        if hypothesis.response is not None and hypothesis.response not in works:
            what = "primary hypothesis" if key == "primary" else f"hypothesis {key.removeprefix('further:')}"
            why = f"The trials do not record the response {hypothesis.response}."
            main.refusals.append(Refusal(what, why, "Name one of the recorded responses in `[analysis]`."))


def _promise(data: AnalysisInput, works: dict[str, _Work]) -> Look | None:
    """Say how a two-stage design came to its number of seeds; return the decision with the width that it reached."""
    if not data.two_stage:
        return None
    primary = data.analysis.primary
    home = (primary.response if primary is not None else None) or data.responses[0].response.name
    work = works[home]
    if data.look is None:
        work.promise.append(UNDECIDED)
        return None
    interval = None if work.primary is None else work.primary.effect.interval
    look = replace(data.look, reached=None if interval is None else (interval.high - interval.low) / 2)
    work.promise += look_sentences(look, work.setting)
    return look


def _hypotheses(data: AnalysisInput) -> list[tuple[str, Hypothesis]]:
    primary = data.analysis.primary
    further = [(f"further:{i}", hypothesis) for i, hypothesis in enumerate(data.analysis.further, start=1)]
    return ([("primary", primary)] if primary is not None else []) + further


def _explore(work: _Work, cells: CellData, primary: Hypothesis | None) -> None:
    """Add the families that nobody declared; ``primary`` is None where there is none that can be answered."""
    cells = replace(cells, pilot=())  # what nobody declared has the spread of all trials
    families, refusals = pairwise_families(cells, work.setting)
    if primary is not None:
        simple, refused = simple_families(cells, primary, work.setting)
        families, refusals = simple + families, refused + refusals
    pairs, refused = interaction_families(cells, primary, work.setting)
    work.families += families + pairs
    work.beside = further_families(cells, primary, work.setting)
    work.refusals += refusals + refused
    work.further_tables, refused = further_tests(cells, work.setting.alpha)
    work.further_tables += [] if work.setting.mixed is None else mixed_tables(work.setting.mixed)
    work.refusals += refused
    work.notes += describe(cells, work.primary, work.tables, work.setting.alpha)


def _finish(data: AnalysisInput, work: _Work) -> ResponseFindings:
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
        estimated_means=() if cells is None else estimated_means(cells, setting.alpha),
        further_effects=tuple(replace(draft.effect, verdict=verdict(draft, setting.alpha)) for draft in work.beside),
    )


def _variance(work: _Work) -> VarianceBudget | None:
    if work.raw is None:
        return None
    return variance_budget(work.raw, work.counts, work.data, work.primary, work.setting.population)


def _other_scale(work: _Work) -> OtherScale | None:
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


def _references(data: AnalysisInput, works: dict[str, _Work]) -> tuple[ReferenceCheck, ...]:
    checks = []
    for reference in data.references:
        if reference.value is None:
            continue
        work = works.get(reference.response)
        usable = work is not None and (work.data is not None or not work.reason or bool(work.marginals))
        raw = work.raw if work is not None and usable else None
        why = work.reason if work is not None else f"this study does not record {reference.response}."
        if raw is not None and data.random is not None and data.random not in reference.cell:
            position = random_position(data.random, raw)
            raw = raw if position is None else over_levels(raw, position)
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
        trials = None if work is None else work.trials
        claims.append(check_claim(reference, f"claim:{number}", cells, setting, why, trials=trials))
    return tuple(claims)
