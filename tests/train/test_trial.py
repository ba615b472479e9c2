from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cnnbench.environment import tune_torch
from cnnbench.execute import Session
from cnnbench.plugin import Model, hookimpl
from cnnbench.registry import Registry
from cnnbench.spec import Ref, StudyFile, load_study
from cnnbench.train import TrialRequest, run_trial
from cnnbench.train import trial as trial_module
from cnnbench.types import EpochRecord, Trial, TrialFailure, TrialResult


class Recorder:
    """Remembers what it was told, and stops the trial after some epochs if asked to."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.resumed: list[int] = []
        self.records: list[EpochRecord] = []
        self.stop_after = stop_after

    def started(self, resumed_epoch: int) -> None:
        self.resumed.append(resumed_epoch)

    def epoch(self, record: EpochRecord) -> None:
        self.records.append(record)

    def stop_now(self) -> bool:
        return self.stop_after is not None and len(self.records) >= self.stop_after


class StoppedError(BaseException):
    """As if the process had been killed."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    tune_torch()


def run(trial: Trial, session: Session, registry: Registry, listener: Recorder | None = None, **request: Any):
    wanted = TrialRequest(trial, "cpu", request.get("checkpoint"), request.get("every_s", 0.0))
    return run_trial(wanted, registry, session.datasets[trial.data_fingerprint], listener or Recorder())


def timeless(record: EpochRecord) -> dict[str, Any]:
    """Everything of a record that two runs must have in common."""
    plain = dataclasses.asdict(record)
    values = {name: value.tobytes() for name, value in plain.pop("values").items() if "standardized" not in name}
    return {key: value for key, value in plain.items() if key not in {"train_s", "train_cpu_s"}} | values


def logits(result: TrialResult) -> list[bytes]:
    return [block.logits_NK.tobytes() for block in result.predictions]


def with_recipe(trial: Trial, **changes: Any) -> Trial:
    return dataclasses.replace(trial, id="0" * 64, recipe={**trial.recipe, **changes})


def test_a_trial_returns_every_epoch_with_its_values(session: Session, registry: Registry):
    result = run(session.plan.trials[0], session, registry)

    assert isinstance(result, TrialResult)
    assert [(record.epoch, record.phase, record.size_px) for record in result.epochs] == [
        (0, "small", 8),
        (1, "large", 12),
        (2, "large", 12),
    ]
    assert set(result.epochs[0].values) == {
        "train_loss",
        "train_accuracy",
        "validation_accuracy",
        "validation_loss",
        "validation_confusion_matrix",
    }
    assert "validation_tta_accuracy" in result.epochs[2].values
    assert "validation_tta_accuracy" not in result.epochs[1].values
    assert result.epochs[0].values["validation_confusion_matrix"].shape == (10, 10)


def test_metrics_agree_with_the_stored_logits(session: Session, registry: Registry):
    result = run(session.plan.trials[0], session, registry)

    for block in result.predictions:
        name = "validation_tta_accuracy" if block.view == "tta" else "validation_accuracy"
        hits = block.logits_NK.argmax(axis=1) == block.label_N
        assert float(result.epochs[-1].values[name]) == pytest.approx(hits.mean())


def test_a_trial_is_repeated_bit_for_bit(session: Session, registry: Registry):
    first, again = (run(session.plan.trials[1], session, registry) for _ in range(2))

    assert [timeless(record) for record in first.epochs] == [timeless(record) for record in again.epochs]
    assert logits(first) == logits(again)


def test_replicates_differ(session: Session, registry: Registry):
    first, other = (run(trial, session, registry) for trial in session.plan.trials[::2])

    assert first.trial.cell == other.trial.cell
    assert logits(first) != logits(other)


def test_cells_of_a_replicate_share_the_split(session: Session, registry: Registry):
    first, other = (run(trial, session, registry) for trial in session.plan.trials[:2])

    assert first.trial.cell != other.trial.cell
    assert first.predictions[0].example_N.tolist() == other.predictions[0].example_N.tolist()


