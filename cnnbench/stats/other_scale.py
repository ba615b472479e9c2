"""The same questions on another scale: is a finding a matter of the scale on which the response is measured?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cnnbench.stats.effects.answers import Draft, answer, verdict
from cnnbench.stats.omnibus.anova import omnibus
from cnnbench.stats.omnibus.quasi_binomial import quasi_binomial
from cnnbench.stats.words.wording import effect_sentence, p_text
from cnnbench.types import OtherScale, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.spec import Hypothesis
    from cnnbench.stats.effects.answers import Setting
    from cnnbench.stats.omnibus.quasi_binomial import Counts
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.stats.trials.prepare import Scale
    from cnnbench.types import Effect, ResponseInfo, TestTable

_METHODS = {
    "raw": "the response as it was measured",
    "log": "natural logarithm",
    "logit": "log odds",
}
_NAMES = {"raw": "as measured", "log": "on the log scale", "logit": "in log odds"}


@dataclass(frozen=True, slots=True, eq=False)
class Rescaled:
    """The trials on the other scale."""

    scale: Scale
    cells: CellData
    counts: Counts | None
    """Where the response is a share of known numbers of examples."""


def scale_beside(scale: Scale, info: ResponseInfo) -> Scale | None:
    """Return the scale that stands beside the declared one, by what the metric declares; None where there is none."""
    if scale != "raw":
        return "raw"
    return {"unit": "logit", "positive": "log", "none": None}[info.bounded]


def on_other_scale(
    other: Rescaled, setting: Setting, primary: tuple[Hypothesis, Draft] | None, tables: Sequence[TestTable]
) -> OtherScale:
    """Ask the primary hypothesis and the omnibus tests again; ``tables`` are those of the declared scale."""
    # The mixed model was fitted on the declared scale; its estimates are no answer on this one.
    there = replace(setting, scale=other.scale, margin=None, mixed=None)
    effect = None if primary is None else _effect(other.cells, primary[0], there)
    tests, _ = omnibus(other.cells, setting.alpha)
    compared = [(table, other_table) for table in tables for other_table in tests if table.key == other_table.key]
    if other.counts is not None and not other.cells.paired and other.cells.replicated:
        counted = quasi_binomial(other.cells, other.counts)
        tests += [] if isinstance(counted, Refusal) else counted
    sentences = []
    if primary is not None and effect is not None:
        sentences.append(_about_effect(primary[1].effect, effect, setting, other.scale))
    if compared:
        sentences += _about_interactions(*compared[0], setting, other.scale)
    empirical = "; counts of examples: log((k + 1/2) / (n - k + 1/2))" if _is_empirical(other) else ""
    return OtherScale(
        other.scale,
        f"{_METHODS[other.scale]}{empirical}",
        effect,
        tuple(replace(table, key=f"{other.scale}:{table.key}") for table in tests),
        " ".join(sentences),
    )


def _is_empirical(other: Rescaled) -> bool:
    return other.scale == "logit" and other.counts is not None


def _effect(cells: CellData, hypothesis: Hypothesis, setting: Setting) -> Effect | None:
    found = answer(cells, hypothesis, setting, f"{setting.scale}:primary", "family")
    if isinstance(found, Refusal):
        return None
    concluded = replace(found.effect, verdict=verdict(found, setting.alpha), family="")
    return replace(concluded, sentence=effect_sentence(replace(found, effect=concluded), setting, cells))


def _about_effect(declared: Effect, other: Effect, setting: Setting, scale: Scale) -> str:
    """Compare unadjusted p values: the other scale has no family of its own."""
    if declared.p is None or other.p is None:
        return ""
    here, there = declared.p < setting.alpha, other.p < setting.alpha
    opposed = here and there and declared.interval is not None and declared.estimate * other.estimate < 0
    told = f"The primary effect {_NAMES[scale]} ({p_text(other.p)})"
    if here == there and not opposed:
        return f"{told} leads to the same conclusion."
    why = "has the opposite sign" if opposed else "leads to another conclusion"
    return f"{told} {why}, so it is a matter of the scale; the declared one decides."


def _about_interactions(declared: TestTable, other: TestTable, setting: Setting, scale: Scale) -> list[str]:
    """Say which interactions are significant on one scale only."""
    p_there = {row.term: row.p for row in other.rows}
    sentences = []
    for row in declared.rows:
        p = p_there.get(row.term)
        if ":" not in row.term or row.p is None or p is None:
            continue
        here, there = row.p < setting.alpha, p < setting.alpha
        own, beside = _NAMES[setting.scale], _NAMES[scale]
        if here and not there:
            sentences.append(
                f"The interaction {row.term} is significant {own} ({p_text(row.p)}) but not {beside} ({p_text(p)}): "
                "the scale may be all there is to it."
            )
        elif there and not here:
            sentences.append(
                f"The interaction {row.term} is significant {beside} ({p_text(p)}) but not {own} ({p_text(row.p)})."
            )
        elif here:
            sentences.append(
                f"The interaction {row.term} is significant on both scales, so the scale does not remove it."
            )
    return sentences
