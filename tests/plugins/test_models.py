"""Architectures: counts from the papers, validation, and where they are cut into layer groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import torchvision
from cnnbench_plugins.models import BlockCnn, ResNetD, ResNetSmall, Torchvision
from cnnbench_plugins.networks.blocks import SamePadding
from pydantic import ValidationError
from torch import nn

from cnnbench.design import Probe, probe, trainable_groups
from cnnbench.plugin import component_identity

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.plugin import Model


def build(model: Model, shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Build without computing: only shapes matter."""
    with torch.device("meta"):
        return model.build(shape_CHW, num_classes)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def weighted_layers(network: nn.Module) -> int:
    return sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules())


@pytest.mark.parametrize("depth", [8, 14, 20, 56])
def test_resnet_small_has_as_many_weighted_layers_as_its_depth(depth: int):
    assert weighted_layers(build(ResNetSmall(depth=depth), (3, 32, 32), 10)) == depth


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (56, 0.85), (110, 1.7)])
def test_resnet_small_has_the_papers_number_of_parameters(depth: int, millions: float):
    """Table 6 of He et al. 2015."""
    assert count(build(ResNetSmall(depth=depth), (3, 32, 32), 10)) / 1e6 == pytest.approx(millions, rel=0.03)


@pytest.mark.parametrize("depth", [9, 10, 13, 18])
def test_a_depth_that_is_not_6n_plus_2_is_refused_with_its_neighbours(depth: int):
    lower = 8 if depth < 14 else 14
    with pytest.raises(ValidationError, match=f"use {lower} or {lower + 6}"):
        ResNetSmall(depth=depth)


def test_projection_shortcuts_add_one_convolution_for_each_change_of_shape():
    plain, projected = (
        build(ResNetSmall(depth=14, shortcut=shortcut), (1, 32, 32), 3) for shortcut in ("identity", "projection")
    )
    assert weighted_layers(projected) == weighted_layers(plain) + 2


def test_a_stem_stride_of_2_halves_the_features():
    network = build(ResNetSmall(stem_stride=2), (1, 32, 32), 3)
    assert network.get_submodule("stem")(torch.empty(1, 1, 32, 32, device="meta")).shape[2:] == (16, 16)


@pytest.mark.parametrize(
    "model", [ResNetSmall(dropout=0.5), ResNetD(dropout=0.5), Torchvision(dropout=0.5), BlockCnn(dropout=0.5)]
)
def test_dropout_acts_in_training_only(model: Model):
    network = model.build((1, 32, 32), 3)
    images_BCHW = torch.rand(4, 1, 32, 32)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0
    assert not torch.equal(network.train()(images_BCHW), network(images_BCHW))
    assert torch.equal(network.eval()(images_BCHW), network(images_BCHW))


def test_block_cnn_lacks_exactly_the_cell_that_the_paper_lacks():
    """Hudson, Methods: four blocks could not be trained on 128 px, all 15 other combinations could."""
    reasons = {}
    for blocks in (1, 2, 3, 4):
        for size_px in (128, 256, 512, 1024):
            found = probe(Probe(BlockCnn(blocks=blocks), 1, 2, size_px, size_px, "all"))
            if found.reason:
                reasons[blocks, size_px] = found.reason
    assert reasons == {
        (4, 128): "the network cannot be built for 128 px: block 4 of 4 gets images of 2 px, of which its convolution "
        "leaves 1 px and its pooling nothing; use fewer blocks or larger images."
    }


def test_block_cnn_is_the_net_of_the_public_code():
    """Convolution, ReLU, batch normalisation, pooling, dropout; flatten, 64 units, ReLU, head: counted by hand."""
    network = build(BlockCnn(blocks=3), (3, 256, 256), 2)
    blocks = [[type(layer).__name__ for layer in block] for block in network.get_submodule("blocks").children()]
    assert blocks == [["SamePadding", "Conv2d", "ReLU", "BatchNorm2d", "MaxPool2d", "Dropout"]] * 3
    convolutions = (3 * 9 + 1) * 64 + (64 * 9 + 1) * 128 + (128 * 9 + 1) * 256
    normalisations = 2 * (64 + 128 + 256)
    dense = (256 * 4 * 4 + 1) * 64 + (64 + 1) * 2
    assert count(network) == convolutions + normalisations + dense


