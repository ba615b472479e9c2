"""From factors to cells, and from cells to recipes."""

from __future__ import annotations

import functools
import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from cnnbench.errors import Problem, SpecError
from cnnbench.plugin import Metric, component_identity
from cnnbench.spec import RecipeInput, check_table, component_places, in_order, patches, set_path
from cnnbench.types import COST_RESPONSES, Exclusion, Factor, Level, Response, ResponseInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cnnbench.plugin import Component, Dataset, Model
    from cnnbench.registry import Registry
    from cnnbench.spec import Finding, KeyPath, StudySpec


@dataclass(frozen=True, slots=True)
class DatasetNeed:
    """A dataset of a study with the sizes at which its images are used."""

    dataset: Dataset
    sizes_px: tuple[int, ...]
    resize: Literal["crop", "squash"]


@dataclass(frozen=True, slots=True)
class CellRecipe:
    """What the trials of a cell do."""

    cell: Mapping[str, Level]
    recipe: dict[str, Any]
    """Fully resolved, as plain JSON values: every default is filled in, every component carries its version."""
    dataset: Dataset
    """Beside the recipe, which does not hold its path."""
    model: Model


def factors_of(spec: StudySpec) -> tuple[Factor, ...]:
    """Return the factors in the order of the file."""
    return tuple(Factor(name, factor.labels, factor.order) for name, factor in spec.factors.items())


def planned_cells(spec: StudySpec) -> tuple[list[dict[str, Level]], list[Exclusion]]:
    """Return the cells of the design in order, and those that it excludes by rule.

    Of a sequential design every cell that its stages may reach, so that all are checked before anything runs.
    """
    cells: list[dict[str, Level]] = []
    excluded: list[Exclusion] = []
    for cell in _all_cells(spec):
        reason = next((rule.reason for rule in spec.design.exclude if _matches(cell, rule.cell)), None)
        if reason is None:
            cells.append(cell)
        else:
            excluded.append(Exclusion(cell, "excluded", reason))
    return cells, excluded


def _all_cells(spec: StudySpec) -> Iterator[dict[str, Level]]:
    factors = factors_of(spec)
    if spec.design.kind == "cells":
        for cell in spec.design.cells:
            yield {factor.name: _own_level(factor, cell[factor.name]) for factor in factors}
        return
    if spec.design.kind in {"factorial", "sequential"}:
        for levels in itertools.product(*(factor.levels for factor in factors)):
            yield {factor.name: level for factor, level in zip(factors, levels, strict=True)}
        return
    baseline = baseline_of(spec)
    yield baseline
    for factor in factors:
        for level in factor.levels:
            if level != baseline[factor.name]:
                yield {**baseline, factor.name: level}


def baseline_of(spec: StudySpec) -> dict[str, Level]:
    """Return the cell around which `ofat` and `sequential` vary one factor at a time."""
    chosen = spec.design.baseline
    factors = factors_of(spec)
    return {factor.name: _own_level(factor, chosen.get(factor.name, factor.levels[0])) for factor in factors}


def _own_level(factor: Factor, level: Level) -> Level:
    """Return a level as its factor writes it: 8, where a cell says 8.0."""
    return factor.levels[factor.levels.index(level)]


def _matches(cell: Mapping[str, Level], rule: Mapping[str, Any]) -> bool:
    return all(cell[factor] in (wanted if isinstance(wanted, tuple) else (wanted,)) for factor, wanted in rule.items())


def cell_recipes(
    spec: StudySpec, registry: Registry, cells: Sequence[Mapping[str, Level]], source: str
) -> list[CellRecipe]:
    """Return what each cell does.

    Raises:
        SpecError: Levels that are valid one by one do not go together, e.g. a depth that another level's model lacks.
    """
    base = json.dumps(spec.trial.model_dump(mode="json"))
    by_level = {name: dict(patches(factor)) for name, factor in spec.factors.items()}
    identity = functools.cache(component_identity)
    recipes: list[CellRecipe] = []
    wrong: dict[Finding, list[Mapping[str, Level]]] = {}
    for cell in cells:
        raw = json.loads(base)
        for path, value in in_order(patch for name, level in cell.items() for patch in by_level[name][level].items()):
            set_path(raw, path, value)
        settings, problems = check_table(RecipeInput, raw)
        recipe = settings.model_dump(mode="json") if settings is not None else {}
        components: dict[KeyPath, Component] = {}
        for place, kind, table in component_places(recipe):
            component, found = registry.validate(kind, table)
            problems += [((*place, *inner), message) for inner, message in found]
            if component is not None:
                components[place] = component
                _put(recipe, place, identity(component))
        problems += _unchosen(recipe, components)
        for problem in problems:
            wrong.setdefault(problem, []).append(cell)
        if not problems:
            dataset, model = components["dataset",], components["model",]
            recipes.append(CellRecipe(cell, recipe, cast("Dataset", dataset), cast("Model", model)))
    if wrong:
        raise SpecError(source, [_clash(path, message, where) for (path, message), where in wrong.items()])
    return recipes


