"""The studies that ship: every file with every profile is valid, and all its cells resolve."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from cnnbench.design import Probe, cell_recipes, factors_of, planned_cells, probe
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


def test_four_blocks_use_up_the_smallest_images_of_the_paper(registry: Registry):
    spec = load_study(STUDIES / "depth_size.toml", check_component=registry.check, profile="paper").spec
    cells, _ = planned_cells(spec)
    recipes = list(cell_recipes(spec, registry, cells, "depth_size"))

    lost = [
        one.cell
        for one in recipes
        if probe(Probe(one.model, 1, 2, *[one.recipe["phases"][0]["size_px"]] * 2, "all")).reason is not None
    ]

    assert lost == [{"blocks": 4, "size": 128}]
    assert {one.cell["size"]: one.recipe["batch_size"] for one in recipes} == {128: 128, 256: 128, 512: 64, 1024: 64}


@pytest.mark.parametrize("profile", [None, "xray", "paper"])
def test_the_three_studies_of_resnet_d_share_their_baseline(profile: str | None, registry: Registry):
    baselines = {
        "resnet_d": {"depth": 18, "train-share": 80},
        "resnet_d_schedule": {"schedule": "none"},
        "resnet_d_augmentation": {"copies": 0},
    }
    recipes = []
    for name, cell in baselines.items():
        spec = load_study(STUDIES / f"{name}.toml", check_component=registry.check, profile=profile).spec
        (recipe,) = [one.recipe for one in cell_recipes(spec, registry, [cell], name)]
        recipes.append({key: recipe[key] for key in ("model", "dataset", "split", "optimizer", "batch_size", "resize")})

    assert recipes[0] == recipes[1] == recipes[2]


def test_the_published_settings_of_resnet_d_are_the_papers(registry: Registry):
    specs = {
        name: load_study(STUDIES / f"{name}.toml", check_component=registry.check, profile="paper").spec
        for name in ("resnet_d", "resnet_d_schedule", "resnet_d_augmentation")
    }

    assert factors_of(specs["resnet_d"])[0].levels == (18, 34, 50, 101, 152, 200)
    numbers = {
        name: {
            tuple(one.cell.values()): one.value
            for one in spec.reference
            if one.response == "test-accuracy" and one.value
        }
        for name, spec in specs.items()
    }
    assert len(numbers["resnet_d"]) == 18
    assert (numbers["resnet_d"][34, 90], numbers["resnet_d"][200, 70]) == (0.982362, 0.976210)
    assert numbers["resnet_d_schedule"]["both",] == 0.987717
    assert numbers["resnet_d_augmentation"] == {(0,): 0.981101, (10,): 0.978975, (20,): 0.983307, (30,): 0.979370}
    cells, _ = planned_cells(specs["resnet_d"])
    for one in cell_recipes(specs["resnet_d"], registry, cells, "resnet_d"):
        assert one.recipe["model"]["name"] == f"resnet{one.cell['depth']}d"
        split = one.recipe["split"]
        assert (1 - split["test"]) * 100 == pytest.approx(one.cell["train-share"])
        assert split["validation"] == pytest.approx((1 - split["test"]) / 10)
        assert (one.recipe["phases"][0]["epochs"], one.recipe["phases"][0]["size_px"]) == (20, 224)
