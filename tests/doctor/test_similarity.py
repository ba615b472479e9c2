from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cnnbench.doctor import similarity
from cnnbench.doctor.similarity import find_copies, signatures_NP

SIDE_PX = 48


def scenes(num: int, seed: int = 0) -> np.ndarray:
    """Smooth random pictures with some grain: neighbouring pixels are alike, pictures are not."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (num, 6, 6), dtype=np.uint8)
    smooth = [np.asarray(Image.fromarray(one).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)) for one in coarse]
    grain = rng.normal(0, 6, (num, SIDE_PX, SIDE_PX))
    return np.clip(np.stack(smooth) + grain, 0, 255).astype(np.uint8)[:, None]


def hashes(images_NCHW: np.ndarray) -> np.ndarray:
    return np.array([hash(image.tobytes()) % 2**63 for image in images_NCHW], np.uint64)


def groups(images_NCHW: np.ndarray) -> list[tuple[tuple[int, ...], bool]]:
    found = find_copies(images_NCHW, images_NCHW, hashes(images_NCHW))
    return [(group.members, group.identical) for group in found]


def compressed(image_CHW: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image_CHW[0]).save(buffer, "JPEG", quality=40)
    return np.asarray(Image.open(buffer))[None]


def resized(image_CHW: np.ndarray) -> np.ndarray:
    small = Image.fromarray(image_CHW[0]).resize((32, 32), Image.Resampling.BILINEAR)
    return np.asarray(small.resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR))[None]


def darker(image_CHW: np.ndarray) -> np.ndarray:
    return (image_CHW * 0.6).astype(np.uint8)


def grainy(image_CHW: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(9).normal(0, 8, image_CHW.shape)
    return np.clip(image_CHW + noise, 0, 255).astype(np.uint8)


def moved(image_CHW: np.ndarray) -> np.ndarray:
    return np.roll(image_CHW, 1, axis=2)


def test_identical_images_are_found_however_many():
    images_NCHW = scenes(30)
    images_NCHW[[4, 9, 25]] = images_NCHW[4]
    images_NCHW[[7, 8]] = images_NCHW[8]

    assert groups(images_NCHW) == [((4, 9, 25), True), ((7, 8), True)]


@pytest.mark.parametrize("change", [compressed, resized, darker, grainy, moved], ids=lambda change: change.__name__)
def test_a_changed_copy_is_found(change):
    images_NCHW = scenes(60)
    images_NCHW[50] = change(images_NCHW[3])

    assert groups(images_NCHW) == [((3, 50), False)]


def test_several_changed_copies_are_one_group():
    images_NCHW = scenes(60)
    for index, change in ((41, compressed), (42, resized), (43, grainy)):
        images_NCHW[index] = change(images_NCHW[3])

    assert groups(images_NCHW) == [((3, 41, 42, 43), False)]


def test_copies_of_an_image_that_is_there_twice_join_its_group():
    images_NCHW = scenes(40)
    images_NCHW[20] = images_NCHW[3]
    images_NCHW[30] = compressed(images_NCHW[3])

    assert groups(images_NCHW) == [((3, 20, 30), False)]


def test_look_alikes_are_no_copies():
    """Pictures of one kind correlate by more than 0.98, as handwritten ones do, and still none is a copy."""
    base = scenes(1)[0].astype(float)
    rng = np.random.default_rng(3)
    images_NCHW = np.clip(base + rng.normal(0, 7, (80, 1, SIDE_PX, SIDE_PX)), 0, 255).astype(np.uint8)
    signature_NP = signatures_NP(images_NCHW)
    assert (signature_NP[0] @ signature_NP[1:].T).min() > similarity.LEAST_ALIKE

    assert groups(images_NCHW) == []


def test_images_are_compared_across_blocks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(similarity, "_BLOCK", 16)
    images_NCHW = scenes(70)
    images_NCHW[69] = compressed(images_NCHW[1])
    seen = []

    found = find_copies(images_NCHW, images_NCHW, hashes(images_NCHW), lambda done, total: seen.append((done, total)))

    assert [group.members for group in found] == [(1, 69)]
    assert seen == [(16, 70), (32, 70), (48, 70), (64, 70), (70, 70)]


def test_blank_images_are_like_nothing():
    images_NCHW = scenes(20)
    images_NCHW[5], images_NCHW[6] = 0, 200

    assert groups(images_NCHW) == []


@pytest.mark.parametrize("num", [1, 2, 3])
def test_a_few_images_are_compared_too(num: int):
    assert groups(scenes(num)) == []
    assert groups(np.repeat(scenes(1), num, axis=0)) == ([(tuple(range(num)), True)] if num > 1 else [])


@given(st.floats(0.3, 1.0), st.integers(0, 70), st.integers(1, 60))
def test_a_signature_does_not_depend_on_brightness_and_contrast(contrast: float, brightness: int, side: int):
    image = np.random.default_rng(side).integers(0, 180, (1, 3, side, side)).astype(float)
    pair = np.concatenate([image, image * contrast + brightness])
    signature_NP = signatures_NP(pair)  # values, not bytes: nothing is rounded

    expected = 0.0 if side == 1 else 1.0
    assert signature_NP[0] @ signature_NP[1] == pytest.approx(expected, abs=1e-4)
    assert signature_NP.shape[1] == min(side, similarity.SIGNATURE_PX) ** 2
