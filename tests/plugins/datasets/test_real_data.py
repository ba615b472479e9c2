"""Published datasets, where the environment variable CNNBENCH_DATA names a folder that holds them."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cnnbench_plugins.datasets import ImageFolder

if TYPE_CHECKING:
    from cnnbench.plugin import ImageArrays


def load(name: str) -> ImageArrays:
    folder = os.environ.get("CNNBENCH_DATA")
    if not folder or not (Path(folder) / name).exists():
        pytest.skip(f"CNNBENCH_DATA does not name a folder with {name}")
    return ImageFolder(path=f"${{CNNBENCH_DATA}}/{name}").load(Path(folder))


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
