"""The flaws that published datasets are known for, where CNNBENCH_DATA names a folder that holds them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cnnbench.doctor import Scope, examine
from cnnbench.spec import load_study

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnnbench.registry import Registry
    from cnnbench.types import Diagnosis

STUDIES = Path(__file__).parent.parent.parent / "studies"
STUDY = """
format = 1
name = "real"
question = "Which flaws are known?"

[trial]
model = "resnet-small"
dataset = {{ {dataset}, path = "${{CNNBENCH_DATA}}/{path}" }}
split = {{ {split} }}

[[trial.phases]]
name = "main"
epochs = 1
size_px = {size_px}

[design]
replicates = 6
"""
FOLDER, RANDOM, PREDEFINED = 'use = "image-folder"', "validation = 0.3", 'use = "predefined"'


@pytest.fixture
def check(registry: Registry, tmp_path: Path) -> Callable[..., dict[str, Diagnosis]]:
    def run(path: str, size_px: int, dataset: str = FOLDER, split: str = RANDOM) -> dict[str, Diagnosis]:
        folder = os.environ.get("CNNBENCH_DATA")
        if not folder or not (Path(folder) / path).exists():
            pytest.skip(f"CNNBENCH_DATA does not name a folder with {path}")
        file = tmp_path / "real.toml"
        file.write_text(STUDY.format(dataset=dataset, path=path, split=split, size_px=size_px), "utf-8")
        study = load_study(file, check_component=registry.check)
        checkup = examine(study, registry, Scope(tmp_path / "cache", tmp_path / "runs", budget_s=0))
        return {one.check: one for one in checkup.diagnoses}

    return run


def faults(found: dict[str, Diagnosis]) -> set[str]:
    return {one.check for one in found.values() if one.condition == "fault"}


def test_uc_merced_has_one_airplane_twice(check):
    found = check("aerial_ucmerced/ucmerced16.zip", 64)

    assert found["same-image-across-parts"].numbers["pictures"] == 1
    assert found["same-image-across-parts"].examples == (
        "ucmerced16/airplane/airplane01.jpg = ucmerced16/airplane/airplane02.jpg (identical)",
    )
    assert faults(found) == set()


def test_neu_has_one_patch_twice(check):
    found = check("steel_neu/neu_surface_defects.zip", 64)

    assert [one.rpartition(" ")[0] for one in found["same-image-across-parts"].examples] == [
        "neu_surface/patches/patches_101.jpg = neu_surface/patches/patches_105.jpg"
    ]
    assert found["pixel-range"].evidence.endswith("The three channels are equal: one would show as much.")
    assert faults(found) == set()


def test_the_x_rays_share_patients_between_parts_and_classes_and_have_two_pictures_twice(check):
    found = check("xray_covid/covid_xray3.zip", 128)
    twice = {*found["same-image-across-parts"].examples, *found["same-image-within-part"].examples}

    assert "covid_xray3/no_findings/00002658_001.jpg = covid_xray3/no_findings/00002658_002.jpg (identical)" in twice
    assert found["same-image-across-parts"].numbers["pictures"] == 2  # the other one is not on the list
    groups = found["group-across-parts"]
    assert groups.condition == "warning"
    assert groups.numbers["groups_of_several_classes"] == 21
    assert groups.numbers["leaked_share"] > 0.3
    assert faults(found) == set()


def test_ants_and_bees_are_clean(check):
    found = check("bees_hymenoptera/hymenoptera.zip", 64, split=PREDEFINED)

    assert {one.check for one in found.values() if one.condition in {"fault", "warning"}} == set()


def test_the_photographs_of_cifar10_that_are_there_twice_are_found(check):
    """The official set is known for such pairs (Barz & Denzler 2020, arXiv:1902.00423); each was looked at."""
    found = check("cifar10/cifar-10-batches-py-subset.tar.gz", 32, 'use = "cifar10"', PREDEFINED)
    across = found["same-image-across-parts"]

    assert across.condition == "warning"
    assert (across.numbers["pictures"], across.numbers["identical"]) == (9, 0)
    assert any(one.startswith("image 8886 = image 10939 (correlation 0.97") for one in across.examples)
    assert faults(found) == set()


def test_mnist_has_no_digit_twice(check):
    found = check("mnist", 28, 'use = "mnist", limit_per_class = 400', PREDEFINED)

    assert {one.check for one in found.values() if one.condition in {"fault", "warning"}} == set()


def test_the_x_ray_study_is_told_of_its_patients(registry: Registry, tmp_path: Path):
    if not (Path(os.environ.get("CNNBENCH_DATA", "")) / "xray_covid").is_dir():
        pytest.skip("CNNBENCH_DATA does not name a folder with xray_covid")
    study = load_study(STUDIES / "depth_size.toml", check_component=registry.check, profile="xray")
    checkup = examine(study, registry, Scope(tmp_path / "cache", tmp_path / "runs", budget_s=0))
    found = {one.check: one for one in checkup.diagnoses}

    assert checkup.count("fault") == 0
    assert found["group-across-parts"].numbers["leaked_share"] == pytest.approx(0.4, abs=0.1)
    assert any("00002658_001" in one for one in found["same-image-across-parts"].examples)
