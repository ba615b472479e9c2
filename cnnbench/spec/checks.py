"""What one table of a study says about another: factor paths, levels, phases, responses, hypotheses, components."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from cnnbench.spec.contrast import parse_contrast
from cnnbench.spec.overlay import set_path
from cnnbench.spec.problems import did_you_mean, explain
from cnnbench.spec.recipe import RecipeInput

if TYPE_CHECKING:
    from cnnbench.spec.model import FactorSpec, Hypothesis, StudySpec
    from cnnbench.spec.toml import KeyPath

Finding = tuple["KeyPath", str]
"""Path of a key, and what is wrong with it."""

ComponentCheck = Callable[[str, Mapping[str, Any]], list[Finding]]
"""(kind, table of a component) -> what is wrong with it, by path within the table."""


def check_study(data: Mapping[str, Any], spec: StudySpec | None, check_component: ComponentCheck) -> Iterator[Finding]:
    """Yield every problem that pydantic cannot see.

    Components are checked in the raw data, so that they are reported even where other keys are wrong; the rest needs a
    ``spec`` that is valid in itself.
    """
    recipe = data.get("trial")
    recipe = recipe if isinstance(recipe, dict) else {}
    faults = list(check_components(recipe, check_component))
    yield from ((("trial", *path), message) for path, message in faults)
    if spec is None:
        return
    for name, factor in spec.factors.items():
        yield from _check_factor(name, factor, recipe, set(faults), check_component)
    yield from _check_cells(spec)
    yield from _check_responses(spec)
    yield from _check_analysis(spec)


def component_places(recipe: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str, Any]]:
    """Yield path, kind and raw value of every component of a recipe."""
    for field in ("model", "dataset", "optimizer"):
        if field in recipe:
            yield (field,), field, recipe[field]
    for field, kind in (("augmentation", "augmentation"), ("metrics", "metric")):
        entries = recipe.get(field, ())
        for index, value in enumerate(entries if isinstance(entries, list | tuple) else ()):
            yield (field, index), kind, value
    phases = recipe.get("phases", ())
    for index, phase in enumerate(phases if isinstance(phases, list | tuple) else ()):
        if isinstance(phase, dict) and "schedule" in phase:
            yield ("phases", index, "schedule"), "scheduler", phase["schedule"]


def check_components(recipe: Mapping[str, Any], check_component: ComponentCheck) -> Iterator[Finding]:
    """Yield what is wrong with the components of a raw recipe, by path within the recipe."""
    for path, kind, value in component_places(recipe):
        table = {"use": value} if isinstance(value, str) else value
        if isinstance(table, dict) and isinstance(table.get("use"), str):
            yield from (((*path, *inner), message) for inner, message in check_component(kind, table))


def patches(factor: FactorSpec) -> Iterator[tuple[str | int | float | bool, dict[str, Any]]]:
    """Yield each level of a factor with what it sets: recipe path -> value."""
    if not isinstance(factor.levels, dict):
        for level in factor.levels:
            yield level, {str(factor.path): level}
        return
    for label, value in zip(factor.labels, factor.levels.values(), strict=True):
        yield label, {factor.path: value} if factor.path is not None else dict(value)


def _check_factor(
    name: str, factor: FactorSpec, recipe: Mapping[str, Any], known: set[Finding], check_component: ComponentCheck
) -> Iterator[Finding]:
    for position, (level, patch) in enumerate(patches(factor)):
        where: KeyPath = ("factors", name, "levels", position if isinstance(factor.levels, tuple) else str(level))
        patched = copy.deepcopy(dict(recipe))
        wrong_path = False
        for path, value in patch.items():
            place = ("factors", name, "path") if factor.path is not None else (*where, path)
            for message in _path_problem(path, recipe):
                wrong_path = True
                yield place, message
            if not wrong_path:
                set_path(patched, path, value)
        if not wrong_path:
            yield from (
                (where, f"{_dotted(path)}: {message}") for path, message in _faults(patched, check_component, known)
            )


def _faults(recipe: Mapping[str, Any], check_component: ComponentCheck, known: set[Finding]) -> Iterator[Finding]:
    try:
        RecipeInput.model_validate(recipe)
    except ValidationError as error:
        yield from explain(error, RecipeInput)
        return
    yield from (finding for finding in check_components(recipe, check_component) if finding not in known)


def _dotted(path: KeyPath) -> str:
    return ".".join(str(step) for step in path)


def _path_problem(path: str, recipe: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence if ``path`` does not exist in the recipe."""
    first, _, rest = path.partition(".")
    if first not in RecipeInput.model_fields:
        yield f"the recipe has no `{first}`; {did_you_mean(first, RecipeInput.model_fields)}"
        return
    try:
        set_path(copy.deepcopy(dict(recipe)), path, None)
    except KeyError as error:
        names = [str(item.get("name", item.get("use"))) for item in recipe.get(first, ()) if isinstance(item, dict)]
        yield f"`{first}` has no `{error.args[0]}` for the path `{path}`; {did_you_mean(str(error.args[0]), names)}"
    if rest and first in ("batch_size", "precision", "resize", "normalization", "tta_views"):
        yield f"`{first}` has no parts, so there is no `{path}`."


