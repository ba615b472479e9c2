from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from cnnbench.design import Probe, probe
from cnnbench.errors import SetupError
from cnnbench.plugin import Model
from cnnbench.registry import Registry
from cnnbench.spec import Ref
from cnnbench.types import Plan

MakePlan = Callable[..., Plan]


class Given(Model):
    """A network that a test makes."""

    key = "given"
    number: int

    def build(self, shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Module:
        """Return it."""
        return NETWORKS[self.number](shape_CHW, num_classes)


def _raise(*_: object) -> nn.Module:
    raise RuntimeError("the weights are not there.\nmore")


class Flattened(nn.Module):
    """Ends in a product that does not fit, outside of any layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.weight_KF = nn.Linear(4, 2)

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return self.conv(images_BCHW).flatten(1) @ self.weight_KF.weight.T


class Silent(nn.Linear):
    """Fails without a word."""

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        """Fail."""
        raise NotImplementedError


def vanishing(_: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Return a network that leaves nothing of small images."""
    stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2))
    body = nn.Sequential(nn.Conv2d(4, 8, 3), nn.MaxPool2d(2))
    return nn.Sequential(stem, body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes))


NETWORKS: list[Callable[[Any, int], nn.Module]] = [
    vanishing,
    _raise,
    lambda _, num_classes: nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, num_classes + 1)),
    lambda *_: Flattened(),
    lambda *_: nn.Sequential(nn.Flatten(), Silent(1, 1)),
    lambda shape_CHW, num_classes: nn.Sequential(nn.Flatten(), nn.Linear(3 * shape_CHW[1] ** 2, num_classes)),
    lambda *_: nn.Sequential(nn.Conv2d(3, 2, 16)),
    lambda *_: nn.Sequential(nn.Conv2D(3, 2, 16)),  # type: ignore[attr-defined]
    lambda *_: nn.Sequential(nn.Conv2d(3, 2)),  # type: ignore[call-arg]
]
VANISHING, RAISING, MISCOUNTING, UNFITTING, SILENT, BOUND, FLAT, MISSPELT, MISCALLED = range(9)


def reason(number: int, size_px: int = 16, largest_px: int = 16, trainable: Any = "all") -> str | None:
    """Return why a network cannot be trained, if it cannot."""
    return probe(Probe(Given(number=number), 3, 2, largest_px, size_px, trainable)).reason


def test_a_network_that_can_be_trained_has_its_cost_and_no_reason():
    found = probe(Probe(Given(number=VANISHING), 3, 2, 16, 16, "all"))
    assert found.reason is None
    assert found.train_flops > 0


def test_the_layer_that_a_small_image_vanishes_in_is_named_with_its_shape():
    found = reason(VANISHING, size_px=6)
    assert found is not None
    assert found.startswith("at 6 px the layer 1.0 (Conv2d) cannot take its input of 4 x 2 x 2: ")
    # The reason is torch's own, and its versions word it differently.
    assert found.endswith(("Kernel size can't be greater than actual input size.", "Output size is too small."))
    found = reason(VANISHING, size_px=8)
    assert found is not None
    assert found.startswith("at 8 px the layer 1.1 (MaxPool2d) cannot take its input of 8 x 1 x 1: ")


def test_a_network_bound_to_one_size_fails_at_another():
    assert reason(BOUND) is None
    assert re.match(r"at 8 px the layer 1 \(Linear\) cannot take its input of 192: ", str(reason(BOUND, size_px=8)))


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (RAISING, "the network cannot be built for 16 px: the weights are not there."),
        (
            MISCOUNTING,
            "at 8 px the network fails after the layer 1 (Linear): it returns (2, 3) instead of (2 images, 2 classes).",
        ),
        (SILENT, "at 8 px the layer 1 (Silent) cannot take its input of 192: NotImplementedError."),
    ],
)
def test_whatever_a_network_raises_is_the_reason(number: int, expected: str):
    size_px = 16 if number == MISCOUNTING else 8
    assert reason(number, size_px) == expected.replace("at 8 px", f"at {size_px} px")


