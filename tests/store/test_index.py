from __future__ import annotations

import dataclasses
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from cnnbench.errors import StoreError
from cnnbench.store import RunFolder, StoredTrial, index, read_trial
from cnnbench.types import MetricInfo, TrialResult

from .conftest import make_result, make_trial

RECALL = MetricInfo("validation_recall_by_class", "r", "validation", "plain", ("class",), "1", "Recall", None)


def with_classes(result: TrialResult) -> TrialResult:
    epochs = (
        dataclasses.replace(one, values={**one.values, RECALL.name: np.array([0.1, 0.3]) * one.epoch})
        for one in result.epochs
    )
    return dataclasses.replace(result, epochs=tuple(epochs), metrics=(*result.metrics, RECALL))


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Five trials: two cells, one with values of each class, one without a learning rate that was found."""
    folder = RunFolder(tmp_path / "demo")
    folder.create()
    for number in range(3):
        folder.save(make_result(make_trial(number, {"depth": 8, "regime": "größer"}, number), shift=0.1 / 3 * number))
    folder.save(with_classes(make_result(make_trial(3, {"depth": 14}))))
    folder.save(dataclasses.replace(make_result(make_trial(4, {"depth": 14}, 1)), found_lr=None, weights_epoch=2))
    return folder


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write an index of any size."""
    monkeypatch.setattr(index, "WORTH_WRITING", 1)


def ids(folder: RunFolder) -> list[str]:
    return sorted(folder.finished())


def files_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that names every trial file that is opened from now on."""
    opened: list[str] = []

    def read(path: Path) -> StoredTrial:
        opened.append(path.stem)
        return read_trial(path)

    monkeypatch.setattr(index, "read_trial", read)
    return opened


def assert_same(one: StoredTrial, other: StoredTrial) -> None:
    for field in dataclasses.fields(StoredTrial):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name in {"scalars", "by_class"}:
            assert list(mine) == list(theirs)
            for name in mine:
                assert mine[name].dtype == theirs[name].dtype
                np.testing.assert_array_equal(mine[name], theirs[name])
        elif field.name == "size_px":
            np.testing.assert_array_equal(mine, theirs)
        else:
            assert mine == theirs, field.name
            assert type(mine) is type(theirs), field.name
            assert not isinstance(mine, dict) or list(mine) == list(theirs)


@pytest.mark.usefixtures("eager")
def test_trials_from_the_index_are_those_of_the_files(run: RunFolder, monkeypatch: pytest.MonkeyPatch):
    index.read_trials(run, ids(run))
    opened = files_read(monkeypatch)

    known = index.read_trials(run, ids(run))

    assert opened == []
    assert len(known) == 5
    for trial in known:
        assert_same(trial, read_trial(run.trial_file(trial.id)))


@pytest.mark.usefixtures("eager")
def test_trials_come_in_the_order_asked_for(run: RunFolder):
    backwards = ids(run)[::-1]
    assert [trial.id for trial in index.read_trials(run, backwards)] == backwards
    assert [trial.id for trial in index.read_trials(run, backwards[1:3])] == backwards[1:3]


@pytest.mark.usefixtures("eager")
def test_a_file_that_was_replaced_is_read_again(run: RunFolder, monkeypatch: pytest.MonkeyPatch):
    first = ids(run)[0]
    before = run.trial_file(first).stat()
    index.read_trials(run, ids(run))
    run.save(make_result(make_trial(0, {"depth": 8, "regime": "größer"}, 0), shift=0.05))
    os.utime(run.trial_file(first), ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run.trial_file(first).stat().st_size == before.st_size
    opened = files_read(monkeypatch)

    changed = index.read_trials(run, ids(run))[0]

    assert opened == [first]
    np.testing.assert_allclose(changed.scalars["validation_accuracy"], [0.55, 0.95, 0.75])


@pytest.mark.usefixtures("eager")
def test_only_new_files_are_read(run: RunFolder, monkeypatch: pytest.MonkeyPatch):
    index.read_trials(run, ids(run)[:3])
    opened = files_read(monkeypatch)
    index.read_trials(run, ids(run))
    assert opened == ids(run)[3:]
    index.read_trials(run, ids(run))
    assert len(opened) == 2


@pytest.mark.usefixtures("eager")
def test_trials_that_are_gone_leave_the_index(run: RunFolder):
    gone, *others = ids(run)
    index.read_trials(run, [gone, *others])
    before = (run.path / index.FILE).stat().st_size
    run.forget(gone)
    run.save(make_result(make_trial(1, {"depth": 8, "regime": "größer"}, 1)))
    index.read_trials(run, others)
    assert (run.path / index.FILE).stat().st_size < before
    with pytest.raises(StoreError, match="cannot be read"):
        index.read_trials(run, [gone])


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("damage", ["empty", "cut", "text", "other fields"])
def test_an_index_that_cannot_be_used_is_made_anew(run: RunFolder, monkeypatch: pytest.MonkeyPatch, damage: str):
    expected = index.read_trials(run, ids(run))
    file = run.path / index.FILE
    whole = file.read_bytes()
    if damage == "other fields":
        with monkeypatch.context() as patch:
            patch.setattr(index, "_FORMAT", -1)
            file.unlink()
            index.read_trials(run, ids(run))
    else:
        file.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "text": b"PK no index"}[damage])
    opened = files_read(monkeypatch)

    found = index.read_trials(run, ids(run))

    assert opened == ids(run)
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)
    index.read_trials(run, ids(run))
    assert len(opened) == 5


def test_a_few_trials_are_not_worth_an_index(run: RunFolder):
    index.read_trials(run, ids(run))
    assert not (run.path / index.FILE).exists()


@pytest.mark.usefixtures("eager")
def test_a_folder_that_cannot_be_written_is_read_all_the_same(run: RunFolder, monkeypatch: pytest.MonkeyPatch):
    def refuse(**_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("cnnbench.store.index.tempfile.mkstemp", refuse)
    assert len(index.read_trials(run, ids(run))) == 5
    assert not (run.path / index.FILE).exists()


@pytest.mark.usefixtures("eager")
def test_a_fresh_run_begins_without_an_index(run: RunFolder):
    index.read_trials(run, ids(run))
    run.empty()
    assert not (run.path / index.FILE).exists()


@pytest.fixture
def two_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read in two processes."""
    monkeypatch.setattr("cnnbench.cores.available_cores", lambda: 2)
    monkeypatch.setattr(index, "_WORTH_A_PROCESS", 2)


