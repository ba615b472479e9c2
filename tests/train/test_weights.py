from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cnnbench
from cnnbench.data import default_cache_dir, split_examples
from cnnbench.design import cell_recipes, planned_cells
from cnnbench.environment import tune_torch
from cnnbench.errors import SpecError, StoreError
from cnnbench.execute import RunOptions, open_session, run_session
from cnnbench.plugin import Model
from cnnbench.registry import Registry
from cnnbench.spec import Ref, Split, load_study
from cnnbench.train import TrialRequest, run_trial
from cnnbench.train.weights import WeightsKeeper
from cnnbench.types import EpochRecord, TrialResult

EPOCHS = ("trial.phases.large.epochs=4", "trial.optimizer.lr=0.3")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    tune_torch()


def open_with(study_path: Path, registry: Registry, options: RunOptions, *assignments: str):
    study = load_study(study_path, check_component=registry.check, assignments=assignments)
    return open_session(study, registry, options)


@pytest.fixture
def finished(study_path: Path, registry: Registry, options: RunOptions):
    """Run the tiny study, whose trials keep weights as asked; return the run folder."""

    def run(*assignments: str) -> Path:
        session = open_with(study_path, registry, options, *assignments)
        run_session(session, registry, options, registry.observers())
        return session.folder.path

    return run


def validation_accuracy(run: Path, trial: Any) -> float:
    """Measure the accuracy of the kept weights on the trial's own validation part, from the data up."""
    network = cnnbench.load_network(run, trial.id)
    fingerprint = trial.data_fingerprint
    metas = (default_cache_dir() / "datasets").glob("digits-*/meta.json")
    folder = next(meta.parent for meta in metas if json.loads(meta.read_text())["fingerprint"] == fingerprint)
    labels_N, images_NCHW = np.load(folder / "labels.npy"), np.load(folder / "images-crop-12.npy")
    parts = split_examples(labels_N, Split.model_validate(trial.recipe["split"]), trial.seeds["split"], None)
    pixels_NCHW = torch.from_numpy(images_NCHW).float() / 255
    train_NCHW = pixels_NCHW[torch.from_numpy(parts.train)]
    inputs = (pixels_NCHW - train_NCHW.mean()) / train_NCHW.std(correction=0)
    with torch.no_grad():
        predicted_N = network(inputs[torch.from_numpy(parts.validation)]).argmax(1).numpy()
    return float((predicted_N == labels_N[parts.validation]).mean())


def test_the_weights_of_the_best_epoch_are_kept_and_give_its_accuracy(finished):
    run = finished('trial.save_weights="best"', *EPOCHS)

    epochs = []
    for trial in cnnbench.open_study(run).stored:
        accuracy_E = trial.scalars["validation_accuracy"]
        assert trial.weights == f"weights/{trial.id}.pt"
        assert trial.weights_epoch == int(accuracy_E.argmax())
        if trial.weights_epoch > 0:  # the first epoch is of another image size
            assert validation_accuracy(run, trial) == pytest.approx(float(accuracy_E.max()))
        epochs.append(trial.weights_epoch)
    assert any(0 < epoch < 4 for epoch in epochs), "else it does not show which epoch is kept"


