"""Divide examples into training, validation and test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnbench.data.grouped import cut_groups, deal_groups
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
    label_N: NDArray[np.int64],
    split: Split,
    seed: int,
    predefined_N: NDArray[np.str_] | None,
    group_N: NDArray[np.str_] | None = None,
) -> SplitIndices:
    """Divide examples by a seed, or as the dataset brings it.

    A stratified split takes the same share of every class (rounded half up); one that keeps groups whole comes as near
    to that as the groups allow (`cnnbench.data.grouped.deal_groups`).

    Raises:
        DataError: A class would have no example in a part, or groups are to be kept whole and cannot be.
    """
    generator = np.random.default_rng(seed)
    kept_N = None if split.groups == "ignore" else group_N
    if split.use == "predefined":
        parts = _predefined(label_N, split, predefined_N, generator, kept_N)
    else:
        parts = _drawn(label_N, np.arange(len(label_N)), split, generator, kept_N)
    _check_kept(parts, split, group_N)
    num_classes = int(label_N.max()) + 1
    for name in ("train", "validation", "test"):
        part = getattr(parts, name)
        if name == "test" and part.size == 0 and (split.use == "predefined" or split.test == 0):
            continue
        missing = np.flatnonzero(np.bincount(label_N[part], minlength=num_classes) == 0)
        if missing.size:
            remedy = "change the split's shares" if split.use == "random" else 'use `split = { use = "random" }`'
            if kept_N is not None:
                remedy = (
                    'its groups are too few or too large: change the split\'s shares, or set `split.groups` to "ignore"'
                )
            raise DataError(f"the {name} part has no example of class {missing[0]}; {remedy}.")
    return parts


def check_split(info: DatasetInfo, split: Split) -> None:
    """Check, before anything runs, that a stratified split leaves no class empty, and that there are groups to keep.

    Raises:
        DataError: It would, or there are none; the message names the remedy.
    """
    if split.groups == "keep" and not info.num_groups:
        raise DataError(
            '`split.groups` is "keep", but the dataset names no groups; tell it how (an image folder: `group`), or '
            "leave `split.groups` out."
        )
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


def _check_kept(parts: SplitIndices, split: Split, group_N: NDArray[np.str_] | None) -> None:
    """Refuse a split that cuts groups which are to be kept; only one that the dataset brings can."""
    if split.groups != "keep" or group_N is None:
        return
    names = ("train", "validation", "test")
    part_N = np.concatenate([np.full(len(getattr(parts, name)), name) for name in names])
    cut = cut_groups(group_N[np.concatenate([getattr(parts, name) for name in names])], part_N)
    if cut:
        raise DataError(
            f"the dataset's own split puts images of the group `{cut[0]}` (and of {len(cut) - 1} more) into several "
            'parts; use `split = { use = "random" }`, or set `split.groups` to "auto" to take the split as it is.'
        )


def _drawn(
    label_N: NDArray[np.int64],
    members: NDArray[np.int64],
    split: Split,
    generator: np.random.Generator,
    group_N: NDArray[np.str_] | None,
) -> SplitIndices:
    """Divide ``members`` at random: group by group, class by class, or all of them at once."""
    if group_N is not None:
        shares = (1 - split.validation - split.test, split.validation, split.test)
        seen_N = label_N[members] if split.stratify else np.zeros(len(members), np.int64)
        part_N = deal_groups(seen_N, group_N[members], shares, generator)
        train, validation, test = (members[part_N == part] for part in range(3))
        return SplitIndices(generator.permutation(train), validation, test)
    if split.stratify:
        return _stratified(label_N, members, split, generator)
    return _cut(generator.permutation(members), split)


def _cut(order: NDArray[np.int64], split: Split) -> SplitIndices:
    num_validation = _count(len(order), split.validation)
    held_out = num_validation + _count(len(order), split.test)
    return SplitIndices(order[held_out:], np.sort(order[:num_validation]), np.sort(order[num_validation:held_out]))


def _stratified(
    label_N: NDArray[np.int64], members: NDArray[np.int64], split: Split, generator: np.random.Generator
) -> SplitIndices:
    cuts = []
    for label in np.unique(label_N[members]):
        of_class = members[label_N[members] == label]
        cuts.append(_cut(generator.permutation(of_class), split))
    train = np.concatenate([cut.train for cut in cuts])
    return SplitIndices(
        generator.permutation(train),
        np.sort(np.concatenate([cut.validation for cut in cuts])),
        np.sort(np.concatenate([cut.test for cut in cuts])),
    )


def _predefined(
    label_N: NDArray[np.int64],
    split: Split,
    predefined_N: NDArray[np.str_] | None,
    generator: np.random.Generator,
    group_N: NDArray[np.str_] | None,
) -> SplitIndices:
    if predefined_N is None:
        raise DataError('the split is "predefined", but the dataset brings none; use `split = { use = "random" }`.')
    train, validation, test = (np.flatnonzero(predefined_N == name) for name in ("train", "validation", "test"))
    if validation.size:
        return SplitIndices(generator.permutation(train), validation, test)
    # Then a share of the training part serves, so that the test part stays untouched.
    drawn = _drawn(label_N, train, split.model_copy(update={"test": 0.0}), generator, group_N)
    return SplitIndices(drawn.train, drawn.validation, test)
