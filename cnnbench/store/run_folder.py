"""The folder of a run.

    runs/<study>/study.toml       the study file, as it was last run
                 plan.json        factors, cells, exclusions, trials by cell
                 analysis.json    the analysis plan and its hash, fixed before the first trial
                 decisions.json   what was decided between rounds of trials, where the design has rounds
                 environment.json provenance of the last run
                 trials/<id>.h5   one file for each finished trial
                 failures/<id>.json
                 checkpoints/<id>.pt
                 weights/<id>.pt  of trials whose recipe wants them kept
                 report/

Every file is written under a temporary name and renamed, so that one that exists is whole.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from cnnbench.errors import RunLockedError, StoreError
from cnnbench.store.trial_file import write_trial
from cnnbench.types import Trial, TrialFailure, TrialResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class RunFolder:
    """Where a study's results lie."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def report_dir(self) -> Path:
        """Folder of the report."""
        return self.path / "report"

    def create(self) -> None:
        """Make the folder and its parts.

        Raises:
            StoreError: It cannot be written.
        """
        with self._writing():
            for name in ("trials", "failures", "checkpoints"):
                (self.path / name).mkdir(parents=True, exist_ok=True)

    def clear_leftovers(self) -> None:
        """Remove what a killed process left half written; only for whoever has the lock."""
        with self._writing():
            for pattern in (".new-*", "trials/.new-*", "failures/.new-*", "checkpoints/*.tmp", "weights/*.tmp"):
                for leftover in self.path.glob(pattern):
                    leftover.unlink(missing_ok=True)

    def empty(self) -> None:
        """Remove all results, and what was fixed or decided for them; only for whoever has the lock."""
        with self._writing():
            for name in ("trials", "failures", "checkpoints", "weights", "report"):
                if (self.path / name).exists():
                    shutil.rmtree(self.path / name)
            for name in ("analysis.json", "decisions.json", ".trials-index"):
                (self.path / name).unlink(missing_ok=True)
        self.create()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from running in this folder.

        Raises:
            RunLockedError: Another process does.
        """
        lock = FileLock(self.path / ".lock")
        try:
            with self._writing():
                lock.acquire(timeout=0)
        except Timeout:
            raise RunLockedError(
                f"another process is running in {self.path}; wait until it is done, stop it, or name another folder "
                "with --runs-dir."
            ) from None
        try:
            yield
        finally:
            lock.release()

    # -------------------------------------------------------------------------------------------- trials

    def trial_file(self, trial_id: str) -> Path:
        """File of a finished trial."""
        return self.path / "trials" / f"{trial_id}.h5"

    def checkpoint_file(self, trial_id: str) -> Path:
        """File of a trial's checkpoint."""
        return self.path / "checkpoints" / f"{trial_id}.pt"

    def weights_file(self, trial_id: str) -> Path:
        """File of the weights of a trial that kept them."""
        return self.path / "weights" / f"{trial_id}.pt"

    def finished(self) -> set[str]:
        """Return the ids of all finished trials."""
        return {path.stem for path in (self.path / "trials").glob("[!.]*.h5")}

    def failed(self) -> set[str]:
        """Return the ids of all trials that failed."""
        return {path.stem for path in (self.path / "failures").glob("[!.]*.json")}

    def save(self, outcome: TrialResult | TrialFailure) -> None:
        """Write a trial's outcome, and drop its checkpoint.

        Raises:
            StoreError: It cannot be written; finished trials are untouched.
        """
        with self._writing():
            if isinstance(outcome, TrialResult):
                write_trial(self.trial_file(outcome.trial.id), outcome)
                self._failure_file(outcome.trial.id).unlink(missing_ok=True)
            else:
                self.write_json(f"failures/{outcome.trial.id}.json", dataclasses.asdict(outcome))
            self.checkpoint_file(outcome.trial.id).unlink(missing_ok=True)

    def failures(self) -> list[TrialFailure]:
        """Return all failures, in the order of their ids."""
        found = []
        for trial_id in sorted(self.failed()):
            plain = self.read_json(f"failures/{trial_id}.json")
            if plain is None:  # a run has just taken it up again
                continue
            trial = {**plain["trial"], "flops_per_image": tuple(plain["trial"]["flops_per_image"])}
            found.append(TrialFailure(**{**plain, "trial": Trial(**trial)}))
        return found

    def forget(self, trial_id: str) -> None:
        """Remove the outcome and the checkpoint of a trial."""
        with self._writing():
            files = (self.trial_file, self.checkpoint_file, self.weights_file, self._failure_file)
            for file_of in files:
                file_of(trial_id).unlink(missing_ok=True)

    def _failure_file(self, trial_id: str) -> Path:
        return self.path / "failures" / f"{trial_id}.json"

    # -------------------------------------------------------------------------------------------- documents

    def read_json(self, name: str) -> Any:
        """Return a document of the run, or None if there is none."""
        try:
            return json.loads((self.path / name).read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.path / name} cannot be read ({error}); restore or delete it.") from error

    def read_text(self, name: str) -> str | None:
        """Return a text of the run, or None if there is none."""
        try:
            return (self.path / name).read_text("utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write a document of the run."""
        self.write_text(name, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a text of the run.

        Raises:
            StoreError: It cannot be written.
        """
        path = self.path / name
        with self._writing():
            handle, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
            try:
                # A file name that is no UTF-8 may stand in a message; in JSON the escape reads back as the same text.
                with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).chmod(0o644)
                Path(temporary).replace(path)
            finally:
                Path(temporary).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, Timeout):
                raise
            raise StoreError(self._sentence(error)) from error

    def _sentence(self, error: OSError) -> str:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"the disk of {self.path} is full; finished trials are safe. Free some space and run again."
        reason = error.strerror or str(error)
        return (
            f"{self.path} cannot be written ({reason}); check its permissions, or name another folder with --runs-dir."
        )
