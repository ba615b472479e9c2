from __future__ import annotations

import pytest

from cnnbench.report.figures import power_figure
from cnnbench.spec import AnalysisSpec, Hypothesis
from cnnbench.stats import AssumedNoise, SeedQuestion, plan_seeds
from cnnbench.types import Factor, Response, ResponseInfo, SeedPlan


def plan(*, sd: float = 0.05, margin: float | None = 0.02, replicates: int = 5) -> SeedPlan:
    info = ResponseInfo(Response("accuracy", "accuracy"), "Accuracy", "1", True, "unit", False)
    analysis = AnalysisSpec(primary=Hypothesis(contrast="b - a", over="kind"), equivalence_margin=margin)
    cells = ({"kind": "a"}, {"kind": "b"})
    factors = (Factor("kind", ("a", "b")),)
    found = plan_seeds(
        SeedQuestion("demo", factors, cells, analysis, (info,), True, replicates, AssumedNoise(sd), effect=0.02)
    )
    assert isinstance(found, SeedPlan)
    return found


def test_the_curves_are_those_of_the_plan():
    found = plan()
    drawing = power_figure(found)
    rows = drawing.spec["datasets"]["rows"]
    for design in found.designs:
        for goal, values in (
            ("detect", [point.power for point in design.curve]),
            ("equivalence", [point.equivalence for point in design.curve]),
        ):
            drawn = [r["power"] for r in rows if r["pairing"] == f"{design.pairing} seeds" and r["goal"] == goal]
            assert drawn == values
    assert "planned: 5" in drawing.svg
    assert "effect of 0.02" in drawing.alt


@pytest.mark.parametrize(("replicates", "planned"), [(1, False), (8, True)])
def test_one_planned_seed_is_no_mark(replicates: int, *, planned: bool):
    assert ("planned:" in power_figure(plan(replicates=replicates)).svg) == planned


def test_without_a_margin_there_is_nothing_dashed():
    drawing = power_figure(plan(margin=None))
    assert {row["goal"] for row in drawing.spec["datasets"]["rows"]} == {"detect"}
    assert "dashed" not in drawing.caption
    assert "equivalence" not in drawing.svg
