"""What one table of a study says about another: factor paths, levels, phases, responses, hypotheses, components."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cnnbench.spec.adaptive import check_adaptive
from cnnbench.spec.contrast import parse_contrast
from cnnbench.spec.overlay import set_path
from cnnbench.spec.problems import Finding, check_table, did_you_mean
from cnnbench.spec.recipe import RecipeInput
from cnnbench.types import COST_RESPONSES, Cost

if TYPE_CHECKING:
    from cnnbench.spec.model import FactorSpec, Hypothesis, Reference, StudySpec
    from cnnbench.spec.toml import KeyPath

ComponentCheck = Callable[[str, Mapping[str, Any]], list[Finding]]
"""(kind, table of a component) -> what is wrong with it, by path within the table."""

_COLUMNS = frozenset(
    {
        "trial_id",
        "replicate",
        "epoch",
        "environment_key",
        "device_type",
        *(field.name for field in dataclasses.fields(Cost)),
    }
    | COST_RESPONSES.keys()
)
"""Columns and dimensions of the results that no factor may be called after."""


def check_study(data: Mapping[str, Any], spec: StudySpec | None, check_component: ComponentCheck) -> Iterator[Finding]:
    """Yield every problem that pydantic cannot see.

    Components are checked in the raw data, so that they are reported even where other keys are wrong; the rest needs a
    ``spec`` that is valid in itself.
    """
    recipe = data.get("trial")
    faults = list(check_components(recipe, check_component)) if isinstance(recipe, dict) else []
    yield from ((("trial", *path), message) for path, message in faults)
    if spec is None:
        return
    complete = spec.trial.model_dump(mode="json")
    for name, factor in spec.factors.items():
        yield from _check_factor(name, factor, complete, set(faults), check_component)
    yield from _check_names(spec)
    yield from _check_cells(spec)
    yield from _check_responses(spec)
    yield from _check_analysis(spec)
    yield from _check_random(spec)
    yield from check_adaptive(data, spec)


def component_places(recipe: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str, Any]]:
    """Yield path, kind and raw value of every component of a recipe."""
    for field in ("model", "dataset", "optimizer"):
        if field in recipe:
            yield (field,), field, recipe[field]
    for field, kind in (("augmentation", "augmentation"), ("metrics", "metric")):
        entries = recipe.get(field, ())
        for index, value in enumerate(entries if isinstance(entries, list | tuple) else ()):
            yield (field, index), kind, value
    oversample = recipe.get("oversample")
    copied_by = oversample.get("augmentation", ()) if isinstance(oversample, dict) else ()
    for index, value in enumerate(copied_by if isinstance(copied_by, list | tuple) else ()):
        yield ("oversample", "augmentation", index), "augmentation", value
    phases = recipe.get("phases", ())
    for index, phase in enumerate(phases if isinstance(phases, list | tuple) else ()):
        if isinstance(phase, dict) and "schedule" in phase:
            yield ("phases", index, "schedule"), "scheduler", phase["schedule"]


def check_components(recipe: Mapping[str, Any], check_component: ComponentCheck) -> Iterator[Finding]:
    """Yield what is wrong with the components of a raw recipe, by path within the recipe."""
    for path, kind, value in component_places(recipe):
        table = {"use": value} if isinstance(value, str) else value
        if isinstance(table, dict) and isinstance(table.get("use"), str) and table["use"]:
            yield from (((*path, *inner), message) for inner, message in check_component(kind, table))


# ------------------------------------------------------------------------------------------------ factors


def patches(factor: FactorSpec) -> Iterator[tuple[str | int | float | bool, dict[str, Any]]]:
    """Yield each level of a factor with what it sets: recipe path -> value."""
    if not isinstance(factor.levels, dict):
        for level in factor.levels:
            yield level, {str(factor.path): level}
        return
    for name, value in zip(factor.labels, factor.levels.values(), strict=True):
        yield name, {factor.path: value} if factor.path is not None else dict(value)


def in_order(settings: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return what the levels of a cell set, wholes before their parts, so that no factor undoes another.

    ``model`` comes before ``model.depth``, and ``phases.*.size_px`` before ``phases.sgdr.size_px``, wherever the file
    names them.
    """
    return sorted(settings, key=lambda setting: (setting[0].count("."), "*" not in setting[0]))


