"""Effects: estimates as drafts, then families and verdicts once every p is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp
from typing import TYPE_CHECKING, Literal

import numpy as np

from cnnbench.spec import parse_contrast
from cnnbench.stats.effects.effect_size import described
from cnnbench.stats.effects.estimate import equivalence_p, estimate
from cnnbench.stats.effects.questions import contrast, hypothesis_label, interaction_contrasts, place_text, slope
from cnnbench.stats.multiplicity import holm
from cnnbench.stats.omnibus.heteroscedastic import ats, ats_obstacle
from cnnbench.stats.omnibus.term_tests import f_row, type2_ss, type3_ss
from cnnbench.stats.omnibus.within import complete_means, complete_replicates, within_test
from cnnbench.stats.trials.cells import NO_NOISE_REMEDY, blocks_word, level_index, level_text, more_blocks
from cnnbench.stats.trials.models import term_basis, term_name, terms
from cnnbench.types import Effect, Interval, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from cnnbench.spec import Hypothesis
    from cnnbench.stats.effects.estimate import Estimate
    from cnnbench.stats.effects.questions import Question
    from cnnbench.stats.omnibus.mixed_model import Mixed
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.stats.trials.models import Term
    from cnnbench.stats.trials.prepare import Scale
    from cnnbench.types import Factor, Level, ResponseInfo, Verdict

Role = Literal["primary", "further", "family"]


@dataclass(frozen=True, slots=True)
class Setting:
    """How one response is analysed and worded."""

    info: ResponseInfo
    scale: Scale
    alpha: float
    margin: float | None
    """Smallest effect of interest on the analysis scale, where the study's applies to this response."""
    paired: bool
    confirmatory: bool
    declared: tuple[Factor, ...]
    """The study's factors with all levels."""
    random: str | None = None
    """The factor whose levels stand for a population; no hypothesis may name it."""
    population: str = ""
    """A sentence: what the findings speak of, where datasets were declared random."""
    mixed: Mixed | None = None
    """The mixed model beside the estimates, where the design has one."""


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """An effect before its family and verdict, with what its sentence needs."""

    effect: Effect
    found: Estimate | None
    """None for omnibus tests."""
    averaged: tuple[str, ...]
    caveat: str
    hypothesis: Hypothesis | None
    weights_M: NDArray[np.float64] | None = None
    compared: tuple[str, str, str] | None = None
    """Factor and its two levels, where the effect is their plain difference."""
    at: str = ""
    """In words, the level of another factor that it is confined to."""
    adjusted_equivalence_p: float | None = None


def draft(question: Question, found: Estimate, setting: Setting, key: str, role: Role) -> Draft:
    """Put an estimate into the form of findings."""
    interval = found.interval(setting.alpha)
    log = setting.scale == "log"
    effect = Effect(
        key=key,
        label=question.label,
        role=role,
        method=f"{found.method}{'; ' if question.caveat else ''}{question.caveat}",
        estimate=found.value,
        se=found.se,
        df=found.df,
        statistic=found.t,
        p=found.p,
        interval=interval,
        n=found.n,
        ratio=exp(found.value) if log else None,
        ratio_interval=Interval(exp(interval.low), exp(interval.high), interval.level) if log else None,
        robust_p=found.robust_p,
        robust_method=found.robust_method,
        equivalence_p=None if setting.margin is None else equivalence_p(found, setting.margin),
    )
    return Draft(effect, found, question.averaged, question.caveat, None, question.weights_M)


def answer(data: CellData, hypothesis: Hypothesis, setting: Setting, key: str, role: Role) -> Draft | Refusal:
    """Test one hypothesis."""
    label = hypothesis_label(hypothesis, data)
    known = {factor.name for factor in setting.declared}
    unknown = [name for name in hypothesis.factors if name not in known]
    if unknown:
        return Refusal(label, f"This study has no factor `{unknown[0]}`.", "Name one of the study's factors.")
    if setting.random in hypothesis.factors:
        why = (
            f"{setting.random} is random: its levels stand for a population, and which of them is better is no finding."
        )
        remedy = f"Ask about the other factors, or take {setting.random} as fixed."
        return Refusal(label, why, remedy)
    if hypothesis.at and not data.replicated:
        why = "With one trial per cell the factors are taken not to interact, so no level has an effect of its own."
        return Refusal(label, why, "Run at least 2 replicates, or leave `at` out.")
    if hypothesis.interaction is not None:
        found = interaction(data, hypothesis.interaction, setting, key, role)
    else:
        question = question_of(data, hypothesis, setting)
        found = question if isinstance(question, Refusal) else estimated(data, question, setting, key, role)
    if isinstance(found, Refusal):
        return replace(found, what=label)
    return replace(
        found,
        effect=replace(found.effect, label=label),
        hypothesis=hypothesis,
        at=place_text(hypothesis.at),
        compared=compared_levels(hypothesis, setting),
    )


