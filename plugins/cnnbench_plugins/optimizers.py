"""Torch's optimizers, with the fused implementation where the device has one.

A fused step is one kernel instead of several per parameter; on the small networks of the embedded studies the step is
otherwise a large part of the time. It is deterministic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from cnnbench.plugin import Optimizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from cnnbench.plugin import ParameterGroup

__all__ = ["Adam", "AdamW", "Sgd"]

FUSED_DEVICES = frozenset({"cpu", "cuda"})
"""Device types on which torch 2.11 and later fuse all three optimizers."""


class Sgd(Optimizer):
    """Stochastic gradient descent with momentum."""

    key = "sgd"
    lr: float = Field(0.05, gt=0, description="Base learning rate.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Share of the last step that is kept.")
    nesterov: bool = Field(default=False, description="Nesterov's momentum (Sutskever et al. 2013, section 2.1).")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty, added to the gradient.")

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("`nesterov = true` needs a `momentum` above 0.")
        return self

    def build(self, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer:
        """Return `torch.optim.SGD`."""
        from torch.optim import SGD

        return SGD(
            _torch_groups(groups),
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
            fused=_fused(groups),
        )


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980, algorithm 1)."""

    key = "adam"
    lr: float = Field(1e-3, gt=0, description="Base learning rate.")
    beta1: float = Field(0.9, ge=0, lt=1, description="Decay of the mean of the gradient.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Decay of the mean of the squared gradient.")
    eps: float = Field(1e-8, gt=0, description="Added to the denominator.")
    weight_decay: float = Field(0.0, ge=0, description="L2 penalty, added to the gradient.")

    def build(self, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer:
        """Return `torch.optim.Adam`."""
        from torch.optim import Adam as TorchAdam

        return TorchAdam(
            _torch_groups(groups),
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            weight_decay=self.weight_decay,
            fused=_fused(groups),
        )


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2)."""

    key = "adamw"
    lr: float = Field(1e-3, gt=0, description="Base learning rate.")
    beta1: float = Field(0.9, ge=0, lt=1, description="Decay of the mean of the gradient.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Decay of the mean of the squared gradient.")
    eps: float = Field(1e-8, gt=0, description="Added to the denominator.")
    weight_decay: float = Field(0.01, ge=0, description="Share of the weights, times the rate, lost at each step.")

    def build(self, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer:
        """Return `torch.optim.AdamW`."""
        from torch.optim import AdamW as TorchAdamW

        return TorchAdamW(
            _torch_groups(groups),
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            weight_decay=self.weight_decay,
            fused=_fused(groups),
        )


def _torch_groups(groups: Sequence[ParameterGroup]) -> list[dict[str, Any]]:
    return [{"params": list(group.parameters), "lr": group.lr, "name": group.name} for group in groups]


def _fused(groups: Sequence[ParameterGroup]) -> bool | None:
    devices = {parameter.device.type for group in groups for parameter in group.parameters}
    return True if devices <= FUSED_DEVICES else None
