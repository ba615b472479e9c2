"""The plan: cells that can be built become trials with an identity."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cnnbench.design.cells import cell_recipes, factors_of, planned_cells
from cnnbench.design.feasibility import Probe
from cnnbench.design.rounds import rounds
from cnnbench.design.seeds import trial_seeds
from cnnbench.errors import DesignError
from cnnbench.spec import Oversample
from cnnbench.types import DatasetInfo, Exclusion, Level, Plan, Trial

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cnnbench.design.cells import CellRecipe
    from cnnbench.design.feasibility import Feasibility
    from cnnbench.plugin import Dataset
    from cnnbench.registry import Registry
    from cnnbench.spec import StudySpec
    from cnnbench.types import Decision, Stage

Prober = Callable[["Probe"], "Feasibility"]
"""`cnnbench.design.probe`, or a cached one."""

CellKey = tuple[tuple[str, Level], ...]

IDENTITY_FORMAT = 1


_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def canonical_json(value: Any) -> str:
    """Return JSON that is equal for equal values: keys sorted, no blanks, no NaN."""
    return _encoder.encode(value)


@dataclass(frozen=True, slots=True)
class _Buildable:
    """A cell that can be run."""

    source: CellRecipe
    fingerprint: str
    flops: float
    flops_per_image: tuple[float, ...]
    identity: str
    """Canonical JSON of all that its trials have in common, but for the closing brace."""


def make_plan(  # noqa: PLR0913 - a plan is made from this many things
    spec: StudySpec,
    registry: Registry,
    info_of: Callable[[Dataset], DatasetInfo],
    prober: Prober,
    source: str,
    *,
    decisions: Sequence[Decision] = (),
    recipes: Sequence[CellRecipe] | None = None,
) -> Plan:
    """Turn a study into its ordered trials: replicate by replicate, so that an interrupted study is balanced.

    Where the plan depends on results it goes as far as the decisions do; every cell that it may reach is checked now.

    Args:
        spec: The study.
        registry: All components.
        info_of: What is known of a dataset.
        prober: Tries a network at one size (see `cnnbench.design.probe`).
        source: Name of the study file, for errors.
        decisions: What was decided on the results of earlier rounds, in order (see `cnnbench.design.rounds`).
        recipes: Those of all planned cells, where they are at hand.

    Raises:
        SpecError: Levels do not go together.
        DesignError: No cell is left to run.
    """
    cells, excluded = planned_cells(spec)
    feasible, datasets, infeasible = _tried(recipes or cell_recipes(spec, registry, cells, source), info_of, prober)
    left_out = {_key(exclusion.cell): exclusion for exclusion in (*excluded, *infeasible)}
    planned = rounds(spec, cells, decisions)
    met = {_key(cell) for each in planned for cell in each.cells}
    trials: list[Trial] = []
    stages: list[Stage] = []
    for each in planned:
        buildable = [feasible[key] for key in map(_key, each.cells) if key in feasible]
        if not buildable:
            first = next((left_out[key] for key in map(_key, each.cells)), next(iter(left_out.values())))
            raise DesignError(f"no cell of `{spec.name}`{each.where} is left to run; the first reason: {first.reason}")
        trials += [_trial(spec, one, replicate) for replicate in each.replicates for one in buildable]
        if each.stage is not None:
            stages.append(replace(each.stage, cells=tuple(one.source.cell for one in buildable)))
    return Plan(
        study=spec.name,
        factors=factors_of(spec),
        replicates=sum(len(each.replicates) for each in planned) if not stages else spec.design.replicates,
        trials=tuple(trials),
        exclusions=tuple(one for key, one in left_out.items() if key in met or not stages),
        datasets=datasets,
        stages=tuple(stages),
    )


def _tried(
    recipes: Sequence[CellRecipe], info_of: Callable[[Dataset], DatasetInfo], prober: Prober
) -> tuple[dict[CellKey, _Buildable], dict[str, DatasetInfo], list[Exclusion]]:
    """Return the cells whose network can be built, the datasets that they need, and the other cells with the reason."""
    feasible: dict[CellKey, _Buildable] = {}
    datasets: dict[str, DatasetInfo] = {}
    infeasible: list[Exclusion] = []
    tried = functools.cache(prober)
    for one in recipes:
        info = info_of(one.dataset)
        found = [tried(request) for request in _probes(one, info)]
        reason = next((result.reason for result in found if result.reason is not None), None)
        if reason is not None:
            infeasible.append(Exclusion(one.cell, "infeasible", reason))
            continue
        datasets[info.fingerprint] = info
        feasible[_key(one.cell)] = _buildable(one, info, found)
    return feasible, datasets, infeasible


def _key(cell: Mapping[str, Level]) -> CellKey:
    return tuple(cell.items())


def _probes(one: CellRecipe, info: DatasetInfo) -> Iterator[Probe]:
    """Yield what has to be tried for a cell: its network at the size of each phase."""
    largest_px = max(phase["size_px"] for phase in one.recipe["phases"])
    for phase in one.recipe["phases"]:
        trainable = phase["trainable"] if isinstance(phase["trainable"], str) else tuple(phase["trainable"].items())
        yield Probe(one.model, info.channels, len(info.class_names), largest_px, phase["size_px"], trainable)


def _buildable(one: CellRecipe, info: DatasetInfo, found: Sequence[Feasibility]) -> _Buildable:
    split, epochs = one.recipe["split"], [phase["epochs"] for phase in one.recipe["phases"]]
    train_share = 1 - split["validation"] - split["test"]
    num_train = info.num_examples * train_share
    if (oversample := one.recipe.get("oversample")) is not None:
        copies = Oversample.model_validate(oversample).num_copies(info.class_counts, info.class_names)
        num_train += sum(copies) * train_share
    per_image = tuple(result.train_flops for result in found)
    flops = sum(each * num_train * num for each, num in zip(per_image, epochs, strict=True))
    common = {"cell": one.cell, "data": info.fingerprint, "format": IDENTITY_FORMAT, "recipe": one.recipe}
    return _Buildable(one, info.fingerprint, flops, per_image, canonical_json(common).removesuffix("}"))


def _trial(spec: StudySpec, one: _Buildable, replicate: int) -> Trial:
    seeds = trial_seeds(spec.design.base_seed, replicate, one.source.cell, spec.design.pairing)
    identity = f'{one.identity},"seeds":{canonical_json(seeds)}}}'  # still canonical: the last key in the alphabet
    return Trial(
        id=hashlib.sha256(identity.encode()).hexdigest(),
        study=spec.name,
        cell=one.source.cell,
        replicate=replicate,
        seeds=seeds,
        recipe=one.source.recipe,
        data_fingerprint=one.fingerprint,
        flops=one.flops,
        flops_per_image=one.flops_per_image,
    )
