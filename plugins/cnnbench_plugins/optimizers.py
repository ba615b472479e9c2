"""Torch's optimizers, with the fused implementation where the device has one.

A fused step is one kernel instead of several per parameter; on the small networks of the embedded studies the step is
otherwise a large part of the time. It is deterministic.

On a CPU torch's fused kernels go through memory as it lies. Of every gradient that does not lie in the order of its
dimensions, such as those of channels-last kernels, they make a needless copy; the step of a ResNet took one and a half
to three times as long. And where a gradient, or a moment that was loaded, lies in another order than its channels-last
parameter, they add up what does not belong together, without an error. `_InMemoryOrder` mends both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from cnnbench.plugin import Optimizer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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

        return _built(
            SGD,
            groups,
            lr=self.lr,
            momentum=self.momentum,
            nesterov=self.nesterov,
            weight_decay=self.weight_decay,
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

        return _built(
            TorchAdam,
            groups,
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            weight_decay=self.weight_decay,
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

        return _built(
            TorchAdamW,
            groups,
            lr=self.lr,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
            weight_decay=self.weight_decay,
        )


def _built(
    kind: Callable[..., torch.optim.Optimizer], groups: Sequence[ParameterGroup], **settings: object
) -> torch.optim.Optimizer:
    devices = {parameter.device.type for group in groups for parameter in group.parameters}
    torch_groups = [{"params": list(group.parameters), "lr": group.lr, "name": group.name} for group in groups]
    optimizer = kind(torch_groups, fused=True if devices <= FUSED_DEVICES else None, **settings)
    if devices == {"cpu"}:
        _InMemoryOrder(optimizer)
    return optimizer


class _InMemoryOrder:
    """Shows channels-last parameters to each step of an optimizer as they lie in memory: height, width, channels.

    Only the view changes, for the time of the step; the arithmetic goes number by number and is the same. A step that
    raises an error leaves them so, and a closure would see them so: the engine gives none, and such a trial is over.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._parameters: list[torch.Tensor] = []
        """Those that the present step sees in another order."""
        optimizer.register_step_pre_hook(self._before)
        optimizer.register_step_post_hook(self._after)

    def _before(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self._parameters = [
            parameter for parameter in parameters if parameter.grad is not None and _is_turned(parameter)
        ]
        for tensor in self._turned(optimizer):
            tensor.data = _channels_last(tensor.data).permute(0, 2, 3, 1)

    def _after(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        for tensor in self._turned(optimizer):
            tensor.data = tensor.data.permute(0, 3, 1, 2)

    def _turned(self, optimizer: torch.optim.Optimizer) -> Iterator[torch.Tensor]:
        for parameter in self._parameters:
            yield parameter
            if parameter.grad is not None:
                yield parameter.grad
            yield from (value for value in optimizer.state.get(parameter, {}).values() if value.ndim == 4)


def _is_turned(parameter: torch.Tensor) -> bool:
    """Whether a parameter lies in memory as channels-last, and in no other way at once (as 1 x 1 kernels do)."""
    return parameter.ndim == 4 and not parameter.is_contiguous() and parameter.permute(0, 2, 3, 1).is_contiguous()


def _channels_last(tensor: torch.Tensor) -> torch.Tensor:
    import torch

    return tensor.contiguous(memory_format=torch.channels_last)
