"""Decode a dataset once, and keep it on disk at every size that is needed.

A prepared dataset is a folder in the cache: ``meta.json``, ``labels.npy``, ``splits.npy`` where the dataset brings its
own, ``groups.npy`` where it names groups, ``sides.npy`` and ``hashes.npy`` of the images as they were decoded,
``names.npy`` where they have names, and one ``images-<resize>-<size>.npy`` (N x C x size x size, uint8) for each size.
A file that has its final name is whole. What is being decoded lies in a folder beside it, whose name begins with
``.decoding-``: see `cnnbench.data.blocks`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import platformdirs
from filelock import FileLock, Timeout

from cnnbench.data.blocks import WorkFolder, renamed, save_array
from cnnbench.data.checks import Examples, check_image, reading
from cnnbench.data.decode import Job, decode_blocks
from cnnbench.errors import DataError, StoreError
from cnnbench.plugin import component_identity
from cnnbench.types import DatasetInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from cnnbench.data.resize import Resize
    from cnnbench.plugin import Dataset

    Progress = Callable[[str, int, int], None]
    Shapes = Mapping[str, tuple[int, ...]]

_FORMAT = 4
_WORTH_TELLING_BYTES = 10**9
_COMMIT_EVERY_S = 1.0
"""Little more than this much work is lost when the process is killed, and flushing costs little of it."""
_TELL_EVERY_S = 1.0


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
        """Return all images at one size, mapped into memory to be read only.

        A mapping that could be written to, if only to a copy, is refused by the kernel beyond the size of its memory.
        """
        return _load(self.folder / f"{_images(size_px, resize)}.npy", mmap_mode="r")


def default_cache_dir() -> Path:
    """Return ``CNNBENCH_CACHE``, or the user's cache folder."""
    given = os.environ.get("CNNBENCH_CACHE")
    return Path(given).expanduser() if given else Path(platformdirs.user_cache_dir("cnnbench", appauthor=False))


def prepare(
    dataset: Dataset,
    sizes_px: Sequence[int],
    resize: Resize,
    cache_dir: Path,
    progress: Progress | None = None,
) -> PreparedDataset:
    """Make sure that a dataset lies in the cache at all sizes, decoding what is not there.

    An interrupted call is gone on with by the next one. One process at a time decodes a dataset; others wait for it.

    Args:
        dataset: The dataset.
        sizes_px: Sides of the square images, px.
        resize: How images that are not square become so.
        cache_dir: The cache.
        progress: Told (name of the dataset, images done, images in all) about every second and at the end; beforehand
            where images are done already, and of a gigabyte and more, with the need of disk beside the name; and
            (a sentence, 0, 0) when it waits for another process.

    Raises:
        DataError: The images or labels cannot be used.
        SetupError: A process that decodes was killed.
        StoreError: The cache cannot be written.
    """
    place = _Place.of(dataset, resize, cache_dir)
    try:
        if place.lacks(sizes_px):
            with place.locked(dataset, progress):
                if place.lacks(sizes_px):  # another process may have decoded them meanwhile
                    _decode(dataset, place, place.missing(sizes_px), progress or _tell_nobody)
    except OSError as error:
        raise StoreError(
            f"the prepared images cannot be written to {place.folder}: {error.strerror or error}; free some space, or "
            "name another folder in the environment variable CNNBENCH_CACHE."
        ) from error
    meta = json.loads((place.folder / "meta.json").read_text("utf-8"))
    meta["class_names"], meta["class_counts"] = tuple(meta["class_names"]), tuple(meta["class_counts"])
    return PreparedDataset(DatasetInfo(**meta), place.folder)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a dataset lies in the cache, and where it is worked on."""

    folder: Path
    work: Path
    """Its name does not depend on the state of the source: images that have not changed need not be decoded again."""
    raw: Path
    resize: Resize
    state: str
    """Of the source: the images of another state belong elsewhere."""

    @classmethod
    def of(cls, dataset: Dataset, resize: Resize, cache_dir: Path) -> _Place:
        identity, all_fields = component_identity(dataset), type(dataset).model_fields
        unnamed = {name: repr(getattr(dataset, name)) for name, field in all_fields.items() if field.exclude}
        datasets, state = cache_dir / "datasets", dataset.source_state()
        return cls(
            datasets / f"{dataset.key}-{_short_hash([_FORMAT, identity, state])}",
            datasets / f".decoding-{dataset.key}-{_short_hash([_FORMAT, identity, unnamed])}",
            cache_dir / "raw" / dataset.key,
            resize,
            state,
        )

    def missing(self, sizes_px: Sequence[int]) -> list[int]:
        """Return the sizes that are not there."""
        files = {size: self.folder / f"{_images(size, self.resize)}.npy" for size in sorted(set(sizes_px))}
        return [size for size, file in files.items() if not file.exists()]

    def lacks(self, sizes_px: Sequence[int]) -> bool:
        """Return whether there is anything to decode."""
        return bool(self.missing(sizes_px)) or not (self.folder / "meta.json").exists()

    @contextlib.contextmanager
    def locked(self, dataset: Dataset, progress: Progress | None) -> Iterator[None]:
        """Keep other processes from decoding the dataset; wait where one does."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.work.with_name(f"{self.work.name}.lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if progress is not None:
                progress(f"{dataset.key}: another process is doing it; waiting until it is done", 0, 0)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()


