"""Published datasets, where the environment variable CNNBENCH_DATA names a folder that holds them."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cnnbench_plugins.datasets import Cifar10, ImageFolder, Mnist

if TYPE_CHECKING:
    from cnnbench.plugin import ImageArrays


def there(name: str) -> str:
    folder = os.environ.get("CNNBENCH_DATA")
    if not folder or not (Path(folder) / name).exists():
        pytest.skip(f"CNNBENCH_DATA does not name a folder with {name}")
    return f"${{CNNBENCH_DATA}}/{name}"


def load(name: str) -> ImageArrays:
    return ImageFolder(path=there(name)).load(Path())


def test_neu_steel_surfaces():
    arrays = load("steel_neu/neu_surface_defects.zip")
    assert arrays.class_names == (
        "crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches"
    )  # fmt: skip
    assert np.bincount(arrays.label_N).tolist() == [300] * 6
    assert arrays.images[0].shape == (3, 200, 200)


def test_hymenoptera_with_its_own_splits():
    arrays = load("bees_hymenoptera/hymenoptera.zip")
    assert arrays.split_N is not None
    names = [arrays.class_names[label] for label in arrays.label_N]
    assert Counter(zip(arrays.split_N.tolist(), names, strict=True)) == {
        ("train", "ants"): 123,
        ("train", "bees"): 121,
        ("validation", "ants"): 70,
        ("validation", "bees"): 83,
    }
    assert len({image.shape for image in arrays.images}) > 10


def test_uc_merced():
    arrays = load("aerial_ucmerced/ucmerced16.zip")
    assert np.bincount(arrays.label_N).tolist() == [100] * 16
    assert arrays.split_N is None


def test_chest_x_rays_are_gray():
    arrays = load("xray_covid/covid_xray3.zip")
    assert np.bincount(arrays.label_N).tolist() == [124, 500, 500]
    assert arrays.images[0].shape[0] == 1


def test_mnist():
    arrays = Mnist(path=there("mnist")).load(Path())
    assert arrays.split_N is not None
    counts = {split: np.bincount(arrays.label_N[arrays.split_N == split]).tolist() for split in ("train", "test")}
    assert counts == {
        "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    }
    assert arrays.images[0].shape == (1, 28, 28)


def test_cifar10_with_fewer_images():
    arrays = Cifar10(path=there("cifar10/cifar-10-batches-py-subset.tar.gz")).load(Path())
    assert arrays.split_N is not None
    assert np.bincount(arrays.label_N[arrays.split_N == "train"]).tolist() == [
        981, 1003, 994, 982, 1033, 969, 999, 988, 1045, 1006
    ]  # fmt: skip
    assert Counter(arrays.split_N.tolist()) == {"train": 10_000, "test": 1_000}
    assert (arrays.class_names[0], arrays.class_names[-1]) == ("airplane", "truck")
    mean_C = np.stack(list(arrays.images)).mean((0, 2, 3)) / 255
    assert mean_C == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.005)


def test_chest_x_rays_by_patient():
    """Of the NIH's 1,000 images 682 patients are known; each of the 124 others stands for itself."""
    arrays = ImageFolder(path=there("xray_covid/covid_xray3.zip"), group=r"^(\d{8})_").load(Path())
    assert arrays.group_N is not None
    assert len(set(arrays.group_N.tolist())) == 682 + 124
    by_class = [set(arrays.group_N[arrays.label_N == label].tolist()) for label in range(3)]
    assert [len(groups) for groups in by_class] == [124, 332, 371]
    assert len(by_class[1] & by_class[2]) == 21
