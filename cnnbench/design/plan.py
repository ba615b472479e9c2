"""The plan: cells that can be built become trials with an identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnbench.design.cells import cell_recipes, factors_of, planned_cells
from cnnbench.design.feasibility import Probe
from cnnbench.design.seeds import trial_seeds
from cnnbench.errors import DesignError
from cnnbench.spec import Recipe
from cnnbench.types import DatasetInfo, Exclusion, Level, Plan, Trial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnbench.design.feasibility import Feasibility
    from cnnbench.plugin import Dataset
    from cnnbench.registry import Registry
    from cnnbench.spec import StudySpec

Prober = Callable[["Probe"], "Feasibility"]
"""`cnnbench.design.probe`, or a cached one."""

IDENTITY_FORMAT = 1


def canonical_json(value: Any) -> str:
    """Return JSON that is equal for equal values: keys sorted, no blanks, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class _Buildable:
    """A cell that can be run."""

    cell: dict[str, Level]
    recipe: dict[str, Any]
    fingerprint: str
    flops: float
    flops_per_image: tuple[float, ...]


def make_plan(
    spec: StudySpec,
    registry: Registry,
    info_of: Callable[[Dataset], DatasetInfo],
    prober: Prober,
    source: str,
) -> Plan:
    """Turn a study into its ordered trials: replicate by replicate, so that an interrupted study is balanced.

    Args:
        spec: The study.
        registry: All components.
        info_of: What is known of a dataset.
        prober: Tries a network at one size (see `cnnbench.design.probe`).
        source: Name of the study file, for errors.

    Raises:
        DesignError: No cell is left to run.
        DataError: A class is too small for the split.
    """
    cells, exclusions = planned_cells(spec)
    feasible: list[_Buildable] = []
    datasets: dict[str, DatasetInfo] = {}
    memo: dict[Probe, Feasibility] = {}
    for cell, (table, dataset) in zip(cells, cell_recipes(spec, registry, cells, source), strict=True):
        info, recipe = info_of(dataset), Recipe.model_validate(table)
        for request in _probes(recipe, registry, info):
            if request not in memo:
                memo[request] = prober(request)
        tried = [memo[request] for request in _probes(recipe, registry, info)]
        reason = next((result.reason for result in tried if result.reason is not None), None)
        if reason is not None:
            exclusions.append(Exclusion(cell, "infeasible", reason))
            continue
        datasets[info.fingerprint] = info
        num_train = info.num_examples * (1 - recipe.split.validation - recipe.split.test)
        epochs = [phase.epochs for phase in recipe.phases]
        flops = sum(one.train_flops * num_train * num for one, num in zip(tried, epochs, strict=True))
        per_image = tuple(one.train_flops for one in tried)
        feasible.append(_Buildable(cell, table, info.fingerprint, flops, per_image))
    if not feasible:
        raise DesignError(f"no cell of `{spec.name}` is left to run; the first reason: {exclusions[0].reason}")
    trials = [_trial(spec, one, replicate) for replicate in range(spec.design.replicates) for one in feasible]
    return Plan(spec.name, factors_of(spec), spec.design.replicates, tuple(trials), tuple(exclusions), datasets)


def _probes(recipe: Recipe, registry: Registry, info: DatasetInfo) -> Iterator[Probe]:
    """Yield what has to be tried for a cell: its network at the size of each phase."""
    largest_px = max(phase.size_px for phase in recipe.phases)
    model = registry.model(recipe.model)
    for phase in recipe.phases:
        trainable = phase.trainable if isinstance(phase.trainable, str) else tuple(phase.trainable.items())
        yield Probe(model, info.channels, len(info.class_names), largest_px, phase.size_px, trainable)


def _trial(spec: StudySpec, one: _Buildable, replicate: int) -> Trial:
    seeds = trial_seeds(spec.design.base_seed, replicate, one.cell, spec.design.pairing)
    identity = {
        "format": IDENTITY_FORMAT,
        "recipe": one.recipe,
        "cell": one.cell,
        "seeds": seeds,
        "data": one.fingerprint,
    }
    digest = hashlib.sha256(canonical_json(identity).encode()).hexdigest()
    return Trial(
        id=digest,
        study=spec.name,
        cell=one.cell,
        replicate=replicate,
        seeds=seeds,
        recipe=one.recipe,
        data_fingerprint=one.fingerprint,
        flops=one.flops,
        flops_per_image=one.flops_per_image,
    )
