"""Published numbers and claims, held against this study."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from cnnbench.stats.cells import level_text
from cnnbench.stats.effects import answer, verdict
from cnnbench.stats.estimate import two_sided_p
from cnnbench.stats.marginals import mean_estimate
from cnnbench.stats.questions import cell_average, level_index
from cnnbench.stats.wording import effect_sentence, interval_text, number, p_text
from cnnbench.types import Cell, Claim, Interval, ReferenceCheck, Refusal

if TYPE_CHECKING:
    from cnnbench.spec import Reference
    from cnnbench.stats.cells import CellData
    from cnnbench.stats.effects import Draft, Setting

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


def check_claim(reference: Reference, key: str, data: CellData | None, setting: Setting | None, why: str) -> Claim:
    """Test a published claim: the same hypothesis on our trials. ``why`` says what is wrong where there is no data."""
    expected = reference.expected or "none"
    blank = Claim(reference.source, reference.quote, expected, reference.response, None, "undetermined", "")
    if data is None or setting is None or reference.claim is None:
        return replace(blank, sentence=f"The claim cannot be tested: {why}")
    found = answer(data, reference.claim, setting, key, "further")
    if isinstance(found, Refusal):
        return replace(blank, sentence=f"The claim cannot be tested: {found.why} {found.remedy}")
    sentence = effect_sentence(found, setting, data)
    effect = replace(found.effect, verdict=verdict(found, setting.alpha), sentence=sentence)
    decided = judge(found, expected, setting.alpha)
    closing = {
        "confirmed": "This study confirms the claim.",
        "refuted": "This study refutes the claim.",
        "undetermined": "This study neither confirms nor refutes the claim.",
    }[decided]
    return replace(blank, effect=effect, verdict=decided, sentence=f"{sentence} {closing}")


def judge(found: Draft, expected: Literal["positive", "negative", "none"], alpha: float) -> ClaimVerdict:
    """Return the verdict on a claim.

    A claimed direction is confirmed by a significant effect in it, and refuted by one in the other direction or by
    equivalence. A claimed absence is confirmed by equivalence alone, never by a large p. An interaction has no
    direction: any claimed one means that it is there.
    """
    effect = found.effect
    significant = effect.p is not None and effect.p < alpha
    equivalent = effect.equivalence_p is not None and effect.equivalence_p < alpha
    if expected == "none":
        return "confirmed" if equivalent else "refuted" if significant else "undetermined"
    if significant:
        agrees = effect.interval is None or (effect.estimate > 0) == (expected == "positive")
        return "confirmed" if agrees else "refuted"
    return "refuted" if equivalent else "undetermined"
