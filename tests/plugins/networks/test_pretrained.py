"""Where weights come from, and what is said when they cannot come."""

from __future__ import annotations

import hashlib
import re
import urllib.error
from typing import TYPE_CHECKING

import pytest
import torch
import torchvision
from cnnbench_plugins.models import Torchvision
from cnnbench_plugins.networks.pretrained import RepeatablePool

from cnnbench.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

SHAPE_CHW = (3, 32, 32)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    weights: dict[str, torch.Tensor] = torchvision.models.resnet18().state_dict()
    return weights


@pytest.fixture(scope="module")
def file(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "mine.pth"
    torch.save(state, path)
    return path


def test_weights_from_a_file_are_in_the_network(
    file: Path, state: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MY_WEIGHTS", str(file.parent))
    network = Torchvision(weights="${MY_WEIGHTS}/mine.pth").build(SHAPE_CHW, 2)
    built = network.state_dict()
    expected = {f"net.{name}": value for name, value in state.items() if not name.startswith("fc.")}
    assert all(torch.equal(built[name], value) for name, value in expected.items())
    assert set(built) - set(expected) == {"head.weight", "head.bias"}


def test_a_file_whose_name_carries_a_hash_is_checked(file: Path):
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    right, wrong = file.with_name(f"resnet18-{digest[:8]}.pth"), file.with_name("resnet18-00000000.pth")
    right.hardlink_to(file)
    wrong.hardlink_to(file)
    Torchvision(weights=str(right)).build(SHAPE_CHW, 2)
    with pytest.raises(DataError, match="is damaged: its SHA-256 does not begin with 00000000"):
        Torchvision(weights=str(wrong)).build(SHAPE_CHW, 2)


def test_a_missing_file_is_named(tmp_path: Path):
    missing = tmp_path / "gone.pth"
    with pytest.raises(DataError, match=re.escape(f"there is no weights file {missing}")):
        Torchvision(weights=str(missing)).build(SHAPE_CHW, 2)


def test_a_file_that_is_no_weights_is_named(tmp_path: Path):
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"not a file of torch")
    with pytest.raises(DataError, match="is no file of weights"):
        Torchvision(weights=str(broken)).build(SHAPE_CHW, 2)


def test_code_in_a_file_of_weights_is_not_run(tmp_path: Path):
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, ("raise SystemExit",)

    torch.save(Harm(), tmp_path / "harm.pth")
    with pytest.raises(DataError, match="can load safely"):
        Torchvision(weights=str(tmp_path / "harm.pth")).build(SHAPE_CHW, 2)


@pytest.mark.parametrize("wrong", [torchvision.models.resnet34, None])
def test_weights_of_another_network_are_refused(tmp_path: Path, wrong: object):
    path = tmp_path / "other.pth"
    torch.save(wrong().state_dict() if callable(wrong) else torch.ones(2), path)
    with pytest.raises(DataError, match="holds no weights of torchvision's resnet18"):
        Torchvision(weights=str(path)).build(SHAPE_CHW, 2)


@pytest.mark.parametrize(
    ("name", "weights", "published"),
    [
        ("resnet18", "IMAGENET1K_V1", "resnet18-f37072fd.pth"),
        ("resnet50", "default", "resnet50-11ad3fa6.pth"),
        ("alexnet", "default", "alexnet-owt-7be5be79.pth"),
        ("googlenet", "default", "googlenet-1378be20.pth"),
    ],
)
def test_without_a_network_the_message_says_which_file_to_get(
    monkeypatch: pytest.MonkeyPatch, name: str, weights: str, published: str
):
    def offline(*_args: object, **_kwargs: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(DataError) as caught:
        Torchvision(name=name, weights=weights).build(SHAPE_CHW, 2)
    message = str(caught.value)
    assert f"https://download.pytorch.org/models/{published}" in message
    assert f'weights = "/path/to/{published}"' in message
    assert "\n" not in message


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 7), (8, 14), (10, 6)])
def test_the_repeatable_pool_computes_what_torchs_does(size: tuple[int, int]):
    features_BCHW = torch.rand(2, 3, *size)
    torch.testing.assert_close(RepeatablePool(7)(features_BCHW), torch.nn.AdaptiveAvgPool2d(7)(features_BCHW))
