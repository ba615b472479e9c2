from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from cnnbench.errors import DataError, SetupError, StoreError
from cnnbench.execute import RunOptions, Session, open_session, run_session
from cnnbench.execute.study import estimate_s, worker_devices
from cnnbench.registry import Registry
from cnnbench.spec import StudyFile, load_study


def replan(path: Path, registry: Registry, options: RunOptions, *assignments: str) -> Session:
    return open_session(load_study(path, check_component=registry.check, assignments=assignments), registry, options)


def finish(session: Session, registry: Registry, options: RunOptions):
    return run_session(session, registry, options, registry.observers())


def test_planning_writes_nothing_into_the_run_folder(session: Session, options: RunOptions):
    assert len(session.pending) == 4
    assert not options.runs_dir.exists()


def test_a_finished_study_has_nothing_left_to_run(
    session: Session, study: StudyFile, registry: Registry, options: RunOptions
):
    summary = finish(session, registry, options)

    assert (summary.num_finished, summary.num_failed, summary.num_pending) == (4, 0, 0)
    again = open_session(study, registry, options)
    assert (again.pending, again.num_finished, again.changes) == ((), 4, ())


def test_a_new_level_reruns_only_its_own_cells(
    session: Session, study_path: Path, registry: Registry, options: RunOptions
):
    finish(session, registry, options)

    wider = replan(study_path, registry, options, "factors.width.levels=[2, 4, 6]")

    assert (len(wider.plan.trials), wider.num_finished, len(wider.pending)) == (6, 4, 2)
    assert {trial.cell["width"] for trial in wider.pending} == {6}
    assert wider.changes == ("factors.width.levels: [2, 4] -> [2, 4, 6]",)


def test_a_changed_recipe_reruns_everything(
    session: Session, study_path: Path, registry: Registry, options: RunOptions
):
    finish(session, registry, options)

    changed = replan(study_path, registry, options, "trial.batch_size=8")

    assert changed.num_finished == 0
    assert changed.changes == ("trial.batch_size: 16 -> 8",)


def test_a_failed_trial_is_run_again_only_when_asked(study_path: Path, registry: Registry, options: RunOptions):
    diverging = ("trial.optimizer.lr=1e30",)
    summary = finish(replan(study_path, registry, options, *diverging), registry, options)
    assert (summary.num_finished, summary.num_failed) == (0, 4)

    left_alone = replan(study_path, registry, options, *diverging)
    retried = replan(study_path, registry, dataclasses.replace(options, retry_failed=True), *diverging)

    assert (len(left_alone.pending), left_alone.num_failed) == (0, 4)
    assert (len(retried.pending), retried.num_failed) == (4, 0)


def test_fresh_throws_the_old_results_away(session: Session, study: StudyFile, registry: Registry, options: RunOptions):
    finish(session, registry, options)

    fresh = open_session(study, registry, dataclasses.replace(options, fresh=True))

    assert (len(fresh.pending), fresh.num_finished) == (4, 0)


def test_fresh_does_not_empty_a_folder_that_is_no_run(study: StudyFile, registry: Registry, options: RunOptions):
    (options.runs_dir / "tiny").mkdir(parents=True)
    (options.runs_dir / "tiny" / "thesis.txt").write_text("years of work", "utf-8")

    with pytest.raises(StoreError, match="no run folder"):
        open_session(study, registry, dataclasses.replace(options, fresh=True))

    assert (options.runs_dir / "tiny" / "thesis.txt").read_text("utf-8") == "years of work"


def test_a_split_that_leaves_a_class_empty_is_refused_before_anything_runs(
    study_path: Path, registry: Registry, options: RunOptions
):
    with pytest.raises(DataError, match="dataset `digits`: the class `0` has 2 images"):
        replan(study_path, registry, options, "trial.dataset.limit_per_class=2", "trial.split.validation=0.1")


def test_the_analysis_plan_is_fixed_before_the_first_trial(
    session: Session, study_path: Path, registry: Registry, options: RunOptions
):
    finish(session, registry, options)
    first = session.folder.read_json("analysis.json")

    finish(replan(study_path, registry, options, "analysis.alpha=0.1"), registry, options)

    assert session.folder.read_json("analysis.json") == first


def test_timed_studies_run_one_trial_at_a_time(study_path: Path, registry: Registry, options: RunOptions):
    timed = 'trial.metrics=["accuracy", "loss", "standardized-accuracy"]'
    response = 'analysis.response="standardized-accuracy"'

    session = replan(study_path, registry, options, timed, response)
    given_up = replan(study_path, registry, options, timed, response, "design.timing=shared")

    assert (session.exclusive, given_up.exclusive) == (True, False)
    assert worker_devices(session, dataclasses.replace(options, workers=None)) == ["cpu"]
    with pytest.raises(SetupError, match="one at a time"):
        worker_devices(session, dataclasses.replace(options, workers=2))
    assert worker_devices(given_up, dataclasses.replace(options, workers=2)) == ["cpu", "cpu"]


def test_the_estimate_shrinks_with_what_is_left(session: Session, registry: Registry, options: RunOptions):
    before = estimate_s(session, options)

    assert before is not None
    assert before > 0
    finish(session, registry, options)
    assert estimate_s(open_session(session.study, registry, options), options) == 0


def test_a_cell_that_cannot_be_built_is_left_out_and_the_study_goes_on(
    study_path: Path, registry: Registry, options: RunOptions
):
    text = study_path.read_text("utf-8")
    for old, new in (
        ('path = "model.width"\nlevels = [2, 4]', 'path = "model.blocks"\nlevels = [1, 6]'),
        ('{ use = "resnet-small", depth = 8, width = 2 }', '{ use = "block-cnn", width = 2 }'),
        ("size_px = 12", "size_px = 8"),
    ):
        assert old in text
        text = text.replace(old, new)
    study_path.write_text(text, "utf-8")

    session = replan(study_path, registry, options)

    assert {trial.cell["width"] for trial in session.plan.trials} == {1}
    (exclusion,) = session.plan.exclusions
    assert (exclusion.cell, exclusion.kind) == ({"width": 6}, "infeasible")
    assert "8 px" in exclusion.reason
