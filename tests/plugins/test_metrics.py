"""Metrics against hand-made cases and against the confusion matrix."""

from __future__ import annotations

import math

import pytest
import torch
from cnnbench_plugins.metrics import (
    F1,
    Accuracy,
    ConfusionMatrix,
    CrossEntropy,
    Precision,
    Recall,
    StandardizedAccuracy,
)

from cnnbench.plugin import EvaluationBatch

LABELS = [0, 0, 0, 1, 1, 2]
PREDICTIONS = [0, 0, 1, 1, 0, 2]


def batch(labels: list[int], predictions: list[int], num_classes: int, train_s: float = 4.0) -> EvaluationBatch:
    logits_NK = torch.nn.functional.one_hot(torch.tensor(predictions), num_classes).float()
    return EvaluationBatch(logits_NK, torch.tensor(labels), train_s, 0.0)


@pytest.fixture
def mixed() -> EvaluationBatch:
    return batch(LABELS, PREDICTIONS, 3)


def test_accuracy_is_the_share_of_right_predictions(mixed: EvaluationBatch):
    assert float(Accuracy().compute(mixed)) == pytest.approx(4 / 6)


def test_the_confusion_matrix_has_classes_in_rows_and_predictions_in_columns(mixed: EvaluationBatch):
    assert ConfusionMatrix().compute(mixed).tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]


def test_precision_recall_and_f1_are_means_over_classes(mixed: EvaluationBatch):
    assert float(Precision().compute(mixed)) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert float(Recall().compute(mixed)) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert float(F1().compute(mixed)) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)


def test_a_class_that_is_neither_there_nor_predicted_is_left_out_of_the_mean():
    wider = batch(LABELS, PREDICTIONS, 5)
    assert float(Precision().compute(wider)) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert float(Recall().compute(wider)) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)


def test_a_class_that_is_there_but_never_predicted_counts_as_0():
    assert float(Precision().compute(batch([0, 1], [0, 0], 2))) == pytest.approx((1 / 2 + 0) / 2)


def test_cross_entropy_of_uniform_logits_is_log_k():
    uniform = EvaluationBatch(torch.zeros(7, 10), torch.arange(7), 1.0, 0.0)
    assert float(CrossEntropy().compute(uniform)) == pytest.approx(math.log(10))


def test_cross_entropy_of_log_probabilities_is_that_of_the_logits(mixed: EvaluationBatch):
    averaged = EvaluationBatch(mixed.logits_NK.log_softmax(1), mixed.label_N, 1.0, 0.0)
    assert float(CrossEntropy().compute(averaged)) == pytest.approx(float(CrossEntropy().compute(mixed)))


def test_standardized_accuracy_is_the_root_of_accuracy_per_second(mixed: EvaluationBatch):
    assert float(StandardizedAccuracy().compute(mixed)) == pytest.approx(math.sqrt(4 / 6 / 4.0))


def test_standardized_accuracy_is_not_defined_before_any_training():
    assert math.isnan(float(StandardizedAccuracy().compute(batch(LABELS, PREDICTIONS, 3, train_s=0.0))))
