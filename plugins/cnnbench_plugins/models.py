"""Network architectures as validated parameters; the torch code is in `cnnbench_plugins.networks`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self, cast

from pydantic import Field, field_validator, model_validator

from cnnbench.plugin import Model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from cnnbench_plugins.networks.blocks import BlockNetwork
    from cnnbench_plugins.networks.pretrained import PretrainedNetwork
    from cnnbench_plugins.networks.residual import ResidualNetwork

__all__ = ["BlockCnn", "ResNetD", "ResNetSmall", "Timm", "Torchvision"]


class ResNetSmall(Model):
    """Residual network for small images (He et al. 2015, arXiv:1512.03385, section 4.2).

    A 3 x 3 stem and three stages of n residual blocks with ``width``, 2 ``width`` and 4 ``width`` channels and strides
    1, 2, 2; global average pooling and a linear head: 6n + 2 weighted layers. Runs on images of any size.
    """

    key = "resnet-small"
    depth: int = Field(8, ge=8, description="Weighted layers, 6n + 2: 8, 14, 20, 26, 32, ...")
    width: int = Field(16, ge=1, description="Channels of the first stage; 16 in the paper.")
    shortcut: Literal["identity", "projection"] = Field(
        "identity",
        description="Where the shape changes: subsample and pad with zeros (option A), or 1 x 1 convolution (B).",
    )
    stem_stride: Literal[1, 2] = Field(1, description="2 quarters the cost; meant for images of 48 px and more.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the head.")

    @field_validator("depth")
    @classmethod
    def _depth_is_6n_plus_2(cls, depth: int) -> int:
        if (depth - 2) % 6:
            lower = depth - (depth - 2) % 6
            raise ValueError(
                f"a residual network of three stages with two-layer blocks has 6n + 2 layers, so not {depth}; "
                f"use {lower} or {lower + 6}."
            )
        return depth

    def build(self, shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Module:
        """Return the network, with He et al.'s initialisation (2015, arXiv:1502.01852)."""
        from cnnbench_plugins.networks.residual import ResidualNetwork

        return ResidualNetwork(
            in_channels=shape_CHW[0],
            num_classes=num_classes,
            blocks_per_stage=(self.depth - 2) // 6,
            width=self.width,
            project=self.shortcut == "projection",
            stem_stride=self.stem_stride,
            dropout=self.dropout,
        )

    def layer_groups(self, network: nn.Module) -> Mapping[str, Sequence[str]]:  # noqa: ARG002 - the same for all depths
        """Return ``early`` (stem and first stage), ``middle`` (second and third stage) and ``head``."""
        return {"early": ["stem", "stage1"], "middle": ["stage2", "stage3"], "head": ["head"]}

    def chain(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return stem, stages, pooling, dropout and head."""
        return cast("ResidualNetwork", network).chain()


class ResNetD(Model):
    """ResNet-D (He et al. 2019, arXiv:1812.01187, section 4): a stem of three convolutions, averaging shortcuts."""

    key = "resnet-d"
    depth: Literal[18, 34, 50, 101, 152, 200] = Field(18, description="Weighted layers, counted as in ResNet.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the head.")
    width: int = Field(64, ge=2, le=256, description="Channels of the first stage; 64 in the paper. Even.")
    later = frozenset({"width"})

    @field_validator("width")
    @classmethod
    def _width_is_even(cls, width: int) -> int:
        if width % 2:
            raise ValueError(f"the first convolutions have half as many channels: `width` must be even, not {width}.")
        return width

    def build(self, shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Module:
        """Return the network; there are no weights to be had for it."""
        from cnnbench_plugins.networks.resnet_d import build_resnet_d

        return build_resnet_d(self.depth, self.width, shape_CHW[0], num_classes, self.dropout)

    def layer_groups(self, network: nn.Module) -> Mapping[str, Sequence[str]]:  # noqa: ARG002 - the same for all depths
        """Return ``early`` (stem, first and second stage), ``middle`` (third and fourth stage) and ``head``."""
        return {"early": ["conv1", "bn1", "layer1", "layer2"], "middle": ["layer3", "layer4"], "head": ["fc"]}

    def chain(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return stem, stages, pooling, dropout and head."""
        from cnnbench_plugins.networks.resnet_d import chain_of

        return chain_of(network)


class BlockCnn(Model):
    """Blocks of convolution, batch normalisation, pooling and dropout, then two dense layers (Hudson).

    The defaults are those of the paper's public code: each block is a 3 x 3 convolution of stride 2 with "same" padding
    and ReLU, batch normalisation, max pooling of 2 and dropout of 0.25, with 64, 128, 256, ... channels; then a dense
    layer of 64 units with ReLU, and the head. The paper's text says that the channels grow with the number of the block
    (64, 128, 192, ...); the code doubles them. Its single sigmoid unit is here a logit for each class, with
    cross-entropy, which is the same model of two classes. Initial weights and the momentum of batch normalisation are
    torch's. Each block leaves a quarter of the image's side, so four blocks need 256 px. The dense layers bind the
    network to one image size.
    """

    key = "block-cnn"
    version = "2"
    blocks: int = Field(2, ge=1, description="Number of blocks.")
    width: int = Field(64, ge=1, description="Channels of the first block.")
    width_growth: float = Field(2.0, ge=1, description="Channels of each block, relative to the one before it.")
    kernel_px: int = Field(3, ge=1, description="Side of the convolutions.")
    stride: int = Field(2, ge=1, description="Stride of the convolutions; 1 keeps the size but for the pooling.")
    padding: Literal["same", "valid"] = Field(
        "same", description="`same`: zeros around the images, as Keras adds them; `valid`: none."
    )
    hidden: int = Field(64, ge=1, description="Units of the dense layer before the head.")
    dropout: float = Field(0.25, ge=0, lt=1, description="Dropout at the end of each block.")

    def build(self, shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Module:
        """Return the network.

        Raises:
            ValueError: The image is used up before the last block.
        """
        from cnnbench_plugins.networks.blocks import BlockNetwork

        return BlockNetwork(
            shape_CHW,
            num_classes,
            widths=[round(self.width * self.width_growth**block) for block in range(self.blocks)],
            kernel_px=self.kernel_px,
            stride=self.stride,
            padding=self.padding,
            hidden=self.hidden,
            dropout=self.dropout,
        )

    def layer_groups(self, network: nn.Module) -> Mapping[str, Sequence[str]]:  # noqa: ARG002 - the same for all depths
        """Return ``body`` (the blocks and the dense layer) and ``head``."""
        return {"body": ["blocks", "dense"], "head": ["head"]}

    def chain(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return the blocks, the dense layer and the head."""
        return cast("BlockNetwork", network).chain()


TorchvisionName = Literal[
    "alexnet",
    "googlenet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
]
_WEIGHTS = ("none", "default", "IMAGENET1K_V1", "IMAGENET1K_V2")
_WITH_V2 = frozenset({"resnet50", "resnet101", "resnet152"})
_WEIGHTS_SUFFIXES = (".pth", ".pt")


class Torchvision(Model):
    """ResNet, VGG, AlexNet or GoogLeNet of torchvision, pre-trained or not.

    ResNet: He et al. (2015, arXiv:1512.03385); VGG: Simonyan & Zisserman (2014, arXiv:1409.1556); AlexNet: Krizhevsky
    (2014, arXiv:1404.5997); GoogLeNet: Szegedy et al. (2014, arXiv:1409.4842), without its auxiliary classifiers. The
    last layer is replaced by dropout and a linear head for the study's classes. Images of one channel are given to all
    three input channels. VGG needs images of at least 32 px, AlexNet of 63 px. Pre-trained weights of GoogLeNet were
    learnt on images from -1 to 1; with them it expects ImageNet's normalisation, as the others do, and converts it.
    """

    key = "torchvision"
    name: TorchvisionName = Field("resnet18", description="Architecture, as torchvision calls it.")
    weights: str = Field(
        "none",
        description="`none`, `default` (torchvision's best, which may change with its version), `IMAGENET1K_V1`, "
        "`IMAGENET1K_V2`, or a file of weights (.pth); a file may be named with `~` and `${VARIABLE}`.",
    )
    dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Dropout before the head, in VGG and AlexNet also between the dense layers; default: torchvision's "
        "own (0.5 in VGG, 0.5 below AlexNet's dense layers, 0.2 in GoogLeNet, none in ResNet).",
    )
    classifier: Literal["own", "linear"] = Field(
        "own",
        description="`linear`: global average pooling and one linear layer in place of VGG's and AlexNet's three; the "
        "others have it so.",
    )

    @field_validator("weights")
    @classmethod
    def _weights_are_known(cls, weights: str) -> str:
        if weights not in _WEIGHTS and not weights.endswith(_WEIGHTS_SUFFIXES):
            raise ValueError(
                f"there are no weights `{weights}`; use {', '.join(f'`{known}`' for known in _WEIGHTS)} "
                f"or a file that ends in {' or '.join(_WEIGHTS_SUFFIXES)}."
            )
        return weights

    @model_validator(mode="after")
    def _weights_exist(self) -> Self:
        if self.weights == "IMAGENET1K_V2" and self.name not in _WITH_V2:
            raise ValueError(f"torchvision has no weights `IMAGENET1K_V2` for {self.name}; use `IMAGENET1K_V1`.")
        return self

    def build(self, shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Module:  # noqa: ARG002 - any size will do
        """Return the network; on the meta device without its weights."""
        from cnnbench_plugins.networks.pretrained import build_pretrained

        return build_pretrained(
            self.name,
            self.weights,
            num_classes,
            dropout=self.dropout,
            linear_classifier=self.classifier == "linear",
        )

    def layer_groups(self, network: nn.Module) -> Mapping[str, Sequence[str]]:
        """Return ``early`` (geometric features), ``middle`` (composed features) and ``head`` (new).

        ResNet is cut after its second of four stages, as fast.ai's course did, from which Wanger & Frohn took the
        method; GoogLeNet before its fourth group of modules; VGG after its third of five pooling layers, AlexNet after
        its first of three.
        """
        if self.name.startswith("resnet"):
            early = ["net.conv1", "net.bn1", "net.layer1", "net.layer2"]
            return {"early": early, "middle": ["net.layer3", "net.layer4"], "head": ["head"]}
        body = network.get_submodule("net")
        if self.name == "googlenet":
            children = [f"net.{name}" for name, _ in body.named_children()]
            fourth = children.index("net.inception4a")
            return {"early": children[:fourth], "middle": children[fourth:], "head": ["head"]}
        layers = list(body.get_submodule("features").children())
        pools = [position for position, layer in enumerate(layers) if type(layer).__name__ == "MaxPool2d"]
        cut = pools[0] if self.name == "alexnet" else pools[2]
        return {
            "early": [f"net.features.{position}" for position in range(cut)],
            "middle": [*(f"net.features.{position}" for position in range(cut, len(layers))), "net.classifier"],
            "head": ["head"],
        }

    def chain(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return body, dropout and head; VGG's and AlexNet's body in parts, because it has dropout of its own."""
        return cast("PretrainedNetwork", network).chain()


_TIMM_SUFFIXES = (".bin", ".pt", ".pth", ".safetensors")


class Timm(Model):
    """Any network of the library timm (R. Wightman, PyTorch Image Models), by its name there.

    timm is an extra: `pip install cnnbench[timm]`. The last layer is replaced by a new one for the study's classes.
    Images of one channel are given to all three input channels. Networks that are bound to one image size, such as
    vision transformers, are built for the largest size of the trial.
    """

    key = "timm"
    name: str = Field(
        "resnet18d", min_length=1, description="Name, as timm has it, with or without the tag of its weights."
    )
    weights: str = Field(
        "none",
        description="`none`, `default` (those that timm has for the name, downloaded), or a file of weights "
        "(.safetensors, .pth, .pt, .bin); a file may be named with `~` and `${VARIABLE}`.",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout before the head (timm's `drop_rate`).")

    @field_validator("weights")
    @classmethod
    def _weights_are_known(cls, weights: str) -> str:
        if weights not in {"none", "default"} and not weights.endswith(_TIMM_SUFFIXES):
            raise ValueError(
                f"there are no weights `{weights}`; use `none`, `default`, or a file that ends in "
                f"{', '.join(_TIMM_SUFFIXES[:-1])} or {_TIMM_SUFFIXES[-1]}."
            )
        return weights

    def build(self, shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Module:
        """Return the network; on the meta device without its weights.

        Raises:
            SetupError: timm is not installed, or has no network of that name.
            DataError: The weights can neither be found nor downloaded, or belong to another network.
        """
        from cnnbench_plugins.networks.timm_family import build_timm

        return build_timm(self.name, self.weights, shape_CHW[1], num_classes, self.dropout)

    def layer_groups(self, network: nn.Module) -> Mapping[str, Sequence[str]]:
        """Return ``early`` and ``middle`` (the first and the second half of timm's layers) and ``head``.

        In residual networks they are cut after the second of four stages.
        """
        from cnnbench_plugins.networks.timm_family import timm_layer_groups

        return timm_layer_groups(network)
