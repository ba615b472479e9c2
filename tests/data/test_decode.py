"""Decoding that is stopped at any point, by anything, and goes on; with and without workers."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cnnbench.data import prepare
from cnnbench.data.blocks import BLOCK_IMAGES, WorkFolder
from cnnbench.data.decode import _Parcel
from cnnbench.errors import DataError, SetupError, StoreError
from cnnbench.plugin import Dataset, ImageArrays

SIZES = [8, 12]

SHAPES = [(1, 8, 8), (1, 10, 20), (1, 30, 12)]


class LazyPictures(Sequence[NDArray[np.uint8]]):
    """Images of three shapes; what happens at one of them is decided by the dataset."""

    def __init__(self, dataset: Pictures) -> None:
        self.dataset, self.parent = dataset, os.getpid()

    def __len__(self) -> int:
        return self.dataset.num

    def __getitem__(self, position: int) -> NDArray[np.uint8]:  # type: ignore[override]  # slices are not taken
        self._log(position)
        if position == self.dataset.at and self.dataset.does != "nothing":
            self._do(position)
        rng = np.random.default_rng([position, self.dataset.changed and position in self.dataset.changed])
        return rng.integers(0, 256, SHAPES[position % 3], dtype=np.uint8)

    def _log(self, position: int) -> None:
        if self.dataset.log:
            with Path(self.dataset.log).open("a", encoding="utf-8") as file:
                file.write(f"{os.getpid()} {position}\n")

    def _do(self, position: int) -> None:
        if self.dataset.does == "break":
            raise DataError(f"picture {position} is broken; mend it.")
        if self.dataset.does == "wait":
            while not Path(self.dataset.gate).exists():
                time.sleep(0.01)
        elif os.getpid() != self.parent:
            os.kill(os.getpid() if self.dataset.does == "kill worker" else os.getppid(), signal.SIGKILL)
            time.sleep(0.2)


class Pictures(Dataset):
    """Its fields but for ``num`` are no part of its identity, as a path is none."""

    key = "pictures"
    num: int = 200
    loads: ClassVar[list[int]] = []
    at: ClassVar[int] = -1
    does: ClassVar[str] = "nothing"
    changed: ClassVar[tuple[int, ...]] = ()
    """Images whose content, and whose state, is another one."""
    log: ClassVar[str] = ""
    """File that gets process id and position of each image that is taken."""
    gate: ClassVar[str] = ""
    states: ClassVar[bool] = True
    """Whether it tells the state of each image."""

    def source_state(self) -> str:
        return repr(self.changed)

    def load(self, cache: Path) -> ImageArrays:
        assert cache.is_dir()
        self.loads.append(self.num)
        state_N = [f"{position} {position in self.changed}" for position in range(self.num)]
        return ImageArrays(
            LazyPictures(self), np.arange(self.num) % 2, ("even", "odd"), state_N=state_N if self.states else None
        )


@contextlib.contextmanager
def pictures_that(**attributes: object) -> Iterator[None]:
    """Change what the pictures do."""
    with mock.patch.multiple(Pictures, **attributes):
        yield


@contextlib.contextmanager
def cores(number: int, alone_s: float = 0) -> Iterator[None]:
    """Decode as on a machine of so many cores, and in workers from the start."""
    with (
        mock.patch("cnnbench.cores.available_cores", return_value=number),
        mock.patch("cnnbench.data.decode._ALONE_S", alone_s),
    ):
        yield


def taken(log: Path) -> list[tuple[int, int]]:
    """Return process id and position of the images that were taken."""
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    return [(int(line.split()[0]), int(line.split()[1])) for line in lines]


def content(folder: Path) -> dict[str, bytes]:
    """Return every file of a prepared dataset."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def work_folder(cache: Path) -> Path:
    """Return the one folder of a dataset that is being decoded."""
    (folder,) = (path for path in cache.glob("datasets/.decoding-*") if path.is_dir())
    return folder


