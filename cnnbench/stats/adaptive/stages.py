"""A sequential design: each stage is a design of one factor, analysed on its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cnnbench.spec import SETTING, Hypothesis
from cnnbench.stats.effects.answers import Setting
from cnnbench.stats.engine import analyse
from cnnbench.stats.trials.prepare import scale_for
from cnnbench.stats.words.adaptive import choice_sentences, confirm_sentences
from cnnbench.types import Claim, Factor, Findings, ReferenceCheck, StageFindings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from cnnbench.spec import AnalysisSpec, Reference
    from cnnbench.stats.interface import AnalysisInput
    from cnnbench.types import Choice, Exclusion, Level, ResponseFindings, Stage, TrialFailure

BASELINE, SELECTED = "baseline", "selected"
NOT_RUN = "no stage of this study has run such a cell."


@dataclass(frozen=True, slots=True)
class Course:
    """How a sequential study went."""

    stages: tuple[Stage, ...]
    choices: tuple[Choice, ...]
    """One for each stage but the last, or for each with the last one undecided or confirming."""
    baseline: Mapping[str, Level]
    confirms: bool
    """Whether a last stage runs baseline and selected setting again."""
    same_examples: bool = False
    """Whether all trials are evaluated on the same examples, as the dataset brings its split."""


def stage_input(data: AnalysisInput, stage: Stage, baseline: Mapping[str, Level]) -> AnalysisInput:
    """Return the trials of one stage with what is asked of them; ``data`` is the whole study's.

    The factor of the confirming stage is called ``setting``; its levels are ``baseline`` and ``selected``.
    """
    factors = _factors(data, stage, baseline)
    names = {factor.name for factor in factors}
    frame = _rows(data.trials, stage, baseline)
    failures = tuple(
        _confined(failure, stage, names) for failure in data.failures if failure.trial.replicate in stage.replicates
    )
    return replace(
        data,
        factors=factors,
        trials=frame,
        analysis=_questions(data.analysis, stage, compares=bool(factors)),
        references=tuple(_within(one, stage) for one in data.references if _home([stage], one) is not None),
        replicates=len(stage.replicates),
        exclusions=tuple(replace(one, cell=_own(one, stage)) for one in data.exclusions if _met(one, stage)),
        failures=failures,
        pending=len(stage.cells) * len(stage.replicates) - len(frame) - len(failures),
    )


def _rows(trials: pd.DataFrame, stage: Stage, baseline: Mapping[str, Level]) -> pd.DataFrame:
    """Return the rows of a stage; those of the confirming one with a column ``setting``."""
    rows = trials[trials["replicate"].isin(stage.replicates)]
    if stage.factor is not None:
        return rows
    is_baseline = [all(row[name] == level for name, level in baseline.items()) for _, row in rows.iterrows()]
    return rows.assign(**{SETTING: [BASELINE if here else SELECTED for here in is_baseline]})


def _factors(data: AnalysisInput, stage: Stage, baseline: Mapping[str, Level]) -> tuple[Factor, ...]:
    if stage.factor is not None:
        return tuple(factor for factor in data.factors if factor.name == stage.factor)
    return () if dict(stage.held) == dict(baseline) else (Factor(SETTING, (BASELINE, SELECTED)),)


def _questions(analysis: AnalysisSpec, stage: Stage, *, compares: bool) -> AnalysisSpec:
    """Return the analysis plan of a stage: what is asked about its factor, or of the selection."""
    if stage.factor is None:
        primary = Hypothesis(contrast=f"{SELECTED} - {BASELINE}", over=SETTING) if compares else None
        return analysis.model_copy(update={"primary": primary, "further": ()})
    own = tuple(one for one in analysis.further if _asks_about(one) == stage.factor)
    primary = analysis.primary
    mine = primary is not None and _asks_about(primary) == stage.factor
    return analysis.model_copy(update={"primary": primary if mine else None, "further": own})


def _asks_about(hypothesis: Hypothesis) -> str | None:
    return hypothesis.over or (hypothesis.slope or (None,))[0]


def _confined(failure: TrialFailure, stage: Stage, names: set[str]) -> TrialFailure:
    """Return a failure whose cell names the stage's factor only."""
    if stage.factor is None:
        return failure
    cell = {name: level for name, level in failure.trial.cell.items() if name in names}
    return replace(failure, trial=replace(failure.trial, cell=cell))


