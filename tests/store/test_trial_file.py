from __future__ import annotations

import dataclasses
import resource
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from cnnbench.errors import StoreError
from cnnbench.store import FORMAT_VERSION, read_classes, read_predictions, read_trial, write_trial
from cnnbench.types import MetricInfo, Predictions, Response, TrialResult

GOLDEN = Path(__file__).parent / "golden"


def test_a_trial_is_read_back_as_it_was_written(tmp_path: Path, result: TrialResult):
    write_trial(tmp_path / "one.h5", result)

    stored = read_trial(tmp_path / "one.h5")

    assert (stored.id, stored.replicate) == (result.trial.id, 0)
    assert dict(stored.cell) == {"depth": 8, "regime": "größer"}
    assert stored.recipe == result.trial.recipe
    assert stored.seeds == result.trial.seeds
    assert stored.environment == result.environment
    assert stored.cost == result.cost
    assert stored.found_lr == 0.03
    assert stored.phase == ("small", "large", "large")
    assert stored.size_px.tolist() == [8, 16, 16]
    assert stored.scalars["validation_accuracy"].tolist() == [0.5, 0.9, 0.7]
    assert np.isnan(stored.scalars["validation_tta_accuracy"][:2]).all()
    assert stored.scalars["validation_tta_accuracy"][2] == 0.75
    assert "validation_confusion_matrix" not in stored.scalars
    assert stored.higher_is_better["train_loss"] is False


def test_xarray_opens_it_without_phony_dimensions(tmp_path: Path, result: TrialResult):
    write_trial(tmp_path / "one.h5", result)

    with xr.open_dataset(tmp_path / "one.h5", engine="h5netcdf") as dataset:
        assert set(dataset.sizes) == {"epoch", "class", "predicted_class", "validation_example"}
        assert dataset["validation_confusion_matrix"].dims == ("epoch", "class", "predicted_class")
        assert dataset["validation_logits"].dims == ("validation_example", "class")
        assert dataset["class"].values.tolist() == ["ant", "bee"]
        assert dataset["validation_example"].values.tolist() == [3, 5, 8]
        assert dataset["phase"].values.tolist() == ["small", "large", "large"]
        assert dataset["train_s"].attrs["units"] == "s"
        assert dataset["validation_accuracy"].attrs["long_name"] == "Accuracy"
        assert float(dataset["validation_tta_logits"][2, 1]) == -5.0


def test_nothing_in_it_is_a_pickle_or_an_opaque_object(tmp_path: Path, result: TrialResult):
    write_trial(tmp_path / "one.h5", result)

    with h5py.File(tmp_path / "one.h5") as file:
        kinds = {data.dtype.kind for data in file.values()}
        texts = [data for data in file.values() if data.dtype.kind == "O"]
        assert kinds <= {"i", "f", "O"}
        assert all(h5py.check_string_dtype(data.dtype).encoding == "utf-8" for data in texts)


@pytest.mark.parametrize("most_bytes", [0, 4096, 8192])
def test_a_disk_that_takes_only_a_part_of_it_is_an_error_that_leaves_nothing_behind(
    tmp_path: Path, result: TrialResult, most_bytes: int
):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_trial(tmp_path / "one.h5", result)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_trial_is_refused_with_a_remedy(tmp_path: Path):
    (tmp_path / "one.h5").write_bytes(b"half a file")

    with pytest.raises(StoreError, match="delete it and run the study again"):
        read_trial(tmp_path / "one.h5")


def test_a_damaged_attribute_is_refused_with_a_remedy(tmp_path: Path, result: TrialResult):
    write_trial(tmp_path / "one.h5", result)
    with h5py.File(tmp_path / "one.h5", "r+") as file:
        file.attrs["cell"] = "{"

    with pytest.raises(StoreError, match="delete it and run the study again"):
        read_trial(tmp_path / "one.h5")


def test_a_file_of_a_later_format_is_refused(tmp_path: Path, result: TrialResult):
    write_trial(tmp_path / "one.h5", result)
    with h5py.File(tmp_path / "one.h5", "r+") as file:
        file.attrs["format_version"] = FORMAT_VERSION + 1

    with pytest.raises(StoreError, match="upgrade"):
        read_trial(tmp_path / "one.h5")


