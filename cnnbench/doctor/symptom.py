"""The symptom that a network learns in training and knows nothing in validation, and what it may come from.

Shapes: N examples, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SURE = 2.0
"""Standard errors above the baseline that count as more than chance."""
_COLLAPSED = 0.95


@dataclass(frozen=True, slots=True)
class Answers:
    """What a network answered on some examples."""

    answer_N: NDArray[np.int64]
    label_N: NDArray[np.int64]
    num_classes: int

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return float((self.answer_N == self.label_N).mean())

    @property
    def baseline(self) -> float:
        """Accuracy of the best answer that does not look at the image."""
        return float(np.bincount(self.label_N).max() / len(self.label_N))

    @property
    def at_chance(self) -> bool:
        """Whether the accuracy does not exceed the baseline by more than chance would have it."""
        error = math.sqrt(self.baseline * (1 - self.baseline) / len(self.label_N))
        return self.accuracy <= self.baseline + SURE * max(error, 0.5 / len(self.label_N))

    @property
    def most_given(self) -> tuple[int, float]:
        """The class that is answered most often, and its share of the answers."""
        counts = np.bincount(self.answer_N, minlength=self.num_classes)
        return int(counts.argmax()), float(counts.max() / len(self.answer_N))

    @property
    def collapsed(self) -> bool:
        """Whether nearly all answers are the same although the labels are not."""
        return self.most_given[1] >= _COLLAPSED > self.baseline

    def renamed(self) -> tuple[float, NDArray[np.int64]]:
        """Return the best accuracy with the classes exchanged, and the label that each answer then means.

        The assignment problem on the confusion matrix (Kuhn 1955): if it is solved much better by another naming, the
        classes of this part are not in the order of training.
        """
        confusion_KK = np.zeros((self.num_classes, self.num_classes), np.int64)
        np.add.at(confusion_KK, (self.answer_N, self.label_N), 1)
        rows, columns = linear_sum_assignment(confusion_KK, maximize=True)
        return float(confusion_KK[rows, columns].sum() / len(self.label_N)), columns


def has_learnt(accuracy: float, baseline: float) -> bool:
    """Whether an accuracy is at least half-way from the baseline to 1."""
    return accuracy >= baseline + (1 - baseline) / 2


def exchanged_classes(answers: Answers, class_names: Sequence[str]) -> str:
    """Return a sentence on the classes that seem to be exchanged; empty where none do.

    Exchanging classes always finds something; it must explain at least half of what is to be explained.
    """
    accuracy, meaning_K = answers.renamed()
    moved = [
        label
        for label, meaning in enumerate(meaning_K.tolist())
        if label != meaning and (answers.answer_N == label).any()
    ]
    if not moved or not has_learnt(accuracy, answers.baseline) or accuracy < answers.accuracy + 0.25:
        return ""
    pairs = ", ".join(f"`{class_names[label]}` for `{class_names[meaning_K[label]]}`" for label in moved[:4])
    return (
        f"With classes exchanged ({pairs}) the accuracy would be {accuracy:.2f} instead of {answers.accuracy:.2f}: the "
        "classes of that part are in another order."
    )
