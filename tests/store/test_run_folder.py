from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cnnbench.errors import RunLockedError, StoreError
from cnnbench.store import RunFolder
from cnnbench.types import TrialFailure, TrialResult


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "runs" / "demo")
    folder.create()
    return folder


def test_finished_and_failed_trials_are_found_by_their_files(folder: RunFolder, result: TrialResult):
    failure = TrialFailure(result.trial, "Diverged", "the loss is nan.", "", 2)

    folder.save(failure)
    assert (folder.finished(), folder.failed()) == (set(), {result.trial.id})
    assert folder.failures() == [failure]
    folder.save(result)

    assert (folder.finished(), folder.failed()) == ({result.trial.id}, set())


def test_saving_an_outcome_drops_its_checkpoint(folder: RunFolder, result: TrialResult):
    folder.checkpoint_file(result.trial.id).write_bytes(b"state")

    folder.save(result)

    assert not folder.checkpoint_file(result.trial.id).exists()


def test_what_a_killed_process_left_half_written_is_cleared(folder: RunFolder):
    for name in ("trials/.new-abc.h5", "failures/.new-abc", ".new-abc", "checkpoints/abc.tmp"):
        (folder.path / name).write_bytes(b"half")
    folder.checkpoint_file("abc").write_bytes(b"whole")

    folder.clear_leftovers()

    assert [path.name for path in folder.path.rglob("*") if path.is_file()] == ["abc.pt"]


def test_making_the_folder_again_takes_nothing_away_from_a_process_that_writes_there(folder: RunFolder):
    (folder.path / "trials" / ".new-abc.h5").write_bytes(b"half")

    folder.create()

    assert (folder.path / "trials" / ".new-abc.h5").exists()


HOLD = """
import sys
from pathlib import Path
from cnnbench.store import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_that_the_folder_is_in_use(folder: RunFolder):
    command = [sys.executable, "-c", HOLD, str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunLockedError, match="another process"), folder.locked():
            pass
        holder.communicate()
    assert holder.returncode == 0
    with folder.locked():
        assert (folder.path / ".lock").exists()


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("in the way", "utf-8")

    with pytest.raises(StoreError, match="--runs-dir"):
        RunFolder(tmp_path / "file" / "demo").create()


def test_a_full_disk_says_that_finished_trials_are_safe(
    folder: RunFolder, result: TrialResult, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("cnnbench.store.run_folder.write_trial", fail)

    with pytest.raises(StoreError, match="disk of .* is full; finished trials are safe"):
        folder.save(result)


def test_a_broken_document_is_a_sentence(folder: RunFolder):
    (folder.path / "plan.json").write_text("{", "utf-8")

    with pytest.raises(StoreError, match="restore or delete it"):
        folder.read_json("plan.json")


def test_a_broken_failure_is_a_sentence(folder: RunFolder):
    (folder.path / "failures" / "abc.json").write_text("{", "utf-8")

    with pytest.raises(StoreError, match="abc.json cannot be read"):
        folder.failures()


def test_a_failure_may_name_a_file_whose_name_is_no_text(folder: RunFolder, result: TrialResult):
    failure = TrialFailure(result.trial, "DataError", "the image `gr\udcfcn.png` is broken.", "", None)

    folder.save(failure)

    assert folder.failures() == [failure]


def test_emptying_a_folder_keeps_its_documents(folder: RunFolder, result: TrialResult):
    folder.save(result)
    folder.write_json("plan.json", {})
    folder.write_json("analysis.json", {})

    folder.empty()

    assert folder.finished() == set()
    assert [path.name for path in folder.path.rglob("*") if path.is_file()] == ["plan.json"]


def test_forgetting_a_trial_removes_every_trace(folder: RunFolder, result: TrialResult):
    folder.save(result)
    folder.checkpoint_file(result.trial.id).write_bytes(b"state")

    folder.forget(result.trial.id)

    assert (folder.finished(), folder.checkpoint_file(result.trial.id).exists()) == (set(), False)
