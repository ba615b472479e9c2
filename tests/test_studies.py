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