@pytest.mark.usefixtures("two_readers")
def test_many_files_are_read_in_several_processes(run: RunFolder, monkeypatch: pytest.MonkeyPatch):
    opened = files_read(monkeypatch)  # in this process

    found = index.read_trials(run, ids(run))

    assert opened == ids(run)[::2]
    for one in found:
        assert_same(one, read_trial(run.trial_file(one.id)))


@pytest.mark.usefixtures("two_readers")
def test_a_reader_ends_when_its_parent_is_killed(run: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    read, pids = index.read_trial, tmp_path / "pids"
    parent = os.fork()
    if parent == 0:  # it never takes what its reader, whose message is too large for a pipe, sends
        here = os.getpid()

        def read_or_wait(path: Path) -> StoredTrial:
            if os.getpid() == here:
                signal.pause()
            pids.write_text(str(os.getpid()), "ascii")
            trial = read(path)
            return dataclasses.replace(trial, scalars={"much": np.zeros(10**6)})

        monkeypatch.setattr(index, "read_trial", read_or_wait)
        index.read_trials(run, ids(run))
        os._exit(0)
    while not pids.exists() or not pids.read_text("ascii"):
        time.sleep(0.01)
    reader = int(pids.read_text("ascii"))
    time.sleep(0.2)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)

    deadline = time.monotonic() + 60
    while is_alive(reader):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and whose parent has not heard of it does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.usefixtures("two_readers")
def test_a_damaged_file_has_its_sentence_from_another_process_too(run: RunFolder):
    run.trial_file(ids(run)[3]).write_bytes(b"no trial")
    with pytest.raises(StoreError, match="cannot be read as a trial"):
        index.read_trials(run, ids(run))


@pytest.mark.usefixtures("two_readers")
@pytest.mark.parametrize("hindrance", ["no fork", "no process", "killed"])
def test_where_others_cannot_read_this_process_does(run: RunFolder, monkeypatch: pytest.MonkeyPatch, hindrance: str):
    here, read = os.getpid(), index.read_trial

    def read_or_die(path: Path) -> StoredTrial:
        if os.getpid() != here:
            os._exit(1)
        return read(path)

    if hindrance == "no fork":
        monkeypatch.setattr("cnnbench.cores.may_fork", lambda: False)
    elif hindrance == "no process":
        monkeypatch.setattr("os.fork", lambda: (_ for _ in ()).throw(BlockingIOError()))
    else:
        monkeypatch.setattr(index, "read_trial", read_or_die)

    assert [trial.id for trial in index.read_trials(run, ids(run))] == ids(run)
