"""Procedural images full of small figures: triangles, squares, stars, discs, ..."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from cnnbench.plugin import Dataset, ImageArrays

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Shapes"]

SUPERSAMPLING = 3
"""Samples per pixel and side; figures are drawn at this resolution and averaged."""
CHUNK = 64
"""Images drawn at once; bounds the memory."""
RADIUS = 0.34
"""Radius of the disc of a figure's area, as a share of the figure's cell, before its random size."""
JITTER = 0.12
"""A figure's largest displacement from the centre of its cell, as a share of the cell and per axis."""

Kind = Literal["triangle", "square", "pentagon", "hexagon", "disc", "cross", "star"]


class Shapes(Dataset):
    """Small figures drawn from a seed; all figures of an image are of one kind, which is the class.

    Figures stand in a loose grid; place, size, rotation, polarity and contrast of each are random, all kinds have the
    same area, and noise lies over everything, so only the outline tells the class. It takes about eight pixels to tell
    a figure: reducing the images by half hides the class, and image size matters. The class survives flips, zooming,
    shifting and mild distortion. Finer structure: raise ``figures_per_side``; harder: raise ``noise``.
    """

    key = "shapes"
    size_px: int = Field(32, ge=8, le=512, description="Side of the images.")
    examples: int = Field(600, ge=2, description="Images in all, shared evenly by the classes.")
    kinds: tuple[Kind, ...] = Field(("triangle", "square", "star", "disc"), min_length=2, description="The classes.")
    figures_per_side: int = Field(4, ge=1, le=32, description="Figures in a row and in a column.")
    noise: float = Field(0.1, ge=0, description="Deviation of added Gaussian noise; the range of grays is 1.")
    seed: int = Field(0, ge=0, description="Everything random is drawn from it.")
    shares: tuple[float, ...] = Field(
        (), description="Relative frequency of each kind, for classes of different sizes; default: all alike."
    )
    later = frozenset({"shares"})

    @field_validator("kinds")
    @classmethod
    def _kinds_differ(cls, kinds: tuple[Kind, ...]) -> tuple[Kind, ...]:
        if len(set(kinds)) < len(kinds):
            raise ValueError("`kinds` names one more than once; every kind is a class of its own.")
        return kinds

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.shares and (len(self.shares) != len(self.kinds) or min(self.shares) <= 0):
            raise ValueError(f"`shares` must give a number above 0 for each of the {len(self.kinds)} kinds.")
        return self

    def load(self, cache: Path) -> ImageArrays:  # noqa: ARG002 - nothing to download
        """Return 1 x size_px x size_px images; classes alternate, as often as their shares say."""
        rng = np.random.default_rng(self.seed)
        label_N = self._labels()
        chunks = [self._draw(label_N[first : first + CHUNK], rng) for first in range(0, self.examples, CHUNK)]
        return ImageArrays(list(np.concatenate(chunks)[:, None]), label_N, self.kinds)

    def _labels(self) -> NDArray[np.int64]:
        if not self.shares:
            return np.arange(self.examples, dtype=np.int64) % len(self.kinds)
        share_K = np.array(self.shares) / sum(self.shares)
        given_K = np.zeros(len(self.kinds))
        label_N = np.empty(self.examples, np.int64)
        for position in range(self.examples):
            # To the kind that lags most behind its share: every stretch of images has all kinds in their proportion.
            label_N[position] = label = int((share_K * (position + 1) - given_K).argmax())
            given_K[label] += 1
        return label_N

    def _draw(self, label_N: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
        per_side, num_samples = self.figures_per_side, self.size_px * SUPERSAMPLING
        position_S = (np.arange(num_samples) + 0.5) / num_samples * per_side
        cell_S = position_S.astype(np.int64)

        def per_figure(low: float, high: float) -> NDArray[np.float64]:
            """Draw a number for every figure and give it to all samples of the figure's cell."""
            return rng.uniform(low, high, (len(label_N), per_side, per_side))[:, cell_S[:, None], cell_S[None, :]]

        x_NSS = (position_S - cell_S - 0.5)[None, None, :] - per_figure(-JITTER, JITTER)
        y_NSS = (position_S - cell_S - 0.5)[None, :, None] - per_figure(-JITTER, JITTER)
        angle_NSS = np.arctan2(y_NSS, x_NSS) + per_figure(0, 2 * np.pi)
        radius_NSS = per_figure(0.85, 1.1) * RADIUS
        contrast_NSS = per_figure(0.35, 0.6) * np.where(per_figure(-1, 1) < 0, -1, 1)
        outline_NSS = np.empty_like(angle_NSS)
        for label in np.unique(label_N):
            outline_NSS[label_N == label] = _outline(self.kinds[label], angle_NSS[label_N == label])
        inside_NSS = np.hypot(x_NSS, y_NSS) < radius_NSS * outline_NSS
        samples_NSS = np.where(inside_NSS, contrast_NSS, 0.0)
        shape = (len(label_N), self.size_px, SUPERSAMPLING, self.size_px, SUPERSAMPLING)
        gray_NHW = 0.5 + samples_NSS.reshape(shape).mean(axis=(2, 4))
        gray_NHW += self.noise * rng.standard_normal(gray_NHW.shape)
        image_NHW: NDArray[np.uint8] = np.rint(np.clip(gray_NHW, 0, 1) * 255).astype(np.uint8)
        return image_NHW


def _outline(kind: Kind, angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of a figure's outline from its centre, for a figure with the area of the unit disc."""
    if kind == "disc":
        return np.ones_like(angle)
    if kind in {"star", "cross"}:
        depth, arms = (0.4, 5) if kind == "star" else (0.45, 4)
        # The mean of (1 + depth cos)^2 over the angle is 1 + depth^2 / 2.
        waves: NDArray[np.float64] = (1 + depth * np.cos(arms * angle)) / np.sqrt(1 + depth**2 / 2)
        return waves
    corners = {"triangle": 3, "square": 4, "pentagon": 5, "hexagon": 6}[kind]
    half_side = np.pi / corners
    # A regular polygon with the inner radius a has the area corners * a^2 * tan(half_side).
    inner_radius = np.sqrt(np.pi / (corners * np.tan(half_side)))
    sides: NDArray[np.float64] = inner_radius / np.cos(np.mod(angle, 2 * half_side) - half_side)
    return sides