@pytest.mark.parametrize(("side", "stride", "kernel_px"), [(8, 2, 3), (9, 2, 3), (7, 1, 4), (10, 3, 5), (6, 4, 1)])
def test_same_padding_returns_the_side_divided_by_the_stride_and_rounded_up(side: int, stride: int, kernel_px: int):
    padded = SamePadding(kernel_px, stride)(torch.empty(1, 1, side, side + 1, device="meta"))
    output = nn.functional.conv2d(padded, torch.empty(1, 1, kernel_px, kernel_px, device="meta"), stride=stride)
    assert output.shape[2:] == (-(-side // stride), -(-(side + 1) // stride))


def test_same_padding_puts_an_odd_zero_right_and_below():
    padded = SamePadding(3, 2)(torch.ones(1, 1, 4, 5))[0, 0]
    assert padded.shape == (5, 7)
    assert padded.sum(1).tolist() == [5, 5, 5, 5, 0]
    assert padded.sum(0).tolist() == [0, 4, 4, 4, 4, 4, 0]


def test_block_cnn_without_padding_and_stride_needs_less_of_the_image_than_with_stride():
    features = build(BlockCnn(blocks=3, stride=1, padding="valid"), (1, 32, 32), 2).get_submodule("blocks")
    assert features(torch.empty(2, 1, 32, 32, device="meta")).shape == (2, 256, 2, 2)


def test_block_cnn_widens_with_each_block():
    network = build(BlockCnn(blocks=3, width=8), (1, 64, 64), 2)
    assert [module.out_channels for module in network.modules() if isinstance(module, nn.Conv2d)] == [8, 16, 32]


@pytest.mark.parametrize(("depth", "millions"), [(18, 11.71), (34, 21.82), (50, 25.58), (101, 44.57), (200, 64.69)])
def test_resnet_d_has_the_size_of_other_implementations(depth: int, millions: float):
    """The numbers of timm's `resnet18d` to `resnet200d`."""
    assert count(build(ResNetD(depth=depth), (3, 224, 224), 1000)) / 1e6 == pytest.approx(millions, abs=0.01)


def test_resnet_d_averages_in_its_shortcuts_and_has_no_strided_1x1_convolution():
    modules = list(build(ResNetD(depth=50), (3, 224, 224), 2).modules())
    assert sum(isinstance(module, nn.AvgPool2d) for module in modules) == 3
    assert {module.stride for module in modules if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)} == {
        (1, 1)
    }


@pytest.mark.parametrize(
    ("name", "parameters"), [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032)]
)
def test_torchvision_networks_are_the_published_ones(name: str, parameters: int):
    """The numbers that torchvision documents for ImageNet's 1,000 classes."""
    assert count(build(Torchvision(name=name), (3, 224, 224), 1000)) == parameters


@pytest.mark.parametrize(("name", "parameters"), [("vgg11", 132_863_336), ("vgg16_bn", 138_365_992)])
def test_vgg_keeps_its_three_dense_layers(name: str, parameters: int):
    assert count(build(Torchvision(name=name), (3, 224, 224), 1000)) == parameters


def test_vgg_with_a_linear_classifier_has_the_published_size():
    """Hasan, section 2.1.2: VGG-16 with one dense layer for ten classes has 14,719,818 parameters."""
    assert count(build(Torchvision(name="vgg16", classifier="linear"), (1, 32, 32), 10)) == 14_719_818


def test_resnet50_with_a_new_head_has_the_published_size():
    """Hasan, section 2.1.3: 23,608,202 parameters, 53,120 of which are not trained.

    Keras counts the running means and variances of batch normalisation, and gives each convolution a bias, which the
    normalisation after it cancels; torchvision leaves these biases out. The paper's 23,555,062 trainable parameters are
    a misprint: the difference of its other two numbers is 23,555,082.
    """
    network = build(Torchvision(name="resnet50", dropout=0.5), (1, 32, 32), 10)
    running = sum(
        buffer.numel() for name, buffer in network.named_buffers() if name.endswith(("running_mean", "running_var"))
    )
    biases = sum(module.out_channels for module in network.modules() if isinstance(module, nn.Conv2d))
    assert running == 53_120
    assert count(network) + running + biases == 23_608_202


def test_vgg_has_dropout_of_one_half_unless_told_otherwise():
    def shares(model: Torchvision) -> list[float]:
        modules = build(model, (3, 32, 32), 2).modules()
        return [module.p for module in modules if isinstance(module, nn.Dropout)]

    assert shares(Torchvision(name="vgg11")) == [0.5, 0.5]
    assert shares(Torchvision(name="vgg11", dropout=0.2)) == [0.2, 0.2]
    assert shares(Torchvision(name="resnet18")) == [0.0]


def test_alexnet_and_googlenet_have_torchvisions_dropout_unless_told_otherwise():
    def shares(model: Torchvision) -> list[float]:
        modules = build(model, (3, 64, 64), 2).modules()
        return [module.p for module in modules if isinstance(module, nn.Dropout)]

    assert shares(Torchvision(name="alexnet")) == [0.5, 0.5, 0.0]
    assert shares(Torchvision(name="alexnet", dropout=0.3)) == [0.3] * 3
    assert shares(Torchvision(name="alexnet", classifier="linear")) == [0.5]
    assert shares(Torchvision(name="googlenet")) == [0.2]
    assert shares(Torchvision(name="googlenet", dropout=0.0)) == [0.0]


