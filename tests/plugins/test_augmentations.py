"""What each augmentation does to a picture that shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from cnnbench_plugins.augmentations import Distort, Flip, Rotate, Shift, Zoom
from pydantic import ValidationError

if TYPE_CHECKING:
    from cnnbench.plugin import Augmentation


def apply(augmentation: Augmentation, images_BCHW: torch.Tensor) -> torch.Tensor:
    return augmentation.apply(images_BCHW, torch.Generator().manual_seed(0))


@pytest.fixture
def images_BCHW() -> torch.Tensor:
    return torch.rand(64, 2, 12, 10, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def disc_BCHW() -> torch.Tensor:
    """A white disc with a radius of a quarter of the side, in 16 copies."""
    axis = (torch.arange(64) + 0.5) / 32 - 1
    disc_HW = (axis[:, None] ** 2 + axis[None, :] ** 2 < 0.25).float()
    return disc_HW.expand(16, 1, 64, 64).clone()


def test_flip_mirrors_left_to_right(images_BCHW: torch.Tensor):
    assert torch.equal(apply(Flip(horizontal=1), images_BCHW), images_BCHW.flip(3))


def test_flip_turns_upside_down(images_BCHW: torch.Tensor):
    assert torch.equal(apply(Flip(horizontal=0, vertical=1), images_BCHW), images_BCHW.flip(2))


def test_flip_does_nothing_at_probability_0(images_BCHW: torch.Tensor):
    assert torch.equal(apply(Flip(horizontal=0), images_BCHW), images_BCHW)


def test_flip_takes_about_the_share_that_it_is_told(images_BCHW: torch.Tensor):
    flipped_BCHW = apply(Flip(horizontal=0.5), images_BCHW)
    count = sum(torch.equal(one, other) for one, other in zip(flipped_BCHW, images_BCHW.flip(3), strict=True))
    assert 16 < count < 48


@pytest.mark.parametrize("augmentation", [Zoom(low=1, high=1), Rotate(degrees=0), Shift(share=0), Distort(strength=0)])
def test_without_strength_nothing_moves(augmentation: Augmentation, images_BCHW: torch.Tensor):
    torch.testing.assert_close(apply(augmentation, images_BCHW), images_BCHW, rtol=0, atol=1e-5)


def test_zooming_in_magnifies_areas_by_the_square_of_the_scale(disc_BCHW: torch.Tensor):
    area_B = apply(Zoom(low=1.5, high=1.5), disc_BCHW).mean((1, 2, 3))
    torch.testing.assert_close(area_B, disc_BCHW.mean((1, 2, 3)) * 2.25, rtol=0.02, atol=0)


def test_zooming_out_fills_the_border_with_mirrored_picture():
    white_BCHW = torch.ones(4, 1, 16, 16)
    torch.testing.assert_close(apply(Zoom(low=0.5, high=0.5), white_BCHW), white_BCHW)


def test_zoom_bounds_in_the_wrong_order_are_refused():
    with pytest.raises(ValidationError, match="`low` must not be above `high`"):
        Zoom(low=1.2, high=0.9)


def test_rotating_keeps_a_disc_and_turns_a_stripe(disc_BCHW: torch.Tensor):
    turned_BCHW = apply(Rotate(degrees=90), disc_BCHW)
    assert float((turned_BCHW - disc_BCHW).abs().mean()) < 0.02
    stripe_BCHW = torch.zeros(16, 1, 64, 64)
    stripe_BCHW[:, :, 30:34] = 1
    assert float((apply(Rotate(degrees=90), stripe_BCHW) - stripe_BCHW).abs().mean()) > 0.02


def test_rotating_an_oblong_image_keeps_a_disc_round():
    y, x = torch.meshgrid(torch.arange(40.0) - 19.5, torch.arange(80.0) - 39.5, indexing="ij")
    disc_BCHW = (x**2 + y**2 < 100).float().expand(8, 1, 40, 80).clone()
    turned_BCHW = apply(Rotate(degrees=180), disc_BCHW)
    # Further out the disc appears again, mirrored at the near borders.
    assert float((turned_BCHW - disc_BCHW)[..., 25:55].abs().mean()) < 0.02


def test_shifting_moves_a_disc_without_changing_its_area(disc_BCHW: torch.Tensor):
    moved_BCHW = apply(Shift(share=0.2), disc_BCHW)
    torch.testing.assert_close(moved_BCHW.mean((1, 2, 3)), disc_BCHW.mean((1, 2, 3)), rtol=0.01, atol=0)
    assert float((moved_BCHW - disc_BCHW).abs().mean()) > 0.02


def test_shifting_stays_within_the_share(disc_BCHW: torch.Tensor):
    axis = torch.arange(64.0)
    columns_BW = apply(Shift(share=0.1), disc_BCHW).sum((1, 2))
    centre_B = (columns_BW * axis).sum(1) / columns_BW.sum(1) - 31.5
    assert 1 < float(centre_B.abs().max()) <= 6.4 + 0.1


def test_more_strength_bends_more(disc_BCHW: torch.Tensor):
    weak, strong = (
        float((apply(Distort(strength=strength), disc_BCHW) - disc_BCHW).abs().mean()) for strength in (0.01, 0.08)
    )
    assert 0 < weak < strong
