"""What each augmentation does to a picture that shows it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import scipy.stats
import torch
from cnnbench_plugins.augmentations import Crop, Distort, Flip, GaussianBlur, GaussianNoise, Invert, Rotate, Shift, Zoom
from pydantic import ValidationError

from cnnbench.plugin import component_identity

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


@pytest.mark.parametrize(
    "augmentation", [Zoom(low=1, high=1), Rotate(degrees=0), Shift(share=0), Crop(share=0), Distort(strength=0)]
)
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


@pytest.mark.parametrize(("border", "mode"), [("mirrored", "reflect"), ("black", "constant")])
def test_every_crop_is_cut_out_of_the_padded_image_and_every_place_is_as_likely(border: str, mode: str):
    images_BCHW = torch.rand(1, 2, 12, 10, generator=torch.Generator().manual_seed(1)).expand(2000, 2, 12, 10)
    padded_CHW = torch.nn.functional.pad(images_BCHW[:1], (1, 1, 2, 2), mode=mode)[0]  # 0.125 of 10 and 12 px
    cropped_BCHW = apply(Crop(share=0.125, border=border), images_BCHW)
    counts = [
        int((cropped_BCHW == padded_CHW[:, top : top + 12, left : left + 10]).flatten(1).all(1).sum())
        for top in range(5)
        for left in range(3)
    ]
    assert sum(counts) == 2000
    assert scipy.stats.chisquare(counts).pvalue > 0.001


def test_images_of_one_pixel_can_be_cropped():
    image_BCHW = torch.rand(3, 1, 1, 1)
    assert torch.equal(apply(Crop(share=0.5), image_BCHW), image_BCHW)


def test_more_strength_bends_more(disc_BCHW: torch.Tensor):
    weak, strong = (
        float((apply(Distort(strength=strength), disc_BCHW) - disc_BCHW).abs().mean()) for strength in (0.01, 0.08)
    )
    assert 0 < weak < strong


def test_a_crop_leaves_nothing_of_what_is_outside_a_turned_image():
    """White images on black ground, turned by at most 6 degrees: with the crop that is told, no black is left."""
    white_BCHW = torch.zeros(64, 1, 96, 96)
    white_BCHW[:, :, 16:80, 16:80] = 1
    inscribed = (64 / 96) / (math.cos(math.radians(6)) + math.sin(math.radians(6)))

    cut_BCHW = apply(Rotate(degrees=6, crop=inscribed - 2 / 96), white_BCHW)
    assert float(cut_BCHW.min()) == pytest.approx(1, abs=1e-5)
    assert float(apply(Rotate(degrees=6, crop=inscribed + 6 / 96), white_BCHW).min()) < 0.5


def test_a_crop_magnifies_about_the_centre(disc_BCHW: torch.Tensor):
    area_B = apply(Rotate(degrees=0, crop=0.8), disc_BCHW).mean((1, 2, 3))
    torch.testing.assert_close(area_B, disc_BCHW.mean((1, 2, 3)) / 0.64, rtol=0.02, atol=0)
    assert "crop" not in component_identity(Rotate())


def test_inverting_turns_gray_values_about_the_middle(images_BCHW: torch.Tensor):
    torch.testing.assert_close(apply(Invert(probability=1), images_BCHW), 1 - images_BCHW)
    assert torch.equal(apply(Invert(probability=0), images_BCHW), images_BCHW)


def test_blurring_is_torchvisions_at_one_deviation(images_BCHW: torch.Tensor):
    from torchvision.transforms.v2.functional import gaussian_blur

    for kernel_px, sigma in ((3, 4.5), (5, 0.8)):
        blurred_BCHW = apply(GaussianBlur(kernel_px=kernel_px, low=sigma, high=sigma), images_BCHW)
        torch.testing.assert_close(blurred_BCHW, gaussian_blur(images_BCHW, [kernel_px] * 2, [sigma] * 2))


def test_each_image_is_blurred_with_a_deviation_of_its_own():
    point_BCHW = torch.zeros(200, 1, 9, 9)
    point_BCHW[:, :, 4, 4] = 1
    centre_B = apply(GaussianBlur(kernel_px=3, low=0.5, high=2), point_BCHW)[:, 0, 4, 4]
    expected = [1 / (1 + 2 * math.exp(-1 / (2 * sigma**2))) ** 2 for sigma in (2, 0.5)]
    assert float(centre_B.min()) == pytest.approx(expected[0], rel=0.05)
    assert float(centre_B.max()) == pytest.approx(expected[1], rel=0.05)


def test_a_kernel_without_centre_or_larger_than_the_image_is_refused():
    with pytest.raises(ValidationError, match="`kernel_px` must be odd, so that the kernel has a centre; use 5"):
        GaussianBlur(kernel_px=4)
    with pytest.raises(ValidationError, match="`low` must not be above `high`"):
        GaussianBlur(low=3, high=2)
    with pytest.raises(ValueError, match="images of 4 x 4 px are too small for a kernel of 9 px"):
        apply(GaussianBlur(kernel_px=9), torch.zeros(1, 1, 4, 4))


def test_noise_has_the_deviation_that_it_is_told_and_stays_in_the_range():
    gray_BCHW = torch.full((40, 1, 50, 50), 0.5)
    noisy_BCHW = apply(GaussianNoise(low=0.05, high=0.1), gray_BCHW)
    deviation_B = noisy_BCHW.flatten(1).std(1)
    assert 0.045 < float(deviation_B.min()) < 0.06
    assert 0.09 < float(deviation_B.max()) < 0.105
    assert float(noisy_BCHW.mean()) == pytest.approx(0.5, abs=0.002)
    white_BCHW = apply(GaussianNoise(low=0.2, high=0.2), torch.ones(4, 1, 8, 8))
    assert 0 <= float(white_BCHW.min()) < float(white_BCHW.max()) == 1
    with pytest.raises(ValidationError, match="`low` must not be above `high`"):
        GaussianNoise(low=0.2, high=0.1)
