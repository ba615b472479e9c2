"""The network of all ways: three blocks of convolution, batch normalisation, ReLU and pooling, and a linear head."""

from __future__ import annotations

from torch import nn


def three_blocks(width: int, num_classes: int = 10, channels: int = 3) -> nn.Sequential:
    """Return the network, with `width`, 2 `width` and 4 `width` channels; any size of 8 px and more."""
    layers: list[nn.Module] = []
    for out in (width, 2 * width, 4 * width):
        layers += [nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2)]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes))


def num_parameters(network: nn.Module) -> int:
    """Return the number of its parameters."""
    return sum(parameter.numel() for parameter in network.parameters())
