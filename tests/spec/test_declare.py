from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest

from cnnbench.spec import StudyFile, analysis_hash

Load = Callable[..., StudyFile]


@pytest.mark.parametrize(
    "add",
    [
        "[analysis]\nalpha = 0.01\n",
        '[analysis]\nprimary = { contrast = "small - none", over = "regime" }\n',
        '[responses]\na = { metric = "loss" }\n',
        '[design]\npairing = "independent"\n',
        '[factors.d]\npath = "dataset"\nlevels = { a = "textures", b = "digits" }\n[analysis]\ndatasets = "random"\n',
    ],
)
def test_the_declaration_changes_with_what_is_tested(load: Load, add: str):
    assert analysis_hash(load(add=add).spec) != analysis_hash(load().spec)


@pytest.mark.parametrize("add", ["[design]\nreplicates = 9\n", "[analysis]\nalpha = 0.05\n"])
def test_the_declaration_does_not_change_with_anything_else(load: Load, add: str):
    assert analysis_hash(load(add=add).spec) == analysis_hash(load().spec)


def test_the_declaration_of_studies_from_before_random_datasets_is_what_it_was(load: Load):
    """Its fingerprint stands in run folders: with another, their findings would be called exploratory."""
    spec = load().spec
    declared = {
        "analysis": {key: value for key, value in spec.analysis.model_dump(mode="json").items() if key != "datasets"},
        "responses": {},
        "pairing": "shared",
    }
    assert analysis_hash(spec) == hashlib.sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()
