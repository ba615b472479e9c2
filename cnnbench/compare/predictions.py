"""Matched trials on the same examples: which is right where.

Shapes: N examples, K classes, T trials.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.stats import compare_examples, holm
from cnnbench.store import read_predictions
from cnnbench.types import ExampleGroup, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cnnbench.compare.sources import Matched, Side
    from cnnbench.types import Predictions


class NotComparableError(Exception):
    """Trials that were not evaluated on the same examples: why, and what to do."""

    def __init__(self, why: str, remedy: str) -> None:
        super().__init__(why)
        self.why, self.remedy = why, remedy


def example_groups(
    sides: Sequence[Side], groups: Sequence[Matched], split: str | None, view: str, alpha: float
) -> tuple[list[ExampleGroup], list[Refusal]]:
    """Compare the trials of each group on their examples; p values are adjusted over all pairs of all groups.

    Examples of different trials are never put together: they are the same examples again, not further ones.
    """
    found: list[ExampleGroup] = []
    reasons: dict[tuple[str, str], list[str]] = {}
    for group in groups:
        try:
            found.append(_compared(sides, group, split, view, alpha))
        except NotComparableError as error:
            reasons.setdefault((error.why, error.remedy), []).append(group.label)
    refusals = [
        Refusal(f"per-example tests of {_some(labels)}", why, remedy) for (why, remedy), labels in reasons.items()
    ]
    return _one_family(found), refusals


def _some(labels: list[str]) -> str:
    return "; ".join(labels[:3]) + (f"; and {len(labels) - 3} more" if len(labels) > 3 else "")


def _compared(sides: Sequence[Side], group: Matched, split: str | None, view: str, alpha: float) -> ExampleGroup:
    names = [side.source.name for side in sides]
    fingerprints = [trial.data_fingerprint for trial in group.trials]
    for name, fingerprint in zip(names, fingerprints, strict=True):
        if fingerprint != fingerprints[0]:
            raise NotComparableError(
                f"{names[0]} and {name} were trained and evaluated on different data (their fingerprints differ).",
                "Compare trials of one dataset with the same images, labels and options.",
            )
    blocks = [_stored(side, trial.id, split, view) for side, trial in zip(sides, group.trials, strict=True)]
    part = next((each for each in ("test", "validation") if all(each in of_trial for of_trial in blocks)), None)
    if part is None:
        wanted = f"the {split} part" if split else "a part that all have"
        raise NotComparableError(
            f"Not every trial has stored predictions of {wanted} in the {view} view.",
            "Name another part with --split or another view with --view, or run the study again with it.",
        )
    predictions = [of_trial[part] for of_trial in blocks]
    for name, each in zip(names, predictions, strict=True):
        if not _same_examples(predictions[0], each):
            raise NotComparableError(
                f"{names[0]} and {name} were evaluated on different {part} examples: their splits differ.",
                "Compare replicates that share the seed of their split, or use a dataset with a test part of its own.",
            )
    correct_NT = np.stack([_correct(each) for each in predictions], axis=1)
    ids = tuple(trial.id for trial in group.trials)
    return ExampleGroup(group.cell, group.replicate, part, view, ids, compare_examples(names, correct_NT, alpha))


def _stored(side: Side, trial_id: str, split: str | None, view: str) -> dict[str, Predictions]:
    blocks = read_predictions(side.study.folder.trial_file(trial_id))
    return {block.split: block for block in blocks if block.view == view and split in {None, block.split}}


def _same_examples(first: Predictions, second: Predictions) -> bool:
    return np.array_equal(first.example_N, second.example_N) and np.array_equal(first.label_N, second.label_N)


def _correct(block: Predictions) -> NDArray[np.bool_]:
    return np.asarray(block.logits_NK.argmax(axis=1) == block.label_N)


def _one_family(groups: list[ExampleGroup]) -> list[ExampleGroup]:
    """Adjust the exact p values over every pair of every group."""
    adjusted = iter(holm([pair.p_exact for group in groups for pair in group.found.pairs]))
    size = sum(len(group.found.pairs) for group in groups)
    family = f"all pairs of trials ({size} test{'s' if size > 1 else ''}, Holm)"
    done = []
    for group in groups:
        pairs = tuple(replace(pair, p_exact_holm=next(adjusted)) for pair in group.found.pairs)
        done.append(replace(group, found=replace(group.found, pairs=pairs, family=family)))
    return done