def test_a_file_of_format_1_can_be_read_for_ever():
    stored = read_trial(GOLDEN / "format-1.h5")

    assert stored.id == f"{0:064x}"
    assert dict(stored.cell) == {"depth": 8, "regime": "größer"}
    assert stored.scalars["validation_accuracy"].tolist() == [0.5, 0.9, 0.7]
    assert stored.cost.parameters == 1234
    assert (stored.cost.train_images, stored.cost.features_s, stored.cost.features_reused) == (0, 0.0, False)
    with xr.open_dataset(GOLDEN / "format-1.h5", engine="h5netcdf") as dataset:
        assert dataset["validation_logits"].values.tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]


def test_predictions_are_read_back_by_split_and_view(tmp_path: Path, result: TrialResult):
    write_trial(tmp_path / "t.h5", result)
    plain, averaged = read_predictions(tmp_path / "t.h5")
    for read, written in zip((plain, averaged), result.predictions, strict=True):
        assert (read.split, read.view) == (written.split, written.view)
        assert np.array_equal(read.example_N, written.example_N)
        assert np.array_equal(read.label_N, written.label_N)
        assert np.array_equal(read.logits_NK, written.logits_NK)
    assert read_trial(tmp_path / "t.h5").data_fingerprint == result.trial.data_fingerprint


def test_a_trial_without_predictions_has_none_and_a_damaged_file_is_told(tmp_path: Path, result: TrialResult):
    write_trial(tmp_path / "t.h5", dataclasses.replace(result, predictions=()))
    assert read_predictions(tmp_path / "t.h5") == ()
    (tmp_path / "t.h5").write_bytes(b"nothing")
    with pytest.raises(StoreError, match="the predictions in"):
        read_predictions(tmp_path / "t.h5")


def with_classes(result: TrialResult) -> TrialResult:
    """Add values of each class, and weights of the second epoch."""
    info = MetricInfo("validation_support", "support", "validation", "plain", ("class",), "1", "Support", None)
    values = [{**record.values, "validation_support": np.array([3.0, record.epoch])} for record in result.epochs]
    epochs = [replace(record, values=own) for record, own in zip(result.epochs, values, strict=True)]
    return replace(result, epochs=tuple(epochs), metrics=(*result.metrics, info), weights_epoch=1)


def test_values_of_each_class_and_kept_weights_are_read_back(tmp_path: Path, result: TrialResult):
    write_trial(tmp_path / "one.h5", with_classes(result))

    stored = read_trial(tmp_path / "one.h5")

    assert stored.class_names == ("ant", "bee")
    assert stored.by_class["validation_support"].tolist() == [[3, 0], [3, 1], [3, 2]]
    assert "validation_confusion_matrix" not in stored.by_class
    assert (stored.weights, stored.weights_epoch) == (f"weights/{result.trial.id}.pt", 1)
    assert stored.data_fingerprint == result.trial.data_fingerprint


@pytest.mark.parametrize("num_examples", [3, 4], ids=["as many as epochs", "more than epochs"])
@pytest.mark.parametrize("num_predicted", [2, 0], ids=["confusion", "no confusion"])
def test_variables_are_told_apart_however_long_dimensions_are(
    tmp_path: Path, result: TrialResult, num_examples: int, num_predicted: int
):
    label_N = np.arange(num_examples)
    block = Predictions("validation", "plain", label_N, label_N, np.zeros((num_examples, 2), np.float32))
    metrics = [metric for metric in with_classes(result).metrics if num_predicted or len(metric.dims) < 2]
    full = replace(with_classes(result), metrics=tuple(metrics), predictions=(block,))
    write_trial(tmp_path / "one.h5", full)

    stored = read_trial(tmp_path / "one.h5")

    columns = {"lr", "train_s", "train_cpu_s", "train_flops", "size_px"}
    assert set(stored.scalars) == columns | {metric.name for metric in metrics if not metric.dims}
    assert set(stored.by_class) == {"validation_support"}


def test_a_file_without_weights_says_so(tmp_path: Path, result: TrialResult):
    write_trial(tmp_path / "one.h5", result)

    stored = read_trial(tmp_path / "one.h5")

    assert (stored.weights, stored.weights_epoch, dict(stored.by_class)) == (None, None, {})


def test_classes_are_read_where_a_response_is_read(tmp_path: Path, result: TrialResult):
    write_trial(tmp_path / "one.h5", with_classes(result))
    stored = read_trial(tmp_path / "one.h5")

    for response, epoch in (
        (Response("accuracy", "accuracy"), 2),
        (Response("best", "accuracy", epoch="best"), 1),
        (Response("early", "accuracy", phase="small"), 0),
    ):
        split, values = read_classes(stored, response)
        assert split == "validation"
        assert values["support"].tolist() == [3, epoch]
