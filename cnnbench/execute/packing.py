"""Which trial a worker takes next: in order, but none that would not fit into memory beside those that run.

What a trial needs is known from others of its cell in this run; a cell of which none is over yet is taken for as large
as the largest that is known. Whatever ran out of memory beside others is tried once more alone, after all others.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cnnbench.types import Level, Trial, TrialResult

_CONTEXT_BYTES = 640 * 2**20
"""What a process takes on a GPU beside its tensors: its context with the kernels of torch's libraries."""
_LOOK_AHEAD = 256
"""How many trials are looked at for one that fits."""


class Packing:
    """The trials that wait, and what is known of the memory that they need."""

    def __init__(self, trials: Iterable[Trial]) -> None:
        self.waiting = deque(trials)
        self._alone: deque[Trial] = deque()
        self._again: set[str] = set()
        self._room: dict[str, tuple[int, int]] = {}
        self._peak: dict[tuple[tuple[str, Level], ...], int] = {}

    def offer(self, device: str, free_bytes: int, extra_bytes: int) -> None:
        """Take down the memory of a device: what is free before the first trial, and what a worker adds to its peaks.

        It may be less than nothing: what an idle worker has, and shares with the others, is part of its peaks.
        """
        self._room.setdefault(device, (free_bytes, extra_bytes))

    def learn(self, result: TrialResult) -> None:
        """Take down what a trial needed."""
        cell = tuple(result.trial.cell.items())
        self._peak[cell] = max(self._peak.get(cell, 0), result.cost.peak_memory_bytes)

    def put_aside(self, trial: Trial) -> bool:
        """Keep a trial to be tried once more alone; return False if it has been."""
        if trial.id in self._again:
            return False
        self._again.add(trial.id)
        self._alone.append(trial)
        return True

    def next(self, device: str, beside: Sequence[Trial]) -> Trial | None:
        """Return the trial to be started on a device beside others; None where none may be."""
        if not beside:
            queue = self.waiting or self._alone
            return queue.popleft() if queue else None
        left = self._left(device, beside)
        for place, trial in enumerate(islice(self.waiting, _LOOK_AHEAD)):
            if left is None or self._need(device, trial) <= left:
                del self.waiting[place]
                return trial
        return None

    def __bool__(self) -> bool:
        return bool(self.waiting or self._alone)

    def _left(self, device: str, beside: Sequence[Trial]) -> int | None:
        room = self._room.get(device)
        return None if room is None else room[0] - sum(self._need(device, trial) for trial in beside)

    def _need(self, device: str, trial: Trial) -> int:
        """Return what a trial takes in a worker of its own."""
        peak = self._peak.get(tuple(trial.cell.items()), max(self._peak.values(), default=0))
        return max(0, peak + self._room[device][1])


# ------------------------------------------------------------------------------------------------ memory


def memory_of(device: str, root: Path = Path("/")) -> tuple[int, int] | None:
    """Return the memory that is free on a device, and what a worker there adds to a trial's peak.

    On a CPU the machine's available memory, or what its control groups (containers) leave of it; forked workers share
    what this process has already. On a GPU each process has a context of its own beside its tensors. None where nobody
    can tell.
    """
    if device.startswith("cuda"):
        import torch  # noqa: PLC0415 - only workers that have it come here

        return torch.cuda.mem_get_info(device)[0], _CONTEXT_BYTES
    try:
        available = _kilobytes(root / "proc/meminfo", "MemAvailable:")
        own = _kilobytes(root / "proc/self/status", "RssAnon:")
    except (OSError, StopIteration):
        return None
    return min([available, *_left_by_groups(root)]), -own


def _kilobytes(file: Path, name: str) -> int:
    lines = file.read_text("ascii", "replace").splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


def _left_by_groups(root: Path) -> Iterator[int]:
    """Yield what each limited control group above this process leaves; pages of files make room where it is needed."""
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers not in {"", "memory"}:
            continue
        top = root / "sys/fs/cgroup" / controllers
        limit, usage, files = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            if controllers
            else ("memory.max", "memory.current", "inactive_file")
        )
        own = top / name.lstrip("/")
        for group in (own, *(parent for parent in own.parents if parent.is_relative_to(top))):
            try:
                most = (group / limit).read_text("ascii").strip()
                used = int((group / usage).read_text("ascii"))
                stat = dict(each.split() for each in (group / "memory.stat").read_text("ascii").splitlines())
            except OSError:  # inside a container the name may be that outside
                continue
            if most != "max":
                yield max(0, int(most) - used + int(stat.get(files, 0)))
