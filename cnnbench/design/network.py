"""Build a network and find what a phase trains; shared by the feasibility check and the training loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from cnnbench.plugin import Model


def build_network(model: Model, channels: int, size_px: int, num_classes: int) -> nn.Module:
    """Return a new network for square images of the largest size that a trial uses."""
    return model.build((channels, size_px, size_px), num_classes)


def trainable_groups(model: Model, network: nn.Module) -> dict[str, list[nn.Parameter]]:
    """Return the parameters of each layer group, in the model's order.

    Raises:
        ValueError: The model's groups do not hold each parameter exactly once.
    """
    groups = {name: tuple(prefixes) for name, prefixes in model.layer_groups(network).items()}
    members: dict[str, list[nn.Parameter]] = {name: [] for name in groups}
    for parameter_name, parameter in network.named_parameters():
        owners = [
            name
            for name, prefixes in groups.items()
            if any(parameter_name == prefix or parameter_name.startswith(f"{prefix}.") for prefix in prefixes)
        ]
        if len(owners) != 1:
            raise ValueError(
                f"model `{model.key}`: the parameter `{parameter_name}` is in {len(owners)} layer groups; "
                "`layer_groups` must hold each parameter exactly once."
            )
        members[owners[0]].append(parameter)
    return members


def group_multipliers(groups: Mapping[str, object], trainable: str | Mapping[str, float]) -> dict[str, float]:
    """Return the learning-rate multiplier of each layer group in a phase; 0 means frozen.

    Raises:
        ValueError: ``trainable`` names a group that the model does not have, or leaves nothing to train.
    """
    names = list(groups)
    if trainable == "all":
        return dict.fromkeys(names, 1.0)
    if trainable == "head":
        return {name: float(name == names[-1]) for name in names}
    assert not isinstance(trainable, str)  # noqa: S101 - the recipe admits no other text
    unknown = [name for name in trainable if name not in groups]
    if unknown:
        known = ", ".join(f"`{name}`" for name in names)
        raise ValueError(f"`trainable` names the layer group `{unknown[0]}`; the model has {known}.")
    multipliers = {name: float(trainable.get(name, 0.0)) for name in names}
    if not any(multipliers.values()):
        raise ValueError("`trainable` freezes every layer group; nothing would be trained.")
    return multipliers
