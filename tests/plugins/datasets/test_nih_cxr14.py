"""ChestX-ray14 in a small folder of the official layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from cnnbench_plugins.datasets import NihCxr14
from PIL import Image

from cnnbench.data import prepare, split_examples
from cnnbench.errors import DataError
from cnnbench.plugin import component_identity
from cnnbench.spec import Split

if TYPE_CHECKING:
    from pathlib import Path

PATIENTS = {1: 3, 2: 1, 13: 4, 14: 2, 30805: 2}
"""Patient -> images; those from 14 on are in the test list."""


def names_of(patient: int) -> list[str]:
    return [f"{patient:08d}_{number:03d}.png" for number in range(PATIENTS[patient])]


NAMES = [name for patient in PATIENTS for name in names_of(patient)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images in two folders, as the archives unpack; one of them is stored as RGBA, as some of the official ones."""
    root = tmp_path / "cxr"
    for position, name in enumerate(NAMES):
        file = root / f"images_{1 + position % 2:03d}" / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        gray = Image.new("L", (16, 16), 10 * position)
        (gray.convert("RGBA") if position == 5 else gray).save(file)
    findings = ["No Finding" if position % 3 else "Mass|Nodule" for position in range(len(NAMES))]
    rows = [
        f"{name},{finding},0,{int(name[:8])},058Y,M,PA,2682,2749,0.143,0.143,"
        for name, finding in zip(NAMES, findings, strict=True)
    ]
    head = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    head += "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    (root / "Data_Entry_2017_v2020.csv").write_text("\n".join([head, *reversed(rows)]) + "\n", "utf-8")
    test = [name for patient in (14, 30805) for name in names_of(patient)]
    (root / "train_val_list.txt").write_text("\n".join(name for name in NAMES if name not in test), "utf-8")
    (root / "test_list.txt").write_text("\r\n".join(test), "utf-8")
    return root


def test_images_are_gray_in_the_order_of_their_names_with_findings_splits_and_patients(folder: Path, tmp_path: Path):
    arrays = NihCxr14(path=str(folder)).load(tmp_path)

    assert [int(image[0, 0, 0]) for image in arrays.images] == [10 * position for position in range(12)]
    assert {image.shape for image in arrays.images} == {(1, 16, 16)}
    assert arrays.class_names == ("no-finding", "finding")
    assert arrays.label_N.tolist() == [1, 0, 0] * 4
    assert arrays.split_N.tolist() == ["train"] * 8 + ["test"] * 4
    assert len(set(arrays.group_N.tolist())) == 5
    assert arrays.group_N[0] == arrays.group_N[2] != arrays.group_N[3]


def test_validation_is_drawn_by_patients_from_the_official_training_part(folder: Path, tmp_path: Path):
    prepared = prepare(NihCxr14(path=str(folder)), [8], "crop", tmp_path)
    split = Split(use="predefined", validation=0.4, groups="keep", stratify=False)
    group_N = prepared.groups_N()

    parts = split_examples(prepared.labels_N(), split, 4, prepared.splits_N(), group_N)

    assert parts.test.tolist() == [8, 9, 10, 11]
    assert not set(group_N[parts.train]) & set(group_N[parts.validation])
    assert len(parts.train) + len(parts.validation) == 8


def test_fewer_images_are_the_first_of_each_class_in_each_part(folder: Path, tmp_path: Path):
    arrays = NihCxr14(path=str(folder), limit_per_class=1).load(tmp_path)

    assert [int(image[0, 0, 0]) for image in arrays.images] == [0, 10, 80, 90]
    assert arrays.split_N.tolist() == ["train", "train", "test", "test"]


def test_images_that_are_not_there_are_refused_or_passed_over(folder: Path, tmp_path: Path):
    for name in (NAMES[1], NAMES[3]):
        next(folder.rglob(name)).unlink()

    with pytest.raises(DataError, match=rf'lacks 2 of the 12 images .*`{NAMES[1]}`\); .* `missing = "skip"`'):
        NihCxr14(path=str(folder)).load(tmp_path)
    arrays = NihCxr14(path=str(folder), missing="skip").load(tmp_path)
    assert [int(image[0, 0, 0]) for image in arrays.images] == [0, 20, 40, 50, 60, 70, 80, 90, 100, 110]


def test_a_folder_without_any_image_is_refused_even_then(folder: Path, tmp_path: Path):
    for file in folder.rglob("*.png"):
        file.unlink()
    with pytest.raises(DataError, match="lacks 12 of the 12 images"):
        NihCxr14(path=str(folder), missing="skip").load(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("Data_Entry_2017_v2020.csv", None, r"holds 0 files `Data_Entry_2017\*.csv`; it needs one"),
        ("Data_Entry_2017.csv", "x", r"holds 2 files `Data_Entry_2017\*.csv`; it needs one"),
        ("Data_Entry_2017_v2020.csv", "Image Index,Patient ID\n", "has no column `Finding Labels`"),
        ("Data_Entry_2017_v2020.csv", b"\xff\xfe\x00", "is no UTF-8 text"),
        ("test_list.txt", None, "holds no `test_list.txt`, which says what is for test"),
        ("test_list.txt", NAMES[0], "is in both lists"),
        ("test_list.txt", NAMES[-1], r"neither train_val_list.txt nor test_list.txt names the image .* \(3 in all\)"),
    ],
)
def test_files_that_do_not_fit_are_named(folder: Path, tmp_path: Path, name: str, content: object, message: str):
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content if isinstance(content, bytes) else str(content).encode())
    with pytest.raises(DataError, match=message):
        NihCxr14(path=str(folder)).load(tmp_path)


def test_the_path_is_no_part_of_the_identity_but_its_state_follows_the_files(folder: Path):
    dataset = NihCxr14(path=str(folder))
    before = dataset.source_state()
    assert component_identity(dataset) == component_identity(NihCxr14(path="elsewhere"))
    Image.new("L", (16, 16), 99).save(folder / "images_001" / "images" / "new.png")
    assert dataset.source_state() != before


def test_prepared_images_are_those_of_the_files(folder: Path, tmp_path: Path):
    prepared = prepare(NihCxr14(path=str(folder)), [8, 16], "crop", tmp_path)

    assert prepared.info.num_groups == 5
    assert prepared.info.has_test_split
    for size_px in (8, 16):
        images_NCHW = prepared.images_NCHW(size_px, "crop")
        assert np.array_equal(images_NCHW[:, 0, 0, 0], np.arange(12) * 10)
