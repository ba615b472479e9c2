"""Random transformations of training images: a whole batch at once, each image with numbers of its own.

The random numbers are drawn on the CPU, a few for each image; everything else runs on the images' device. Positions
are in grid coordinates: -1 to 1 over the width (x) and over the height (y).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from cnnbench.plugin import Augmentation

if TYPE_CHECKING:
    import torch

__all__ = ["Crop", "Distort", "Flip", "GaussianBlur", "GaussianNoise", "Invert", "Rotate", "Shift", "Zoom"]


class Flip(Augmentation):
    """Mirror images left to right, or upside down."""

    key = "flip"
    horizontal: float = Field(0.5, ge=0, le=1, description="Probability of mirroring left to right.")
    vertical: float = Field(0.0, ge=0, le=1, description="Probability of turning upside down.")
    moves_whole_pixels = True

    def apply(self, images_BCHW: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Return the images, some of them mirrored."""
        import torch

        batch = len(images_BCHW)
        drawn_B2 = torch.rand(batch, 2, generator=rng)
        for probability, axis, drawn_B in ((self.horizontal, 3, drawn_B2[:, 0]), (self.vertical, 2, drawn_B2[:, 1])):
            if probability > 0:
                both_2BCHW = torch.cat((images_BCHW, images_BCHW.flip(axis)))
                chosen_B = torch.arange(batch) + batch * (drawn_B < probability)
                images_BCHW = both_2BCHW.index_select(0, chosen_B.to(images_BCHW.device, non_blocking=True))
        return images_BCHW


