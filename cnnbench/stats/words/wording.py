"""Findings in plain language."""

from __future__ import annotations

from math import exp, floor, log10
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats.effects.estimate import FEWEST_FOR_SIGN_FLIP
from cnnbench.stats.effects.questions import step_name
from cnnbench.stats.power.noise import observed_noise
from cnnbench.stats.power.seeds import seeds_to_settle
from cnnbench.stats.power.t_test import t_test
from cnnbench.stats.trials.cells import blocks_word
from cnnbench.types import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cnnbench.stats.effects.answers import Draft, Setting
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.types import Effect, Interval, TestRow, TestTable, Verdict


_MOST_PLACES = 10


def number(value: float) -> str:
    """Return three significant digits, without an exponent where that is readable."""
    return f"{value:.3g}" if 1e-4 <= abs(value) < 1e5 or value == 0 else f"{value:.2e}"


def fixed(value: float, places: int, *, factor: bool = False) -> str:
    """Return digits behind the point; three significant ones of a factor that would be zero, and of tiny numbers."""
    text = f"{value:.{places}f}"
    return number(value) if float(text) == 0 and (factor or places >= _MOST_PLACES) else text


def p_text(p: float | None) -> str:
    """Return ``p < 0.001`` or ``p = 0.0123``."""
    if p is None:
        return "p not defined"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3g}"


def response_name(setting: Setting) -> str:
    """Return the response as it stands inside a sentence."""
    name = setting.info.long_name
    lower_second = len(name) > 1 and name[1].islower()
    return name[0].lower() + name[1:] if lower_second else name


def _in_points(setting: Setting) -> bool:
    return setting.scale == "raw" and setting.info.bounded == "unit"


def amount(value: float, setting: Setting, places: int | None = None, *, signed: bool = False) -> str:
    """Return a value on the raw or logit scale with its unit; fractions as percentage points.

    With ``places`` digits behind the point (see `decimals`), or three significant digits.
    """
    sign = "+" if signed and value > 0 else ""
    scaled = 100 * value if _in_points(setting) else value
    digits = number(scaled) if places is None else fixed(scaled, places)
    return f"{sign}{digits}{_unit(setting)}"


def _unit(setting: Setting) -> str:
    if _in_points(setting):
        return " percentage points"
    if setting.scale != "raw":
        return " in log odds" if setting.scale == "logit" else " in logarithms"
    return f" {setting.info.unit}" if setting.info.unit not in {"", "1"} else ""


def decimals(interval: Interval, scale: float = 1.0) -> int:
    """Return how many digits behind the point an interval of this width deserves: one or two of its half width."""
    half = scale * (interval.high - interval.low) / 2
    return min(_MOST_PLACES, max(0, -floor(log10(half / 3)))) if half > 0 else 3


def interval_text(interval: Interval, setting: Setting, *, factor: bool) -> str:
    """Return ``95 % CI 1.18 to 1.24``; ``factor`` for ratios, which have no sign."""
    scale = 100 if _in_points(setting) and not factor else 1
    places = decimals(interval, scale)
    limits = [scale * interval.low, scale * interval.high]
    low, high = (f"{'+' if limit > 0 and not factor else ''}{fixed(limit, places, factor=factor)}" for limit in limits)
    return f"{100 * interval.level:.3g} % CI {low} to {high}"


def effect_sentence(found: Draft, setting: Setting, data: CellData) -> str:
    """Return the effect with its interval, the design behind it and its p."""
    effect = found.effect
    if effect.interval is None:
        parts = [f"{effect.method}, {_p_of(effect)}", *_average(found)]
        size = amount(effect.estimate, setting)
        return f"Interaction {effect.label} in {response_name(setting)}: root mean square {size} ({'; '.join(parts)})."
    interval = effect.interval if effect.ratio_interval is None else effect.ratio_interval
    parts = [interval_text(interval, setting, factor=effect.ratio is not None), _design(found, data), *_average(found)]
    parts += [_p_of(effect), *([found.caveat] if found.caveat else [])]
    return f"{_statement(found, effect.interval, setting, data)} ({'; '.join(parts)})."