@pytest.mark.parametrize("stop_after", [1, 2])
def test_a_killed_trial_goes_on_bit_for_bit(
    study_path: Path, registry: Registry, options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int
):
    from cnnbench.execute import open_session

    with_state = ('trial.optimizer={ use = "adam" }', "trial.model.dropout=0.3", "trial.lr_finder={ steps = 12 }")
    session = open_session(load(study_path, registry, *with_state), registry, options)
    trial, checkpoint = session.plan.trials[0], tmp_path / "checkpoint.pt"
    whole = run(trial, session, registry)
    listener = Recorder(stop_after)
    import cnnbench.train.trial as module

    save = module.save_checkpoint

    def save_and_stop(path: Path, state: module.Checkpoint) -> None:
        save(path, state)
        if listener.stop_now():
            raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(module, "save_checkpoint", save_and_stop)
        with pytest.raises(StoppedError):
            run(trial, session, registry, listener, checkpoint=checkpoint)
    second = Recorder()
    resumed = run(trial, session, registry, second, checkpoint=checkpoint)

    assert second.resumed == [stop_after]
    assert resumed.cost.resumed
    assert resumed.found_lr == whole.found_lr
    assert [timeless(record) for record in resumed.epochs] == [timeless(record) for record in whole.epochs]
    assert logits(resumed) == logits(whole)


def test_a_broken_checkpoint_starts_the_trial_anew(session: Session, registry: Registry, tmp_path: Path):
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(b"half a file")
    listener = Recorder()

    result = run(session.plan.trials[0], session, registry, listener, checkpoint=checkpoint, every_s=1e9)

    assert isinstance(result, TrialResult)
    assert listener.resumed == [0]


def test_a_checkpoint_of_another_trial_is_not_used(session: Session, registry: Registry, tmp_path: Path):
    checkpoint, listener = tmp_path / "checkpoint.pt", Recorder()
    run(session.plan.trials[0], session, registry, checkpoint=checkpoint)

    run(session.plan.trials[1], session, registry, listener, checkpoint=checkpoint, every_s=1e9)

    assert checkpoint.exists()
    assert listener.resumed == [0]


def test_a_loss_that_diverges_is_a_failure_with_its_epoch(session: Session, registry: Registry):
    optimizer = {**session.plan.trials[0].recipe["optimizer"], "lr": 1e30}

    outcome = run(with_recipe(session.plan.trials[0], optimizer=optimizer), session, registry)

    assert isinstance(outcome, TrialFailure)
    assert outcome.error_class == "Diverged"
    assert outcome.epoch == 0
    assert "phase `small`" in outcome.message


