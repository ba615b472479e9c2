"""Network architectures as validated parameters; the torch code is in `cnnbench_plugins.networks`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from cnnbench.plugin import Model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

__all__ = ["ResNetSmall"]


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
        description="Where the shape changes: subsample and pad with zeros (the paper's option A), or 1 x 1 convolution (B).",
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

    def layer_groups(self, network: nn.Module) -> Mapping[str, Sequence[str]]:  # noqa: ARG002  # the same for all depths
        """Return ``early`` (stem and first stage), ``middle`` (second and third stage) and ``head``."""
        return {"early": ["stem", "stage1"], "middle": ["stage2", "stage3"], "head": ["head"]}
