"""How many seeds, in plain language."""

from __future__ import annotations

from math import exp
from typing import TYPE_CHECKING

from cnnbench.stats.words.wording import amount, margin_text, number

if TYPE_CHECKING:
    from cnnbench.stats.effects.answers import Setting
    from cnnbench.types import DesignPower, SeedCount, SeedPlan

MOST = "more than 1,000"


def seed_sentences(plan: SeedPlan, setting: Setting) -> tuple[str, ...]:
    """Return what the study's own design needs, what its planned seeds can do, and what the other pairing needs."""
    own, other = plan.designs
    sentences = [
        _detection(plan, own, setting),
        *_equivalence(plan, own, setting),
        _planned(plan, own, setting),
        _other(other),
        *_observed(plan, own, setting),
    ]
    return tuple(sentences)


def size_text(value: float, setting: Setting) -> str:
    """Return the size of an effect: ``2 percentage points``, ``a factor of 1.05``."""
    return f"a factor of {number(exp(value))}" if setting.scale == "log" else amount(value, setting)


def percent(share: float) -> str:
    """Return a power, never as 0 or 100 %: ``81 %``, ``> 99 %``."""
    if share > 0.99:
        return "> 99 %"
    return "< 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def _detection(plan: SeedPlan, own: DesignPower, setting: Setting) -> str:
    what = "a difference of differences" if plan.kind == "interaction" else "an effect"
    source = {"given": "", "margin": ", the smallest of interest,", "pilot": ", as large as the pilot's,"}[
        plan.effect_source
    ]
    seeds = own.detect.seeds
    needed = f"{_seeds(seeds)} per cell {'detects' if seeds is None else 'detect'}"
    return (
        f"With {own.pairing} seeds, as the study plans them, {needed} {what} of {size_text(plan.effect, setting)}"
        f"{source} with {percent(plan.power)} power{_range(own.detect, 'what the pilot leaves open of the SD allows')}."
    )


def _seeds(seeds: int | None) -> str:
    return "no number up to 1,000 seeds" if seeds is None else f"{seeds} seeds"


def _range(count: SeedCount, lead: str) -> str:
    """Return the seeds at both ends of the SD's interval."""
    if count.range is None:
        return ""
    low, high = (MOST if end is None else str(end) for end in (count.range.low, count.range.high))
    between = low if low == high else f"{low} to {high}"
    return f"; {lead} {between} ({percent(count.range.level)} interval)"


def _equivalence(plan: SeedPlan, own: DesignPower, setting: Setting) -> list[str]:
    count = own.equivalence
    if count is None:
        return ["The study names no smallest effect of interest, so there is no equivalence to plan for."]
    within = f"within {margin_text(setting)}"
    shows = "shows" if count.seeds is None else "show"
    needed = f"If there is no effect, {_seeds(count.seeds)} {shows} with {percent(plan.power)} power"
    return [f"{needed} that it lies {within}{_range(count, 'the SD allows')}."]


def _planned(plan: SeedPlan, own: DesignPower, setting: Setting) -> str:
    if own.power is None or own.detectable is None:
        return "With one planned seed per cell nothing can be tested."
    equal = "" if own.equivalence_power is None else f", and show equivalence with {percent(own.equivalence_power)}"
    return (
        f"The {plan.replicates} planned seeds detect it with {percent(own.power)} power{equal}; the smallest effect "
        f"that they detect with {percent(plan.power)} power is {size_text(own.detectable, setting)}."
    )


def _other(other: DesignPower) -> str:
    needed = MOST if other.detect.seeds is None else str(other.detect.seeds)
    equal = ""
    if other.equivalence is not None:
        equal = f", and {MOST if other.equivalence.seeds is None else other.equivalence.seeds} for equivalence"
    return f"With {other.pairing} seeds it would take {needed} per cell{equal}."


def _observed(plan: SeedPlan, own: DesignPower, setting: Setting) -> list[str]:
    optimistic = "effects that small pilots show tend to be too large"
    if plan.effect_source == "pilot":
        return [
            f"Planning for the pilot's own effect is optimistic: {optimistic}. Declare `equivalence_margin` instead."
        ]
    if plan.observed_effect is None or own.observed is None:
        return []
    needed = MOST if own.observed.seeds is None else str(own.observed.seeds)
    size = size_text(plan.observed_effect, setting)
    return [f"An effect as large as the pilot's ({size}) would take {needed} seeds; that is optimistic: {optimistic}."]


def seed_notes(plan: SeedPlan, *, num_contrasts: int) -> list[str]:
    """Say what the figures rest on; ``num_contrasts`` are the degrees of freedom of an interaction."""
    notes, own, noise = [], plan.designs[0], plan.noise
    if noise.kind == "assumed":
        if own.pairing == "shared" and noise.correlation == 0:
            notes.append("Without --correlation shared seeds gain nothing; a pilot shows how much they do.")
        notes.append("The SD is an assumption; the seeds grow with its square.")
    elif noise.correlation is None:
        notes.append(
            "The pilot does not tell how alike trials with the same seeds are: here shared seeds gain nothing."
        )
    if plan.kind == "interaction":
        notes.append(
            "The effect of an interaction is its largest difference of differences. Unless it is the pilot's own, the "
            "rest of the interaction is as small as that allows."
        )
        if noise.kind == "pilot" and noise.correlation is not None and (noise.seeds or 0) <= num_contrasts:
            notes.append(
                f"The interaction has {num_contrasts} degrees of freedom, and {noise.seeds} seeds cannot tell how they "
                "vary together: with shared seeds they are taken to vary alike."
            )
    simulated = plan.designs[0].monte_carlo_se
    if simulated is not None:
        notes.append(f"Power is simulated with normal trials; its standard error is {100 * simulated:.2g} points.")
    return notes
