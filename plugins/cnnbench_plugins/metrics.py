"""Metrics of classification, and accuracy standardised by training time.

``accuracy`` and ``loss`` are plain torch: they are computed after every epoch of every trial, and importing
torchmetrics costs more than many small trials do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cnnbench.plugin import Metric

if TYPE_CHECKING:
    import torch

    from cnnbench.plugin import EvaluationBatch

__all__ = ["F1", "Accuracy", "ConfusionMatrix", "CrossEntropy", "Precision", "Recall", "StandardizedAccuracy"]


class Accuracy(Metric):
    """Share of the examples whose largest logit is that of their class."""

    key = "accuracy"
    long_name = "Accuracy"
    higher_is_better = True
    bounded = "unit"

    def compute(self, batch: EvaluationBatch) -> torch.Tensor:
        """Return a scalar."""
        return (batch.logits_NK.argmax(dim=1) == batch.label_N).double().mean()


class CrossEntropy(Metric):
    """Mean cross-entropy of the predictions, in nats and without label smoothing."""

    key = "loss"
    long_name = "Cross-entropy loss"
    higher_is_better = False
    bounded = "positive"

    def compute(self, batch: EvaluationBatch) -> torch.Tensor:
        """Return a scalar."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(batch.logits_NK.double(), batch.label_N)


class Precision(Metric):
    """Mean over classes of the share of right ones among the examples that were assigned to the class.

    Every class counts alike, whatever its size (macro average). A class to which nothing was assigned counts as 0, and
    a class that occurs neither in the labels nor in the predictions is left out of the mean, as torchmetrics does it.
    """

    key = "precision"
    long_name = "Precision (macro)"
    higher_is_better = True
    bounded = "unit"

    def compute(self, batch: EvaluationBatch) -> torch.Tensor:
        """Return a scalar."""
        from torchmetrics.functional.classification import multiclass_precision

        num_classes = batch.logits_NK.shape[1]
        value: torch.Tensor = multiclass_precision(batch.logits_NK, batch.label_N, num_classes, average="macro")
        return value


class Recall(Metric):
    """Mean over classes of the share of the class's examples that were recognised.

    Macro average, see `Precision`: absent classes are left out. With classes of equal size it equals the accuracy.
    """

    key = "recall"
    long_name = "Recall (macro)"
    higher_is_better = True
    bounded = "unit"

    def compute(self, batch: EvaluationBatch) -> torch.Tensor:
        """Return a scalar."""
        from torchmetrics.functional.classification import multiclass_recall

        num_classes = batch.logits_NK.shape[1]
        value: torch.Tensor = multiclass_recall(batch.logits_NK, batch.label_N, num_classes, average="macro")
        return value


class F1(Metric):
    """Mean over classes of the harmonic mean of the class's precision and recall.

    Macro average, see `Precision`: absent classes are left out. This is the mean of the classes' F1, not the F1 of the
    mean precision and the mean recall, which some papers report and which is never smaller.
    """

    key = "f1"
    long_name = "F1 score (macro)"
    higher_is_better = True
    bounded = "unit"

    def compute(self, batch: EvaluationBatch) -> torch.Tensor:
        """Return a scalar."""
        from torchmetrics.functional.classification import multiclass_f1_score

        num_classes = batch.logits_NK.shape[1]
        value: torch.Tensor = multiclass_f1_score(batch.logits_NK, batch.label_N, num_classes, average="macro")
        return value


class ConfusionMatrix(Metric):
    """Number of examples of each class (rows) that were assigned to each class (columns)."""

    key = "confusion-matrix"
    dims = ("class", "predicted_class")
    long_name = "Confusion matrix"
    higher_is_better = None

    def compute(self, batch: EvaluationBatch) -> torch.Tensor:
        """Return K x K counts."""
        from torchmetrics.functional.classification import multiclass_confusion_matrix

        counts_KK: torch.Tensor = multiclass_confusion_matrix(batch.logits_NK, batch.label_N, batch.logits_NK.shape[1])
        return counts_KK.double()


class StandardizedAccuracy(Metric):
    """``sqrt(A / T)``: accuracy A standardised by training time T (Wanger & Frohn, Methods, "standardized accuracy").

    The paper calls T "inference time"; its text and its figures make plain that the time of training is meant. T is in
    seconds of training up to the evaluation, so the unit is s^-0.5; it is not defined (NaN) before any training.
    """

    key = "standardized-accuracy"
    unit = "s-0.5"
    long_name = "Standardized accuracy"
    higher_is_better = True
    bounded = "positive"
    uses_time = True

    def compute(self, batch: EvaluationBatch) -> torch.Tensor:
        """Return a scalar."""
        accuracy = Accuracy().compute(batch)
        return (accuracy / (batch.train_s or math.nan)).sqrt()