def _statement(found: Draft, interval: Interval, setting: Setting, data: CellData) -> str:
    effect, name = found.effect, response_name(setting)
    at = f"At {found.at}, " if found.at else ""
    ratio = None
    if effect.ratio is not None and effect.ratio_interval is not None:
        ratio = fixed(effect.ratio, decimals(effect.ratio_interval), factor=True)
    places = decimals(interval, 100 if _in_points(setting) else 1)
    if found.compared:
        factor, first, second = found.compared
        lead = f"{at}with {factor} {first}, {name} is"
        if ratio is not None:
            return _sentence_case(f"{lead} {ratio} times that with {second}")
        direction = "higher" if effect.estimate >= 0 else "lower"
        return _sentence_case(f"{lead} {amount(abs(effect.estimate), setting, places)} {direction} than with {second}")
    size = f"a factor of {ratio}" if ratio is not None else amount(effect.estimate, setting, places, signed=True)
    names = found.hypothesis.slope if found.hypothesis is not None else None
    if names is not None and len(names) == 1:
        return _sentence_case(f"{at}{name} changes by {size} per {step_name(data, names[0])} of {names[0]}")
    if names is not None:
        inner, outer = (f"{step_name(data, each)} of {each}" for each in names)
        return _sentence_case(f"{at}each {outer} changes the effect of one {inner} on {name} by {size}")
    contrast = effect.label.removesuffix(f" at {found.at}")  # that is said already
    return _sentence_case(f"{at}the contrast {contrast} of {name} is {size}")


def _sentence_case(text: str) -> str:
    return text[0].upper() + text[1:]


def _design(found: Draft, data: CellData) -> str:
    effect = found.effect
    if not data.replicated:
        return "one trial per cell, with the interaction of the factors taken for noise"
    if data.block != "seed":
        return f"over {effect.n} {blocks_word(data)}, one value each"
    if data.nested:
        return f"over {effect.n} seeds, nested in {' and '.join(data.factors[i].name for i in data.between)}"
    if data.paired:
        return f"paired over {effect.n} {data.block}s"
    return f"{effect.n} trials with independent seeds"


def _average(found: Draft) -> list[str]:
    if not found.averaged:
        return []
    *most, last = found.averaged
    return [f"averaged over {', '.join(most)} and {last}" if most else f"averaged over {last}"]


def _p_of(effect: Effect) -> str:
    return p_text(effect.p) if effect.p_adjusted is None else f"Holm-adjusted {p_text(effect.p_adjusted)}"


def margin_text(setting: Setting) -> str:
    """Return the smallest effect of interest: ``±2 percentage points``, ``a factor of 1.02``."""
    margin = setting.margin or 0.0
    if setting.scale == "log":
        return f"a factor of {number(exp(margin))}"
    return f"±{amount(margin, setting)}"


def verdict_sentence(found: Draft, verdict: Verdict, setting: Setting, data: CellData) -> str:
    """Return what the verdict means and, where nothing is settled, how many more seeds would settle it."""
    effect = found.effect
    if verdict == "different":
        what = "interaction" if effect.interval is None else "effect"
        return (
            f"The {what} differs from zero at alpha {setting.alpha:g}{_better(found, setting)}{_size(effect, setting)}."
        )
    if verdict == "equivalent":
        return (
            f"The effect is equivalent to none: it lies within {margin_text(setting)}, the smallest effect of interest "
            f"(equivalence test, {p_text(effect.equivalence_p)})."
        )
    if setting.margin is None:
        opening = (
            "No effect is shown, and its absence is not shown either (the study names no smallest effect of interest)"
        )
    else:
        opening = f"Undetermined: neither an effect nor equivalence within {margin_text(setting)} is shown"
    return f"{opening}{_more_seeds(found, setting, data)}."


def _size(effect: Effect, setting: Setting) -> str:
    """Hold a real effect against the smallest effect of interest."""
    if setting.margin is None or effect.equivalence_p is None:
        return ""
    if effect.equivalence_p < setting.alpha:
        return f", yet it lies within {margin_text(setting)}, the smallest effect of interest"
    if effect.interval is not None and min(abs(effect.interval.low), abs(effect.interval.high)) > setting.margin:
        return f", and it exceeds {margin_text(setting)}, the smallest effect of interest"
    return ""


def _better(found: Draft, setting: Setting) -> str:
    higher = setting.info.higher_is_better
    if higher is None or found.compared is None:
        return ""
    _, first, second = found.compared
    better, worse = (first, second) if (found.effect.estimate > 0) == higher else (second, first)
    return f", in favour of {better} over {worse}"


