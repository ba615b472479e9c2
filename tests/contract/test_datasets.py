"""What holds for every dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.plugin import Dataset, ImageArrays


@pytest.fixture
def arrays(dataset: Dataset, tmp_path: Path) -> ImageArrays:
    return dataset.load(tmp_path)


def test_every_image_is_uint8_with_the_same_one_or_three_channels(arrays: ImageArrays):
    images = list(arrays.images)
    assert {image.dtype for image in images} == {np.dtype(np.uint8)}
    assert {image.ndim for image in images} == {3}
    assert {image.shape[0] for image in images} in ({1}, {3})
    assert min(min(image.shape) for image in images) > 0


def test_every_image_has_a_label_and_every_class_an_image(arrays: ImageArrays):
    assert len(arrays.images) == len(arrays.label_N)
    assert arrays.label_N.dtype == np.int64
    assert sorted(set(arrays.label_N.tolist())) == list(range(len(arrays.class_names)))


def test_there_are_at_least_two_classes_with_different_names(arrays: ImageArrays):
    assert len(set(arrays.class_names)) == len(arrays.class_names) >= 2


def test_images_differ_within_a_class(arrays: ImageArrays):
    first, second = np.flatnonzero(arrays.label_N == 0)[:2]
    assert not np.array_equal(arrays.images[first], arrays.images[second])


def test_own_splits_are_train_validation_and_test(arrays: ImageArrays):
    if arrays.split_N is not None:
        assert len(arrays.split_N) == len(arrays.label_N)
        assert set(arrays.split_N.tolist()) <= {"train", "validation", "test"}


def test_a_second_load_gives_the_same_whatever_the_global_generator_does(
    dataset: Dataset, arrays: ImageArrays, tmp_path: Path
):
    np.random.seed(7)  # noqa: NPY002 - the global generator is the point
    again = dataset.load(tmp_path)
    assert all(np.array_equal(first, second) for first, second in zip(arrays.images, again.images, strict=True))
    assert np.array_equal(arrays.label_N, again.label_N)
    assert arrays.class_names == again.class_names


def test_the_state_of_the_source_is_a_stable_text(dataset: Dataset):
    assert isinstance(dataset.source_state(), str)
    assert dataset.source_state() == dataset.source_state()
