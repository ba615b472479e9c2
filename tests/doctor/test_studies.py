"""The studies that ship: the doctor finds no fault in their embedded data."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnbench.doctor import Scope, examine
from cnnbench.registry import Registry
from cnnbench.spec import load_study

STUDIES = sorted((Path(__file__).parent.parent.parent / "studies").glob("*.toml"))
KNOWN = {"image-size", "label-balance", "test-size"}
"""Warnings that are deserved: digits of 8 px are enlarged, and studies of minutes have few images."""
KNOWN_OF = {"hyperparameters": {"one-batch"}}
"""The published learning rates begin at a millionth, with which nothing is learned."""


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_embedded_data_of_a_study_have_no_fault(path: Path, registry: Registry, tmp_path: Path):
    study = load_study(path, check_component=registry.check)
    checkup = examine(study, registry, Scope(tmp_path / "cache", tmp_path / "runs", budget_s=0))

    assert [one for one in checkup.diagnoses if one.condition == "fault"] == []
    assert {one.check for one in checkup.diagnoses if one.condition == "warning"} <= KNOWN


@pytest.mark.slow
@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_networks_of_a_study_have_no_fault(path: Path, registry: Registry, tmp_path: Path):
    study = load_study(path, check_component=registry.check)
    checkup = examine(study, registry, Scope(tmp_path / "cache", tmp_path / "runs", budget_s=240))

    assert [one for one in checkup.diagnoses if one.condition == "fault"] == []
    warnings = {one.check for one in checkup.diagnoses if one.condition == "warning"}
    assert warnings <= KNOWN | KNOWN_OF.get(path.stem, set())
