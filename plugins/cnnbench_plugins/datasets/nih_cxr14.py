"""ChestX-ray14 of the National Institutes of Health, from its own files."""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from cnnbench.errors import DataError
from cnnbench.plugin import Dataset, ImageArrays
from cnnbench_plugins.datasets.image_files import LazyImages, open_source
from cnnbench_plugins.paths import expand_path

if TYPE_CHECKING:
    from pathlib import Path, PurePosixPath

    from cnnbench_plugins.datasets.image_files import ImageSource

__all__ = ["NihCxr14"]

CLASS_NAMES = ("no-finding", "finding")
HEALTHY = "No Finding"
TABLE = "Data_Entry_2017"
LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}
"""Split -> file that lists its images."""
COLUMNS = ("Image Index", "Finding Labels", "Patient ID")


class NihCxr14(Dataset):
    """ChestX-ray14: 112,120 chest X-rays of 30,805 patients, 1024 px; "No Finding" against any of 14 findings.

    Wang et al. (2017, "ChestX-ray8", arXiv:1705.02315, and its extension of the same year). The folder holds the
    official files: ``Data_Entry_2017*.csv``, ``train_val_list.txt``, ``test_list.txt``, and the images, in a folder
    ``images`` or in ``images_001`` to ``images_012`` as they are unpacked. The lists are the dataset's predefined split
    into training (86,524) and test (25,596); patients are its groups, so that every split keeps them whole.

    Images are decoded one by one, for the cache: they never are in memory together. All of them take 1 byte for each
    pixel there, 7 GB at 256 px and 118 GB at 1024 px. The path is no part of a trial's identity: the images are.
    """

    key = "nih-cxr14"
    path: str = Field(
        min_length=1, exclude=True, description="Folder with the official files; `~` and `${VARIABLE}` are expanded."
    )
    limit_per_class: int | None = Field(
        None, ge=1, description="Use the first images only, by name, of each class in each part of the official split."
    )
    missing: Literal["refuse", "skip"] = Field(
        "refuse", description="What to do where images of the table are not in the folder: `skip` uses those that are."
    )

    def source_state(self) -> str:
        """Return number, sizes and times of the files, hashed."""
        return open_source(expand_path(self.path)).state()

    def load(self, cache: Path) -> ImageArrays:  # noqa: ARG002 - read in place
        """Return 1 x H x W images in the order of their names, decoded when they are taken."""
        source = open_source(expand_path(self.path))
        findings, patients = _table(source)
        split_of = _official_split(source)
        files = {file.name: file for file in source.files if file.suffix.lower() == ".png"}
        absent = [name for name in sorted(findings) if name not in files]
        if absent and (self.missing == "refuse" or len(absent) == len(findings)):
            raise DataError(
                f"{source.path} lacks {len(absent)} of the {len(findings)} images of its table (the first is "
                f'`{absent[0]}`); unpack them there, or set `missing = "skip"` to use what there is.'
            )
        names = self._chosen(sorted(findings.keys() - set(absent)), findings, split_of)
        label_N = np.array([findings[name] for name in names], dtype=np.int64)
        images = LazyImages(source, [files[name] for name in names], 1)
        return ImageArrays(
            images,
            label_N,
            CLASS_NAMES,
            np.array([split_of[name] for name in names]),
            np.array([patients[name] for name in names]),
            state_N=images.states,
        )

    def _chosen(self, names: list[str], findings: dict[str, int], split_of: dict[str, str]) -> list[str]:
        unlisted = [name for name in names if name not in split_of]
        if unlisted:
            raise DataError(
                f"neither {' nor '.join(LISTS.values())} names the image `{unlisted[0]}` ({len(unlisted)} in all); use "
                "the lists that come with the table."
            )
        taken: Counter[tuple[int, str]] = Counter()
        chosen = []
        for name in names:
            kind = (findings[name], split_of[name])
            taken[kind] += 1
            if self.limit_per_class is None or taken[kind] <= self.limit_per_class:
                chosen.append(name)
        return chosen


def _table(source: ImageSource) -> tuple[dict[str, int], dict[str, str]]:
    """Return class and patient of each image."""
    tables = [file for file in source.files if file.name.startswith(TABLE) and file.suffix.lower() == ".csv"]
    if len(tables) != 1:
        raise DataError(
            f"{source.path} holds {len(tables)} files `{TABLE}*.csv`; it needs one, with the findings of every image."
        )
    rows = csv.DictReader(io.StringIO(_text(source, tables[0])))
    lacking = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if lacking:
        raise DataError(f"{source.path}: `{tables[0]}` has no column `{lacking[0]}`; get the official file again.")
    findings: dict[str, int] = {}
    patients: dict[str, str] = {}
    for row in rows:
        name = row["Image Index"]
        findings[name] = int(row["Finding Labels"] != HEALTHY)
        patients[name] = row["Patient ID"]
    return findings, patients


def _official_split(source: ImageSource) -> dict[str, str]:
    split_of: dict[str, str] = {}
    for split, list_name in LISTS.items():
        found = [file for file in source.files if file.name == list_name]
        if not found:
            raise DataError(f"{source.path} holds no `{list_name}`, which says what is for {split}; put it there.")
        for name in _text(source, found[0]).split():
            if split_of.setdefault(name, split) != split:
                raise DataError(f"{source.path}: the image `{name}` is in both lists; get the official files again.")
    return split_of


def _text(source: ImageSource, file: PurePosixPath) -> str:
    try:
        with source.open(file) as stream:
            return stream.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{source.path}: `{file}` is no UTF-8 text; get the official file again.") from error
