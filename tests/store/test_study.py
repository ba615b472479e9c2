from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

import cnnbench
from cnnbench.errors import StoreError
from cnnbench.store import RunFolder, cell_trials, read_trial
from cnnbench.store.study import read_response
from cnnbench.types import Response, ResponseInfo

from .conftest import make_result, make_trial

RESPONSES = (
    Response("accuracy", "accuracy"),
    Response("small-accuracy", "accuracy", phase="small"),
    Response("total", "accuracy", view="tta"),
)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run of 2 depths x 2 replicates, of which one trial is missing, and a trial that is not planned."""
    folder = RunFolder(tmp_path / "demo")
    folder.create()
    trials = [make_trial(10 * d + r, {"depth": d}, r) for r in range(2) for d in (8, 14)]
    for number, trial in enumerate(trials[:3]):
        folder.save(make_result(trial, shift=0.01 * number))
    folder.save(make_result(make_trial(99, {"depth": 99})))
    infos = [ResponseInfo(one, "Accuracy", "1", True, "unit", False) for one in RESPONSES]
    folder.write_json(
        "plan.json",
        {
            "study": "demo",
            "factors": [{"name": "depth", "levels": [8, 14], "order": "log2"}],
            "responses": [dataclasses.asdict(info) for info in infos],
            "exclusions": [],
            "replicates": 2,
            "trials": [{"id": trial.id} for trial in trials],
        },
    )
    return folder


def test_a_cost_can_be_read_as_a_response(run: RunFolder):
    stored = cnnbench.open_study(run.path).stored[0]
    assert read_response(stored, Response("train_s", "train_s")) == 4.5
    assert read_response(stored, Response("parameters", "parameters")) == 1234
    assert read_response(stored, Response("images_per_s", "images_per_s")) == pytest.approx(180 / 4.5)


def test_a_cost_that_is_a_response_is_one_column_of_the_table(run: RunFolder):
    plan = run.read_json("plan.json")
    plan["responses"].append({**plan["responses"][0], "response": dataclasses.asdict(Response("flops", "flops"))})
    run.write_json("plan.json", plan)

    table = cnnbench.open_study(run.path).trials

    assert table["flops"].tolist() == [3e6] * 3
    assert list(table.columns).count("flops") == 1


def test_trials_of_an_older_version_have_no_rate(run: RunFolder):
    stored = cnnbench.open_study(run.path).stored[0]
    older = dataclasses.replace(stored, cost=dataclasses.replace(stored.cost, train_images=0))
    assert np.isnan(read_response(older, Response("images_per_s", "images_per_s")))


def test_the_table_holds_the_finished_trials_of_the_plan(run: RunFolder):
    table = cnnbench.open_study(run.path).trials

    assert table["depth"].tolist() == [8, 14, 8]
    assert table["replicate"].tolist() == [0, 0, 1]
    assert table["accuracy"].tolist() == pytest.approx([0.7, 0.71, 0.72])
    assert table["small-accuracy"].tolist() == pytest.approx([0.5, 0.51, 0.52])
    assert table["total"].tolist() == pytest.approx([0.75, 0.76, 0.77])
    assert table["train_s"].tolist() == [4.5] * 3
    assert table["environment_key"].nunique() == 1


def test_curves_have_the_factors_as_dimensions(run: RunFolder):
    curves = cnnbench.open_study(run.path).curves

    assert curves["validation_accuracy"].dims == ("depth", "replicate", "epoch")
    assert curves["validation_accuracy"].sel(depth=14, replicate=0).values.tolist() == pytest.approx([0.51, 0.91, 0.71])
    assert np.isnan(curves["validation_accuracy"].sel(depth=14, replicate=1)).all()
    assert curves["validation_accuracy"].attrs["units"] == "1"


def test_a_factor_may_have_the_name_of_a_scalar(run: RunFolder):
    plan = run.read_json("plan.json")
    plan["factors"][0]["name"] = "lr"
    plan["trials"] = [{"id": f"{1:064x}"}]
    run.save(make_result(make_trial(1, {"lr": 14})))
    run.write_json("plan.json", plan)

    curves = cnnbench.open_study(run.path).curves

    assert curves["lr"].values.tolist() == [8, 14]
    assert curves["lr_by_epoch"].sel(lr=14, replicate=0).values.tolist() == [0.1] * 3


def test_cells_name_the_factors_in_the_order_of_the_plan(run: RunFolder):
    plan = run.read_json("plan.json")
    plan["factors"].append({"name": "regime", "levels": ["a", "b"], "order": None})
    first = make_trial(1, {"depth": 8, "regime": "a"}, 0)
    second = make_trial(2, {"regime": "a", "depth": 8}, 1)
    plan["trials"] = [{"id": trial.id} for trial in (first, second)]
    for trial in (first, second):
        run.save(make_result(trial))
    run.write_json("plan.json", plan)

    stored = cnnbench.open_study(run.path).stored

    assert [list(trial.cell) for trial in stored] == [["depth", "regime"]] * 2
    assert len(cell_trials(stored)) == 1


def test_curves_without_xarray_say_what_to_install(run: RunFolder, monkeypatch: pytest.MonkeyPatch):
    study = cnnbench.open_study(run.path)
    monkeypatch.setitem(sys.modules, "xarray", None)

    with pytest.raises(StoreError, match="pip install"):
        _ = study.curves


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path):
    with pytest.raises(StoreError, match="no run folder"):
        cnnbench.open_study(tmp_path)


def test_the_best_epoch_is_chosen_on_validation_and_read_on_test(run: RunFolder):
    stored = read_trial(run.trial_file(f"{80:064x}"))
    scalars = {**stored.scalars, "test_accuracy": np.array([0.1, 0.2, 0.3])}
    tested = dataclasses.replace(stored, scalars=scalars)

    assert read_response(tested, Response("a", "accuracy", epoch="best")) == 0.2
    assert read_response(tested, Response("a", "accuracy", epoch="best", phase="small")) == 0.1
    assert read_response(tested, Response("a", "accuracy")) == 0.3


def test_the_best_epoch_of_a_loss_is_the_lowest(run: RunFolder):
    stored = read_trial(run.trial_file(f"{80:064x}"))
    scalars = {"validation_loss": np.array([3.0, 1.0, 2.0]), "test_loss": np.array([0.3, 0.1, 0.2])}
    tested = dataclasses.replace(stored, scalars=scalars, higher_is_better={"validation_loss": False})

    assert read_response(tested, Response("a", "loss", epoch="best")) == 0.1


def test_a_metric_that_never_has_a_value_gives_none(run: RunFolder):
    stored = read_trial(run.trial_file(f"{80:064x}"))
    scalars = {"validation_loss": np.full(3, np.nan), "test_loss": np.full(3, np.nan)}

    assert np.isnan(read_response(dataclasses.replace(stored, scalars=scalars), Response("a", "loss", epoch="best")))


def test_a_response_that_a_trial_lacks_is_named(run: RunFolder):
    stored = read_trial(run.trial_file(f"{80:064x}"))

    with pytest.raises(StoreError, match="no `validation_f1`"):
        read_response(stored, Response("f1", "f1"))
    with pytest.raises(StoreError, match="no phase `middle`"):
        read_response(stored, Response("a", "accuracy", phase="middle"))
