"""The classification report against scikit-learn's definitions, by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cnnbench.report import build_view
from cnnbench.report.classes import class_reports, class_table
from cnnbench.report.page import render_page
from cnnbench.store import StoredTrial
from cnnbench.types import Response, StudyView

METRICS = ["accuracy", "precision-by-class", "recall-by-class", "f1-by-class", "support", "precision", "f1", "recall"]


@pytest.fixture(scope="module")
def view(finished_run: Callable[..., Path]) -> StudyView:
    """A finished study that recorded every class."""
    metrics = ", ".join(f'"{name}"' for name in METRICS)
    return build_view(finished_run(f"trial.metrics=[{metrics}]"))


def test_every_cell_has_a_report_whose_sums_and_averages_are_those_of_its_trials(view: StudyView):
    assert [dict(report.cell) for report in view.class_reports] == [{"width": 2}, {"width": 4}]
    for report in view.class_reports:
        rows = {row.name: row for row in report.rows}
        own = view.trials[view.trials["width"] == report.cell["width"]]
        assert (report.split, report.n, len(rows)) == ("validation", 2, 13)
        assert rows["accuracy"].scores["f1_by_class"][0] == pytest.approx(own["accuracy"].mean())
        assert rows["accuracy"].scores["f1_by_class"][1:] == pytest.approx(
            (own["accuracy"].min(), own["accuracy"].max())
        )
        assert rows["accuracy"].support[0] == rows["macro average"].support[0] == 20
        assert sum(rows[str(digit)].support[0] for digit in range(10)) == 20
        # Of equal classes the weighted recall is the accuracy, too.
        assert rows["weighted average"].scores["recall_by_class"][0] == pytest.approx(own["accuracy"].mean())


def made(recall: list[float], support: list[float], **more: list[float]) -> StoredTrial:
    by_class = {"test_recall_by_class": recall, "test_support": support, **more}
    blank = dict.fromkeys(StoredTrial.__dataclass_fields__)
    return StoredTrial(
        **{
            **blank,
            "id": "0" * 64,
            "cell": {"depth": 8},
            "phase": ("main",),
            "scalars": {"test_accuracy": np.array([0.5])},
            "higher_is_better": {},
            "class_names": ("a", "b"),
            "by_class": {name: np.array([values]) for name, values in by_class.items()},
        }
    )


def test_weighted_averages_count_classes_by_their_support():
    trials = [made([1.0, 0.5], [30, 10]), made([0.8, 0.3], [30, 10])]
    (report,) = class_reports(trials, Response("accuracy", "accuracy"))
    rows = {row.name: row for row in report.rows}
    assert rows["macro average"].scores["recall_by_class"] == pytest.approx((0.65, 0.55, 0.75))
    assert rows["weighted average"].scores["recall_by_class"] == pytest.approx((0.775, 0.675, 0.875))
    assert rows["a"].support == (30, 30, 30)
    table = class_table(report)
    assert [column.title for column in table.columns] == ["Class", "Recall", "Support"]
    assert table.rows[0] == ("a", "0.900 [0.800, 1.000]", "30")


def test_without_support_or_scores_there_is_no_report():
    response = Response("accuracy", "accuracy")
    no_scores = replace(made([1.0, 0.5], [30, 10]), by_class={"test_support": np.array([[30, 10]])})
    no_support = replace(made([1.0, 0.5], [30, 10]), by_class={"test_recall_by_class": np.array([[1, 0.5]])})
    assert list(class_reports([no_scores], response)) == list(class_reports([no_support], response)) == []


def test_the_page_has_the_report_open_for_few_cells_and_folded_for_many(
    view: StudyView, make_view: Callable[..., StudyView]
):
    html = render_page(view, ())[0]
    section = html[html.index('<h2 id="classes">') :].split("</section>")[0]
    assert "weighted average" in section
    assert "Classification report of width 2, validation part." in section
    assert "<details>" not in section
    many = replace(view, class_reports=view.class_reports * 2)
    folded = render_page(many, ())[0]
    assert "<details>" in folded[folded.index('<h2 id="classes">') :].split("</section>")[0]
    assert 'id="classes"' not in render_page(make_view(), ())[0]
