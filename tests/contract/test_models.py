"""What holds for every model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from cnnbench.plugin import Model

SIZES_PX = (8, 16, 32, 64)
NUM_CLASSES = 5


def build(model: Model, shape_CHW: tuple[int, int, int], seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return model.build(shape_CHW, NUM_CLASSES)


def feasible_sizes_px(model: Model, channels: int) -> list[int]:
    """Ask the meta device, as the design does."""
    sizes = []
    for size in SIZES_PX:
        try:
            with torch.device("meta"):
                logits_BK = build(model, (channels, size, size))(torch.empty(2, channels, size, size))
        except (RuntimeError, ValueError):
            continue
        assert logits_BK.shape == (2, NUM_CLASSES)
        sizes.append(size)
    return sizes


@pytest.mark.parametrize("channels", [1, 3])
def test_every_size_that_is_feasible_on_the_meta_device_gives_logits_on_the_cpu(model: Model, channels: int):
    sizes_px = feasible_sizes_px(model, channels)
    assert 64 in sizes_px
    for size in sizes_px:
        logits_BK = build(model, (channels, size, size))(torch.rand(2, channels, size, size))
        assert (logits_BK.shape, logits_BK.dtype) == ((2, NUM_CLASSES), torch.float32)
        assert torch.isfinite(logits_BK).all()


def test_the_layer_groups_hold_every_parameter_exactly_once(model: Model):
    network = build(model, (3, 64, 64))
    groups = model.layer_groups(network)
    for name, _ in network.named_parameters():
        owners = [
            group
            for group, prefixes in groups.items()
            if any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)
        ]
        assert len(owners) == 1, name


def test_the_last_layer_group_is_the_classifier(model: Model):
    network = build(model, (3, 64, 64))
    *_, head = model.layer_groups(network).values()
    weights = dict(network.named_parameters())
    last = list(weights)[-1]
    assert any(last.startswith(f"{prefix}.") for prefix in head)
    assert weights[last].shape[0] == NUM_CLASSES


@pytest.mark.parametrize("training", [False, True])
def test_the_chain_computes_what_the_network_computes(model: Model, training: bool):  # noqa: FBT001 - a parameter
    network = build(model, (1, 64, 64)).train(training)
    chain = torch.nn.Sequential(*model.chain(network))
    if len(chain) == 0:
        pytest.skip("this network cannot be written so")
    images_BCHW = torch.rand(4, 1, 64, 64)
    outputs = []
    for callable_ in (network, chain):
        torch.manual_seed(3)  # dropout
        outputs.append(callable_(images_BCHW))
    assert torch.equal(*outputs)
    own, chained = ({id(one) for one in module.parameters()} for module in (network, chain))
    assert own == chained


def test_the_init_seed_decides_the_weights(model: Model):
    first, same, other = (build(model, (1, 64, 64), seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_every_parameter_learns(model: Model):
    network = build(model, (1, 64, 64))
    torch.nn.functional.cross_entropy(network(torch.rand(8, 1, 64, 64)), torch.arange(8) % NUM_CLASSES).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_the_images_are_left_as_they_are(model: Model):
    images_BCHW = torch.rand(2, 3, 64, 64)
    kept_BCHW = images_BCHW.clone()
    build(model, (3, 64, 64))(images_BCHW)
    assert torch.equal(images_BCHW, kept_BCHW)


def test_channels_last_images_give_the_same_logits(model: Model):
    network = build(model, (3, 64, 64)).eval()
    images_BCHW = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected_BK = network(images_BCHW)
        logits_BK = network(images_BCHW.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(logits_BK, expected_BK, rtol=1e-3, atol=1e-4)
