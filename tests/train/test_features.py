"""Features of a frozen body: the same bits as without, no work done twice, and never where they do not apply."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cnnbench.environment import tune_torch
from cnnbench.execute import RunOptions, Session, open_session
from cnnbench.registry import Registry
from cnnbench.spec import load_study
from cnnbench.train import FeatureFolder, TrialRequest, features, run_trial
from cnnbench.train.features import Cut, FeatureData, cut_network, feature_key
from cnnbench.train.loop import Training
from cnnbench.types import EpochRecord, Trial, TrialResult

STUDY = """
format = 1
name = "frozen"
question = "Is it quick?"

[trial]
model = { use = "resnet-small", depth = 8, width = 2, dropout = 0.3 }
dataset = { use = "digits", limit_per_class = 8 }
split = { validation = 0.25 }
optimizer = { use = "adam", lr = 0.05 }
batch_size = 20

[[trial.phases]]
name = "main"
epochs = 3
size_px = 8
trainable = "head"

[factors.lr]
path = "optimizer.lr"
levels = [0.05, 0.1]

[design]
replicates = 1
"""
CPU = torch.device("cpu")


class Silent:
    def started(self, resumed_epoch: int) -> None:
        pass

    def epoch(self, record: EpochRecord) -> None:
        pass


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    tune_torch()


@pytest.fixture
def open_study(tmp_path: Path, registry: Registry, options: RunOptions):
    def opened(*assignments: str) -> Session:
        path = tmp_path / "frozen.toml"
        path.write_text(STUDY, "utf-8")
        return open_session(
            load_study(path, check_component=registry.check, assignments=assignments), registry, options
        )

    return opened


def run(trial: Trial, session: Session, registry: Registry, folder: FeatureFolder | None = None) -> TrialResult:
    request = TrialRequest(trial, "cpu", None, 0.0, folder)
    outcome = run_trial(request, registry, session.datasets[trial.data_fingerprint], Silent())
    assert isinstance(outcome, TrialResult), outcome
    return outcome


def bits(result: TrialResult) -> list[Any]:
    records = [{name: value.tobytes() for name, value in record.values.items()} for record in result.epochs]
    return [*records, *(block.logits_NK.tobytes() for block in result.predictions)]


def training_of(session: Session, registry: Registry) -> Training:
    trial = session.plan.trials[0]
    training = Training(trial, registry, session.datasets[trial.data_fingerprint], CPU)
    training.enter_phase(training.recipe.phases[0])
    return training


def keep_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FeatureData, "keep", lambda *_: None)


# ------------------------------------------------------------------------------------------------ whole trials


@pytest.mark.parametrize("recipe", ["trial.precision=fp32", "trial.precision=bf16", "trial.normalization=imagenet"])
def test_a_trial_with_kept_features_has_the_bits_of_one_that_computes_them_for_each_batch(
    open_study, registry: Registry, monkeypatch: pytest.MonkeyPatch, recipe: str
):
    session = open_study(recipe)
    kept = run(session.plan.trials[0], session, registry)
    keep_nothing(monkeypatch)
    computed = run(session.plan.trials[0], session, registry)

    assert bits(kept) == bits(computed)
    assert kept.cost.features_s > 0
    assert computed.cost.features_s == 0


def test_a_trial_with_features_has_the_bits_of_one_that_sends_images_through_the_whole_network(
    open_study, registry: Registry, monkeypatch: pytest.MonkeyPatch
):
    """With batches of the same size everywhere, nothing but the features is different."""
    monkeypatch.setattr("cnnbench.train.features._BLOCK", 20)
    monkeypatch.setattr("cnnbench.train.evaluate._BATCH", 20)
    session = open_study()
    kept = run(session.plan.trials[0], session, registry)
    monkeypatch.setattr("cnnbench.train.loop.cut_network", lambda *_: None)
    whole = run(session.plan.trials[0], session, registry)

    assert bits(kept) == bits(whole)
    assert (kept.cost.features_s > 0, whole.cost.features_s) == (True, 0)


def test_dropout_above_the_features_is_drawn_anew_in_every_epoch(open_study, registry: Registry):
    training = training_of(open_study("factors.lr.levels=[1e-30, 0.1]"), registry)
    phase = training.recipe.phases[0]
    losses = [float(training.run_epoch(phase, epoch, epoch)[0].values["train_loss"]) for epoch in range(3)]
    without = training_of(open_study("factors.lr.levels=[1e-30, 0.1]", "trial.model.dropout=0.0"), registry)
    same = [float(without.run_epoch(phase, epoch, epoch)[0].values["train_loss"]) for epoch in range(3)]

    assert len(set(losses)) == 3
    assert same == pytest.approx([same[0]] * 3, rel=1e-6)


def test_the_body_sees_each_image_once(open_study, registry: Registry):
    session = open_study()
    trial = session.plan.trials[0]
    training = Training(trial, registry, session.datasets[trial.data_fingerprint], CPU)
    seen: list[int] = []
    training.network.get_submodule("stem").register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    phase = training.recipe.phases[0]

    training.enter_phase(phase)
    before = sum(size for size in seen if size >= 64)
    del seen[:]
    for epoch in range(3):
        training.run_epoch(phase, epoch, epoch)

    assert before == 128  # two blocks of 64 for 80 images
    assert seen == []


def test_frozen_layers_and_their_statistics_stay_as_they_are(open_study, registry: Registry):
    session = open_study()
    trial = session.plan.trials[0]
    training = Training(trial, registry, session.datasets[trial.data_fingerprint], CPU)
    before = {name: value.clone() for name, value in training.network.state_dict().items()}

    phase = training.recipe.phases[0]
    training.enter_phase(phase)
    training.run_epoch(phase, 0, 0)

    changed = {name for name, value in training.network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.weight", "head.bias"}


def test_the_first_epoch_pays_for_the_features(open_study, registry: Registry, monkeypatch: pytest.MonkeyPatch):
    def keep(self: FeatureData, *_: object) -> None:
        self.compute_s = self.compute_cpu_s = 1000.0

    monkeypatch.setattr(FeatureData, "keep", keep)
    session = open_study()

    result = run(session.plan.trials[0], session, registry)

    assert [round(record.train_s, -1) for record in result.epochs] == [750, 0, 0]  # 60 of 80 images are trained on
    assert round(result.epochs[0].train_cpu_s, -1) == 750
    assert round(result.cost.evaluation_s, -1) == 250
    assert result.cost.features_s == 1000.0
    assert result.cost.train_images == 180


@pytest.mark.parametrize(
    "assignments",
    [
        ('trial.augmentation=["flip"]',),
        ("trial.phases.main.trainable=all",),
        ("trial.phases.main.trainable={ middle = 0.1, head = 1.0 }",),
        ("trial.phases.main.trainable={ early = 1.0 }",),
        ('trial.model={ use = "block-cnn", blocks = 2, width = 2, stride = 1 }',),
    ],
)
def test_features_are_not_used_where_the_body_learns_draws_or_gets_other_images(
    open_study, registry: Registry, assignments: tuple[str, ...]
):
    assert training_of(open_study(*assignments), registry)._inputs is None


@pytest.mark.parametrize(
    "assignments",
    [
        ("trial.phases.main.trainable={ head = 0.5 }",),
        ('trial.model={ use = "block-cnn", blocks = 2, width = 2, stride = 1, dropout = 0.0 }',),
        ('trial.model={ use = "torchvision", name = "resnet18" }', "trial.phases.main.size_px=32"),
    ],
)
def test_features_are_used_where_only_the_head_learns(open_study, registry: Registry, assignments: tuple[str, ...]):
    training = training_of(open_study(*assignments), registry)

    assert training._inputs is not None
    assert training.features_s > 0


def test_a_phase_that_trains_everything_after_one_with_features_trains_on_images(open_study, registry: Registry):
    session = open_study()
    trial = session.plan.trials[0]
    main = trial.recipe["phases"][0]
    all_layers = {**main, "name": "all", "trainable": "all", "epochs": 1}
    recipe = {**trial.recipe, "phases": [main, all_layers, {**main, "name": "again", "epochs": 1}]}
    changed = dataclasses.replace(trial, recipe=recipe, flops_per_image=(1.0, 1.0, 1.0))
    training = Training(changed, registry, session.datasets[trial.data_fingerprint], CPU)
    phases, kept = training.recipe.phases, []
    for epoch, phase in enumerate(phases):
        training.enter_phase(phase)
        kept.append(training._inputs)
        training.run_epoch(phase, epoch, 0)

    assert kept[1] is None
    assert kept[0] is not None
    assert kept[2] is not None
    first, last = (one[1].batch(torch.arange(4), (), None)[0] for one in (kept[0], kept[2]))
    assert not torch.equal(first, last)  # the body has learnt meanwhile


def test_two_phases_with_the_same_frozen_body_share_their_features(open_study, registry: Registry):
    session = open_study()
    trial = session.plan.trials[0]
    main = trial.recipe["phases"][0]
    recipe = {**trial.recipe, "phases": [main, {**main, "name": "more"}]}
    changed = dataclasses.replace(trial, recipe=recipe, flops_per_image=(1.0, 1.0))
    training = Training(changed, registry, session.datasets[trial.data_fingerprint], CPU)
    inputs = []
    for epoch, phase in enumerate(training.recipe.phases):
        training.enter_phase(phase)
        inputs.append(training._inputs)
        training.run_epoch(phase, epoch, 0)

    assert inputs[0][1] is inputs[1][1]
    assert training._unbilled is None


# ------------------------------------------------------------------------------------------------ between trials


def test_trials_of_the_same_body_share_its_features_and_keep_their_bits(open_study, registry: Registry, tmp_path: Path):
    session, folder = open_study(), FeatureFolder(tmp_path / "features", shared=True)
    first, other = session.plan.trials
    alone = run(other, session, registry)

    run(first, session, registry, folder)
    result = run(other, session, registry, folder)

    assert len(list(folder.path.iterdir())) == 1
    assert (result.cost.features_reused, result.cost.features_s) == (True, 0.0)
    assert not alone.cost.features_reused
    assert bits(result) == bits(alone)


def test_another_body_has_features_of_its_own(open_study, registry: Registry, tmp_path: Path):
    session, folder = open_study(), FeatureFolder(tmp_path / "features", shared=True)
    first = session.plan.trials[0]
    run(first, session, registry, folder)
    elsewhere = dataclasses.replace(first, seeds={**first.seeds, "init": 12345})

    result = run(elsewhere, session, registry, folder)

    assert not result.cost.features_reused
    assert len(list(folder.path.iterdir())) == 2


@pytest.mark.parametrize("content", [b"half a file", b""])
def test_a_broken_file_of_features_is_replaced(open_study, registry: Registry, tmp_path: Path, content: bytes):
    session, folder = open_study(), FeatureFolder(tmp_path / "features", shared=True)
    expected = run(session.plan.trials[0], session, registry, folder)
    (file,) = folder.path.iterdir()
    file.write_bytes(content)

    result = run(session.plan.trials[0], session, registry, folder)

    assert not result.cost.features_reused
    assert bits(result) == bits(expected)
    assert run(session.plan.trials[1], session, registry, folder).cost.features_reused


def test_features_that_are_too_large_for_memory_lie_in_a_file_that_goes_with_the_trial(
    open_study, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    session, folder = open_study(), FeatureFolder(tmp_path / "features", shared=False)
    expected = run(session.plan.trials[0], session, registry, folder)
    assert not folder.path.exists()
    monkeypatch.setattr("cnnbench.train.features._IN_MEMORY_BYTES", 0)

    result = run(session.plan.trials[0], session, registry, folder)

    assert bits(result) == bits(expected)
    assert result.cost.features_s > 0
    assert list(folder.path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs posix_fallocate")
def test_a_full_disk_costs_time_and_not_the_trial(
    open_study, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    session, folder = open_study(), FeatureFolder(tmp_path / "features", shared=True)
    expected = run(session.plan.trials[0], session, registry)
    monkeypatch.setattr(features.os, "posix_fallocate", full)

    result = run(session.plan.trials[0], session, registry, folder)

    assert bits(result) == bits(expected)
    assert list(folder.path.iterdir()) == []


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cnnbench.train.features._FOLDER_BYTES", 350)
    for age, name in enumerate(["newest", "middle", "oldest"]):
        file = tmp_path / f"{name}.npy"
        file.write_bytes(bytes(100))
        os.utime(file, (1e9 - age, 1e9 - age))
    (tmp_path / ".new-1-1.npy").write_bytes(bytes(1))
    leftover = tmp_path / ".new-2-2.npy"
    leftover.write_bytes(bytes(1))
    os.utime(leftover, (1e9, 1e9))

    features._make_room(tmp_path, 100)

    assert {file.name for file in tmp_path.iterdir()} == {"newest.npy", "middle.npy", ".new-1-1.npy"}


# ------------------------------------------------------------------------------------------------ where to cut


class Counting(nn.Module):
    """Has a state that changes whenever it is used."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return images_BCHW


