"""ResNet-D (He et al. 2019, "Bag of Tricks for Image Classification with CNNs", arXiv:1812.01187, section 4)."""

from __future__ import annotations

from typing import Any

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

__all__ = ["build_resnet_d", "chain_of"]

_STAGES = {
    18: (BasicBlock, [2, 2, 2, 2]),
    34: (BasicBlock, [3, 4, 6, 3]),
    50: (Bottleneck, [3, 4, 6, 3]),
    101: (Bottleneck, [3, 4, 23, 3]),
    152: (Bottleneck, [3, 8, 36, 3]),
    200: (Bottleneck, [3, 24, 36, 3]),
}
"""Depth -> block and blocks per stage (He et al. 2015, table 1; 200: He et al. 2016, arXiv:1603.05027, appendix)."""


def build_resnet_d(depth: int, width: int, in_channels: int, num_classes: int, dropout: float) -> nn.Module:
    """Return torchvision's ResNet with the tweaks B (which torchvision has anyway), C and D."""
    block, blocks = _STAGES[depth]
    net: nn.Module = ResNet(block, blocks, num_classes) if width == 64 else _Scaled(block, blocks, width, num_classes)
    half = width // 2
    # Tweak C: three small convolutions in place of one of 7 x 7.
    net.conv1 = nn.Sequential(
        *_convolution(in_channels, half, stride=2),
        *_convolution(half, half, stride=1),
        nn.Conv2d(half, width, 3, padding=1, bias=False),
    )
    # Tweak D: shortcuts average where they would skip three of four pixels.
    for stage in ("layer2", "layer3", "layer4"):
        strided, norm = net.get_submodule(f"{stage}.0.downsample").children()
        assert isinstance(strided, nn.Conv2d)  # noqa: S101 - so torchvision builds every shortcut
        pool = nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)
        projection = nn.Conv2d(strided.in_channels, strided.out_channels, 1, bias=False)
        net.set_submodule(f"{stage}.0.downsample", nn.Sequential(pool, projection, norm))
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    net.fc = nn.Sequential(nn.Dropout(dropout), net.get_submodule("fc"))
    return net


def chain_of(net: nn.Module) -> list[nn.Module]:
    """Return the modules of torchvision's `ResNet.forward`, in order."""
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool")
    return [*(net.get_submodule(name) for name in names), nn.Flatten(), *net.get_submodule("fc").children()]


class _Scaled(ResNet):  # type: ignore[misc]  # torchvision is untyped
    """Torchvision's ResNet with another number of channels in all its layers; its stem is replaced by the caller."""

    def __init__(self, block: type[BasicBlock | Bottleneck], blocks: list[int], width: int, num_classes: int) -> None:
        self._width = width
        super().__init__(block, blocks, num_classes)
        self.bn1 = nn.BatchNorm2d(width)
        self.fc = nn.Linear(8 * width * block.expansion, num_classes)

    def _make_layer(self, block: type[nn.Module], planes: int, blocks: int, **options: Any) -> Any:
        if planes == 64:  # the first stage, which takes what the stem gives
            self.inplanes = self._width
        return super()._make_layer(block, planes * self._width // 64, blocks, **options)


def _convolution(in_channels: int, out_channels: int, *, stride: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )
