"""The embedded photographs."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cnnbench_plugins.datasets import Textures
from cnnbench_plugins.datasets.textures import _patches
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path


def test_the_data_are_those_whose_hashes_the_attribution_states():
    folder = files("cnnbench_plugins") / "data"
    attribution = (folder / "ATTRIBUTION.md").read_text("utf-8")
    names = [entry.name for entry in folder.iterdir() if entry.name != "ATTRIBUTION.md"]
    assert len(names) == 4
    for name in names:
        assert f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}" in attribution


@pytest.mark.parametrize(("patch_px", "count"), [(32, 256), (64, 64), (100, 25)])
def test_each_photograph_gives_its_whole_patches(tmp_path: Path, patch_px: int, count: int):
    arrays = Textures(patch_px=patch_px).load(tmp_path)
    assert np.bincount(arrays.label_N).tolist() == [count] * 3
    assert {image.shape for image in arrays.images} == {(1, patch_px, patch_px)}


def test_patches_side_by_side_are_the_photograph_so_none_overlap():
    patches = _patches("brick", 64).reshape(8, 8, 64, 64).swapaxes(1, 2).reshape(512, 512)
    photograph = np.asarray(Image.open(str(files("cnnbench_plugins") / "data" / "brick.png")))
    assert np.array_equal(patches, photograph)


def test_mean_and_contrast_do_not_tell_the_class(tmp_path: Path):
    arrays = Textures().load(tmp_path)
    images_NHW = np.stack(list(arrays.images))[:, 0].astype(float)
    for value_N in (images_NHW.mean(axis=(1, 2)), images_NHW.std(axis=(1, 2))):
        assert np.ptp([value_N[arrays.label_N == label].mean() for label in range(3)]) < 0.5


def test_noise_is_drawn_from_the_seed(tmp_path: Path):
    first, same, other, none = (
        np.stack(list(Textures(noise=noise, seed=seed).load(tmp_path).images)).astype(float)
        for noise, seed in ((1.0, 1), (1.0, 1), (1.0, 2), (0.0, 1))
    )
    assert np.array_equal(first, same)
    assert np.abs(first - other).mean() > 10
    assert np.abs(first - none).mean() > 10


def test_own_splits_are_bands_of_the_photographs(tmp_path: Path):
    arrays = Textures().load(tmp_path)
    assert arrays.split_N is not None
    for label in range(3):
        bands = arrays.split_N[arrays.label_N == label].tolist()
        assert bands == ["train"] * 160 + ["validation"] * 48 + ["test"] * 48


def test_a_limit_spreads_over_the_photograph(tmp_path: Path):
    limited, everything = (Textures(limit_per_class=limit, noise=0).load(tmp_path) for limit in (16, 256))
    assert np.array_equal(limited.images[1], everything.images[16])
    assert np.bincount(limited.label_N).tolist() == [16] * 3
