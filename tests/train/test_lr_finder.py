from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from cnnbench.spec import LrFinder
from cnnbench.train.lr_finder import find_lr, steepest_descent


def test_the_steepest_descent_per_factor_of_the_rate_is_taken():
    lrs = np.geomspace(1e-5, 1, 50)
    losses = 1 - 1 / (1 + (1e-2 / lrs) ** 2)

    assert steepest_descent(lrs, losses) == pytest.approx(1e-2, rel=0.3)


def test_what_comes_after_the_minimum_does_not_count():
    lrs = np.geomspace(1e-4, 1, 9)
    losses = np.array([5.0, 4.9, 4.0, 3.9, 3.8, 9.0, 8.0, 2e3, 1.0e3])

    assert steepest_descent(lrs, losses) < lrs[5]


@pytest.mark.parametrize("losses", [[1.0, 2.0], [1.0, 2.0, 2.1], [1.0, 3.0, 2.0, 2.5]])
def test_a_loss_that_never_falls_below_its_first_gives_the_lowest_rate(losses: list[float]):
    assert steepest_descent(np.geomspace(0.01, 1, len(losses)), np.array(losses)) == 0.01


def test_a_loss_that_is_not_finite_from_the_start_gives_the_lowest_rate():
    network = torch.nn.Linear(4, 2)
    batch = torch.full((16, 4), torch.nan), torch.randint(0, 2, (16,))

    lr = find_lr(
        LrFinder(low=1e-4, high=1.0),
        network,
        lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
        itertools.repeat(batch),
        lambda model, inputs, label_B: torch.nn.functional.cross_entropy(model(inputs), label_B),
    )

    assert lr == 1e-4


def test_the_network_is_left_as_it_was_and_divergence_ends_the_test():
    torch.manual_seed(0)
    network = torch.nn.Linear(4, 2)
    before = [parameter.clone() for parameter in network.parameters()]
    seen: list[float] = []
    batch = torch.randn(16, 4), torch.randint(0, 2, (16,))

    def loss_of(model: torch.nn.Module, inputs: torch.Tensor, label_B: torch.Tensor) -> torch.Tensor:
        loss = torch.nn.functional.cross_entropy(model(inputs), label_B)
        seen.append(float(loss.detach()))
        return loss

    def make_optimizer(model: torch.nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), lr=0.1)

    lr = find_lr(LrFinder(low=1e-4, high=1e4, steps=60), network, make_optimizer, itertools.repeat(batch), loss_of)

    assert 1e-4 <= lr < 1e4
    assert len(seen) < 60
    assert all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))
