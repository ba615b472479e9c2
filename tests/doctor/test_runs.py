"""Earlier results: the first paper's symptom is found in finished trials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cnnbench.doctor.runs import check_run
from cnnbench.execute import RunOptions, open_session, run_session
from cnnbench.spec import load_study

if TYPE_CHECKING:
    from cnnbench.registry import Registry

FACTOR = """
[factors.fault]
path = "dataset.fault"
levels = ["", "shuffled", "exchanged"]
"""


@pytest.fixture(scope="module")
def run(planted_registry: Registry, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    study = request.getfixturevalue("planted_study")
    root = tmp_path_factory.mktemp("run")
    path = root / "planted.toml"
    path.write_text(study + FACTOR, "utf-8")
    changes = ("trial.phases.main.epochs=6", "trial.optimizer.lr=0.01")
    loaded = load_study(path, check_component=planted_registry.check, assignments=changes)
    options = RunOptions(runs_dir=root / "runs", workers=0, device="cpu")
    session = open_session(loaded, planted_registry, options)
    run_session(session, planted_registry, options, planted_registry.observers())
    return session.folder.path


def test_cells_that_stay_at_chance_in_validation_are_named_with_the_cause(run: Path):
    found = check_run(run)

    assert found.condition == "fault"
    assert found.numbers == {"trials": 6, "learnt": 6, "cells": 2}
    assert [example.partition(":")[0] for example in found.examples] == ["fault shuffled", "fault exchanged"]
    assert "the classes of that part are in another order" in found.examples[1]
    assert "batch normalisation whose running statistics lag behind" in found.evidence


def test_trials_that_generalise_are_no_fault(run: Path):
    for trial in list((run / "trials").glob("*.h5")):
        from cnnbench.store import read_trial

        if read_trial(trial).cell["fault"]:
            trial.unlink()

    found = check_run(run)

    assert found.condition == "ok"
    assert found.evidence == "2 of 2 finished trials learnt; none of these is at chance in validation."


def test_a_study_that_was_not_run_has_nothing_to_show(run: Path, tmp_path: Path):
    assert check_run(tmp_path).condition == "not applicable"

    for trial in (run / "trials").glob("*.h5"):
        trial.unlink()
    assert check_run(run).evidence == "No trial is finished yet."
