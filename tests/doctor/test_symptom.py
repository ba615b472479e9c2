from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.doctor.symptom import Answers, exchanged_classes, has_learnt

NAMES = tuple("abcdefgh")


def answers(num_classes: int, accuracy: float, order: list[int] | None = None, num: int = 400) -> Answers:
    """Answers of a given accuracy, before the labels are renamed by an order."""
    rng = np.random.default_rng(0)
    answer_N = np.arange(num) % num_classes
    wrong_N = (answer_N + rng.integers(1, num_classes, num)) % num_classes
    meant_N = np.where(rng.random(num) < accuracy, answer_N, wrong_N)
    label_N = meant_N if order is None else np.array(order)[meant_N]
    return Answers(answer_N, label_N, num_classes)


@given(st.permutations(range(6)))
def test_any_exchange_of_classes_is_undone(order: list[int]):
    found = answers(6, 0.9, order)
    accuracy, meaning_K = found.renamed()

    assert meaning_K.tolist() == list(order)
    assert accuracy == pytest.approx(answers(6, 0.9).accuracy)
    assert bool(exchanged_classes(found, NAMES)) == (found.accuracy < accuracy - 0.25)


def test_random_answers_are_not_explained_by_an_exchange():
    for num_classes in (2, 3, 8):
        assert exchanged_classes(answers(num_classes, 1 / num_classes), NAMES) == ""


def test_two_classes_that_are_exchanged_are_named():
    assert exchanged_classes(answers(2, 0.95, [1, 0]), NAMES).startswith(
        "With classes exchanged (`a` for `b`, `b` for `a`) the accuracy would be 0.9"
    )


@pytest.mark.parametrize(("accuracy", "at_chance"), [(0.25, True), (0.29, True), (0.4, False), (0.05, True)])
def test_chance_is_the_baseline_and_two_standard_errors(accuracy: float, *, at_chance: bool):
    label_N = np.arange(400) % 4
    right = np.arange(400) < 400 * accuracy
    found = Answers(np.where(right, label_N, (label_N + 1) % 4), label_N, 4)

    assert (found.accuracy, found.at_chance) == (pytest.approx(accuracy), at_chance)


def test_one_answer_to_everything_is_a_collapse():
    label_N = np.arange(100) % 2

    assert Answers(np.zeros(100, np.int64), label_N, 2).collapsed
    assert not Answers(label_N, label_N, 2).collapsed
    assert not Answers(np.zeros(100, np.int64), np.zeros(100, np.int64), 2).collapsed  # nothing else would be right


def test_half_of_the_way_from_the_baseline_counts_as_learnt():
    assert has_learnt(0.75, 0.5)
    assert not has_learnt(0.74, 0.5)
