from __future__ import annotations

import signal
from pathlib import Path

import pytest

from cnnbench.design import Probe
from cnnbench.execute.probes import CachedProber
from cnnbench.registry import Registry
from cnnbench.spec import Ref


@pytest.fixture
def request_of_8_px(registry: Registry) -> Probe:
    return Probe(registry.model(Ref(use="resnet-small")), 1, 10, 8, 8, "all")


def test_a_network_is_tried_once_and_then_known(
    tmp_path: Path, request_of_8_px: Probe, monkeypatch: pytest.MonkeyPatch
):
    with CachedProber(tmp_path) as prober:
        found = prober(request_of_8_px)
    assert found.reason is None
    assert found.train_flops > 0

    monkeypatch.setattr(CachedProber, "_try", None)
    with CachedProber(tmp_path) as prober:
        assert prober(request_of_8_px) == found


def test_a_broken_answer_in_the_cache_is_found_anew(tmp_path: Path, request_of_8_px: Probe):
    with CachedProber(tmp_path) as prober:
        found = prober(request_of_8_px)
        (file,) = (tmp_path / "probes").iterdir()
        file.write_text("{", "utf-8")

        assert prober(request_of_8_px) == found
    assert file.read_text("utf-8") != "{"


def test_ctrl_c_is_the_parents_to_answer(tmp_path: Path, request_of_8_px: Probe):
    with CachedProber(tmp_path) as prober:
        prober(request_of_8_px)
        assert prober._pool is not None

        assert prober._pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN
