from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.data.resize import resize_image


@given(
    channels=st.sampled_from([1, 3]),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    size=st.integers(1, 40),
    gray=st.integers(0, 255),
    resize=st.sampled_from(["crop", "squash"]),
)
def test_a_uniform_image_stays_uniform_at_any_size(channels, height, width, size, gray, resize):
    image_CHW = np.full((channels, height, width), gray, np.uint8)

    resized_CHW = resize_image(image_CHW, size, resize)

    assert resized_CHW.shape == (channels, size, size)
    assert (resized_CHW == gray).all()


def test_an_image_of_the_right_size_is_not_touched():
    image_CHW = np.random.default_rng(0).integers(0, 256, (3, 9, 9), dtype=np.uint8)

    assert (resize_image(image_CHW, 9, "crop") == image_CHW).all()


def test_shrinking_averages_instead_of_picking_pixels():
    checkerboard_CHW = (np.indices((32, 32)).sum(axis=0) % 2 * 255).astype(np.uint8)[None]

    shrunk = resize_image(checkerboard_CHW, 8, "crop").astype(float)

    assert shrunk.mean() == pytest.approx(127.5, abs=1)
    assert shrunk.std() < 2


def test_crop_takes_the_centre_and_squash_takes_all():
    image_CHW = np.zeros((1, 10, 30), np.uint8)
    image_CHW[:, :, 10:20] = 200

    assert resize_image(image_CHW, 10, "crop").min() == 200
    assert resize_image(image_CHW, 10, "squash").min() == 0
