"""What the doctor looks at: each dataset as the study divides it, and each network as its trials begin.

Shapes: N examples.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.data import prepare, split_examples
from cnnbench.design import dataset_needs, make_plan, responses_of
from cnnbench.errors import DataError
from cnnbench.spec import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from cnnbench.data import PreparedDataset, SplitIndices
    from cnnbench.design.plan import Prober
    from cnnbench.plugin import Dataset
    from cnnbench.registry import Registry
    from cnnbench.spec import StudyFile
    from cnnbench.types import DatasetInfo, Plan, ResponseInfo, Trial

PARTS = ("train", "validation", "test")
_SEARCH_PX = 32
"""Least size at which images are looked through, where the study has one."""


@dataclass(frozen=True)
class DataSubject:
    """A dataset as the trials of a study use it."""

    name: str
    prepared: PreparedDataset
    trials: tuple[Trial, ...]
    """All trials that use it, all replicates."""

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe of its first trial; dataset, split and resizing are the same in all."""
        return Recipe.model_validate(self.trials[0].recipe)

    @cached_property
    def label_N(self) -> NDArray[np.int64]:
        """Class of each example."""
        return self.prepared.labels_N()

    @cached_property
    def name_N(self) -> NDArray[np.str_] | None:
        """Name of each example, where the dataset names them."""
        return self.prepared.names_N()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class."""
        return self.prepared.info.class_names

    @cached_property
    def sizes_px(self) -> tuple[int, ...]:
        """Every size at which its images are used, ascending."""
        return tuple(sorted({phase["size_px"] for trial in self.trials for phase in trial.recipe["phases"]}))

    @cached_property
    def search_px(self) -> int:
        """The size at which all images are looked through: small, but not too small to tell them apart."""
        return next((size for size in self.sizes_px if size >= _SEARCH_PX), self.sizes_px[-1])

    @cached_property
    def splits(self) -> tuple[SplitIndices, ...]:
        """How the replicates divide it; equal divisions once, and none if it cannot be divided."""
        return self._divided[0]

    @property
    def split_fault(self) -> str | None:
        """Why it cannot be divided as the study says."""
        return self._divided[1]

    @cached_property
    def _divided(self) -> tuple[tuple[SplitIndices, ...], str | None]:
        seeds = dict.fromkeys(trial.seeds["split"] for trial in self.trials)
        predefined_N = self.prepared.splits_N()
        splits: dict[bytes, SplitIndices] = {}
        try:
            for seed in seeds:
                split = split_examples(self.label_N, self.recipe.split, seed, predefined_N, self.prepared.groups_N())
                splits.setdefault(self.part_N(split).tobytes(), split)
        except DataError as error:
            return (), str(error)
        return tuple(splits.values()), None

    def part_N(self, split: SplitIndices) -> NDArray[np.int8]:
        """Return the part of each example as an index of `PARTS`; -1 for one that is in none."""
        part_N = np.full(len(self.label_N), -1, np.int8)
        for index, part in enumerate(PARTS):
            part_N[getattr(split, part)] = index
        return part_N

    def images_NCHW(self, size_px: int) -> NDArray[np.uint8]:
        """Return all images at one size of the study."""
        return self.prepared.images_NCHW(size_px, self.recipe.resize)

    def called(self, index: int) -> str:
        """Return what an example is called."""
        return f"image {index}" if self.name_N is None else str(self.name_N[index])


@dataclass(frozen=True)
class NetworkSubject:
    """A network on its data, as a trial begins with it."""

    name: str
    trial: Trial
    data: DataSubject

    @cached_property
    def recipe(self) -> Recipe:
        """What its trial does."""
        return Recipe.model_validate(self.trial.recipe)


@dataclass(frozen=True)
class Subjects:
    """All that a study uses."""

    plan: Plan
    data: tuple[DataSubject, ...]
    beginnings: tuple[NetworkSubject, ...]
    """One for each different first training step."""
    learners: tuple[NetworkSubject, ...]
    """One for each different pair of network and optimizer on a dataset."""
    responses: tuple[ResponseInfo, ...]
    """The primary one first."""


def find_subjects(
    study: StudyFile,
    registry: Registry,
    cache_dir: Path,
    prober: Prober,
    progress: Callable[[str, int, int], None] | None = None,
) -> Subjects:
    """Prepare the data and plan the study, and return what there is to be looked at.

    Raises:
        CnnbenchError: Data or design cannot be used at all.
    """
    spec = study.spec
    prepared: dict[Dataset, PreparedDataset] = {}
    for need in dataset_needs(spec, registry):
        prepared[need.dataset] = prepare(need.dataset, need.sizes_px, need.resize, cache_dir, progress)

    def info_of(dataset: Dataset) -> DatasetInfo:
        return prepared[dataset].info

    plan = make_plan(spec, registry, info_of, prober, str(study.path))
    by_fingerprint = {one.info.fingerprint: one for one in prepared.values()}
    data = {
        key: DataSubject(_name(plan, trials), by_fingerprint[trials[0].data_fingerprint], tuple(trials))
        for key, trials in _grouped(plan.trials, _data_key)
    }
    first = [trial for trial in plan.trials if trial.replicate == 0]

    def networks(key: Callable[[Trial], str]) -> tuple[NetworkSubject, ...]:
        groups = _grouped(first, key)
        return tuple(NetworkSubject(_name(plan, group), group[0], data[_data_key(group[0])]) for _, group in groups)

    return Subjects(
        plan, tuple(data.values()), networks(_beginning_key), networks(_learner_key), responses_of(spec, registry)
    )


def _grouped(trials: Sequence[Trial], key: Callable[[Trial], str]) -> Iterator[tuple[str, list[Trial]]]:
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(key(trial), []).append(trial)
    yield from groups.items()


def _data_key(trial: Trial) -> str:
    return json.dumps([trial.data_fingerprint, trial.recipe["split"], trial.recipe["resize"]])


def _beginning_key(trial: Trial) -> str:
    names = ("model", "augmentation", "normalization", "batch_size", "precision", "loss")
    phase = {name: trial.recipe["phases"][0][name] for name in ("size_px", "trainable")}
    return json.dumps([_data_key(trial), phase, {name: trial.recipe[name] for name in names}], sort_keys=True)


def _learner_key(trial: Trial) -> str:
    names = ("model", "optimizer", "normalization", "precision")
    return json.dumps([_data_key(trial), {name: trial.recipe[name] for name in names}], sort_keys=True)


def _name(plan: Plan, trials: Sequence[Trial]) -> str:
    """Name some trials by the levels that they share and others do not have; else by their dataset and model."""
    shared = [
        f"{factor.name} {trials[0].cell[factor.name]}"
        for factor in plan.factors
        if len(factor.levels) > 1 and len({trial.cell[factor.name] for trial in trials}) == 1
    ]
    return ", ".join(shared) or str(trials[0].recipe["dataset"]["use"])
