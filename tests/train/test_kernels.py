"""A kernel without the weights that meet padding alone gives the same results."""

from __future__ import annotations

import copy
import gc
import io
import weakref
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

from cnnbench.train.kernels import crop_kernels

SIZES = st.tuples(st.integers(1, 6), st.integers(1, 6))
PAIRS = {low: st.tuples(st.integers(low, 3), st.integers(low, 3)) for low in (0, 1)}


def step(layer: nn.Module, images_BCYX: torch.Tensor, *, bf16: bool = False) -> list[torch.Tensor]:
    """Return the output and every gradient."""
    images_BCYX = images_BCYX.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        output = layer(images_BCYX)
    output.float().square().sum().backward()
    gradients = [parameter.grad for parameter in layer.parameters()]
    return [output.detach().float(), *(grad for grad in [images_BCYX.grad, *gradients] if grad is not None)]


def seen_by(layer: nn.Module, images_BCYX: torch.Tensor) -> list[tuple[int, ...]]:
    """Return the sizes of the kernels that convolutions get."""
    sizes: list[tuple[int, ...]] = []

    class Spy(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function is torch.nn.functional.conv2d:
                sizes.append(tuple(args[1].shape[2:]))
            return function(*args, **(kwargs or {}))

    with Spy():
        layer(images_BCYX)
    return sizes


@given(
    size=SIZES,
    kernel=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    stride=PAIRS[1],
    padding=PAIRS[0],
    dilation=PAIRS[1],
    groups=st.sampled_from([1, 2, 4]),
    bias=st.booleans(),
    channels_last=st.booleans(),
)
def test_outputs_and_gradients_are_the_same(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    *,
    bias: bool,
    channels_last: bool,
):
    spans = [(reach - 1) * gap + 1 for reach, gap in zip(kernel, dilation, strict=True)]
    assume(all(one + 2 * pad >= span for one, pad, span in zip(size, padding, spans, strict=True)))
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 4, kernel, stride, padding, dilation, groups, bias)
    images_BCYX = torch.randn(3, 4, *size)
    if channels_last:
        plain = plain.to(memory_format=torch.channels_last)
        images_BCYX = images_BCYX.contiguous(memory_format=torch.channels_last)
    cropped = copy.deepcopy(plain)
    crop_kernels(cropped)

    for ours, theirs in zip(step(cropped, images_BCYX), step(plain, images_BCYX), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert plain.weight.grad is not None
    assert cropped.weight.grad is not None
    assert cropped.weight.grad.stride() == plain.weight.stride()  # else it would be copied
    assert bool((cropped.weight.grad[plain.weight.grad == 0] == 0).all())


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(32, 64, 3, padding=1), nn.Conv2d(32, 32, 3, 2, 1, groups=32), nn.Conv2d(32, 64, 3, 2, 1, bias=False)],
)
@pytest.mark.parametrize("size", [1, 2])
def test_bf16_is_as_exact_as_it_is(layer: nn.Conv2d, size: int):
    torch.manual_seed(0)
    images_BCYX = torch.randn(16, 32, size, size).contiguous(memory_format=torch.channels_last)
    plain = copy.deepcopy(layer).to(memory_format=torch.channels_last)
    cropped = copy.deepcopy(plain)
    crop_kernels(cropped)
    for ours, exact in zip(step(cropped, images_BCYX, bf16=True), step(plain, images_BCYX), strict=True):
        assert float((ours - exact).abs().max()) < 0.02 * float(exact.abs().max())


def test_weights_that_meet_padding_alone_stay_as_they_are_in_bf16():
    """Of this layer torch 2.15 returns whatever was in memory as a gradient of such weights, once in four times."""
    layer = nn.Conv2d(4, 4, (2, 2), (2, 3), (0, 1), groups=2).to(memory_format=torch.channels_last)
    crop_kernels(layer)
    images_BCYX = torch.randn(3, 4, 2, 1).contiguous(memory_format=torch.channels_last)
    for number in range(1, 40):
        torch.full((2, 64), 1e20 * number)  # what will lie in memory
        layer.zero_grad()
        step(layer, images_BCYX, bf16=True)
        assert layer.weight.grad is not None
        assert not layer.weight.grad[..., 0].any()


