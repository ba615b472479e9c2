"""Decode a dataset once, and keep it on disk at every size that is needed.

A prepared dataset is a folder in the cache: ``meta.json``, ``labels.npy``, ``splits.npy`` where the dataset brings its
own, ``groups.npy`` where it names groups, ``sides.npy`` and ``hashes.npy`` of the images as they were decoded,
``names.npy`` where they have names, and one ``images-<resize>-<size>.npy`` (N x C x size x size, uint8) for each size.
A file that has its final name is whole: each is written under a temporary name and renamed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import platformdirs

from cnnbench.data.resize import resize_image
from cnnbench.errors import DataError, StoreError
from cnnbench.plugin import component_identity
from cnnbench.types import DatasetInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from cnnbench.plugin import Dataset, ImageArrays

_FORMAT = 3
_SPLITS = ("train", "validation", "test")
_WORTH_TELLING_BYTES = 10**9

Resize = Literal["crop", "squash"]


@dataclass(frozen=True, slots=True)
class PreparedDataset:
    """A dataset that is ready for training, as paths: cheap to send to workers, its pages shared between them."""

    info: DatasetInfo
    folder: Path

    def labels_N(self) -> NDArray[np.int64]:
        """Return the class of each example."""
        return _load(self.folder / "labels.npy")

    def splits_N(self) -> NDArray[np.str_] | None:
        """Return ``train``, ``validation`` or ``test`` for each example, if the dataset brings its own splits."""
        return _load(self.folder / "splits.npy") if self.info.has_splits else None

    def sides_N2(self) -> NDArray[np.int64]:
        """Return height and width of each image before any resizing, px."""
        return _load(self.folder / "sides.npy")

    def hashes_N(self) -> NDArray[np.uint64]:
        """Return a hash of each image's shape and pixels before any resizing."""
        return _load(self.folder / "hashes.npy")

    def names_N(self) -> NDArray[np.str_] | None:
        """Return the name of each example, if the dataset names them."""
        file = self.folder / "names.npy"
        return _load(file) if file.exists() else None

    def groups_N(self) -> NDArray[np.str_] | None:
        """Return the name of each example's group, if the dataset names groups."""
        return _load(self.folder / "groups.npy") if self.info.num_groups else None

    def images_NCHW(self, size_px: int, resize: str) -> NDArray[np.uint8]:
        """Return all images at one size, memory-mapped copy-on-write: read it, do not write to it."""
        return _load(_images_file(self.folder, size_px, resize), mmap_mode="c")


def default_cache_dir() -> Path:
    """Return ``CNNBENCH_CACHE``, or the user's cache folder."""
    given = os.environ.get("CNNBENCH_CACHE")
    return Path(given).expanduser() if given else Path(platformdirs.user_cache_dir("cnnbench", appauthor=False))


def prepare(
    dataset: Dataset,
    sizes_px: Sequence[int],
    resize: Resize,
    cache_dir: Path,
    progress: Callable[[str, int, int], None] | None = None,
) -> PreparedDataset:
    """Make sure that a dataset lies in the cache at all sizes, decoding it at most once.

    Args:
        dataset: The dataset.
        sizes_px: Sides of the square images, px.
        resize: How images that are not square become so.
        cache_dir: The cache.
        progress: Told (name of the dataset, images done, images in all); of a gigabyte and more beforehand, with the
            need of disk beside the name.

    Raises:
        DataError: The images or labels cannot be used.
        StoreError: The cache cannot be written.
    """
    identity = json.dumps([_FORMAT, component_identity(dataset), dataset.source_state()], sort_keys=True)
    folder = cache_dir / "datasets" / f"{dataset.key}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"
    missing = [size for size in sorted(set(sizes_px)) if not _images_file(folder, size, resize).exists()]
    try:
        if missing or not (folder / "meta.json").exists():
            _decode(dataset, folder, missing, resize, progress)
    except OSError as error:
        raise StoreError(
            f"the prepared images cannot be written to {folder}: {error.strerror or error}; free some space, or name "
            "another folder in the environment variable CNNBENCH_CACHE."
        ) from error
    meta = json.loads((folder / "meta.json").read_text("utf-8"))
    meta["class_names"], meta["class_counts"] = tuple(meta["class_names"]), tuple(meta["class_counts"])
    return PreparedDataset(DatasetInfo(**meta), folder)


