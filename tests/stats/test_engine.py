"""The analysis from end to end: what it refuses, and that it never fails on data."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnnbench.spec import Hypothesis, Reference
from cnnbench.stats import analyse
from cnnbench.stats.multiplicity import holm
from cnnbench.stats.trials.cells import level_text
from cnnbench.types import Factor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnbench.types import Findings, ResponseFindings
    from tests.stats.conftest import MakeResponse, MakeStudy, Oracle, Same, Simulate

DEPTH = Factor("depth", (8, 16, 32), "log2")
REGIME = Factor("regime", ("none", "gradual"))
FACTORS = (DEPTH, REGIME)
CONTRAST = Hypothesis(contrast="gradual - none", over="regime")


def gain(cell: dict[str, Any]) -> float:
    return 0.7 + 0.02 * (cell["regime"] == "gradual")


def floats(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from floats(getattr(value, field.name))
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from floats(each)


def refused(found: ResponseFindings) -> dict[str, str]:
    return {refusal.what: f"{refusal.why} {refusal.remedy}" for refusal in found.refusals}


def test_findings_carry_the_study_and_the_versions(study: MakeStudy, simulate: Simulate):
    findings = analyse(study(simulate(FACTORS, gain), FACTORS, primary=CONTRAST, alpha=0.01))
    assert (findings.study, findings.question, findings.alpha) == ("demo", "Does it matter?", 0.01)
    assert findings.confirmatory
    assert set(findings.versions) == {"cnnbench", "numpy", "pandas", "scipy", "statsmodels"}
    assert findings.responses[0].effects[0].interval.level == 0.99


def test_keys_of_effects_are_unique(study: MakeStudy, simulate: Simulate):
    further = (Hypothesis(slope=("depth",)), Hypothesis(interaction=("depth", "regime")))
    found = analyse(study(simulate(FACTORS, gain), FACTORS, primary=CONTRAST, further=further)).responses[0]
    keys = [effect.key for effect in found.effects]
    assert keys[:3] == ["primary", "further:1", "further:2"]
    assert len(set(keys)) == len(keys)


def test_an_empty_table_says_that_nothing_has_finished(study: MakeStudy, simulate: Simulate):
    found = analyse(study(simulate(FACTORS, gain).iloc[:0], FACTORS, primary=CONTRAST)).responses[0]
    assert found.headline == "Not tested: No trial has finished. Run the study; finished trials are kept."
    assert (found.cells, found.marginals, found.tests, found.effects) == ((), (), (), ())


def test_no_factors_leave_one_mean(study: MakeStudy, simulate: Simulate):
    found = analyse(study(simulate((), lambda _: 0.7), ())).responses[0]
    assert [cell.n for cell in found.cells] == [5]
    assert found.cells[0].interval is not None
    assert (found.marginals, found.tests, found.effects, found.refusals) == ((), (), (), ())
    assert found.headline.startswith("The study has one cell and no factors")


def test_a_single_trial_has_a_mean_and_nothing_else(study: MakeStudy, simulate: Simulate):
    found = analyse(study(simulate((), lambda _: 0.7, n=1), ())).responses[0]
    assert (found.cells[0].n, found.cells[0].sd, found.cells[0].interval) == (1, None, None)


def test_one_trial_per_cell_gets_no_interaction(study: MakeStudy, simulate: Simulate):
    hypothesis = Hypothesis(interaction=("depth", "regime"))
    found = analyse(study(simulate(FACTORS, gain, n=1), FACTORS, primary=hypothesis)).responses[0]
    assert "cannot be told from noise" in refused(found)["depth:regime"]
    assert "at least 2 replicates" in refused(found)["interaction tests"]
    assert "cannot be told from noise" in found.headline
    assert not [effect for effect in found.effects if effect.key.startswith("simple:")]


def test_one_trial_per_cell_tests_main_effects_with_a_warning(study: MakeStudy, simulate: Simulate):
    found = analyse(study(simulate(FACTORS, gain, n=1, sd=0.001), FACTORS, primary=CONTRAST)).responses[0]
    assert "one trial per cell, with the interaction of the factors taken for noise" in found.headline
    assert any(note.startswith("With one trial per cell") for note in found.notes)


def test_one_factor_with_one_trial_per_level_has_no_noise_to_test_against(study: MakeStudy, simulate: Simulate):
    found = analyse(study(simulate((REGIME,), gain, n=1), (REGIME,), primary=CONTRAST)).responses[0]
    assert "nothing is left to estimate the noise from" in refused(found)["gradual - none"]
    assert (found.tests, found.effects) == ((), ())


def test_a_constant_response_is_refused(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, gain).assign(accuracy=0.1)
    found = analyse(study(frame, FACTORS, primary=CONTRAST)).responses[0]
    assert "All 30 trials gave the same value, 0.1." in refused(found)["tests of accuracy"]
    assert found.marginals[0].mean == pytest.approx(0.1)
    assert found.effects == ()


def test_cells_without_any_spread_are_refused(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, gain, sd=0)
    for paired in (True, False):
        found = analyse(study(frame, FACTORS, primary=CONTRAST, paired=paired)).responses[0]
        assert found.tests == ()  # a table without rows would lead the headline with nothing behind its colon
        assert "gradual - none" in refused(found)
        assert found.effects == ()


def test_two_environments_stop_all_tests_of_all_responses(study: MakeStudy, simulate: Simulate, response: MakeResponse):
    frame = simulate(FACTORS, gain).assign(loss=0.5)
    frame.loc[:4, "environment_key"] = "elsewhere"
    findings = analyse(study(frame, FACTORS, primary=CONTRAST, responses=(response(), response("loss"))))
    for found in findings.responses:
        assert "5 in elsewhere; 25 in here" in refused(found)["all tests"]
        assert len(found.cells) == 6
        assert (found.marginals, found.tests, found.effects) == ((), (), ())
        assert found.headline.startswith("Not tested: The trials come from 2 environments")
    pooled = study(frame, FACTORS, primary=CONTRAST, pool_environments=True)
    assert analyse(pooled).responses[0].effects[0].key == "primary"


def test_time_is_not_analysed_where_every_trial_ran_beside_others(
    study: MakeStudy, simulate: Simulate, response: MakeResponse
):
    frame = simulate(FACTORS, gain).assign(concurrent_trials=2)
    timed = analyse(study(frame, FACTORS, primary=CONTRAST, responses=(response(uses_time=True),))).responses[0]
    assert "ran beside others" in refused(timed)["accuracy of 30 trials"]
    assert timed.headline.startswith("Not tested: No trial is left that can be analysed.")
    untimed = analyse(study(frame, FACTORS, primary=CONTRAST)).responses[0]
    assert untimed.effects[0].key == "primary"


def test_values_that_the_scale_does_not_allow_are_refused(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, gain)
    frame.loc[3, "accuracy"] = -0.1
    for scale in ("log", "logit"):
        found = analyse(study(frame, FACTORS, primary=CONTRAST, scale=scale)).responses[0]
        assert "analysis of accuracy" in refused(found)
        assert len(found.cells) == 6
        assert found.effects == ()


def test_the_logit_scale_reports_log_odds(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, gain, sd=0.005)
    found = analyse(study(frame, FACTORS, primary=CONTRAST, scale="logit")).responses[0]
    assert "in log odds higher than with none" in found.headline
    assert found.effects[0].ratio is None
    assert found.cells[0].mean == pytest.approx(frame["accuracy"][:5].mean())


def test_type_3_is_refused_with_missing_cells_and_simple_effects_say_which_level_lacks_trials(
    study: MakeStudy, simulate: Simulate
):
    frame = simulate(FACTORS, gain)
    frame = frame[~((frame["depth"] == 32) & (frame["regime"] == "gradual"))]
    found = analyse(study(frame, FACTORS, primary=CONTRAST, paired=False)).responses[0]
    assert "type III analysis of variance" in refused(found)
    assert "averaged over the 2 of 3 combinations" in found.headline
    assert "gradual - none within each level of depth: gradual - none at depth 32" in refused(found)
    assert [cell.mean is None for cell in found.marginals] == [False, False, True, False, True]


def test_a_one_factor_at_a_time_design_compares_at_the_baseline(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, gain, sd=0.001)
    frame = frame[(frame["depth"] == 8) | (frame["regime"] == "none")]
    for paired in (True, False):
        found = analyse(study(frame, FACTORS, primary=CONTRAST, paired=paired)).responses[0]
        assert found.effects[0].estimate == pytest.approx(0.02, abs=0.005)
        assert "at depth 8, where alone every level that it compares has trials" in found.effects[0].method
        assert "averaged over" not in found.effects[0].sentence
        assert "test of depth:regime" in refused(found)
        assert {row.term for row in found.tests[0].rows} == {"depth", "regime"}


def test_many_terms_without_cells_are_refused_in_one_sentence(study: MakeStudy, simulate: Simulate):
    factors = tuple(Factor(name, (1, 2)) for name in "abcd")
    frame = simulate(factors, lambda _: 0.5)
    frame = frame[(frame[list("abcd")] == 2).sum(axis=1) <= 1]
    found = analyse(study(frame, factors)).responses[0]
    (refusal,) = [one for one in found.refusals if "cells that they would need" in one.why]
    assert refusal.what == "tests of 11 terms (a:b, a:c, a:d, ...)"


def test_numbers_whose_squares_are_none_are_refused_and_not_computed(study: MakeStudy, simulate: Simulate):
    for factor in (1e300, 1e-300):
        frame = simulate(FACTORS, gain)
        frame["accuracy"] *= factor
        for paired in (True, False):
            found = analyse(study(frame, FACTORS, primary=CONTRAST, paired=paired)).responses[0]
            assert "squares of such numbers cannot be computed" in refused(found)["analysis of accuracy"]
            assert (found.cells, found.tests, found.effects) == ((), (), ())


def test_a_factor_of_many_levels_gets_no_flood_of_comparisons(study: MakeStudy, simulate: Simulate):
    many = Factor("width", tuple(range(1, 61)))
    found = analyse(study(simulate((many, REGIME), gain_of_regime, n=1), (many, REGIME), paired=False)).responses[0]
    assert "1,770 pairs" in refused(found)["all pairwise comparisons of width"]
    assert [effect.key for effect in found.effects] == ["pairs:regime:none - gradual"]


def gain_of_regime(cell: dict[str, Any]) -> float:
    return 0.7 + 0.02 * (cell["regime"] == "gradual")


def test_comparisons_within_levels_and_contrasts_of_ordered_factors_stand_beside_as_in_r(
    oracle: Oracle, study: MakeStudy, same: Same
):
    loaded = oracle("c01")
    found = analyse(study(loaded.frame, loaded.factors, paired=False, equivalence_margin=0.02)).responses[0]
    beside = {effect.key: effect for effect in found.further_effects}
    for record in loaded.r["pairs_depth_within_size"]["none"]:
        classical = beside[f"pairs:depth:{record['contrast']} at size {record['size']}"].classical
        assert same(classical.estimate, record["estimate"])
        assert same(classical.se, record["SE"])
        assert same(classical.p, record["p"])
        family = [each["p"] for each in loaded.r["pairs_depth_within_size"]["none"] if each["size"] == record["size"]]
        assert same(classical.p_holm, holm(family)[family.index(record["p"])])
    contrasts = {effect.label: effect for key, effect in beside.items() if key.startswith("interaction:")}
    for record in loaded.r["interaction_contrasts"]["none"]:
        effect = contrasts[f"({record['depth_pairwise']}) x ({record['size_pairwise']})"]
        assert same(effect.classical.estimate, record["estimate"])
        assert same(effect.classical.p, record["p"])
    effects = {effect.key: effect for effect in found.effects}
    for record in loaded.r["tost_pairs_depth_delta_0.02"]:
        assert same(effects[f"pairs:depth:{record['contrast']}"].classical.equivalence_p, record["p"])


def test_holm_of_the_classical_figures_counts_what_could_not_be_tested_as_in_emmeans(
    oracle: Oracle, study: MakeStudy, same: Same
):
    loaded = oracle("c04")
    found = analyse(study(loaded.frame, loaded.factors, paired=False)).responses[0]
    beside = {effect.key: effect for effect in found.further_effects}
    at_128 = [beside[f"pairs:depth:{pair} at size 128"] for pair in ("1 - 2", "1 - 3", "2 - 3")]
    smallest = min(effect.classical.p for effect in at_128)
    assert same(min(effect.classical.p_holm for effect in at_128), min(1.0, 6 * smallest))
    assert same(min(effect.p_adjusted for effect in at_128), min(1.0, 3 * min(effect.p for effect in at_128)))


def test_complete_parts_of_a_grid_with_gaps_are_tested_against_the_noise_of_all_trials(
    oracle: Oracle, study: MakeStudy, same: Same
):
    loaded = oracle("c04")
    found = analyse(study(loaded.frame, loaded.factors, paired=False)).responses[0]
    rows = {
        row.term: row for table in found.further_tests if table.key == "complete_subdesign:depth" for row in table.rows
    }
    # R: Anova(lm(...), type = 3) without depth 4, sums of squares over the MSE of all 15 cells (car)
    assert same(rows["depth"].sum_sq, 0.0810155623333334)
    assert same(rows["depth"].statistic, 263.338155938187)
    assert same(rows["size"].statistic, 275.237831744147)


def test_a_hypothesis_on_a_response_that_nobody_recorded_is_refused(study: MakeStudy, simulate: Simulate):
    data = study(
        simulate(FACTORS, gain), FACTORS, primary=CONTRAST, further=(Hypothesis(slope=("depth",), response="kappa"),)
    )
    assert "do not record the response kappa" in refused(analyse(data).responses[0])["hypothesis 1"]


def test_a_primary_hypothesis_may_be_about_another_response(
    study: MakeStudy, simulate: Simulate, response: MakeResponse
):
    frame = simulate(FACTORS, gain, sd=0.001)
    frame["loss"] = 1 - frame["accuracy"]
    hypothesis = Hypothesis(contrast="gradual - none", over="regime", response="loss")
    infos = (response(), response("loss", bounded="none", higher_is_better=False))
    accuracy, loss = analyse(study(frame, FACTORS, primary=hypothesis, responses=infos)).responses
    assert accuracy.headline.startswith("No hypothesis was declared for this response.")
    assert loss.effects[0].role == "primary"
    assert loss.headline.startswith("With regime gradual, loss is 0.02")


LEVELS = (("none", "gradual", "stepwise"), (8, 16, 32), (0.5, 1.0), (True, False))


@st.composite
def designs(draw: st.DrawFn) -> dict[str, Any]:
    """Draw any design, with gaps, ties, one-sided cells and values that are no numbers."""
    picked = draw(st.lists(st.sampled_from(range(4)), max_size=3, unique=True))
    factors = tuple(
        Factor(f"f{i}", LEVELS[i][: draw(st.integers(1, len(LEVELS[i])))], "log2" if i in {1, 2} else None)
        for i in picked
    )
    cells: list[dict[str, Any]] = [{}]
    for factor in factors:
        cells = [{**cell, factor.name: level} for cell in cells for level in factor.levels]
    n = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["noise", "ties", "constant", "gaps", "bounds"]))
    rows = []
    for number, cell in enumerate(cells):
        for k in range(n):
            value = {"constant": 0.5, "ties": float(rng.integers(0, 2)), "bounds": float(rng.integers(0, 5)) / 4}.get(
                kind, float(rng.uniform(0.1, 0.9))
            )
            if kind == "gaps" and rng.random() < 0.3:
                value = math.nan
            rows.append({**cell, "replicate": k, "accuracy": value, "trial_id": f"t{number}-{k}"})
    frame = pd.DataFrame(rows).assign(concurrent_trials=1, environment_key="here")
    if draw(st.booleans()):
        frame = frame[rng.random(len(frame)) < 0.7]
    hypotheses = [
        Hypothesis(contrast=f"{level_text(f.levels[1])} - {level_text(f.levels[0])}", over=f.name)
        for f in factors
        if len(f.levels) > 1
    ]
    hypotheses += [Hypothesis(slope=(f.name,)) for f in factors if f.order]
    names = tuple(f.name for f in factors)
    hypotheses += [Hypothesis(interaction=names)] if len(names) > 1 else []
    claims = tuple(Reference(source="s", response="accuracy", claim=h, expected="none") for h in hypotheses)
    return {
        "frame": frame,
        "factors": factors,
        "paired": draw(st.booleans()),
        "scale": draw(st.sampled_from(["raw", "log", "logit"])),
        "primary": draw(st.sampled_from(hypotheses)) if hypotheses else None,
        "further": tuple(hypotheses),
        "references": (Reference(source="s", response="accuracy", value=0.5), *claims),
        "equivalence_margin": draw(st.sampled_from([None, 0.1])),
    }


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(design=designs())
def test_no_data_makes_it_fail_or_print_a_number_that_is_none(study: MakeStudy, design: dict[str, Any]):
    options = dict(design)
    findings: Findings = analyse(study(options.pop("frame"), options.pop("factors"), **options))
    assert all(math.isfinite(value) for value in floats(findings))
    for found in findings.responses:
        assert found.headline
        for effect in found.effects:
            assert 0 <= effect.p <= 1
            assert effect.se is None or effect.se > 0
            assert effect.p_adjusted is None or effect.p <= effect.p_adjusted <= 1
            assert (effect.p_adjusted is None) == (effect.role == "primary")
            assert effect.verdict is not None
            assert effect.sentence.endswith(".")
        for table in found.tests:
            assert all(0 <= row.p <= 1 and row.df1 > 0 and row.df2 > 0 for row in table.rows)


def test_responses_of_one_metric_go_by_their_own_names(study: MakeStudy, simulate: Simulate, response: MakeResponse):
    depth = Factor("depth", (8, 14))
    frame = simulate((depth,), lambda cell: cell["depth"] / 20)
    frame["sub-total-accuracy"], frame["loss"] = frame["accuracy"], 1 - frame["accuracy"]
    sub = response("sub-total-accuracy", long_name="Accuracy")
    data = study(
        frame,
        (depth,),
        responses=(response(), sub, response("loss")),
        primary=Hypothesis(contrast="14 - 8", over="depth"),
        also=("sub-total-accuracy", "loss"),
        equivalence_margin=0.02,
    )
    found = analyse(data).responses
    assert found[0].headline.startswith("With depth 14, accuracy is")
    assert found[1].headline.startswith("With depth 14, sub total accuracy is")
    assert found[2].headline.startswith("With depth 14, loss is")
    assert [one.margin for one in found] == [0.02, 0.02, 0.02]


@pytest.mark.parametrize("scale", ["raw", "log"])
@pytest.mark.parametrize("size", [1e-59, 1e-30, 1.0, 1e30, 1e59])
@pytest.mark.parametrize("noise", [0.0, 1e-13, 1e-10, 0.1])
@pytest.mark.parametrize("paired", [True, False])
def test_huge_tiny_and_nearly_exact_numbers_are_analysed(
    study: MakeStudy, simulate: Simulate, scale: str, size: float, noise: float, *, paired: bool
):
    depth = Factor("depth", (8, 14))
    frame = simulate((depth,), lambda cell: cell["depth"] / 10, sd=0.0, seed_sd=0.1, n=6)
    frame.loc[3, "accuracy"] += noise
    frame["accuracy"] *= size
    primary = Hypothesis(contrast="14 - 8", over="depth")
    findings = analyse(study(frame, (depth,), primary=primary, scale=scale, paired=paired))
    assert all(math.isfinite(value) for value in floats(findings))
