"""What differs on a CUDA device: spawned workers, resident data, deterministic kernels, device memory."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from cnnbench.environment import tune_process, tune_torch
from cnnbench.execute import RunOptions, Session, open_session, run_session
from cnnbench.registry import Registry
from cnnbench.spec import StudyFile
from cnnbench.store import read_trial
from cnnbench.train import TrialRequest, run_trial
from cnnbench.train.loop import Training
from cnnbench.types import EpochRecord, TrialResult

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


class Silent:
    def started(self, resumed_epoch: int) -> None:
        """Say nothing."""

    def epoch(self, record: EpochRecord) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def _deterministic() -> None:
    tune_process()
    tune_torch()


def on_gpu(session: Session, registry: Registry) -> TrialResult:
    trial = session.plan.trials[0]
    outcome = run_trial(
        TrialRequest(trial, "cuda:0", None), registry, session.datasets[trial.data_fingerprint], Silent()
    )
    assert isinstance(outcome, TrialResult), outcome
    return outcome


def test_a_trial_is_repeated_bit_for_bit(session: Session, registry: Registry):
    first, again = on_gpu(session, registry), on_gpu(session, registry)

    assert [block.logits_NK.tobytes() for block in first.predictions] == [
        block.logits_NK.tobytes() for block in again.predictions
    ]


def test_it_is_not_comparable_with_a_trial_on_a_cpu(session: Session, registry: Registry):
    result = on_gpu(session, registry)

    assert result.environment["device_type"] == "cuda"
    assert result.environment["device"] == torch.cuda.get_device_name(0)
    assert result.cost.peak_memory_bytes > 0


def test_workers_are_spawned_and_agree_with_this_process(study: StudyFile, registry: Registry, options: RunOptions):
    options = dataclasses.replace(options, device="cuda:0", workers=1)
    session = open_session(study, registry, options)
    here = on_gpu(session, registry)

    summary = run_session(session, registry, options, registry.observers())

    assert summary.num_finished == len(session.plan.trials)
    stored = read_trial(session.folder.trial_file(here.trial.id))
    last = here.epochs[-1].values["validation_accuracy"]
    assert stored.scalars["validation_accuracy"][-1] == float(last)


def test_a_gpu_gets_several_workers_and_the_results_are_the_same(
    study: StudyFile, registry: Registry, options: RunOptions
):
    options = dataclasses.replace(options, device="cuda:0", workers=None)
    session = open_session(study, registry, options)
    here = on_gpu(session, registry)

    summary = run_session(session, registry, options, registry.observers())

    assert summary.num_finished == len(session.plan.trials)
    stored = read_trial(session.folder.trial_file(here.trial.id))
    assert stored.scalars["validation_accuracy"][-1] == float(here.epochs[-1].values["validation_accuracy"])


def test_a_compiled_trial_is_repeated_and_close_to_a_plain_one(session: Session, registry: Registry):
    trial = session.plan.trials[0]
    compiled = dataclasses.replace(trial, recipe={**trial.recipe, "compile": True})
    plan = dataclasses.replace(session.plan, trials=(compiled,))
    first, again = (on_gpu(dataclasses.replace(session, plan=plan), registry) for _ in range(2))
    plain = on_gpu(session, registry)

    losses = [[float(record.values["train_loss"]) for record in one.epochs] for one in (first, again, plain)]
    assert losses[0] == losses[1]
    assert losses[0] == pytest.approx(losses[2], rel=0.02)


def test_nothing_within_an_epoch_waits_for_the_device(session: Session, registry: Registry):
    trial = session.plan.trials[0]
    training = Training(trial, registry, session.datasets[trial.data_fingerprint], torch.device("cuda:0"))
    phase = training.recipe.phases[0]
    training.enter_phase(phase)
    torch.cuda.set_sync_debug_mode("error")
    try:
        sums = training.steps(phase, 0, 0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert float(sums.loss) > 0


def test_images_that_do_not_fit_give_the_same_trial(
    session: Session, registry: Registry, monkeypatch: pytest.MonkeyPatch
):
    """They are gathered ahead in main memory, batch by batch."""
    resident = on_gpu(session, registry)
    monkeypatch.setattr("cnnbench.data.batches._free_bytes", lambda _: 0)
    fetched = on_gpu(session, registry)

    assert [block.logits_NK.tobytes() for block in resident.predictions] == [
        block.logits_NK.tobytes() for block in fetched.predictions
    ]
