"""Images on their way into the cache: what is decoded so far is on the disk, block by block, and is not decoded again.

A block is 32 consecutive images. A work folder holds one file of rows for each size, one for the facts about each image
(`FACTS`), beside each file its marks, one byte for each block, and ``states.npy``, what the source of each image looked
like. Two things make it safe against every end of the process and of the machine: a block is marked only after its rows
have been flushed to the disk, and the marks of images whose source has changed are taken away before anything else. A
folder without ``states.npy``, which is written with the first marks, is worth nothing: what takes a second is flushed
once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

BLOCK_IMAGES = 32
"""Small enough that little is lost and every core has work, large enough that handing a block out costs nothing."""
FACTS = np.dtype([("digest", np.uint8, (32,)), ("sides", np.int64, (2,))])
"""SHA-256 of an image's shape and pixels, and its height and width, before any resizing."""
_STATE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Task:
    """A block that is to be decoded."""

    block: int
    start: int
    """Its first image."""
    stop: int
    """The image after its last."""
    names: tuple[str, ...]
    """Files of rows that lack it."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A ``.npy`` file with one row for each image, as something to write into."""

    file: Path
    shape: tuple[int, ...]
    """Of a row."""
    offset: int
    """Where the first row begins, bytes."""

    def place(self, position: int) -> int:
        """Return where the row of an image begins, bytes."""
        return self.offset + position * int(np.prod(self.shape, dtype=np.int64))


