"""Studies of a few cells, planned without data and without torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnbench.design import Feasibility, make_plan
from cnnbench.registry import Registry
from cnnbench.spec import StudySpec, load_study
from cnnbench.types import DatasetInfo, Plan

STUDY = """\
format = 1
name = "tiny"
question = "Which?"
[trial]
model = { use = "resnet-small", depth = 8, width = 2 }
dataset = { use = "image-folder", path = "here" }
optimizer = "sgd"
metrics = ["accuracy", "loss", "confusion-matrix"]
[[trial.phases]]
name = "one"
epochs = 1
size_px = 8
[[trial.phases]]
name = "two"
epochs = 2
size_px = 16
[factors.depth]
path = "model.depth"
levels = [8, 14]
[factors.batch]
path = "batch_size"
levels = [4, 8, 16]
"""

INFO = DatasetInfo("f" * 64, 3, ("a", "b"), (50, 50), 100, 64, 64, has_splits=False, has_test_split=False)

MakeSpec = Callable[..., StudySpec]
MakePlan = Callable[..., Plan]


@pytest.fixture
def make_spec(tmp_path: Path, registry: Registry) -> MakeSpec:
    """Load the study with some of its text replaced and something added."""

    def make(*replacements: tuple[str, str], add: str = "") -> StudySpec:
        text = STUDY
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "study.toml"
        path.write_text(text + add, "utf-8")
        return load_study(path, check_component=registry.check).spec

    return make


@pytest.fixture
def plan_of(make_spec: MakeSpec, registry: Registry) -> MakePlan:
    """Plan the study so changed; every network can be built, at 10 operations for each pixel of a side."""

    def plan(*replacements: tuple[str, str], add: str = "", info: DatasetInfo = INFO, **options: Any) -> Plan:
        prober = options.get("prober", lambda request: Feasibility(None, 10.0 * request.size_px))
        return make_plan(make_spec(*replacements, add=add), registry, lambda _: info, prober, "study.toml")

    return plan
