"""Can the network learn one small batch by heart? Images, labels, network, loss and optimizer must fit for that.

Shapes: B batch, C channels, H/W pixels, K classes.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.modules.dropout import _DropoutNd

from cnnbench.design import trainable_groups
from cnnbench.doctor.check import Check, count
from cnnbench.plugin import ParameterGroup

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from cnnbench.doctor.subjects import NetworkSubject
    from cnnbench.train.loop import Training
    from cnnbench.types import Diagnosis

ONE_BATCH = Check("one-batch", "One batch can be learnt by heart")

IMAGES = 16
STEPS = 150
REFERENCE_STEPS = 300
REFERENCE_LR = 2e-3
ENOUGH = 0.95
_STEADY = 2
"""Steps in a row that must be right: a lucky step is none."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    accuracy: float
    """Of the last step."""
    steps: int
    learnt: bool
    in_time: bool


def check_batch(subject: NetworkSubject, training: Training, seconds: float) -> Diagnosis:
    """Train on one batch, without dropout and augmentation, with the study's optimizer, then with Adam as a reference.

    The network of ``training`` is afterwards the one that was trained.
    """
    started = time.perf_counter()
    size_px = max(phase.size_px for phase in training.recipe.phases)
    index_B = _balanced(training, IMAGES)
    images_BCHW, label_B = training.examples.images(size_px).batch(torch.from_numpy(index_B), (), None)
    untrained = copy.deepcopy(training.network)

    def own(network: nn.Module) -> torch.optim.Optimizer:
        groups = trainable_groups(training.model, network)
        lr = training.recipe.phases[0].lr or training.base_lr
        return training.optimizer_component.build(
            [ParameterGroup(name, parameters, lr) for name, parameters in groups.items() if parameters]
        )

    def reference(network: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(network.parameters(), lr=REFERENCE_LR)

    def attempt(make: Callable[[nn.Module], torch.optim.Optimizer], steps: int, until: float) -> _Attempt:
        training.network = copy.deepcopy(untrained)
        return _learn(training, make(training.network), (images_BCHW, label_B), steps, until)

    first = attempt(own, STEPS, started + seconds / 2)
    what = f"{count(len(index_B), 'image')} at {size_px} px"
    if first.learnt:
        evidence = f"{what} learnt in {count(first.steps, 'step')}."
        return ONE_BATCH.says("ok", subject.name, evidence, numbers={"accuracy": first.accuracy, "steps": first.steps})
    second = attempt(reference, REFERENCE_STEPS, started + seconds)
    numbers = {"accuracy": first.accuracy, "steps": first.steps, "reference_accuracy": second.accuracy}
    tried = f"{what}: accuracy {first.accuracy:.2f} after {count(first.steps, 'step')} with the study's optimizer"
    if second.learnt:
        evidence = f"{tried}; Adam with rate {REFERENCE_LR:g} learns them in {count(second.steps, 'step')}."
        if not first.in_time:
            return ONE_BATCH.says("ok", subject.name, evidence, numbers=numbers)
        remedy = "Look at the learning rate: it is too low to move, or so high that training jumps about."
        return ONE_BATCH.says("warning", subject.name, evidence, remedy, numbers=numbers)
    evidence = f"{tried}, {second.accuracy:.2f} after {count(second.steps, 'step')} with Adam."
    if not (first.in_time and second.in_time):
        remedy = "Give the checks that train more seconds with --budget, or a GPU with --device."
        return ONE_BATCH.says("not applicable", subject.name, f"{evidence} There was no time for more.", remedy)
    return ONE_BATCH.says(
        "fault",
        subject.name,
        f"{evidence} What cannot learn {len(index_B)} images by heart cannot learn a dataset.",
        "Look for images that look alike or carry contradicting labels, for layers without a gradient (detached, dead, "
        "frozen), and for outputs that are squeezed before the loss.",
        numbers=numbers,
    )


def _balanced(training: Training, num: int) -> np.ndarray:
    """Return training examples that take turns between the classes."""
    train = training.examples.parts.train
    label_N = training.dataset.labels_N()[train]
    order = np.argsort(label_N, kind="stable")
    first = np.searchsorted(label_N[order], label_N[order])
    turn = np.empty(len(train), np.int64)
    turn[order] = np.arange(len(train)) - first
    return train[np.lexsort((label_N, turn))[:num]]


def _learn(
    training: Training,
    optimizer: torch.optim.Optimizer,
    batch: tuple[torch.Tensor, torch.Tensor],
    steps: int,
    until: float,
) -> _Attempt:
    network, (images_BCHW, label_B) = training.network, batch
    network.requires_grad_(requires_grad=True)
    network.train()
    for module in network.modules():
        if isinstance(module, _DropoutNd):
            module.eval()
    accuracy, steady = 0.0, 0
    for step in range(steps):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(training.device.type, torch.bfloat16, enabled=training.recipe.precision == "bf16"):
            logits_BK = network(images_BCHW).float()
        loss = torch.nn.functional.cross_entropy(logits_BK, label_B)
        if not math.isfinite(float(loss.detach())) or not loss.requires_grad:
            return _Attempt(accuracy, step, learnt=False, in_time=True)
        accuracy = float((logits_BK.argmax(dim=1) == label_B).float().mean())
        steady = steady + 1 if accuracy >= ENOUGH else 0
        if steady == _STEADY:
            return _Attempt(accuracy, step + 1, learnt=True, in_time=True)
        if time.perf_counter() > until:
            return _Attempt(accuracy, step + 1, learnt=False, in_time=False)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
    return _Attempt(accuracy, steps, learnt=False, in_time=True)
