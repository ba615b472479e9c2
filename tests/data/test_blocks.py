from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnbench.data.blocks import BLOCK_IMAGES, FACTS, Task, WorkFolder

SHAPES = {"images-crop-2": (1, 2, 2)}
NUM = 2 * BLOCK_IMAGES + 5


def work_in(path: Path, states: list[str] | None = None) -> WorkFolder:
    work = WorkFolder(path, states or ["same"] * NUM)
    work.reserve(SHAPES)
    return work


def do(work: WorkFolder, task: Task, value: int) -> None:
    """Write the rows of a block as a decoder does."""
    rows = work.rows["images-crop-2"]
    with rows.file.open("r+b") as file:
        file.seek(rows.place(task.start))
        file.write(bytes([value]) * 4 * (task.stop - task.start))
    facts = np.zeros(task.stop - task.start, FACTS)
    facts["sides"] = value
    work.add(task, facts)


def test_blocks_cover_all_images_once_and_the_last_one_is_shorter(tmp_path: Path):
    tasks = work_in(tmp_path / "work").tasks()

    assert [position for task in tasks for position in range(task.start, task.stop)] == list(range(NUM))
    assert [task.names for task in tasks] == [("images-crop-2",)] * 3


def test_what_was_committed_is_there_for_the_next_process_and_nothing_else(tmp_path: Path):
    work = work_in(tmp_path / "work")
    first, second, _ = work.tasks()
    do(work, first, 7)
    work.commit()
    do(work, second, 8)

    again = work_in(tmp_path / "work")

    assert [task.block for task in again.tasks()] == [1, 2]
    assert again.num_done(SHAPES) == BLOCK_IMAGES
    assert (again.facts_N["sides"][:BLOCK_IMAGES] == 7).all()
    images_NCHW = np.load(again.rows["images-crop-2"].file, mmap_mode="r")
    assert images_NCHW.shape == (NUM, 1, 2, 2)
    assert (images_NCHW[:BLOCK_IMAGES] == 7).all()


@pytest.mark.skipif(sys.platform != "linux", reason="names of open files are read in /proc")
def test_rows_are_on_the_disk_before_they_are_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """After a power cut a block that is marked must be whole: marks that come first would lie."""
    work = work_in(tmp_path / "work")
    do(work, work.tasks()[0], 7)
    work.commit()
    work = work_in(tmp_path / "work")
    flushed: list[tuple[str, bytes]] = []

    def fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        flushed.append((name, (tmp_path / "work" / "images-crop-2.done").read_bytes()))

    monkeypatch.setattr(os, "fsync", fsync)
    do(work, work.tasks()[0], 7)
    work.commit()
    work.commit()

    names = [name for name, _ in flushed]
    assert sorted(names) == ["facts.done", "facts.npy", "images-crop-2.done", "images-crop-2.npy"]
    rows_are_flushed = max(names.index("facts.npy"), names.index("images-crop-2.npy"))
    assert [marks for _, marks in flushed[: rows_are_flushed + 1]] == [bytes([1, 0, 0])] * (rows_are_flushed + 1)
    assert flushed[-1][1] == bytes([1, 1, 0])


def test_what_was_never_committed_is_worth_nothing(tmp_path: Path):
    """Its files were not flushed when they were begun: after a power cut they may hold anything."""
    work = work_in(tmp_path / "work")
    do(work, work.tasks()[0], 7)
    for file in (tmp_path / "work").iterdir():
        file.write_bytes(b"")

    assert [task.block for task in work_in(tmp_path / "work").tasks()] == [0, 1, 2]


def test_a_disk_that_is_too_small_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: int) -> None:
        raise OSError(28, "No space left on device")

    work = WorkFolder(tmp_path / "work", ["same"] * NUM)
    monkeypatch.setattr(os, "posix_fallocate", fail, raising=False)
    with pytest.raises(OSError, match="No space"):
        work.reserve(SHAPES)

    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "left"), [([], [2]), ([3], [0, 2]), ([BLOCK_IMAGES, NUM - 1], [1, 2]), (range(NUM), [0, 1, 2])]
)
def test_a_changed_image_costs_its_block(tmp_path: Path, changed: list[int], left: list[int]):
    work = work_in(tmp_path / "work")
    for task in work.tasks()[:2]:
        do(work, task, 7)
    work.commit()

    states = ["other" if position in changed else "same" for position in range(NUM)]

    assert [task.block for task in work_in(tmp_path / "work", states).tasks()] == left
    assert [task.block for task in work_in(tmp_path / "work", states).tasks()] == left


@pytest.mark.parametrize("leftover", [b"", bytes(3)])
def test_what_a_killed_process_was_writing_is_no_mark(tmp_path: Path, leftover: bytes):
    work = work_in(tmp_path / "work")
    for task in work.tasks():
        do(work, task, 7)
    work.commit()
    (tmp_path / "work" / ".new-facts.done").write_bytes(leftover)

    again = work_in(tmp_path / "work", ["other", *["same"] * (NUM - 1)])

    assert [task.start for task in again.tasks()] == [0]
    assert not list((tmp_path / "work").glob(".new-*"))


def test_more_or_fewer_images_begin_anew(tmp_path: Path):
    work = work_in(tmp_path / "work")
    do(work, work.tasks()[0], 7)
    work.commit()

    assert len(work_in(tmp_path / "work", ["same"] * (NUM + 1)).tasks()) == 3


def test_a_size_that_is_added_needs_no_facts_again_but_all_rows(tmp_path: Path):
    work = work_in(tmp_path / "work")
    for task in work.tasks():
        do(work, task, 7)
    work.commit()

    more = WorkFolder(tmp_path / "work", ["same"] * NUM)
    more.reserve({**SHAPES, "images-crop-4": (1, 4, 4)})

    assert [task.names for task in more.tasks()] == [("images-crop-4",)] * 3
    assert more.num_done(SHAPES) == NUM


def test_a_folder_that_holds_other_sizes_is_kept_for_them(tmp_path: Path):
    work = WorkFolder(tmp_path / "work", ["same"] * NUM)
    work.reserve({**SHAPES, "images-crop-4": (1, 4, 4)})
    work.move("images-crop-4", tmp_path / "final.npy")
    work.remove_if_empty()
    assert work.has("images-crop-2")
    work.move("images-crop-2", tmp_path / "final.npy")
    work.remove_if_empty()
    assert not (tmp_path / "work").exists()
