"""timm's networks: heads, channels, groups, weights, and what is said when something is missing."""

from __future__ import annotations

import builtins
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
from cnnbench_plugins.models import ResNetD, Timm
from pydantic import ValidationError

from cnnbench.errors import DataError, SetupError

if TYPE_CHECKING:
    from pathlib import Path

SHAPE_CHW = (3, 64, 64)


def test_without_the_library_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(SetupError, match=r"needs the library timm .*; install it with `pip install cnnbench\[timm\]`"):
        Timm().build(SHAPE_CHW, 2)


def test_weights_are_a_word_that_is_known_or_a_file():
    assert Timm(weights="~/mine.safetensors").weights == "~/mine.safetensors"
    with pytest.raises(ValidationError, match="there are no weights `imagenet`; use `none`, `default`, or a file"):
        Timm(weights="imagenet")


@pytest.fixture
def timm() -> Any:
    return pytest.importorskip("timm")


@pytest.mark.parametrize("depth", [18, 50])
def test_resnet_d_of_both_libraries_has_the_same_parameters(timm: Any, depth: int):  # noqa: ARG001 - must be there
    def shapes(model: Timm | ResNetD) -> list[tuple[int, ...]]:
        with torch.device("meta"):
            return sorted(tuple(value.shape) for value in model.build(SHAPE_CHW, 4).parameters())

    assert shapes(Timm(name=f"resnet{depth}d")) == shapes(ResNetD(depth=depth))


def test_residual_networks_are_cut_after_their_second_stage(timm: Any):  # noqa: ARG001 - must be there
    model = Timm(name="resnet18d")
    groups = model.layer_groups(model.build(SHAPE_CHW, 2))
    assert list(groups) == ["early", "middle", "head"]
    assert {name.split(".")[1] for name in groups["early"]} == {"conv1", "bn1", "layer1", "layer2"}
    assert {name.split(".")[1] for name in groups["middle"]} == {"layer3", "layer4"}
    assert groups["head"] == ["net.fc"]


@pytest.mark.parametrize("name", ["resnet10t", "test_vit", "test_efficientnet"])
@pytest.mark.parametrize("channels", [1, 3])
def test_other_families_have_heads_groups_and_any_channels_too(timm: Any, name: str, channels: int):
    if not timm.is_model(name):
        pytest.skip(f"this timm has no {name}")
    model = Timm(name=name, dropout=0.1)
    network = model.build((channels, 96, 96), 3).eval()
    assert network(torch.rand(2, channels, 96, 96)).shape == (2, 3)
    grouped = [name for names in model.layer_groups(network).values() for name in names]
    owners = {
        name: sum(name == own or name.startswith(f"{own}.") for own in grouped)
        for name, _ in network.named_parameters()
    }
    assert set(owners.values()) == {1}


def test_a_name_that_timm_does_not_have_is_told_with_its_likeness(timm: Any):  # noqa: ARG001 - must be there
    with pytest.raises(SetupError, match=r"has no network `resnet18dd`; did you mean `resnet18d`\?"):
        Timm(name="resnet18dd").build(SHAPE_CHW, 2)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("num_classes", [4, 1000])
def test_weights_from_a_file_are_below_a_new_head(timm: Any, tmp_path: Path, suffix: str, num_classes: int):
    torch.manual_seed(3)
    state = timm.create_model("resnet10t").state_dict()
    path = tmp_path / f"mine.{suffix}"
    if suffix == "pth":
        torch.save(state, path)
    else:
        pytest.importorskip("safetensors.torch").save_file(state, path)
    torch.manual_seed(4)

    built = Timm(name="resnet10t", weights=str(path)).build(SHAPE_CHW, num_classes).state_dict()

    same = {
        name
        for name, value in state.items()
        if torch.equal(built[f"net.{name}"].reshape(-1)[:9], value.reshape(-1)[:9])
    }
    assert set(state) - same <= {"fc.weight", "fc.bias"}
    assert "fc.weight" not in same
    assert built["net.fc.weight"].shape[0] == num_classes


def test_files_that_hold_no_such_weights_are_told_apart(timm: Any, tmp_path: Path):
    torch.save(timm.create_model("resnet18d").state_dict(), tmp_path / "other.pth")
    (tmp_path / "broken.pth").write_bytes(b"not a file of torch")
    for name, message in (
        ("other.pth", "holds no weights of timm's resnet10t"),
        ("broken.pth", "is no file of weights"),
        ("gone.pth", "there is no weights file"),
    ):
        with pytest.raises(DataError, match=message):
            Timm(name="resnet10t", weights=str(tmp_path / name)).build(SHAPE_CHW, 2)


def test_code_in_a_file_of_weights_is_not_run(timm: Any, tmp_path: Path):  # noqa: ARG001 - must be there
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return builtins.exec, ("raise SystemExit",)

    torch.save(Harm(), tmp_path / "harm.pth")
    with pytest.raises(DataError, match="is no file of weights"):
        Timm(name="resnet10t", weights=str(tmp_path / "harm.pth")).build(SHAPE_CHW, 2)


def test_without_a_network_the_message_says_which_file_to_get_and_how_to_name_it(
    timm: Any, monkeypatch: pytest.MonkeyPatch
):
    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(DataError) as caught:
        Timm(name="resnet18d", weights="default").build(SHAPE_CHW, 2)
    message = str(caught.value)
    assert "could not be downloaded (no route to host); get `" in message
    assert "resnet18d" in message
    assert 'weights = "/path/to/' in message
    assert "\n" not in message
    assert timm.get_pretrained_cfg("resnet18d").has_weights


def test_on_the_meta_device_no_weights_are_fetched(timm: Any):  # noqa: ARG001 - must be there
    with torch.device("meta"):
        network = Timm(name="resnet18d", weights="/nowhere/x.pth").build(SHAPE_CHW, 2)
    assert all(value.is_meta for value in network.parameters())
