"""Nothing within an epoch waits for the device.

Torch's meta device stands in for a GPU: it has no values, so whatever reads one raises an error; and copies to it can
be watched.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cnnbench.data.batches import Normalization, TrainingData
from cnnbench.environment import tune_torch
from cnnbench.execute import Session
from cnnbench.registry import Registry
from cnnbench.spec import Ref
from cnnbench.train.loop import Training

DEVICE = torch.device("meta")
COPIES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}


class Copies(TorchDispatchMode):
    """Notes the copies to the device for which the CPU would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_for = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        result = func(*args, **kwargs)
        # A scalar on the CPU is an argument of a kernel; everything else that is not there has to be sent.
        from_here = any(one.device.type == "cpu" and one.ndim for one in tensors)
        involved = [*tensors, *(one for one in tree_leaves(result) if isinstance(one, torch.Tensor))]
        is_there = any(one.device == DEVICE for one in involved)
        is_fetched_by_itself = func in COPIES and (
            kwargs.get("non_blocking", False) or any(one is True for one in args)
        )
        self.waited_for += from_here and is_there and not is_fetched_by_itself
        return result


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    tune_torch()


@pytest.fixture(params=["resident", "fetched"])
def training(request: pytest.FixtureRequest, session: Session, registry: Registry, monkeypatch: pytest.MonkeyPatch):
    free = 2**40 if request.param == "resident" else 0
    monkeypatch.setattr("cnnbench.data.batches._free_bytes", lambda _: free)
    # A mean over the training part is taken on the CPU before there is anything on the device.
    trial = session.plan.trials[0]
    prepared = Training(trial, registry, session.datasets[trial.data_fingerprint], DEVICE)
    assert prepared.examples.images(8).is_fetched == (free == 0)
    return prepared


def test_an_epoch_neither_reads_nor_waits(training: Training):
    phase = training.recipe.phases[0]
    training.enter_phase(phase)

    with Copies() as copies:
        sums = training.steps(phase, 0, 0)

    assert copies.waited_for == 0
    assert sums.loss.device == sums.hits.device == DEVICE


def test_the_watcher_sees_what_waits():
    here, there, index = torch.ones(3), torch.ones(3, device=DEVICE), torch.tensor([0, 2])
    with Copies() as copies:
        here.to(DEVICE, non_blocking=True)
        there.copy_(here, non_blocking=True)
        there + torch.tensor(2.0)
    assert copies.waited_for == 0
    waits = (lambda: here.to(DEVICE), lambda: there.copy_(here), lambda: there[index])
    for wait in waits:
        with Copies() as copies:
            wait()
        assert copies.waited_for == 1
    with Copies() as copies:
        there[:] = here
    assert copies.waited_for == 1
    with pytest.raises(RuntimeError, match="meta"):
        float(torch.ones((), device=DEVICE))


def test_no_augmentation_waits(registry: Registry):
    label_N = torch.arange(12).numpy() % 3
    images_NCHW = torch.randint(256, (12, 3, 16, 16), dtype=torch.uint8).numpy()
    plain = Normalization.of("none", images_NCHW, label_N)
    data = TrainingData(images_NCHW, label_N, plain, DEVICE)
    data.images_NCHW = data.images_NCHW.to(DEVICE)
    keys = {entry.component.key for entry in registry.entries() if entry.kind == "augmentation"}
    assert {"crop", "flip", "gaussian-noise", "distort"} <= keys
    for key in sorted(keys):
        augmentation = registry.augmentation(Ref(use=key))
        index_B = torch.arange(6)
        with Copies() as copies:
            images_BCHW, _ = data.batch(index_B, [augmentation], torch.Generator().manual_seed(0))
        assert copies.waited_for == 0, key
        assert images_BCHW.shape == (6, 3, 16, 16)
