"""Families of contrasts that nobody declared: exploratory, adjusted over each family.

Pairwise comparisons, the primary hypothesis within each level of the other factors, and interaction contrasts.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, permutations
from math import comb, prod
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.effects.answers import Draft, adjusted, compared_levels, estimated, question_of
from cnnbench.stats.effects.effect_size import tukey_p
from cnnbench.stats.effects.questions import hypothesis_label, interaction_contrasts, level_contrast, place_text
from cnnbench.stats.trials.cells import level_text
from cnnbench.types import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cnnbench.spec import Hypothesis
    from cnnbench.stats.effects.answers import Setting
    from cnnbench.stats.effects.questions import Question
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.types import Level

MOST_FACTORS = 3
"""Comparisons within levels of more factors are too many to be read."""
MOST_INTERACTION_CONTRASTS = 100
"""More differences of differences than this help no reader."""

MOST_PAIRS = 300
"""All pairs of 25 levels; of 300 levels they are 44,850, which take minutes and answer no question."""

Families = tuple[list[Draft], list[Refusal]]


def pairwise_families(data: CellData, setting: Setting) -> Families:
    """Return all comparisons of two levels' marginal means, one family per factor; first minus second level."""
    drafts: list[Draft] = []
    refusals: list[Refusal] = []
    for position in data.active:
        factor = data.factors[position]
        name, num_pairs = f"all pairwise comparisons of {factor.name}", comb(len(factor.levels), 2)
        if num_pairs > MOST_PAIRS:
            why = f"{len(factor.levels)} levels make {num_pairs:,} pairs, of which no reader has any use."
            refusals.append(Refusal(name, why, "Declare the contrasts that matter."))
            continue
        _collect(_pairs(data, position, setting, None), name, drafts, refusals)
    return drafts, refusals


def _pairs(
    data: CellData, position: int, setting: Setting, within: Mapping[str, Level] | None
) -> list[Draft | Refusal]:
    """Compare every two levels of a factor, with other factors held at the levels in ``within``."""
    factor = data.factors[position]
    at = "".join(f" at {name} {level_text(level)}" for name, level in (within or {}).items())
    family: list[Draft | Refusal] = []
    for a, b in combinations(range(len(factor.levels)), 2):
        first, second = level_text(factor.levels[a]), level_text(factor.levels[b])
        label = f"{first} - {second}"
        weights_L = np.zeros(len(factor.levels))
        weights_L[[a, b]] = 1.0, -1.0
        question = level_contrast(data, position, weights_L, label, within)
        compared = (factor.name, first, second)
        family.append(_member(data, question, setting, f"pairs:{factor.name}:{label}{at}", compared=compared))
    return [each if isinstance(each, Refusal) else _with_tukey(each, len(factor.levels)) for each in family]


def further_families(data: CellData, declared: Hypothesis | None, setting: Setting) -> list[Draft]:
    """Return the families that R's emmeans prints and that would swamp a report.

    The pairwise comparisons of each factor within each level of each other one, a family for every level; and the
    interaction contrasts of two ordered factors, of which a slope says more in one number. What cannot be tested is
    left out: the tables of the design say which cells are missing. Up to 3 factors.
    """
    drafts: list[Draft] = []
    if not data.replicated or not 2 <= len(data.active) <= MOST_FACTORS:
        return drafts
    for position, other in permutations(data.active, 2):
        factor, held = data.factors[position], data.factors[other]
        if comb(len(factor.levels), 2) * len(held.levels) > MOST_PAIRS:
            continue
        for level in held.levels:
            name = f"all pairwise comparisons of {factor.name} at {held.name} {level_text(level)}"
            _collect(_pairs(data, position, setting, {held.name: level}), name, drafts, [])
    done = set(declared.interaction or ()) if declared is not None else set()
    for first, second in combinations(sorted((data.factors[i] for i in data.active), key=lambda f: f.name), 2):
        names = (first.name, second.name)
        if first.order and second.order and set(names) != done:
            drafts += _interaction_family(data, names, ":".join(names), setting)[0]
    return drafts


