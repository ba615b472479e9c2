"""What holds for every augmentation, with its default parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

if TYPE_CHECKING:
    from cnnbench.plugin import Augmentation

BATCH = 32


def same_image_BCHW(channels: int = 1, height: int = 16, width: int = 16) -> torch.Tensor:
    image_CHW = torch.rand(channels, height, width, generator=torch.Generator().manual_seed(5))
    return image_CHW.expand(BATCH, -1, -1, -1).clone()


def apply(augmentation: Augmentation, images_BCHW: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return augmentation.apply(images_BCHW, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape_CHW", [(1, 16, 16), (3, 9, 9), (3, 20, 13)])
def test_shape_type_and_range_stay(augmentation: Augmentation, shape_CHW: tuple[int, int, int]):
    images_BCHW = same_image_BCHW(*shape_CHW)
    augmented_BCHW = apply(augmentation, images_BCHW)
    assert (augmented_BCHW.shape, augmented_BCHW.dtype) == (images_BCHW.shape, torch.float32)
    assert float(augmented_BCHW.min()) >= -1e-6
    assert float(augmented_BCHW.max()) <= 1 + 1e-6


def test_whole_pixels_move_as_bytes_as_they_do_as_floats(mover: Augmentation):
    bytes_BCHW = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 3, 12, 16), np.uint8))
    moved_BCHW = apply(mover, bytes_BCHW)
    assert moved_BCHW.dtype == torch.uint8
    assert torch.equal(moved_BCHW.float().div(255), apply(mover, bytes_BCHW.float().div(255)))


def test_the_images_given_are_not_changed(augmentation: Augmentation):
    images_BCHW = same_image_BCHW()
    kept_BCHW = images_BCHW.clone()
    apply(augmentation, images_BCHW)
    assert torch.equal(images_BCHW, kept_BCHW)


def test_each_image_draws_its_own_randomness(augmentation: Augmentation):
    augmented_BCHW = apply(augmentation, same_image_BCHW())
    assert len(torch.unique(augmented_BCHW, dim=0)) > 1


def test_the_generator_alone_decides(augmentation: Augmentation):
    images_BCHW = same_image_BCHW()
    torch.manual_seed(1)
    first_BCHW = apply(augmentation, images_BCHW, seed=3)
    torch.manual_seed(2)
    assert torch.equal(apply(augmentation, images_BCHW, seed=3), first_BCHW)
    assert not torch.equal(apply(augmentation, images_BCHW, seed=4), first_BCHW)


def test_two_batches_from_one_generator_differ(augmentation: Augmentation):
    images_BCHW = same_image_BCHW()
    rng = torch.Generator().manual_seed(0)
    assert not torch.equal(augmentation.apply(images_BCHW, rng), augmentation.apply(images_BCHW, rng))


def test_channels_last_images_give_the_same(augmentation: Augmentation):
    images_BCHW = same_image_BCHW(channels=3)
    augmented_BCHW = apply(augmentation, images_BCHW.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(augmented_BCHW, apply(augmentation, images_BCHW))