@pytest.mark.parametrize(
    ("layer", "size", "used"),
    [
        (nn.Conv2d(4, 4, 3, padding=1), (1, 1), (1, 1)),
        (nn.Conv2d(4, 4, 3, padding=1), (1, 5), (1, 3)),
        (nn.Conv2d(4, 4, 3, padding=1, stride=2), (2, 2), (2, 2)),
        (nn.Conv2d(4, 4, 3, padding=1), (2, 2), (3, 3)),
        (nn.Conv2d(4, 4, 7, padding=3, groups=4), (2, 3), (3, 5)),
        (nn.Conv2d(4, 4, 3, padding=2, dilation=2), (2, 2), (1, 1)),
        # The weight in the middle alone would meet the image three times; the three of them do it once.
        (nn.Conv2d(4, 4, 3, padding=1, dilation=2), (3, 3), (3, 3)),
        # The following are left alone.
        (nn.Conv2d(4, 4, 1), (1, 1), (1, 1)),
        (nn.Conv2d(4, 4, 3, padding="same"), (1, 1), (3, 3)),
        (nn.Conv2d(4, 4, 3, padding=1, padding_mode="replicate"), (1, 1), (3, 3)),
    ],
)
def test_the_weights_that_meet_the_image_are_used(layer: nn.Conv2d, size: tuple[int, int], used: tuple[int, int]):
    names = list(layer.state_dict())
    crop_kernels(layer)
    assert seen_by(layer, torch.zeros(2, 4, *size)) == [used]
    assert list(layer.state_dict()) == names


class Standardized(nn.Conv2d):
    """A convolution of somebody's own."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name
        return self._conv_forward(input, self.weight - self.weight.mean(), self.bias)


def test_classes_with_a_convolution_of_their_own_are_left_alone():
    layer = Standardized(4, 4, 3, padding=1)
    crop_kernels(layer)
    assert seen_by(layer, torch.zeros(2, 4, 1, 1)) == [(3, 3)]


def test_parametrized_weights_are_cropped_after_their_parametrization():
    torch.manual_seed(0)
    plain = parametrizations.weight_norm(nn.Conv2d(4, 4, 3, padding=1))
    cropped = copy.deepcopy(plain)
    crop_kernels(cropped)
    images_BCYX = torch.randn(2, 4, 1, 1)

    assert seen_by(cropped, images_BCYX) == [(1, 1)]
    for ours, theirs in zip(step(cropped, images_BCYX), step(plain, images_BCYX), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_network_can_be_copied_saved_and_forgotten():
    net = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1))
    crop_kernels(net)
    crop_kernels(net)  # twice is once
    images_BCYX = torch.randn(2, 4, 1, 1)
    copied = copy.deepcopy(net)
    with torch.no_grad():
        net[0].weight.zero_()
    assert float(copied(images_BCYX).detach().abs().max()) > float(net(images_BCYX).detach().abs().max())
    stored = io.BytesIO()
    torch.save(copied, stored)
    stored.seek(0)
    assert torch.equal(torch.load(stored, weights_only=False)(images_BCYX), copied(images_BCYX))

    gc.collect()
    gc.disable()
    try:
        gone = weakref.ref(net[0])
        del net
        assert gone() is None  # nothing that it knows knows it
    finally:
        gc.enable()


def test_gradients_of_gradients():
    torch.manual_seed(0)
    layer = nn.Conv2d(2, 2, 3, padding=1).double()
    crop_kernels(layer)
    images_BCYX = torch.randn(2, 2, 1, 2, dtype=torch.float64, requires_grad=True)
    weight = layer.weight.detach().clone().requires_grad_()

    def run(images_BCYX: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = torch.func.functional_call(layer, {"weight": weight}, (images_BCYX,))
        return output.square()

    assert torch.autograd.gradgradcheck(run, (images_BCYX, weight))