@pytest.mark.parametrize(
    ("name", "parameters"), [("alexnet", 61_100_840), ("googlenet", 6_624_904), ("vgg19", 143_667_240)]
)
def test_alexnet_googlenet_and_vgg19_have_the_published_sizes(name: str, parameters: int):
    """The numbers that torchvision documents for ImageNet's 1,000 classes."""
    assert count(build(Torchvision(name=name), (3, 224, 224), 1000)) == parameters


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "vgg11", "resnet18"])
def test_with_the_head_alone_to_train_the_last_linear_layer_learns_and_nothing_else(name: str):
    model = Torchvision(name=name)
    groups = trainable_groups(model, build(model, (3, 64, 64), 7))
    assert [tuple(one.shape) for one in groups["head"]] == [(7, groups["head"][0].shape[1]), (7,)]


def test_pretrained_weights_of_googlenet_get_the_images_that_they_were_learnt_on(tmp_path: Path):
    """From ImageNet's normalisation to -1..1, and from the published file, which holds auxiliary classifiers."""
    torch.manual_seed(2)
    published = torchvision.models.googlenet(aux_logits=True, init_weights=False).eval()
    torch.save(published.state_dict(), tmp_path / "mine.pth")
    own = Torchvision(name="googlenet", weights=str(tmp_path / "mine.pth")).build((3, 64, 64), 1000).eval()
    own.get_submodule("head").load_state_dict(published.fc.state_dict())
    images_BCHW = torch.rand(2, 3, 64, 64)
    mean_C, std_C = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised_BCHW = (images_BCHW - mean_C[:, None, None]) / std_C[:, None, None]
    with torch.no_grad():
        torch.testing.assert_close(own(normalised_BCHW), published(images_BCHW * 2 - 1), rtol=1e-4, atol=1e-4)


def test_vgg_refuses_images_below_32_px():
    network = build(Torchvision(name="vgg11"), (3, 16, 16), 2)
    with pytest.raises(RuntimeError, match="too small"):
        network(torch.empty(2, 3, 16, 16, device="meta"))


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg11", "vgg16_bn", "vgg19", "alexnet", "googlenet"])
def test_torchvisions_layer_groups_hold_every_parameter_exactly_once(name: str):
    model = Torchvision(name=name)
    network = build(model, (3, 64, 64), 4)
    groups = model.layer_groups(network)
    assert list(groups) == ["early", "middle", "head"]
    for parameter, _ in network.named_parameters():
        owners = [
            group
            for group, prefixes in groups.items()
            for prefix in prefixes
            if f"{parameter}.".startswith(f"{prefix}.")
        ]
        assert len(owners) == 1, parameter


def test_vggs_early_layers_end_with_the_third_pooling():
    model = Torchvision(name="vgg16")
    groups = model.layer_groups(build(model, (3, 64, 64), 4))
    assert (groups["early"][-1], groups["middle"][0]) == ("net.features.15", "net.features.16")


def test_gray_images_are_seen_by_all_three_input_channels():
    network = Torchvision().build((1, 32, 32), 3).eval()
    gray_BCHW = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(network(gray_BCHW), network(gray_BCHW.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize("weights", ["imagenet", "IMAGENET1K_V3", ""])
def test_unknown_weights_are_refused_with_the_known_ones(weights: str):
    with pytest.raises(ValidationError, match="`none`, `default`, `IMAGENET1K_V1`"):
        Torchvision(weights=weights)


def test_weights_that_a_network_does_not_have_are_refused():
    with pytest.raises(ValidationError, match="no weights `IMAGENET1K_V2` for resnet18"):
        Torchvision(name="resnet18", weights="IMAGENET1K_V2")


def test_the_feasibility_check_needs_no_weights():
    model = Torchvision(weights="${NO_SUCH_VARIABLE}/nowhere.pth")
    assert build(model, (3, 64, 64), 2)(torch.empty(2, 3, 64, 64, device="meta")).shape == (2, 2)


def test_a_narrower_resnet_d_has_the_same_layers_with_fewer_channels():
    wide, narrow = (build(ResNetD(depth=50, width=width), (1, 64, 64), 5) for width in (64, 16))
    of_wide, of_narrow = (
        [module.out_channels for module in network.modules() if isinstance(module, nn.Conv2d)]
        for network in (wide, narrow)
    )
    assert [4 * channels for channels in of_narrow] == of_wide
    assert weighted_layers(narrow) == weighted_layers(wide)


def test_the_width_of_resnet_d_is_even_and_no_part_of_the_identity_where_it_is_the_papers():
    with pytest.raises(ValidationError, match="`width` must be even, not 9"):
        ResNetD(width=9)
    assert "width" not in component_identity(ResNetD(width=64))
    assert component_identity(ResNetD(width=8))["width"] == 8
