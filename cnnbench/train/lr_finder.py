"""The learning-rate range test.

Source: L. N. Smith, Cyclical Learning Rates for Training Neural Networks, arXiv:1506.01186, section 3.3.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import torch
    from torch import nn

    from cnnbench.spec import LrFinder

_SMOOTHING = 0.9
"""Weight of the past in the exponential average of the loss."""
_DIVERGED = 4.0
"""The test ends when the smoothed loss exceeds this multiple of its minimum."""


def find_lr(
    finder: LrFinder,
    network: nn.Module,
    make_optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    batches: Iterator[tuple[torch.Tensor, torch.Tensor]],
    loss_of: Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor],
) -> float:
    """Return the learning rate at which the loss falls fastest, from a run on a throw-away copy of the network.

    Args:
        finder: Range and number of steps.
        network: The untrained network; it is not changed.
        make_optimizer: Builds the recipe's optimizer for a network.
        batches: At least ``finder.steps`` training batches.
        loss_of: The training loss of a network on a batch.
    """
    trial_network = copy.deepcopy(network)
    optimizer = make_optimizer(trial_network)
    lrs = np.geomspace(finder.low, finder.high, finder.steps)
    smoothed: list[float] = []
    average = 0.0
    for step, (lr, (images_BCHW, label_B)) in enumerate(zip(lrs, batches, strict=False), start=1):
        for group in optimizer.param_groups:
            group["lr"] = float(lr)
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(trial_network, images_BCHW, label_B)
        value = float(loss.detach())
        if not np.isfinite(value):
            break
        average = _SMOOTHING * average + (1 - _SMOOTHING) * value
        smoothed.append(average / (1 - _SMOOTHING**step))
        if smoothed[-1] > _DIVERGED * min(smoothed):
            break
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
    return steepest_descent(lrs, np.asarray(smoothed))


def steepest_descent(lrs: np.ndarray, losses: np.ndarray) -> float:
    """Return the learning rate where the loss falls fastest per factor of the learning rate.

    There may be fewer losses than rates, where the test ended early. The search ends at the minimum of the loss; a loss
    that never falls gives the lowest rate.
    """
    end = int(losses.argmin()) + 1 if losses.size else 0
    if end < 2:
        return float(lrs[0])
    slope = np.gradient(losses[:end], np.log(lrs[:end]))
    return float(lrs[int(slope.argmin())])
