from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import cnnbench
from cnnbench.errors import DataError, SetupError, SpecError, StoreError
from cnnbench.execute import RunOptions, Session, open_session, run_session
from cnnbench.execute.schedule import in_order
from cnnbench.execute.session import write_documents
from cnnbench.execute.study import estimate_s, pace_of, worker_devices
from cnnbench.plugin import Dataset, ImageArrays, hookimpl
from cnnbench.registry import Registry
from cnnbench.spec import StudyFile, load_study
from cnnbench.types import TrialFailure


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


class Interrupter:
    """Presses Ctrl-C when a trial is done."""

    @hookimpl
    def cnnbench_trial_finished(self) -> None:
        raise KeyboardInterrupt


def test_what_an_interrupted_retry_did_not_reach_is_pending_and_keeps_its_checkpoint(
    session: Session, study: StudyFile, registry: Registry, options: RunOptions
):
    session.folder.create()
    failed, *_ = in_order(session.pending, pace_of(session, options).seconds, 1, timed=False)  # it will be the first
    begun = [trial for trial in session.plan.trials if trial is not failed]
    session.folder.save(TrialFailure(failed, "WorkerDied", "gone.", "", None))
    for trial in session.plan.trials:
        session.folder.checkpoint_file(trial.id).write_bytes(b"state")
    retry = dataclasses.replace(options, retry_failed=True)

    run_session(open_session(study, registry, retry), registry, retry, registry.observers(Interrupter()))

    again = open_session(study, registry, options)
    assert (again.num_finished, len(again.pending), again.num_failed) == (1, 3, 0)
    assert all(session.folder.checkpoint_file(trial.id).exists() for trial in begun)


def test_fresh_counts_on_nothing_that_is_there(
    session: Session, study: StudyFile, registry: Registry, options: RunOptions
):
    finish(session, registry, options)

    fresh = open_session(study, registry, dataclasses.replace(options, fresh=True))

    assert (len(fresh.pending), fresh.num_finished) == (4, 0)


def test_fresh_throws_nothing_away_before_it_is_known_that_the_study_can_run(
    session: Session, study: StudyFile, registry: Registry, options: RunOptions
):
    finish(session, registry, options)
    impossible = dataclasses.replace(options, fresh=True, device="cuda:99")

    with pytest.raises(SetupError, match="cuda:99"):
        finish(open_session(study, registry, impossible), registry, impossible)

    assert len(session.folder.finished()) == 4


def test_fresh_empties_the_folder_when_it_runs(
    session: Session, study: StudyFile, registry: Registry, options: RunOptions
):
    finish(session, registry, options)
    before = {path: path.stat().st_mtime_ns for path in session.folder.path.glob("trials/*.h5")}
    session.folder.checkpoint_file("orphan").write_bytes(b"state")
    fresh = dataclasses.replace(options, fresh=True)

    summary = finish(open_session(study, registry, fresh), registry, fresh)

    assert summary.num_finished == 4
    assert all(path.stat().st_mtime_ns > before[path] for path in before)
    assert not session.folder.checkpoint_file("orphan").exists()


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


@pytest.mark.parametrize(
    ("patch", "response", "sentence"),
    [
        ('{ "phases.large.evaluate" = ["plain"] }', 'metric = "accuracy", view = "tta"', "does not evaluate it there"),
        ('{ metrics = ["loss"] }', 'metric = "accuracy"', "`metrics` has no `accuracy` there"),
        (
            '{ phases = [{ name = "only", epochs = 1, size_px = 8 }] }',
            'metric = "accuracy", phase = "small"',
            "there is no phase `small` there",
        ),
        ('{ "split.test" = 0.0 }', 'metric = "accuracy", epoch = "best"', "set `split.test`"),
    ],
)
def test_a_level_that_takes_away_what_a_response_is_read_from_is_refused_before_anything_runs(
    study_path: Path, registry: Registry, options: RunOptions, patch: str, response: str, sentence: str
):
    text = study_path.read_text("utf-8").replace("validation = 0.25", "validation = 0.25, test = 0.25")
    text += f"\n[factors.way.levels]\nfull = {{}}\nless = {patch}\n[responses]\nwanted = {{ {response} }}\n"
    study_path.write_text(f'{text}\n[analysis]\nresponse = "wanted"\n', "utf-8")

    with pytest.raises(SpecError, match=sentence) as caught:
        replan(study_path, registry, options)

    (problem,) = caught.value.problems
    assert problem.key == "cell width = 2, way = less"
    assert "the response `wanted` cannot be read" in problem.message


