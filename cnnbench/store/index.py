"""An index of the trial files of a run, so that a study of thousands of trials reopens in seconds.

A cache and nothing else: the trial files stay the truth. An entry counts only for the very file that it was made from,
as its size, times and place on the disk tell; whatever is not in the index is read from its file. The index may be
deleted at any time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import signal
import tempfile
import zipfile
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnbench import cores
from cnnbench.store.trial_file import StoredTrial, read_trial
from cnnbench.types import Cost

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from multiprocessing.connection import Connection

    from numpy.typing import NDArray

    from cnnbench.store.run_folder import RunFolder

FILE = ".trials-index"
WORTH_WRITING = 50
"""Files read anew before an index is written: fewer are read again in less time than a second."""
_WORTH_A_PROCESS = 200
"""Files for which another process is started: about a second's work."""
_FORMAT = 1
_ARRAYS = ("scalars", "by_class")
"""Fields that map names to arrays; their numbers lie in one long array."""
_OWN = ("id", "replicate", "seeds", "cost", "found_lr", "weights", "weights_epoch")
"""Fields that differ between the trials of a cell; all others are kept once for all trials that have them in common."""
_COMMON = tuple(
    field.name for field in dataclasses.fields(StoredTrial) if field.name not in {*_OWN, *_ARRAYS, "size_px"}
)

_Signature = tuple[int, ...]
_Entry = tuple[_Signature, StoredTrial]


def read_trials(folder: RunFolder, ids: Iterable[str]) -> list[StoredTrial]:
    """Read trials of a run folder, from its index where that knows their files.

    Raises:
        StoreError: A file cannot be read as a trial.
    """
    known = _read_index(folder)
    files = {trial_id: folder.trial_file(trial_id) for trial_id in ids}
    signatures = {trial_id: _signature(file) for trial_id, file in files.items()}
    fresh = [one for one, signature in signatures.items() if one not in known or known[one][0] != signature]
    read = zip(fresh, _read_files([files[one] for one in fresh]), strict=True)
    entries = known | {trial_id: (signatures[trial_id], trial) for trial_id, trial in read}
    if len(fresh) >= WORTH_WRITING:
        with contextlib.suppress(OSError):  # a folder that others own, a full disk: it stays slow, and right
            there = folder.finished()
            _write_index(folder, {trial_id: entry for trial_id, entry in entries.items() if trial_id in there})
    return [entries[trial_id][1] for trial_id in files]


def _read_files(files: Sequence[Path]) -> list[StoredTrial]:
    """Read trial files, many of them on all cores."""
    num = min(cores.available_cores(), len(files) // _WORTH_A_PROCESS)
    if num < 2 or not cores.may_fork():
        return [read_trial(file) for file in files]
    readers: list[_Reader] = []
    try:
        for first in range(1, num):
            readers.append(_Reader(files[first::num], [reader.pipe for reader in readers]))
        shares = [[read_trial(file) for file in files[::num]], *(reader.trials() for reader in readers)]
    finally:
        for reader in readers:
            reader.stop()
    trials: list[Any] = [None] * len(files)
    for first, share in enumerate(shares):
        trials[first::num] = share
    return trials


class _Reader:
    """A forked process that reads some trial files.

    Args:
        files: What it reads.
        pipes: Those of the readers before it, which the fork copies.
    """

    def __init__(self, files: Sequence[Path], pipes: Sequence[Connection[Any, Any]]) -> None:
        self._files = files
        context = get_context("fork")
        self.pipe, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_read_share, args=(theirs, [self.pipe, *pipes], files), daemon=True)
        with contextlib.suppress(OSError):  # no more processes from the system: then nothing comes
            self._process.start()
        theirs.close()

    def trials(self) -> list[StoredTrial]:
        """Return the trials; what the process could not read, for whatever reason, is read here."""
        try:
            trials: list[StoredTrial] = self.pipe.recv()
        except (EOFError, OSError):
            return [read_trial(file) for file in self._files]
        return trials

    def stop(self) -> None:
        """End the process, whatever it is at."""
        self.pipe.close()
        if self._process.pid is not None:
            self._process.kill()
            self._process.join()


