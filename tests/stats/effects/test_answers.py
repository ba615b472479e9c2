"""Hypotheses, families and verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from cnnbench.spec import Hypothesis
from cnnbench.stats import analyse
from cnnbench.stats.multiplicity import holm
from cnnbench.types import Factor

if TYPE_CHECKING:
    from cnnbench.stats import AnalysisInput
    from cnnbench.types import Effect
    from tests.stats.conftest import MakeResponse, MakeStudy, Oracle, Same, Simulate

DEPTH = Factor("depth", (8, 16, 32), "log2")
REGIME = Factor("regime", ("none", "gradual", "stepwise"))
CONTRAST = Hypothesis(contrast="gradual - none", over="regime")


def gain(cell: dict[str, object]) -> float:
    return 0.7 + 0.01 * (cell["regime"] == "gradual")


def effects_of(data: AnalysisInput) -> dict[str, Effect]:
    return {effect.key: effect for effect in analyse(data).responses[0].effects}


def test_holm_is_that_of_statsmodels():
    p_values = [0.03, 0.001, 0.2, 0.03, 0.8]
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_adjusted_pairs_equal_emmeans(oracle: Oracle, same: Same):
    loaded = oracle("c01")
    p_values = [record["p"] for record in loaded.r["pairs_depth"]["none"]]
    for ours, record in zip(holm(p_values), loaded.r["pairs_depth"]["holm"], strict=True):
        assert same(ours, record["p"])


def test_the_primary_contrast_is_a_t_over_the_scores_of_the_seeds(study: MakeStudy, simulate: Simulate):
    frame = simulate((DEPTH, REGIME), gain, sd=0.002, seed_sd=0.05)
    effect = effects_of(study(frame, (DEPTH, REGIME), primary=CONTRAST))["primary"]
    by_seed = frame.pivot_table(index="replicate", columns="regime", values="accuracy")
    scores = by_seed["gradual"] - by_seed["none"]
    assert effect.estimate == pytest.approx(scores.mean(), rel=1e-10)
    assert effect.se == pytest.approx(scores.std() / 5**0.5, rel=1e-10)
    assert (effect.df, effect.n, effect.role) == (4, 5, "primary")
    assert effect.verdict == "different"
    assert effect.p_adjusted is None


def test_the_sign_flip_test_stands_beside_it_from_six_seeds_on(study: MakeStudy, simulate: Simulate):
    six = effects_of(study(simulate((REGIME,), gain, n=6, sd=0.001), (REGIME,), primary=CONTRAST))["primary"]
    assert six.robust_p == 2 / 2**6
    assert six.robust_method == "exact sign-flip test"
    five = effects_of(study(simulate((REGIME,), gain, n=5, sd=0.001), (REGIME,), primary=CONTRAST))["primary"]
    assert five.robust_p is None


def test_permuting_seeds_within_cells_changes_a_paired_analysis_only(study: MakeStudy, simulate: Simulate):
    frame = simulate((REGIME,), gain, sd=0.002, seed_sd=0.05)
    permuted = frame.copy()
    permuted.loc[permuted["regime"] == "none", "replicate"] = [1, 2, 3, 4, 0]
    paired = [effects_of(study(f, (REGIME,), primary=CONTRAST))["primary"] for f in (frame, permuted)]
    assert paired[0].estimate == pytest.approx(paired[1].estimate, rel=1e-10)
    assert paired[1].se > 5 * paired[0].se
    independent = [
        effects_of(study(f, (REGIME,), primary=CONTRAST, paired=False))["primary"] for f in (frame, permuted)
    ]
    assert independent[0].p == pytest.approx(independent[1].p, rel=1e-10)


def test_the_log_scale_gives_ratios_of_geometric_means(study: MakeStudy, simulate: Simulate):
    frame = simulate((REGIME,), lambda _: 1.0, sd=0.0001)
    frame["accuracy"] = np.exp(frame["accuracy"] + 0.2 * (frame["regime"] == "gradual"))
    effect = effects_of(study(frame, (REGIME,), primary=CONTRAST, scale="log"))["primary"]
    assert effect.ratio == pytest.approx(np.exp(effect.estimate))
    assert effect.ratio_interval.low == pytest.approx(np.exp(effect.interval.low))
    assert effect.ratio == pytest.approx(1.2214, abs=1e-3)


def test_every_family_is_named_with_its_size_and_adjusted_by_holm(study: MakeStudy, simulate: Simulate):
    frame = simulate((DEPTH, REGIME), gain)
    effects = effects_of(study(frame, (DEPTH, REGIME), primary=CONTRAST))
    simple = [effect for key, effect in effects.items() if key.startswith("simple:")]
    assert [effect.key for effect in simple] == ["simple:depth:8", "simple:depth:16", "simple:depth:32"]
    assert {effect.family for effect in simple} == {"gradual - none within each level of depth (3 tests, Holm)"}
    assert [effect.p_adjusted for effect in simple] == pytest.approx(holm([effect.p for effect in simple]))
    pairs = [effect for key, effect in effects.items() if key.startswith("pairs:regime:")]
    assert [effect.label for effect in pairs] == ["none - gradual", "none - stepwise", "gradual - stepwise"]
    assert {effect.family for effect in pairs} == {"all pairwise comparisons of regime (3 tests, Holm)"}
    assert {effect.role for effect in simple + pairs} == {"family"}


def test_simple_slopes_of_a_two_factor_slope_are_left_to_the_other_factors(study: MakeStudy, simulate: Simulate):
    size = Factor("size", (32, 64), "log2")
    frame = simulate((DEPTH, size, REGIME), gain, n=3)
    effects = effects_of(study(frame, (DEPTH, size, REGIME), primary=Hypothesis(slope=("depth", "size"))))
    assert [key for key in effects if key.startswith("simple:")] == [
        f"simple:regime:{level}" for level in REGIME.levels
    ]


def test_a_hypothesis_at_a_level_is_tested_on_the_cells_of_that_level_alone(study: MakeStudy, simulate: Simulate):
    """With the p of its own test, not one adjusted as an exploratory simple effect would be."""
    frame = simulate((DEPTH, REGIME), gain, sd=0.002, seed_sd=0.05)
    held = CONTRAST.model_copy(update={"at": {"depth": 16}})
    found = analyse(study(frame, (DEPTH, REGIME), primary=held)).responses[0]
    effect = found.effects[0]
    part = frame[frame["depth"] == 16].pivot_table(index="replicate", columns="regime", values="accuracy")
    scores = part["gradual"] - part["none"]
    assert effect.estimate == pytest.approx(scores.mean(), rel=1e-10)
    assert effect.se == pytest.approx(scores.std() / 5**0.5, rel=1e-10)
    assert effect.p_adjusted is None
    assert effect.label == "gradual - none at depth 16"
    assert found.headline.startswith("At depth 16, with regime gradual, accuracy is ")
    assert "averaged over" not in effect.sentence
    alone = effects_of(study(frame[frame["depth"] == 16], (REGIME,), primary=CONTRAST))["primary"]
    assert effect.interval == alone.interval


def test_simple_effects_of_a_hypothesis_at_a_level_stay_at_it(study: MakeStudy, simulate: Simulate):
    size = Factor("size", (32, 64), "log2")
    factors = (DEPTH, size, REGIME)
    frame = simulate(factors, gain, n=4)
    held = CONTRAST.model_copy(update={"at": {"depth": 32}})
    effects = effects_of(study(frame, factors, primary=held))
    assert [key for key in effects if key.startswith("simple:")] == ["simple:size:32", "simple:size:64"]
    cells = frame[(frame["depth"] == 32) & (frame["size"] == 64)].groupby("regime")["accuracy"].mean()
    assert effects["simple:size:64"].estimate == pytest.approx(cells["gradual"] - cells["none"])


def test_a_sentence_names_the_level_once(study: MakeStudy, simulate: Simulate):
    weighted = Hypothesis(contrast="gradual - 0.5 none - 0.5 stepwise", over="regime", at={"depth": 16})
    effects = effects_of(study(simulate((DEPTH, REGIME), gain, n=4), (DEPTH, REGIME), primary=weighted))
    start = "At depth 16, the contrast gradual - 0.5 none - 0.5 stepwise of accuracy is"
    assert effects["primary"].sentence.startswith(start)
    assert effects["primary"].label == "gradual - 0.5 none - 0.5 stepwise at depth 16"


def test_a_slope_at_a_level_shares_its_alpha_with_no_omnibus_test(study: MakeStudy, simulate: Simulate):
    """That test is about all levels."""
    size = Factor("size", (32, 64), "log2")
    factors = (DEPTH, size, REGIME)
    frame = simulate(factors, gain, n=4)
    slope = Hypothesis(slope=("depth", "size"), at={"regime": "none"})
    effects = effects_of(study(frame, factors, primary=slope, paired=False))
    assert "primary:omnibus" not in effects
    part = frame[frame["regime"] == "none"]
    alone = effects_of(study(part, (DEPTH, size), primary=Hypothesis(slope=("depth", "size")), paired=False))
    assert effects["primary"].estimate == pytest.approx(alone["primary"].estimate)
    assert effects["primary"].p == pytest.approx(alone["primary"].p)


def test_further_hypotheses_are_one_family_over_all_responses(
    study: MakeStudy, simulate: Simulate, response: MakeResponse
):
    frame = simulate((DEPTH, REGIME), gain)
    frame["loss"] = 1 - frame["accuracy"] ** 2
    further = (Hypothesis(interaction=("depth", "regime")), Hypothesis(slope=("depth",), response="loss"))
    data = study(
        frame,
        (DEPTH, REGIME),
        primary=CONTRAST,
        further=further,
        responses=(response(), response("loss", bounded="none")),
    )
    accuracy, loss = analyse(data).responses
    found = [
        next(e for e in accuracy.effects if e.key == "further:1"),
        next(e for e in loss.effects if e.key == "further:2"),
    ]
    assert {effect.family for effect in found} == {"further hypotheses (2 tests, Holm)"}
    assert [effect.p_adjusted for effect in found] == pytest.approx(holm([effect.p for effect in found]))
    unadjusted = analyse(study(frame, (DEPTH, REGIME), further=further[:1], correction="none")).responses[0].effects[0]
    assert unadjusted.p_adjusted is None
    assert unadjusted.family == "further hypotheses (1 test, not adjusted)"


def test_an_also_response_gets_the_same_hypotheses_as_a_family_of_its_own(
    study: MakeStudy, simulate: Simulate, response: MakeResponse
):
    frame = simulate((REGIME,), gain)
    frame["loss"] = 1 - frame["accuracy"]
    data = study(
        frame, (REGIME,), primary=CONTRAST, also=("loss",), responses=(response(), response("loss", bounded="none"))
    )
    effect = analyse(data).responses[1].effects[0]
    assert (effect.key, effect.role, effect.label) == ("primary", "further", "gradual - none")
    assert effect.family == "the study's hypotheses on loss (1 test, Holm)"


def test_equivalence_is_a_verdict_of_its_own(study: MakeStudy, simulate: Simulate):
    frame = simulate((REGIME,), lambda _: 0.7, sd=0.001, n=8)
    effect = effects_of(study(frame, (REGIME,), primary=CONTRAST, equivalence_margin=0.02))["primary"]
    assert effect.verdict == "equivalent"
    assert effect.equivalence_p < 0.001
    assert effect.p > 0.05
    noisy = simulate((REGIME,), lambda _: 0.7, sd=0.1, n=4)
    effect = effects_of(study(noisy, (REGIME,), primary=CONTRAST, equivalence_margin=0.02))["primary"]
    assert effect.verdict == "undetermined"
    without = effects_of(study(frame, (REGIME,), primary=CONTRAST))["primary"]
    assert (without.verdict, without.equivalence_p) == ("undetermined", None)


def test_a_margin_in_accuracy_is_not_applied_to_seconds(study: MakeStudy, simulate: Simulate, response: MakeResponse):
    frame = simulate((REGIME,), gain)
    frame["time"] = frame["accuracy"] * 100
    responses = (response(), response("time", bounded="positive", unit="s"))
    data = study(frame, (REGIME,), primary=CONTRAST, also=("time",), responses=responses, equivalence_margin=0.02)
    accuracy, time = (found.effects[0] for found in analyse(data).responses)
    assert accuracy.equivalence_p is not None
    assert time.equivalence_p is None


def test_a_paired_interaction_is_the_greenhouse_geisser_test(oracle: Oracle, same: Same, study: MakeStudy):
    loaded = oracle("c07")
    data = study(loaded.frame, loaded.factors, further=(Hypothesis(interaction=("size", "depth")),))
    effect = effects_of(data)["further:1"]
    record = loaded.r["rm_anova"]["gg_table"][2]
    assert same(effect.statistic, record["F"])
    assert same(effect.p, record["p"])
    assert same(effect.df, record["df2"])
    means = loaded.frame.pivot_table(index="depth", columns="size", values="accuracy").to_numpy()
    rest = means - means.mean(axis=0) - means.mean(axis=1)[:, None] + means.mean()
    assert effect.estimate == pytest.approx(np.sqrt((rest**2).mean()), rel=1e-9)


def test_an_independent_interaction_has_both_tests(oracle: Oracle, same: Same, study: MakeStudy):
    loaded = oracle("c05")
    data = study(loaded.frame, loaded.factors, primary=Hypothesis(interaction=("depth", "size")), paired=False)
    effect = effects_of(data)["primary"]
    assert same(effect.p, loaded.r["heteroscedastic_tests"]["depth:size"]["ATS_p"])
    assert same(effect.robust_p, loaded.r["anova_type3"][3]["p"])
    assert "disagrees" in analyse(data).responses[0].headline


def test_an_interaction_is_equivalent_to_none_if_every_difference_of_differences_is(
    study: MakeStudy, simulate: Simulate
):
    hypothesis = Hypothesis(interaction=("depth", "regime"))
    frame = simulate((DEPTH, REGIME), gain, sd=0.0005, n=8)
    effect = effects_of(study(frame, (DEPTH, REGIME), primary=hypothesis, equivalence_margin=0.01))["primary"]
    contrasts = [
        e
        for key, e in effects_of(study(frame, (DEPTH, REGIME), primary=hypothesis, equivalence_margin=0.01)).items()
        if key.startswith("interaction:")
    ]
    assert len(contrasts) == 9
    assert effect.equivalence_p == max(each.equivalence_p for each in contrasts)
    assert effect.verdict == "equivalent"


@pytest.mark.parametrize(
    ("hypothesis", "why"),
    [
        (Hypothesis(contrast="a - b", over="width"), "This study has no factor `width`."),
        (Hypothesis(contrast="gradual - nothing", over="regime"), "It is no contrast of regime"),
        (Hypothesis(slope=("regime",)), "The factor regime has no order."),
        (CONTRAST.model_copy(update={"at": {"width": 4}}), "This study has no factor `width`."),
        (CONTRAST.model_copy(update={"at": {"depth": 50}}), "No trial has depth 50."),
    ],
)
def test_a_hypothesis_that_does_not_fit_the_study_is_refused_in_words(
    study: MakeStudy, simulate: Simulate, hypothesis: Hypothesis, why: str
):
    frame = simulate((DEPTH, REGIME), gain)
    found = analyse(study(frame, (DEPTH, REGIME), primary=hypothesis)).responses[0]
    assert why in found.refusals[0].why
    assert not [effect for effect in found.effects if effect.key.startswith("simple:")]
    assert why in found.headline


def test_one_trial_per_cell_says_nothing_about_one_level(study: MakeStudy, simulate: Simulate):
    held = CONTRAST.model_copy(update={"at": {"depth": 16}})
    found = analyse(study(simulate((DEPTH, REGIME), gain, n=1), (DEPTH, REGIME), primary=held)).responses[0]
    assert "no level has an effect of its own" in found.headline


def test_levels_that_are_truth_values_read_as_in_the_study_file(study: MakeStudy, simulate: Simulate):
    factor = Factor("augment", (True, False))
    hypothesis = Hypothesis(contrast="true - false", over="augment")
    frame = simulate((factor,), lambda cell: 0.7 + 0.02 * cell["augment"], sd=0.001)
    found = analyse(study(frame, (factor,), primary=hypothesis)).responses[0]
    assert found.headline.startswith("With augment true, accuracy is 2.")
    assert [effect.key for effect in found.effects] == ["primary", "pairs:augment:true - false"]
