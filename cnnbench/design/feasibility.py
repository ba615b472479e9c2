"""Can a cell be built? Every network is tried on the meta device, where shapes are real and nothing is computed."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench.design.network import build_network, group_multipliers, trainable_groups
from cnnbench.errors import CnnbenchError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from cnnbench.plugin import Model

_PROBE_BATCH = 2
_SLIPS = (AttributeError, ImportError, IndexError, KeyError, NameError, TypeError)
"""What code with a mistake raises; its sentence names the line."""


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

    watcher = _Watcher(request)
    try:
        with torch.device("meta"):
            network = build_network(request.model, request.channels, request.largest_px, request.num_classes)
            watcher.watch(network)
            _freeze(request.model, network, request.trainable)
            images_BCHW = torch.empty(_PROBE_BATCH, request.channels, request.size_px, request.size_px)
            counter = FlopCounterMode(display=False)
            with counter:
                logits_BK = network(images_BCHW)
                _check_logits(logits_BK, request.num_classes)
                logits_BK.sum().backward()
    except CnnbenchError:  # a library or a file that is missing is its user's to mend, and no fault of the size
        raise
    except Exception as error:  # noqa: BLE001 - whatever a network raises at this size is the reason
        return Feasibility(watcher.sentence(error), 0.0)
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
        raise ValueError(f"it returns {shape} instead of ({_PROBE_BATCH} images, {num_classes} classes).")


class _Watcher:
    """Remembers how far a network came."""

    def __init__(self, request: Probe) -> None:
        self._request = request
        self._built = False
        self._inside: str | None = None
        self._before: str | None = None

    def watch(self, network: nn.Module) -> None:
        """Follow a network that has been built from layer to layer."""
        self._built = True
        for name, module in network.named_modules():
            if not any(True for _ in module.children()):
                label = f"{name} ({type(module).__name__})"
                module.register_forward_pre_hook(partial(self._enter, label))
                module.register_forward_hook(partial(self._leave, label))

    def _enter(self, label: str, _module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        shape = " x ".join(str(side) for side in inputs[0].shape[1:]) if inputs else "nothing"
        self._inside = f"the layer {label} cannot take its input of {shape}"

    def _leave(self, label: str, _module: nn.Module, _inputs: object, _output: object) -> None:
        self._inside, self._before = None, label

    def sentence(self, error: Exception) -> str:
        """Say where the network failed, and why."""
        what = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        if isinstance(error, _SLIPS):  # images that are too small raise others: this is rather a slip in the code
            frames = traceback.extract_tb(error.__traceback__)
            last = next((frame for frame in reversed(frames) if "torch" not in Path(frame.filename).parts), frames[-1])
            what += f" ({type(error).__name__} in {Path(last.filename).name}, line {last.lineno})"
        if not self._built:
            return f"the network cannot be built for {self._request.largest_px} px: {what}."
        if self._inside is not None:
            return f"at {self._request.size_px} px {self._inside}: {what}."
        if self._before is not None:
            return f"at {self._request.size_px} px the network fails after the layer {self._before}: {what}."
        return f"{what}."