def test_the_last_weights_can_be_kept_and_read_without_cnnbench(finished):
    run = finished('trial.save_weights="last"')

    trial = cnnbench.open_study(run).stored[0]
    assert trial.weights_epoch == 2
    assert validation_accuracy(run, trial) == pytest.approx(trial.scalars["validation_accuracy"][-1])
    state = torch.load(run / trial.weights, weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    assert list((run / "weights").glob("*.tmp")) == []


def test_without_being_asked_for_no_weights_are_kept(finished):
    run = finished()

    trial = cnnbench.open_study(run).stored[0]
    assert (trial.weights, trial.weights_epoch, (run / "weights").exists()) == (None, None, False)
    with pytest.raises(StoreError, match="kept no weights; set `trial.save_weights`"):
        cnnbench.load_network(run, trial.id)
    with pytest.raises(StoreError, match="has 0 finished trials whose id begins with `zz`"):
        cnnbench.load_network(run, "zz")


def test_fresh_runs_and_forgotten_trials_leave_no_weights(finished, study_path, registry, options):
    run = finished('trial.save_weights="last"')
    session = open_with(study_path, registry, options, 'trial.save_weights="last"')
    first = session.plan.trials[0].id

    session.folder.forget(first)
    assert not session.folder.weights_file(first).exists()
    session.folder.empty()
    assert not (run / "weights").exists()


def test_an_interrupted_trial_keeps_the_same_best_weights(
    study_path, registry, options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import cnnbench.train.trial as module

    session = open_with(study_path, registry, options, 'trial.save_weights="best"', *EPOCHS)
    trial, dataset = session.plan.trials[0], next(iter(session.datasets.values()))

    def run(name: str, *, stop: bool = False) -> tuple[Any, Path]:
        request = TrialRequest(trial, "cpu", tmp_path / "checkpoint.pt", 0.0, weights=tmp_path / name)
        return run_trial(request, registry, dataset, Stopper(after=4 if stop else None)), tmp_path / name

    class StoppedError(BaseException):
        """As if the process had been killed."""

    class Stopper:
        def __init__(self, after: int | None) -> None:
            self.after, self.seen = after, 0

        def started(self, resumed_epoch: int) -> None:
            self.resumed = resumed_epoch

        def epoch(self, _: EpochRecord) -> None:
            self.seen += 1
            if self.seen == self.after:
                raise StoppedError

    whole, whole_path = run("whole.pt")
    (tmp_path / "checkpoint.pt").unlink()
    with pytest.raises(StoppedError):
        run("never.pt", stop=True)
    assert not (tmp_path / "never.pt").exists()
    loaded = []
    original = module.load_checkpoint
    monkeypatch.setattr(module, "load_checkpoint", lambda *given: loaded.append(original(*given)) or loaded[0])
    resumed, resumed_path = run("resumed.pt")

    assert isinstance(whole, TrialResult)
    assert loaded[0].kept is not None
    assert resumed.cost.resumed
    assert resumed.weights_epoch == whole.weights_epoch
    states = [torch.load(path, weights_only=True) for path in (whole_path, resumed_path)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def record(epoch: int, **values: float) -> EpochRecord:
    return EpochRecord(
        epoch, "main", 8, 0.1, 0.0, 0.0, 0.0, {name: np.asarray(value) for name, value in values.items()}
    )


@pytest.mark.parametrize(
    ("first", "values", "best"),
    [
        ("accuracy", [0.2, 0.9, 0.9, 0.4], 1),
        ("loss", [2.0, 0.9, 0.5, 0.7], 2),
        ("accuracy", [float("nan"), 0.1, float("nan")], 1),
    ],
)
def test_the_first_metric_that_is_one_number_chooses_the_epoch(registry: Registry, first: str, values, best: int):
    keeper = WeightsKeeper([registry.metric(Ref(use="confusion-matrix")), registry.metric(Ref(use=first))])
    network = torch.nn.Linear(1, 1)
    for epoch, value in enumerate(values):
        network.weight.data.fill_(epoch)
        keeper.see(record(epoch, **{f"validation_{first}": value}), network)

    assert keeper.kept is not None
    assert (keeper.kept.epoch, float(keeper.kept.network["weight"])) == (best, best)


def test_a_study_whose_metrics_cannot_choose_is_refused(study_path, registry):
    study = load_study(study_path, check_component=registry.check, assignments=('trial.save_weights="best"',))
    trial = study.spec.trial.model_copy(update={"metrics": (Ref(use="confusion-matrix"),)})
    spec = study.spec.model_copy(update={"trial": trial})

    with pytest.raises(SpecError, match="no metric tells which epoch is best; add one that is one number"):
        cell_recipes(spec, registry, planned_cells(spec)[0], "tiny")


def test_weights_that_cannot_be_written_are_told_in_one_sentence(study_path, registry, options, tmp_path: Path):
    session = open_with(study_path, registry, options, 'trial.save_weights="last"')
    trial, dataset = session.plan.trials[0], next(iter(session.datasets.values()))
    (tmp_path / "file").write_text("in the way")

    class Nobody:
        def started(self, resumed_epoch: int) -> None:
            """Take no notice."""

        def epoch(self, record: EpochRecord) -> None:
            """Take no notice."""

    request = TrialRequest(trial, "cpu", None, 0.0, weights=tmp_path / "file" / "weights.pt")
    outcome = run_trial(request, registry, dataset, Nobody())

    assert (outcome.error_class, outcome.traceback) == ("StoreError", "")
    assert "the weights cannot be written to" in outcome.message


class WithTable(Model):
    """A network with a buffer that is no part of its state."""

    key = "with-table"

    def build(self, shape_CHW: tuple[int, int, int], num_classes: int) -> torch.nn.Module:
        network = torch.nn.Sequential(
            torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(shape_CHW[0], num_classes)
        )
        network.register_buffer("table", torch.arange(3), persistent=False)
        return network


def test_buffers_that_are_no_part_of_the_state_are_there_again(finished, monkeypatch: pytest.MonkeyPatch):
    run = finished('trial.save_weights="last"')
    path = run / cnnbench.open_study(run).stored[0].weights
    torch.save(WithTable().build((1, 8, 8), 10).state_dict(), path)
    monkeypatch.setattr("cnnbench.registry.Registry.model", lambda *_: WithTable())

    network = cnnbench.load_network(run, cnnbench.open_study(run).stored[0].id)

    assert network.table.tolist() == [0, 1, 2]
    assert not network.training
