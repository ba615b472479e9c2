"""Which images are found, and what class and split each has."""

from __future__ import annotations

import os
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cnnbench_plugins.datasets import ImageFolder
from PIL import Image
from pydantic import ValidationError

from cnnbench.data import prepare
from cnnbench.errors import DataError
from cnnbench.plugin import component_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from cnnbench.plugin import ImageArrays


def draw(root: Path, names: Iterable[str], mode: str = "RGB") -> Path:
    for position, name in enumerate(names):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, (6, 4), 10 * position if mode == "L" else (10 * position, 0, 0)).save(file)
    return root


def pack(root: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as packed:
        for file in sorted(root.rglob("*")):
            packed.write(file, file.relative_to(root.parent))
    return archive


def load(path: Path, **parameters: object) -> ImageArrays:
    return ImageFolder.model_validate({"path": str(path), **parameters}).load(path)


def found(arrays: ImageArrays) -> list[tuple[str, int]]:
    """Return class and red value of every image; `draw` numbers its images by that value."""
    reds = [int(image[0, 0, 0]) // 10 for image in arrays.images]
    return [(arrays.class_names[label], red) for label, red in zip(arrays.label_N.tolist(), reds, strict=True)]


@pytest.fixture(params=["folder", "zip"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Path], Path]:
    """Give a folder as it is, or packed."""

    def store(root: Path) -> Path:
        return root if request.param == "folder" else pack(root, tmp_path / "packed.zip")

    return store


@pytest.mark.parametrize("prefix", ["", "name/", "outer/name/"])
def test_the_class_is_the_folder_that_holds_the_image(stored: Callable[[Path], Path], tmp_path: Path, prefix: str):
    root = draw(tmp_path / "root", [f"{prefix}b/2.png", f"{prefix}a/1.png", f"{prefix}a/0.PNG"])
    arrays = load(stored(root))
    assert found(arrays) == [("a", 2), ("a", 1), ("b", 0)]
    assert arrays.split_N is None


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
def test_folders_named_like_splits_become_splits(stored: Callable[[Path], Path], tmp_path: Path, validation: str):
    names = ["test/a/0.png", "train/a/0.png", "train/b/0.png", f"{validation}/b/0.png"]
    arrays = load(stored(draw(tmp_path / "root", (f"name/{name}" for name in names))))
    assert found(arrays) == [("a", 0), ("a", 1), ("b", 2), ("b", 3)]
    assert arrays.split_N is not None
    assert arrays.split_N.tolist() == ["test", "train", "train", "validation"]


def test_a_class_that_happens_to_be_called_test_is_a_class(tmp_path: Path):
    arrays = load(draw(tmp_path / "root", ["test/0.png", "apples/0.png"]))
    assert (arrays.class_names, arrays.split_N) == (("apples", "test"), None)


def test_hidden_files_mac_leftovers_and_other_files_are_passed_over(stored: Callable[[Path], Path], tmp_path: Path):
    root = draw(tmp_path / "root", ["a/0.png", "b/0.png", ".hidden/0.png", "__MACOSX/a/0.png", "a/.1.png"])
    (root / "a" / "notes.txt").write_text("no image")
    assert found(load(stored(root))) == [("a", 0), ("b", 1)]


def test_a_class_folder_without_images_is_named(stored: Callable[[Path], Path], tmp_path: Path):
    root = draw(tmp_path / "root", ["a/0.png", "b/0.png"])
    (root / "c").mkdir()
    (root / "c" / "notes.txt").write_text("no image")
    with pytest.raises(DataError, match=r"the class folder `.*c` holds no image \(1 other files\)"):
        load(stored(root))


def test_a_class_may_lack_images_in_one_of_the_splits(tmp_path: Path):
    root = draw(tmp_path / "root", ["train/a/0.png", "train/b/0.png", "val/a/0.png"])
    (root / "val" / "b").mkdir()
    assert len(load(root).images) == 3


def test_listed_classes_are_used_alone_in_alphabetical_order(tmp_path: Path):
    root = draw(tmp_path / "root", ["a/0.png", "b/0.png", "c/0.png"])
    (root / "empty").mkdir()
    arrays = load(root, classes=("c", "a"))
    assert (arrays.class_names, arrays.label_N.tolist()) == (("a", "c"), [0, 1])
    assert ImageFolder(path="x", classes=("c", "a")) == ImageFolder(path="x", classes=("a", "c"))


def test_a_listed_class_that_is_not_there_is_named_with_those_that_are(tmp_path: Path):
    root = draw(tmp_path / "root", ["a/0.png", "b/0.png"])
    with pytest.raises(DataError, match=r"no images in a folder `x`; `classes` may name `a`, `b`\."):
        load(root, classes=("a", "x"))


def test_a_limit_takes_the_first_of_each_class_in_each_split(tmp_path: Path):
    names = [f"{split}/{name}/{n}.png" for split in ("train", "val") for name in "ab" for n in range(3)]
    arrays = load(draw(tmp_path / "root", names), limit_per_class=2)
    assert [red for _, red in found(arrays)] == [0, 1, 3, 4, 6, 7, 9, 10]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([], "holds no images; it needs a folder for each class"),
        (["a/0.png", "a/1.png"], r"holds images of one class only \(`a`\)"),
        (["a/0.png", "b/0.png", "loose.png"], "the image `loose.png` lies in no class folder"),
        (["train/a/0.png", "train/loose.png"], "`train/loose.png` lies directly in a split's folder"),
    ],
)
def test_a_tree_without_classes_is_refused(tmp_path: Path, names: list[str], sentence: str):
    (tmp_path / "root").mkdir()
    with pytest.raises(DataError, match=sentence):
        load(draw(tmp_path / "root", names))