def test_an_exception_in_a_model_is_a_failure_with_its_traceback(session: Session):
    class Raising(Model):
        """Raises."""

        key = "raising"

        def build(self, shape_CHW: tuple[int, int, int], num_classes: int) -> torch.nn.Module:  # noqa: ARG002 - raises
            raise RuntimeError("no such layer")

    class Plugin:
        @hookimpl
        def cnnbench_models(self):
            return [Raising]

    registry = Registry.discover()
    registry.register(Plugin(), "raising")
    outcome = run(with_recipe(session.plan.trials[0], model={"use": "raising", "version": "1"}), session, registry)

    assert isinstance(outcome, TrialFailure)
    assert (outcome.error_class, outcome.message, outcome.epoch) == ("RuntimeError", "no such layer", None)
    assert "Traceback" in outcome.traceback


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("16 GiB"),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1e15 bytes."),
    ],
)
def test_running_out_of_memory_is_a_failure_of_its_own_class(
    session: Session, registry: Registry, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("cnnbench.train.loop.Training.enter_phase", fail)

    outcome = run(session.plan.trials[0], session, registry)

    assert isinstance(outcome, TrialFailure)
    assert outcome.error_class == "OutOfMemory"


def test_a_checkpoint_that_cannot_be_written_costs_no_trial(
    session: Session, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise RuntimeError("PytorchStreamWriter failed writing file: No space left on device")

    monkeypatch.setattr("cnnbench.train.checkpoint.torch.save", fail)

    result = run(session.plan.trials[0], session, registry, checkpoint=tmp_path / "checkpoint.pt")

    assert isinstance(result, TrialResult)
    assert list(tmp_path.glob("checkpoint*")) == []


@pytest.mark.parametrize(("every_s", "num_saved"), [(0.0, 4), (1e-6, 2)], ids=["after each epoch", "by time"])
def test_checkpoints_that_take_long_come_less_often(
    study_path: Path,
    registry: Registry,
    options,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    every_s: float,
    num_saved: int,
):
    saved: list[Path] = []

    def slow(path: Path, _: object) -> None:
        saved.append(path)
        time.sleep(0.5)  # a fiftieth of 25 s; this trial is over in one

    from cnnbench.execute import open_session

    session = open_session(load(study_path, registry, "trial.phases.large.epochs=4"), registry, options)
    monkeypatch.setattr(trial_module, "save_checkpoint", slow)
    result = run(session.plan.trials[0], session, registry, checkpoint=tmp_path / "checkpoint.pt", every_s=every_s)

    assert isinstance(result, TrialResult)
    assert len(result.epochs) == 5
    assert len(saved) == num_saved


def test_a_metric_that_breaks_its_declaration_is_a_failure_of_the_trial(
    session: Session, registry: Registry, monkeypatch: pytest.MonkeyPatch
):
    metric = type(registry.metric(Ref(use="accuracy")))
    monkeypatch.setattr(metric, "compute", lambda _, batch: batch.logits_NK)

    outcome = run(session.plan.trials[0], session, registry)

    assert isinstance(outcome, TrialFailure)
    assert "metric `accuracy` returned a value of shape (20, 10); it declares 0 dimensions" in outcome.message


def load(path: Path, registry: Registry, *assignments: str) -> StudyFile:
    return load_study(path, check_component=registry.check, assignments=assignments)


def first_result(study: StudyFile, registry: Registry, options) -> TrialResult:
    from cnnbench.execute import open_session

    session = open_session(study, registry, options)
    outcome = run(session.plan.trials[0], session, registry)
    assert isinstance(outcome, TrialResult), outcome
    return outcome


def test_a_phase_trains_what_it_names_and_nothing_else(study_path: Path, registry: Registry, options):
    from cnnbench.execute import open_session
    from cnnbench.train.loop import Training

    session = open_session(load(study_path, registry, 'trial.phases.small.trainable="head"'), registry, options)
    trial = session.plan.trials[0]
    training = Training(trial, registry, session.datasets[trial.data_fingerprint], torch.device("cpu"))
    before = {name: value.clone() for name, value in training.network.state_dict().items()}

    phase = training.recipe.phases[0]
    training.enter_phase(phase)
    training.run_epoch(phase, 0, 0)

    head = {id(parameter) for parameter in training.groups["head"]}
    names = {name for name, parameter in training.network.named_parameters() if id(parameter) in head}
    changed = {name for name, value in training.network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == names


class Nested(torch.nn.Module):
    """A module with a parameter of its own and a child."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1), requires_grad=False)
        self.child = torch.nn.BatchNorm2d(3)


def test_a_child_of_a_frozen_module_is_in_training_mode_if_it_is_trained(session: Session, registry: Registry):
    from cnnbench.train.loop import Training

    trial, nested = session.plan.trials[0], Nested()
    training = Training(trial, registry, session.datasets[trial.data_fingerprint], torch.device("cpu"))

    training._set_mode(nested)

    assert (nested.training, nested.child.training) == (False, True)


def test_the_learning_rate_finder_freezes_what_the_first_phase_freezes(
    study_path: Path, registry: Registry, options, monkeypatch: pytest.MonkeyPatch
):
    from cnnbench.execute import open_session
    from cnnbench.train.loop import Training

    study = load(
        study_path, registry, 'trial.phases.small.trainable="head"', "trial.lr_finder={ low = 1e-4, high = 1.0 }"
    )
    session = open_session(study, registry, options)
    trial = session.plan.trials[0]
    training = Training(trial, registry, session.datasets[trial.data_fingerprint], torch.device("cpu"))
    modes: list[set[bool]] = []

    def watch(_finder: object, network: torch.nn.Module, make_optimizer, *_: object) -> float:
        make_optimizer(network)
        norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        modes.append({norm.training for norm in norms})
        return 0.1

    monkeypatch.setattr("cnnbench.train.loop.find_lr", watch)
    training.find_lr()

    assert modes == [{False}]


def test_warming_up_changes_nothing(session: Session, registry: Registry):
    from cnnbench.train.loop import Training

    trial = session.plan.trials[0]
    training = Training(trial, registry, session.datasets[trial.data_fingerprint], torch.device("cpu"))
    before = {name: value.clone() for name, value in training.network.state_dict().items()}

    training.enter_phase(training.recipe.phases[0])

    assert all(torch.equal(value, before[name]) for name, value in training.network.state_dict().items())


def test_a_test_part_is_evaluated_beside_the_validation_part(study_path: Path, registry: Registry, options):
    result = first_result(load(study_path, registry, "trial.split.test=0.25"), registry, options)

    assert {block.split for block in result.predictions} == {"validation", "test"}
    assert "test_tta_accuracy" in result.epochs[-1].values


def test_bf16_is_another_arithmetic_and_another_trial(study_path: Path, registry: Registry, options):
    plain = first_result(load(study_path, registry), registry, options)
    low = first_result(load(study_path, registry, "trial.precision=bf16"), registry, options)

    assert low.trial.id != plain.trial.id
    assert low.environment["precision"] == "bf16"
    assert logits(low) != logits(plain)
    assert np.isfinite(low.predictions[0].logits_NK).all()


def test_the_learning_rate_finder_replaces_the_optimizers_rate(study_path: Path, registry: Registry, options):
    finder = "trial.lr_finder={ low = 1e-4, high = 1.0, steps = 12 }"

    result = first_result(load(study_path, registry, finder), registry, options)

    assert result.found_lr is not None
    assert 1e-4 <= result.found_lr <= 1.0
    assert result.epochs[0].lr == pytest.approx(result.found_lr)


def test_the_clock_leaves_evaluation_out(session: Session, registry: Registry):
    result = run(session.plan.trials[0], session, registry)

    assert result.cost.train_s == pytest.approx(sum(record.train_s for record in result.epochs))
    assert result.cost.evaluation_s > 0
    assert result.cost.train_s + result.cost.evaluation_s < result.cost.total_s


@pytest.mark.parametrize(("batch_size", "examples", "steps"), [(1, 60, 60), (59, 59, 1), (58, 60, 2), (1000, 60, 1)])
def test_an_epoch_has_the_steps_and_examples_that_its_batches_have(
    study_path: Path, registry: Registry, options, batch_size: int, examples: int, steps: int
):
    from cnnbench.execute import open_session
    from cnnbench.train.loop import Training

    session = open_session(load(study_path, registry, f"trial.batch_size={batch_size}"), registry, options)
    trial = session.plan.trials[0]
    training = Training(trial, registry, session.datasets[trial.data_fingerprint], torch.device("cpu"))
    sizes = [len(label_B) for _, label_B in training._epoch_batches(training.recipe.phases[0], 0)]

    assert (sum(sizes), len(sizes)) == (examples, steps)
    assert (training.examples.per_epoch, training.examples.steps_per_epoch) == (examples, steps)
    assert isinstance(run(trial, session, registry), TrialResult)


def test_flops_of_an_epoch_grow_with_the_images(session: Session, registry: Registry):
    result = run(session.plan.trials[0], session, registry)

    small, large, _ = (record.flops for record in result.epochs)
    assert 1.5 < large / small < 2.5
    assert result.cost.flops == pytest.approx(result.trial.flops)


def test_copies_train_beside_the_images_and_are_nowhere_else(study_path: Path, registry: Registry, options):
    from cnnbench.execute import open_session
    from cnnbench.train.loop import Training

    recipe = 'trial.oversample={ share = 0.5, classes = ["3", "7"], augmentation = ["rotate", "invert"] }'
    plain, more = (
        open_session(load(study_path, registry, *changes), registry, options)
        for changes in (("trial.split.test=0.25",), ("trial.split.test=0.25", recipe))
    )
    trial = more.plan.trials[0]
    training = Training(trial, registry, more.datasets[trial.data_fingerprint], torch.device("cpu"))
    assert training.examples.copies is not None
    parts = training.examples.parts
    sources, held_out = set(training.examples.copies.source_M.tolist()), {*parts.validation, *parts.test}
    label_B = torch.cat([labels for _, labels in training._epoch_batches(training.recipe.phases[0], 0)])

    assert len(training.examples.copies.source_M) == 4  # half of the four training images of each class
    assert sources <= set(training.examples.parts.train.tolist())
    assert not sources & held_out
    assert np.bincount(label_B.numpy()).tolist() == [4, 4, 4, 6, 4, 4, 4, 6, 4, 4]
    results = [run(session.plan.trials[0], session, registry) for session in (plain, more)]
    for one, other in zip(*(result.predictions for result in results), strict=True):
        assert one.example_N.tolist() == other.example_N.tolist()
        assert one.logits_NK.tobytes() != other.logits_NK.tobytes()
    assert results[1].cost.flops == pytest.approx(results[0].cost.flops * 44 / 40)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell pages of files apart")
def test_peak_memory_is_what_a_trial_takes_not_the_pages_of_files_that_it_reads(tmp_path: Path):
    size, cpu = 64 * 2**20, torch.device("cpu")
    file = tmp_path / "images.npy"
    np.save(file, np.ones(size, np.uint8))
    begun, mapped = peak_in_steps(cpu, lambda: None), []

    def read() -> None:
        mapped.append(np.load(file, mmap_mode="r"))
        assert int(mapped[-1].sum()) == size

    assert peak_in_steps(cpu, read) < begun + size / 4
    assert peak_in_steps(cpu, read, lambda: np.ones(size // 8, np.uint8)) < begun + size / 4
    assert peak_in_steps(cpu, lambda: np.ones(size, np.uint8), read) > begun + 3 * size / 4


def peak_in_steps(device: torch.device, *steps: Callable[[], object]) -> int:
    """Return the peak of some steps, looked up after each."""
    memory = trial_module._PeakMemory(device)
    for step in steps:
        step()
        memory.look()
    return memory.most_bytes
