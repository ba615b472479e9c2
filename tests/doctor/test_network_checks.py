"""Each fault of a network, of its labels or of the evaluation is planted, and found by its check."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.doctor.conftest import Doctored, Find, Told


@pytest.mark.parametrize(
    ("check", "fault", "condition", "says"),
    [
        ("first-loss", "probabilities", "fault", "The outputs are probabilities"),
        ("first-loss", "hot", "fault", "Usual causes: images that are not normalised"),
        ("first-loss", "blind", "fault", "The outputs are the same for all images"),
        ("first-loss", "not a number", "fault", "The first loss is not finite"),
        ("first-loss", "raising", "fault", "ValueError: no such layer"),
        ("one-batch", "blind", "fault", "cannot learn 16 images by heart"),
        ("evaluation-order", "beside", "fault", "the answer to an image depends on the images beside it"),
        ("evaluation-order", "random", "fault", "the answer is drawn at random"),
        ("evaluation-order", "learning", "fault", "evaluating changes the network (`seen`)"),
        ("short-training", "lagging", "fault", "while it is trained and not when it is evaluated"),
    ],
)
def test_a_planted_fault_of_a_network_is_found(
    trained: Find, told: Told, check: str, fault: str, condition: str, says: str
):
    told(trained(check, f"trial.model.fault={fault!r}"), condition, says)


@pytest.mark.parametrize(
    ("fault", "condition", "says"),
    [
        (
            "shuffled",
            "fault",
            "it is the validation part that is broken. Usual causes: labels that are not in the order",
        ),
        ("exchanged", "fault", "the classes of that part are in another order"),
        ("no meaning", "warning", "It learns by heart"),
    ],
)
def test_training_well_and_validation_at_chance_is_explained(trained: Find, fault: str, condition: str, says: str):
    # No dropout and more steps: learning labels without meaning by heart takes longer.
    large = ("trial.model={use='block-cnn', blocks=1, width=32, hidden=128, dropout=0.0}",)
    found = trained("short-training", f"trial.dataset.fault={fault!r}", *large)

    assert found.condition == condition, found.evidence
    assert says in found.evidence
    assert found.numbers["seen"] > 0.7
    assert found.numbers["validation"] < 0.5


def test_lagging_statistics_are_told_from_another_difference_between_the_modes(trained: Find):
    lagging = trained("short-training", "trial.model.fault='lagging'")
    other = trained("short-training", "trial.model.fault='upside down'")

    assert lagging.evidence.endswith(": it is batch normalisation.")
    assert lagging.numbers["renewed"] > 0.8
    assert lagging.numbers["seen"] < 0.5
    assert other.condition == "fault"
    assert other.evidence.endswith(": it is not batch normalisation.")


def test_the_exchanged_classes_are_named(trained: Find):
    large = ("trial.model={use='block-cnn', blocks=1, width=32, hidden=128, dropout=0.0}",)
    found = trained("short-training", "trial.dataset.fault='exchanged'", *large)

    assert "(`a` for `b`, `b` for `c`, `c` for `a`)" in found.evidence


def test_a_clean_study_raises_nothing(doctored: Doctored):
    found = {one.check: one for one in doctored(budget_s=100.0).diagnoses}

    assert {one.check for one in found.values() if one.condition in {"fault", "warning"}} == set()
    for check in ("first-loss", "one-batch", "evaluation-order", "short-training"):
        assert found[check].condition == "ok", found[check].evidence
    assert found["first-loss"].numbers["loss"] == pytest.approx(math.log(3), abs=0.3)
    assert found["short-training"].numbers["validation"] > 0.8


def test_a_rate_that_learns_nothing_is_told_from_a_network_that_cannot(trained: Find):
    found = trained("one-batch", "trial.optimizer={use='sgd', lr=1e-9}")

    assert found.condition == "warning"
    assert "Adam with rate 0.002 learns them" in found.evidence
    assert "learning rate" in found.remedy


def test_a_metric_that_depends_on_the_order_is_found(trained: Find):
    found = trained("evaluation-order", "trial.metrics=['accuracy', 'weighted']")

    assert found.condition == "fault"
    assert "the metric `weighted` depends on the order" in found.evidence


def test_a_rate_that_diverges_is_told(trained: Find):
    found = trained("short-training", "trial.optimizer={use='sgd', lr=1e30, momentum=0.9}")

    assert found.condition == "warning"
    assert "is no longer finite" in found.evidence or "became" in found.evidence


def test_what_there_is_no_time_for_is_said(doctored: Doctored):
    checkup = doctored(budget_s=1e-6)
    found = {one.check: one for one in checkup.diagnoses}

    for check in ("first-loss", "one-batch", "short-training"):
        assert found[check].condition == "not applicable"
        assert "--budget" in found[check].remedy
