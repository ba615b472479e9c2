"""Patches of three photographs: brick, grass, gravel."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from cnnbench.plugin import Dataset, ImageArrays
from cnnbench_plugins.datasets.embedded import read_embedded, spread

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Textures"]

CLASS_NAMES = ("brick", "grass", "gravel")
PHOTOGRAPH_PX = 512
MEAN_GRAY = 127.5
GRAY_PER_DEVIATION = 40.0
"""Maps 3.2 standard deviations to the ends of the 8-bit range; what lies beyond is clipped."""


class Textures(Dataset):
    """Square patches of three CC0 photographs (brick, grass, gravel); the class is the photograph.

    Patches do not overlap, so no split can share a pixel between its parts. Every patch is brought to the same mean and
    contrast: brightness does not give the class away. The dataset's own splits are bands of the photographs (upper
    60 % train, then 20 % validation, 20 % test): harder, and more honest, than patches drawn at random.
    """

    key = "textures"
    patch_px: int = Field(32, ge=4, le=256, description="Side of a patch; 32 gives 256 patches per photograph.")
    limit_per_class: int = Field(256, ge=1, description="Patches per photograph, spread evenly over it.")
    noise: float = Field(
        1.0, ge=0, description="Deviation of added Gaussian noise, as a multiple of the patch's own contrast."
    )
    seed: int = Field(0, ge=0, description="Seed of the noise.")

    def load(self, cache: Path) -> ImageArrays:  # noqa: ARG002 - nothing to download
        """Return 1 x patch_px x patch_px images."""
        per_side = PHOTOGRAPH_PX // self.patch_px
        kept_N = spread(per_side**2, self.limit_per_class)
        patches_NHW = np.concatenate([_patches(name, self.patch_px)[kept_N] for name in CLASS_NAMES])
        noise_NHW = np.random.default_rng(self.seed).standard_normal(patches_NHW.shape)
        noisy_NHW = _standardized(_standardized(patches_NHW) + self.noise * noise_NHW)
        gray_NHW = np.clip(np.rint(MEAN_GRAY + GRAY_PER_DEVIATION * noisy_NHW), 0, 255).astype(np.uint8)
        label_N = np.repeat(np.arange(len(CLASS_NAMES), dtype=np.int64), len(kept_N))
        split_N = np.tile(_band_of_row(kept_N // per_side, per_side), len(CLASS_NAMES))
        return ImageArrays(list(gray_NHW[:, None]), label_N, CLASS_NAMES, split_N)


def _patches(name: str, patch_px: int) -> NDArray[np.float64]:
    """Return the photograph's whole patches, row by row."""
    from PIL import Image

    photograph_HW = np.asarray(Image.open(io.BytesIO(read_embedded(f"{name}.png"))), dtype=np.float64)
    per_side = PHOTOGRAPH_PX // patch_px
    cut_HW = photograph_HW[: per_side * patch_px, : per_side * patch_px]
    patches = cut_HW.reshape(per_side, patch_px, per_side, patch_px).swapaxes(1, 2)
    return patches.reshape(-1, patch_px, patch_px)


def _standardized(patches_NHW: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = patches_NHW - patches_NHW.mean(axis=(1, 2), keepdims=True)
    deviation_N11 = centred.std(axis=(1, 2), keepdims=True)
    standardized: NDArray[np.float64] = centred / np.maximum(deviation_N11, 1e-6)  # a patch of one gray stays flat
    return standardized


def _band_of_row(row_N: NDArray[np.int64], num_rows: int) -> NDArray[np.str_]:
    depth_N = (row_N + 0.5) / num_rows
    return np.where(depth_N < 0.6, "train", np.where(depth_N < 0.8, "validation", "test"))
