from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from torch import nn

from cnnbench.design import build_network, group_multipliers, trainable_groups
from cnnbench.plugin import Model


class Grouped(Model):
    """A network of three layers, in groups that a test chooses."""

    key = "grouped"
    groups: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def build(self, shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Module:
        """Return it."""
        layers = {
            "in": nn.Linear(shape_CHW[1], 4),
            "act": nn.ReLU(),
            "in2": nn.Linear(4, 4),
            "out": nn.Linear(4, num_classes),
        }
        network = nn.Sequential()
        for name, layer in layers.items():
            network.add_module(name, layer)
        return network

    def layer_groups(self, network: nn.Module) -> Mapping[str, Sequence[str]]:
        """Return the chosen groups, or the default."""
        return dict(self.groups) or super().layer_groups(network)


def names(model: Model) -> dict[str, list[str]]:
    """Return the names of the parameters in each group."""
    network = build_network(model, 3, 8, 2)
    by_identity = {id(parameter): name for name, parameter in network.named_parameters()}
    return {
        group: [by_identity[id(parameter)] for parameter in parameters]
        for group, parameters in trainable_groups(model, network).items()
    }


def test_a_network_is_built_for_square_images_of_its_classes():
    network = build_network(Grouped(), 3, 8, 2)
    assert (network.get_submodule("in").in_features, network.get_submodule("out").out_features) == (8, 2)


def test_by_default_the_last_layer_with_parameters_is_the_head():
    assert names(Grouped()) == {
        "body": ["in.weight", "in.bias", "in2.weight", "in2.bias"],
        "head": ["out.weight", "out.bias"],
    }


def test_a_prefix_ends_where_a_name_ends():
    assert names(Grouped(groups=(("a", ("in",)), ("b", ("in2.weight",)), ("c", ("in2.bias", "out"))))) == {
        "a": ["in.weight", "in.bias"],
        "b": ["in2.weight"],
        "c": ["in2.bias", "out.weight", "out.bias"],
    }


@pytest.mark.parametrize(
    ("groups", "parameter", "count"),
    [
        ((("a", ("in", "in2")),), "out.weight", 0),
        ((("a", ("in", "in2", "out")), ("b", ("out",))), "out.weight", 2),
    ],
)
def test_groups_must_hold_each_parameter_once(
    groups: tuple[tuple[str, tuple[str, ...]], ...], parameter: str, count: int
):
    with pytest.raises(ValueError, match="layer groups") as caught:
        names(Grouped(groups=groups))
    assert str(caught.value) == (
        f"model `grouped`: the parameter `{parameter}` is in {count} layer groups; `layer_groups` must hold each "
        "parameter exactly once."
    )


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ("all", {"early": 1.0, "middle": 1.0, "head": 1.0}),
        ("head", {"early": 0.0, "middle": 0.0, "head": 1.0}),
        ({"middle": 0.5, "early": 2}, {"early": 2.0, "middle": 0.5, "head": 0.0}),
    ],
)
def test_each_group_has_its_multiplier(trainable: str | dict[str, float], expected: dict[str, float]):
    assert group_multipliers({"early": [], "middle": [], "head": []}, trainable) == expected


@pytest.mark.parametrize(
    ("trainable", "sentence"),
    [
        ({"haed": 1.0}, "`trainable` names the layer group `haed`; the model has `body`, `head`."),
        ({"head": 0.0}, "`trainable` freezes every layer group; nothing would be trained."),
        ({}, "`trainable` freezes every layer group; nothing would be trained."),
    ],
)
def test_multipliers_that_cannot_be_are_refused(trainable: dict[str, float], sentence: str):
    with pytest.raises(ValueError, match="trainable") as caught:
        group_multipliers({"body": [], "head": []}, trainable)
    assert str(caught.value) == sentence
