"""Metrics of classification, and accuracy standardised by training time.

``accuracy`` and ``loss`` are plain torch: they are computed after every epoch of every trial, and importing
torchmetrics costs more than many small trials do.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

from pydantic import Field

from cnnbench.plugin import Metric

if TYPE_CHECKING:
    import torch

    from cnnbench.plugin import EvaluationBatch

__all__ = [
    "F1",
    "Accuracy",
    "Auroc",
    "BalancedAccuracy",
    "CalibrationError",
    "ClassF1",
    "ClassPrecision",
    "ClassRecall",
    "ConfusionMatrix",
    "CrossEntropy",
    "Precision",
    "Recall",
    "StandardizedAccuracy",
    "Support",
]


class Accuracy(Metric):
    """Share of the examples whose largest logit is that of their class."""

    key = "accuracy"
    long_name = "Accuracy"
    higher_is_better = True
    bounded = "unit"
    share_of_examples = True

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


class BalancedAccuracy(Metric):
    """Mean, over the classes that occur, of the share of the class's examples that were recognised.

    Brodersen et al. (2010, "The balanced accuracy and its posterior distribution"). It differs from `Recall` where a
    class has no examples: a class to which something was assigned by mistake, but to which nothing belongs, counts
    there as 0 and is left out here.
    """

    key = "balanced-accuracy"
    long_name = "Balanced accuracy"
    higher_is_better = True
    bounded = "unit"

    def compute(self, batch: EvaluationBatch) -> torch.Tensor:
        """Return a scalar."""
        occurs_K = batch.label_N.bincount(minlength=batch.logits_NK.shape[1]) > 0
        return ClassRecall().compute(batch)[occurs_K].double().mean()


class Auroc(Metric):
    """Mean over classes of the area under the class's ROC curve, one class against the rest (macro average).

    The probability that a random example of the class has a higher softmax probability for it than a random example of
    the others (Fawcett 2006, "An introduction to ROC analysis", sections 7 and 10). Classes that have no examples, or
    all of them, have no such area and are left out; it is not defined (NaN) where that leaves none.
    """

    key = "auroc"
    long_name = "AUROC (macro, one against the rest)"
    higher_is_better = True
    bounded = "unit"

    def compute(self, batch: EvaluationBatch) -> torch.Tensor:
        """Return a scalar."""
        from torchmetrics.functional.classification import multiclass_auroc

        num_classes = batch.logits_NK.shape[1]
        count_K = batch.label_N.bincount(minlength=num_classes)
        defined_K = (count_K > 0) & (count_K < len(batch.label_N))
        # Given as probabilities: torchmetrics takes logits that happen to lie between 0 and 1 for probabilities.
        probability_NK = batch.logits_NK.double().softmax(dim=1)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="No (positive|negative) samples in targets")
            area_K: torch.Tensor = multiclass_auroc(probability_NK, batch.label_N, num_classes, average="none")
        return area_K[defined_K].double().mean()


class CalibrationError(Metric):
    """Expected calibration error: how far confidence is from accuracy (Guo et al. 2017, arXiv:1706.04599, equation 3).

    Confidence is the largest softmax probability. The examples are put into bins of equal width by their confidence;
    the value is the mean distance of a bin's accuracy from its mean confidence, weighted by its examples.
    """

    key = "ece"
    long_name = "Expected calibration error"
    higher_is_better = False
    bounded = "unit"
    bins: int = Field(15, ge=1, description="Number of bins; 15 in the paper.")

    def compute(self, batch: EvaluationBatch) -> torch.Tensor:
        """Return a scalar."""
        from torchmetrics.functional.classification import multiclass_calibration_error

        probability_NK = batch.logits_NK.double().softmax(dim=1)
        error: torch.Tensor = multiclass_calibration_error(
            probability_NK, batch.label_N, batch.logits_NK.shape[1], n_bins=self.bins, norm="l1"
        )
        return error


class ClassPrecision(Metric):
    """For each class, the share of right ones among the examples that were assigned to it; 0 if there are none."""

    key = "precision-by-class"
    dims = ("class",)
    long_name = "Precision by class"
    higher_is_better = True
    bounded = "unit"

    def compute(self, batch: EvaluationBatch) -> torch.Tensor:
        """Return K values."""
        from torchmetrics.functional.classification import multiclass_precision

        num_classes = batch.logits_NK.shape[1]
        value_K: torch.Tensor = multiclass_precision(batch.logits_NK, batch.label_N, num_classes, average="none")
        return value_K


class ClassRecall(Metric):
    """For each class, the share of its examples that were recognised; 0 if it has none."""

    key = "recall-by-class"
    dims = ("class",)
    long_name = "Recall by class"
    higher_is_better = True
    bounded = "unit"

    def compute(self, batch: EvaluationBatch) -> torch.Tensor:
        """Return K values."""
        from torchmetrics.functional.classification import multiclass_recall

        num_classes = batch.logits_NK.shape[1]
        value_K: torch.Tensor = multiclass_recall(batch.logits_NK, batch.label_N, num_classes, average="none")
        return value_K


class ClassF1(Metric):
    """For each class, the harmonic mean of its precision and its recall; 0 where both are."""

    key = "f1-by-class"
    dims = ("class",)
    long_name = "F1 score by class"
    higher_is_better = True
    bounded = "unit"

    def compute(self, batch: EvaluationBatch) -> torch.Tensor:
        """Return K values."""
        from torchmetrics.functional.classification import multiclass_f1_score

        num_classes = batch.logits_NK.shape[1]
        value_K: torch.Tensor = multiclass_f1_score(batch.logits_NK, batch.label_N, num_classes, average="none")
        return value_K


class Support(Metric):
    """Number of examples of each class in the part that is evaluated.

    With `ClassPrecision`, `ClassRecall` and `ClassF1` it makes up the classification report of a study's page.
    """

    key = "support"
    dims = ("class",)
    long_name = "Support"
    higher_is_better = None

    def compute(self, batch: EvaluationBatch) -> torch.Tensor:
        """Return K counts."""
        return batch.label_N.bincount(minlength=batch.logits_NK.shape[1]).double()


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