def _decode(dataset: Dataset, place: _Place, sizes_px: Sequence[int], progress: Progress) -> None:
    """Decode what is missing, and give it its final names; meta.json comes last."""
    _check_state(dataset, place.state)  # it may have changed while another process was waited for
    place.raw.mkdir(parents=True, exist_ok=True)
    with reading(dataset.key):
        arrays = dataset.load(place.raw)
    examples = Examples.of(dataset, arrays)
    with reading(dataset.key):
        first_CHW = arrays.images[0]
    check_image(dataset.key, first_CHW, 0)
    channels, num_examples = first_CHW.shape[0], len(examples.label_N)
    shapes: Shapes = {_images(size, place.resize): (channels, size, size) for size in sizes_px}
    states = [place.state] * num_examples if arrays.state_N is None else arrays.state_N
    work = WorkFolder(place.work, [f"{channels} {one}" for one in states])
    need_bytes = num_examples * sum(int(np.prod(shape)) for name, shape in shapes.items() if not work.has(name))
    _check_disk(dataset, place.folder, need_bytes)
    label = _announced(dataset, place.folder, work, shapes, progress)
    work.reserve(shapes)
    job = Job(dataset.key, arrays.images, channels, place.resize, work.rows)
    try:
        _decode_all(job, work, label, progress)
        info = _info(examples, work.facts_N, channels)
        _check_state(dataset, place.state)
        _check_fingerprint(dataset, place.folder, info)
    except BaseException:
        with contextlib.suppress(OSError):  # what went wrong first is what is told
            work.leave()
        raise
    _finish(place, work, info, examples)


def _decode_all(job: Job, work: WorkFolder, label: str, progress: Progress) -> None:
    tasks, total, done = work.tasks(), work.num_images, work.num_done(work.rows)
    told = committed = time.monotonic()
    with contextlib.closing(decode_blocks(job, tasks)) as blocks:
        for task, facts in blocks:
            work.add(task, facts)
            done += len(facts)
            if time.monotonic() - committed >= _COMMIT_EVERY_S:
                work.commit()
                committed = time.monotonic()
            if time.monotonic() - told >= _TELL_EVERY_S:
                progress(label, done, total)
                told = time.monotonic()
    progress(label, total, total)


def _info(examples: Examples, facts_N: NDArray[Any], channels: int) -> DatasetInfo:
    side_N2, counts = facts_N["sides"], np.bincount(examples.label_N, minlength=len(examples.class_names))
    return DatasetInfo(
        fingerprint=examples.fingerprint(facts_N["digest"]),
        channels=channels,
        class_names=examples.class_names,
        class_counts=tuple(int(count) for count in counts),
        num_examples=len(examples.label_N),
        min_side_px=int(side_N2.min()),
        max_side_px=int(side_N2.max()),
        has_splits=examples.splits is not None,
        has_test_split="test" in (examples.splits or ()),
        num_groups=len(set(examples.groups or ())),
    )


def _check_state(dataset: Dataset, state: str) -> None:
    """Refuse images whose files changed meanwhile."""
    if dataset.source_state() != state:
        raise DataError(f"the files of `{dataset.key}` changed while they were decoded; run again.")


def _check_fingerprint(dataset: Dataset, folder: Path, info: DatasetInfo) -> None:
    """Refuse images that are not those that lie in the cache at other sizes."""
    meta = folder / "meta.json"
    if meta.exists() and json.loads(meta.read_text("utf-8"))["fingerprint"] != info.fingerprint:
        raise DataError(
            f"the images of `{dataset.key}` are not those that were decoded at other sizes before, though their source "
            f"looks the same; delete the folder {folder} and run again."
        )


def _finish(place: _Place, work: WorkFolder, info: DatasetInfo, examples: Examples) -> None:
    place.folder.mkdir(exist_ok=True)
    for name in work.rows:
        work.move(name, place.folder / f"{name}.npy")
    if not (place.folder / "meta.json").exists():
        hash_N = np.ascontiguousarray(work.facts_N["digest"][:, :8]).view(np.uint64)[:, 0]
        facts = {"labels": examples.label_N, "sides": work.facts_N["sides"], "hashes": hash_N}
        texts = {"names": examples.names, "splits": examples.splits, "groups": examples.groups}
        facts |= {name: np.asarray(text, dtype=np.str_) for name, text in texts.items() if text is not None}
        for name, array in facts.items():
            save_array(place.folder / f"{name}.npy", array, work.path)
        with renamed(place.folder / "meta.json", work.path) as temporary:
            temporary.write_text(json.dumps(dataclasses.asdict(info), indent=1), "utf-8")
    work.remove_if_empty()


def _check_disk(dataset: Dataset, folder: Path, need_bytes: int) -> None:
    free_bytes = shutil.disk_usage(folder.parent).free
    if need_bytes > free_bytes:
        raise StoreError(
            f"the prepared images of `{dataset.key}` need {need_bytes / 1e9:.1f} GB, and {folder} has "
            f"{free_bytes / 1e9:.1f} GB left; free some space, use fewer images or sizes, or name another folder in "
            "the environment variable CNNBENCH_CACHE."
        )


def _announced(dataset: Dataset, folder: Path, work: WorkFolder, shapes: Shapes, progress: Progress) -> str:
    """Tell of a large need of disk and of what is done already; return how progress calls the dataset."""
    total, done, label = work.num_images, work.num_done(shapes), dataset.key
    size_bytes = total * sum(int(np.prod(shape)) for shape in shapes.values())
    if size_bytes >= _WORTH_TELLING_BYTES:
        label = f"{dataset.key} ({size_bytes / 1e9:.0f} GB in {folder})"
    if done:
        label = f"{label}, going on"
    if done or label != dataset.key:
        progress(label, done, total)
    return label


def _tell_nobody(_name: str, _done: int, _total: int) -> None:
    """Be told nothing but silence."""


def _images(size_px: int, resize: str) -> str:
    return f"images-{resize}-{size_px}"


def _short_hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _load(path: Path, mmap_mode: Literal["r"] | None = None) -> NDArray[Any]:
    loaded: NDArray[Any] = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    return loaded
