"""Residual network for small images (He et al. 2015, arXiv:1512.03385, section 4.2).

Shapes: B batch, C channels, H/W pixels, K classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    import torch

__all__ = ["ResidualNetwork"]


class ResidualNetwork(nn.Module):
    """Stem, three stages, global average pooling, dropout, linear head; ``B x C x H x W`` to ``B x K``."""

    def __init__(  # noqa: PLR0913 - the architecture has that many degrees of freedom; all are named
        self,
        *,
        in_channels: int,
        num_classes: int,
        blocks_per_stage: int,
        width: int,
        project: bool,
        stem_stride: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _conv(in_channels, width, stride=stem_stride), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.stage1 = _stage(width, width, 1, blocks_per_stage, project=project)
        self.stage2 = _stage(width, 2 * width, 2, blocks_per_stage, project=project)
        self.stage3 = _stage(2 * width, 4 * width, 2, blocks_per_stage, project=project)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.kaiming_normal_(self.head.weight, nonlinearity="linear")
        nn.init.zeros_(self.head.bias)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        features_BCHW = self.stage3(self.stage2(self.stage1(self.stem(images_BCHW))))
        return cast("torch.Tensor", self.head(self.dropout(self.pool(features_BCHW).flatten(1))))

    def chain(self) -> list[nn.Module]:
        """Return the modules of `forward`, in order."""
        stages = [self.stem, self.stage1, self.stage2, self.stage3]
        return [*stages, self.pool, nn.Flatten(), self.dropout, self.head]


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (section 3.2 of the paper)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, *, project: bool) -> None:
        super().__init__()
        self.conv1 = _conv(in_channels, out_channels, stride=stride)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = _conv(out_channels, out_channels, stride=1)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module
        if stride == 1 and in_channels == out_channels:
            self.shortcut = nn.Identity()
        elif project:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        else:
            self.shortcut = SubsampleAndPad(stride, out_channels - in_channels)

    def forward(self, features_BCHW: torch.Tensor) -> torch.Tensor:
        """Return features of ``out_channels`` channels at ``1 / stride`` of the size."""
        residual_BCHW = functional.relu(self.norm1(self.conv1(features_BCHW)))
        residual_BCHW = self.norm2(self.conv2(residual_BCHW))
        return functional.relu(residual_BCHW + self.shortcut(features_BCHW))


class SubsampleAndPad(nn.Module):
    """Shortcut without parameters: every ``stride``-th pixel, and zeros for the new channels (option A)."""

    def __init__(self, stride: int, added_channels: int) -> None:
        super().__init__()
        self.stride = stride
        self.added_channels = added_channels

    def forward(self, features_BCHW: torch.Tensor) -> torch.Tensor:
        """Return the subsampled features with channels of zeros behind them."""
        # Means of single pixels: `[:, :, ::stride, ::stride]`, whose gradient would not come back channels-last.
        subsampled_BCHW = functional.avg_pool2d(features_BCHW, kernel_size=1, stride=self.stride)
        return functional.pad(subsampled_BCHW, (0, 0, 0, 0, 0, self.added_channels))


def _stage(in_channels: int, out_channels: int, stride: int, blocks: int, *, project: bool) -> nn.Sequential:
    first = ResidualBlock(in_channels, out_channels, stride, project=project)
    rest = (ResidualBlock(out_channels, out_channels, 1, project=project) for _ in range(blocks - 1))
    return nn.Sequential(first, *rest)


def _conv(in_channels: int, out_channels: int, *, stride: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
