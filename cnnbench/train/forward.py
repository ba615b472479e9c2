"""The way of a training batch through a network, to its loss.

Shapes: B batch, C channels, H/W pixels, K classes.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional

from cnnbench.data import default_cache_dir
from cnnbench.errors import SetupError
from cnnbench.train.evaluate import autocast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        """Return the mean loss of a batch, and its logits (B x K) as the network gives them."""
        logits_of = _compiled() if self.is_compiled else _logits
        with autocast(self.device, self.precision):
            logits_BK = logits_of(network, inputs_B)
        return functional.cross_entropy(logits_BK.float(), label_B, label_smoothing=self.label_smoothing), logits_BK


def _logits(network: nn.Module, inputs_B: torch.Tensor) -> torch.Tensor:
    logits_BK: torch.Tensor = network(inputs_B)
    return logits_BK


@contextmanager
def compiling_explained(network: nn.Module) -> Iterator[None]:
    """Turn what torch says when it cannot compile a network into a sentence.

    Raises:
        SetupError: The network cannot be compiled on this machine.
    """
    from torch._dynamo.exc import TorchDynamoException  # noqa: PLC0415 - takes seconds, and most studies do without

    try:
        yield
    except TorchDynamoException as error:
        raise SetupError(
            f"`compile = true`, but torch cannot compile {type(network).__name__} on this machine "
            f"({_first_line(error)}); leave `compile` out."
        ) from error


@cache
def _compiled() -> Callable[[nn.Module, torch.Tensor], torch.Tensor]:
    """Return `_logits`, compiled: once for all networks of one architecture, batch size and dtype.

    What was compiled is kept in the cache, for other workers and other studies. Torch could also record the kernels of
    a pass on a GPU (CUDA graphs); but its recordings belong to the addresses of one network's parameters, so that each
    trial would be recorded anew within its clock, beside those of all trials before it.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(default_cache_dir() / "compiled"))
    from torch._dynamo import config as tracing  # noqa: PLC0415 - takes seconds, and most studies do without
    from torch._inductor import config as compiling  # noqa: PLC0415 - as above

    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it misses CUDA wherever there is none
    # Workers are side by side already, and each ends with its study: no further processes.
    compiling.compile_threads = 1
    tracing.recompile_limit = tracing.accumulated_recompile_limit = _MOST_COMPILED
    run: Callable[[nn.Module, torch.Tensor], torch.Tensor] = torch.compile(_logits, dynamic=False)
    return run


def _first_line(error: Exception) -> str:
    error = getattr(error, "inner_exception", error)  # what the compiler said, where it was the compiler
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