def _check_factor(
    name: str, factor: FactorSpec, recipe: Mapping[str, Any], known: set[Finding], check_component: ComponentCheck
) -> Iterator[Finding]:
    """Yield what is wrong with a factor; a fault that all levels share is one of the path."""
    places_of: dict[str, list[KeyPath]] = {}
    for position, (level, patch) in enumerate(patches(factor)):
        where: KeyPath = ("factors", name, "levels", position if isinstance(factor.levels, tuple) else str(level))
        for path, message in _level_faults(patch, recipe, known, check_component):
            place = where if factor.path is not None or path is None else (*where, path)
            places_of.setdefault(message, []).append(place)
    for message, places in places_of.items():
        if factor.path is not None and len(places) == len(factor.levels):
            yield ("factors", name, "path"), message
        else:
            yield from ((place, message) for place in places)


def _level_faults(
    patch: Mapping[str, Any], recipe: Mapping[str, Any], known: set[Finding], check_component: ComponentCheck
) -> Iterator[tuple[str | None, str]]:
    """Yield what is wrong with a level, with the path in its patch that is to blame (None: the level as a whole)."""
    patched = copy.deepcopy(dict(recipe))
    blame: dict[KeyPath, str] = {}
    wrong = False
    for path, value in in_order(patch.items()):
        problem = _path_problem(path, value, recipe)
        if problem is None:
            blame |= dict.fromkeys(set_path(patched, path, value), path)
        else:
            wrong = True
            yield path, problem
    if wrong:
        return
    _, faults = check_table(RecipeInput, patched)
    for place, message in faults or check_components(patched, check_component):
        if (place, message) in known:
            continue
        depth = next((depth for depth in range(len(place), 0, -1) if place[:depth] in blame), 0)
        inner = ".".join(map(str, place[depth:]))
        yield blame.get(place[:depth]), f"{inner}: {message}" if inner else message


def _path_problem(path: str, value: object, recipe: Mapping[str, Any]) -> str | None:
    """Return a sentence if ``path`` does not exist in the recipe."""
    first, _, rest = path.partition(".")
    if first == "trial" and rest:
        return f"paths begin within `[trial]`; write `{rest}`."
    if first not in RecipeInput.model_fields:
        return f"the recipe has no `{first}`; {did_you_mean(first, RecipeInput.model_fields)}"
    if (
        not rest
        and isinstance(value, dict)
        and "use" not in value
        and first in ("model", "dataset", "optimizer", "phases")
    ):
        part: object = value
        while isinstance(part, dict) and part:
            path, part = f"{path}.{next(iter(part))}", next(iter(part.values()))
        return f'this sets `{first}` as a whole; to set a part of it, write the path in quotes: "{path}" = ...'
    try:
        set_path(copy.deepcopy(dict(recipe)), path, None)
    except KeyError as error:
        step, names = error.args
        return f"the recipe has no `{step}` on the path `{path}`; {did_you_mean(step, names)}"
    return None


def _check_names(spec: StudySpec) -> Iterator[Finding]:
    """Names that would stand for two things."""
    metrics = {metric.use for metric in spec.trial.metrics}
    setters: dict[str, str] = {}
    for name, factor in spec.factors.items():
        if name in _COLUMNS or name in spec.responses or name in metrics:
            yield ("factors", name), f"`{name}` is the name of another column of the results; rename the factor."
        for path in dict.fromkeys(path for _, patch in patches(factor) for path in patch):
            other = setters.setdefault(path, name)
            if other != name:
                yield ("factors", name), f"factor `{other}` sets `{path}`, too; only one of them would have an effect."
    for name in spec.responses:
        if name in _COLUMNS:
            yield ("responses", name), f"`{name}` is the name of another column of the results; rename the response."


