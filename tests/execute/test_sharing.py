from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.execute import RunOptions, Session
from cnnbench.execute import sharing as module
from cnnbench.execute import study as study_module
from cnnbench.execute.sharing import Sharing
from cnnbench.types import Trial

GPU = "cuda:0"


@pytest.fixture(autouse=True)
def _no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "_file", lambda: tmp_path / "cache" / "sharing.json")


def a_trial(flops: float) -> Trial:
    return Trial("id", "s", {"depth": 8}, 0, {}, {}, "f" * 64, 1.0, (flops,))


def play(sharing: Sharing, seconds: Callable[[int, Any], float], kinds: tuple[Any, ...], epochs: int = 400) -> int:
    """Let as many trials at once as may run, each with epochs of all kinds in turn; return the number in the end."""
    for epoch in range(epochs):
        at_once = sharing.limit(GPU)
        for place in range(at_once):
            kind = kinds[(epoch + place) % len(kinds)]
            sharing.see(GPU, at_once, kind, seconds(at_once, kind))
    return sharing.limit(GPU)


@given(st.integers(1, 40), st.integers(1, 32), st.lists(st.floats(0.01, 100), min_size=1, max_size=5))
def test_a_device_is_filled_and_not_crowded(room: int, most: int, sizes: list[float]):
    """A device on which so many trials run as if they were alone, and more of them in turn."""
    sharing = Sharing(most, [a_trial(1e6)])

    limit = play(sharing, lambda at_once, size: size * max(1.0, at_once / room), tuple(sizes))

    def throughput(at_once: int) -> float:
        return min(at_once, room)

    assert 1 <= limit <= most
    assert limit < 2 * room or limit == 1
    assert throughput(limit) >= min(throughput(min(2 * limit, most)), throughput(most)) / 1.1


def test_it_begins_with_one_and_doubles():
    sharing = Sharing(8, [])
    seen = []
    for _ in range(40):
        at_once = sharing.limit(GPU)
        seen.append(at_once)
        for _place in range(at_once):
            sharing.see(GPU, at_once, "epoch", 1.0)
    assert sorted(set(seen)) == [1, 2, 4, 8]
    assert seen == sorted(seen)


def test_kinds_are_not_mixed():
    """Long epochs beside others are not held against short ones alone."""
    sharing = Sharing(8, [])
    for _ in range(3):
        sharing.see(GPU, 1, "short", 1.0)
    for _ in range(9):
        sharing.see(GPU, 2, "long", 100.0)
    assert sharing.limit(GPU) == 2, "nothing is known of long epochs alone"
    for _ in range(3):
        sharing.see(GPU, 2, "short", 1.0)
    assert sharing.limit(GPU) == 4


def test_epochs_among_another_number_of_trials_say_nothing():
    sharing = Sharing(8, [])
    for _ in range(9):
        sharing.see(GPU, 3, "epoch", 1.0)
    assert sharing.limit(GPU) == 1


def test_one_slow_epoch_decides_nothing():
    sharing = Sharing(8, [])
    for seconds in (1.0, 50.0, 1.0):
        sharing.see(GPU, 1, "epoch", seconds)
    for seconds in (2.0, 60.0, 2.0):
        sharing.see(GPU, 2, "epoch", seconds)
    assert sharing.limit(GPU) == 1


def test_devices_learn_each_for_itself():
    sharing = Sharing(8, [])
    for _ in range(3):
        sharing.see("cuda:1", 1, "epoch", 1.0)
    assert (sharing.limit("cuda:0"), sharing.limit("cuda:1")) == (1, 2)


def full_at(room: int) -> Callable[[int, Any], float]:
    return lambda at_once, _: max(1.0, at_once / room)