class WorkFolder:
    """Decoded images of one dataset that are not whole yet; for one process at a time."""

    def __init__(self, path: Path, states: Sequence[str]) -> None:
        """Open the folder, or begin it, and take away what was decoded from other images.

        Args:
            path: The folder; it need not exist.
            states: A text for each image; what was decoded under another text is decoded again.
        """
        self.path, self.num_images = path, len(states)
        self.num_blocks = -(-self.num_images // BLOCK_IMAGES)
        self._states_NS, self._new_states = _hashed(states), True
        for leftover in self.path.glob(".new-*"):  # of a process that was killed
            leftover.unlink()
        self._forget_changed()
        self._rows: dict[str, Rows] = {}
        self._marks: dict[str, NDArray[np.bool_]] = {}
        self._facts_N = np.zeros(self.num_images, FACTS)
        self._new: set[int] = set()

    @property
    def facts_N(self) -> NDArray[Any]:
        """`FACTS` of the images that are decoded."""
        return self._facts_N

    @property
    def rows(self) -> dict[str, Rows]:
        """The files of images that were asked for, by name."""
        return self._rows

    def has(self, name: str) -> bool:
        """Return whether a file of rows has its place on the disk."""
        return self._file(name).exists() and self._marks_file(name).exists()

    def num_done(self, names: Iterable[str]) -> int:
        """Return how many images are whole in all files of these names."""
        done_B = self._read_marks("facts")
        for name in names:
            done_B &= self._read_marks(name)
        last = self.num_images - (self.num_blocks - 1) * BLOCK_IMAGES
        return int(done_B.sum()) * BLOCK_IMAGES - int(done_B[-1]) * (BLOCK_IMAGES - last)

    def reserve(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Take the place on the disk that images need, where it is not taken yet.

        Args:
            shapes: Name of a file of images -> shape of an image in it.

        Raises:
            OSError: There is not enough; nothing is taken then.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        begun = [name for name in shapes if not self.has(name)]
        try:
            for name in begun:
                self._begin(name, (self.num_images, *shapes[name]), np.dtype(np.uint8))
        except OSError:
            for name in begun:
                self._drop(name)
            raise
        if not self.has("facts"):
            self._begin("facts", (self.num_images,), FACTS)
        for name, shape in shapes.items():
            self._rows[name] = Rows(self._file(name), shape, _data_offset(self._file(name)))
        self._marks = {name: self._read_marks(name) for name in ("facts", *shapes)}
        self._facts_N = np.load(self._file("facts"), allow_pickle=False)

    def tasks(self) -> list[Task]:
        """Return the blocks that are not whole, in order."""
        tasks = []
        for block in range(self.num_blocks):
            lacking = tuple(name for name, done_B in self._marks.items() if not done_B[block])
            if lacking:
                start = block * BLOCK_IMAGES
                names = tuple(name for name in lacking if name != "facts")
                tasks.append(Task(block, start, min(start + BLOCK_IMAGES, self.num_images), names))
        return tasks

    def add(self, task: Task, facts: NDArray[Any]) -> None:
        """Take note of a block whose rows have been written; it is safe after the next `commit`."""
        self._facts_N[task.start : task.stop] = facts
        self._new.add(task.block)

    def commit(self) -> None:
        """Flush what has been written, then mark the blocks that are whole."""
        if not self._new:
            return
        blocks = sorted(self._new)
        facts = self._file("facts")
        with facts.open("r+b") as file:
            begin = _data_offset(facts)
            for block in blocks:
                start = block * BLOCK_IMAGES
                file.seek(begin + start * FACTS.itemsize)
                file.write(self._facts_N[start : start + BLOCK_IMAGES].tobytes())
        for name in self._marks:
            _flush(self._file(name))
        for name, done_B in self._marks.items():
            done_B[blocks] = True
            with self._marks_file(name).open("r+b") as file:
                file.write(done_B.tobytes())
            _flush(self._marks_file(name))
        if self._new_states:
            save_array(self.path / "states.npy", self._states_NS, self.path)
        self._new.clear()
        self._new_states = False

    def leave(self) -> None:
        """Keep what is decoded for the next process; where that is nothing, give back its place on the disk."""
        self.commit()
        if not any(done_B.any() for done_B in self._marks.values()):
            self.remove_if_empty(but=self._rows)

    def move(self, name: str, path: Path) -> None:
        """Flush a whole file of images to the disk and give it its final name."""
        _flush(self._file(name))
        self._marks_file(name).unlink()
        self._file(name).replace(path)

    def remove_if_empty(self, but: Iterable[str] = ()) -> None:
        """Remove the folder, unless it holds images that are to be gone on with, in other files than these."""
        if {file.stem for file in self.path.glob("images-*.npy")} <= set(but):
            self.remove()

    def remove(self) -> None:
        """Remove the folder and all in it."""
        if self.path.exists():
            shutil.rmtree(self.path)

    def _forget_changed(self) -> None:
        stored = self.path / "states.npy"
        before_NS = np.load(stored, allow_pickle=False) if stored.exists() else np.zeros((0, _STATE_BYTES), np.uint8)
        if before_NS.shape != self._states_NS.shape:
            self.remove()
            return
        changed_N = (before_NS != self._states_NS).any(axis=1)
        self._new_states = bool(changed_N.any())
        changed_B = np.add.reduceat(changed_N, np.arange(0, self.num_images, BLOCK_IMAGES)) > 0
        if changed_B.all():
            self.remove()
        elif changed_B.any():
            for marks in self.path.glob("[!.]*.done"):
                done_B = np.frombuffer(marks.read_bytes(), np.bool_) & ~changed_B
                with renamed(marks, self.path) as temporary:
                    temporary.write_bytes(done_B.tobytes())

    def _read_marks(self, name: str) -> NDArray[np.bool_]:
        if not self.has(name):
            return np.zeros(self.num_blocks, np.bool_)
        return np.frombuffer(self._marks_file(name).read_bytes(), np.bool_).copy()

    def _begin(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._drop(name)
        flush = (self.path / "states.npy").exists()
        with renamed(self._file(name), self.path, flush=flush) as temporary, temporary.open("w+b") as file:
            header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            num_bytes = file.tell() + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            file.truncate(num_bytes)
            if hasattr(os, "posix_fallocate"):  # a disk that is too small is found now, not after hours
                os.posix_fallocate(file.fileno(), 0, num_bytes)
        with renamed(self._marks_file(name), self.path, flush=flush) as temporary:
            temporary.write_bytes(bytes(self.num_blocks))

    def _drop(self, name: str) -> None:
        self._marks_file(name).unlink(missing_ok=True)
        self._file(name).unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.npy"

    def _marks_file(self, name: str) -> Path:
        return self.path / f"{name}.done"


@contextlib.contextmanager
def renamed(path: Path, folder: Path, *, flush: bool = True) -> Iterator[Path]:
    """Give a temporary name in a folder to write under; a file of the real name is whole and, flushed, on the disk."""
    temporary = folder / f".new-{path.name}"
    try:
        yield temporary
        if flush:
            _flush(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def save_array(path: Path, array: NDArray[Any], folder: Path) -> None:
    """Write an array, under a temporary name in a folder first."""
    with renamed(path, folder) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _flush(path: Path) -> None:
    """Return when a file's content is on the disk, whichever process wrote it."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _data_offset(path: Path) -> int:
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        return file.tell()


def _hashed(states: Sequence[str]) -> NDArray[np.uint8]:
    digests = b"".join(hashlib.blake2b(state.encode(), digest_size=_STATE_BYTES).digest() for state in states)
    return np.frombuffer(digests, np.uint8).reshape(len(states), _STATE_BYTES)