# ------------------------------------------------------------------------------------------------ design


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
            known = list(spec.factors[factor].labels)
            for level in wanted if isinstance(wanted, tuple) else (wanted,):
                if level not in known:
                    near = did_you_mean(str(level), map(str, known))
                    yield (*place, factor), f"`{level}` is no level of `{factor}`; {near}"
    seen: set[frozenset[Any]] = set()
    for i, cell in enumerate(spec.design.cells):
        missing = sorted(set(spec.factors) - set(cell))
        if missing:
            yield ("design", "cells", i), f"the cell gives no level for {', '.join(f'`{name}`' for name in missing)}."
        if frozenset(cell.items()) in seen:
            yield ("design", "cells", i), "the cell is listed twice; `replicates` says how often each is run."
        seen.add(frozenset(cell.items()))
    if spec.design.kind == "ofat" and not spec.factors:
        yield ("design", "kind"), "one factor at a time needs at least one factor."


# ------------------------------------------------------------------------------------------------ analysis


def _check_responses(spec: StudySpec) -> Iterator[Finding]:
    metrics = {metric.use for metric in spec.trial.metrics}
    phases = {phase.name: phase for phase in spec.trial.phases}
    for name, response in spec.responses.items():
        place = ("responses", name)
        if response.metric not in metrics:
            near = did_you_mean(response.metric, metrics)
            yield (
                (*place, "metric"),
                f"`{response.metric}` is not in `trial.metrics`; add it there, or choose another: {near}",
            )
        if response.phase is not None and response.phase not in phases:
            yield (*place, "phase"), f"there is no phase `{response.phase}`; {did_you_mean(response.phase, phases)}"
            continue
        phase = phases[response.phase] if response.phase else spec.trial.phases[-1]
        if response.view == "tta" and "tta" not in phase.evaluate:
            yield (*place, "view"), f'phase `{phase.name}` does not evaluate it; add "tta" to its `evaluate`.'
        if response.epoch == "best" and spec.trial.split.use == "random" and spec.trial.split.test == 0:
            message = (
                "choosing the best epoch on the split that is reported makes every result look better than it is; "
                "set `trial.split.test`, or read the last epoch."
            )
            yield (*place, "epoch"), message


def random_factor(spec: StudySpec) -> str | None:
    """Return the factor whose levels are random datasets, or None where the study takes them as fixed."""
    return dataset_factor(spec) if spec.analysis.datasets == "random" else None


def dataset_factor(spec: StudySpec) -> str | None:
    """Return the only factor that chooses the dataset, or None where there is no such factor or several."""
    choosers = _dataset_factors(spec)
    return choosers[0] if len(choosers) == 1 else None


def _dataset_factors(spec: StudySpec) -> list[str]:
    """Return the factors that choose the dataset: they set `dataset` as a whole, or a part of it that is text.

    A number, such as `dataset.noise`, makes another version of the same dataset.
    """

    def chooses(path: str, value: object) -> bool:
        return path == "dataset" or (path.startswith("dataset.") and isinstance(value, str))

    def is_chooser(factor: FactorSpec) -> bool:
        given = [patch for _, patch in patches(factor) if patch]  # an empty patch is the dataset of `[trial]`
        return bool(given) and all(any(chooses(path, value) for path, value in patch.items()) for patch in given)

    return [name for name, factor in spec.factors.items() if is_chooser(factor)]


