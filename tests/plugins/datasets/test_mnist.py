"""MNIST's files: which are found, what they hold, and what is said of wrong ones."""

from __future__ import annotations

import gzip
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cnnbench_plugins.datasets import Mnist

from cnnbench.errors import DataError
from cnnbench.plugin import component_identity

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from cnnbench.plugin import ImageArrays

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(values: NDArray[np.uint8]) -> bytes:
    header = bytes((0, 0, 8, values.ndim)) + b"".join(side.to_bytes(4, "big") for side in values.shape)
    return header + values.tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty images for training and twenty for testing, of 4 x 4 px; image i holds the gray i."""
    root = tmp_path / "mnist"
    root.mkdir()
    for images_name, labels_name, count in ((*FILES[:2], 30), (*FILES[2:], 20)):
        number_N = np.arange(count, dtype=np.uint8)
        (root / images_name).write_bytes(idx(np.broadcast_to(number_N[:, None, None], (count, 4, 4))))
        (root / labels_name).write_bytes(idx(number_N % 10))
    return root


def load(folder: Path, **parameters: object) -> ImageArrays:
    return Mnist.model_validate({"path": str(folder), **parameters}).load(folder)


def numbers(arrays: ImageArrays) -> list[int]:
    return [int(image[0, 0, 0]) for image in arrays.images]


def test_training_images_come_first_and_both_parts_are_named(folder: Path):
    arrays = load(folder)
    assert numbers(arrays) == [*range(30), *range(20)]
    assert arrays.label_N.tolist() == [number % 10 for number in (*range(30), *range(20))]
    assert arrays.split_N is not None
    assert arrays.split_N.tolist() == ["train"] * 30 + ["test"] * 20
    assert arrays.images[0].shape == (1, 4, 4)


@pytest.mark.parametrize("packed", [FILES, FILES[:1]])
def test_files_may_be_packed(folder: Path, packed: tuple[str, ...]):
    plain = load(folder)
    for name in packed:
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    assert np.array_equal(load(folder).images, plain.images)


def test_the_folder_of_torchvision_is_known(folder: Path, tmp_path: Path):
    (tmp_path / "root" / "MNIST").mkdir(parents=True)
    shutil.move(folder, tmp_path / "root" / "MNIST" / "raw")
    assert len(load(tmp_path / "root").images) == 50


def test_a_limit_counts_for_each_digit_in_both_parts(folder: Path):
    assert numbers(load(folder, limit_per_class=2)) == [*range(20), *range(20)]
    assert numbers(load(folder, limit_per_class=1)) == [*range(10), *range(10)]


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named_with_the_remedy(folder: Path, name: str):
    (folder / name).unlink()
    for use in (lambda: load(folder), Mnist(path=str(folder)).source_state):
        with pytest.raises(DataError, match=rf"holds no file `{name}` or `{name}\.gz`; .*leave it out to download"):
            use()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no idx file",
        idx(np.zeros((30, 4, 4), np.uint8))[:-1],
        idx(np.zeros((30, 4, 4), np.uint8)) + b"0",
        idx(np.zeros(30, np.uint8)),
        b"\0\0\x0d\3" + idx(np.zeros((30, 4, 4), np.uint8))[4:],
    ],
    ids=["empty", "text", "cut off", "too long", "labels", "floats"],
)
def test_a_file_of_another_form_is_refused(folder: Path, content: bytes):
    (folder / FILES[0]).write_bytes(content)
    with pytest.raises(DataError, match=rf"{FILES[0]} is no whole idx file of bytes in 3 dimensions; download it"):
        load(folder)


def test_a_damaged_packed_file_is_refused(folder: Path):
    (folder / FILES[0]).unlink()
    (folder / f"{FILES[0]}.gz").write_bytes(gzip.compress(bytes(1000))[:-9])
    with pytest.raises(DataError, match=rf"{FILES[0]}\.gz cannot be read"):
        load(folder)


def test_images_and_labels_must_be_as_many(folder: Path):
    (folder / FILES[1]).write_bytes(idx(np.arange(7, dtype=np.uint8)))
    with pytest.raises(DataError, match="holds 30 images and train-labels-idx1-ubyte 7 labels"):
        load(folder)


def test_a_label_that_is_no_digit_is_refused(folder: Path):
    (folder / FILES[3]).write_bytes(idx(np.arange(20, dtype=np.uint8)))
    with pytest.raises(DataError, match="holds the label 19"):
        load(folder)


def test_the_path_is_no_part_of_the_identity_and_may_hold_variables(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MY_DATA", str(folder.parent))
    named, plain = Mnist(path="${MY_DATA}/mnist"), Mnist(path=str(folder))
    assert len(named.load(folder).images) == 50
    assert component_identity(named) == component_identity(plain) == component_identity(Mnist())
    assert named.source_state() == plain.source_state()


def test_the_state_changes_with_the_files(folder: Path):
    dataset = Mnist(path=str(folder))
    before = dataset.source_state()
    assert dataset.source_state() == before
    (folder / FILES[0]).write_bytes(b"other")
    assert dataset.source_state() != before
