"""The procedural figures."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, get_args

import numpy as np
import pytest
from cnnbench_plugins.datasets import Shapes
from cnnbench_plugins.datasets.shapes import Kind, _outline
from pydantic import ValidationError

from cnnbench.plugin import component_identity

if TYPE_CHECKING:
    from pathlib import Path


def images_NHW(shapes: Shapes, tmp_path: Path) -> np.ndarray:
    return np.stack(list(shapes.load(tmp_path).images))[:, 0]


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_has_the_area_of_the_unit_disc(kind: Kind):
    angle = np.linspace(0, 2 * np.pi, 100_000, endpoint=False)
    area = (_outline(kind, angle) ** 2 / 2).mean() * 2 * np.pi
    assert area == pytest.approx(np.pi, rel=1e-3)


def test_brightness_does_not_tell_the_class(tmp_path: Path):
    arrays = Shapes(noise=0).load(tmp_path)
    mean_N = np.array([image.mean() for image in arrays.images])
    of_class = [mean_N[arrays.label_N == label] for label in range(4)]
    spread = np.std([values.mean() for values in of_class])
    assert spread < np.std(mean_N) / 4


def test_examples_are_shared_evenly(tmp_path: Path):
    arrays = Shapes(examples=10, kinds=("star", "disc", "cross")).load(tmp_path)
    assert np.bincount(arrays.label_N).tolist() == [4, 3, 3]
    assert arrays.class_names == ("star", "disc", "cross")


@pytest.mark.parametrize("size_px", [16, 33, 64])
def test_images_have_the_size_asked_for(tmp_path: Path, size_px: int):
    assert images_NHW(Shapes(size_px=size_px, examples=4), tmp_path).shape == (4, size_px, size_px)


def test_everything_is_drawn_from_the_seed(tmp_path: Path):
    first, same, other = (images_NHW(Shapes(examples=8, seed=seed), tmp_path) for seed in (1, 1, 2))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_the_pictures_stay_what_they_are(tmp_path: Path):
    """Finished trials are reused by the fingerprint of the pixels, so a change here must be on purpose."""
    arrays = Shapes(examples=100).load(tmp_path)
    digest = hashlib.sha256(b"".join(image.tobytes() for image in arrays.images)).hexdigest()
    assert digest[:16] == "0bbea93769167ef8"


def test_figures_are_dark_and_bright_on_gray(tmp_path: Path):
    clean_NHW = images_NHW(Shapes(examples=4, noise=0), tmp_path)
    assert set(np.unique(clean_NHW[0])) >= {128}
    assert clean_NHW.min() < 64
    assert clean_NHW.max() > 192


def test_a_kind_named_twice_is_refused():
    with pytest.raises(ValidationError, match="names one more than once"):
        Shapes(kinds=("disc", "star", "disc"))


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValidationError, match="'triangle', 'square'"):
        Shapes.model_validate({"kinds": ["disc", "blob"]})


def test_classes_may_have_different_sizes_in_every_stretch_of_images(tmp_path: Path):
    label_N = Shapes(examples=200, shares=(0.5, 0.3, 0.15, 0.05)).load(tmp_path).label_N
    assert np.bincount(label_N).tolist() == [100, 60, 30, 10]
    assert np.bincount(label_N[:40], minlength=4) == pytest.approx([20, 12, 6, 2], abs=1)


def test_shares_that_do_not_fit_the_kinds_are_refused():
    for shares in ((1.0, 2.0), (1.0, 1.0, 1.0, 0.0)):
        with pytest.raises(ValidationError, match="a number above 0 for each of the 4 kinds"):
            Shapes(shares=shares)


def test_shares_that_are_not_given_are_no_part_of_the_identity():
    assert "shares" not in component_identity(Shapes())
