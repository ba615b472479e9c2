from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cnnbench.execute.packing import Packing, memory_of
from cnnbench.types import Trial, TrialResult

from .conftest import outcome_of


def a_trial(name: str, cell: str) -> Trial:
    return Trial(name, "s", {"cell": cell}, 0, {}, {}, "f" * 64, 1.0, (1.0,))


def needed(cell: str, peak: int) -> TrialResult:
    result = outcome_of(a_trial("x", cell), 0.5)
    assert isinstance(result, TrialResult)
    return dataclasses.replace(result, cost=dataclasses.replace(result.cost, peak_memory_bytes=peak))


BIG, SMALL, OTHER = a_trial("1", "big"), a_trial("2", "small"), a_trial("3", "other")


@pytest.fixture
def packing() -> Packing:
    """Three trials on a device with 100 bytes, of which idle workers hold 10."""
    made = Packing([BIG, SMALL, OTHER])
    made.offer("cuda:0", 100, -10)
    made.learn(needed("big", 90))
    made.learn(needed("small", 30))
    return made


def test_the_next_trial_is_the_first_that_fits(packing: Packing):
    assert packing.next("cuda:0", [BIG]) is SMALL
    assert packing.next("cuda:0", [BIG]) is None
    assert packing.next("cuda:0", [SMALL]) is BIG


def test_a_trial_alone_is_given_all_there_is(packing: Packing):
    packing.learn(needed("big", 1000))
    assert packing.next("cuda:0", []) is BIG


def test_an_unknown_cell_is_taken_for_the_largest(packing: Packing):
    packing.next("cuda:0", [])
    packing.next("cuda:0", [])
    assert packing.next("cuda:0", [SMALL]) is OTHER
    tight = Packing([OTHER])
    tight.offer("cuda:0", 99, -10)
    for cell, peak in (("big", 90), ("small", 30)):
        tight.learn(needed(cell, peak))
    assert tight.next("cuda:0", [SMALL]) is None


def test_the_largest_peak_of_a_cell_counts(packing: Packing):
    packing.learn(needed("small", 5))
    packing.learn(needed("small", 40))
    packing.next("cuda:0", [])
    assert packing.next("cuda:0", [BIG]) is None


def test_a_device_of_unknown_size_takes_everything(packing: Packing):
    assert packing.next("cpu", [BIG, BIG]) is BIG


def test_what_was_free_at_first_counts(packing: Packing):
    packing.offer("cuda:0", 1_000_000, 0)
    assert packing.next("cuda:0", [BIG]) is SMALL
    assert packing.next("cuda:0", [BIG, SMALL]) is None


def test_a_trial_is_put_aside_once_and_comes_last_and_alone():
    packing = Packing([BIG, SMALL])
    assert packing.next("cpu", []) is BIG
    assert packing.put_aside(BIG)
    assert packing.next("cpu", []) is SMALL
    assert packing.next("cpu", [SMALL]) is None
    assert packing
    assert packing.next("cpu", []) is BIG
    assert not packing
    assert not packing.put_aside(BIG)
    assert packing.next("cpu", []) is None


# ------------------------------------------------------------------------------------------------ memory


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine of which 8 MB are available, where this process holds 1 MB."""
    write(tmp_path / "proc/meminfo", "MemTotal: 16000 kB\nMemAvailable: 8000 kB\n")
    write(tmp_path / "proc/self/status", "Name: x\nVmRSS: 3000 kB\nRssAnon: 1000 kB\n")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def test_the_memory_of_a_machine_without_limits(root: Path):
    assert memory_of("cpu", root) == (8000 * 1024, -1000 * 1024)


@pytest.mark.parametrize(
    ("limits", "free"),
    [
        ({"": "max"}, 8000 * 1024),
        ({"": "5000000"}, 5_000_000 - 600_000 + 200_000),
        ({"a": "3000000", "": "max"}, 3_000_000 - 400_000),
        ({"a/b": "max", "a": "3000000", "": "2000000"}, 2_000_000 - 400_000),
        ({"a/b": "100000"}, 0),
    ],
)
def test_control_groups_limit_it(root: Path, limits: dict[str, str], free: int):
    write(root / "proc/self/cgroup", "0::/a/b\n")
    for group, limit in limits.items():
        folder = root / "sys/fs/cgroup" / group
        write(folder / "memory.max", f"{limit}\n")
        write(folder / "memory.current", "600000\n")
        write(folder / "memory.stat", "anon 1\ninactive_file 200000\n")
    assert memory_of("cpu", root) == (free, -1000 * 1024)


def test_so_do_those_of_the_first_version(root: Path):
    write(root / "proc/self/cgroup", "9:name=systemd:/\n4:memory:/elsewhere\n3:cpuset:/\n")
    folder = root / "sys/fs/cgroup/memory"
    write(folder / "memory.limit_in_bytes", "5000000\n")
    write(folder / "memory.usage_in_bytes", "600000\n")
    write(folder / "memory.stat", "total_inactive_file 200000\n")
    assert memory_of("cpu", root) == (4_600_000, -1000 * 1024)


def test_elsewhere_nobody_can_tell(tmp_path: Path):
    assert memory_of("cpu", tmp_path) is None


def test_a_gpu_is_asked_itself(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (7, 9) if device == "cuda:1" else (0, 0))
    assert memory_of("cuda:1") == (7, 640 * 2**20)
