"""Optimizers pass their parameters on, and are fused where the device allows it."""

from __future__ import annotations

import copy

import pytest
import torch
from cnnbench_plugins.optimizers import Adam, AdamW, Sgd
from pydantic import ValidationError

from cnnbench.plugin import Optimizer, ParameterGroup


def build(optimizer: Optimizer, device: str = "cpu") -> torch.optim.Optimizer:
    return optimizer.build([ParameterGroup("head", [torch.nn.Parameter(torch.ones(3, device=device))], optimizer.lr)])


@pytest.mark.parametrize(
    ("optimizer", "torch_class", "expected"),
    [
        (
            Sgd(lr=0.3, momentum=0.8, nesterov=True, weight_decay=0.1),
            torch.optim.SGD,
            {"lr": 0.3, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
        ),
        (
            Adam(lr=0.2, beta1=0.5, beta2=0.6, eps=1e-3, weight_decay=0.1),
            torch.optim.Adam,
            {"lr": 0.2, "betas": (0.5, 0.6), "eps": 1e-3, "weight_decay": 0.1, "decoupled_weight_decay": False},
        ),
        (
            AdamW(lr=0.2, beta1=0.5, beta2=0.6, eps=1e-3, weight_decay=0.1),
            torch.optim.AdamW,
            {"lr": 0.2, "betas": (0.5, 0.6), "eps": 1e-3, "weight_decay": 0.1},
        ),
    ],
)
def test_parameters_reach_torch(
    optimizer: Optimizer, torch_class: type[torch.optim.Optimizer], expected: dict[str, object]
):
    built = build(optimizer)
    assert type(built) is torch_class
    assert {name: built.param_groups[0][name] for name in expected} == expected


@pytest.mark.parametrize("optimizer", [Sgd(), Adam(), AdamW()])
def test_the_step_is_fused_on_the_cpu(optimizer: Optimizer):
    assert build(optimizer).param_groups[0]["fused"] is True


def test_a_device_without_fused_kernels_gets_torchs_own_choice():
    assert build(Adam(), "meta").param_groups[0]["fused"] is None


@pytest.mark.parametrize("optimizer", [Sgd, Adam, AdamW])
def test_the_fused_step_agrees_with_the_plain_one(optimizer: type[Optimizer]):
    values = []
    for fused in (True, False):
        built = build(optimizer())
        built.param_groups[0]["fused"] = fused
        parameter = built.param_groups[0]["params"][0]
        for _ in range(5):
            built.zero_grad()
            (parameter**3).sum().backward()
            built.step()
        values.append(parameter.detach())
    torch.testing.assert_close(*values)


def trained(optimizer: Optimizer, steps: int, *, in_memory_order: bool, resumed_at: int = -1, layout=None):
    """Return kernels in channels-last after some steps of an optimizer, and the optimizer."""
    draw = torch.Generator().manual_seed(1)
    layers = [torch.nn.Conv2d(4, 8, 3), torch.nn.Conv2d(4, 8, 1), torch.nn.Linear(4, 2)]
    kernels = [layer.to(memory_format=torch.channels_last).weight for layer in layers]
    with torch.no_grad():
        for kernel in kernels:
            kernel.copy_(torch.randn(kernel.shape, generator=draw))
    built = optimizer.build([ParameterGroup("body", kernels, optimizer.lr)])
    if not in_memory_order:
        built._optimizer_step_pre_hooks.clear()
        built._optimizer_step_post_hooks.clear()
    for step in range(steps):
        if step == resumed_at:
            state = copy.deepcopy(built.state_dict())
            for moments in state["state"].values():
                moments.update({name: value.contiguous() for name, value in moments.items() if value is not None})
            built = optimizer.build([ParameterGroup("body", kernels, optimizer.lr)])
            built.load_state_dict(state)
        for kernel in kernels:
            gradient = torch.randn(kernel.shape, generator=draw)
            kernel.grad = gradient.to(memory_format=layout) if kernel.ndim == 4 and layout else gradient
        built.step()
    return kernels, built


OPTIMIZERS = [Sgd(momentum=0), Sgd(weight_decay=0.1), Sgd(nesterov=True), Adam(), AdamW()]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_kernels_in_memory_order_become_the_same_bits(optimizer: Optimizer):
    layout = torch.channels_last
    plain, built = trained(optimizer, 4, in_memory_order=False, layout=layout)
    faster, ours = trained(optimizer, 4, in_memory_order=True, layout=layout)

    for mine, theirs in zip(faster, plain, strict=True):
        assert torch.equal(mine, theirs)
        assert mine.stride() == theirs.stride()
        assert mine.grad is not None
        assert mine.grad.shape == mine.shape
        for name, moment in ours.state[mine].items():
            assert moment is None or torch.equal(moment, built.state[theirs][name])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("resumed_at", "layout"), [(2, torch.channels_last), (-1, None)])
def test_what_lies_in_another_order_is_added_up_rightly(
    optimizer: Optimizer, resumed_at: int, layout: torch.memory_format | None
):
    expected, _ = trained(optimizer, 4, in_memory_order=True, layout=torch.channels_last)
    kernels, _ = trained(optimizer, 4, in_memory_order=True, resumed_at=resumed_at, layout=layout)

    assert all(torch.equal(*pair) for pair in zip(kernels, expected, strict=True))


def test_no_gradient_is_copied():
    kernels, built = trained(Sgd(), 2, in_memory_order=True, layout=torch.channels_last)
    for kernel in kernels:
        kernel.grad = torch.ones_like(kernel)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        built.step()

    assert not [event.name for event in profile.events() if event.name in {"aten::clone", "aten::copy_"}]


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(ValidationError, match="needs a `momentum` above 0"):
        Sgd(momentum=0, nesterov=True)
