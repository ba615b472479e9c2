"""A small study to spoil, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnbench.errors import SpecError
from cnnbench.registry import Registry
from cnnbench.spec import StudyFile, load_study

SMALL_STUDY = """\
format = 1
name = "tiny"
question = "Which?"
[trial]
model = { use = "resnet-small", depth = 8 }
dataset = { use = "textures" }
split = { validation = 0.2 }
optimizer = "sgd"
metrics = ["accuracy", "loss"]
[[trial.phases]]
name = "one"
epochs = 1
size_px = 16
[factors.depth]
path = "model.depth"
levels = [8, 14]
order = "log2"
[factors.regime.levels]
none = {}
small = { "phases.one.size_px" = 8 }
"""

Load = Callable[..., StudyFile]
Complaints = Callable[..., list[str]]


@pytest.fixture
def load(tmp_path: Path, registry: Registry) -> Load:
    """Load the small study with one piece of its text replaced and something added."""

    def load(old: str = "", new: str = "", *, add: str = "", **options: Any) -> StudyFile:
        assert old in SMALL_STUDY
        path = tmp_path / "study.toml"
        path.write_text(SMALL_STUDY.replace(old, new, 1) + add, "utf-8")
        return load_study(path, check_component=registry.check, **options)

    return load


@pytest.fixture
def complaints(load: Load) -> Complaints:
    """What is wrong with the small study so changed: ``line:column key: sentence`` for each problem."""

    def complaints(old: str = "", new: str = "", *, add: str = "", **options: Any) -> list[str]:
        with pytest.raises(SpecError) as caught:
            load(old, new, add=add, **options)
        return [f"{one.line}:{one.column} {one.key}: {one.message}" for one in caught.value.problems]

    return complaints