def _check_random(spec: StudySpec) -> Iterator[Finding]:
    """Random datasets need one factor that chooses them, and no hypothesis may compare them."""
    if spec.analysis.datasets == "fixed":
        return
    choosers = _dataset_factors(spec)
    if len(choosers) != 1:
        have = " and ".join(f"`{name}`" for name in choosers) or "none"
        message = f"random datasets need one factor that chooses the dataset; this study has {have}."
        yield ("analysis", "datasets"), message
        return
    (name,) = choosers
    hypotheses: list[tuple[KeyPath, Hypothesis | None]] = [(("analysis", "primary"), spec.analysis.primary)]
    hypotheses += [(("analysis", "further", i), entry) for i, entry in enumerate(spec.analysis.further)]
    for place, hypothesis in hypotheses:
        if hypothesis is not None and name in hypothesis.factors:
            message = (
                f"it names `{name}`, whose levels are random: they stand for a population, and which of them is better "
                'is no finding; ask about the other factors, or set `datasets = "fixed"`.'
            )
            yield place, message


def _check_analysis(spec: StudySpec) -> Iterator[Finding]:
    known = {metric.use for metric in spec.trial.metrics} | set(spec.responses) | set(COST_RESPONSES)
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
        held = _check_held(hypothesis, spec, is_claim=place[0] != "analysis")
        yield from ((place + path, message) for path, message in held)
    for i, entry in enumerate(spec.reference):
        yield from ((("reference", i, "each"), message) for message in _check_each(entry, spec))
        yield from ((("reference", i, "best"), message) for message in _check_best(entry, spec))


def _check_each(reference: Reference, spec: StudySpec) -> Iterator[str]:
    """Yield what is wrong with the factors at whose levels a claim must hold."""
    asked = {reference.claim.over, *(reference.claim.slope or ())} if reference.claim else set()
    for name in reference.each:
        if name not in spec.factors:
            yield f"there is no factor `{name}`; {did_you_mean(name, spec.factors)}"
        elif name in asked:
            yield f"the claim is about `{name}` itself, so it cannot hold at each of its levels."


def _check_best(reference: Reference, spec: StudySpec) -> Iterator[str]:
    """Yield what is wrong with a claim that a level is the best."""
    claim = reference.claim
    if not reference.best or claim is None or claim.contrast is None or claim.over not in spec.factors:
        return
    try:
        weights = parse_contrast(claim.contrast, list(spec.factors[claim.over].labels))
    except ValueError:  # said of the contrast itself
        return
    if sum(weight > 0 for weight in weights) != 1 or sum(weight < 0 for weight in weights) < 2:
        yield 'write one level against at least two, e.g. "a - 0.5 b - 0.5 c": it must beat each of them.'


def _check_hypothesis(hypothesis: Hypothesis, spec: StudySpec) -> Iterator[Finding]:
    factors = [("over", hypothesis.over)] if hypothesis.over else []
    factors += [("slope", name) for name in hypothesis.slope or ()]
    factors += [("interaction", name) for name in hypothesis.interaction or ()]
    factors += [("at", name) for name in hypothesis.at]
    for field, name in factors:
        if name not in spec.factors:
            yield (field,), f"there is no factor `{name}`; {did_you_mean(name, spec.factors)}"
        elif field == "slope" and spec.factors[name].order is None:
            yield (field,), f'factor `{name}` has no `order`; give it `order = "log2"` or `"linear"`.'
    if hypothesis.contrast and hypothesis.over in spec.factors:
        try:
            parse_contrast(hypothesis.contrast, list(spec.factors[hypothesis.over].labels))
        except ValueError as error:
            yield ("contrast",), str(error)


def _check_held(hypothesis: Hypothesis, spec: StudySpec, *, is_claim: bool) -> Iterator[Finding]:
    for name, level in hypothesis.at.items():
        labels = spec.factors[name].labels if name in spec.factors else (level,)
        if any(isinstance(label, bool) == isinstance(level, bool) and label == level for label in labels):
            continue
        if str(level) in map(str, labels):
            kind = "text" if isinstance(level, str) else "no text"
            yield ("at", name), f"`{name}` has the level `{level}`, but not as {kind}; write it as the factor has it."
        elif not is_claim:  # a claim may be about a level that this profile does not have
            yield ("at", name), f"`{name}` has no level `{level}`; {did_you_mean(str(level), list(map(str, labels)))}"
