"""The plan: cells that can be built become trials with an identity."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnbench.design.cells import cell_recipes, factors_of, planned_cells
from cnnbench.design.feasibility import Probe
from cnnbench.design.seeds import trial_seeds
from cnnbench.errors import DesignError
from cnnbench.spec import Oversample
from cnnbench.types import DatasetInfo, Exclusion, Plan, Trial

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cnnbench.design.cells import CellRecipe
    from cnnbench.design.feasibility import Feasibility
    from cnnbench.plugin import Dataset
    from cnnbench.registry import Registry
    from cnnbench.spec import StudySpec

Prober = Callable[["Probe"], "Feasibility"]
"""`cnnbench.design.probe`, or a cached one."""

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
        SpecError: Levels do not go together.
        DesignError: No cell is left to run.
    """
    cells, exclusions = planned_cells(spec)
    feasible: list[_Buildable] = []
    datasets: dict[str, DatasetInfo] = {}
    tried = functools.cache(prober)
    for one in cell_recipes(spec, registry, cells, source):
        info = info_of(one.dataset)
        found = [tried(request) for request in _probes(one, info)]
        reason = next((result.reason for result in found if result.reason is not None), None)
        if reason is not None:
            exclusions.append(Exclusion(one.cell, "infeasible", reason))
            continue
        datasets[info.fingerprint] = info
        feasible.append(_buildable(one, info, found))
    if not feasible:
        raise DesignError(f"no cell of `{spec.name}` is left to run; the first reason: {exclusions[0].reason}")
    trials = [_trial(spec, one, replicate) for replicate in range(spec.design.replicates) for one in feasible]
    return Plan(spec.name, factors_of(spec), spec.design.replicates, tuple(trials), tuple(exclusions), datasets)


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
