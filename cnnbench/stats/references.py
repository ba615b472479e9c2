"""Published numbers and claims, held against this study."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Literal

from cnnbench.spec import parse_contrast
from cnnbench.stats.effects.answers import adjusted, answer, estimated, question_of, verdict
from cnnbench.stats.effects.estimate import two_sided_p
from cnnbench.stats.effects.marginals import mean_estimate
from cnnbench.stats.effects.questions import cell_average
from cnnbench.stats.trials.cells import level_index, level_text
from cnnbench.stats.words.wording import effect_sentence, interval_text, margin_text, number, p_text
from cnnbench.types import Cell, Claim, Interval, ReferenceCheck, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.spec import Hypothesis, Reference
    from cnnbench.stats.effects.answers import Draft, Setting
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.types import Level

MOST_NAMED_PLACES = 4

ClaimVerdict = Literal["confirmed", "refuted", "undetermined"]


def check_value(
    reference: Reference, published: float, data: CellData | None, setting: Setting | None, why: str
) -> ReferenceCheck:
    """Compare a published number with this study's mean of the same cells, in the response's own unit.

    The published number is taken as exact, as papers rarely give its uncertainty. Shared seeds: one-sample t over the
    replicates' averages; independent: t with the pooled variance. ``why`` says what is wrong where there is no data.
    """
    blank = ReferenceCheck(
        reference.source, reference.quote, reference.response, reference.cell, published, None, None, None, None, ""
    )
    if data is None or setting is None:
        return replace(blank, sentence=f"Not compared: {why}")
    absent = _absent_level(reference, setting)
    if absent:
        return replace(blank, sentence=absent)
    question = cell_average(data, reference.cell)
    if isinstance(question, Refusal):
        return replace(blank, sentence=question.why)
    used_M = question.weights_M > 0
    mean = float(question.weights_M[used_M] @ data.mean_M[used_M]) + data.offset
    n = int(data.n_M[used_M].sum())
    found = mean_estimate(data, question.weights_M)
    if isinstance(found, Refusal) or not data.replicated:
        ours = Cell(reference.cell, n, mean, None, None)
        difference = mean - published
        sentence = f"{_ours(mean, published)}; one trial per cell tells nothing of its uncertainty."
        if isinstance(found, Refusal) and data.replicated:
            sentence = f"{_ours(mean, published)}; not tested: {found.why}"
        return replace(blank, ours=ours, difference=difference, sentence=sentence)
    difference = found.value - published
    around = found.interval(setting.alpha)
    interval = Interval(around.low - published, around.high - published, around.level)
    p = two_sided_p(difference / found.se, found.df)
    raw = replace(setting, scale="raw", info=replace(setting.info, bounded="none", unit=""))
    sentence = (
        f"{_ours(found.value, published)}: difference {'+' if difference > 0 else ''}{number(difference)} "
        f"({interval_text(interval, raw, factor=False)}; {p_text(p)})."
    )
    ours = Cell(reference.cell, n, found.value, None, around)
    return replace(blank, ours=ours, difference=difference, interval=interval, p=p, sentence=sentence)


def _ours(mean: float, published: float) -> str:
    return f"Ours is {number(mean)}, published is {number(published)}"


def _absent_level(reference: Reference, setting: Setting) -> str:
    by_name = {factor.name: factor for factor in setting.declared}
    for name, level in reference.cell.items():
        if name not in by_name:
            return f"This study has no factor {name}, so it has no such cell."
        if level_index(by_name[name], level) is None:
            return f"This study does not have {name} {level_text(level)}, so it has no such cell."
    return ""


def check_claim(  # noqa: PLR0913 - what a claim is held against has this many parts
    reference: Reference,
    key: str,
    data: CellData | None,
    setting: Setting | None,
    why: str,
    *,
    trials: CellData | None = None,
) -> Claim:
    """Test a published claim: the same hypothesis on our trials. ``why`` says what is wrong where there is no data.

    ``trials`` are all trials where ``data`` has random datasets for rows: a claim about each dataset is tested there.
    """
    expected = reference.expected or "none"
    blank = Claim(reference.source, reference.quote, expected, reference.response, None, "undetermined", "")
    if data is None or setting is None or reference.claim is None:
        return replace(blank, sentence=f"The claim cannot be tested: {why}")
    if setting.random in reference.claim.at and trials is not None:  # about one dataset, not about which is better
        data, setting = trials, replace(setting, mixed=None, random=None)
    found = answer(data, reference.claim, setting, key, "further")
    if isinstance(found, Refusal):
        return replace(blank, sentence=f"The claim cannot be tested: {found.why} {found.remedy}")
    sentence = effect_sentence(found, setting, data)
    effect = replace(found.effect, verdict=verdict(found, setting.alpha), sentence=sentence)
    decided = judge(found, expected, setting.alpha)
    if reference.each or reference.best:
        if setting.random in reference.each and trials is not None:
            data, setting = trials, replace(setting, mixed=None)
        decided, tally = (_beside_each if reference.best else _everywhere)(reference, key, data, setting)
        sentence = f"{sentence} {tally}"
    closing = {
        "confirmed": "This study confirms the claim.",
        "refuted": "This study refutes the claim.",
        "undetermined": "This study neither confirms nor refutes the claim.",
    }[decided]
    if decided == "refuted" and effect.verdict == "equivalent" and not (reference.each or reference.best):
        closing = f"That is equivalent to none (within {margin_text(setting)}), so this study refutes the claim."
    return replace(blank, effect=effect, verdict=decided, sentence=f"{sentence} {closing}")


def _everywhere(reference: Reference, key: str, data: CellData, setting: Setting) -> tuple[ClaimVerdict, str]:
    """Test a claim of consistency: the hypothesis within each combination of levels, as one Holm family.

    Every one has to be confirmed for the claim to be; a single one that is refuted refutes it.
    """
    assert reference.claim is not None  # noqa: S101 - the study file admits `each` with a claim only
    drafts: list[Draft] = []
    untested: list[str] = []
    places = _places(reference, data)
    for at, within in places:
        made = _asked(data, reference.claim, setting, f"{key}:{at}", within)
        if isinstance(made, Refusal):
            untested.append(at)
        else:
            drafts.append(replace(made, at=at))
    where: dict[ClaimVerdict, list[str]] = {"confirmed": [], "refuted": [], "undetermined": untested}
    for one in adjusted(drafts, "the claim at each level"):
        where[judge(one, reference.expected or "none", setting.alpha)].append(one.at)
    factors = " and ".join(reference.each)
    counted = [f"{len(where['confirmed'])} of {len(places)} confirm it"]
    counted += [f"{len(at)} refute it{_named(at)}" for at in [where["refuted"]] if at]
    counted += [f"{len(at)} decide nothing{_named(at)}" for at in [where["undetermined"]] if at]
    kind = "combination" if len(reference.each) > 1 else "level"
    tally = f"Asked of each {kind} of {factors} (Holm): {', '.join(counted)}."
    if where["refuted"]:
        return "refuted", tally
    return ("undetermined" if where["undetermined"] else "confirmed"), tally


def _beside_each(reference: Reference, key: str, data: CellData, setting: Setting) -> tuple[ClaimVerdict, str]:
    """Test a claim that a level is the best: it against each of the others, at every place that the claim is about.

    To be the best it has to be above all of them (or below, as expected), so each test has the whole alpha (Berger
    1982, Technometrics 24: 295, theorem 1). That it is not above one of them is asked of several: a Holm family.
    """
    claim, expected = reference.claim, reference.expected or "none"
    assert claim is not None  # noqa: S101 - the study file admits `best` with a contrast only
    assert claim.contrast is not None  # noqa: S101 - as above
    declared = next(factor for factor in setting.declared if factor.name == claim.over)
    weights = dict(zip(declared.levels, parse_contrast(claim.contrast, declared.levels), strict=True))
    best = next(level_text(level) for level, weight in weights.items() if weight > 0)
    rivals = [level_text(level) for level, weight in weights.items() if weight < 0]
    drafts: list[Draft] = []
    untested: list[str] = []
    for (at, within), rival in product(_places(reference, data), rivals):
        named = f"{rival} at {at}" if at else rival
        one = claim.model_copy(update={"contrast": f"{best} - {rival}"})
        made = _asked(data, one, setting, f"{key}:{named}", within)
        if isinstance(made, Refusal):
            untested.append(named)
        else:
            drafts.append(replace(made, at=named))
    confirmed = [one for one in drafts if judge(one, expected, setting.alpha) == "confirmed"]
    rest = [one for one in adjusted(drafts, "the best beside each of the others") if one.at not in _at(confirmed)]
    refuting = [one for one in rest if judge(one, expected, setting.alpha) == "refuted"]
    undecided = [one for one in rest if one not in refuting]
    side, other_side = ("above", "below") if expected == "positive" else ("below", "above")
    behind = [one for one in refuting if verdict(one, setting.alpha) == "different"]
    beside = [one for one in refuting if one not in behind]
    counted = [f"it is in {len(confirmed)} of {len(drafts) + len(untested)} comparisons"]
    counted += [f"{other_side} in {len(behind)}{_named(_at(behind))} (Holm)"] * bool(behind)
    counted += [f"equivalent in {len(beside)}{_named(_at(beside))} (Holm)"] * bool(beside)
    counted += [f"undecided in {len(undecided)}{_named(_at(undecided))}"] * bool(undecided)
    counted += [f"not tested in {len(untested)}{_named(untested)}"] * bool(untested)
    tally = f"{best} has to be {side} each of {_listed(rivals)}: {', '.join(counted)}."
    if len(confirmed) == len(drafts) + len(untested):
        largest = max(one.effect.p or 0.0 for one in confirmed)
        return "confirmed", f"{tally} The largest of their p values counts: {p_text(largest)}."
    return ("refuted" if refuting else "undetermined"), tally


def _at(drafts: Sequence[Draft]) -> list[str]:
    return [one.at for one in drafts]


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _places(reference: Reference, data: CellData) -> list[tuple[str, dict[str, Level]]]:
    """Return the combinations of levels that a claim is about one by one, in words and as they are; one if none."""
    named = [factor for factor in data.factors if factor.name in reference.each]
    places = [dict(zip([f.name for f in named], at, strict=True)) for at in product(*(f.levels for f in named))]
    return [(", ".join(f"{name} {level_text(level)}" for name, level in at.items()), at) for at in places]


def _asked(
    data: CellData, hypothesis: Hypothesis, setting: Setting, key: str, within: Mapping[str, Level]
) -> Draft | Refusal:
    if within and not data.replicated:  # the model without interactions would say the same everywhere
        return Refusal(key, "With one trial per cell no level has an effect of its own.", "Run at least 2 replicates.")
    question = question_of(data, hypothesis, setting, within)
    return question if isinstance(question, Refusal) else estimated(data, question, setting, key, "family")


def _named(places: list[str]) -> str:
    return f" ({'; '.join(places)})" if len(places) <= MOST_NAMED_PLACES else ""


def judge(found: Draft, expected: Literal["positive", "negative", "none"], alpha: float) -> ClaimVerdict:
    """Return the verdict on a claim.

    A claimed direction is confirmed by a significant effect in it, and refuted by one in the other direction or by
    equivalence. A claimed absence is confirmed by equivalence alone, never by a large p. An interaction has no
    direction: any claimed one means that it is there. Where a family was adjusted, its p values decide.
    """
    effect = found.effect
    p = effect.p if effect.p_adjusted is None else effect.p_adjusted
    equivalence = effect.equivalence_p if found.adjusted_equivalence_p is None else found.adjusted_equivalence_p
    significant = p is not None and p < alpha
    equivalent = equivalence is not None and equivalence < alpha
    if expected == "none":
        return "confirmed" if equivalent else "refuted" if significant else "undetermined"
    if significant:
        agrees = effect.interval is None or (effect.estimate > 0) == (expected == "positive")
        return "confirmed" if agrees else "refuted"
    return "refuted" if equivalent else "undetermined"
