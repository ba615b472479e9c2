from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cnnbench.data import check_split, split_examples
from cnnbench.errors import DataError
from cnnbench.spec import Split
from cnnbench.types import DatasetInfo


def info(*counts: int, has_splits: bool = False) -> DatasetInfo:
    names = tuple("abcdefghij"[: len(counts)])
    return DatasetInfo("f", 1, names, counts, sum(counts), 8, 8, has_splits, has_test_split=False)


@given(
    counts=st.lists(st.integers(2, 60), min_size=2, max_size=6),
    validation=st.floats(0.05, 0.6),
    test=st.floats(0, 0.3),
    seed=st.integers(0, 2**62),
)
def test_a_stratified_split_is_a_partition_with_each_class_everywhere(counts, validation, test, seed):
    split = Split(validation=validation, test=test)
    label_N = np.repeat(np.arange(len(counts)), counts)
    try:
        check_split(info(*counts), split)
    except DataError:
        assume(False)

    parts = split_examples(label_N, split, seed, None)

    together = np.concatenate([parts.train, parts.validation, parts.test])
    assert np.sort(together).tolist() == list(range(len(label_N)))
    for label, count in enumerate(counts):
        assert (label_N[parts.validation] == label).sum() == np.floor(count * validation + 0.5)


def test_the_same_seed_gives_the_same_split_and_another_one_another():
    label_N = np.repeat([0, 1], 50)

    first, again, other = (split_examples(label_N, Split(), seed, None) for seed in (1, 1, 2))

    assert first.validation.tolist() == again.validation.tolist()
    assert first.train.tolist() == again.train.tolist()
    assert first.validation.tolist() != other.validation.tolist()


def test_a_split_that_leaves_a_class_empty_is_refused_before_anything_runs():
    with pytest.raises(DataError, match="class `b` has 3 images; a validation share of 0.1"):
        check_split(info(50, 3), Split(validation=0.1))


def test_an_unstratified_split_that_leaves_a_class_empty_is_refused():
    label_N = np.array([0] * 30 + [1])

    with pytest.raises(DataError, match="no example of class 1"):
        split_examples(label_N, Split(validation=0.1, stratify=False), 0, None)


def test_a_test_share_that_rounds_to_nothing_is_refused():
    label_N = np.array([0, 1] * 20)

    with pytest.raises(DataError, match="test part has no example of class 0"):
        split_examples(label_N, Split(validation=0.25, test=0.01, stratify=False), 0, None)


def test_predefined_splits_are_taken_as_they_are():
    label_N = np.array([0, 1, 0, 1, 0, 1])
    names = np.array(["train", "train", "validation", "validation", "test", "test"])

    parts = split_examples(label_N, Split(use="predefined"), 0, names)

    assert (sorted(parts.train), parts.validation.tolist(), parts.test.tolist()) == ([0, 1], [2, 3], [4, 5])


def test_a_predefined_test_part_stays_untouched_when_there_is_no_validation_part():
    label_N = np.array([0, 1] * 20)
    names = np.array(["train"] * 30 + ["test"] * 10)

    parts = split_examples(label_N, Split(use="predefined", validation=0.2), 0, names)

    assert parts.test.tolist() == list(range(30, 40))
    assert len(parts.validation) == 6
    assert len(parts.train) == 24


def test_validation_drawn_from_a_predefined_training_part_keeps_the_shares_of_the_classes():
    label_N = np.array([0] * 90 + [1] * 10 + [0, 1])
    names = np.array(["train"] * 100 + ["test"] * 2)

    for seed in range(5):
        parts = split_examples(label_N, Split(use="predefined", validation=0.2, test=0.3), seed, names)

        assert np.bincount(label_N[parts.validation]).tolist() == [18, 2]
        assert (len(parts.train), parts.test.tolist()) == (80, [100, 101])


def test_a_predefined_split_of_a_dataset_without_one_is_refused():
    with pytest.raises(DataError, match="brings none"):
        check_split(info(10, 10), Split(use="predefined"))
    with pytest.raises(DataError, match="brings none"):
        split_examples(np.array([0, 1]), Split(use="predefined"), 0, None)
