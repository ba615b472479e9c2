"""Cores, and whether forked processes may work on them."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pytest

from cnnbench.cores import available_cores, load_average, may_fork


def test_where_a_process_may_not_be_forked_none_is(monkeypatch: pytest.MonkeyPatch):
    assert may_fork()
    for is_initialized in (False, True):
        torch = SimpleNamespace(cuda=SimpleNamespace(is_initialized=lambda: is_initialized))  # noqa: B023
        monkeypatch.setitem(sys.modules, "torch", torch)
        assert may_fork() != is_initialized


def test_cores_that_a_process_may_not_use_do_not_count(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert available_cores() == 1

    monkeypatch.delattr(os, "sched_getaffinity")
    assert available_cores() == os.cpu_count()


def test_where_nobody_counts_what_runs_nothing_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (1.5, 1.0, 0.5), raising=False)
    assert load_average() == 1.5

    def unknown() -> tuple[float, float, float]:
        raise OSError

    monkeypatch.setattr(os, "getloadavg", unknown)
    assert load_average() is None
    monkeypatch.delattr(os, "getloadavg")
    assert load_average() is None
