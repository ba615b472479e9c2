"""The section of a script that reproduces one response: calls of the functions in `helpers.R`, table by table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from cnnbench.report.r import literals
from cnnbench.spec import Hypothesis, parse_contrast
from cnnbench.stats import level_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnbench.stats import AnalysisInput
    from cnnbench.types import Effect, ResponseFindings, ResponseInfo

TESTS = ("ats", "anova_type3", "anova_type2", "rm_anova", "additive_type2", "tukey_nonadditivity")
"""Keys of the tables that `helpers.R` has a function for, of the same name."""
_METHODS = (
    "one-sample t over the per-seed values",
    "Welch-Satterthwaite t",
    "t with the pooled variance",
    "t with the residual of the main-effects model",
    "repeated-measures F",
    "ANOVA-type statistic",
    "classical F",
)
"""How the methods of effects begin that `helpers.R` knows."""


def packages(data: AnalysisInput, found: ResponseFindings) -> set[str]:
    """Return the packages that the section of a response needs."""
    needed = set()
    tests = {table.key for table in found.tests}
    replicated = bool(tests & {"ats", "anova_type3", "anova_type2", "rm_anova"})
    if "anova_type3" in tests:
        needed.add("car")
    if not data.paired and replicated and (found.marginals or found.effects):
        needed.add("emmeans")
    if "rm_anova" in tests and not found.audit.missing:
        needed.add("afex")
    return needed


def section(data: AnalysisInput, info: ResponseInfo, found: ResponseFindings) -> list[str]:
    """Return the lines of one response."""
    name = found.response
    lines = ["", *literals.comment(f"==== {name} " + "=" * max(4, 100 - len(name)))]
    if not found.cells:
        return [*lines, *literals.comment("No trial of this response can be analysed.")]
    beside = info.uses_time and bool((data.trials["concurrent_trials"] > 1).any())
    exclusive = ", exclusive = TRUE" if beside else ""
    lines += [
        "",
        *literals.comment("Means, in the response's own unit."),
        f"d <- trials_of({literals.text(name)}{exclusive})",
        *literals.comment("Table: observed cells (findings.json: cells)."),
        "observed_cells(d, study$alpha)",
    ]
    if found.marginals:
        lines += [
            *literals.comment("Table: marginal means (findings.json: marginals)."),
            "marginal_means(d, study$alpha)",
        ]
    if not (found.tests or found.effects):
        return [*lines, "", *literals.comment(f"Nothing was tested. {found.headline}")]
    if found.scale != "raw":
        lines += ["", *literals.comment(f"All tests are on the {found.scale} scale.")]
        lines += [f"d <- trials_of({literals.text(name)}, {literals.text(found.scale)}{exclusive})"]
    for table in found.tests:
        if table.key in TESTS:
            lines += ["", *literals.comment(f"Table: {table.title} (findings.json: {table.key})."), f"{table.key}(d)"]
    lines += list(_declared(data, found))
    lines += list(_families(data, found))
    left_out = [table.title for table in (*found.tests, *found.further_tests) if table.key not in TESTS]
    left_out += [effect.label for effect in found.effects if effect.role != "family" and not _known(effect)]
    if left_out:
        lines += ["", *literals.comment(f"Not reproduced here: {'; '.join(left_out)}.")]
    return lines


def _known(effect: Effect) -> bool:
    return effect.method.startswith(_METHODS)


def hypotheses(data: AnalysisInput) -> dict[str, Hypothesis]:
    """Return the declared hypotheses by the keys of their effects."""
    further = {f"further:{i}": hypothesis for i, hypothesis in enumerate(data.analysis.further, start=1)}
    primary = data.analysis.primary
    if primary is None:
        return further
    partner = {}
    if (
        primary.slope is not None and len(primary.slope) > 1 and not primary.at
    ):  # it shares alpha with the interaction as a whole
        partner = {"primary:omnibus": Hypothesis(interaction=primary.slope)}
    return {"primary": primary} | partner | further


def waiting_families(found: Sequence[ResponseFindings]) -> list[str]:
    """Return the families of declared hypotheses, which may run over several responses."""
    effects = [effect for one in found for effect in one.effects if effect.role != "family" and _known(effect)]
    return list(dict.fromkeys(effect.family for effect in effects if effect.p_adjusted is not None))


def _declared(data: AnalysisInput, found: ResponseFindings) -> Iterator[str]:
    asked = hypotheses(data)
    for effect in found.effects:
        if effect.role == "family" or effect.key not in asked or not _known(effect):
            continue
        which = "The primary hypothesis" if effect.role == "primary" else "A declared hypothesis"
        yield ""
        yield from literals.comment(f"{which}: {effect.label} (findings.json: effects, {effect.key}).")
        family = literals.text(effect.family) if effect.p_adjusted is not None else "NULL"
        arguments = f"{literals.text(effect.key)}, {{}}, family = {family}{_options(data, found, [effect])}"
        hypothesis = asked[effect.key]
        if hypothesis.interaction is not None:
            plain = arguments.removesuffix(", ratio = TRUE").format(_positions(data, hypothesis.interaction))
            yield f"interaction_effect(d, {plain})"
        else:
            yield f"weights <- {_weights(data, hypothesis)}"
            yield f"print(effect(d, {_filled(arguments, 'weights')}), row.names = FALSE, digits = 6)"


def _filled(template: str, value: str) -> str:
    return template.replace("{}", value, 1)


def _options(data: AnalysisInput, found: ResponseFindings, effects: Sequence[Effect]) -> str:
    tested = any(effect.equivalence_p is not None for effect in effects)
    margin = data.analysis.equivalence_margin if tested else None
    shown = "" if margin is None else f", margin = {literals.number(margin)}"
    return shown + (", ratio = TRUE" if found.scale == "log" else "")


def _positions(data: AnalysisInput, names: Sequence[str]) -> str:
    index = {factor.name: i for i, factor in enumerate(data.factors, start=1)}
    numbers = [str(index[name]) for name in names]
    return numbers[0] if len(numbers) == 1 else literals.vector(numbers)


def _weights(data: AnalysisInput, hypothesis: Hypothesis, within: str = "") -> str:
    """Return the call that makes the weights of a contrast or slope."""
    if hypothesis.at:
        positions = [_positions(data, [name]) for name in hypothesis.at]
        levels = literals.vector([literals.text(level_text(level)) for level in hypothesis.at.values()])
        held = f"levels_named(d, {literals.vector(positions)}, {levels})"
        within = f", also({held}, within)" if within else f", {held}"
    if hypothesis.slope is not None:
        return f"slope_weights(d, {_positions(data, hypothesis.slope)}{within})"
    factor = next(factor for factor in data.factors if factor.name == hypothesis.over)
    weights = zip(factor.levels, parse_contrast(hypothesis.contrast or "", factor.levels), strict=True)
    used = [(literals.text(level_text(level)), literals.number(weight)) for level, weight in weights if weight]
    position = _positions(data, [factor.name])
    levels, numbers = (literals.vector(part) for part in zip(*used, strict=True))
    return f"contrast_weights(d, {position}, on_levels(d, {position}, {levels}, {numbers}){within})"


def _families(data: AnalysisInput, found: ResponseFindings) -> Iterator[str]:
    by_family: dict[str, list[Effect]] = {}
    for effect in found.effects:
        if effect.role == "family" and _known(effect):
            by_family.setdefault(effect.family, []).append(effect)
    for family, effects in by_family.items():
        call = _family_call(data, family, effects)
        if call:
            yield ""
            yield from literals.comment(f"Exploratory: {family} (findings.json: effects, {effects[0].key}, ...).")
            yield f"{call}{literals.text(family)}{_options(data, found, effects)})"


def _family_call(data: AnalysisInput, family: str, effects: Sequence[Effect]) -> str:
    """Return the beginning of the call that computes a family; empty for one of an unknown kind."""
    title = re.sub(r" \(\d+ tests?, [^()]*\)$", "", family)
    primary = data.analysis.primary
    for factor in data.factors:
        position = _positions(data, [factor.name])
        if title == f"all pairwise comparisons of {factor.name}":
            return f"pairwise(d, {position}, "
        simple = all(effect.key.startswith(f"simple:{factor.name}:") for effect in effects)
        if primary is not None and simple and title.endswith(f" within each level of {factor.name}"):
            weights = _weights(data, primary, ", within")
            return f"within_levels(d, {position}, function(within) {weights}, "
    return _interaction_call(data, title)


def _interaction_call(data: AnalysisInput, title: str) -> str:
    label = title.removeprefix("all interaction contrasts of ")
    declared = data.analysis.primary.interaction if data.analysis.primary is not None else None
    if declared and data.analysis.primary is not None and label == (data.analysis.primary.name or ":".join(declared)):
        return f"interaction_contrasts(d, {_positions(data, declared)}, {literals.text(label)}, "
    names = sorted(factor.name for factor in data.factors)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            if label == f"{first}:{second}":
                return f"interaction_contrasts(d, {_positions(data, [first, second])}, {literals.text(label)}, "
    return ""
