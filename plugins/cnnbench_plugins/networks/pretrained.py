"""Torchvision's classic families, with a head of their own and with weights from the network or from a file.

Shapes: B batch, C channels, H/W pixels, K classes.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, cast

import torch
import torchvision
from torch import nn

from cnnbench.errors import DataError
from cnnbench_plugins.paths import expand_path

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["PretrainedNetwork", "RepeatablePool", "build_pretrained", "check_hash"]

_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,})\.")


class PretrainedNetwork(nn.Module):
    """A torchvision network without its last layer, dropout, and a new linear head; ``B x C x H x W`` to ``B x K``.

    Images of one channel are given to all three input channels, for which the weights were learnt.
    """

    def __init__(self, net: nn.Module, num_features: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.expand = ThreeChannels()
        self.net = net
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(num_features, num_classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return cast("torch.Tensor", self.head(self.dropout(self.net(self.expand(images_BCHW)))))

    def chain(self) -> list[nn.Module]:
        """Return the modules of `forward`, in order; VGG and AlexNet in the parts of their own `forward`."""
        body = [self.net]
        if isinstance(self.net, torchvision.models.VGG | torchvision.models.AlexNet):
            classifier = self.net.classifier
            dense = list(classifier.children()) if isinstance(classifier, nn.Sequential) else [classifier]
            body = [self.net.features, self.net.avgpool, nn.Flatten(), *dense]
        return [self.expand, *body, self.dropout, self.head]


class ThreeChannels(nn.Module):
    """Images of one channel become images of three that are equal; others stay as they are."""

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Return ``B x 3 x H x W``."""
        return images_BCHW.expand(-1, 3, -1, -1) if images_BCHW.shape[1] == 1 else images_BCHW


class RepeatablePool(nn.Module):
    """Adaptive average pooling as two matrix products.

    `torch.nn.AdaptiveAvgPool2d` computes the same, but its gradient on CUDA adds in no fixed order, so torch refuses it
    where deterministic algorithms are demanded.
    """

    def __init__(self, output_px: int) -> None:
        super().__init__()
        self.output_px = output_px

    def forward(self, features_BCHW: torch.Tensor) -> torch.Tensor:
        """Return ``B x C x output_px x output_px``; features that have that size already pass unchanged."""
        if features_BCHW.shape[2:] == (self.output_px, self.output_px):
            return features_BCHW
        rows_PH, columns_PW = (self._averaging(size, features_BCHW) for size in features_BCHW.shape[2:])
        return rows_PH @ features_BCHW @ columns_PW.T

    def _averaging(self, size: int, like: torch.Tensor) -> torch.Tensor:
        """Return ``output_px x size`` weights; windows overlap where the size is no multiple."""
        position = torch.arange(size, device=like.device)
        window = torch.arange(self.output_px, device=like.device)[:, None]
        inside = (position >= window * size // self.output_px) & (position < -(-(window + 1) * size // self.output_px))
        return inside.to(like.dtype) / inside.sum(1, keepdim=True)


def build_pretrained(
    name: str, weights: str, num_classes: int, *, dropout: float | None, linear_classifier: bool
) -> PretrainedNetwork:
    """Return a network of the family, with ImageNet's weights below a new head.

    Raises:
        DataError: The weights can neither be found nor downloaded, or belong to another network.
    """
    # GoogLeNet's auxiliary classifiers are left out; its initialisation has to be asked for.
    options = {"aux_logits": False, "init_weights": True} if name == "googlenet" else {}
    net = torchvision.models.get_model(name, **options)
    on_meta_device = next(net.parameters()).is_meta  # a feasibility check: shapes only, there is nothing to fill
    if weights != "none" and not on_meta_device:
        _fill(net, name, weights)
    if isinstance(net, torchvision.models.VGG | torchvision.models.AlexNet):
        return _with_dense_layers(net, num_classes, dropout, linear=linear_classifier)
    num_features = net.fc.in_features
    net.fc = nn.Identity()
    share = dropout or 0.0
    if name == "googlenet":
        net.dropout = nn.Identity()
        net.transform_input = weights != "none"
        share = 0.2 if dropout is None else dropout
    return PretrainedNetwork(net, num_features, num_classes, share)


def _with_dense_layers(
    net: torchvision.models.VGG | torchvision.models.AlexNet, num_classes: int, dropout: float | None, *, linear: bool
) -> PretrainedNetwork:
    """Return a network whose last of three dense layers is ours, or whose only one is (``linear``)."""
    share = 0.5 if dropout is None else dropout
    layers = list(net.classifier.children())
    convolutions = [layer for layer in net.features.children() if isinstance(layer, nn.Conv2d)]
    if linear:
        net.avgpool, net.classifier = nn.AdaptiveAvgPool2d(1), nn.Identity()
        return PretrainedNetwork(net, convolutions[-1].out_channels, num_classes, share)
    num_features = layers[-1].in_features
    net.avgpool = RepeatablePool(net.avgpool.output_size[0])
    # VGG has dropout after its first two dense layers, AlexNet before them and so none before the head, unless asked.
    kept = layers[: [type(layer) for layer in layers].index(nn.ReLU, 4) + 1]
    net.classifier = nn.Sequential(*(nn.Dropout(share) if isinstance(layer, nn.Dropout) else layer for layer in kept))
    none_before_head = dropout is None and isinstance(net, torchvision.models.AlexNet)
    return PretrainedNetwork(net, num_features, num_classes, 0.0 if none_before_head else share)


def _fill(net: nn.Module, name: str, weights: str) -> None:
    source, state = _downloaded(name, weights) if "." not in weights else _from_file(weights)
    try:
        if (
            name == "googlenet"
        ):  # published with the auxiliary classifiers, which are used in training from scratch only
            state = {key: value for key, value in state.items() if not key.startswith(("aux1.", "aux2."))}
        net.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        detail = " ".join(str(error).split())[:160]
        raise DataError(f"{source} holds no weights of torchvision's {name} ({detail}).") from error


def _downloaded(name: str, weights: str) -> tuple[str, dict[str, Any]]:
    members = torchvision.models.get_model_weights(name)
    wanted = members.DEFAULT if weights == "default" else members[weights]
    file_name = wanted.url.rpartition("/")[2]
    try:
        state = wanted.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"the weights of {name} could not be downloaded ({error}); get {wanted.url} on another machine and put it "
            f"into {torch.hub.get_dir()}/checkpoints, or name it in the study: "
            f'`weights = "/path/to/{file_name}"`.'
        ) from error
    return wanted.url, state


def _from_file(weights: str) -> tuple[str, dict[str, Any]]:
    path = expand_path(weights)
    try:
        check_hash(path)
        return str(path), torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"there is no weights file {path}; correct `weights`, or use `default` to download.") from error
    except DataError:
        raise
    except Exception as error:  # a broken file makes the unpickler raise whatever it stumbles on
        raise DataError(f"{path} is no file of weights that torch can load safely (`weights_only`).") from error


def check_hash(path: Path) -> None:
    """Compare a file with the start of its SHA-256 where its name carries it, as those of torchvision do."""
    expected = _HASH_IN_NAME.search(path.name)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected and not found.startswith(expected[1]):
        raise DataError(f"{path} is damaged: its SHA-256 does not begin with {expected[1]}; download it again.")
