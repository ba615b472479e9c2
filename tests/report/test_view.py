from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cnnbench.errors import StoreError
from cnnbench.execute import RunOptions, Session, open_session, run_session
from cnnbench.registry import Registry
from cnnbench.report import build_view
from cnnbench.report.view import _shared_facts
from cnnbench.spec import load_study
from cnnbench.types import StudyView, TrialFailure


@pytest.fixture
def run(session: Session, finished_run: Callable[..., Path]) -> Path:
    """The run folder of the tiny study, finished; the test's own."""
    shutil.copytree(finished_run(), session.folder.path)
    return session.folder.path


def rerun(path: Path, registry: Registry, options: RunOptions, *assignments: str) -> None:
    study = load_study(path, check_component=registry.check, assignments=assignments)
    run_session(open_session(study, registry, options), registry, options, registry.observers())


def counts(view: StudyView) -> tuple[int, int, int]:
    audit = view.findings.responses[0].audit
    return audit.num_trials, audit.failed, audit.pending


def test_a_view_holds_what_the_run_folder_says(run: Path, study_path: Path):
    view = build_view(run)

    assert (view.name, view.question, view.profile) == ("tiny", "Is it quick?", None)
    assert view.study_toml == study_path.read_text("utf-8")
    assert [(factor.name, factor.levels) for factor in view.factors] == [("width", (2, 4))]
    assert view.trials[["width", "replicate"]].to_numpy().tolist() == [[2, 0], [4, 0], [2, 1], [4, 1]]
    assert counts(view) == (4, 0, 0)
    assert view.findings.confirmatory
    assert view.declared.metric == "accuracy"
    assert view.environment["trials"]["device_type"] == "cpu"
    assert "torch" in view.environment["packages"]
    assert view.run_dir == str(run)


def test_each_cell_has_its_curves_over_the_epochs_that_have_a_value(run: Path):
    curves = {(curve.cell["width"], curve.name): curve for curve in build_view(run).curves}

    assert {width for width, _ in curves} == {2, 4}
    assert curves[4, "validation_accuracy"].epoch == [0, 1, 2]
    assert curves[4, "validation_accuracy"].phase == ["small", "large", "large"]
    assert curves[4, "validation_accuracy"].size_px == [8, 12, 12]
    assert curves[4, "validation_tta_accuracy"].epoch == [2]
    assert {curve.n for curve in curves.values()} == {2}


def test_the_response_is_the_last_value_of_its_curve(run: Path):
    view = build_view(run)

    (curve,) = (one for one in view.curves if one.name == "validation_accuracy" and one.cell == {"width": 2})
    of_cell = view.trials[view.trials["width"] == 2]
    assert of_cell["accuracy"].mean() == pytest.approx(curve.mean[-1])


def test_missing_trials_are_failed_or_pending(run: Path, session: Session):
    first, second, *_ = session.plan.trials
    for trial in (first, second):
        session.folder.forget(trial.id)
    session.folder.save(TrialFailure(first, "Diverged", "the loss is nan.", "", 2))

    view = build_view(run)

    assert counts(view) == (2, 1, 1)
    assert [failure.trial.id for failure in view.failures] == [first.id]


def test_a_failure_that_was_mended_does_not_count(run: Path, session: Session):
    # As when a process is killed between writing the result and removing the failure.
    session.folder.save(TrialFailure(session.plan.trials[0], "Diverged", "the loss is nan.", "", 2))

    view = build_view(run)

    assert counts(view) == (4, 0, 0)
    assert view.failures == ()


def test_trials_and_failures_of_an_earlier_plan_are_left_out(
    run: Path, session: Session, study_path: Path, registry: Registry, options: RunOptions
):
    session.folder.forget(session.plan.trials[1].id)
    session.folder.save(TrialFailure(session.plan.trials[1], "Diverged", "the loss is nan.", "", 2))
    rerun(study_path, registry, options, "factors.width.levels=[2, 6]")

    view = build_view(run)

    assert sorted(set(view.trials["width"])) == [2, 6]
    assert counts(view) == (4, 0, 0)
    assert view.assignments == ("factors.width.levels=[2, 6]",)


def test_an_analysis_plan_that_was_changed_after_the_trials_is_exploratory(
    run: Path, study_path: Path, registry: Registry, options: RunOptions
):
    rerun(study_path, registry, options, "analysis.alpha=0.1")

    assert not build_view(run).findings.confirmatory


def test_what_the_primary_hypothesis_is_about_is_declared(study_path: Path, registry: Registry, options: RunOptions):
    plan = ('analysis.primary={ slope = ["width"] }', "analysis.equivalence_margin=0.1", 'analysis.response="loss"')
    rerun(study_path, registry, options, *plan)

    declared = build_view(options.runs_dir / "tiny").declared

    assert (declared.of_interest, declared.margin, declared.metric) == ("width", 0.1, "loss")


def test_a_study_without_factors_has_a_view(study_path: Path, registry: Registry, options: RunOptions):
    text = study_path.read_text("utf-8")
    study_path.write_text(text[: text.index("[factors.width]")] + "[design]\nreplicates = 2\n", "utf-8")
    rerun(study_path, registry, options)

    view = build_view(options.runs_dir / "tiny")

    assert counts(view) == (2, 0, 0)
    assert {tuple(curve.cell) for curve in view.curves} == {()}


def test_a_run_without_a_finished_trial_is_refused(run: Path, session: Session):
    for trial in session.plan.trials:
        session.folder.forget(trial.id)

    with pytest.raises(StoreError, match="no finished trial yet"):
        build_view(run)


def test_what_trials_differ_in_is_told_with_their_numbers():
    plain = {"device": "CPU X", "torch": "2.15.0", "threads": 1}
    facts = _shared_facts([plain, plain, {**plain, "torch": "2.14.0"}, {**plain, "compiler": "g++ 14"}])
    assert facts == {
        "device": "CPU X",
        "torch": ["2.15.0 (3 trials)", "2.14.0 (1 trial)"],
        "threads": 1,
        "compiler": ["\N{EN DASH} (3 trials)", "g++ 14 (1 trial)"],
    }