def _met(exclusion: Exclusion, stage: Stage) -> bool:
    return stage.factor is not None and all(exclusion.cell[name] == level for name, level in stage.held.items())


def _own(exclusion: Exclusion, stage: Stage) -> Mapping[str, Level]:
    return {name: level for name, level in exclusion.cell.items() if name == stage.factor}


def _within(reference: Reference, stage: Stage) -> Reference:
    return reference.model_copy(update={"cell": {k: v for k, v in reference.cell.items() if k == stage.factor}})


def _home(stages: Sequence[Stage], reference: Reference) -> Stage | None:
    """Return the stage that a published number or claim belongs to: the last that varies its factor as it says."""
    for stage in reversed(stages):
        if reference.claim is not None:
            if stage.factor == _asks_about(reference.claim):
                return stage
        elif stage.factor in reference.cell and all(
            stage.held.get(name) == level for name, level in reference.cell.items() if name != stage.factor
        ):
            return stage
    return None


def analyse_stages(data: AnalysisInput, course: Course) -> Findings:
    """Analyse every stage on its own, and lead with the last one that has trials.

    Raises:
        AnalysisError: As `analyse` does.
    """
    whole = replace(data, references=tuple(one for one in data.references if _home(course.stages, one) is None))
    parts: list[StageFindings] = []
    checks: dict[int, ReferenceCheck] = {}
    claims: dict[int, Claim] = {}
    findings = None
    for index, stage in enumerate(course.stages):
        home = [i for i, one in enumerate(data.references) if _home(course.stages, one) is stage]
        mine = replace(data, references=tuple(data.references[i] for i in home))
        own = stage_input(mine, stage, course.baseline)
        found = analyse(own) if len(own.trials) else None
        choice = course.choices[index] if index < len(course.choices) else None
        sentences = tuple(_sentences(own, stage, choice, course))
        responses = () if found is None else found.responses
        parts.append(StageFindings(stage.name, stage.held, stage.replicates, choice, sentences, responses))
        if found is not None:
            findings = found
            checks |= zip([i for i in home if data.references[i].value is not None], found.references, strict=True)
            claims |= zip([i for i in home if data.references[i].claim is not None], found.claims, strict=True)
    if findings is None:  # the caller has trials of some stage
        findings = analyse(whole)
    for i, one in enumerate(data.references):
        if one.value is not None and i not in checks:
            checks[i] = _not_compared(one, one.value)
        elif one.claim is not None and i not in claims:
            claims[i] = _not_tested(one)
    lead = next(part for part in reversed(parts) if part.responses)
    return replace(
        findings,
        responses=_led(lead),
        exclusions=data.exclusions,
        references=tuple(replace(checks[i], cell=data.references[i].cell) for i in sorted(checks)),
        claims=tuple(claims[i] for i in sorted(claims)),
        stages=tuple(parts),
    )


def _sentences(own: AnalysisInput, stage: Stage, choice: Choice | None, course: Course) -> list[str]:
    if stage.factor is None:
        return confirm_sentences(course.baseline, stage.held, same_examples=course.same_examples)
    if choice is None:
        return ["Nothing is chosen yet: the stage has not finished."]
    info = own.responses[0]
    scale, _ = scale_for(own, info)
    setting = Setting(info, scale, own.analysis.alpha, None, own.paired, own.confirmatory, own.factors)
    return choice_sentences(choice, setting, confirmed=course.confirms, same_examples=course.same_examples)


def _led(part: StageFindings) -> tuple[ResponseFindings, ...]:
    """Return the responses of the leading stage; its headline begins with what the stage is about."""
    first, *others = part.responses
    return (replace(first, headline=f"{' '.join(part.sentences)} {first.headline}"), *others)


def _not_compared(reference: Reference, published: float) -> ReferenceCheck:
    blank = (reference.source, reference.quote, reference.response, reference.cell, published)
    return ReferenceCheck(*blank, None, None, None, None, f"Not compared: {NOT_RUN}")


def _not_tested(reference: Reference) -> Claim:
    blank = (reference.source, reference.quote, reference.expected or "none", reference.response)
    return Claim(*blank, None, "undetermined", f"The claim cannot be tested: {NOT_RUN}")
