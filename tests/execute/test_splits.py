from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnnbench.cli.plan_text import plan_text
from cnnbench.errors import DataError, SpecError
from cnnbench.execute import RunOptions, Session, open_session
from cnnbench.registry import Registry
from cnnbench.spec import load_study
from cnnbench.train.loop import Training

STUDY = """
format = 1
name = "patients"
question = "Who is where?"
[trial]
model = {{ use = "resnet-small", depth = 8, width = 2 }}
dataset = {{ use = "image-folder", path = "{path}", group = '^(\\d+)_' }}
split = {{ validation = 0.2, test = 0.2 }}
[[trial.phases]]
name = "main"
epochs = 1
size_px = 8
[design]
replicates = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty patients with three images each, a third of them ill."""
    rng = np.random.default_rng(0)
    for patient in range(40):
        for number in range(3):
            file = tmp_path / "images" / ("ill" if patient % 3 == 0 else "well") / f"{patient}_{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(file)
    return tmp_path / "images"


def plan(folder: Path, registry: Registry, options: RunOptions, *assignments: str) -> Session:
    path = folder.parent / "patients.toml"
    path.write_text(STUDY.format(path=folder), "utf-8")
    return open_session(load_study(path, check_component=registry.check, assignments=assignments), registry, options)


def test_the_plan_says_how_groups_fall_into_the_parts(folder: Path, registry: Registry, options: RunOptions):
    session = plan(folder, registry, options)

    (note,) = session.notes
    assert note.startswith("image-folder: the split keeps the images of each of 40 groups together: training 60.0 %")
    assert note.endswith("of 120 images.")
    lines = [getattr(part, "plain", "") for part in plan_text(session, options, registry).renderables]
    assert note in lines


def test_patients_of_a_trial_stand_in_one_part_each(folder: Path, registry: Registry, options: RunOptions):
    import torch

    session = plan(folder, registry, options)
    (dataset,) = session.datasets.values()
    group_N = dataset.groups_N()
    homes = []
    for trial in session.plan.trials:
        parts = Training(trial, registry, dataset, torch.device("cpu")).examples.parts
        patients = [set(group_N[part].tolist()) for part in (parts.train, parts.validation, parts.test)]
        assert [len(part) for part in patients] == [24, 8, 8]
        assert len(set.union(*patients)) == 40
        homes.append(patients[2])
    assert homes[0] != homes[1]


def test_groups_can_be_ignored(folder: Path, registry: Registry, options: RunOptions):
    assert plan(folder, registry, options, 'trial.split.groups="ignore"').notes == ()


def test_a_split_that_cannot_keep_its_groups_is_refused_before_anything_runs(
    folder: Path, registry: Registry, options: RunOptions
):
    with pytest.raises(DataError, match="dataset `image-folder`: the validation part has no example of class"):
        plan(folder, registry, options, "trial.dataset.group='^()'")


def test_keeping_groups_of_a_dataset_without_any_is_refused(study_path: Path, registry: Registry, options: RunOptions):
    study = load_study(study_path, check_component=registry.check, assignments=('trial.split.groups="keep"',))
    with pytest.raises(DataError, match='dataset `digits`: `split.groups` is "keep", but the dataset names no groups'):
        open_session(study, registry, options)


def test_copying_a_class_that_there_is_not_is_refused(folder: Path, registry: Registry, options: RunOptions):
    with pytest.raises(SpecError, match="trial.oversample.classes: the dataset has no class `il`; did you mean `ill`"):
        plan(folder, registry, options, 'trial.oversample={ share = 0.5, classes = ["il"] }')