def _decode(
    dataset: Dataset,
    folder: Path,
    sizes_px: Sequence[int],
    resize: Resize,
    progress: Callable[[str, int, int], None] | None,
) -> None:
    raw = folder.parent.parent / "raw" / dataset.key
    raw.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    with _reading(dataset):
        arrays = dataset.load(raw)
    label_N = _checked_labels(dataset, arrays)
    num_examples = len(label_N)
    groups = _checked_groups(dataset, arrays)
    digest = _begun_digest(dataset, arrays, label_N, groups)
    side_N2, hash_N = np.zeros((num_examples, 2), np.int64), np.zeros(num_examples, np.uint64)
    channels, label = 0, dataset.key
    with contextlib.ExitStack() as stack:
        outputs: dict[int, NDArray[np.uint8]] = {}
        for position, image_CHW in enumerate(_decoded(dataset, arrays)):
            _check_image(dataset, image_CHW, position, channels)
            if not channels:
                channels = image_CHW.shape[0]
                need_bytes = num_examples * channels * sum(size**2 for size in sizes_px)
                label = _announced(dataset, folder, need_bytes, num_examples, progress)
                for size in sizes_px:
                    file = _images_file(folder, size, resize)
                    outputs[size] = stack.enter_context(_new_array(file, (num_examples, channels, size, size)))
            content = repr(image_CHW.shape).encode() + np.ascontiguousarray(image_CHW).tobytes()
            digest.update(content)
            hash_N[position] = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())
            side_N2[position] = image_CHW.shape[1:]
            for size, array_NCHW in outputs.items():
                array_NCHW[position] = resize_image(image_CHW, size, resize)
            if progress is not None and (position % 64 == 63 or position == num_examples - 1):
                progress(label, position + 1, num_examples)
    counts = np.bincount(label_N, minlength=len(arrays.class_names))
    info = DatasetInfo(
        fingerprint=digest.hexdigest(),
        channels=channels,
        class_names=arrays.class_names,
        class_counts=tuple(int(count) for count in counts),
        num_examples=num_examples,
        min_side_px=int(side_N2.min()),
        max_side_px=int(side_N2.max()),
        has_splits=arrays.split_N is not None,
        has_test_split=arrays.split_N is not None and bool((np.asarray(arrays.split_N) == "test").any()),
        num_groups=len(set(groups or ())),
    )
    for name, facts in (("labels", label_N), ("sides", side_N2), ("hashes", hash_N)):
        _save(folder / f"{name}.npy", facts)
    for name, texts in (("names", arrays.name_N), ("splits", arrays.split_N), ("groups", groups)):
        if texts is not None:
            _save(folder / f"{name}.npy", np.asarray(texts, dtype=np.str_))
    with _renamed(folder / "meta.json") as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(info), indent=1), "utf-8")


def _begun_digest(
    dataset: Dataset, arrays: ImageArrays, label_N: NDArray[np.int64], groups: Sequence[str] | None
) -> hashlib._Hash:
    """Return the fingerprint's hash with all in it but the images."""
    digest = hashlib.sha256(json.dumps(list(arrays.class_names)).encode() + label_N.tobytes())
    if arrays.split_N is not None:
        digest.update("\n".join(_checked_splits(dataset, arrays)).encode())
    if groups is not None:
        digest.update(json.dumps(["groups", *groups]).encode())
    return digest


def _announced(
    dataset: Dataset,
    folder: Path,
    need_bytes: int,
    num_examples: int,
    progress: Callable[[str, int, int], None] | None,
) -> str:
    """Tell of a large need of disk, and refuse one that cannot be met; return how progress calls the dataset."""
    free_bytes = shutil.disk_usage(folder).free
    if need_bytes > free_bytes:
        raise StoreError(
            f"the prepared images of `{dataset.key}` need {need_bytes / 1e9:.1f} GB, and {folder} has "
            f"{free_bytes / 1e9:.1f} GB left; free some space, use fewer images or sizes, or name another folder in "
            "the environment variable CNNBENCH_CACHE."
        )
    if need_bytes < _WORTH_TELLING_BYTES:
        return dataset.key
    label = f"{dataset.key} ({need_bytes / 1e9:.0f} GB in {folder})"
    if progress is not None:
        progress(label, 0, num_examples)
    return label


