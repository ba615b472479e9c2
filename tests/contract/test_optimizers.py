"""What holds for every optimizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from cnnbench.plugin import ParameterGroup

if TYPE_CHECKING:
    from cnnbench.plugin import Optimizer

TARGET = 3.0


def groups() -> list[ParameterGroup]:
    body, head = (nn.Parameter(torch.linspace(-1, 1, count)) for count in (4, 2))
    return [ParameterGroup("body", [body], 0.01), ParameterGroup("head", [head], 0.02)]


def train(optimizer: torch.optim.Optimizer, steps: int) -> list[torch.Tensor]:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for _ in range(steps):
        optimizer.zero_grad()
        torch.stack([((parameter - TARGET) ** 2).sum() for parameter in parameters]).sum().backward()
        optimizer.step()
    return [parameter.detach().clone() for parameter in parameters]


def test_it_has_a_base_learning_rate(optimizer: Optimizer):
    assert optimizer.lr > 0


def test_there_is_one_torch_group_for_each_group_in_order_at_its_rate(optimizer: Optimizer):
    given = groups()
    built = optimizer.build(given)
    assert [group["lr"] for group in built.param_groups] == [0.01, 0.02]
    assert [group["params"][0] is own.parameters[0] for group, own in zip(built.param_groups, given, strict=True)]


def test_it_comes_closer_to_the_minimum(optimizer: Optimizer):
    start = [group.parameters[0].detach().clone() for group in groups()]
    end = train(optimizer.build(groups()), 50)
    assert all((after - TARGET).norm() < (before - TARGET).norm() for before, after in zip(start, end, strict=True))


def test_a_rate_of_zero_moves_nothing(optimizer: Optimizer):
    built = optimizer.build(groups())
    start = train(built, 0)
    for group in built.param_groups:
        group["lr"] = 0.0
    assert all(torch.equal(before, after) for before, after in zip(start, train(built, 3), strict=True))


def test_its_state_goes_on_bit_for_bit_in_another_one(optimizer: Optimizer):
    uninterrupted = train(optimizer.build(groups()), 8)
    first, given = optimizer.build(groups()), groups()
    halfway = train(first, 4)
    for group, values in zip(given, halfway, strict=True):
        group.parameters[0].data.copy_(values)
    second = optimizer.build(given)
    second.load_state_dict(first.state_dict())
    assert all(torch.equal(one, other) for one, other in zip(uninterrupted, train(second, 4), strict=True))