def _levels(spec: StudySpec, factor: str) -> list[Any]:
    return list(spec.factors[factor].labels)


def _check_cells(spec: StudySpec) -> Iterator[Finding]:
    """Cells that the design names must consist of factors and levels that exist."""
    named: list[tuple[KeyPath, Mapping[str, Any]]] = [(("design", "baseline"), spec.design.baseline)]
    named += [(("design", "exclude", i, "cell"), entry.cell) for i, entry in enumerate(spec.design.exclude)]
    named += [(("design", "cells", i), cell) for i, cell in enumerate(spec.design.cells)]
    for place, cell in named:
        for factor, wanted in cell.items():
            if factor not in spec.factors:
                yield (*place, factor), f"there is no factor `{factor}`; {did_you_mean(factor, spec.factors)}"
                continue
            known = _levels(spec, factor)
            for level in wanted if isinstance(wanted, tuple) else (wanted,):
                if level not in known:
                    yield (
                        (*place, factor),
                        f"`{level}` is no level of `{factor}`; {did_you_mean(str(level), map(str, known))}",
                    )
    for i, cell in enumerate(spec.design.cells):
        missing = sorted(set(spec.factors) - set(cell))
        if missing:
            yield ("design", "cells", i), f"the cell gives no level for {', '.join(f'`{name}`' for name in missing)}."
    if spec.design.kind == "ofat" and not spec.factors:
        yield ("design", "kind"), "one factor at a time needs at least one factor."


def _check_responses(spec: StudySpec) -> Iterator[Finding]:
    metrics = {metric.use for metric in spec.trial.metrics}
    phases = {phase.name: phase for phase in spec.trial.phases}
    for name, response in spec.responses.items():
        place = ("responses", name)
        if response.metric not in metrics:
            yield (*place, "metric"), f"`trial.metrics` does not compute it; {did_you_mean(response.metric, metrics)}"
        if response.phase is not None and response.phase not in phases:
            yield (*place, "phase"), f"there is no phase `{response.phase}`; {did_you_mean(response.phase, phases)}"
            continue
        phase = phases[response.phase] if response.phase else spec.trial.phases[-1]
        if response.view == "tta" and "tta" not in phase.evaluate:
            yield (*place, "view"), f'phase `{phase.name}` does not evaluate it; add "tta" to its `evaluate`.'
        if response.epoch == "best" and spec.trial.split.use == "random" and spec.trial.split.test == 0:
            yield (
                (*place, "epoch"),
                (
                    "choosing the best epoch on the split that is reported makes every result look better than it is; "
                    "set `trial.split.test`, or read the last epoch."
                ),
            )


def _check_analysis(spec: StudySpec) -> Iterator[Finding]:
    known = {metric.use for metric in spec.trial.metrics} | set(spec.responses)
    wanted: list[tuple[KeyPath, str]] = [(("analysis", "response"), spec.analysis.response)]
    wanted += [(("analysis", "also", i), name) for i, name in enumerate(spec.analysis.also)]
    wanted += [(("reference", i, "response"), entry.response) for i, entry in enumerate(spec.reference)]
    hypotheses: list[tuple[KeyPath, Hypothesis]] = []
    if spec.analysis.primary is not None:
        hypotheses.append((("analysis", "primary"), spec.analysis.primary))
    hypotheses += [(("analysis", "further", i), entry) for i, entry in enumerate(spec.analysis.further)]
    hypotheses += [(("reference", i, "claim"), entry.claim) for i, entry in enumerate(spec.reference) if entry.claim]
    wanted += [((*place, "response"), entry.response) for place, entry in hypotheses if entry.response]
    for place, name in wanted:
        if name not in known:
            yield place, f"there is no metric or response `{name}`; {did_you_mean(name, known)}"
    for place, hypothesis in hypotheses:
        yield from ((place + path, message) for path, message in _check_hypothesis(hypothesis, spec))


def _check_hypothesis(hypothesis: Hypothesis, spec: StudySpec) -> Iterator[Finding]:
    factors = [("over", hypothesis.over)] if hypothesis.over else []
    factors += [("slope", name) for name in hypothesis.slope or ()]
    factors += [("interaction", name) for name in hypothesis.interaction or ()]
    for field, name in factors:
        if name not in spec.factors:
            yield (field,), f"there is no factor `{name}`; {did_you_mean(name, spec.factors)}"
        elif field == "slope" and spec.factors[name].order is None:
            yield (field,), f'factor `{name}` has no `order`; give it `order = "log2"` or `"linear"`.'
    if hypothesis.contrast and hypothesis.over in spec.factors:
        try:
            parse_contrast(hypothesis.contrast, _levels(spec, hypothesis.over))
        except ValueError as error:
            yield ("contrast",), str(error)
