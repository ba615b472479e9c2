from __future__ import annotations

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
    ],
)
def test_the_declaration_changes_with_what_is_tested(load: Load, add: str):
    assert analysis_hash(load(add=add).spec) != analysis_hash(load().spec)


@pytest.mark.parametrize("add", ["[design]\nreplicates = 9\n", "[analysis]\nalpha = 0.05\n"])
def test_the_declaration_does_not_change_with_anything_else(load: Load, add: str):
    assert analysis_hash(load(add=add).spec) == analysis_hash(load().spec)
