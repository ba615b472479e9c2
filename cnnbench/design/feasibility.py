"""Can a cell be built? Every network is tried on the meta device, where shapes are real and nothing is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cnnbench.design.network import build_network, group_multipliers, trainable_groups

if TYPE_CHECKING:
    import torch
    from torch import nn

    from cnnbench.plugin import Model

_PROBE_BATCH = 2


@dataclass(frozen=True, slots=True)
class Probe:
    """A network to be tried at one size."""

    model: Model
    channels: int
    num_classes: int
    largest_px: int
    """Largest size of the trial; the network is built for it."""
    size_px: int
    """Size at which it is tried."""
    trainable: str | tuple[tuple[str, float], ...]
    """``all``, ``head``, or (layer group, multiplier) pairs."""


@dataclass(frozen=True, slots=True)
class Feasibility:
    """What the probe of a network at one size found."""

    reason: str | None
    """Why it cannot be built or run, as a sentence; None if it can."""
    train_flops: float
    """Floating-point operations of forward and backward pass for one image; multiplications and additions counted
    apart, convolutions and matrix products only (`torch.utils.flop_counter`)."""


def probe(request: Probe) -> Feasibility:
    """Build the network on the meta device and train one step of it."""
    import torch  # noqa: PLC0415 - a plan whose probes are cached must not wait for torch
    from torch.utils.flop_counter import FlopCounterMode  # noqa: PLC0415 - see above

    watcher = _Watcher()
    try:
        with torch.device("meta"):
            network = build_network(request.model, request.channels, request.largest_px, request.num_classes)
            _freeze(request.model, network, request.trainable)
            watcher.watch(network)
            images_BCHW = torch.empty(_PROBE_BATCH, request.channels, request.size_px, request.size_px)
            counter = FlopCounterMode(display=False)
            with counter:
                logits_BK = network(images_BCHW)
                _check_logits(logits_BK, request.num_classes)
                logits_BK.sum().backward()
    except Exception as error:  # noqa: BLE001 - whatever a network raises at this size is the reason
        return Feasibility(watcher.sentence(error, request.size_px), 0.0)
    return Feasibility(None, counter.get_total_flops() / _PROBE_BATCH)


def _freeze(model: Model, network: nn.Module, trainable: str | tuple[tuple[str, float], ...]) -> None:
    groups = trainable_groups(model, network)
    for name, multiplier in group_multipliers(
        groups, trainable if isinstance(trainable, str) else dict(trainable)
    ).items():
        for parameter in groups[name]:
            parameter.requires_grad_(multiplier > 0)


def _check_logits(logits_BK: object, num_classes: int) -> None:
    shape = tuple(getattr(logits_BK, "shape", ()))
    if shape != (_PROBE_BATCH, num_classes):
        raise ValueError(f"the network returns the shape {shape} instead of (batch, {num_classes} classes).")


class _Watcher:
    """Remembers which layer was entered last, and with which shape."""

    def __init__(self) -> None:
        self.layer: str | None = None
        self.shape = ""

    def watch(self, network: nn.Module) -> None:
        for name, module in network.named_modules():
            if not any(True for _ in module.children()):
                module.register_forward_pre_hook(self._hook(f"{name} ({type(module).__name__})"))

    def _hook(self, label: str) -> Any:
        def enter(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            self.layer = label
            self.shape = " x ".join(str(side) for side in inputs[0].shape[1:]) if inputs else ""

        return enter

    def sentence(self, error: Exception, size_px: int) -> str:
        what = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        if self.layer is None:
            return f"at {size_px} px the network cannot be built: {what}."
        return f"at {size_px} px the layer {self.layer} cannot take its input of {self.shape}: {what}."