def _more_seeds(found: Draft, setting: Setting, data: CellData) -> str:
    if found.found is None or found.weights_M is None:
        return ""
    if not data.replicated or data.nested or data.block == "example":
        return ""
    noise = observed_noise(data, np.abs(found.weights_M) > 1e-12, "")
    if isinstance(noise, Refusal):
        return ""
    test = t_test(noise, found.weights_M, paired=data.paired, alpha=setting.alpha)
    needed = seeds_to_settle(test, abs(found.effect.estimate), setting.margin)
    goal = "an effect as large as the one seen" if setting.margin is None else "either"
    units = "seeds" if data.block == "seed" else blocks_word(data)
    each = " per cell" if data.block == "seed" else ""
    if needed is None:
        return f"; showing {goal} with 80 % power would take more than 1,000 {units}{each} at the observed noise"
    more = needed - found.found.n_per_cell
    if more <= 0:
        return f"; the {units} would suffice for 80 % power at the observed noise, so the effect lies near the margin"
    return f"; showing {goal} with 80 % power would take about {more} more {units}{each} ({needed} in all)"


def agreement_sentence(effect: Effect, alpha: float, data: CellData) -> str:
    """Say whether the second analysis comes to the same conclusion."""
    if effect.robust_p is None or effect.p is None:
        few = data.paired and data.replicated and effect.interval is not None and effect.n < FEWEST_FOR_SIGN_FLIP
        if few and not data.nested:
            units = "seeds" if data.block == "seed" else blocks_word(data)
            return f"An exact sign-flip test beside it needs {FEWEST_FOR_SIGN_FLIP} {units}."
        return ""
    same = (effect.p < alpha) == (effect.robust_p < alpha)
    told = f"{effect.robust_method} ({p_text(effect.robust_p)})"
    if same:
        return f"The {told} agrees."
    return f"The {told} disagrees, so the conclusion depends on the method and is not robust."


def partner_sentence(lead: Effect, partner: Effect, alpha: float) -> str:
    """Say what the omnibus interaction adds to the slope with which it shares alpha."""
    p = partner.p if partner.p_adjusted is None else partner.p_adjusted
    told = f"The interaction {partner.label} as a whole ({partner.method}, {_p_of(partner)})"
    if p is None or p >= alpha:
        return f"{told} is not shown to differ from zero."
    if lead.verdict == "different":
        return f"{told} differs from zero, too."
    return f"{told} differs from zero, though not along this slope: read the cells and the simple effects."


def omnibus_sentence(table: TestTable) -> str:
    """Return the tests of a table in a line."""
    tests = [f"{row.term}: {_statistic(table, row)}{p_text(row.p)}" for row in table.rows]
    return f"{table.title}: {'; '.join(tests)}."


def _statistic(table: TestTable, row: TestRow) -> str:
    """Return ``F(4, 36) = 9.28, ``, or as much of it as the test has."""
    if row.statistic is None:
        return ""
    df = ", ".join(number(each) for each in (row.df1, row.df2) if each is not None)
    return f"{table.statistic_name}{f'({df})' if df else ''} = {number(row.statistic)}, "


def headline(
    leads: Sequence[Draft], tables: Sequence[TestTable], setting: Setting, data: CellData | None, reason: str
) -> str:
    """Return the finding of a response in one paragraph.

    ``leads`` has the effect of the declared hypothesis, finished (with sentence and verdict), and behind it the omnibus
    interaction that shares alpha with it, if there is one; ``reason`` says why there is none.
    """
    parts = (
        [] if setting.confirmatory else ["Exploratory, because the analysis plan was changed after the first trial."]
    )
    conclusion = leads[0].effect.verdict if leads else None
    if conclusion is not None and data is not None:
        lead, *partners = leads
        parts += [
            lead.effect.sentence,
            verdict_sentence(lead, conclusion, setting, data),
            agreement_sentence(lead.effect, setting.alpha, data),
            *(partner_sentence(lead.effect, partner.effect, setting.alpha) for partner in partners),
            setting.population,
        ]
        return " ".join(part for part in parts if part)
    parts.append(reason)
    if tables:
        parts += ["Exploratory tests.", omnibus_sentence(tables[0]), setting.population]
    return " ".join(part for part in parts if part)
