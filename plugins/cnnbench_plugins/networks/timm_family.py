"""Networks of the library timm, with a head of their own and with weights from the network or from a file.

Shapes: B batch, C channels, H/W pixels, K classes.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from cnnbench.errors import DataError, SetupError
from cnnbench_plugins.networks.pretrained import check_hash
from cnnbench_plugins.paths import expand_path

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["TimmNetwork", "build_timm", "timm_layer_groups"]


class TimmNetwork(nn.Module):
    """A network of timm; ``B x C x H x W`` to ``B x K``. One channel is given to all three for which it was made."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        if images_BCHW.shape[1] == 1:
            images_BCHW = images_BCHW.expand(-1, 3, -1, -1)
        return cast("torch.Tensor", self.net(images_BCHW))


def build_timm(name: str, weights: str, size_px: int, num_classes: int, dropout: float) -> TimmNetwork:
    """Return a network with a new head, and with weights below it; on the meta device without them.

    Raises:
        SetupError: timm is not installed, or has no network of that name.
        DataError: The weights can neither be found nor downloaded, or belong to another network.
    """
    timm = _library()
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=1)
        hint = f"did you mean `{near[0]}`?" if near else "`timm.list_models()` lists all."
        raise SetupError(f"timm {timm.__version__} has no network `{name}`; {hint}")
    options: dict[str, Any] = {"num_classes": num_classes, "drop_rate": dropout}
    config = timm.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size:
        options["img_size"] = size_px
    on_meta_device = torch.empty(0).is_meta  # a feasibility check: shapes only, there is nothing to fill
    if weights == "none" or on_meta_device:
        return TimmNetwork(timm.create_model(name, **options))
    net = _downloaded(timm, name, options) if weights == "default" else _from_file(timm, name, weights, options)
    if config is not None and config.num_classes == num_classes:
        net.reset_classifier(num_classes)  # else timm takes the published head along
    return TimmNetwork(net)


def _library() -> ModuleType:
    try:
        return import_module("timm")
    except ImportError as error:
        raise SetupError(
            f"the model `timm` needs the library timm ({error}); install it with `pip install cnnbench[timm]`."
        ) from error


def _downloaded(timm: ModuleType, name: str, options: dict[str, Any]) -> Any:
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise DataError(f'timm has no weights for {name}; use `weights = "none"`, or name a file of your own.')
    page = f"https://huggingface.co/{config.hf_hub_id}" if config.hf_hub_id else ""
    file = "model.safetensors" if page else str(config.url).rpartition("/")[2]
    try:
        return timm.create_model(name, pretrained=True, **options)
    except Exception as error:  # the hub's client raises errors of several libraries
        detail = " ".join(str(error).split())[:160]
        raise DataError(
            f"the weights of {name} could not be downloaded ({detail}); get `{file}` from {page or config.url} "
            f'elsewhere, put it anywhere on this machine, and name it in the study: `weights = "/path/to/{file}"`.'
        ) from error


def _from_file(timm: ModuleType, name: str, weights: str, options: dict[str, Any]) -> Any:
    path = expand_path(weights)
    if not path.is_file():
        raise DataError(f"there is no weights file {path}; correct `weights`, or use `default` to download.")
    check_hash(path)
    try:
        state = timm.models.load_state_dict(str(path), weights_only=True)
    except ImportError as error:
        raise SetupError(f"{path} needs the library safetensors; install it with `pip install safetensors`.") from error
    except Exception as error:  # a broken file makes the readers raise whatever they stumble on
        raise DataError(f"{path} is no file of weights that can be loaded safely; get it again.") from error
    try:
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"state_dict": state}, **options)
    except Exception as error:  # timm looks into the weights before it loads them
        detail = " ".join(str(error).split())[:160]
        raise DataError(f"{path} holds no weights of timm's {name} ({detail}).") from error


def timm_layer_groups(network: nn.Module) -> dict[str, list[str]]:
    """Return the names of all parameters, by group: the two halves of timm's layers, and the head."""
    net: Any = network.get_submodule("net")
    classifier = net.pretrained_cfg["classifier"]
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    layers: dict[int, list[str]] = import_module("timm.models").group_parameters(net, net.group_matcher(coarse=True))
    of_head = {
        name for names in layers.values() for name in names if any(name.startswith(f"{head}.") for head in heads)
    }
    body = [[f"net.{name}" for name in names if name not in of_head] for _, names in sorted(layers.items())]
    body = [names for names in body if names]
    half = (len(body) + 1) // 2
    return {
        "early": [name for names in body[:half] for name in names],
        "middle": [name for names in body[half:] for name in names],
        "head": [f"net.{head}" for head in heads],
    }
