"""Images in class folders, on disk or in a zip archive."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, field_validator

from cnnbench.errors import DataError
from cnnbench.plugin import Dataset, ImageArrays
from cnnbench_plugins.datasets.image_files import LazyImages, is_gray, open_source
from cnnbench_plugins.paths import expand_path

if TYPE_CHECKING:
    from pathlib import Path, PurePosixPath

    from cnnbench_plugins.datasets.image_files import ImageSource

__all__ = ["ImageFolder"]

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
SPLITS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
"""Folder name -> name of the split."""


class ImageFolder(Dataset):
    """Images in folders, one for each class; a folder on disk or a zip archive, which is read without unpacking.

    The class of an image is the name of the folder that holds it, so ``name/class/file`` and ``train/class/file`` both
    work. If the uppermost folders (below folders that hold nothing but one folder) are named like splits (train;
    val, valid or validation; test), they become the dataset's own splits. Hidden files, ``__MACOSX`` and files that are
    no images are passed over. Images may have any sizes; see `cnnbench_plugins.datasets.image_files.decode` for what
    becomes of palettes, transparency, 16-bit gray and orientation marks.

    The path is no part of a trial's identity: the images themselves are.
    """

    key = "image-folder"
    path: str = Field(
        min_length=1, exclude=True, description="Folder or zip archive; `~` and `${VARIABLE}` are expanded."
    )
    channels: Literal["auto", 1, 3] = Field(
        "auto", description="`auto`: 1 if every file is stored as gray, else 3; 1 turns colour to gray."
    )
    classes: tuple[str, ...] = Field((), description="Use these classes only; default: all.")
    limit_per_class: int | None = Field(
        None,
        ge=1,
        description="Use the first images only, by path, of each class (in each split, if there are splits).",
    )
    group: str | None = Field(
        None,
        min_length=1,
        description="Regular expression that finds, in a file's name, what the image belongs to (a patient): its first "
        "parenthesis, or all that it matches. Splits keep images of one group together, whatever their class; a file "
        "that it does not match is a group of its own.",
    )
    later = frozenset({"group"})

    @field_validator("group")
    @classmethod
    def _group_is_a_pattern(cls, group: str | None) -> str | None:
        try:
            re.compile(group or "")
        except re.error as error:
            raise ValueError(f"`{group}` is no regular expression ({error}).") from error
        return group

    @field_validator("classes")
    @classmethod
    def _classes_are_sorted(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        # Labels follow the alphabet however the study lists its classes: the same data, so the same identity.
        return tuple(sorted(set(classes)))

    def source_state(self) -> str:
        """Return number, sizes and times of the files, hashed (of an archive: its own)."""
        return open_source(expand_path(self.path)).state()

    def load(self, cache: Path) -> ImageArrays:  # noqa: ARG002 - read in place
        """Return the images, decoded when they are taken, sorted by path."""
        source = open_source(expand_path(self.path))
        files = [file for file in source.files if file.suffix.lower() in SUFFIXES]
        if not files:
            raise DataError(f"{source.path} holds no images; it needs a folder for each class.")
        root = _root(files)
        splits = _splits(source, files, root)
        files = self._chosen(source, files, splits)
        names = tuple(sorted({file.parent.name for file in files}))
        if len(names) < 2:
            raise DataError(f"{source.path} holds images of one class only (`{names[0]}`); a classification needs two.")
        label_N = np.array([names.index(file.parent.name) for file in files], dtype=np.int64)
        split_N = np.array([splits[file] for file in files]) if splits else None
        group_N = np.array(self._groups(source, files)) if self.group is not None else None
        images = LazyImages(source, files, self._num_channels(source, files))
        named = [str(file) for file in files]
        return ImageArrays(images, label_N, names, split_N, group_N, name_N=named, state_N=images.states)

    def _groups(self, source: ImageSource, files: list[PurePosixPath]) -> list[str]:
        matches = [re.search(self.group or "", file.name) for file in files]
        if not any(matches):
            raise DataError(
                f"{source.path}: `group` = `{self.group}` matches no file name (the first is `{files[0].name}`); "
                "correct it, or leave it out."
            )
        # What matched is told from whole paths by its first character: no file can be in a group that names it.
        return [
            f"={next((part for part in match.groups() if part is not None), match[0])}" if match else f"/{file}"
            for match, file in zip(matches, files, strict=True)
        ]

    def _chosen(
        self, source: ImageSource, files: list[PurePosixPath], splits: dict[PurePosixPath, str]
    ) -> list[PurePosixPath]:
        found = {file.parent.name for file in files}
        missing = [name for name in self.classes if name not in found]
        if missing:
            raise DataError(
                f"{source.path} has no images in a folder `{missing[0]}`; `classes` may name {_listed(sorted(found))}."
            )
        if not self.classes:
            _refuse_empty_classes(source, found)
        taken: Counter[tuple[str, str]] = Counter()
        chosen = []
        for file in files:
            group = (file.parent.name, splits.get(file, ""))
            wanted = not self.classes or file.parent.name in self.classes
            if wanted and (self.limit_per_class is None or taken[group] < self.limit_per_class):
                taken[group] += 1
                chosen.append(file)
        return chosen

    def _num_channels(self, source: ImageSource, files: list[PurePosixPath]) -> int:
        if self.channels != "auto":
            return self.channels
        return 1 if all(is_gray(source, file) for file in files) else 3


def _root(files: list[PurePosixPath]) -> int:
    """Return how many uppermost levels hold nothing but one folder that is neither a class nor a split."""
    level = 0
    while (
        min(len(file.parts) for file in files) > level + 2
        and len({file.parts[level] for file in files}) == 1
        and files[0].parts[level] not in SPLITS
    ):
        level += 1
    return level


def _splits(source: ImageSource, files: list[PurePosixPath], root: int) -> dict[PurePosixPath, str]:
    """Return the split of every file, or nothing if the uppermost folders are no splits."""
    loose = [file for file in files if len(file.parts) < root + 2]
    if loose:
        raise DataError(f"{source.path}: the image `{loose[0]}` lies in no class folder; move or remove it.")
    if not {file.parts[root] for file in files} <= SPLITS.keys():
        return {}
    unclassed = [file for file in files if len(file.parts) < root + 3]
    if unclassed:
        raise DataError(
            f"{source.path}: the image `{unclassed[0]}` lies directly in a split's folder; put it into a class folder."
        )
    return {file: SPLITS[file.parts[root]] for file in files}


def _refuse_empty_classes(source: ImageSource, found: set[str]) -> None:
    """Refuse a folder without images and without folders, unless another of its name (in another split) has some."""
    holders = {folder.parent for folder in source.folders}
    for folder in source.folders:
        if folder not in holders and folder.name not in found:
            count = sum(file.parent == folder for file in source.files)
            raise DataError(
                f"{source.path}: the class folder `{folder}` holds no image ({count} other files); add images, remove "
                "it, or list the `classes` to use."
            )


def _listed(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:12])
    return shown if len(names) <= 12 else f"{shown} and {len(names) - 12} more"
