"""A plain stack of convolution blocks with a dense classifier.

Shapes: B batch, C channels, H/W pixels, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

__all__ = ["BlockNetwork"]


class BlockNetwork(nn.Module):
    """Blocks of convolution, ReLU, batch normalisation, pooling and dropout, then two dense layers; to ``B x K``."""

    def __init__(  # noqa: PLR0913 - the architecture has that many degrees of freedom; all are named
        self,
        shape_CHW: tuple[int, int, int],
        num_classes: int,
        *,
        widths: Sequence[int],
        kernels_px: Sequence[int],
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__()
        channels = (shape_CHW[0], *widths)
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(channels[block], channels[block + 1], kernel_px),
                    nn.ReLU(inplace=True),
                    nn.BatchNorm2d(channels[block + 1]),
                    nn.MaxPool2d(2),
                    nn.Dropout(dropout),
                )
                for block, kernel_px in enumerate(kernels_px)
            )
        )
        height, width = (_remaining_px(side, kernels_px) for side in shape_CHW[1:])
        self.dense = nn.Sequential(nn.Linear(channels[-1] * height * width, hidden), nn.ReLU(inplace=True))
        self.head = nn.Linear(hidden, num_classes)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return cast("torch.Tensor", self.head(self.dense(self.blocks(images_BCHW).flatten(1))))


def _remaining_px(side_px: int, kernels_px: Sequence[int]) -> int:
    for block, kernel_px in enumerate(kernels_px, start=1):
        remaining_px = (side_px - kernel_px + 1) // 2
        if remaining_px < 1:
            raise ValueError(
                f"block {block} of {len(kernels_px)} gets images of {side_px} px, too small for its convolution of "
                f"{kernel_px} px and its pooling; use fewer blocks or larger images."
            )
        side_px = remaining_px
    return side_px
