"""A plain stack of convolution blocks with a dense classifier.

Shapes: B batch, C channels, H/W pixels, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

__all__ = ["BlockNetwork", "SamePadding"]


class BlockNetwork(nn.Module):
    """Blocks of convolution, ReLU, batch normalisation, pooling and dropout, then two dense layers; to ``B x K``."""

    def __init__(  # noqa: PLR0913 - the architecture has that many degrees of freedom; all are named
        self,
        shape_CHW: tuple[int, int, int],
        num_classes: int,
        *,
        widths: Sequence[int],
        kernel_px: int,
        stride: int,
        padding: Literal["same", "valid"],
        hidden: int,
        dropout: float,
    ) -> None:
        super().__init__()
        channels = (shape_CHW[0], *widths)
        self.blocks = nn.Sequential(
            *(
                nn.Sequential(
                    SamePadding(kernel_px, stride) if padding == "same" else nn.Identity(),
                    nn.Conv2d(channels[block], channels[block + 1], kernel_px, stride),
                    nn.ReLU(inplace=True),
                    nn.BatchNorm2d(channels[block + 1]),
                    nn.MaxPool2d(2),
                    nn.Dropout(dropout),
                )
                for block in range(len(widths))
            )
        )
        height, width = (_remaining_px(side, len(widths), kernel_px, stride, padding) for side in shape_CHW[1:])
        self.dense = nn.Sequential(nn.Linear(channels[-1] * height * width, hidden), nn.ReLU(inplace=True))
        self.head = nn.Linear(hidden, num_classes)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return cast("torch.Tensor", self.head(self.dense(self.blocks(images_BCHW).flatten(1))))

    def chain(self) -> list[nn.Module]:
        """Return the modules of `forward`, in order."""
        return [*self.blocks, nn.Flatten(), self.dense, self.head]


class SamePadding(nn.Module):
    """Zeros around the images, so that a convolution returns ``ceil(side / stride)`` pixels.

    The rule of TensorFlow and Keras: where the number of zeros is odd, the one more stands on the right and below.
    Torch's own ``padding="same"`` admits no stride.
    """

    def __init__(self, kernel_px: int, stride: int) -> None:
        super().__init__()
        self.kernel_px = kernel_px
        self.stride = stride

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Return the padded images."""
        zeros = [
            max((-(-side // self.stride) - 1) * self.stride + self.kernel_px - side, 0)
            for side in images_BCHW.shape[2:]
        ]
        (above, below), (left, right) = ((count // 2, count - count // 2) for count in zeros)
        return functional.pad(images_BCHW, (left, right, above, below))


def _remaining_px(side_px: int, num_blocks: int, kernel_px: int, stride: int, padding: Literal["same", "valid"]) -> int:
    for block in range(1, num_blocks + 1):
        convolved_px = -(-side_px // stride) if padding == "same" else (side_px - kernel_px) // stride + 1
        if convolved_px < 2:
            raise ValueError(
                f"block {block} of {num_blocks} gets images of {side_px} px, of which its convolution leaves "
                f"{max(convolved_px, 0)} px and its pooling nothing; use fewer blocks or larger images."
            )
        side_px = convolved_px // 2
    return side_px