def simple_families(data: CellData, hypothesis: Hypothesis, setting: Setting) -> Families:
    """Return the primary contrast or slope within each level of each other factor, one family per factor.

    For an interaction of two factors: all differences of differences, one family.
    """
    drafts: list[Draft] = []
    refusals: list[Refusal] = []
    names = {hypothesis.over} if hypothesis.over else set(hypothesis.slope or hypothesis.interaction or ())
    if not data.replicated or not names <= {data.factors[i].name for i in data.active}:
        return drafts, refusals
    label = hypothesis_label(hypothesis, data)
    if hypothesis.interaction is not None:
        return _interaction_family(data, hypothesis.interaction, label, setting)
    for position in data.active:
        factor = data.factors[position]
        if factor.name in names or factor.name in hypothesis.at:
            continue
        family = []
        for level in factor.levels:
            question = question_of(data, hypothesis, setting, {factor.name: level})
            at, compared = place_text({**hypothesis.at, factor.name: level}), compared_levels(hypothesis, setting)
            made = _member(data, question, setting, f"simple:{factor.name}:{level_text(level)}", compared=compared)
            family.append(made if isinstance(made, Refusal) else replace(made, hypothesis=hypothesis, at=at))
        _collect(family, f"{label} within each level of {factor.name}", drafts, refusals)
    return drafts, refusals


def interaction_families(data: CellData, declared: Hypothesis | None, setting: Setting) -> Families:
    """Return all differences of differences of every two factors that are not both ordered.

    Where both are ordered, the declared slope says more in one number. ``declared`` is the primary hypothesis, whose
    family `simple_families` makes.
    """
    drafts: list[Draft] = []
    refusals: list[Refusal] = []
    if not data.replicated:
        return drafts, refusals
    done = set(declared.interaction or ()) if declared is not None else set()
    for first, second in combinations(sorted((data.factors[i] for i in data.active), key=lambda f: f.name), 2):
        names = (first.name, second.name)
        if (first.order and second.order) or set(names) == done:
            continue
        family, refused = _interaction_family(data, names, ":".join(names), setting)
        drafts += family
        refusals += refused
    return drafts, refusals


def _interaction_family(data: CellData, names: Sequence[str], label: str, setting: Setting) -> Families:
    drafts: list[Draft] = []
    refusals: list[Refusal] = []
    sizes = [len(factor.levels) for factor in data.factors if factor.name in names]
    if prod(comb(size, 2) for size in sizes) <= MOST_INTERACTION_CONTRASTS:
        questions = interaction_contrasts(data, names)
        family = [_member(data, each, setting, f"interaction:{label}:{i}") for i, each in enumerate(questions, start=1)]
        _collect(family, f"all interaction contrasts of {label}", drafts, refusals)
    return drafts, refusals


def _with_tukey(found: Draft, num_means: int) -> Draft:
    """Add the adjustment by the studentized range to the figures of classical and mixed model."""
    effect = found.effect
    if effect.classical is not None:
        p = tukey_p(effect.classical.statistic, num_means, effect.classical.df)
        effect = replace(effect, classical=replace(effect.classical, p_tukey=p))
    if effect.mixed is not None:
        p = tukey_p(effect.mixed.statistic, num_means, effect.mixed.df)
        effect = replace(effect, mixed=replace(effect.mixed, p_tukey=p))
    return replace(found, effect=effect)


def _member(
    data: CellData,
    question: Question | Refusal,
    setting: Setting,
    key: str,
    compared: tuple[str, str, str] | None = None,
) -> Draft | Refusal:
    if isinstance(question, Refusal):
        return question
    found = estimated(data, question, setting, key, "family")
    return found if isinstance(found, Refusal) else replace(found, compared=compared)


def _collect(family: list[Draft | Refusal], name: str, drafts: list[Draft], refusals: list[Refusal]) -> None:
    """Sort a family into adjusted drafts, and one refusal for each reason why members could not be tested."""
    refused = [member for member in family if isinstance(member, Refusal)]
    drafts += adjusted([member for member in family if isinstance(member, Draft)], name, untested=len(refused))
    for why, remedy in dict.fromkeys((member.why, member.remedy) for member in refused):
        labels = [member.what for member in refused if member.why == why]
        shown = ", ".join(labels[:6]) + (f" and {len(labels) - 6} more" if len(labels) > 6 else "")
        refusals.append(Refusal(f"{name}: {shown}", why, remedy))