def test_a_failure_between_layers_is_not_blamed_on_a_layer():
    assert str(reason(UNFITTING)).startswith("at 16 px the network fails after the layer conv (Conv2d): ")


def test_logits_of_another_rank_are_refused():
    assert reason(FLAT) == (
        "at 16 px the network fails after the layer 0 (Conv2d): it returns (2, 2, 1, 1) instead of (2 images, "
        "2 classes)."
    )


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        ((("body", 1.0), ("had", 1.0)), "`trainable` names the layer group `had`; the model has `body`, `head`."),
        ((("body", 0.0),), "`trainable` freezes every layer group; nothing would be trained."),
    ],
)
def test_layer_groups_that_a_model_lacks_are_told(trainable: Any, expected: str):
    assert reason(VANISHING, trainable=trainable) == expected


def flops(registry: Registry, size_px: int, trainable: Any) -> float:
    """Return the operations that a small residual network takes for one image."""
    model = registry.model(Ref(use="resnet-small", width=4))
    return probe(Probe(model, 3, 5, 32, size_px, trainable)).train_flops


def test_cost_grows_with_the_image(registry: Registry):
    # Twice the side is four times the pixels; only the head costs the same.
    assert flops(registry, 32, "all") / flops(registry, 16, "all") == pytest.approx(4, rel=0.01)


def test_a_frozen_body_costs_less(registry: Registry):
    frozen = flops(registry, 16, "head")
    assert 0 < frozen < flops(registry, 16, (("middle", 0.1), ("head", 1.0))) < flops(registry, 16, "all")
    assert frozen == flops(registry, 16, (("head", 1.0),))


def test_the_cost_of_a_known_network_is_counted_right():
    # One linear layer: forward and the gradient of its weights, 2 operations for each of its 768 x 2 weights.
    assert probe(Probe(Given(number=BOUND), 3, 2, 16, 16, "all")).train_flops == 2 * (2 * 768 * 2)


def test_a_stack_of_blocks_that_uses_up_its_image_is_left_out(plan_of: MakePlan):
    plan = plan_of(
        ('{ use = "resnet-small", depth = 8, width = 2 }', '"block-cnn"'),
        ('"model.depth"', '"model.blocks"'),
        ("levels = [8, 14]", "levels = [1, 5]"),
        ("size_px = 8", "size_px = 16"),
        prober=probe,
    )
    assert {trial.cell["depth"] for trial in plan.trials} == {1}
    assert {(one.kind, one.cell["depth"], one.reason) for one in plan.exclusions} == {
        (
            "infeasible",
            5,
            (
                "the network cannot be built for 16 px: block 3 of 5 gets images of 1 px, of which its convolution "
                "leaves 1 px and its pooling nothing; use fewer blocks or larger images."
            ),
        )
    }


class Lacking(Model):
    """A network whose library is missing."""

    key = "lacking"

    def build(self, shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Module:  # noqa: ARG002 - raises
        """Say so."""
        raise SetupError("it needs a library; install it.")


def test_what_a_user_can_mend_is_no_infeasible_size():
    with pytest.raises(SetupError, match="it needs a library"):
        probe(Probe(Lacking(), 3, 2, 16, 16, "all"))


@pytest.mark.parametrize(("number", "error"), [(MISSPELT, "AttributeError"), (MISCALLED, "TypeError")])
def test_a_slip_in_the_code_is_named_with_its_line(number: int, error: str):
    """It is no fault of the size, and whoever wrote it wants to know where."""
    source = Path(__file__).read_text("utf-8").splitlines()
    line = next(
        n
        for n, text in enumerate(source, 1)
        if f"nn.Conv2{'D' if number == MISSPELT else 'd'}(3, 2" in text and "type: ignore" in text
    )
    assert f"({error} in test_feasibility.py, line {line})." in str(reason(number))
