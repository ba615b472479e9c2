from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.data import split_examples
from cnnbench.data.grouped import cut_groups, deal_groups
from cnnbench.errors import DataError
from cnnbench.spec import Split

SHARES = st.tuples(st.floats(0.05, 0.3), st.floats(0, 0.4)).map(lambda pair: (1 - sum(pair), *pair))


def spelled(group_N) -> np.ndarray:
    return np.array([f"patient {group}" for group in group_N])


@given(
    examples=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=80),
    shares=SHARES,
    seed=st.integers(0, 2**60),
)
def test_no_group_is_ever_cut_and_every_example_is_dealt(examples, shares, seed):
    label_N, number_N = map(np.array, zip(*examples, strict=True))
    group_N = spelled(number_N)

    part_N = deal_groups(label_N, group_N, shares, np.random.default_rng(seed))

    assert len(part_N) == len(examples)
    assert set(part_N.tolist()) <= {0, 1, 2}
    assert cut_groups(group_N, part_N.astype(str)) == []


@given(
    sizes=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=30), min_size=1, max_size=4),
    shares=SHARES,
    seed=st.integers(0, 2**60),
)
def test_groups_of_one_class_miss_the_aims_by_no_more_than_they_have_to(sizes, shares, seed):
    label_N = np.concatenate([np.full(sum(of_class), label) for label, of_class in enumerate(sizes)])
    numbers = iter(range(1000))
    group_N = spelled([number for of_class in sizes for size in of_class for number in [next(numbers)] * size])

    part_N = deal_groups(label_N, group_N, shares, np.random.default_rng(seed))

    for label, of_class in enumerate(sizes):
        counts = np.bincount(part_N[label_N == label], minlength=3)
        assert np.abs(counts - sum(of_class) * np.array(shares)).max() <= 4 / 3 * max(of_class) + 1e-9


def test_single_examples_are_dealt_as_a_stratified_split_deals_them():
    label_N = np.repeat([0, 1, 2], [100, 40, 10])

    part_N = deal_groups(label_N, spelled(range(150)), (0.7, 0.1, 0.2), np.random.default_rng(0))

    assert [np.bincount(part_N[label_N == label]).tolist() for label in range(3)] == [
        [70, 10, 20],
        [28, 4, 8],
        [7, 1, 2],
    ]


def test_large_groups_come_into_every_part_as_the_seed_has_it():
    number_N = np.concatenate([np.zeros(12, int), np.arange(1, 49)])
    homes = {
        int(deal_groups(np.zeros(60, int), spelled(number_N), (0.5, 0.25, 0.25), np.random.default_rng(seed))[0])
        for seed in range(40)
    }

    assert homes == {0, 1, 2}


def test_a_split_keeps_groups_whole_unless_it_is_told_not_to():
    label_N, group_N = np.arange(120) % 2, spelled(np.arange(120) // 6)

    def cut(split: Split) -> list[str]:
        parts = split_examples(label_N, split, 3, None, group_N)
        together = np.concatenate([parts.train, parts.validation, parts.test])
        assert np.sort(together).tolist() == list(range(120))
        names = np.repeat(["a", "b", "c"], [len(parts.train), len(parts.validation), len(parts.test)])
        return cut_groups(group_N[together], names)

    assert cut(Split(validation=0.2, test=0.2)) == []
    assert cut(Split(validation=0.2, test=0.2, stratify=False)) == []
    assert len(cut(Split(validation=0.2, test=0.2, groups="ignore"))) > 10


def test_the_same_seed_deals_the_same_and_another_one_otherwise():
    label_N, group_N = np.arange(90) % 3, spelled(np.arange(90) // 3)

    first, again, other = (split_examples(label_N, Split(), seed, None, group_N) for seed in (1, 1, 2))

    assert first.train.tolist() == again.train.tolist()
    assert first.validation.tolist() != other.validation.tolist()


def test_groups_that_are_too_large_for_the_split_are_refused_with_a_remedy():
    label_N, group_N = np.arange(20) % 2, spelled(np.arange(20) // 10)

    with pytest.raises(DataError, match='groups are too few or too large: .* set `split.groups` to "ignore"'):
        split_examples(label_N, Split(validation=0.1, test=0.1), 0, None, group_N)


def test_validation_drawn_from_a_predefined_training_part_keeps_groups_whole():
    label_N, group_N = np.arange(60) % 2, spelled(np.arange(60) // 4)
    names = np.repeat(["train", "test"], [40, 20])

    parts = split_examples(label_N, Split(use="predefined", validation=0.25), 0, names, group_N)

    assert parts.test.tolist() == list(range(40, 60))
    assert not set(group_N[parts.train]) & set(group_N[parts.validation])


def test_a_predefined_split_that_cuts_groups_is_refused_only_if_they_are_to_be_kept():
    label_N, group_N = np.arange(40) % 2, spelled(np.arange(40) // 20)
    names = np.tile(["train", "train", "validation", "validation"], 10)

    split_examples(label_N, Split(use="predefined"), 0, names, group_N)
    with pytest.raises(DataError, match=r"the group `patient 0` \(and of 1 more\) into several parts"):
        split_examples(label_N, Split(use="predefined", groups="keep"), 0, names, group_N)
