"""Each fault of the data is planted, and found by its check."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cnnbench.data import PreparedDataset

if TYPE_CHECKING:
    from tests.doctor.conftest import Doctored, Find, Told


@pytest.mark.parametrize(
    ("check", "fault", "condition", "says"),
    [
        ("same-image-across-parts", "copies", "fault", "5 pictures are there more than once pixel by pixel"),
        ("same-image-across-parts", "near copies", "fault", "and 5 nearly so"),
        ("same-image-across-parts", "one copy", "warning", "1 of 120 held-out images (0.8 %) has a copy"),
        ("same-image-within-part", "within", "warning", "21 of 240 in train"),
        ("same-image-two-classes", "two classes", "fault", "(40 images, 11 %) carry labels of several classes"),
        ("group-across-parts", "patients", "warning", "120 of 120 held-out images (100 %) belong to a group"),
        ("class-order", "folders", "fault", "1 image lie in the folder of one class"),
        ("class-order", "twice named", "fault", "Several classes are called `cat`"),
        ("class-order", "numbers", "warning", "0 = 1, 1 = 10, 2 = 2"),
        ("label-balance", "absent", "fault", "the validation part has no example of class 2"),
        ("label-balance", "shifted", "fault", "The share of `c` in the validation part differs by 30 %"),
        ("label-balance", "rare", "fault", "The share of `a`"),
        ("label-balance", "unequal", "fault", "The share of `a`"),
        ("images-alike", "black", "fault", "A network sees the same picture again and again"),
        ("pixel-range", "black", "fault", "Pixels lie between 0 and 1"),
        ("images-alike", "alike", "fault", "deviate by 0."),
        ("images-alike", "blank", "warning", "10 % of 360 images are blank"),
        ("pixel-range", "empty channel", "warning", "Channel 2 is 0 everywhere"),
        ("part-statistics", "bright", "fault", "do not look as if they came from one source (validation)"),
    ],
)
def test_a_planted_fault_is_found(outcome: Find, told: Told, check: str, fault: str, condition: str, says: str):
    found = outcome(check, fault)

    told(found, condition, says)
    assert found.subject == "planted"


def test_clean_data_raise_nothing(doctored: Doctored):
    conditions = Counter((one.condition, one.check) for one in doctored().diagnoses)

    assert {check for condition, check in conditions if condition in {"fault", "warning"}} == set()
    assert sorted(check for condition, check in conditions if condition == "not applicable") == [
        "earlier-trials",
        "group-across-parts",
    ]


def test_copies_are_named_and_counted(outcome: Find):
    found = outcome("same-image-across-parts", "copies")

    assert found.examples[0] == "image 0 = image 240 (identical)"
    assert found.numbers == {"pictures": 5, "identical": 5, "leaked": 5, "leaked_share": 5 / 120, "divisions": 1}


def test_with_random_splits_the_worst_replicate_counts(outcome: Find):
    random = 'trial.split={use="random", validation=0.3}'
    found = outcome("same-image-across-parts", "copies", random, "design.replicates=6")

    assert 1 <= found.numbers["leaked"] <= 5
    assert f"In {found.numbers['divisions']} of the 6 divisions of the replicates copies come apart" in found.evidence


def test_groups_that_stay_together_are_no_fault(outcome: Find):
    found = outcome("group-across-parts", "patients apart")

    assert found.condition == "ok"
    assert found.evidence == "The file names suggest 90 groups of two or more images; none of them comes apart."


def test_numbered_files_are_no_groups(outcome: Find):
    assert outcome("group-across-parts", "numbered").condition == "not applicable"


def test_groups_that_the_dataset_names_are_believed(outcome: Find, monkeypatch: pytest.MonkeyPatch):
    groups_N = np.array([f"machine {index % 12}" for index in range(360)])
    monkeypatch.setattr(PreparedDataset, "groups_N", lambda _: groups_N, raising=False)

    found = outcome("group-across-parts", "", "design.base_seed=1")  # another study, as outcomes are kept

    assert found.condition == "fault"
    assert found.evidence.startswith("The dataset names 12 groups of two or more images, 0 of them in several classes")
    assert found.examples[0].startswith("machine 0: image 0 (train)")


def test_gray_stored_as_colour_is_only_remarked(outcome: Find):
    found = outcome("pixel-range", "gray as colour")

    assert (found.condition, "The three channels are equal" in found.evidence) == ("ok", True)


def test_the_baseline_is_the_most_frequent_class_of_training(outcome: Find):
    found = outcome("majority-baseline", "unequal")

    assert found.numbers == {"train": 225 / 240, "validation": pytest.approx(1 / 3)}
    assert "Always answering `a`" in found.evidence


def test_a_large_majority_is_a_warning_where_a_random_split_is_drawn(outcome: Find):
    random = 'trial.split={use="random", validation=0.3}'
    relabelled = outcome("majority-baseline", "unequal", random)

    assert relabelled.condition == "ok"  # two thirds of the images are drawn so, one third is balanced
    assert relabelled.numbers["validation"] == pytest.approx(265 / 360, abs=0.01)


@pytest.mark.parametrize(("margin", "condition"), [("0.004", "fault"), ("0.01", "warning"), ("0.1", "ok")])
def test_the_margin_is_held_against_the_number_of_images(outcome: Find, margin: str, condition: str):
    found = outcome("test-size", "", f"analysis.equivalence_margin={margin}")

    assert found.condition == condition
    assert found.numbers["images"] == 120
    assert found.numbers["standard_error"] == pytest.approx((0.9 * 0.1 / 120) ** 0.5)


def test_a_margin_on_another_scale_is_not_judged(outcome: Find):
    assert outcome("test-size", "", 'analysis.scale="logit"').condition == "not applicable"


def test_images_that_are_enlarged_are_counted(outcome: Find):
    found = outcome("image-size", "", "trial.phases.main.size_px=24")

    assert (found.condition, found.numbers) == ("warning", {"small_share": 1.0, "median_px": 16, "largest_px": 24})
    assert outcome("image-size").condition == "ok"


def test_data_that_cannot_be_divided_end_no_other_check(doctored: Doctored):
    checkup = doctored("trial.dataset.fault='absent'", budget_s=20.0)
    without = {one.check for one in checkup.diagnoses if one.condition == "not applicable"}

    assert {"majority-baseline", "part-statistics", "same-image-across-parts", "test-size"} <= without
    assert {one.check for one in checkup.diagnoses} & {"first-loss", "short-training"} == set()
