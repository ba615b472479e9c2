"""The networks of all ways, by name: three blocks of convolution and a linear head, or one of torchvision's."""

from __future__ import annotations

from torch import nn

_THREE_BLOCKS = "three-blocks-"


def build_network(name: str, num_classes: int = 10) -> nn.Module:
    """Return ``three-blocks-32`` (32 channels in its first block), or the network of torchvision of that name."""
    if name.startswith(_THREE_BLOCKS):
        return three_blocks(int(name.removeprefix(_THREE_BLOCKS)), num_classes)
    from torchvision.models import get_model  # the fast loop does without torchvision

    return get_model(name, weights=None, num_classes=num_classes)


def three_blocks(width: int, num_classes: int = 10, channels: int = 3) -> nn.Sequential:
    """Return three blocks of convolution, batch normalisation, ReLU and pooling, and a linear head.

    They have `width`, 2 `width` and 4 `width` channels; any size of 8 px and more.
    """
    layers: list[nn.Module] = []
    for out in (width, 2 * width, 4 * width):
        layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


def num_parameters(network: nn.Module) -> int:
    """Return the number of its parameters."""
    return sum(parameter.numel() for parameter in network.parameters())
