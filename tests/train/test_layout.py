"""The memory layout of a device: tried once, kept, stored with trials, and of no consequence but for last bits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from cnnbench.environment import tune_torch
from cnnbench.execute import Session
from cnnbench.registry import Registry
from cnnbench.train import TrialRequest, layout, layouts_of, run_trial
from cnnbench.types import EpochRecord, TrialResult

CPU = torch.device("cpu")


class Silent:
    def started(self, resumed_epoch: int) -> None:
        """Say nothing."""

    def epoch(self, record: EpochRecord) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    tune_torch()


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that names the precision of every try from now on; contiguous wins by far in fp32."""
    made: list[str] = []

    def step_times(_: torch.device, precision: str) -> dict[str, float]:
        made.append(precision)
        return {"channels-last": 2.0, "contiguous": 1.0 if precision == "fp32" else 1.9}

    monkeypatch.setattr(layout, "_step_times", step_times)
    monkeypatch.setattr(layout, "_has_bf16", lambda _: True)
    return made


def test_a_device_is_tried_once(tmp_path: Path, tries: list[str]):
    first, second = layouts_of(CPU, tmp_path), layouts_of(CPU, tmp_path)

    assert first == second == {"fp32": "contiguous", "bf16": "channels-last"}  # 5 % are not clearly more
    assert tries == ["fp32", "bf16"]
    (file,) = (tmp_path / "layouts").iterdir()
    assert json.loads(file.read_text("utf-8"))["device"]["torch"] == torch.__version__


def test_without_bf16_it_is_not_tried(tmp_path: Path, tries: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(layout, "_has_bf16", lambda _: False)

    assert layouts_of(CPU, tmp_path) == {"fp32": "contiguous", "bf16": "contiguous"}
    assert tries == ["fp32"]


def test_another_torch_is_tried_anew(tmp_path: Path, tries: list[str], monkeypatch: pytest.MonkeyPatch):
    layouts_of(CPU, tmp_path)
    monkeypatch.setattr(torch, "__version__", "99.0")
    layouts_of(CPU, tmp_path)

    assert len(tries) == 4


def test_of_two_that_try_at_once_the_first_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def meanwhile(device: torch.device) -> Mapping[str, str]:
        monkeypatch.setattr(layout, "_tried", lambda _: {"fp32": "contiguous", "bf16": "contiguous"})
        layouts_of(device, tmp_path)
        return {"fp32": "channels-last", "bf16": "channels-last"}

    monkeypatch.setattr(layout, "_tried", meanwhile)

    assert layouts_of(CPU, tmp_path) == {"fp32": "contiguous", "bf16": "contiguous"}
    assert len(list((tmp_path / "layouts").iterdir())) == 1


@pytest.mark.parametrize("content", ["", "[]", '{"layouts": {"fp32": "sideways", "bf16": "contiguous"}}'])
@pytest.mark.usefixtures("tries")
def test_an_answer_that_cannot_be_read_is_the_usual_one(tmp_path: Path, content: str):
    layouts_of(CPU, tmp_path)
    (file,) = (tmp_path / "layouts").iterdir()
    file.write_text(content, "utf-8")

    assert layouts_of(CPU, tmp_path) == layout.USUAL


def test_where_nothing_can_be_kept_nothing_is_tried(tmp_path: Path, tries: list[str]):
    (tmp_path / "layouts").write_text("no folder", "utf-8")

    assert layouts_of(CPU, tmp_path) == layout.USUAL
    assert not tries


def test_trying_disturbs_no_random_numbers_and_times_both(tmp_path: Path):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    times = layout._step_times(CPU, "fp32")

    assert torch.equal(torch.rand(3), expected)
    assert set(times) == {"channels-last", "contiguous"}
    assert all(seconds > 0 for seconds in times.values())
    assert layouts_of(CPU, tmp_path).keys() == layout.USUAL.keys()


def test_results_differ_in_last_bits_at_most_and_say_their_layout(session: Session, registry: Registry):
    trial = session.plan.trials[0]
    dataset = session.datasets[trial.data_fingerprint]
    found = []
    for name in ("channels-last", "contiguous"):
        request = TrialRequest(trial, "cpu", None, layouts={"fp32": name, "bf16": "channels-last"})
        result = run_trial(request, registry, dataset, Silent())
        assert isinstance(result, TrialResult), result
        found.append(result)
        assert result.environment["layouts"] == f"bf16 channels-last, fp32 {name}"

    usual, other = (torch.from_numpy(result.predictions[0].logits_NK) for result in found)
    torch.testing.assert_close(usual, other, rtol=0.01, atol=0.01)
    first = [float(result.epochs[0].values["train_loss"]) for result in found]
    assert first[0] == pytest.approx(first[1], rel=1e-3)


def test_images_and_kernels_have_the_layout(session: Session, registry: Registry, monkeypatch: pytest.MonkeyPatch):
    seen: set[tuple[bool, bool]] = set()
    forward = torch.nn.Conv2d.forward

    def spy(self: torch.nn.Conv2d, images_BCHW: torch.Tensor) -> torch.Tensor:
        if images_BCHW.shape[1] == 3:
            seen.add((images_BCHW.is_contiguous(), self.weight.is_contiguous()))
        return forward(self, images_BCHW)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", spy)
    trial = session.plan.trials[0]
    for name in ("channels-last", "contiguous"):
        request = TrialRequest(trial, "cpu", None, layouts={"fp32": name, "bf16": "channels-last"})
        run_trial(request, registry, session.datasets[trial.data_fingerprint], Silent())
        assert seen == {(name == "contiguous",) * 2}
        seen.clear()
