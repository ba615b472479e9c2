from __future__ import annotations

import copy
from typing import Any

import pytest

from cnnbench.spec.overlay import overlay, parse_assignment, set_path

BASE: dict[str, Any] = {
    "trial": {
        "model": {"use": "resnet-small", "depth": 8},
        "optimizer": "sgd",
        "metrics": ["accuracy", {"use": "f1", "x": 1}],
        "phases": [{"name": "a", "epochs": 1, "trainable": {"body": 0.1, "head": 1}}, {"name": "b", "epochs": 2}],
    },
    "factors": {"regime": {"levels": {"none": {}, "half": {"x": 1}}}},
    "design": {"baseline": {"regime": "half"}},
    "analysis": {"primary": {"contrast": "half - none", "over": "regime"}, "alpha": 0.05},
}


@pytest.mark.parametrize(
    ("patch", "path", "expected"),
    [
        ({"trial": {"model": {"depth": 14}}}, "trial.model", {"use": "resnet-small", "depth": 14}),
        (
            {"trial": {"model": {"use": "resnet-small", "depth": 20}}},
            "trial.model",
            {"use": "resnet-small", "depth": 20},
        ),
        ({"trial": {"model": {"use": "vgg"}}}, "trial.model", {"use": "vgg"}),
        ({"design": {"baseline": {}}}, "design.baseline", {}),
        ({"trial": {"model": "vgg"}}, "trial.model", "vgg"),
        ({"trial": {"optimizer": {"lr": 0.1}}}, "trial.optimizer", {"use": "sgd", "lr": 0.1}),
        ({"trial": {"optimizer": {"use": "adam"}}}, "trial.optimizer", {"use": "adam"}),
        ({"trial": {"metrics": ["loss"]}}, "trial.metrics", ["loss"]),
        ({"trial": {"metrics": {"f1": {"x": 2}}}}, "trial.metrics", ["accuracy", {"use": "f1", "x": 2}]),
        ({"trial": {"metrics": {"loss": {}}}}, "trial.metrics", [*BASE["trial"]["metrics"], {"use": "loss"}]),
        ({"trial": {"phases": {"b": {"epochs": 9}}}}, "trial.phases.1", {"name": "b", "epochs": 9}),
        ({"trial": {"phases": {"c": {"epochs": 9}}}}, "trial.phases.2", {"name": "c", "epochs": 9}),
        ({"trial": {"phases": {"b": 3}}}, "trial.phases.1", 3),
        ({"trial": {"phases": {"a": {"trainable": {"head": 1}}}}}, "trial.phases.0.trainable", {"head": 1}),
        ({"trial": {"phases": [{"name": "z"}]}}, "trial.phases", [{"name": "z"}]),
        (
            {"factors": {"regime": {"levels": {"none": {}, "all": {}}}}},
            "factors.regime.levels",
            {"none": {}, "all": {}},
        ),
        ({"analysis": {"primary": {"slope": ["depth"]}}}, "analysis.primary", {"slope": ["depth"]}),
        ({"analysis": {"primary": {"slope": ["depth"]}}}, "analysis.alpha", 0.05),
        ({"design": {"replicates": 3}}, "design", {"replicates": 3, "baseline": {"regime": "half"}}),
        ({"responses": {"x": {"metric": "f1"}}}, "responses", {"x": {"metric": "f1"}}),
        ({"analysis": {"alpha": {"x": 1}}}, "analysis.alpha", {"x": 1}),
    ],
)
def test_a_profile_lays_over_the_file(patch: dict[str, Any], path: str, expected: object):
    value: Any = overlay(BASE, patch)
    for step in path.split("."):
        value = value[int(step) if step.isdigit() else step]
    assert value == expected


def test_a_profile_changes_neither_the_file_nor_itself():
    base, patch = copy.deepcopy(BASE), {"trial": {"phases": {"a": {"trainable": {"head": 2}}}, "metrics": ["loss"]}}
    before = copy.deepcopy(patch)
    result = overlay(base, patch)
    result["trial"]["metrics"].append("x")
    result["trial"]["phases"][0]["trainable"]["head"] = 3
    result["trial"]["phases"][1]["epochs"] = 3
    assert (base, patch) == (BASE, before)


@pytest.mark.parametrize(
    ("path", "places"),
    [
        ("model.depth", [("model", "depth")]),
        ("model", [("model",)]),
        ("optimizer.lr", [("optimizer", "lr")]),
        ("split.test", [("split", "test")]),
        ("phases.b.epochs", [("phases", 1, "epochs")]),
        ("phases.1.epochs", [("phases", 1, "epochs")]),
        ("phases.*.epochs", [("phases", 0, "epochs"), ("phases", 1, "epochs")]),
        ("metrics.f1.x", [("metrics", 1, "x")]),
        ("metrics.accuracy.x", [("metrics", 0, "x")]),
        ("metrics.0", [("metrics", 0)]),
    ],
)
def test_a_path_is_set_where_it_leads(path: str, places: list[tuple[str | int, ...]]):
    tree = copy.deepcopy(BASE["trial"])
    assert set_path(tree, path, "new") == places
    for place in places:
        value = tree
        for step in place:
            value = value[step]
        assert value == "new"


def test_a_component_in_shorthand_gets_its_parameters():
    tree = {"optimizer": "sgd", "metrics": ["accuracy"]}
    set_path(tree, "optimizer.lr", 1)
    set_path(tree, "metrics.accuracy.x", 2)
    assert tree == {"optimizer": {"use": "sgd", "lr": 1}, "metrics": [{"use": "accuracy", "x": 2}]}


@pytest.mark.parametrize(
    ("path", "step", "known"),
    [
        ("phases.c.epochs", "c", ("a", "b")),
        ("phases.7", "7", ("a", "b")),
        ("phases.a.epochs.x", "x", ()),
        ("metrics.f2.x", "f2", ("accuracy", "f1")),
    ],
)
def test_a_path_that_leads_nowhere_names_the_step_and_what_there_is(path: str, step: str, known: tuple[str, ...]):
    with pytest.raises(KeyError) as caught:
        set_path(copy.deepcopy(BASE["trial"]), path, 1)
    assert caught.value.args == (step, known)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=3", ("a.b", 3)),
        ("a.b = 0.5", ("a.b", 0.5)),
        ("a=true", ("a", True)),
        ('a="3"', ("a", "3")),
        ("a=bf16", ("a", "bf16")),
        ("a=two words", ("a", "two words")),
        ("a=[8, 14]", ("a", [8, 14])),
        ('a={ use = "sgd", lr = 1 }', ("a", {"use": "sgd", "lr": 1})),
        ("a=x=y", ("a", "x=y")),
        ("a=", ("a", "")),
    ],
)
def test_an_assignment_is_toml_or_a_bare_word(text: str, expected: tuple[str, Any]):
    assert parse_assignment(text) == expected


@pytest.mark.parametrize("text", ["a.b", "=3", ""])
def test_an_assignment_needs_both_sides(text: str):
    with pytest.raises(ValueError, match=r"is no assignment; write path=value"):
        parse_assignment(text)