def compared_levels(hypothesis: Hypothesis, setting: Setting) -> tuple[str, str, str] | None:
    """Return factor, first and second level of a contrast that is nothing but a difference of two levels."""
    if hypothesis.contrast is None or hypothesis.over is None:
        return None
    levels = next(factor.levels for factor in setting.declared if factor.name == hypothesis.over)
    weights = parse_contrast(hypothesis.contrast, levels)
    if sorted(weight for weight in weights if weight) != [-1.0, 1.0]:
        return None
    by_weight = dict(zip(weights, levels, strict=True))
    return hypothesis.over, level_text(by_weight[1.0]), level_text(by_weight[-1.0])


def question_of(
    data: CellData, hypothesis: Hypothesis, setting: Setting, within: Mapping[str, Level] | None = None
) -> Question | Refusal:
    """Return the weights of a contrast or slope; other factors are held where it says, and at those in ``within``."""
    within = {**hypothesis.at, **(within or {})}
    for name, level in within.items():
        if not any(factor.name == name and level_index(factor, level) is not None for factor in data.factors):
            label = hypothesis_label(hypothesis, data)
            return Refusal(label, f"No trial has {name} {level_text(level)}.", "Run cells with that level.")
    if hypothesis.slope is not None:
        return slope(data, hypothesis.slope, within)
    declared = next(factor for factor in setting.declared if factor.name == hypothesis.over)
    try:
        return contrast(data, declared, hypothesis.contrast or "", within)
    except ValueError as error:
        return Refusal(
            str(hypothesis.contrast), f"It is no contrast of {declared.name}: {error}", "Mend the study file."
        )


def estimated(data: CellData, question: Question, setting: Setting, key: str, role: Role) -> Draft | Refusal:
    """Return the estimate of a question as a draft."""
    found = estimate(data, question.weights_M, question.label, question.product_M)
    if isinstance(found, Refusal):
        return found
    made = draft(question, found, setting, key, role)
    effect = described(made.effect, data, question.weights_M, found, setting.alpha, setting.margin)
    mixed = None if setting.mixed is None else setting.mixed.estimate(question.weights_M, setting.alpha)
    return replace(made, effect=replace(effect, mixed=mixed))


def interaction(data: CellData, names: Sequence[str], setting: Setting, key: str, role: Role) -> Draft | Refusal:
    """Test an interaction of two or three factors as a whole.

    The estimate is the root mean square of the interaction's part of the cell means, in units of the analysis scale.
    Equivalence: all differences of differences lie within the margin, each by two one-sided tests (no adjustment is
    due, as all of them must).
    """
    by_name = {factor.name: i for i, factor in enumerate(data.factors)}
    term = tuple(sorted(by_name[name] for name in names))
    label = term_name(data.factors, term)
    if any(position not in data.active for position in term):
        return Refusal(label, "One of its factors has trials at a single level only.", "Run cells with other levels.")
    if not data.replicated:
        return Refusal(
            label,
            "There is one trial per cell, so an interaction cannot be told from noise.",
            "Run at least 2 replicates per cell (the exact sign-flip test of paired seeds needs 6).",
        )
    tested = _within_interaction(data, term) if data.paired else _between_interaction(data, term, setting)
    if isinstance(tested, Refusal):
        return replace(tested, what=label)
    basis_MR = term_basis(data, term)
    means = complete_means(data) if data.paired else data.mean_M[data.seen_M]
    size = float(np.sqrt(((basis_MR.T @ means) ** 2).sum() / len(means)))
    effect = replace(tested, key=key, label=label, role=role, estimate=size)
    if setting.margin is not None:
        effect = replace(effect, equivalence_p=_interaction_equivalence(data, names, setting.margin))
    averaged = tuple(factor.name for i, factor in enumerate(data.factors) if i in data.active and i not in term)
    return Draft(effect, None, averaged, "", None)


def _omnibus(method: str, statistic: float, df2: float, p: float, n: int) -> Effect:
    return Effect("", "", "family", method, 0.0, None, df2, statistic, p, None, n)


