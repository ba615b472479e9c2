"""CIFAR-10's batches: which are found, what they hold, and what is said of wrong ones."""

from __future__ import annotations

import io
import pickle
import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cnnbench_plugins.datasets import Cifar10

from cnnbench.errors import DataError
from cnnbench.plugin import component_identity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cnnbench.plugin import ImageArrays

TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))


def batch(first: int, count: int) -> dict[bytes, Any]:
    """Make images whose red is their number, whose green is 100 and whose blue is 200."""
    red_N1 = np.arange(first, first + count, dtype=np.uint8)[:, None]
    data = np.concatenate([np.repeat(red_N1, 1024, 1), np.full((count, 1024), 100), np.full((count, 1024), 200)], 1)
    return {b"data": data.astype(np.uint8), b"labels": [number % 2 for number in range(first, first + count)]}


def write(file: Path, value: object) -> None:
    file.write_bytes(pickle.dumps(value, 2))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Batches of 4 to 8 images for training, and one of 6 for testing."""
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    first = 0
    for count, name in enumerate((*TRAIN, "test_batch"), start=4):
        write(root / name, batch(first, 6 if name == "test_batch" else count))
        first += count
    write(root / "batches.meta", {b"label_names": [b"cat", b"dog"], b"num_vis": 3072})
    return root


def pack(folder: Path, mode: str = "w:gz") -> Path:
    archive = folder.parent / "packed.tar.gz"
    with tarfile.open(archive, mode) as packed:
        packed.add(folder, folder.name)
    return archive


def load(path: Path, **parameters: object) -> ImageArrays:
    return Cifar10.model_validate({"path": str(path), **parameters}).load(path)


@pytest.mark.parametrize("place", [lambda folder: folder, lambda folder: folder.parent, pack], ids=["in", "at", "tar"])
def test_batches_are_found_in_a_folder_and_in_an_archive(folder: Path, place: Callable[[Path], Path]):
    arrays = load(place(folder))
    assert [int(image[0, 0, 0]) for image in arrays.images] == list(range(36))
    assert {image.shape for image in arrays.images} == {(3, 32, 32)}
    assert [int(arrays.images[0][channel, 5, 7]) for channel in (1, 2)] == [100, 200]
    assert arrays.class_names == ("cat", "dog")
    assert arrays.label_N.tolist() == [number % 2 for number in range(36)]
    assert arrays.split_N is not None
    assert arrays.split_N.tolist() == ["train"] * 30 + ["test"] * 6


def test_a_limit_counts_for_each_class_in_both_parts(folder: Path):
    arrays = load(folder, limit_per_class=2)
    assert np.bincount(arrays.label_N).tolist() == [4, 4]
    assert arrays.split_N is not None
    assert arrays.split_N.tolist() == ["train"] * 4 + ["test"] * 4


def test_keys_may_be_texts(folder: Path):
    for name in (*TRAIN, "test_batch"):
        table = pickle.loads((folder / name).read_bytes())  # noqa: S301 - our own bytes
        write(folder / name, {key.decode(): value for key, value in table.items()})
    write(folder / "batches.meta", {"label_names": ["cat", "dog"]})
    assert len(load(folder).images) == 36


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_missing_batch_is_named_with_the_remedy(folder: Path, name: str, packed: bool):  # noqa: FBT001 - a case
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"holds no file `{name}`; .*leave it out to download them"):
        load(pack(folder) if packed else folder)


def test_a_path_that_leads_nowhere_is_named(tmp_path: Path):
    for use in (lambda: load(tmp_path / "nowhere"), Cifar10(path=str(tmp_path / "nowhere")).source_state):
        with pytest.raises(DataError, match="nowhere holds no file `data_batch_1`"):
            use()


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_file_that_is_no_whole_archive_is_named(folder: Path, content: bytes | None):
    archive = pack(folder)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(DataError, match=r"packed\.tar\.gz is no whole tar archive"):
        load(archive)


def test_links_in_an_archive_are_not_followed(folder: Path):
    archive = folder.parent / "links.tar"
    with tarfile.open(archive, "w") as packed:
        link = tarfile.TarInfo("cifar-10-batches-py/data_batch_1")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        packed.addfile(link)
        packed.addfile(tarfile.TarInfo("data_batch_2"), io.BytesIO())
    with pytest.raises(DataError, match="holds no file `data_batch_1`"):
        load(archive)


class Harm:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit",)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({b"data": Harm()}, r"cannot|can be read safely \(it asks for `.*exec`, which is no plain value\)"),
        ({b"data": np.zeros((4, 3071), np.uint8)}, "does not hold one row of 3,072 bytes for each label"),
        ({b"data": np.zeros((3, 3072), np.uint8)}, "does not hold one row of 3,072 bytes for each label"),
        ({b"data": np.zeros((4, 3072), np.int16)}, "does not hold one row of 3,072 bytes for each label"),
        ({b"data": [1, 2, 3, 4]}, "does not hold one row of 3,072 bytes for each label"),
        ({b"labels": [0, 1, 2, 0]}, "are no list of numbers from 0 to 1"),
        ({b"labels": []}, "are no list of numbers from 0 to 1"),
        ({b"labels": "0101"}, "are no list of numbers from 0 to 1"),
        ({b"labels": None}, "holds no `labels`"),
    ],
    ids=["harm", "short", "few", "wide", "list", "label", "empty", "text", "none"],
)
def test_a_wrong_batch_is_named(folder: Path, change: dict[bytes, Any], sentence: str):
    write(folder / "data_batch_1", batch(0, 4) | change)
    with pytest.raises(DataError, match=f"data_batch_1.*{sentence}"):
        load(folder)


def test_class_names_must_be_a_list(folder: Path):
    write(folder / "batches.meta", {b"label_names": b"cat"})
    with pytest.raises(DataError, match=r"`batches\.meta` holds no list of class names"):
        load(folder)


def test_the_path_is_no_part_of_the_identity(folder: Path):
    assert component_identity(Cifar10(path=str(folder))) == component_identity(Cifar10())


def test_the_state_changes_with_the_files(folder: Path):
    states = {Cifar10(path=str(path)).source_state() for path in (folder, pack(folder))}
    write(folder / "data_batch_1", {})
    states |= {Cifar10(path=str(folder)).source_state()}
    assert len(states) == 3