class Split(Dataset):
    """Brings a split of its own, whose test part lacks a class."""

    key = "split"

    def load(self, cache: Path) -> ImageArrays:  # noqa: ARG002 - drawn from nothing
        images_NCHW = np.random.default_rng(0).integers(0, 256, (60, 1, 12, 12), dtype=np.uint8)
        names = np.array(["train"] * 50 + ["test"] * 10)
        return ImageArrays(images_NCHW, np.array([0, 1] * 25 + [0] * 10), ("a", "b"), names)


class SplitPlugin:
    @hookimpl
    def cnnbench_datasets(self):
        return [Split]


def test_a_predefined_split_that_lacks_a_class_is_refused_before_anything_runs(study_path: Path, options: RunOptions):
    registry = Registry.discover()
    registry.register(SplitPlugin(), "split")

    with pytest.raises(DataError, match="dataset `split`: the test part has no example of class 1; use `split"):
        replan(study_path, registry, options, 'trial.dataset="split"', 'trial.split={ use = "predefined" }')


def test_a_key_that_came_with_a_later_version_is_no_change(study_path: Path, registry: Registry, options: RunOptions):
    session = replan(study_path, registry, options)
    session.folder.create()
    write_documents(session, {})
    plan = session.folder.read_json("plan.json")
    del plan["spec"]["analysis"]["datasets"], plan["spec"]["design"]["confirm"]
    session.folder.write_json("plan.json", plan)
    assert replan(study_path, registry, options).changes == ()


def test_a_change_in_one_of_two_equal_augmentations_is_told(study_path: Path, registry: Registry, options: RunOptions):
    twice = 'trial.augmentation=[{ use = "zoom", low = 0.8 }, "zoom"]'
    session = replan(study_path, registry, options, twice)
    session.folder.create()
    write_documents(session, {})

    changed = replan(study_path, registry, options, twice.replace("0.8", "0.9"))

    assert changed.changes == ("trial.augmentation.0.low: 0.8 -> 0.9",)


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


def test_a_study_of_costs_that_are_times_is_timed_and_one_of_other_costs_is_not(
    study_path: Path, registry: Registry, options: RunOptions
):
    timed = replan(study_path, registry, options, 'analysis.also=["flops", "train_s"]')
    counted = replan(study_path, registry, options, 'analysis.also=["flops", "parameters"]')

    assert (timed.exclusive, counted.exclusive) == (True, False)
    assert [trial.id for trial in timed.plan.trials] == [trial.id for trial in counted.plan.trials]


@pytest.mark.parametrize(
    ("also", "reused"), [('["parameters"]', [False, True, False, True]), ('["train_s"]', [False] * 4)]
)
def test_trials_share_features_of_frozen_layers_unless_they_are_timed(
    study_path: Path, registry: Registry, options: RunOptions, also: str, reused: list[bool]
):
    text = study_path.read_text("utf-8").replace(
        'path = "model.width"\nlevels = [2, 4]', 'path = "optimizer.lr"\nlevels = [0.05, 0.1]'
    )
    study_path.write_text(text, "utf-8")
    frozen = ("trial.augmentation=[]", 'trial.phases.*.trainable="head"', 'trial.phases.large.evaluate=["plain"]')
    session = replan(study_path, registry, options, *frozen, f"analysis.also={also}")

    finish(session, registry, options)

    table = cnnbench.open_study(session.folder.path).trials
    assert table["features_reused"].tolist() == reused
    assert (table["features_s"] > 0).tolist() == [not one for one in table["features_reused"]]


def test_the_estimate_shrinks_with_what_is_left(session: Session, registry: Registry, options: RunOptions):
    before = estimate_s(session, options)

    assert before is not None
    assert before > 0
    finish(session, registry, options)
    assert estimate_s(open_session(session.study, registry, options), options) == 0


def test_the_rate_of_small_trials_says_nothing_about_large_ones(
    session: Session, registry: Registry, options: RunOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CNNBENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    large = dataclasses.replace(
        session, pending=tuple(dataclasses.replace(trial, flops=1e15) for trial in session.pending)
    )
    guess_of_small, guess_of_large = estimate_s(session, options), estimate_s(large, options)

    finish(session, registry, options)

    assert estimate_s(session, options) != guess_of_small
    assert estimate_s(large, options) == guess_of_large


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