def _decoded(dataset: Dataset, arrays: ImageArrays) -> Iterator[NDArray[np.uint8]]:
    """Yield the images; they may be read from their files only now."""
    for position in range(len(arrays.images)):
        with _reading(dataset):
            image_CHW: NDArray[np.uint8] = arrays.images[position]
        yield image_CHW


@contextlib.contextmanager
def _reading(dataset: Dataset) -> Iterator[None]:
    """Tell a file that cannot be read from a cache that cannot be written."""
    try:
        yield
    except OSError as error:
        raise DataError(f"dataset `{dataset.key}` cannot be read: {error}.") from error


def _checked_labels(dataset: Dataset, arrays: ImageArrays) -> NDArray[np.int64]:
    label_N = np.asarray(arrays.label_N, dtype=np.int64)
    num_classes = len(arrays.class_names)
    name = f"dataset `{dataset.key}`"
    if len(arrays.images) != len(label_N):
        raise DataError(f"{name} has {len(arrays.images)} images but {len(label_N)} labels.")
    if arrays.name_N is not None and len(arrays.name_N) != len(label_N):
        raise DataError(f"{name} has {len(arrays.name_N)} names but {len(label_N)} labels.")
    if num_classes < 2:
        raise DataError(f"{name} has one class only; a classification needs at least two.")
    if label_N.min(initial=0) < 0 or label_N.max(initial=0) >= num_classes:
        raise DataError(f"{name} has a label outside 0 to {num_classes - 1}.")
    empty = np.flatnonzero(np.bincount(label_N, minlength=num_classes) == 0)
    if empty.size:
        raise DataError(f"{name}: the class `{arrays.class_names[empty[0]]}` has no image; add some, or leave it out.")
    return label_N


def _checked_splits(dataset: Dataset, arrays: ImageArrays) -> list[str]:
    splits = [str(split) for split in np.asarray(arrays.split_N)]
    unknown = sorted(set(splits) - set(_SPLITS))
    if unknown or len(splits) != len(arrays.label_N):
        raise DataError(f"dataset `{dataset.key}` brings splits that are not {', '.join(_SPLITS)} for each image.")
    return splits


def _checked_groups(dataset: Dataset, arrays: ImageArrays) -> list[str] | None:
    if arrays.group_N is None:
        return None
    groups = [str(group) for group in np.asarray(arrays.group_N)]
    if len(groups) != len(arrays.label_N):
        raise DataError(f"dataset `{dataset.key}` names {len(groups)} groups for {len(arrays.label_N)} images.")
    return groups


def _check_image(dataset: Dataset, image_CHW: NDArray[np.uint8], position: int, channels: int) -> None:
    allowed = (channels,) if channels else (1, 3)
    fits = image_CHW.ndim == 3 and image_CHW.dtype == np.uint8 and image_CHW.shape[0] in allowed
    if not fits or 0 in image_CHW.shape:
        raise DataError(
            f"dataset `{dataset.key}`: image {position} is {image_CHW.dtype} of shape {image_CHW.shape}; images must "
            f"be uint8 of shape (channels, height, width) with {' or '.join(map(str, allowed))} channels."
        )


def _images_file(folder: Path, size_px: int, resize: str) -> Path:
    return folder / f"images-{resize}-{size_px}.npy"


@contextlib.contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    """Give a temporary name to write under; a process that dies leaves no file of the real name."""
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=path.parent)) / path.name
    try:
        yield temporary
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary.parent, ignore_errors=True)


@contextlib.contextmanager
def _new_array(path: Path, shape: tuple[int, ...]) -> Iterator[NDArray[np.uint8]]:
    with _renamed(path) as temporary:
        array_NCHW = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        if hasattr(os, "posix_fallocate"):  # a mapped file on a full disk would end the process by a signal
            with temporary.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, temporary.stat().st_size)
        yield array_NCHW
        array_NCHW.flush()


def _save(path: Path, array: NDArray[Any]) -> None:
    with _renamed(path) as temporary:
        np.save(temporary, array, allow_pickle=False)


def _load(path: Path, mmap_mode: Literal["c"] | None = None) -> NDArray[Any]:
    loaded: NDArray[Any] = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    return loaded