@pytest.fixture(scope="module", autouse=True)
def _unflushed() -> Iterator[None]:
    """Wait for no disk: what flushing is for is tested with the work folder, and nobody pulls a plug here."""
    with mock.patch("os.fsync"):
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the pictures, decoded in one go in one process."""
    with cores(1):
        return content(prepare(Pictures(), SIZES, "crop", tmp_path_factory.mktemp("whole")).folder)


# ------------------------------------------------------------------------------------------------ workers


@pytest.mark.parametrize("number", [1, 2, 5, 64])
def test_any_number_of_processes_makes_the_same_files(tmp_path: Path, whole: dict[str, bytes], number: int):
    with cores(number), pictures_that(log=str(tmp_path / "log")):
        prepared = prepare(Pictures(), SIZES, "crop", tmp_path)

    assert content(prepared.folder) == whole
    processes = {process for process, position in taken(tmp_path / "log") if position}
    assert (os.getpid() in processes) == (number == 1)
    assert len(processes) <= min(number, 7)
    assert multiprocessing.active_children() == []
    assert [path.name for path in (tmp_path / "datasets").glob(".decoding-*") if path.is_dir()] == []


def test_a_small_dataset_is_decoded_without_any_other_process(tmp_path: Path):
    with cores(4, alone_s=60), pictures_that(log=str(tmp_path / "log")):
        prepare(Pictures(), SIZES, "crop", tmp_path)

    assert {process for process, _ in taken(tmp_path / "log")} == {os.getpid()}


def test_images_that_cannot_be_pickled_are_decoded_in_this_process(tmp_path: Path, whole: dict[str, bytes]):
    """What holds an open file, say: processes would move its position for each other."""
    with (
        cores(4),
        mock.patch.object(LazyPictures, "__reduce__", side_effect=TypeError, create=True),
        pictures_that(log=str(tmp_path / "log")),
    ):
        prepared = prepare(Pictures(), SIZES, "crop", tmp_path)

    assert content(prepared.folder) == whole
    assert {process for process, _ in taken(tmp_path / "log")} == {os.getpid()}


def test_arrays_are_shared_with_workers_and_not_pickled(tmp_path: Path):
    np.save(tmp_path / "images.npy", np.zeros((64, 1, 64, 64), np.uint8))
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")

    for images in (mapped, list(mapped), (mapped[:2], mapped[2:])):
        parcel = _Parcel.of(images)
        assert len(parcel.pickled) < 1000
        assert np.shares_memory(np.asarray(parcel.unpacked()[0]), mapped)


def test_without_more_processes_from_the_system_this_one_does_it(tmp_path: Path, whole: dict[str, bytes]):
    with cores(2), mock.patch("os.fork", side_effect=BlockingIOError):
        assert content(prepare(Pictures(), SIZES, "crop", tmp_path).folder) == whole


# ------------------------------------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize("number", [1, 3])
def test_a_broken_image_is_named_and_when_it_is_mended_decoding_goes_on(
    tmp_path: Path, whole: dict[str, bytes], number: int
):
    named = pytest.raises(DataError, match="^picture 150 is broken; mend it.$")
    with cores(number), pictures_that(at=150, does="break"), named:
        prepare(Pictures(), SIZES, "crop", tmp_path)
    assert multiprocessing.active_children() == []
    kept = work_marks(tmp_path)

    with cores(1), pictures_that(log=str(tmp_path / "log")):
        prepared = prepare(Pictures(), SIZES, "crop", tmp_path)

    assert content(prepared.folder) == whole
    again = {position // BLOCK_IMAGES for _, position in taken(tmp_path / "log") if position}
    assert again == {block for block in range(7) if not kept[block]}
    assert not kept[150 // BLOCK_IMAGES]
    assert number > 1 or sum(kept) == 150 // BLOCK_IMAGES


def work_marks(cache: Path) -> list[bool]:
    """Return for each block whether it is whole at all sizes."""
    marks = [file.read_bytes() for file in work_folder(cache).glob("*.done")]
    assert len(marks) == len(SIZES) + 1
    return [all(block) for block in zip(*marks, strict=True)]


def test_what_a_decoder_does_wrong_keeps_its_traceback(tmp_path: Path):
    bug = mock.patch.object(LazyPictures, "_do", side_effect=ZeroDivisionError("a bug"))
    with cores(3), bug, pictures_that(at=100, does="break"), pytest.raises(ZeroDivisionError, match="a bug") as raised:
        prepare(Pictures(), SIZES, "crop", tmp_path)

    assert "__getitem__" in [entry.name for entry in raised.traceback]


def test_a_worker_that_is_killed_is_a_sentence_and_costs_its_block_alone(tmp_path: Path, whole: dict[str, bytes]):
    killed = pytest.raises(SetupError, match="images 96 to 127 of `pictures` was killed by SIGKILL; the machine may")
    with cores(2), pictures_that(at=100, does="kill worker"), killed:
        prepare(Pictures(), SIZES, "crop", tmp_path)

    assert multiprocessing.active_children() == []
    assert sum(work_marks(tmp_path)) >= 1
    with cores(2):
        assert content(prepare(Pictures(), SIZES, "crop", tmp_path).folder) == whole


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_a_killed_process_leaves_no_workers_and_another_one_goes_on(tmp_path: Path, whole: dict[str, bytes]):
    context = multiprocessing.get_context("fork")
    with cores(3), pictures_that(at=150, does="kill parent", log=str(tmp_path / "log")):
        first = context.Process(target=prepare, args=(Pictures(), SIZES, "crop", tmp_path))
        with mock.patch("cnnbench.data.prepare._COMMIT_EVERY_S", 0):
            first.start()
        first.join()
    assert first.exitcode == -signal.SIGKILL
    orphans = {process for process, _ in taken(tmp_path / "log")} - {first.pid}
    for _ in range(500):
        orphans = {process for process in orphans if is_alive(process)}
        time.sleep(0.02 if orphans else 0)
    assert not orphans

    with cores(2):
        assert content(prepare(Pictures(), SIZES, "crop", tmp_path).folder) == whole


def is_alive(process: int) -> bool:
    """Return whether a process runs; one that has ended but was not asked after has no command line."""
    with contextlib.suppress(FileNotFoundError):
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    return False


def test_a_full_disk_is_a_sentence_also_from_a_worker(tmp_path: Path, whole: dict[str, bytes]):
    full = mock.patch("cnnbench.data.decode.resize_image", side_effect=OSError(28, "No space left on device"))
    with cores(2), full, pytest.raises(StoreError, match="No space left on device; free some space"):
        prepare(Pictures(), SIZES, "crop", tmp_path)

    assert content(prepare(Pictures(), SIZES, "crop", tmp_path).folder) == whole


def test_two_processes_do_not_decode_the_same_at_once(tmp_path: Path, whole: dict[str, bytes]):
    told: list[tuple[str, int, int]] = []

    def tell(name: str, done: int, total: int) -> None:
        told.append((name, done, total))
        (tmp_path / "gate").touch()

    with pictures_that(at=100, does="wait", gate=str(tmp_path / "gate"), log=str(tmp_path / "log")):
        first = multiprocessing.get_context("fork").Process(target=prepare, args=(Pictures(), SIZES, "crop", tmp_path))
        first.start()
        while not taken(tmp_path / "log"):
            time.sleep(0.01)
        Pictures.loads.clear()
        prepared = prepare(Pictures(), SIZES, "crop", tmp_path, tell)
        first.join()

    assert told == [("pictures: another process is doing it; waiting until it is done", 0, 0)]
    assert Pictures.loads == []
    assert content(prepared.folder) == whole


# ------------------------------------------------------------------------------------------------ going on


class Stop(KeyboardInterrupt):
    """An interruption at a place that was chosen."""


def scribble(cache: Path) -> None:
    """Do the worst that a power cut can do: rows that are not marked are lost, in all files."""
    folder = work_folder(cache)
    for marks in folder.glob("*.done"):
        rows = marks.with_suffix(".npy")
        shape = np.load(rows, mmap_mode="r").shape
        row_bytes = int(np.prod(shape[1:], dtype=np.int64)) if len(shape) > 1 else 48
        begin = rows.stat().st_size - shape[0] * row_bytes
        with rows.open("r+b") as file:
            for block in (block for block, done in enumerate(marks.read_bytes()) if not done):
                stop = min((block + 1) * BLOCK_IMAGES, shape[0])
                file.seek(begin + block * BLOCK_IMAGES * row_bytes)
                file.write(b"\xa5" * (stop - block * BLOCK_IMAGES) * row_bytes)


def stopped_after(num_blocks: int, cache: Path, sizes: list[int], *, killed: bool) -> None:
    """Decode until so many blocks have come, then stop as by Ctrl-C, or as by a power cut."""
    add, left = WorkFolder.add, [num_blocks]

    def stopping(work: WorkFolder, *block: Any) -> None:
        if not left[0]:
            raise Stop
        left[0] -= 1
        add(work, *block)

    with mock.patch.object(WorkFolder, "add", stopping), contextlib.ExitStack() as stack:
        if killed:
            stack.enter_context(mock.patch.object(WorkFolder, "leave"))
        with contextlib.suppress(Stop):
            prepare(Pictures(), sizes, "crop", cache)
    if killed and list(cache.glob("datasets/.decoding-*/*.done")):
        scribble(cache)


stops = st.tuples(st.integers(0, 7), st.integers(1, 3), st.booleans(), st.sampled_from([[8], [12], SIZES]))


@settings(max_examples=25)
@given(interruptions=st.lists(stops, min_size=1, max_size=3), every_s=st.sampled_from([0, 1e9]), last=st.integers(1, 3))
def test_whatever_interrupts_it_and_however_many_go_on_the_files_are_the_same(
    whole: dict[str, bytes], interruptions: list[tuple[int, int, bool, list[int]]], every_s: float, last: int
):
    with tempfile.TemporaryDirectory() as folder, mock.patch("cnnbench.data.prepare._COMMIT_EVERY_S", every_s):
        cache = Path(folder)
        for num_blocks, number, killed, sizes in interruptions:
            with cores(number):
                stopped_after(num_blocks, cache, sizes, killed=killed)
        with cores(last):
            prepared = prepare(Pictures(), SIZES, "crop", cache)
        assert content(prepared.folder) == whole


def test_what_is_done_is_told_and_not_done_again(tmp_path: Path):
    told: list[tuple[str, int, int]] = []
    with cores(1):
        stopped_after(3, tmp_path, SIZES, killed=False)
        with pictures_that(log=str(tmp_path / "log")):
            prepare(Pictures(), SIZES, "crop", tmp_path, lambda *given: told.append(given))

    assert told[0] == ("pictures, going on", 96, 200)
    assert told[-1] == ("pictures, going on", 200, 200)
    assert [position for _, position in taken(tmp_path / "log")] == [0, *range(96, 200)]


def test_the_last_block_counts_as_many_images_as_it_has(tmp_path: Path):
    told: list[tuple[str, int, int]] = []
    with cores(1):
        stopped_after(7, tmp_path, [8], killed=False)
        stopped_after(6, tmp_path, SIZES, killed=False)
        prepare(Pictures(), SIZES, "crop", tmp_path, lambda *given: told.append(given))

    assert told[0] == ("pictures, going on", 192, 200)


def test_images_that_changed_meanwhile_are_decoded_again_and_nothing_is_mixed(tmp_path: Path):
    with cores(1):
        stopped_after(5, tmp_path, SIZES, killed=False)
        with pictures_that(changed=(40, 190), log=str(tmp_path / "log")):
            prepared = prepare(Pictures(), SIZES, "crop", tmp_path)
            fresh = prepare(Pictures(), SIZES, "crop", tmp_path / "fresh")

    assert content(prepared.folder) == content(fresh.folder)
    positions = [position for _, position in taken(tmp_path / "log")]
    assert positions[: 1 + 104] == [0, *range(32, 64), *range(160, 200), *positions[73:105]]


def test_without_states_of_the_images_another_source_begins_anew(tmp_path: Path):
    with cores(1), pictures_that(states=False):
        stopped_after(5, tmp_path, SIZES, killed=False)
        with pictures_that(changed=(40,), log=str(tmp_path / "log")):
            prepared = prepare(Pictures(), SIZES, "crop", tmp_path)
            assert len(taken(tmp_path / "log")) == 201
            fresh = prepare(Pictures(), SIZES, "crop", tmp_path / "fresh")

    assert content(prepared.folder) == content(fresh.folder)


def test_files_that_change_while_they_are_decoded_are_refused_and_then_decoded_again(tmp_path: Path):
    def change(*_: object) -> None:
        Pictures.changed = (40,)

    with cores(1), pictures_that(changed=()):
        with pytest.raises(DataError, match="the files of `pictures` changed while they were decoded; run again."):
            prepare(Pictures(), SIZES, "crop", tmp_path, change)
        prepared = prepare(Pictures(), SIZES, "crop", tmp_path)
        assert content(prepared.folder) == content(prepare(Pictures(), SIZES, "crop", tmp_path / "fresh").folder)


def test_files_that_change_while_another_process_is_waited_for_are_not_filed_under_what_they_were(tmp_path: Path):
    place = sys.modules[prepare.__module__]._Place

    def of(*given: Any) -> Any:
        found = original(*given)
        Pictures.changed = (40,)
        return found

    original = place.of
    with cores(1), pictures_that(changed=()), mock.patch.object(place, "of", of):
        with pytest.raises(DataError, match="changed while they were decoded; run again"):
            prepare(Pictures(), SIZES, "crop", tmp_path)
        assert not list((tmp_path / "datasets").glob("pictures-*"))


def test_another_size_later_has_the_same_fingerprint_or_is_refused(tmp_path: Path, whole: dict[str, bytes]):
    with cores(2):
        first = prepare(Pictures(), [8], "crop", tmp_path)
        refused = pytest.raises(DataError, match=f"not those that were decoded .*; delete the folder {first.folder}")
        unseen = mock.patch.object(Pictures, "source_state", return_value="()")
        with pictures_that(changed=(40,)), unseen, refused:
            prepare(Pictures(), SIZES, "crop", tmp_path)
        assert content(prepare(Pictures(), SIZES, "crop", tmp_path).folder) == whole
