from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest

from cnnbench.data import prepare
from cnnbench.errors import DataError, StoreError
from cnnbench.plugin import Dataset, ImageArrays


class Ragged(Dataset):
    """Images of three sizes and two classes; counts how often it is decoded."""

    key = "ragged"
    num: int = 6
    channels: int = 1
    loads: ClassVar[list[int]] = []

    def load(self, cache: Path) -> ImageArrays:
        assert cache.is_dir()
        self.loads.append(self.num)
        rng = np.random.default_rng(0)
        shapes = [(self.channels, 8, 8), (self.channels, 10, 20), (self.channels, 30, 12)]
        images = [rng.integers(0, 256, shapes[i % 3], dtype=np.uint8) for i in range(self.num)]
        return ImageArrays(images, np.arange(self.num) % 2, ("even", "odd"))


class Broken(Dataset):
    """Returns what it is told to."""

    key = "broken"
    arrays: ClassVar[ImageArrays]

    def load(self, cache: Path) -> ImageArrays:
        assert cache.is_dir()
        return self.arrays


GOOD = np.zeros((4, 1, 8, 8), np.uint8)


def test_images_are_kept_as_uint8_at_every_size(tmp_path: Path):
    prepared = prepare(Ragged(), [8, 12], "crop", tmp_path)

    for size in (8, 12):
        images_NCHW = prepared.images_NCHW(size, "crop")
        assert images_NCHW.dtype == np.uint8
        assert images_NCHW.shape == (6, 1, size, size)
    assert prepared.labels_N().tolist() == [0, 1, 0, 1, 0, 1]
    assert (prepared.info.min_side_px, prepared.info.max_side_px) == (8, 30)
    assert prepared.info.class_counts == (3, 3)


def test_a_dataset_is_decoded_once_and_again_only_for_new_sizes(tmp_path: Path):
    Ragged.loads.clear()

    first = prepare(Ragged(), [8], "crop", tmp_path)
    prepare(Ragged(), [8], "crop", tmp_path)
    assert len(Ragged.loads) == 1
    again = prepare(Ragged(), [8, 16], "crop", tmp_path)

    assert len(Ragged.loads) == 2
    assert again.info == first.info


def test_other_parameters_are_another_dataset(tmp_path: Path):
    few, many = prepare(Ragged(), [8], "crop", tmp_path), prepare(Ragged(num=8), [8], "crop", tmp_path)

    assert few.folder != many.folder
    assert few.info.fingerprint != many.info.fingerprint


def test_the_fingerprint_depends_on_pixels_not_on_sizes(tmp_path: Path):
    small, large = prepare(Ragged(), [8], "crop", tmp_path / "a"), prepare(Ragged(), [20], "squash", tmp_path / "b")

    assert small.info.fingerprint == large.info.fingerprint


def test_images_that_cannot_be_used_from_the_start_leave_nothing_behind(tmp_path: Path):
    broken = np.zeros((1, 8, 8), np.uint8), np.zeros((3, 8, 8), np.uint8)
    Broken.arrays = ImageArrays(broken, np.array([0, 1]), ("a", "b"))

    with pytest.raises(DataError, match="image 1 is uint8 of shape"):
        prepare(Broken(), [8], "crop", tmp_path)

    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".lock"]


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        (ImageArrays(GOOD, np.zeros(4, np.int64), ("one",)), "one class only"),
        (ImageArrays(GOOD, np.zeros(4, np.int64), ("a", "b")), "class `b` has no image"),
        (ImageArrays(GOOD, np.zeros(3, np.int64), ("a", "b")), "4 images but 3 labels"),
        (ImageArrays(GOOD, np.array([0, 1, 0, 1]), ("a", "b"), name_N=["x"]), "1 names but 4 labels"),
        (ImageArrays(GOOD, np.array([0, 1, 2, 0]), ("a", "b")), "label outside 0 to 1"),
        (ImageArrays(GOOD.astype(np.float32), np.array([0, 1, 1, 0]), ("a", "b")), "must be uint8"),
        (ImageArrays(GOOD, np.array([0, 1, 1, 0]), ("a", "b"), np.array(["train"] * 3 + ["x"])), "brings splits"),
    ],
)
def test_data_that_cannot_be_used_are_refused_with_a_sentence(tmp_path: Path, arrays: ImageArrays, sentence: str):
    Broken.arrays = arrays

    with pytest.raises(DataError, match=sentence):
        prepare(Broken(), [8], "crop", tmp_path)


