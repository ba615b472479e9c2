"""Divide examples into training, validation and test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.spec import Split
    from cnnbench.types import DatasetInfo


@dataclass(frozen=True, slots=True)
class SplitIndices:
    """Indices of the examples of each part; the training part in random order, the others sorted."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split_examples(
    label_N: NDArray[np.int64], split: Split, seed: int, predefined_N: NDArray[np.str_] | None
) -> SplitIndices:
    """Divide examples by a seed, or as the dataset brings it.

    A stratified split takes the same share of every class (rounded half up).

    Raises:
        DataError: A class would have no example in a part.
    """
    generator = np.random.default_rng(seed)
    if split.use == "predefined":
        parts = _predefined(split, predefined_N, generator)
    elif split.stratify:
        parts = _stratified(label_N, split, generator)
    else:
        order = generator.permutation(len(label_N))
        parts = _cut(order, _count(len(label_N), split.validation), _count(len(label_N), split.test))
    num_classes = int(label_N.max()) + 1
    for name in ("train", "validation", "test"):
        part = getattr(parts, name)
        if name == "test" and part.size == 0:
            continue
        missing = np.flatnonzero(np.bincount(label_N[part], minlength=num_classes) == 0)
        if missing.size:
            raise DataError(f"the {name} part has no example of class {missing[0]}; change the split's shares.")
    return parts


def check_split(info: DatasetInfo, split: Split) -> None:
    """Check, before anything runs, that a stratified split leaves no class empty.

    Raises:
        DataError: It would; the message names the class and the remedy.
    """
    if split.use == "predefined":
        if not info.has_splits:
            raise DataError('the split is "predefined", but the dataset brings none; use `split = { use = "random" }`.')
        return
    if not split.stratify:
        return
    for name, count in zip(info.class_names, info.class_counts, strict=True):
        num_validation, num_test = _count(count, split.validation), _count(count, split.test)
        num_train = count - num_validation - num_test
        for part, size, share in (
            ("validation", num_validation, split.validation),
            ("test", num_test, split.test),
            ("training", num_train, 1 - split.validation - split.test),
        ):
            if size < 1 and share > 0:
                raise DataError(
                    f"the class `{name}` has {count} images; a {part} share of {share:g} leaves none of them there. "
                    "Add images, leave the class out, or change the split."
                )


def _count(num: int, share: float) -> int:
    return int(np.floor(num * share + 0.5))


def _cut(order: NDArray[np.int64], num_validation: int, num_test: int) -> SplitIndices:
    held_out = num_validation + num_test
    return SplitIndices(order[held_out:], np.sort(order[:num_validation]), np.sort(order[num_validation:held_out]))


def _stratified(label_N: NDArray[np.int64], split: Split, generator: np.random.Generator) -> SplitIndices:
    cuts = []
    for label in np.unique(label_N):
        members = generator.permutation(np.flatnonzero(label_N == label))
        cuts.append(_cut(members, _count(len(members), split.validation), _count(len(members), split.test)))
    train = np.concatenate([cut.train for cut in cuts])
    return SplitIndices(
        generator.permutation(train),
        np.sort(np.concatenate([cut.validation for cut in cuts])),
        np.sort(np.concatenate([cut.test for cut in cuts])),
    )


def _predefined(split: Split, predefined_N: NDArray[np.str_] | None, generator: np.random.Generator) -> SplitIndices:
    if predefined_N is None:
        raise DataError('the split is "predefined", but the dataset brings none; use `split = { use = "random" }`.')
    train = generator.permutation(np.flatnonzero(predefined_N == "train"))
    validation = np.flatnonzero(predefined_N == "validation")
    if validation.size == 0:  # then a share of the training part serves, so that the test part stays untouched
        num_validation = _count(len(train), split.validation)
        train, validation = train[num_validation:], np.sort(train[:num_validation])
    return SplitIndices(train, validation, np.flatnonzero(predefined_N == "test"))