def test_a_missing_path_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"there is no folder or zip archive .*nowhere; correct the dataset's `path`"):
        load(tmp_path / "nowhere")
    with pytest.raises(DataError, match="there is no folder or zip archive"):
        ImageFolder(path=str(tmp_path / "nowhere")).source_state()


def test_a_file_that_is_no_archive_is_named(tmp_path: Path):
    (tmp_path / "half.zip").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(DataError, match=r"half\.zip is neither a folder nor a whole zip archive"):
        load(tmp_path / "half.zip")


@pytest.mark.parametrize("name", ["/a/0.png", "../a/0.png", "a/../../0.png", "C:/a/0.png", "a\\..\\0.png"])
def test_an_archive_whose_members_lead_out_of_it_is_refused(tmp_path: Path, name: str):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as packed:
        packed.writestr(zipfile.ZipInfo(name), b"")
    with pytest.raises(DataError, match="has a path that leads out of the archive"):
        load(tmp_path / "evil.zip")


def test_an_archive_with_symbolic_links_is_refused(tmp_path: Path):
    link = zipfile.ZipInfo("a/0.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as packed:
        packed.writestr(link, b"/etc/passwd")
    with pytest.raises(DataError, match="is a symbolic link"):
        load(tmp_path / "evil.zip")


def test_an_encrypted_archive_is_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "locked.zip", "w") as packed:
        packed.writestr("a/0.png", b"")
    content = bytearray((tmp_path / "locked.zip").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of the member in the central directory
    (tmp_path / "locked.zip").write_bytes(content)
    with pytest.raises(DataError, match="is encrypted"):
        load(tmp_path / "locked.zip")


def test_an_archive_member_that_would_unpack_to_a_giant_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cnnbench_plugins.datasets.image_files.LARGEST_MEMBER_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a/0.png", bytes(2 << 20))
    with pytest.raises(DataError, match="would unpack to 2 MiB"):
        load(tmp_path / "bomb.zip")


def test_folders_that_are_linked_in_a_circle_are_read_once(tmp_path: Path):
    root = draw(tmp_path / "root", ["a/0.png", "b/0.png"])
    (root / "a" / "again").symlink_to(root, target_is_directory=True)
    assert len(load(root).images) == 2


def test_images_are_decoded_when_they_are_taken(tmp_path: Path):
    root = draw(tmp_path / "root", ["a/0.png", "b/0.png", "b/1.png"])
    arrays = load(root)
    draw(root, ["x/0.png", "a/0.png"])
    assert found(arrays)[0] == ("a", 1)
    assert len(arrays.images[1:]) == 2


@pytest.mark.parametrize(
    ("second_mode", "channels", "expected"),
    [("L", "auto", 1), ("RGB", "auto", 3), ("L", 3, 3), ("RGB", 1, 1)],
)
def test_the_channels_are_those_of_the_files_or_those_asked_for(
    tmp_path: Path, second_mode: str, channels: str | int, expected: int
):
    draw(tmp_path / "root", ["a/0.png"], mode="L")
    root = draw(tmp_path / "root", ["b/0.png"], mode=second_mode)
    assert {image.shape for image in load(root, channels=channels).images} == {(expected, 4, 6)}


def test_the_path_is_no_part_of_the_identity():
    identities = [component_identity(ImageFolder(path=path)) for path in ("/here/data", "${CNNBENCH_DATA}/data")]
    assert identities[0] == identities[1]
    assert "path" not in identities[0]


def test_the_path_is_required():
    with pytest.raises(ValidationError, match="Field required"):
        ImageFolder.model_validate({})


def test_the_state_changes_with_the_files(stored: Callable[[Path], Path], tmp_path: Path):
    root = draw(tmp_path / "root", ["a/0.png", "b/0.png"])
    dataset = ImageFolder(path=str(stored(root)))
    before = dataset.source_state()
    assert dataset.source_state() == before
    draw(root, ["b/1.png"])
    stored(root)
    assert dataset.source_state() != before


def test_the_state_of_a_folder_changes_with_a_files_time(tmp_path: Path):
    root = draw(tmp_path / "root", ["a/0.png", "b/0.png"])
    before = ImageFolder(path=str(root)).source_state()
    os.utime(root / "a" / "0.png", ns=(0, 0))
    assert ImageFolder(path=str(root)).source_state() != before


def test_labels_follow_the_sorted_class_names(tmp_path: Path):
    arrays = load(draw(tmp_path / "root", ["b/0.png", "B/0.png", "a/0.png"]))
    assert arrays.class_names == ("B", "a", "b")
    assert np.bincount(arrays.label_N).tolist() == [1, 1, 1]


def test_images_are_named_by_their_paths(tmp_path: Path):
    root = draw(tmp_path / "root", ["train/a/1.png", "train/b/0.png", "val/a/0.png", "val/b/0.png"])
    assert load(root).name_N == ["train/a/1.png", "train/b/0.png", "val/a/0.png", "val/b/0.png"]


NAMES = ("a/7_1.png", "a/7_2.png", "a/x.png", "b/7_3.png", "b/81_1.png", "b/x.png")


def test_files_are_grouped_by_what_a_pattern_finds_in_their_names(tmp_path: Path, stored: Callable[[Path], Path]):
    arrays = load(stored(draw(tmp_path / "set", NAMES)), group=r"^(\d+)_")
    assert arrays.group_N is not None
    one, two, alone, across, other, alone_too = arrays.group_N.tolist()
    assert one == two == across
    assert len({one, alone, other, alone_too}) == 4


def test_a_pattern_without_parentheses_groups_by_all_that_it_matches(tmp_path: Path):
    arrays = load(draw(tmp_path / "set", NAMES), group="7|81")
    assert arrays.group_N is not None
    assert len(set(arrays.group_N.tolist())) == 4


def test_a_pattern_that_finds_nothing_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"`patient` matches no file name \(the first is `7_1.png`\)"):
        load(draw(tmp_path / "set", NAMES), group="patient")


