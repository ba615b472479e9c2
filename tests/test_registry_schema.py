"""The JSON Schema that editors check study files with."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from cnnbench.plugin import Optimizer, hookimpl
from cnnbench.registry import Registry

STUDIES = sorted((Path(__file__).parents[1] / "studies").glob("*.toml"))


@pytest.fixture(scope="module")
def schema(registry: Registry) -> dict[str, Any]:
    """The schema, as editors read it."""
    return dict(json.loads(json.dumps(registry.json_schema())))


def faults(schema: Mapping[str, Any], text: str) -> list[str]:
    """Return where a study does not fit the schema."""
    return [error.json_path for error in Draft202012Validator(schema).iter_errors(tomllib.loads(text))]


def test_the_schema_is_one(schema: dict[str, Any]):
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_studies_that_ship_fit_the_schema(schema: dict[str, Any], path: Path):
    assert faults(schema, path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("depth = 8", "dept = 8", "$.trial.model"),
        ('use = "digits"', 'use = "digit"', "$.trial.dataset"),
        ("lr = 0.05", 'lr = "fast"', "$.trial.optimizer"),
        ('"zoom"', '"zom"', "$.trial.augmentation[0]"),
        ('"loss"', '"los"', "$.trial.metrics[1]"),
        ("epochs = 1", "epochs = 0", "$.trial.phases[0].epochs"),
        ("epochs = 1", 'epochs = 1\nschedule = "x"', "$.trial.phases[0].schedule"),
        ("replicates = 2", "replicats = 2", "$.design"),
    ],
)
def test_the_schema_refuses_what_the_study_file_refuses(
    schema: dict[str, Any], study_path: Path, old: str, new: str, place: str
):
    text = study_path.read_text("utf-8")
    assert faults(schema, text) == []
    assert faults(schema, text.replace(old, new)) == [place]


class Split(BaseModel):
    """A part of a plugin's parameters that happens to be called like a part of the study file."""

    ratio: float = 0.5


class Splitting(Optimizer):
    """A component with such a part."""

    key = "splitting"
    lr: float = 1
    split: Split = Split()


def test_parts_of_a_plugins_parameters_do_not_replace_the_engines_own():
    class Hooks:
        @hookimpl
        def cnnbench_optimizers(self) -> list[type[Optimizer]]:
            return [Splitting]

    registry = Registry()
    registry.register(Hooks(), "mine")
    schema = registry.json_schema()
    Draft202012Validator.check_schema(schema)
    assert set(schema["$defs"]["Split"]["properties"]) == {"use", "validation", "test", "stratify", "groups"}
    component = {"$defs": schema["$defs"], **schema["$defs"]["Component_optimizer"]}
    assert Draft202012Validator(component).is_valid({"use": "splitting", "split": {"ratio": 0.1}})
    assert not Draft202012Validator(component).is_valid({"use": "splitting", "split": {"ratio": "x"}})
