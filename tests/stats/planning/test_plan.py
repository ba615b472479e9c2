"""Seeds for a study, from a pilot's trials or from an assumed SD."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from cnnbench.spec import AnalysisSpec, Hypothesis
from cnnbench.stats import AssumedNoise, Pilot, SeedQuestion, analyse, plan_seeds
from cnnbench.stats.effects.answers import answer
from cnnbench.stats.planning.plan import _setting
from cnnbench.stats.trials.cells import cell_data, grid
from cnnbench.types import DesignPower, Factor, Refusal, SeedPlan

if TYPE_CHECKING:
    from tests.stats.conftest import MakeResponse, MakeStudy, Oracle, Simulate

DEPTH = Factor("depth", (8, 16, 32), "log2")
SIZE = Factor("size", (32, 64, 128), "log2")
FACTORS = (DEPTH, SIZE)
SLOPE = Hypothesis(slope=("depth", "size"))
PAIR = Hypothesis(contrast="32 - 8", over="depth")
OMNIBUS = Hypothesis(interaction=("depth", "size"))

Ask = Callable[..., SeedQuestion]


@pytest.fixture
def ask(response: MakeResponse) -> Ask:
    """Ask for seeds; keywords replace parts of the question, and those of the analysis plan."""

    def make(noise: Any, factors: tuple[Factor, ...] = FACTORS, **changes: Any) -> SeedQuestion:
        plan = {key: changes.pop(key) for key in list(changes) if key in AnalysisSpec.model_fields}
        values: dict[str, Any] = {
            "study": "demo",
            "factors": factors,
            "cells": tuple(grid(factors)),
            "analysis": AnalysisSpec(**{"primary": SLOPE, "equivalence_margin": 0.02, **plan}),
            "responses": (response(),),
            "paired": True,
            "replicates": 5,
            "noise": noise,
        }
        return SeedQuestion(**(values | changes))

    return make


def pilot_of(frame: pd.DataFrame, factors: tuple[Factor, ...] = FACTORS, *, paired: bool = True) -> Pilot:
    return Pilot("runs/pilot", factors, frame, paired)


def planned(question: SeedQuestion) -> SeedPlan:
    plan = plan_seeds(question)
    assert isinstance(plan, SeedPlan), plan
    return plan


def refused(question: SeedQuestion) -> Refusal:
    refusal = plan_seeds(question)
    assert isinstance(refusal, Refusal)
    return refusal


def flat(_: dict[str, Any]) -> float:
    return 0.7


# ------------------------------------------------------------------------------------------------ assumed noise


def test_two_conditions_need_the_seeds_of_the_textbook(ask: Ask):
    """A dz of 0.5 takes 34 pairs; two independent groups at d = 0.5 take 64 each (R's power.t.test)."""
    factors = (Factor("depth", (8, 32)),)
    for correlation, effect, seeds in ((0.5, 0.5, 34), (0.0, 0.5 * 2**0.5, 34), (0.5, 1.0, 10)):
        plan = planned(ask(AssumedNoise(1.0, correlation), factors, primary=PAIR, effect=effect))
        assert plan.designs[0].detect.seeds == seeds
    plan = planned(ask(AssumedNoise(1.0), factors, primary=PAIR, effect=0.5, paired=False))
    assert (plan.designs[0].pairing, plan.designs[0].planned, plan.designs[0].detect.seeds) == ("independent", True, 64)


def test_a_plan_says_what_was_asked(ask: Ask):
    plan = planned(ask(AssumedNoise(0.02, 0.5)))
    assert (plan.study, plan.kind, plan.response, plan.scale) == ("demo", "slope", "accuracy", "raw")
    assert (plan.effect, plan.effect_source, plan.margin, plan.observed_effect) == (0.02, "margin", 0.02, None)
    assert (plan.replicates, plan.num_cells, plan.power, plan.alpha) == (5, 9, 0.8, 0.05)
    assert (plan.noise.kind, plan.noise.sd, plan.noise.correlation) == ("assumed", 0.02, 0.5)
    own, other = plan.designs
    assert (own.pairing, own.planned, other.pairing, other.planned) == ("shared", True, "independent", False)
    # sum(x^2 z^2) over centred logs is 4, so that the slope of one seed has the variance sd^2 (1 - 0.5) / 4
    assert own.sd == pytest.approx(0.02 * (0.5 / 4) ** 0.5)
    assert own.seeds == max(own.detect.seeds, own.equivalence.seeds)
    assert own.trials == 9 * own.seeds
    assert (own.seconds, own.detect.range, own.observed, own.monte_carlo_se) == (None, None, None, None)


def test_the_curve_rises_through_planned_and_needed_seeds(ask: Ask):
    plan = planned(ask(AssumedNoise(0.05), replicates=7))
    for design in plan.designs:
        seeds = [point.seeds for point in design.curve]
        assert seeds == sorted(set(seeds))
        assert {2, 7, plan.designs[0].seeds, plan.designs[1].seeds} <= set(seeds)
        assert all(later.power >= earlier.power for earlier, later in pairwise(design.curve))
        at = {point.seeds: point for point in design.curve}
        assert at[7].power == design.power
        assert at[7].equivalence == design.equivalence_power
        assert at[design.seeds].power >= 0.8
        assert at[design.seeds].equivalence >= 0.8


def test_more_noise_a_smaller_effect_and_more_power_take_more_seeds(ask: Ask):
    def needed(sd: float, effect: float, power: float) -> int:
        return planned(ask(AssumedNoise(sd), effect=effect, power=power)).designs[0].detect.seeds

    base = needed(0.05, 0.01, 0.8)
    assert needed(0.10, 0.01, 0.8) > base
    assert needed(0.05, 0.007, 0.8) > base
    assert needed(0.05, 0.01, 0.9) > base
    assert needed(0.10, 0.02, 0.8) == base


def test_correlated_seeds_need_fewer(ask: Ask):
    shared = [planned(ask(AssumedNoise(0.05, rho))).designs[0].detect.seeds for rho in (0.0, 0.5, 0.9)]
    assert shared == sorted(shared, reverse=True)
    assert shared[0] > shared[2]


def test_hopeless_seeds_are_no_number(ask: Ask):
    plan = planned(ask(AssumedNoise(50.0)))
    own = plan.designs[0]
    assert (own.seeds, own.detect.seeds, own.trials, own.curve[-1].seeds) == (None, None, None, 1000)
    assert "no number up to 1,000 seeds per cell detects" in plan.sentences[0]


def test_one_planned_seed_tests_nothing(ask: Ask):
    plan = planned(ask(AssumedNoise(0.02), replicates=1))
    own = plan.designs[0]
    assert (own.power, own.equivalence_power, own.detectable) == (None, None, None)
    assert "With one planned seed per cell nothing can be tested." in plan.sentences


def test_an_interaction_of_one_degree_of_freedom_is_its_contrast(ask: Ask):
    factors = (Factor("depth", (8, 16), "log2"), Factor("size", (32, 64), "log2"))
    omnibus = planned(ask(AssumedNoise(0.05, 0.3), factors, primary=OMNIBUS))
    assert omnibus.kind == "interaction"
    assert omnibus.designs[0].monte_carlo_se is None
    assert omnibus.designs[1].monte_carlo_se < 0.004
    slope = planned(ask(AssumedNoise(0.05, 0.3), factors))  # one doubling each: the same difference of differences
    assert [one.detect.seeds for one in omnibus.designs] == [one.detect.seeds for one in slope.designs]


def test_a_larger_interaction_is_simulated(ask: Ask):
    plan = planned(ask(AssumedNoise(0.02, 0.3), primary=OMNIBUS, effect=0.05))
    own, other = plan.designs
    assert (own.monte_carlo_se, other.monte_carlo_se) == pytest.approx((0.004, 0.004), abs=0.001)
    assert own.sd is None
    assert [point.classical is None for point in (own.curve[0], other.curve[0])] == [True, False]
    assert other.curve[5].power == pytest.approx(other.curve[5].classical, abs=0.12)
    assert own.detect.seeds < other.detect.seeds


def test_an_effect_has_to_be_named_somewhere(ask: Ask):
    refusal = refused(ask(AssumedNoise(0.02), equivalence_margin=None))
    assert "Give `--effect`" in refusal.remedy
    plan = planned(ask(AssumedNoise(0.02), equivalence_margin=None, effect=0.01))
    assert (plan.effect_source, plan.designs[0].equivalence) == ("given", None)
    assert plan.designs[0].seeds == plan.designs[0].detect.seeds


def test_without_a_primary_hypothesis_there_is_nothing_to_plan(ask: Ask):
    refusal = refused(ask(AssumedNoise(0.02), primary=None))
    assert "no primary hypothesis" in refusal.why
    assert "primary = {" in refusal.remedy


@pytest.mark.parametrize(
    ("hypothesis", "factors", "why"),
    [
        (SLOPE, (Factor("depth", (8, 16)), SIZE), "has no order"),
        (PAIR, (Factor("depth", (8, 16)), SIZE), "no level"),
    ],
)
def test_a_hypothesis_that_does_not_fit_is_refused(
    ask: Ask, hypothesis: Hypothesis, factors: tuple[Factor, ...], why: str
):
    assert why in refused(ask(AssumedNoise(0.02), factors, primary=hypothesis)).why


def test_cells_that_are_not_planned_are_missing_from_the_question(ask: Ask):
    cells = tuple(grid(FACTORS))
    plan = planned(ask(AssumedNoise(0.02), cells=cells[:-1]))
    assert plan.num_cells == 8
    assert plan.designs[0].sd > planned(ask(AssumedNoise(0.02))).designs[0].sd
    diagonal = tuple(cell for cell in cells if cell["depth"] * 4 == cell["size"])
    assert "do not determine it" in refused(ask(AssumedNoise(0.02), cells=diagonal, primary=OMNIBUS)).why


def test_a_missing_cell_leaves_the_classical_f(ask: Ask):
    plan = planned(ask(AssumedNoise(0.02), cells=tuple(grid(FACTORS))[:-1], primary=OMNIBUS, paired=False, effect=0.05))
    own = plan.designs[0]
    assert own.test == "classical F by comparison of models"
    for point in own.curve:
        assert point.power == pytest.approx(point.classical, abs=0.02)


def test_the_scale_and_response_of_the_hypothesis_are_taken(ask: Ask, response: MakeResponse):
    question = ask(AssumedNoise(0.02), scale="log", primary=PAIR, equivalence_margin=0.05)
    plan = planned(question)
    assert plan.scale == "log"
    assert "an effect of a factor of 1.05" in plan.sentences[0]
    elsewhere = replace(
        question,
        analysis=AnalysisSpec(primary=Hypothesis(contrast="32 - 8", over="depth", response="loss")),
        responses=(response(), response("loss", bounded="positive")),
        effect=0.1,
    )
    assert planned(elsewhere).response == "loss"


# ------------------------------------------------------------------------------------------------ pilots


def test_a_pilot_s_own_seeds_give_the_noise_of_its_contrast(ask: Ask, oracle: Oracle):
    """R's per-seed interaction slopes of the case: SD 0.00235.., 8 seeds."""
    case = oracle("c07")
    pilot = Pilot("runs/c07", case.factors, case.frame, paired=True)
    plan = planned(ask(pilot, case.factors))
    own = plan.designs[0]
    scores = case.r["per_seed_interaction_slope"]["scores"]
    assert own.sd == pytest.approx(np.std(scores, ddof=1), rel=1e-8)
    assert (own.df, plan.noise.seeds, plan.noise.kind) == (7, 8, "pilot")
    assert plan.observed_effect == pytest.approx(abs(np.mean(scores)), rel=1e-8)
    ends = own.detect.range
    assert (ends.low or 0) <= own.detect.seeds <= ends.high
    assert own.observed.seeds > 0


def test_the_analysis_says_the_same_number_of_seeds(study: MakeStudy, simulate: Simulate, ask: Ask):
    """The sentence of an undetermined effect and `cnnbench power --from` are one engine."""
    for paired in (True, False):
        frame = simulate(FACTORS, flat, n=4, sd=0.05, seed_sd=0.02, seed=3)
        for margin in (0.02, None):
            found = analyse(study(frame, FACTORS, primary=SLOPE, equivalence_margin=margin, paired=paired)).responses[0]
            plan = planned(ask(pilot_of(frame, paired=paired), paired=paired, equivalence_margin=margin))
            assert found.effects[0].verdict == "undetermined"
            assert f"({plan.designs[0].seeds} in all)" in found.headline


def test_a_pilot_with_other_levels_lends_its_pooled_noise(ask: Ask, simulate: Simulate):
    smaller = (Factor("depth", (8, 16), "log2"), SIZE)
    frame = simulate(smaller, flat, n=300, sd=0.03, seed_sd=0.04, seed=5)
    plan = planned(ask(pilot_of(frame, smaller)))
    assert plan.noise.kind == "pooled pilot"
    assert plan.noise.sd == pytest.approx(0.05, rel=0.1)
    assert plan.noise.correlation == pytest.approx(0.64, abs=0.1)
    assert plan.designs[0].sd == pytest.approx(0.03 / 2, rel=0.1)
    assert plan.designs[0].df == 299 * 5
    assert plan.observed_effect is None
    assert any("pooled over the cells" in note for note in plan.notes)


def test_a_pilot_with_another_factor_lends_its_pooled_noise(ask: Ask, simulate: Simulate):
    wider = (*FACTORS, Factor("data", ("a", "b")))
    frame = simulate(wider, flat, n=3, sd=0.03, seed=5)
    plan = planned(ask(pilot_of(frame, wider)))
    assert plan.noise.kind == "pooled pilot"
    assert plan.noise.sd == pytest.approx(0.03, rel=0.25)


def test_cells_of_the_pilot_that_the_study_has_not_are_left_out(ask: Ask, simulate: Simulate):
    wider = (Factor("depth", (8, 16, 32, 64), "log2"), SIZE)
    frame = simulate(wider, flat, n=4, sd=0.03, seed=5)
    inside = frame[frame["depth"] != 64]
    one, other = planned(ask(pilot_of(frame, wider))), planned(ask(pilot_of(inside)))
    assert one.noise.kind == "pilot"
    assert one.designs == other.designs
    assert any(note.startswith("12 of the pilot's trials") for note in one.notes)


def test_an_independent_pilot_tells_nothing_of_pairing(ask: Ask, simulate: Simulate):
    frame = simulate(FACTORS, flat, n=6, sd=0.03, seed_sd=0.05, seed=5)
    apart = planned(ask(pilot_of(frame, paired=False)))
    assert apart.noise.correlation is None
    assert any("does not tell how alike" in note for note in apart.notes)
    assert apart.designs[0].sd == pytest.approx(apart.designs[1].sd)
    assert planned(ask(pilot_of(frame))).designs[0].sd < apart.designs[0].sd


@pytest.mark.parametrize("hypothesis", [SLOPE, OMNIBUS])
def test_a_pilot_with_one_seed_is_refused(ask: Ask, simulate: Simulate, hypothesis: Hypothesis):
    for factors in (FACTORS, (DEPTH,)):
        refusal = refused(ask(pilot_of(simulate(factors, flat, n=1), factors), primary=hypothesis))
        assert "one seed per cell, which tells nothing of the spread between seeds" in refusal.why
        assert "--set design.replicates=3" in refusal.remedy


def test_a_pilot_without_noise_is_refused(ask: Ask, simulate: Simulate):
    assert "do not differ at all" in refused(ask(pilot_of(simulate(FACTORS, flat, sd=0.0)))).why
    frame = simulate(FACTORS, flat, sd=0.0, seed_sd=0.05)
    assert "no noise to plan with" in refused(ask(pilot_of(frame))).why


def test_a_pilot_of_several_environments_is_refused(ask: Ask, simulate: Simulate):
    frame = simulate(FACTORS, flat, n=4)
    frame["environment_key"] = ["here", "there"] * 18
    assert "2 environments" in refused(ask(pilot_of(frame))).why
    assert planned(ask(pilot_of(frame), pool_environments=True)).noise.kind == "pilot"


def test_a_pilot_whose_values_do_not_suit_the_scale_is_refused(ask: Ask, simulate: Simulate):
    frame = simulate(FACTORS, lambda _: -1.0)
    assert "log scale needs positive values" in refused(ask(pilot_of(frame), scale="log")).why
    frame["accuracy"] = np.nan
    assert "no trial that can be used" in refused(ask(pilot_of(frame))).why


def test_failed_trials_of_a_pilot_cost_their_seeds(ask: Ask, simulate: Simulate):
    frame = simulate(FACTORS, flat, n=6, sd=0.03, seed=5).drop(index=[0, 13])
    plan = planned(ask(pilot_of(frame)))
    assert (plan.noise.seeds, plan.designs[0].df) == (4, 3.0)


def test_without_a_margin_the_pilot_s_effect_is_planned_for_and_called_optimistic(ask: Ask, simulate: Simulate):
    frame = simulate(FACTORS, lambda cell: 0.1 * np.log2(cell["depth"]) * np.log2(cell["size"]) / 4, n=4, sd=0.05)
    for hypothesis in (SLOPE, OMNIBUS):
        plan = planned(ask(pilot_of(frame), primary=hypothesis, equivalence_margin=None))
        assert plan.effect_source == "pilot"
        assert plan.effect == plan.observed_effect > 0
        assert any("optimistic" in sentence for sentence in plan.sentences)
    with_margin = planned(ask(pilot_of(frame)))
    assert with_margin.designs[0].observed.seeds < with_margin.designs[0].detect.seeds


def test_a_small_pilot_of_a_large_interaction_says_what_it_cannot_tell(ask: Ask, simulate: Simulate):
    small, larger = (
        planned(ask(pilot_of(simulate(FACTORS, flat, n=n, sd=0.01, seed=2)), primary=OMNIBUS)) for n in (3, 9)
    )
    assert any("3 seeds cannot tell how they vary together" in note for note in small.notes)
    assert not any("vary together" in note for note in larger.notes)
    assert small.designs[0].detect.range.high > small.designs[0].detect.range.low


def test_seeds_take_the_pilot_s_times(ask: Ask, simulate: Simulate):
    frame = simulate(FACTORS, flat, n=4, sd=0.03, seed=5)
    assert planned(ask(pilot_of(frame))).designs[0].seconds is None
    frame["total_s"] = np.where(frame["depth"] == 8, 1.0, 10.0)
    own = planned(ask(pilot_of(frame))).designs[0]
    assert own.seconds == pytest.approx(own.seeds * (3 * 1.0 + 6 * 10.0))
    part = frame[frame["size"] != 128]
    own = planned(ask(pilot_of(part))).designs[0]
    assert own.seconds == pytest.approx(own.seeds * (2 * 1.0 + 4 * 10.0 + 3 * 7.0))
    frame["total_s"] = np.nan
    assert planned(ask(pilot_of(frame))).designs[0].seconds is None


def test_percent_and_fractions_need_the_same_seeds(ask: Ask, simulate: Simulate):
    frame = simulate(FACTORS, flat, n=5, sd=0.03, seed_sd=0.02, seed=7)
    points = frame.assign(accuracy=100 * frame["accuracy"] + 3)
    for hypothesis in (SLOPE, OMNIBUS):
        one = planned(ask(pilot_of(frame), primary=hypothesis))
        other = planned(ask(pilot_of(points), primary=hypothesis, equivalence_margin=2.0))
        for mine, theirs in zip(one.designs, other.designs, strict=True):
            assert (mine.seeds, mine.detect, mine.equivalence) == (theirs.seeds, theirs.detect, theirs.equivalence)


# ------------------------------------------------------------------------------------------------ measured power

STUDIES = 2000


def measured(plan_of: SeedQuestion, design: DesignPower, pattern_M: np.ndarray, noise: Any) -> float:
    """Return how often the analysis itself finds the effect that the design is said to find with 80 % power."""
    hypothesis = plan_of.analysis.primary
    _, setting, _ = _setting(plan_of, hypothesis)
    rng = np.random.default_rng(11)
    num_cells = len(pattern_M)
    cell_N = np.tile(np.arange(num_cells), plan_of.replicates)
    replicate_N = np.repeat(np.arange(plan_of.replicates), num_cells)
    hits = 0
    for _ in range(STUDIES):
        y_KM = noise(rng, plan_of.replicates, num_cells) + design.detectable * pattern_M
        data = cell_data(plan_of.factors, cell_N, replicate_N, y_KM.ravel(), paired=design.pairing == "shared")
        found = answer(data, hypothesis, setting, "primary", "primary")
        hits += found.effect.p < 0.05
    return hits / STUDIES


def equal(rng: np.random.Generator, num_seeds: int, num_cells: int) -> np.ndarray:
    """SD 1, correlation 0.6."""
    return rng.normal(0, 0.6**0.5, (num_seeds, 1)) + rng.normal(0, 0.4**0.5, (num_seeds, num_cells))


LINEAR = np.outer([-1, 0, 1], [-1, 0, 1]).ravel().astype(float)
ODD = np.outer([1, -1, 0], [1, -1, 0]).ravel() / 4


@pytest.mark.slow
@pytest.mark.parametrize("replicates", [3, 5, 12])
@pytest.mark.parametrize(("paired", "hypothesis", "pattern_M"), [(True, SLOPE, LINEAR), (False, SLOPE, LINEAR)])
def test_measured_power_of_the_t_tests_is_the_planned_one(
    ask: Ask, hypothesis: Hypothesis, pattern_M: np.ndarray, replicates: int, *, paired: bool
):
    question = ask(AssumedNoise(1.0, 0.6 if paired else 0.0), primary=hypothesis, replicates=replicates, paired=paired)
    draw = equal if paired else lambda rng, *shape: rng.normal(size=shape)
    assert measured(question, planned(question).designs[0], pattern_M, draw) == pytest.approx(0.8, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("replicates", [4, 10])
@pytest.mark.parametrize("paired", [True, False])
def test_measured_power_of_the_omnibus_tests_is_the_planned_one(ask: Ask, replicates: int, *, paired: bool):
    question = ask(AssumedNoise(1.0, 0.6 if paired else 0.0), primary=OMNIBUS, replicates=replicates, paired=paired)
    draw = equal if paired else lambda rng, *shape: rng.normal(size=shape)
    assert measured(question, planned(question).designs[0], ODD, draw) == pytest.approx(0.8, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("hypothesis", [SLOPE, PAIR])
def test_measured_power_of_welch_s_test_is_the_planned_one_where_spreads_differ(ask: Ask, hypothesis: Hypothesis):
    """From a large pilot whose SDs rise sixfold."""
    sd_M = np.geomspace(1, 6, 9)
    rng = np.random.default_rng(5)
    values_KM = rng.normal(size=(400, 9)) * sd_M
    frame = pd.DataFrame([{**cell} for cell in grid(FACTORS)] * 400)
    frame["accuracy"] = values_KM.ravel()
    frame["replicate"] = np.repeat(np.arange(400), 9)
    frame["trial_id"] = frame.index.astype(str)
    frame["concurrent_trials"] = 1
    frame["environment_key"] = "here"
    question = ask(pilot_of(frame, paired=False), primary=hypothesis, replicates=6, paired=False)
    pattern_M = LINEAR if hypothesis is SLOPE else np.repeat([-0.5, 0, 0.5], 3)
    share = measured(
        question, planned(question).designs[0], pattern_M, lambda rng, *shape: rng.normal(size=shape) * sd_M
    )
    assert share == pytest.approx(0.8, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("paired", [True, False])
def test_measured_equivalence_is_the_planned_one(ask: Ask, *, paired: bool):
    question = ask(AssumedNoise(1.0, 0.6 if paired else 0.0), equivalence_margin=1.0, paired=paired)
    own = planned(question).designs[0]
    seeds = own.seeds
    expected = next(point.equivalence for point in own.curve if point.seeds == seeds)
    _, setting, _ = _setting(question, SLOPE)
    rng = np.random.default_rng(2)
    cell_N, replicate_N = np.tile(np.arange(9), seeds), np.repeat(np.arange(seeds), 9)
    shown = 0
    for _ in range(STUDIES):
        y_KM = equal(rng, seeds, 9) if paired else rng.normal(size=(seeds, 9))
        data = cell_data(FACTORS, cell_N, replicate_N, y_KM.ravel(), paired=paired)
        shown += answer(data, SLOPE, setting, "primary", "primary").effect.equivalence_p < 0.05
    assert shown / STUDIES == pytest.approx(expected, abs=0.03)
