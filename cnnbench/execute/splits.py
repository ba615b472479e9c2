"""The splits of a plan: can they be made, and what do those that keep groups whole look like?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.data import PreparedDataset, check_split, split_examples
from cnnbench.errors import CnnbenchError, DataError
from cnnbench.spec import Split

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cnnbench.data import SplitIndices
    from cnnbench.types import Plan, ResponseInfo, Trial


def check_splits(plan: Plan, responses: tuple[ResponseInfo, ...], datasets: Mapping[str, PreparedDataset]) -> None:
    """Check, before anything runs, that every split can be made.

    Raises:
        DataError: One cannot, or would choose the best epoch on the part that is reported.
    """
    is_best = any(one.response.epoch == "best" for one in responses)
    for trial, split in _different(plan):
        info, name = plan.datasets[trial.data_fingerprint], trial.recipe["dataset"]["use"]
        if is_best and split.use == "predefined" and not info.has_test_split:
            raise DataError(
                f"dataset `{name}` brings no test part, so the best epoch would be chosen on the part that is "
                "reported; read the last epoch, or draw a random split with a test part."
            )
        try:
            check_split(info, split)
            if split.use == "predefined" or _keeps_groups(trial, plan, split):
                _made(trial, split, datasets)
        except CnnbenchError as error:
            raise type(error)(f"dataset `{name}`: {error}") from None


def split_notes(plan: Plan, datasets: Mapping[str, PreparedDataset]) -> tuple[str, ...]:
    """Say of each split that keeps groups whole how many there are, and which shares came out of it."""
    shares: dict[tuple[str, str], list[list[float]]] = {}
    for trial, split in _different(plan):
        if _keeps_groups(trial, plan, split) and split.use == "random":
            parts = _made(trial, split, datasets)
            num = plan.datasets[trial.data_fingerprint].num_examples
            made = [len(part) / num for part in (parts.train, parts.validation, parts.test)]
            shares.setdefault((trial.data_fingerprint, split.model_dump_json()), []).append(made)
    notes = []
    for (fingerprint, _), of_seeds in shares.items():
        info = plan.datasets[fingerprint]
        use = next(t.recipe["dataset"]["use"] for t in plan.trials if t.data_fingerprint == fingerprint)
        low, high = np.min(of_seeds, axis=0), np.max(of_seeds, axis=0)
        parts_text = ", ".join(
            f"{name} {_range(a, b)}"
            for name, a, b in zip(("training", "validation", "test"), low, high, strict=True)
            if b
        )
        notes.append(
            f"{use}: the split keeps the images of each of {info.num_groups} groups together: {parts_text} of "
            f"{info.num_examples} images."
        )
    return tuple(notes)


def _range(low: float, high: float) -> str:
    texts = [f"{100 * share:.1f}" for share in (low, high)]
    return f"{' to '.join(dict.fromkeys(texts))} %"


def _different(plan: Plan) -> Iterator[tuple[Trial, Split]]:
    """Yield one trial for each split that differs from the others; group by group its seed counts, too."""
    seen: set[tuple[str, str, int | None]] = set()
    known: dict[int, tuple[Split, str]] = {}  # by the recipe's place in memory: replicates share theirs
    for trial in plan.trials:
        split, text = known.get(id(trial.recipe)) or known.setdefault(id(trial.recipe), _split_of(trial))
        seed = trial.seeds["split"] if _keeps_groups(trial, plan, split) else None
        key = (trial.data_fingerprint, text, seed)
        if key not in seen:
            seen.add(key)
            yield trial, split


def _split_of(trial: Trial) -> tuple[Split, str]:
    return Split.model_validate(trial.recipe["split"]), json.dumps(trial.recipe["split"], sort_keys=True)


def _keeps_groups(trial: Trial, plan: Plan, split: Split) -> bool:
    return bool(plan.datasets[trial.data_fingerprint].num_groups) and split.groups != "ignore"


def _made(trial: Trial, split: Split, datasets: Mapping[str, PreparedDataset]) -> SplitIndices:
    dataset = datasets[trial.data_fingerprint]
    return split_examples(dataset.labels_N(), split, trial.seeds["split"], dataset.splits_N(), dataset.groups_N())
