"""The embedded handwritten digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from cnnbench_plugins.datasets import Digits

if TYPE_CHECKING:
    from pathlib import Path


def test_all_of_them_are_1797_with_the_known_class_counts(tmp_path: Path):
    arrays = Digits(limit_per_class=200).load(tmp_path)
    assert np.bincount(arrays.label_N).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_the_values_0_to_16_are_stretched_to_0_to_255(tmp_path: Path):
    arrays = Digits(limit_per_class=200).load(tmp_path)
    values = set(np.unique(np.stack(list(arrays.images))).tolist())
    assert values == {round(value * 255 / 16) for value in range(17)}


def test_the_first_one_is_a_zero(tmp_path: Path):
    arrays = Digits().load(tmp_path)
    first_HW = np.rint(arrays.images[0][0] * (16 / 255))
    assert arrays.label_N[0] == 0
    assert first_HW[0].tolist() == [0, 0, 5, 13, 9, 1, 0, 0]


def test_a_limit_keeps_the_classes_balanced(tmp_path: Path):
    assert np.bincount(Digits(limit_per_class=7).load(tmp_path).label_N).tolist() == [7] * 10
