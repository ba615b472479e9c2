"""The studies that ship: every file with every profile is valid, and all its cells resolve."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from cnnbench.design import cell_recipes, factors_of, planned_cells
from cnnbench.registry import Registry
from cnnbench.spec import load_study

STUDIES = Path(__file__).parent.parent / "studies"


def profiles() -> list[tuple[Path, str | None]]:
    found: list[tuple[Path, str | None]] = []
    for path in sorted(STUDIES.glob("*.toml")):
        data = tomllib.loads(path.read_text("utf-8"))
        found += [(path, profile) for profile in (None, *data.get("profiles", {}))]
    return found


@pytest.mark.parametrize(("path", "profile"), profiles(), ids=lambda value: getattr(value, "stem", str(value)))
def test_every_cell_of_a_study_resolves(path: Path, profile: str | None, registry: Registry):
    spec = load_study(path, check_component=registry.check, profile=profile).spec
    cells, _ = planned_cells(spec)

    resolved = list(cell_recipes(spec, registry, cells, str(path)))

    assert spec.name == path.stem
    assert len(resolved) == len(cells) > 1


def test_the_published_setting_of_hyperparameters_is_the_papers(registry: Registry):
    spec = load_study(STUDIES / "hyperparameters.toml", check_component=registry.check, profile="paper").spec
    cells, _ = planned_cells(spec)
    one_of = list(cell_recipes(spec, registry, cells, "hyperparameters"))

    assert len(cells) == 35
    published = [dict(entry.cell) for entry in spec.reference if entry.value is not None]
    assert all(cell in cells for cell in published)
    assert len(published) == 20 + 32 + 18  # tables 1, 2 and 3; rows that are in two of them count once
    accuracy = {tuple(e.cell.values())[:3]: e.value for e in spec.reference if e.response == "accuracy" and e.cell}
    assert (accuracy["resnet34", 10, 0.001], accuracy["vgg16", 80, 0.001], accuracy["vgg16", 20, 1e-5]) == (
        0.907,
        0.860,
        0.895,
    )
    frozen = [one for one in one_of if one.cell["trained"] == "last"]
    assert {one.recipe["model"]["weights"] for one in frozen} == {"IMAGENET1K_V1"}
    assert {one.recipe["phases"][0]["trainable"] for one in frozen} == {"head"}
    assert {one.recipe["phases"][0]["size_px"] for one in one_of} == {224}
    assert {(one.recipe["normalization"], bool(one.recipe["augmentation"])) for one in one_of} == {("imagenet", False)}
    scratch = [one.recipe for one in one_of if one.cell["weights"] == "none"]
    assert [(one["model"]["name"], one["model"]["weights"], one["phases"][0]["trainable"]) for one in scratch] == [
        ("vgg16", "none", "all"),
        ("resnet18", "none", "all"),
    ]


def test_the_baseline_of_hyperparameters_is_the_papers(registry: Registry):
    spec = load_study(STUDIES / "hyperparameters.toml", check_component=registry.check).spec
    baseline, *others = planned_cells(spec)[0]

    assert [baseline[name] for name in ("epochs", "lr", "batch")] == [10, 0.001, 32]
    assert all(sum(cell[name] != baseline[name] for name in cell) == 1 for cell in others)
    assert {cell["epochs"] for cell in others} | {10} == {1, 3, 5, 7, 10, 15, 20, 40, 80}
    assert {cell["batch"] for cell in others} == {8, 16, 32, 64}


def test_the_published_setting_of_entr_is_the_papers(registry: Registry):
    spec = load_study(STUDIES / "entr.toml", check_component=registry.check, profile="paper").spec

    assert factors_of(spec)[1].levels == (18, 34, 50)
    assert factors_of(spec)[1].order == "log2"
    cells, _ = planned_cells(spec)
    recipes = {tuple(one.cell.values()): one.recipe for one in cell_recipes(spec, registry, cells, "entr")}
    sizes = {
        regime: [phase["size_px"] for phase in recipes["ucm", 34, regime]["phases"]]
        for regime in ("none", "gradual", "stepwise")
    }
    assert sizes == {"none": [250] * 4, "gradual": [100, 150, 200, 250], "stepwise": [100, 100, 250, 250]}
    assert recipes["ucm", 34, "none"]["model"]["name"] == "resnet34"
    assert recipes["ucm", 34, "none"]["split"]["validation"] == 0.1
    assert [phase["trainable"] for phase in recipes["steel", 18, "none"]["phases"]][:3] == ["head"] * 3
