"""Read a run folder: the trials as a table, the curves as an xarray dataset."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnbench.errors import StoreError
from cnnbench.store.index import read_trials
from cnnbench.store.run_folder import RunFolder
from cnnbench.types import COST_RESPONSES, Exclusion, Factor, Response, ResponseInfo, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import xarray as xr

    from cnnbench.store.trial_file import StoredTrial

_COSTS = (
    "train_s",
    "train_cpu_s",
    "evaluation_s",
    "total_s",
    "flops",
    "parameters",
    "peak_memory_bytes",
    "concurrent_trials",
    "resumed",
    "train_images",
    "images_per_s",
    "features_s",
    "features_reused",
)


@dataclass(frozen=True)
class Study:
    """A run folder, opened for reading."""

    folder: RunFolder
    name: str
    factors: tuple[Factor, ...]
    responses: tuple[ResponseInfo, ...]
    exclusions: tuple[Exclusion, ...]
    replicates: int
    planned: tuple[str, ...]
    """Ids of the planned trials, in order."""
    stages: tuple[Stage, ...] = ()
    """Of a sequential design, as far as they are planned."""

    @classmethod
    def open(cls, path: str | Path) -> Study:
        """Open a run folder.

        Raises:
            StoreError: It is none.
        """
        folder = RunFolder(Path(path))
        plan = folder.read_json("plan.json")
        if plan is None:
            raise StoreError(f"{path} is no run folder of cnnbench (it has no plan.json); run a study first.")
        return cls(
            folder=folder,
            name=plan["study"],
            factors=tuple(Factor(f["name"], tuple(f["levels"]), f["order"]) for f in plan["factors"]),
            responses=tuple(
                ResponseInfo(**{**info, "response": Response(**info["response"])}) for info in plan["responses"]
            ),
            exclusions=tuple(Exclusion(**exclusion) for exclusion in plan["exclusions"]),
            replicates=plan["replicates"],
            planned=tuple(trial["id"] for trial in plan["trials"]),
            stages=tuple(
                Stage(**{**stage, "cells": tuple(stage["cells"]), "replicates": tuple(stage["replicates"])})
                for stage in plan.get("stages", ())
            ),
        )

    @cached_property
    def stored(self) -> tuple[StoredTrial, ...]:
        """Every finished trial of the plan, in its order; its cell names the factors in the order of the plan."""
        finished = self.folder.finished()
        found = read_trials(self.folder, (one for one in self.planned if one in finished))
        return tuple(
            replace(one, cell={factor.name: one.cell[factor.name] for factor in self.factors}) for one in found
        )

    @property
    def trials(self) -> pd.DataFrame:
        """One row for each finished trial: id, a column for each factor, replicate, responses, costs.

        A sequential design has a column ``stage``, too. Seconds are wall seconds except for ``train_cpu_s``;
        ``num_examples`` counts the examples of the split that the responses are read from; ``device_type`` is torch's
        name of where it was trained (``cpu``, ``cuda``); ``environment_key`` is equal for comparable trials.
        """
        import pandas as pd  # noqa: PLC0415 - planning a study needs no tables

        rows = [self._row(trial) for trial in self.stored]
        columns = ["trial_id", *(factor.name for factor in self.factors), *(["stage"] if self.stages else [])]
        columns += ["replicate"]
        columns += [info.response.name for info in self.responses]
        columns += [name for name in _COSTS if name not in columns]  # a cost may be a response
        return pd.DataFrame(rows, columns=[*columns, "num_examples", "device_type", "environment_key"])

    def _row(self, trial: StoredTrial) -> dict[str, Any]:
        row: dict[str, Any] = {"trial_id": trial.id, "replicate": trial.replicate, **trial.cell}
        if self.stages:
            row["stage"] = next(stage.name for stage in self.stages if trial.replicate in stage.replicates)
        row.update({info.response.name: read_response(trial, info.response) for info in self.responses})
        row.update({name: getattr(trial.cost, name) for name in _COSTS})
        row["device_type"] = trial.environment.get("device_type")
        row["num_examples"] = trial.num_examples.get("test") or trial.num_examples.get("validation")
        facts = {key: fact for key, fact in trial.environment.items() if key not in self._declared_facts}
        row["environment_key"] = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
        return row

    @cached_property
    def _declared_facts(self) -> frozenset[str]:
        """Facts of the trials' environments that their recipes decide: where they differ, the study made them factors.

        The precision is one, and whether there was a compiler; but two compilers are two environments.
        """
        compilers = {trial.environment.get("compiler") for trial in self.stored} - {None}
        return frozenset({"precision", "compiler"} if len(compilers) < 2 else {"precision"})

    @property
    def curves(self) -> xr.Dataset:
        """Every scalar by epoch, with the dimensions (factors..., replicate, epoch); NaN where there is none.

        A scalar that has the name of a factor, e.g. ``lr``, is called ``lr_by_epoch``.

        Raises:
            StoreError: xarray is not installed.
        """
        try:
            import xarray as xr  # noqa: PLC0415 - an extra
        except ImportError:
            raise StoreError("curves need xarray; install it with `pip install cnnbench[xarray]`.") from None
        names = sorted({name for trial in self.stored for name in trial.scalars})
        num_replicates = max([self.replicates, *(trial.replicate + 1 for trial in self.stored)])
        num_epochs = max((len(trial.phase) for trial in self.stored), default=0)
        dims = [*(factor.name for factor in self.factors), "replicate", "epoch"]
        shape = [*(len(factor.levels) for factor in self.factors), num_replicates, num_epochs]
        arrays = {name: np.full(shape, np.nan) for name in names}
        for trial in self.stored:
            at = tuple(factor.levels.index(trial.cell[factor.name]) for factor in self.factors)
            for name, values in trial.scalars.items():
                arrays[name][(*at, trial.replicate)][: len(values)] = values
        descriptions = {name: text for trial in self.stored for name, text in trial.descriptions.items()}
        attributes = {name: {"units": unit, "long_name": text} for name, (unit, text) in descriptions.items()}
        coordinates: dict[str, Any] = {factor.name: list(factor.levels) for factor in self.factors}
        coordinates |= {"replicate": np.arange(num_replicates), "epoch": np.arange(num_epochs)}
        variables = {
            f"{name}_by_epoch" if name in dims else name: (dims, arrays[name], attributes[name]) for name in names
        }
        return xr.Dataset(variables, coords=coordinates)


def read_response(trial: StoredTrial, response: Response) -> float:
    """Return the number that a response reads from a trial's curves or costs; NaN where there is none.

    Raises:
        StoreError: The trial was run without what the response needs.
    """
    if response.metric in COST_RESPONSES:
        return float(getattr(trial.cost, response.metric))
    split, epoch = _where(trial, response)
    return float(trial.scalars[_name(split, response)][epoch])


def read_classes(trial: StoredTrial, response: Response) -> tuple[str, dict[str, np.ndarray]]:
    """Return the part that a response is read on, and every value of each class there at the epoch that it is read at.

    Names are those of trial files without the part, e.g. ``recall_by_class``.

    Raises:
        StoreError: As `read_response` does.
    """
    split, epoch = _where(trial, response)
    prefix = f"{split}_{'tta_' if response.view == 'tta' else ''}"
    values = {
        name.removeprefix(prefix): of_class[epoch]
        for name, of_class in trial.by_class.items()
        if name.startswith(prefix)
    }
    return split, {name: value for name, value in values.items() if not name.startswith("tta_")}


def _where(trial: StoredTrial, response: Response) -> tuple[str, int]:
    """Return the part and the epoch that a response is read at; a cost is one of the whole trial."""
    if response.metric in COST_RESPONSES:
        is_tested = any(name.startswith("test_") for name in trial.scalars)
        return "test" if is_tested else "validation", len(trial.phase) - 1
    split = "test" if _name("test", response) in trial.scalars else "validation"
    name = _name(split, response)
    if name not in trial.scalars:
        raise StoreError(f"trial {trial.id[:12]} has no `{name}`, which the response `{response.name}` needs.")
    last = len(trial.phase) - 1
    if response.phase is not None:
        ends = [index for index, phase in enumerate(trial.phase) if phase == response.phase]
        if not ends:
            raise StoreError(
                f"trial {trial.id[:12]} has no phase `{response.phase}`, which the response `{response.name}` needs."
            )
        last = ends[-1]
    if response.epoch == "best":
        last = _best_epoch(trial.scalars[_name("validation", response)][: last + 1], trial, response)
    return split, last


def _name(split: str, response: Response) -> str:
    return f"{split}_{'tta_' if response.view == 'tta' else ''}{response.metric.replace('-', '_')}"


def _best_epoch(values_E: np.ndarray, trial: StoredTrial, response: Response) -> int:
    if np.isnan(values_E).all():
        return len(values_E) - 1
    better = trial.higher_is_better.get(_name("validation", response), True)
    return int(np.nanargmax(values_E) if better else np.nanargmin(values_E))


def cell_trials(stored: Sequence[StoredTrial]) -> dict[tuple[Any, ...], list[StoredTrial]]:
    """Group trials by cell, in order of appearance."""
    cells: dict[tuple[Any, ...], list[StoredTrial]] = {}
    for trial in stored:
        cells.setdefault(tuple(trial.cell.items()), []).append(trial)
    return cells
