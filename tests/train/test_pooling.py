"""Pooling before a ReLU changes no bit of anything."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from cnnbench.plugin import Model
from cnnbench.train.pooling import pool_before_relu

POOLINGS = st.builds(
    lambda kernel, stride, padding, ceil: nn.MaxPool2d(kernel, stride, min(padding, kernel // 2), ceil_mode=ceil),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 1),
    st.booleans(),
)


def network(pooling: nn.MaxPool2d, *, in_place: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(in_place), pooling),
        nn.Sequential(nn.Conv2d(5, 4, 3, padding=1), nn.ReLU(in_place), copy.deepcopy(pooling), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    ).to(memory_format=torch.channels_last)


def step(net: nn.Module, images_BCHW: torch.Tensor, *, bf16: bool = False) -> list[torch.Tensor]:
    """Return the output and every gradient."""
    images_BCHW = images_BCHW.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        output = net(images_BCHW)
    output.float().square().sum().backward()
    gradients = [parameter.grad for parameter in net.parameters()]
    return [output.detach(), *(grad for grad in [images_BCHW.grad, *gradients] if grad is not None)]


def bits(tensors: list[torch.Tensor]) -> list[bytes]:
    # There are many NaN, and which of them a calculation returns is the processor's business.
    one_nan = [tensor.masked_fill(tensor.isnan(), torch.nan).contiguous() for tensor in tensors]
    return [tensor.flatten().view(torch.uint8).numpy().tobytes() for tensor in one_nan]


@given(
    pooling=POOLINGS,
    in_place=st.booleans(),
    bf16=st.booleans(),
    seed=st.integers(0, 2**16),
    factor=st.sampled_from([1.0, 0.0, float("nan")]),
)
def test_outputs_and_gradients_are_the_same_bits(
    pooling: nn.MaxPool2d, *, in_place: bool, bf16: bool, seed: int, factor: float
):
    plain = network(pooling, in_place=in_place)
    images_BCHW = torch.randn(2, 3, 30, 29, generator=torch.Generator().manual_seed(seed))
    images_BCHW[:, :, 13:] *= factor  # many equal values: none, one and all of a window's are positive or tied
    faster = copy.deepcopy(plain)
    pool_before_relu(faster)

    assert bits(step(faster, images_BCHW, bf16=bf16)) == bits(step(plain, images_BCHW, bf16=bf16))


def test_the_relu_gets_what_is_pooled_and_modules_stay_where_they_are():
    net = network(nn.MaxPool2d(2))
    order, names = list(net[0]), list(net.state_dict())
    pool_before_relu(net)
    sizes: list[int] = []

    class Spy(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None) -> object:
            if func is nn.functional.relu:
                sizes.append(args[0].shape[-1])
            return func(*args, **(kwargs or {}))

    with Spy():
        net(torch.randn(2, 3, 8, 8))

    assert sizes == [4, 2, 2]  # the last one stands after the pooling anyway
    assert list(net[0]) == order
    assert list(net.state_dict()) == names
    assert torch.equal(net[0][:3](torch.ones(2, 3, 8, 8)), net[0][2](net[0][1](net[0][0](torch.ones(2, 3, 8, 8)))))


def test_a_copy_uses_its_own_layers():
    net = network(nn.MaxPool2d(2))
    pool_before_relu(net)
    copied = copy.deepcopy(net)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()

    assert bits(step(copied, torch.ones(2, 3, 8, 8))) != bits(step(net, torch.ones(2, 3, 8, 8)))


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net[2].register_forward_hook(lambda *_: None),
        lambda net: net[3].register_forward_pre_hook(lambda *_: None),
        lambda net: setattr(net, "2", nn.LeakyReLU(-0.5)),
        lambda net: setattr(net, "2", type("OwnReLU", (nn.ReLU,), {})()),
        lambda net: setattr(net, "3", nn.AvgPool2d(2)),
        lambda net: setattr(net, "3", nn.MaxPool2d(2, dilation=2)),
        lambda net: setattr(net, "3", nn.MaxPool2d(2, return_indices=True)),
        lambda net: (setattr(net, "1", nn.Identity()), setattr(net, "2", nn.ReLU(inplace=True))),
        lambda net: (net[1].register_forward_hook(lambda *_: None), setattr(net, "2", nn.ReLU(inplace=True))),
    ],
    ids=[
        "hook",
        "pre-hook",
        "LeakyReLU",
        "own class",
        "mean",
        "dilated",
        "indices",
        "in place of an input",
        "in place of what a hook sees",
    ],
)
def test_what_may_differ_is_left_alone(change: Callable[[nn.Sequential], object]):
    block = network(nn.MaxPool2d(2))[0]
    assert isinstance(block, nn.Sequential)
    change(block)
    pool_before_relu(block)

    assert "forward" not in vars(block)


def test_a_network_does_not_outlive_its_last_name():
    net = network(nn.MaxPool2d(2))
    pool_before_relu(net)
    block = weakref.ref(net[0])
    gc.disable()
    try:
        del net
        assert block() is None
    finally:
        gc.enable()


def test_a_layer_may_stand_in_several_places():
    relu, images_BCHW = nn.ReLU(), torch.randn(2, 3, 8, 8)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 4, 3), relu, nn.MaxPool2d(2))
    faster = copy.deepcopy(plain)
    pool_before_relu(faster)

    assert "forward" in vars(faster)
    assert bits(step(faster, images_BCHW)) == bits(step(plain, images_BCHW))
    assert list(Net().chain(plain)) == list(plain)


class Net(Model):
    """A model with the default chain."""

    key = "net"

    def build(self, shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Module:
        raise NotImplementedError


def test_a_way_that_a_sequential_was_given_stays():
    block = network(nn.MaxPool2d(2))[0]
    given_way = block.forward = lambda images_BCHW: images_BCHW
    pool_before_relu(block)

    assert block.forward is given_way


def test_a_sequential_with_a_way_of_its_own_keeps_it():
    class Backwards(nn.Sequential):
        def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - as torch calls it
            for layer in reversed(self):
                input = layer(input)  # noqa: A001 - as above
            return input

    net = Backwards(nn.ReLU(), nn.MaxPool2d(2))
    pool_before_relu(net)

    assert "forward" not in vars(net)
