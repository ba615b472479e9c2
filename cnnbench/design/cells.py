"""From factors to cells, and from cells to recipes."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from cnnbench.errors import Problem, SpecError
from cnnbench.plugin import component_identity
from cnnbench.spec import Recipe, RecipeInput, Ref, component_places, explain, patches, set_path
from cnnbench.types import Exclusion, Factor, Level, Response, ResponseInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cnnbench.plugin import Component, Dataset
    from cnnbench.registry import Registry
    from cnnbench.spec import StudySpec


@dataclass(frozen=True, slots=True)
class DatasetNeed:
    """A dataset of a study with the sizes at which its images are used."""

    dataset: Dataset
    sizes_px: tuple[int, ...]
    resize: Literal["crop", "squash"]


def factors_of(spec: StudySpec) -> tuple[Factor, ...]:
    """Return the factors in the order of the file."""
    return tuple(Factor(name, factor.labels, factor.order) for name, factor in spec.factors.items())


def planned_cells(spec: StudySpec) -> tuple[list[dict[str, Level]], list[Exclusion]]:
    """Return the cells of the design in order, and those that it excludes by rule."""
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
            yield {factor.name: cell[factor.name] for factor in factors}
        return
    if spec.design.kind == "factorial":
        for levels in itertools.product(*(factor.levels for factor in factors)):
            yield {factor.name: level for factor, level in zip(factors, levels, strict=True)}
        return
    baseline = {factor.name: spec.design.baseline.get(factor.name, factor.levels[0]) for factor in factors}
    yield baseline
    for factor in factors:
        for level in factor.levels:
            if level != baseline[factor.name]:
                yield {**baseline, factor.name: level}


def _matches(cell: Mapping[str, Level], rule: Mapping[str, Any]) -> bool:
    return all(cell[factor] in (wanted if isinstance(wanted, tuple) else (wanted,)) for factor, wanted in rule.items())


def cell_recipes(
    spec: StudySpec, registry: Registry, cells: list[dict[str, Level]], source: str
) -> Iterator[tuple[dict[str, Any], Dataset]]:
    """Yield the fully resolved recipe of each cell, and its dataset.

    In the recipe every default is filled in and every component carries its version. The dataset comes beside it,
    because the recipe does not hold its path.

    Raises:
        SpecError: Levels that are valid one by one do not go together, e.g. a depth that another level's model lacks.
    """
    base = spec.trial.model_dump(mode="json")
    by_level = {name: dict(patches(factor)) for name, factor in spec.factors.items()}
    for cell in cells:
        raw = copy.deepcopy(base)
        for name, level in cell.items():
            for path, value in by_level[name][level].items():
                set_path(raw, path, value)
        problems = list(_problems(raw, registry))
        if problems:
            where = ", ".join(f"{name} = {level}" for name, level in cell.items())
            raise SpecError(source, [Problem(f"cell {where}", f"{path}: {message}") for path, message in problems])
        dataset = registry.dataset(RecipeInput.model_validate(raw).dataset)
        yield _resolved(raw, registry), dataset


def _problems(raw: Mapping[str, Any], registry: Registry) -> Iterator[tuple[str, str]]:
    try:
        RecipeInput.model_validate(raw)
    except ValidationError as error:
        for path, message in explain(error, RecipeInput):
            yield ".".join(map(str, path)), message
        return
    for path, kind, value in component_places(raw):
        table = {"use": value} if isinstance(value, str) else value
        for inner, message in registry.check(kind, table):
            yield ".".join(map(str, (*path, *inner))), message


def _resolved(raw: dict[str, Any], registry: Registry) -> dict[str, Any]:
    recipe = Recipe.model_validate(raw)
    resolved = recipe.model_dump(mode="json")
    for path, kind, value in component_places(resolved):
        component: Component = registry.resolve(kind, Ref.model_validate(value))
        parent: Any = resolved
        for step in path[:-1]:
            parent = parent[step]
        parent[path[-1]] = component_identity(component)
    return resolved


def dataset_needs(spec: StudySpec, registry: Registry) -> list[DatasetNeed]:
    """Return every dataset that a cell of the study uses, with all sizes at which it is used."""
    needs: dict[tuple[Dataset, Literal["crop", "squash"]], set[int]] = {}
    base = spec.trial.model_dump(mode="json")
    by_level = {name: dict(patches(factor)) for name, factor in spec.factors.items()}
    cells, _ = planned_cells(spec)
    for cell in cells:
        raw = copy.deepcopy(base)
        for name, level in cell.items():
            for path, value in by_level[name][level].items():
                set_path(raw, path, value)
        recipe = RecipeInput.model_validate(raw)
        key = (registry.dataset(recipe.dataset), recipe.resize)
        needs.setdefault(key, set()).update(phase.size_px for phase in recipe.phases)
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
        declared = spec.responses.get(name)
        response = (
            Response(name, declared.metric, declared.view, declared.phase, declared.epoch)
            if declared
            else Response(name, name)
        )
        metric = metrics[response.metric]
        infos.append(
            ResponseInfo(
                response, metric.long_name, metric.unit, metric.higher_is_better, metric.bounded, metric.uses_time
            )
        )
    return tuple(infos)
