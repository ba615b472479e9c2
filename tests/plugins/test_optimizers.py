"""Optimizers pass their parameters on, and are fused where the device allows it."""

from __future__ import annotations

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


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(ValidationError, match="needs a `momentum` above 0"):
        Sgd(momentum=0, nesterov=True)