def _within_interaction(data: CellData, term: Term) -> Effect | Refusal:
    test = within_test(data, term)
    if test is None:
        why = f"Fewer than two {blocks_word(data)} are complete, or the cells that it needs are missing."
        return Refusal("", why, more_blocks(data))
    df1, df2 = test.epsilon_gg * test.df1, test.epsilon_gg * test.df2
    method = f"repeated-measures F({df1:.4g}, {df2:.4g}), Greenhouse-Geisser epsilon {test.epsilon_gg:.3g}"
    return _omnibus(method, test.f, df2, test.p_gg, len(complete_replicates(data)))


def _between_interaction(data: CellData, term: Term, setting: Setting) -> Effect | Refusal:
    if data.ss_within <= data.df_within * data.tiny**2:
        why = "Trials of the same cell do not differ at all, so there is no noise to hold it against."
        return Refusal("", why, NO_NOISE_REMEDY)
    error = (data.ss_within, float(data.df_within))
    if data.complete:
        ss, df = type3_ss(data, term), term_basis(data, term).shape[1]
    else:
        ss, df = type2_ss(data, term, terms(data.active))
    if not df:
        return Refusal("", "The cells that it would need are missing.", "Run these cells.")
    classical = f_row("", ss, df, error, setting.alpha)
    n = int(data.n_M.sum())
    kind = "type III" if data.complete else "model comparison"
    if ats_obstacle(data) or classical.statistic is None or classical.p is None:
        method = f"classical F({df}, {error[1]:g}), {kind}"
        return _omnibus(method, classical.statistic or 0.0, error[1], classical.p or 0.0, n)
    test = ats(data, term)
    found = _omnibus(f"ANOVA-type statistic F({test.df1:.4g}, {test.df2:.4g})", test.statistic, test.df2, test.p, n)
    return replace(found, robust_p=classical.p, robust_method=f"classical F({df}, {error[1]:g}), {kind}")


def _interaction_equivalence(data: CellData, names: Sequence[str], margin: float) -> float | None:
    worst = 0.0
    for question in interaction_contrasts(data, names):
        if isinstance(question, Refusal):
            return None
        found = estimate(data, question.weights_M, question.label)
        if isinstance(found, Refusal):
            return None
        worst = max(worst, equivalence_p(found, margin))
    return worst


def adjusted(drafts: Sequence[Draft], family: str, correction: str = "holm", untested: int = 0) -> list[Draft]:
    """Adjust the p values of a family and name it with its size.

    In the classical figures the ``untested`` members count, too, which could not be tested: as in R's emmeans.

    The p values of the equivalence tests form a family of the same size, adjusted in the same way for the verdicts.
    """
    if not drafts:
        return []
    size = f"{len(drafts)} test{'s' if len(drafts) > 1 else ''}"
    if correction == "none":
        return [replace(d, effect=replace(d.effect, family=f"{family} ({size}, not adjusted)")) for d in drafts]
    named = f"{family} ({size}, Holm)"
    own = holm([d.effect.p if d.effect.p is not None else 1.0 for d in drafts])
    done = [replace(d, effect=replace(d.effect, p_adjusted=p, family=named)) for d, p in zip(drafts, own, strict=True)]
    both = [d.effect.classical for d in drafts if d.effect.classical is not None]
    if len(both) == len(drafts):
        for i, p in enumerate(holm([*(classical.p for classical in both), *[1.0] * untested])[: len(both)]):
            done[i] = replace(done[i], effect=replace(done[i].effect, classical=replace(both[i], p_holm=p)))
    beside = [d.effect.mixed for d in drafts if d.effect.mixed is not None]
    if len(beside) == len(drafts):
        for i, p in enumerate(holm([mixed.p for mixed in beside])):
            done[i] = replace(done[i], effect=replace(done[i].effect, mixed=replace(beside[i], p_holm=p)))
    tested = [(i, d.effect.equivalence_p) for i, d in enumerate(done) if d.effect.equivalence_p is not None]
    for (i, _), p in zip(tested, holm([p for _, p in tested]), strict=True):
        done[i] = replace(done[i], adjusted_equivalence_p=p)
    return done


def verdict(found: Draft, alpha: float) -> Verdict:
    """Return different (p < alpha), equivalent (both one-sided tests reject) or undetermined, adjusted p first."""
    effect = found.effect
    p = effect.p if effect.p_adjusted is None else effect.p_adjusted
    if p is not None and p < alpha:
        return "different"
    equivalence = effect.equivalence_p if found.adjusted_equivalence_p is None else found.adjusted_equivalence_p
    return "equivalent" if equivalence is not None and equivalence < alpha else "undetermined"