class Zoom(Augmentation):
    """Magnify or reduce images about their centre; what comes into view is the mirrored border."""

    key = "zoom"
    low: float = Field(0.9, gt=0, le=10, description="Smallest scale; below 1 the image shrinks.")
    high: float = Field(1.1, gt=0, le=10, description="Largest scale; above 1 the borders are cut off.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("`low` must not be above `high`.")
        return self

    def apply(self, images_BCHW: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Return the images, each at a scale drawn evenly on a logarithmic axis."""
        import torch

        log_low, log_high = math.log(self.low), math.log(self.high)
        scale_B = torch.exp(log_low + (log_high - log_low) * torch.rand(len(images_BCHW), generator=rng))
        zero_B = torch.zeros_like(scale_B)
        rows = ((1 / scale_B, zero_B, zero_B), (zero_B, 1 / scale_B, zero_B))
        return _affine(images_BCHW, torch.stack([torch.stack(row, 1) for row in rows], 1))


class Rotate(Augmentation):
    """Turn images about their centre; what comes into view is the mirrored border, or, with a `crop`, cut away."""

    key = "rotate"
    degrees: float = Field(10.0, ge=0, le=180, description="Largest angle, to either side.")
    crop: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Share of each side that is kept after turning, about the centre, and enlarged to the whole: "
        "1 / (cos a + sin a) leaves nothing of a square's outside at the angle a.",
    )
    later = frozenset({"crop"})

    def apply(self, images_BCHW: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Return the images, each turned by an angle drawn evenly."""
        import torch

        height, width = images_BCHW.shape[2:]
        angle_B = math.radians(self.degrees) * (2 * torch.rand(len(images_BCHW), generator=rng) - 1)
        cos_B, sin_B, zero_B = angle_B.cos(), angle_B.sin(), torch.zeros_like(angle_B)
        # Grid coordinates are relative to the sides, so a turn of an oblong image needs their ratio.
        rows = ((cos_B, sin_B * (height / width), zero_B), (-sin_B * (width / height), cos_B, zero_B))
        turned_B23 = torch.stack([torch.stack(row, 1) for row in rows], 1)
        return _affine(images_BCHW, turned_B23 if self.crop == 1 else self.crop * turned_B23)


class Shift(Augmentation):
    """Move images; what comes into view is the mirrored border."""

    key = "shift"
    share: float = Field(0.1, ge=0, le=0.5, description="Largest displacement, as a share of the side, on each axis.")

    def apply(self, images_BCHW: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Return the images, each displaced by distances drawn evenly."""
        import torch

        offset_B2 = 2 * self.share * (2 * torch.rand(len(images_BCHW), 2, generator=rng) - 1)
        identity_B22 = torch.eye(2).expand(len(images_BCHW), 2, 2)
        return _affine(images_BCHW, torch.cat([identity_B22, offset_B2[:, :, None]], 2))


class Crop(Augmentation):
    """Pad images on all sides and cut the original size out again, at a random place: a shift by whole pixels.

    The usual augmentation of CIFAR (He et al. 2015, arXiv:1512.03385, section 4.2: 4 of 32 px, black). Nothing is
    interpolated, which makes it several times cheaper than `shift`.
    """

    key = "crop"
    share: float = Field(
        0.125, ge=0, le=0.5, description="Padding on each side, as a share of the side, rounded to whole pixels."
    )
    border: Literal["mirrored", "black"] = Field("mirrored", description="What the padding shows.")
    moves_whole_pixels = True

    def apply(self, images_BCHW: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Return the images, each displaced by whole pixels drawn evenly."""
        import torch
        from torch.nn import functional

        batch, channels, height, width = images_BCHW.shape
        over_px, beside_px = (min(math.floor(self.share * side + 0.5), side - 1) for side in (height, width))
        mode = "reflect" if self.border == "mirrored" else "constant"
        padded_BCHW = functional.pad(images_BCHW, (beside_px, beside_px, over_px, over_px), mode=mode)
        top_B = torch.randint(2 * over_px + 1, (batch,), generator=rng)
        left_B = torch.randint(2 * beside_px + 1, (batch,), generator=rng)
        # Every place in memory begins a window of an image's size, a view; one for each image is copied, row by row.
        padded_BCHW = padded_BCHW.contiguous()
        per_image, per_channel, per_row, _ = padded_BCHW.stride()
        last = (channels - 1) * per_channel + (height - 1) * per_row + width - 1
        windows_PCHW = padded_BCHW.as_strided(
            (padded_BCHW.numel() - last, channels, height, width), (1, per_channel, per_row, 1)
        )
        start_B = torch.arange(batch) * per_image + top_B * per_row + left_B
        return windows_PCHW.index_select(0, start_B.to(images_BCHW.device, non_blocking=True))


class Distort(Augmentation):
    """Bend images smoothly, as rubber, by moving the points of a coarse grid.

    The elastic distortion of Simard, Steinkraus & Platt (2003, section 2), with a coarse grid of random displacements
    and cubic interpolation between its points in place of a smoothed field.
    """

    key = "distort"
    strength: float = Field(
        0.03, ge=0, le=0.5, description="Deviation of a point's displacement, as a share of the side, on each axis."
    )
    points: int = Field(4, ge=2, le=32, description="Grid points per side; more bend on a finer scale.")

    def apply(self, images_BCHW: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Return the images, each bent in its own way."""
        import torch
        from torch.nn import functional

        drawn_B2PP = torch.randn(len(images_BCHW), 2, self.points, self.points, generator=rng)
        # Shares of the side are half as long as grid coordinates, which span 2.
        moved_B2PP = (2 * self.strength * drawn_B2PP).to(images_BCHW.device, non_blocking=True)
        moved_B2HW = functional.interpolate(moved_B2PP, size=images_BCHW.shape[2:], mode="bicubic", align_corners=True)
        straight_1HW2 = functional.affine_grid(
            torch.eye(2, 3, device=images_BCHW.device)[None], [1, 1, *images_BCHW.shape[2:]], align_corners=False
        )
        return _sample(images_BCHW, straight_1HW2 + moved_B2HW.permute(0, 2, 3, 1))


class Invert(Augmentation):
    """Turn images into their negatives: white becomes black, and black white."""

    key = "invert"
    probability: float = Field(0.5, ge=0, le=1, description="Probability that an image is inverted.")

    def apply(self, images_BCHW: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Return the images, some of them inverted."""
        import torch

        inverted_B = torch.rand(len(images_BCHW), generator=rng) < self.probability
        inverted_B = inverted_B.to(images_BCHW.device, non_blocking=True)
        return torch.where(inverted_B[:, None, None, None], 1 - images_BCHW, images_BCHW)


class GaussianBlur(Augmentation):
    """Blur images with a Gaussian kernel, cut off at a square of a few pixels and normalised; borders are mirrored."""

    key = "gaussian-blur"
    kernel_px: int = Field(3, ge=3, le=31, description="Side of the kernel; odd.")
    low: float = Field(0.1, gt=0, description="Smallest standard deviation, px.")
    high: float = Field(2.0, gt=0, description="Largest standard deviation, px.")

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.kernel_px % 2 == 0:
            raise ValueError(f"`kernel_px` must be odd, so that the kernel has a centre; use {self.kernel_px + 1}.")
        if self.low > self.high:
            raise ValueError("`low` must not be above `high`.")
        return self

    def apply(self, images_BCHW: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Return the images, each blurred with a deviation drawn evenly.

        Raises:
            ValueError: The images are smaller than the kernel.
        """
        import torch
        from torch.nn import functional

        batch, channels, height, width = images_BCHW.shape
        half = self.kernel_px // 2
        if min(height, width) <= half:
            raise ValueError(f"images of {height} x {width} px are too small for a kernel of {self.kernel_px} px.")
        sigma_B = self.low + (self.high - self.low) * torch.rand(batch, generator=rng)
        offset_P = torch.arange(-half, half + 1)
        weight_BP = torch.exp(-(offset_P**2) / (2 * sigma_B[:, None] ** 2))
        weight_BP /= weight_BP.sum(1, keepdim=True)
        weight_BP = weight_BP.to(images_BCHW.device, images_BCHW.dtype, non_blocking=True)
        kernel_NP = weight_BP.repeat_interleave(channels, 0)
        # Every channel of every image is a group of its own, so one convolution blurs each with its own kernel.
        blurred = functional.pad(images_BCHW, (half, half, half, half), mode="reflect").reshape(
            1, batch * channels, height + 2 * half, width + 2 * half
        )
        blurred = functional.conv2d(blurred, kernel_NP[:, None, :, None], groups=batch * channels)
        blurred = functional.conv2d(blurred, kernel_NP[:, None, None, :], groups=batch * channels)
        return blurred.reshape(images_BCHW.shape)


class GaussianNoise(Augmentation):
    """Add Gaussian noise to every pixel and channel; what leaves the range from 0 to 1 is cut off."""

    key = "gaussian-noise"
    low: float = Field(0.0, ge=0, description="Smallest standard deviation; the range of grays is 1.")
    high: float = Field(0.1, ge=0, description="Largest standard deviation.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("`low` must not be above `high`.")
        return self

    def apply(self, images_BCHW: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Return the images, each with noise of a deviation drawn evenly."""
        import torch

        sigma_B = self.low + (self.high - self.low) * torch.rand(len(images_BCHW), generator=rng)
        noise_BCHW = sigma_B[:, None, None, None] * torch.randn(images_BCHW.shape, generator=rng)
        if images_BCHW.is_cuda:  # so much is fetched without waiting only from pinned memory
            noise_BCHW = noise_BCHW.pin_memory()
        return (images_BCHW + noise_BCHW.to(images_BCHW.device, non_blocking=True)).clamp(0, 1)


def _affine(images_BCHW: torch.Tensor, output_to_input_B23: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional

    grid_BHW2 = functional.affine_grid(
        output_to_input_B23.to(images_BCHW.device, non_blocking=True), list(images_BCHW.shape), align_corners=False
    )
    return _sample(images_BCHW, grid_BHW2)


def _sample(images_BCHW: torch.Tensor, grid_BHW2: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional

    return functional.grid_sample(
        images_BCHW, grid_BHW2, mode="bilinear", padding_mode="reflection", align_corners=False
    )