def test_what_was_found_is_kept_for_such_a_device_and_such_networks():
    first = Sharing(32, [a_trial(1e6)])
    first.introduce(GPU, "NVIDIA X")
    assert play(first, full_at(4), ("epoch",)) == 4

    def begins_with(name: str, flops: float, most: int = 32, **recipe: Any) -> int:
        later = Sharing(most, [dataclasses.replace(a_trial(flops), recipe=recipe)])
        later.introduce(GPU, name)
        return later.limit(GPU)

    assert begins_with("NVIDIA X", 2e6) == 4
    assert begins_with("NVIDIA X", 2e6, most=3) == 3
    assert begins_with("NVIDIA X", 1e9) == 1
    assert begins_with("NVIDIA X", 1e6, batch_size=512) == 1
    assert begins_with("NVIDIA X", 1e6, precision="bf16") == 1
    assert begins_with("NVIDIA Y", 1e6) == 1


def test_what_is_known_is_not_measured_again():
    first = Sharing(32, [a_trial(1e6)])
    first.introduce(GPU, "NVIDIA X")
    play(first, full_at(4), ("epoch",))
    later = Sharing(32, [a_trial(1e6)])
    later.introduce(GPU, "NVIDIA X")
    assert play(later, full_at(32), ("epoch",)) == 4


def test_where_cores_ended_it_a_later_study_goes_on():
    """Few cores say nothing about what the device could do."""
    first = Sharing(2, [a_trial(1e6)])
    first.introduce(GPU, "NVIDIA X")
    assert play(first, full_at(16), ("epoch",)) == 2
    later = Sharing(32, [a_trial(1e6)])
    later.introduce(GPU, "NVIDIA X")
    assert later.limit(GPU) == 2
    assert play(later, full_at(16), ("epoch",)) == 16


def test_where_one_more_has_no_room_it_stays_at_that():
    sharing = Sharing(32, [])
    for _ in range(3):
        sharing.see(GPU, 1, "epoch", 1.0)
    sharing.retreat(GPU, 1)
    assert play(sharing, full_at(32), ("epoch",)) == 1
    sharing.retreat(GPU, 0)
    assert sharing.limit(GPU) == 1


@pytest.mark.parametrize(
    ("devices", "changes", "memory", "most"),
    [
        (["cuda:0"], {}, 2**40, 12),
        (["cuda:0", "cuda:1"], {}, 2**40, 6),
        (["cuda:0"], {}, 9 * 2**30, 2),
        (["cuda:0"], {}, 2**30, 1),
        (["cuda:0"], {}, None, 12),
        (["cuda:0"], {"workers": 3}, 2**40, None),
        (["cpu", "cpu"], {}, 2**40, None),
    ],
)
def test_gpus_are_shared_unless_the_number_of_workers_is_given(
    session: Session,
    options: RunOptions,
    monkeypatch: pytest.MonkeyPatch,
    devices: list[str],
    changes: dict[str, Any],
    memory: int | None,
    most: int | None,
):
    monkeypatch.setattr(study_module, "available_cores", lambda: 12)
    monkeypatch.setattr("cnnbench.execute.packing.memory_of", lambda _: None if memory is None else (memory, 0))

    sharing = study_module._sharing(session, dataclasses.replace(options, **({"workers": None} | changes)), devices)

    if sharing is None:
        assert most is None
    else:
        assert play(sharing, lambda _at_once, _kind: 1.0, ("epoch",)) == most


def test_timed_trials_share_nothing(session: Session, options: RunOptions):
    timed = dataclasses.replace(session, exclusive=True)
    assert study_module._sharing(timed, dataclasses.replace(options, workers=None), ["cuda:0"]) is None


@pytest.mark.parametrize(
    "content", ["", "[]", '{"trials_at_once": {"NVIDIA X, 1e6 FLOPs fp32": ["many", 1]}}', '{"trials_at_once": 3}']
)
def test_a_broken_file_is_nothing(content: str):
    module._file().parent.mkdir()
    module._file().write_text(content, "utf-8")
    sharing = Sharing(32, [a_trial(1e6)])
    sharing.introduce(GPU, "NVIDIA X")
    assert sharing.limit(GPU) == 1
