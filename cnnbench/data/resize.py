"""Resize uint8 images with antialiasing.

Shapes: C channels (1 or 3), H/W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

Resize = Literal["crop", "squash"]


def resize_image(image_CHW: NDArray[np.uint8], size_px: int, resize: Resize) -> NDArray[np.uint8]:
    """Return the image as ``C x size_px x size_px``.

    Bilinear, with the filter widened when shrinking (Pillow's antialiasing), so that a small image holds the average of
    what it stands for. ``crop`` first cuts the largest centred square, ``squash`` lets the aspect ratio go.
    """
    height, width = image_CHW.shape[1:]
    side = min(height, width)
    box: tuple[float, float, float, float] | None = None
    if resize == "crop":
        top, left = (height - side) / 2, (width - side) / 2
        box = (left, top, left + side, top + side)
    if (height, width) == (size_px, size_px):
        return image_CHW
    pixels = image_CHW[0] if image_CHW.shape[0] == 1 else np.ascontiguousarray(image_CHW.transpose(1, 2, 0))
    resized = np.asarray(
        Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.BILINEAR, box=box), dtype=np.uint8
    )
    return resized[None] if resized.ndim == 2 else np.ascontiguousarray(resized.transpose(2, 0, 1))
