"""What published datasets share."""

from __future__ import annotations

import hashlib
import urllib.error
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cnnbench_plugins.datasets import Cifar10, Mnist
from cnnbench_plugins.datasets.published import fetch, files_state, in_each_class
from torchvision.datasets import utils

from cnnbench.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    from cnnbench.plugin import Dataset


def test_a_limit_counts_for_each_class_in_each_split():
    label_N = np.array([0, 0, 0, 0, 1, 1, 0, 1, 1])
    split_N = np.array(["train"] * 6 + ["test"] * 3)
    assert in_each_class(label_N, split_N, 2).tolist() == [0, 2, 4, 5, 6, 7, 8]
    assert in_each_class(label_N, split_N, None).tolist() == list(range(9))


def test_the_state_changes_with_a_file(tmp_path: Path):
    file = tmp_path / "a"
    file.write_bytes(b"1")
    before = files_state([file])
    file.write_bytes(b"12")
    assert files_state([file]) != before


def test_a_file_that_is_there_is_not_downloaded_again(tmp_path: Path):
    (tmp_path / "a.gz").write_bytes(b"content")
    md5 = hashlib.md5(b"content", usedforsecurity=False).hexdigest()
    assert fetch("https://nowhere.invalid/a.gz", tmp_path, md5, "it") == tmp_path / "a.gz"


@pytest.mark.parametrize(
    ("dataset", "named"),
    [
        (Mnist(), ["train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", "https://"]),
        (Cifar10(), ["https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"]),
    ],
    ids=["mnist", "cifar10"],
)
def test_without_a_network_the_message_says_which_files_to_get(
    dataset: Dataset, named: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def offline(*_args: object) -> None:
        raise urllib.error.URLError("no route\nto host")

    monkeypatch.setattr(utils, "download_url", offline)
    with pytest.raises(DataError) as caught:
        dataset.load(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert all(name in message for name in [*named, "no route to host", "`path`"])


@pytest.mark.parametrize("dataset", [Mnist(), Cifar10()], ids=["mnist", "cifar10"])
def test_what_is_downloaded_has_no_state(dataset: Dataset):
    assert not dataset.source_state()