def test_a_pattern_that_is_none_is_refused():
    with pytest.raises(ValidationError, match="is no regular expression"):
        ImageFolder(path="x", group="(")


def test_without_groups_the_identity_is_the_one_before_there_were_any(tmp_path: Path):
    assert "group" not in component_identity(ImageFolder(path="x"))
    assert component_identity(ImageFolder(path="x", group="a"))["group"] == "a"
    assert load(draw(tmp_path / "set", NAMES)).group_N is None


def textures(root: Path, num: int = 130) -> Path:
    """Draw files that take several reads each, so that processes with one file position would disturb each other."""
    for position in range(num):
        file = root / "ab"[position % 2] / f"{position:03d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(position).integers(0, 256, (64, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(file)
    return root


def test_many_processes_read_the_same_pixels_and_a_mended_image_costs_its_block(
    tmp_path: Path, stored: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
):
    root = textures(tmp_path / "set")
    whole = prepare(ImageFolder(path=str(stored(root))), [16, 80], "crop", tmp_path / "whole")
    monkeypatch.setattr("cnnbench.data.decode._ALONE_S", 0)
    monkeypatch.setattr("cnnbench.cores.available_cores", lambda: 1)
    told: list[int] = []

    broken = root / "b" / "123.png"
    good = broken.read_bytes()
    broken.write_bytes(good[:6000])
    with pytest.raises(DataError, match=r"`(set/)?b/123.png` cannot be decoded \(.*\); replace or remove it"):
        prepare(ImageFolder(path=str(stored(root))), [16, 80], "crop", tmp_path / "cache")
    broken.write_bytes(good)
    monkeypatch.setattr("cnnbench.cores.available_cores", lambda: 4)
    mended = prepare(
        ImageFolder(path=str(stored(root))), [16, 80], "crop", tmp_path / "cache", lambda *given: told.append(given[1])
    )

    assert told[0] == 96
    many = prepare(ImageFolder(path=str(stored(root))), [16, 80], "crop", tmp_path / "many")
    for file in whole.folder.iterdir():
        for folder in (mended.folder, many.folder):
            assert (folder / file.name).read_bytes() == file.read_bytes()
