from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnbench.design import Feasibility, is_last, make_plan, planned_cells
from cnnbench.errors import DesignError
from cnnbench.types import Choice, Level, Look, Plan

if TYPE_CHECKING:
    from cnnbench.registry import Registry
    from cnnbench.spec import StudySpec
    from tests.design.conftest import MakeSpec

INFO_KEY = "f" * 64
SEQUENTIAL = """
[design]
kind = "sequential"
replicates = 2
baseline = { batch = 8 }
[[design.stage]]
factor = "batch"
[[design.stage]]
factor = "depth"
"""
SEEDS = """
[design]
seeds = { until_half_width = 0.01, pilot = 3, max = 9 }
[analysis]
primary = { contrast = "14 - 8", over = "depth" }
"""


def look(replicates: int) -> Look:
    return Look("now", "accuracy", "raw", "14 - 8", 0.05, (0, 1, 2), 0.1, 0.01, replicates, replicates, capped=False)


def choice(factor: str, level: Level) -> Choice:
    return Choice("now", factor, level, {}, "accuracy", "raw", True, 0.05, (), None, ())


def plan(spec: StudySpec, registry: Registry, *decisions: Look | Choice, infeasible: tuple[int, ...] = ()) -> Plan:
    from tests.design.conftest import INFO

    def prober(request: object) -> Feasibility:
        depth = request.model.depth  # type: ignore[attr-defined]
        return Feasibility("too deep." if depth in infeasible else None, 1.0)

    return make_plan(spec, registry, lambda _: INFO, prober, "study.toml", decisions=decisions)


def cells(found: Plan, replicate: int) -> list[tuple[Level, ...]]:
    return [tuple(trial.cell.values()) for trial in found.trials if trial.replicate == replicate]


def test_a_look_adds_replicates_and_changes_none(make_spec: MakeSpec, registry: Registry):
    spec = make_spec(add=SEEDS)
    pilot, whole = plan(spec, registry), plan(spec, registry, look(5))

    assert (pilot.replicates, len(pilot.trials)) == (3, 18)
    assert (whole.replicates, len(whole.trials)) == (5, 30)
    assert whole.trials[:18] == pilot.trials
    assert (is_last(spec, 0), is_last(spec, 1)) == (False, True)


def test_stages_vary_one_factor_and_hold_what_was_chosen(make_spec: MakeSpec, registry: Registry):
    spec = make_spec(add=SEQUENTIAL)

    found = plan(spec, registry, choice("batch", 16), choice("depth", 14))

    # (depth, batch): the factors in the order of the file, the stages in their own.
    assert cells(found, 0) == cells(found, 1) == [(8, 4), (8, 8), (8, 16)]
    assert cells(found, 2) == cells(found, 3) == [(8, 16), (14, 16)]
    assert cells(found, 4) == cells(found, 5) == [(8, 8), (14, 16)]
    assert [(stage.name, stage.held, stage.replicates) for stage in found.stages] == [
        ("batch", {"depth": 8}, (0, 1)),
        ("depth", {"batch": 16}, (2, 3)),
        ("confirm", {"depth": 14, "batch": 16}, (4, 5)),
    ]
    assert [is_last(spec, number) for number in range(3)] == [False, False, True]


def test_where_the_baseline_is_selected_it_is_run_again_alone(make_spec: MakeSpec, registry: Registry):
    found = plan(make_spec(add=SEQUENTIAL), registry, choice("batch", 8), choice("depth", 8))

    assert cells(found, 4) == [(8, 8)]


def test_every_cell_that_a_stage_may_reach_is_checked_before_anything_runs(make_spec: MakeSpec):
    reached, _ = planned_cells(make_spec(add=SEQUENTIAL))

    assert len(reached) == 6


def test_a_cell_that_cannot_be_built_counts_only_where_a_stage_meets_it(make_spec: MakeSpec, registry: Registry):
    spec = make_spec(add=SEQUENTIAL)

    first = plan(spec, registry, infeasible=(14,))
    second = plan(spec, registry, choice("batch", 4), infeasible=(14,))

    assert first.exclusions == ()
    assert [(one.cell, one.kind) for one in second.exclusions] == [({"depth": 14, "batch": 4}, "infeasible")]
    assert second.stages[1].cells == ({"depth": 8, "batch": 4},)


def test_a_stage_with_nothing_left_names_itself_and_the_reason(make_spec: MakeSpec, registry: Registry):
    with pytest.raises(DesignError, match="no cell of `tiny` in the stage `batch` is left to run; .* too deep"):
        plan(make_spec(add=SEQUENTIAL), registry, infeasible=(8,))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(batch=st.sampled_from([4, 8, 16]), depth=st.sampled_from([8, 14]))
def test_a_decision_only_adds_trials_and_no_stage_shares_seeds_with_another(
    make_spec: MakeSpec, registry: Registry, batch: int, depth: int
):
    spec = make_spec(add=SEQUENTIAL)
    decisions = [choice("batch", batch), choice("depth", depth)]

    grown = [plan(spec, registry, *decisions[:number]) for number in range(3)]

    for before, after in pairwise(grown):
        assert after.trials[: len(before.trials)] == before.trials
    seeds = [
        {trial.seeds["init"] for trial in grown[2].trials if trial.replicate in s.replicates} for s in grown[2].stages
    ]
    assert all(len(own) == 2 for own in seeds)
    assert len(set.union(*seeds)) == 6
    assert len({trial.id for trial in grown[2].trials}) == len(grown[2].trials)