def _unchosen(recipe: Mapping[str, Any], components: Mapping[KeyPath, Component]) -> Iterator[Finding]:
    """Yield what is wrong where the best epoch's weights are to be kept, and no metric can say which epoch is best."""
    metrics = [one for (place, *_), one in components.items() if place == "metrics" and isinstance(one, Metric)]
    if recipe.get("save_weights") == "best" and not any(
        not metric.dims and metric.higher_is_better is not None for metric in metrics
    ):
        yield ("save_weights",), "no metric tells which epoch is best; add one that is one number, e.g. `accuracy`."


def _put(tree: Any, path: KeyPath, value: object) -> None:
    for step in path[:-1]:
        tree = tree[step]
    tree[path[-1]] = value


def _clash(path: KeyPath, message: str, cells: Sequence[Mapping[str, Level]]) -> Problem:
    """Say that the levels of some cells do not go together."""
    where = ", ".join(f"{name} = {level}" for name, level in cells[0].items())
    more = f" (and {len(cells) - 1} more)" if len(cells) > 1 else ""
    return Problem(
        f"cell {where}{more}",
        f"its levels do not go together: {'.'.join(map(str, path))}: {message} Change a level, or leave the cell out "
        "with `[[design.exclude]]`.",
    )


def dataset_needs(
    spec: StudySpec, registry: Registry, recipes: Sequence[CellRecipe] | None = None
) -> list[DatasetNeed]:
    """Return every dataset that a cell of the study uses, with all sizes at which it is used.

    ``recipes`` are those of all planned cells, where they are at hand.

    Raises:
        SpecError: As `cell_recipes` does.
    """
    needs: dict[tuple[Dataset, Literal["crop", "squash"]], set[int]] = {}
    for one in recipes or cell_recipes(spec, registry, planned_cells(spec)[0], spec.name):
        sizes_px = (phase["size_px"] for phase in one.recipe["phases"])
        needs.setdefault((one.dataset, one.recipe["resize"]), set()).update(sizes_px)
    return [DatasetNeed(dataset, tuple(sorted(sizes)), resize) for (dataset, resize), sizes in needs.items()]


def responses_of(spec: StudySpec, registry: Registry) -> tuple[ResponseInfo, ...]:
    """Return the responses of the analysis, the primary one first, then further ones, then those of references."""
    names = [spec.analysis.response, *spec.analysis.also]
    hypotheses = [spec.analysis.primary, *spec.analysis.further, *(entry.claim for entry in spec.reference)]
    names += [entry.response for entry in hypotheses if entry is not None and entry.response]
    names += [entry.response for entry in spec.reference]
    metrics = {ref.use: registry.metric(ref) for ref in spec.trial.metrics}
    infos = []
    for name in dict.fromkeys(names):
        if name in COST_RESPONSES:
            cost = COST_RESPONSES[name]
            response = Response(name, name)
            infos.append(
                ResponseInfo(response, cost.long_name, cost.unit, cost.higher_is_better, "positive", cost.uses_time)
            )
            continue
        declared = spec.responses.get(name)
        response = (
            Response(name, declared.metric, declared.view, declared.phase, declared.epoch)
            if declared
            else Response(name, name)
        )
        metric = metrics[response.metric]
        if metric.dims:
            message = f"`{response.metric}` is no single number, so it cannot be a response; choose another metric."
            raise SpecError(spec.name, [Problem(name, message)])
        infos.append(
            ResponseInfo(
                response,
                metric.long_name,
                metric.unit,
                metric.higher_is_better,
                metric.bounded,
                metric.uses_time,
                metric.share_of_examples,
            )
        )
    return tuple(infos)
