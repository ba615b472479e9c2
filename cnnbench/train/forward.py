"""The way of a training batch through a network, to its loss.

Shapes: B batch, C channels, H/W pixels, K classes.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional

from cnnbench.data import default_cache_dir
from cnnbench.errors import SetupError
from cnnbench.train.evaluate import autocast

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

_MOST_COMPILED = 10_000
"""Networks and batch sizes that one process may have compiled; torch stops compiling after eight, in silence."""


@dataclass(frozen=True, slots=True)
class Forward:
    """What a recipe says about the forward pass in training."""

    device: torch.device
    precision: Literal["fp32", "bf16"]
    label_smoothing: float
    is_compiled: bool

    def __call__(
        self, network: nn.Module, inputs_B: torch.Tensor, label_B: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean loss of a batch, and its logits (B x K) as the network gives them.

        Raises:
            SetupError: The network cannot be compiled on this machine.
        """
        logits_of = _compiled(self.device.type) if self.is_compiled else _logits
        with autocast(self.device, self.precision):
            logits_BK = logits_of(network, inputs_B)
        return functional.cross_entropy(logits_BK.float(), label_B, label_smoothing=self.label_smoothing), logits_BK


def _logits(network: nn.Module, inputs_B: torch.Tensor) -> torch.Tensor:
    logits_BK: torch.Tensor = network(inputs_B)
    return logits_BK


@cache
def _compiled(device_type: str) -> Callable[[nn.Module, torch.Tensor], torch.Tensor]:
    """Return `_logits`, compiled: once for all networks of one architecture, batch size and dtype.

    What was compiled is kept in the cache, for other workers and other studies. On CUDA the kernels of a pass are
    recorded and replayed as a whole (CUDA graphs); their results are overwritten by the next step.
    """
    is_recorded = device_type == "cuda"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(default_cache_dir() / "compiled"))
    from torch._dynamo import config as tracing  # noqa: PLC0415 - takes seconds, and most studies do without
    from torch._dynamo.exc import TorchDynamoException  # noqa: PLC0415 - as above
    from torch._inductor import config as compiling  # noqa: PLC0415 - as above

    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it misses CUDA wherever there is none
    # Workers are side by side already, and each ends with its study: no further processes.
    compiling.compile_threads = 1
    tracing.recompile_limit = tracing.accumulated_recompile_limit = _MOST_COMPILED
    mode = "reduce-overhead" if is_recorded else "default"
    run: Callable[[nn.Module, torch.Tensor], torch.Tensor] = torch.compile(_logits, dynamic=False, mode=mode)

    def compiled(network: nn.Module, inputs_B: torch.Tensor) -> torch.Tensor:
        if is_recorded:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        try:
            return run(network, inputs_B)
        except TorchDynamoException as error:
            raise SetupError(
                f"`compile = true`, but torch cannot compile {type(network).__name__} on this machine "
                f"({_first_line(error)}); leave `compile` out."
            ) from error

    return compiled


def _first_line(error: Exception) -> str:
    error = getattr(error, "inner_exception", error)  # what the compiler said, where it was the compiler
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
