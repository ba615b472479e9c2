"""Published numbers and claims, held against this study."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
Expected = Literal["positive", "negative", "none"]


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


@dataclass(frozen=True, slots=True)
class _Asked:
    """A claim asked of several places or rivals, all of which must confirm it."""

    confirmed: list[Draft]
    refuting: list[Draft]
    undecided: list[Draft]
    untested: list[str]
    why: str
    """Why something was not tested, and what to do about it."""

    @classmethod
    def of(cls, found: Mapping[str, Draft | Refusal], expected: Expected, setting: Setting) -> _Asked:
        """Judge what was found.

        As all of them must confirm the claim, each test of that has the whole alpha (Berger 1982, Technometrics 24:
        295, theorem 1). That one refutes it is asked of several: a Holm family.
        """
        refusals = {at: one for at, one in found.items() if isinstance(one, Refusal)}
        drafts = [replace(one, at=at) for at, one in found.items() if not isinstance(one, Refusal)]
        confirmed = [one for one in drafts if judge(one, expected, setting.alpha) == "confirmed"]
        names = {one.at for one in confirmed}
        rest = [one for one in adjusted(drafts, "all of which must confirm a claim") if one.at not in names]
        refuting = [one for one in rest if judge(one, expected, setting.alpha) == "refuted"]
        undecided = [one for one in rest if one not in refuting]
        why = next((f"{one.why} {one.remedy}" for one in refusals.values()), "")
        return cls(confirmed, refuting, undecided, list(refusals), why)

    @property
    def num(self) -> int:
        """How many there are."""
        return len(self.confirmed) + len(self.refuting) + len(self.undecided) + len(self.untested)

    def verdict(self) -> tuple[ClaimVerdict, str]:
        """Return the verdict, and what is to be added to the tally."""
        added = f" Not tested: {self.why}" if self.untested else ""
        if self.refuting:
            return "refuted", added
        if len(self.confirmed) < self.num:
            return "undetermined", added
        ps = [one.effect.p for one in self.confirmed if one.effect.p is not None]
        return "confirmed", f" As all must, the largest p counts: {p_text(max(ps))}." if ps else ""


def _everywhere(reference: Reference, key: str, data: CellData, setting: Setting) -> tuple[ClaimVerdict, str]:
    """Test a claim of consistency: the hypothesis within each combination of levels."""
    assert reference.claim is not None  # noqa: S101 - the study file admits `each` with a claim only
    expected = reference.expected or "none"
    found = {
        at: _found(data, reference.claim, setting, f"{key}:{at}", within) for at, within in _places(reference, setting)
    }
    asked = _Asked.of(found, expected, setting)
    counted = [f"{len(asked.confirmed)} of {asked.num} confirm it"]
    counted += [f"{len(asked.refuting)} refute it{_named(_at(asked.refuting))} (Holm)"] * bool(asked.refuting)
    open_ones = [*_at(asked.undecided), *asked.untested]
    counted += [f"{len(open_ones)} decide nothing{_named(open_ones)}"] * bool(open_ones)
    kind = "combination" if len(reference.each) > 1 else "level"
    decided, added = asked.verdict()
    if expected == "none":
        added = added if asked.untested else ""  # it is equivalence that confirms it
    return decided, f"Asked of each {kind} of {' and '.join(reference.each)}: {', '.join(counted)}.{added}"


def _beside_each(reference: Reference, key: str, data: CellData, setting: Setting) -> tuple[ClaimVerdict, str]:
    """Test a claim that a level is the best: it against each of the others, at every place that the claim is about."""
    claim, expected = reference.claim, reference.expected or "none"
    assert claim is not None  # noqa: S101 - the study file admits `best` with a contrast only
    assert claim.contrast is not None  # noqa: S101 - as above
    declared = next(factor for factor in setting.declared if factor.name == claim.over)
    weights = dict(zip(declared.levels, parse_contrast(claim.contrast, declared.levels), strict=True))
    best = next(level_text(level) for level, weight in weights.items() if weight > 0)
    rivals = [level_text(level) for level, weight in weights.items() if weight < 0]
    found: dict[str, Draft | Refusal] = {}
    for (at, within), rival in product(_places(reference, setting), rivals):
        named = f"{rival} at {at}" if at else rival
        one = claim.model_copy(update={"contrast": f"{best} - {rival}"})
        found[named] = _found(data, one, setting, f"{key}:{named}", within)
    asked = _Asked.of(found, expected, setting)
    side, other_side = ("above", "below") if expected == "positive" else ("below", "above")
    behind = [one.at for one in asked.refuting if verdict(one, setting.alpha) == "different"]
    beside = [one.at for one in asked.refuting if one.at not in behind]
    counted = [f"it is {side} in {len(asked.confirmed)} of {asked.num} comparisons"]
    counted += [f"{other_side} in {len(behind)}{_named(behind)} (Holm)"] * bool(behind)
    counted += [f"equivalent in {len(beside)}{_named(beside)} (Holm)"] * bool(beside)
    counted += [f"undecided in {len(asked.undecided)}{_named(_at(asked.undecided))}"] * bool(asked.undecided)
    counted += [f"not tested in {len(asked.untested)}{_named(asked.untested)}"] * bool(asked.untested)
    decided, added = asked.verdict()
    those = f"each of {', '.join(rivals[:-1])} and {rivals[-1]}"
    return decided, f"{claim.over} {best} has to be {side} {those}: {', '.join(counted)}.{added}"


def _at(drafts: Sequence[Draft]) -> list[str]:
    return [one.at for one in drafts]


def _places(reference: Reference, setting: Setting) -> list[tuple[str, dict[str, Level]]]:
    """Return the combinations of levels that a claim is about one by one, in words and as they are; one if none.

    They are those of the study: a level without any trial confirms nothing.
    """
    named = [factor for factor in setting.declared if factor.name in reference.each]
    places = [dict(zip([f.name for f in named], at, strict=True)) for at in product(*(f.levels for f in named))]
    return [(", ".join(f"{name} {level_text(level)}" for name, level in at.items()), at) for at in places]


def _found(
    data: CellData, hypothesis: Hypothesis, setting: Setting, key: str, within: Mapping[str, Level]
) -> Draft | Refusal:
    if within and not data.replicated:  # the model without interactions would say the same everywhere
        return Refusal(key, "With one trial per cell no level has an effect of its own.", "Run at least 2 replicates.")
    question = question_of(data, hypothesis, setting, within)
    return question if isinstance(question, Refusal) else estimated(data, question, setting, key, "family")


def _named(places: list[str]) -> str:
    return f" ({'; '.join(places)})" if len(places) <= MOST_NAMED_PLACES else ""


def judge(found: Draft, expected: Expected, alpha: float) -> ClaimVerdict:
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