def test_a_cache_that_cannot_be_written_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("not a folder", "utf-8")

    with pytest.raises(StoreError, match="CNNBENCH_CACHE"):
        prepare(Ragged(), [8], "crop", tmp_path / "file")


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot reserve space")
def test_a_full_disk_is_found_before_the_images_are_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(_descriptor: int, _offset: int, num_bytes: int) -> None:
        assert num_bytes > 6 * 8 * 8
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", fail)

    with pytest.raises(StoreError, match="free some space"):
        prepare(Ragged(), [8], "crop", tmp_path)

    assert not list(tmp_path.rglob("*.npy"))


def test_progress_reaches_the_number_of_images(tmp_path: Path):
    told: list[tuple[str, int, int]] = []

    prepare(Ragged(num=70), [8], "crop", tmp_path, lambda *call: told.append(call))

    assert told[-1] == ("ragged", 70, 70)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_what_images_were_before_resizing_is_kept(tmp_path: Path):
    prepared = prepare(Ragged(), [8], "crop", tmp_path)

    assert prepared.sides_N2()[:3].tolist() == [[8, 8], [10, 20], [30, 12]]
    assert len(set(prepared.hashes_N().tolist())) == 6
    assert prepared.names_N() is None


def test_equal_images_have_equal_hashes_and_names_are_kept_outside_the_fingerprint(tmp_path: Path):
    images_NCHW = np.zeros((4, 1, 8, 8), np.uint8)
    images_NCHW[3, 0, 0, 0] = 1
    Broken.arrays = ImageArrays(images_NCHW, np.array([0, 1, 0, 1]), ("a", "b"), name_N=["1", "2", "3", "4"])
    named = prepare(Broken(), [8], "crop", tmp_path / "named")
    Broken.arrays = ImageArrays(images_NCHW, np.array([0, 1, 0, 1]), ("a", "b"))
    nameless = prepare(Broken(), [8], "crop", tmp_path / "nameless")

    first, second, third, other = named.hashes_N().tolist()
    assert first == second == third != other
    assert named.names_N().tolist() == ["1", "2", "3", "4"]
    assert named.info == nameless.info


def grouped(group_N: object) -> ImageArrays:
    return ImageArrays(GOOD, np.array([0, 1, 0, 1]), ("a", "b"), group_N=group_N)


def test_groups_are_kept_and_are_part_of_the_fingerprint(tmp_path: Path):
    fingerprints = []
    for number, groups in enumerate((None, ["p", "q", "p", "ü"], ["p", "q", "q", "ü"])):
        Broken.arrays = grouped(None if groups is None else np.array(groups))
        prepared = prepare(Broken(), [8], "crop", tmp_path / str(number))
        fingerprints.append(prepared.info.fingerprint)
        assert prepared.info.num_groups == (0 if groups is None else 3)
        kept_N = prepared.groups_N()
        assert (None if kept_N is None else kept_N.tolist()) == groups
    assert len(set(fingerprints)) == 3


def test_groups_that_do_not_fit_the_images_are_refused(tmp_path: Path):
    Broken.arrays = grouped(np.array(["p", "q"]))
    with pytest.raises(DataError, match="names 2 groups for 4 images"):
        prepare(Broken(), [8], "crop", tmp_path)


def test_what_the_disk_cannot_hold_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=6 * 64 + 6 * 143))

    with pytest.raises(StoreError, match=r"of `ragged` need 0.0 GB, and .* has 0.0 GB left; free some space"):
        prepare(Ragged(), [8, 12], "crop", tmp_path)
    assert list(tmp_path.rglob("*.npy")) == []
    prepare(Ragged(), [8, 11], "crop", tmp_path)


def test_a_large_need_of_disk_is_told_before_anything_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.modules["cnnbench.data.prepare"], "_WORTH_TELLING_BYTES", 6 * 64)
    told: list[tuple[str, int, int]] = []

    prepare(Ragged(), [8], "crop", tmp_path, lambda *given: told.append(given))

    (first, begun, total), (_, done, _) = told
    assert first.startswith(f"ragged (0 GB in {tmp_path}")
    assert (begun, done, total) == (0, 6, 6)