class Centred(nn.Module):
    """Looks at the other images of its batch, in training and in evaluation."""

    def forward(self, features_BD: torch.Tensor) -> torch.Tensor:
        return features_BD - features_BD.mean(dim=0)


class Noisy(nn.Module):
    """Draws a number and does nothing with it."""

    def forward(self, features_BD: torch.Tensor) -> torch.Tensor:
        torch.rand(())
        return features_BD


def frozen(*modules: nn.Module) -> nn.Sequential:
    network = nn.Sequential(*modules, nn.Linear(48, 3)).train()
    for parameter in network[:-1].parameters():
        parameter.requires_grad_(requires_grad=False)
    return network


def cut(network: nn.Sequential) -> Cut | None:
    images_BCHW = torch.rand(4, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    return cut_network(network, list(network), images_BCHW, "fp32")


@pytest.mark.parametrize(
    ("modules", "length"),
    [
        ([nn.Flatten()], 1),
        ([nn.Flatten(), nn.Linear(48, 48), nn.ReLU(inplace=True)], 3),
        ([nn.Flatten(), nn.ReLU(), nn.Dropout(0.5), nn.Linear(48, 48)], 2),
        ([nn.Flatten(), nn.Dropout(0.0)], 2),
        ([nn.Flatten(), Centred()], 1),
        ([nn.Flatten(), Noisy()], 1),
        ([nn.Flatten(), nn.BatchNorm1d(48, affine=False)], 1),
        ([nn.Flatten(), Counting()], 1),
    ],
)
def test_the_body_ends_before_the_first_module_that_is_not_fixed(modules: list[nn.Module], length: int):
    found = cut(frozen(*modules))

    assert found is not None
    assert (len(found.body), found.num_features) == (length, 48)
    assert len(found.body) + len(found.rest) == len(modules) + 1


@pytest.mark.parametrize(
    "modules",
    [
        [nn.Dropout(0.5), nn.Flatten()],
        [nn.BatchNorm2d(3, affine=False), nn.Flatten()],
        [Counting(), nn.Flatten()],
    ],
)
def test_a_network_that_does_not_begin_with_fixed_features_is_not_cut(modules: list[nn.Module]):
    assert cut(frozen(*modules)) is None


def test_a_network_without_a_chain_is_not_cut():
    assert cut_network(nn.Sequential(nn.Flatten()), (), torch.rand(4, 3, 4, 4), "fp32") is None


def test_looking_for_the_cut_changes_neither_modes_nor_state_nor_generators():
    network = frozen(nn.Flatten(), nn.Linear(48, 48), nn.BatchNorm1d(48, affine=False), nn.Dropout(0.5))
    network[1].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()

    cut(network)

    assert [module.training for module in network] == [True, False, True, True, True]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_a_chain_that_is_not_the_network_is_an_error():
    network = frozen(nn.Flatten(), nn.Linear(48, 48))

    with pytest.raises(ValueError, match="do not compute what the network computes"):
        cut_network(network, [network[0], network[2]], torch.rand(4, 3, 4, 4), "fp32")


def test_a_block_gives_an_image_the_same_features_wherever_it_stands(open_study, registry: Registry, monkeypatch):
    keep_nothing(monkeypatch)
    _, data = training_of(open_study(), registry)._inputs
    order = torch.from_numpy(np.random.default_rng(0).permutation(80))

    together, _ = data.batch(order, (), None)
    apart = torch.cat([data.batch(index_B, (), None)[0] for index_B in order.split(7)])

    assert torch.equal(together, apart)


def test_the_key_of_features_changes_with_what_decides_them():
    network = frozen(nn.Flatten(), nn.Linear(48, 48), nn.Tanh())
    found = cut(network)
    keys = {feature_key(found, {"size_px": 8}), feature_key(found, {"size_px": 9})}
    with torch.no_grad():
        network[1].bias[0] += 1e-7
    keys.add(feature_key(found, {"size_px": 8}))
    network[2] = nn.ReLU()
    keys.add(feature_key(cut(network), {"size_px": 8}))

    assert len(keys) == 4
    assert feature_key(cut(network), {"size_px": 8}) in keys
