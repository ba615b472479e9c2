"""The classification report: precision, recall, F1 and support of each class, cell by cell; description, no inference.

Shapes: K classes, R trials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnbench.report import format as fmt
from cnnbench.report.tables import Column, Table
from cnnbench.store import cell_trials, read_classes
from cnnbench.types import ClassReport, ClassRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from cnnbench.store import StoredTrial
    from cnnbench.types import Response

SUPPORT = "support"
SCORES = {"precision_by_class": "Precision", "recall_by_class": "Recall", "f1_by_class": "F1"}
"""Metrics of a classification report, as they are called in trial files, and as the table calls them."""
MOST_IN_OPEN = 2
"""Reports of more cells than this are folded away."""


def class_reports(stored: Sequence[StoredTrial], response: Response) -> Iterator[ClassReport]:
    """Yield the report of every cell whose trials recorded support and scores of each class.

    They are read where the primary response is: on the same part, at the same epoch. Averages over classes are those
    of each trial, then averaged over trials: ``macro`` counts classes alike, ``weighted`` by their support.
    """
    for cell, trials in cell_trials(stored).items():
        read = [read_classes(trial, response) for trial in trials]
        classes = trials[0].class_names
        names = [name for name in SCORES if all(name in values for _, values in read)]
        if not names or not all(SUPPORT in values and len(values[SUPPORT]) == len(classes) for _, values in read):
            continue
        support_RK = np.stack([values[SUPPORT] for _, values in read])
        scores_RK = {name: np.stack([values[name] for _, values in read]) for name in names}
        yield ClassReport(dict(cell), read[0][0], len(trials), tuple(_rows(classes, support_RK, scores_RK)))


def _rows(
    classes: Sequence[str], support_RK: NDArray[np.float64], scores_RK: Mapping[str, NDArray[np.float64]]
) -> Iterator[ClassRow]:
    total_R = support_RK.sum(axis=1)
    for place, name in enumerate(classes):
        scores = {key: _spread(values_RK[:, place]) for key, values_RK in scores_RK.items()}
        yield ClassRow(name, scores, _spread(support_RK[:, place]))
    if "recall_by_class" in scores_RK:
        # Whoever was recognised counts once: the accuracy is the recall of all examples together.
        accuracy_R = (scores_RK["recall_by_class"] * support_RK).sum(axis=1) / total_R
        yield ClassRow("accuracy", {list(scores_RK)[-1]: _spread(accuracy_R)}, _spread(total_R), summary=True)
    for title, weight_RK in (("macro average", np.ones_like(support_RK)), ("weighted average", support_RK)):
        scores = {
            key: _spread((values_RK * weight_RK).sum(axis=1) / weight_RK.sum(axis=1))
            for key, values_RK in scores_RK.items()
        }
        yield ClassRow(title, scores, _spread(total_R), summary=True)


def _spread(value_R: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return mean, smallest and largest."""
    return float(value_R.mean()), float(value_R.min()), float(value_R.max())


def class_table(report: ClassReport) -> Table:
    """The report of one cell as a table."""
    keys = [key for key in SCORES if any(key in row.scores for row in report.rows)]
    columns = [Column("Class", numeric=False), *(Column(SCORES[key]) for key in keys), Column("Support")]
    rows = [
        (row.name, *(_shown(row.scores.get(key), 3) for key in keys), _shown(row.support, 0)) for row in report.rows
    ]
    cell = fmt.cell(report.cell)
    caption = f"Classification report{f' of {cell}' if cell else ''}, {report.split} part"
    note = (
        f"Mean over {fmt.plural(report.n, 'trial')}, with the smallest and the largest in brackets."
        if report.n > 1
        else ""
    )
    return Table(caption, tuple(columns), tuple(rows), tuple(filter(None, (note,))))


def _shown(spread: tuple[float, float, float] | None, places: int) -> str:
    if spread is None:
        return ""
    mean, low, high = (fmt.number(value, places) for value in spread)
    return mean if low == high else f"{mean} [{low}, {high}]"
