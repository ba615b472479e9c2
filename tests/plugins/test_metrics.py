"""Metrics against hand-made cases and against the confusion matrix."""

from __future__ import annotations

import math

import pytest
import torch
from cnnbench_plugins.metrics import (
    F1,
    Accuracy,
    Auroc,
    BalancedAccuracy,
    CalibrationError,
    ClassF1,
    ClassPrecision,
    ClassRecall,
    ConfusionMatrix,
    CrossEntropy,
    Precision,
    Recall,
    StandardizedAccuracy,
    Support,
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


def test_the_metrics_by_class_are_those_whose_mean_is_reported(mixed: EvaluationBatch):
    assert ClassPrecision().compute(mixed).tolist() == pytest.approx([2 / 3, 1 / 2, 1])
    assert ClassRecall().compute(mixed).tolist() == pytest.approx([2 / 3, 1 / 2, 1])
    assert ClassF1().compute(mixed).tolist() == pytest.approx([2 / 3, 1 / 2, 1])


def test_a_class_that_is_neither_there_nor_predicted_has_0_by_class():
    wider = batch(LABELS, PREDICTIONS, 4)
    assert [float(metric.compute(wider)[3]) for metric in (ClassPrecision(), ClassRecall(), ClassF1())] == [0, 0, 0]


def test_balanced_accuracy_is_the_mean_over_the_classes_that_occur():
    assert float(BalancedAccuracy().compute(batch([0, 0, 0, 1], [0, 0, 2, 1], 4))) == pytest.approx((2 / 3 + 1) / 2)


def scored(scores: list[float], labels: list[int]) -> EvaluationBatch:
    """Two classes; the score is the logit of class 1."""
    logits_N = torch.tensor(scores)
    return EvaluationBatch(torch.stack([torch.zeros_like(logits_N), logits_N], 1), torch.tensor(labels), 1.0, 0.0)


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    """Of the 2 x 3 pairs one is in the wrong order and one is a tie."""
    assert float(Auroc().compute(scored([3, 1, 1, 2, -5], [1, 1, 0, 0, 0]))) == pytest.approx((4 + 1 / 2) / 6)


def test_auroc_takes_logits_between_0_and_1_for_logits():
    """Only the order within a row's softmax counts, and that of 0.1 against 0 is the same as that of 10 against 0."""
    scores, labels = [0.9, 0.2, 0.4, 0.3], [1, 1, 0, 0]
    large = Auroc().compute(scored([10 * score for score in scores], labels))
    assert float(Auroc().compute(scored(scores, labels))) == pytest.approx(float(large))


def test_auroc_leaves_out_classes_without_examples():
    both = scored([3, 1, 1, 2, -5], [1, 1, 0, 0, 0])
    with_third = EvaluationBatch(
        torch.cat([both.logits_NK, torch.full((5, 1), -30.0)], 1), both.label_N, both.train_s, both.train_flops
    )
    assert float(Auroc().compute(with_third)) == pytest.approx(float(Auroc().compute(both)))


def test_auroc_of_a_single_class_is_not_defined():
    assert math.isnan(float(Auroc().compute(scored([1.0, 2.0], [1, 1]))))


def with_confidence(confidences: list[float], right: list[bool]) -> EvaluationBatch:
    probability_N = torch.tensor(confidences, dtype=torch.float64)
    logits_NK = torch.stack([probability_N, 1 - probability_N], 1).log()
    return EvaluationBatch(logits_NK, torch.tensor([0 if hit else 1 for hit in right]), 1.0, 0.0)


def test_the_calibration_error_is_the_weighted_distance_of_confidence_from_accuracy():
    """Bins of a tenth: three examples at 0.75, two of them right, and one at 0.95 that is wrong."""
    made = with_confidence([0.75, 0.75, 0.75, 0.95], [True, True, False, False])
    expected = 3 / 4 * abs(2 / 3 - 0.75) + 1 / 4 * 0.95
    assert float(CalibrationError(bins=10).compute(made)) == pytest.approx(expected)


def test_a_confidence_that_is_the_accuracy_has_no_calibration_error():
    made = with_confidence([0.75] * 4, [True, True, True, False])
    assert float(CalibrationError().compute(made)) == pytest.approx(0, abs=1e-6)


def test_support_counts_the_examples_of_each_class_whatever_is_predicted(mixed: EvaluationBatch):
    assert Support().compute(mixed).tolist() == [3, 2, 1]
    assert Support().compute(batch([0, 0], [1, 1], 3)).tolist() == [2, 0, 0]