def _read_share(pipe: Connection[Any, Any], inherited: Sequence[Connection[Any, Any]], files: Sequence[Path]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, too, which stops us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's handler is not meant for us
    for connection in inherited:  # while they are open here, nobody sees that the parent has gone
        connection.close()
    with contextlib.suppress(Exception):  # the parent comes upon it again
        pipe.send([read_trial(file) for file in files])
    # Leave at once: what the parent had open at the fork (its lock, its display) is not ours to flush or release.
    os._exit(0)


def _signature(path: Path) -> _Signature:
    """Return what no two files, and no two states of a file, have in common; nothing where there is no file."""
    try:
        stat = path.stat()
    except OSError:  # whoever reads it says what is wrong
        return ()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def _made_by() -> list[Any]:
    """Return what an index must have been made by to be understood here."""
    names = [field.name for kind in (StoredTrial, Cost) for field in dataclasses.fields(kind)]
    return [_FORMAT, version("cnnbench"), names]


def _write_index(folder: RunFolder, entries: Mapping[str, _Entry]) -> None:
    common: dict[str, int] = {}
    values: list[NDArray[np.float64]] = [np.empty(0)]
    trials = []
    for trial_id, (signature, trial) in entries.items():
        arrays = [(field, name, array) for field in _ARRAYS for name, array in getattr(trial, field).items()]
        shared = {name: getattr(trial, name) for name in _COMMON} | {"size_px": trial.size_px.tolist()}
        shared["layout"] = [[field, name, array.shape] for field, name, array in arrays]
        own = {name: getattr(trial, name) for name in _OWN} | {"cost": dataclasses.asdict(trial.cost)}
        text = json.dumps(shared, ensure_ascii=False)
        trials.append([trial_id, signature, common.setdefault(text, len(common)), own])
        values += [array.ravel() for _, _, array in arrays]
    index = {"made_by": _made_by(), "common": list(common), "trials": trials}
    handle, name = tempfile.mkstemp(prefix=".new-", dir=folder.path)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            text = json.dumps(index, ensure_ascii=False)
            np.savez(file, text=np.frombuffer(text.encode(), np.uint8), values=np.concatenate(values))
        temporary.chmod(0o644)
        temporary.replace(folder.path / FILE)
    finally:
        temporary.unlink(missing_ok=True)


def _read_index(folder: RunFolder) -> dict[str, _Entry]:
    """Return what the index of a folder holds; nothing where there is none that can be used."""
    try:
        with (folder.path / FILE).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            index, values = json.loads(arrays["text"].tobytes()), arrays["values"]
        if index["made_by"] != _made_by():
            return {}
        return _entries(index, values)
    except (OSError, ValueError, KeyError, TypeError, IndexError, EOFError, zipfile.BadZipFile):
        return {}


def _entries(index: Mapping[str, Any], values: NDArray[np.float64]) -> dict[str, _Entry]:
    commons = []
    for text in index["common"]:
        shared = json.loads(text)
        layout = [(field, name, tuple(shape)) for field, name, shape in shared.pop("layout")]
        shared["size_px"] = np.asarray(shared["size_px"], np.int64)
        shared |= {name: tuple(shared[name]) for name in ("phase", "class_names")}
        shared["descriptions"] = {name: tuple(described) for name, described in shared["descriptions"].items()}
        commons.append((layout, shared))
    entries: dict[str, _Entry] = {}
    at = 0
    for trial_id, signature, place, own in index["trials"]:
        layout, shared = commons[place]
        arrays: dict[str, dict[str, NDArray[np.float64]]] = {field: {} for field in _ARRAYS}
        for field, name, shape in layout:
            size = math.prod(shape)
            arrays[field][name] = values[at : at + size].reshape(shape)
            at += size
        trial = StoredTrial(**{**shared, **own, **arrays, "cost": Cost(**own["cost"])})
        entries[trial_id] = (tuple(signature), trial)
    return entries
