"""A finished trial, made by hand: every number in it is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cnnbench.types import Cost, EpochRecord, MetricInfo, Predictions, Trial, TrialResult


def make_trial(number: int = 0, cell: dict[str, object] | None = None, replicate: int = 0) -> Trial:
    return Trial(
        id=f"{number:064x}",
        study="demo",
        cell=cell or {"depth": 8, "regime": "größer"},
        replicate=replicate,
        seeds={"split": 1, "init": 2, "order": 3, "augment": 4, "dropout": 5},
        recipe={"batch_size": 16, "model": {"use": "x", "version": "1"}},
        data_fingerprint="f" * 64,
        flops=3e6,
        flops_per_image=(1e3, 2e3),
    )


def make_result(trial: Trial, shift: float = 0.0) -> TrialResult:
    metrics = (
        MetricInfo("train_loss", "loss", "train", "plain", (), "1", "Training loss", higher_is_better=False),
        MetricInfo(
            "validation_accuracy", "accuracy", "validation", "plain", (), "1", "Accuracy", higher_is_better=True
        ),
        MetricInfo("validation_tta_accuracy", "accuracy", "validation", "tta", (), "1", "TTA", higher_is_better=True),
        MetricInfo(
            "validation_confusion_matrix",
            "confusion-matrix",
            "validation",
            "plain",
            ("class", "predicted_class"),
            "1",
            "Confusion",
            higher_is_better=None,
        ),
    )
    epochs = []
    for epoch, phase in enumerate(["small", "large", "large"]):
        values = {
            "train_loss": np.asarray(2.0 - epoch),
            "validation_accuracy": np.asarray([0.5, 0.9, 0.7][epoch] + shift),
            "validation_confusion_matrix": np.eye(2) * epoch,
        }
        if epoch == 2:
            values["validation_tta_accuracy"] = np.asarray(0.75 + shift)
        epochs.append(EpochRecord(epoch, phase, 8 * (1 + (phase == "large")), 0.1, 1.5, 1.25, 1e6, values))
    example_N, label_N = np.array([3, 5, 8]), np.array([0, 1, 1])
    plain = Predictions("validation", "plain", example_N, label_N, np.arange(6, dtype=np.float32).reshape(3, 2))
    averaged = dataclasses.replace(plain, view="tta", logits_NK=-plain.logits_NK)
    cost = Cost(
        4.5, 3.75, 0.5, 6.0, 3e6, 1234, 2**20, 1, resumed=False, train_images=180, features_s=0.25, features_reused=True
    )
    facts = {"device": "a CPU", "torch": "9.9"}
    return TrialResult(trial, tuple(epochs), metrics, ("ant", "bee"), (plain, averaged), cost, facts, found_lr=0.03)


@pytest.fixture
def result() -> TrialResult:
    return make_result(make_trial())
