"""What stands beside an estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import nct

from cnnbench.spec import Hypothesis
from cnnbench.stats import analyse
from cnnbench.stats.effects.effect_size import cliffs_delta, hedges_factor, tukey_p
from cnnbench.stats.effects.estimate import fixed_block
from cnnbench.stats.omnibus.noncentral import standard_interval
from cnnbench.types import Factor

if TYPE_CHECKING:
    from cnnbench.types import Effect
    from tests.stats.conftest import Case, MakeStudy, Oracle, Same, Simulate

LATER = Hypothesis(contrast="4 - 2", over="depth")
TWO = (Factor("depth", (2, 4), "log2"),)


def pairs(study: MakeStudy, case: Case, factor: str) -> dict[str, Effect]:
    (found,) = analyse(study(case.frame, case.factors, paired=False)).responses
    return {effect.label: effect for effect in found.effects if effect.key.startswith(f"pairs:{factor}:")}


@pytest.mark.parametrize("case", ["c01", "c03", "c05"])
def test_pairwise_comparisons_carry_the_figures_of_emmeans(study: MakeStudy, oracle: Oracle, same: Same, case: str):
    loaded = oracle(case)
    ours, r = pairs(study, loaded, "depth"), loaded.r["pairs_depth"]
    assert list(ours) == [record["contrast"] for record in r["none"]]
    for plain, holm, tukey in zip(r["none"], r["holm"], r["tukey"], strict=True):
        classical = ours[plain["contrast"]].classical
        assert same(classical.estimate, plain["estimate"])
        assert same(classical.se, plain["SE"])
        assert (classical.df, same(classical.statistic, plain["t"])) == (plain["df"], True)
        assert same(classical.p, plain["p"])
        assert same(classical.interval.low, plain["ci_low"])
        assert same(classical.p_holm, holm["p"])
        assert classical.p_tukey == pytest.approx(tukey["p"], abs=1e-6)


def test_tukeys_p_of_estimable_pairs_equals_r_with_a_missing_cell(study: MakeStudy, oracle: Oracle):
    loaded = oracle("c04")
    ours = pairs(study, loaded, "depth")
    estimable = [record for record in loaded.r["pairs_depth"]["tukey"] if record["p"] is not None]
    assert len(estimable) == 3
    for record in estimable:
        assert ours[record["contrast"]].classical.p_tukey == pytest.approx(record["p"], abs=1e-6)


def test_tukeys_p_equals_r_with_seeds_as_fixed_blocks(oracle: Oracle):
    loaded = oracle("c07")
    data = loaded.cells(paired=True)
    for record in loaded.r["fixed_block_pairs_depth_tukey"]:
        first, second = (int(level) for level in record["contrast"].split(" - "))
        levels = np.array(data.factors[0].levels)[data.level_M(0)]
        found = fixed_block(data, ((levels == first).astype(float) - (levels == second)) / 3)
        assert tukey_p(found.t, 3, found.df) == pytest.approx(record["p"], abs=1e-6)


def test_tukeys_p_equals_r_with_one_trial_per_cell(study: MakeStudy, oracle: Oracle):
    loaded = oracle("c09")
    ours = pairs(study, loaded, "depth")
    for record in loaded.r["additive_pairs_depth_tukey"]:
        assert ours[record["contrast"]].classical.p_tukey == pytest.approx(record["p"], abs=1e-6)


@pytest.mark.parametrize(("pairing", "key"), [("independent", "hedges_g_pooled"), ("shared", "hedges_gz_paired")])
def test_hedges_g_equals_r_with_its_interval(study: MakeStudy, oracle: Oracle, pairing: str, key: str):
    loaded = oracle("c15")
    (found,) = analyse(study(loaded.frame, TWO, paired=pairing == "shared", primary=LATER)).responses
    effect, r = found.effects[0], loaded.r[key]
    assert effect.hedges_g == pytest.approx(r["Hedges_g"], rel=1e-8)
    assert effect.hedges_g_interval.low == pytest.approx(r["CI_low"], abs=1e-4)
    assert effect.hedges_g_interval.high == pytest.approx(r["CI_high"], abs=1e-4)


def test_cliffs_delta_of_two_conditions_equals_r(study: MakeStudy, oracle: Oracle):
    loaded = oracle("c15")
    (found,) = analyse(study(loaded.frame, TWO, paired=False, primary=LATER)).responses
    assert found.effects[0].cliffs_delta == pytest.approx(loaded.r["cliffs_delta"]["estimate"], rel=1e-12)


def test_an_average_over_cells_has_no_cliffs_delta_and_a_slope_no_hedges_g(study: MakeStudy, oracle: Oracle):
    loaded = oracle("c01")
    slope = Hypothesis(slope=("depth", "size"))
    (found,) = analyse(study(loaded.frame, loaded.factors, paired=False, primary=slope)).responses
    by_key = {effect.key: effect for effect in found.effects}
    assert by_key["primary"].hedges_g is None
    assert by_key["pairs:depth:1 - 2"].hedges_g < 0
    assert by_key["pairs:depth:1 - 2"].cliffs_delta is None


def test_ties_count_for_neither_side_of_cliffs_delta():
    assert cliffs_delta(np.array([1.0, 2.0]), np.array([1.0, 3.0])) == -0.25


def test_shared_seeds_with_gaps_have_fixed_blocks_beside_the_per_seed_t(study: MakeStudy, oracle: Oracle):
    loaded = oracle("c07")
    slope = Hypothesis(slope=("depth", "size"))
    whole = analyse(study(loaded.frame, loaded.factors, primary=slope)).responses[0].effects[0]
    gap = analyse(study(loaded.frame.iloc[1:], loaded.factors, primary=slope)).responses[0].effects[0]
    assert whole.classical is None
    assert gap.classical.method == "least squares with replicates as fixed blocks"
    assert (gap.n, gap.classical.df) == (7, 55)


def test_the_interval_of_a_standardised_effect_turns_with_its_sign():
    low, high = standard_interval(2.5, 9.3, 0.05)
    assert standard_interval(-2.5, 9.3, 0.05) == pytest.approx((-high, -low), abs=1e-9)
    assert nct.cdf(2.5, 9.3, low) == pytest.approx(0.975, abs=1e-9)
    assert nct.cdf(2.5, 9.3, high) == pytest.approx(0.025, abs=1e-9)
    assert standard_interval(1e6, 9.3, 0.05) is None


def test_the_interval_of_a_standardised_effect_is_found_far_out():
    low, high = standard_interval(95.0, 2.1, 0.05)
    assert 0 < low < 95 < high


def test_more_than_a_hundred_interaction_contrasts_are_left_out(study: MakeStudy, simulate: Simulate):
    factors = (Factor("model", tuple("abcdefg")), Factor("data", tuple("uvwxyz")))
    frame = simulate(factors, lambda _: 0.5, n=2)
    (found,) = analyse(study(frame, factors)).responses
    assert {effect.key.split(":")[0] for effect in found.effects} == {"pairs"}


def test_the_correction_of_hedges_goes_to_one():
    assert hedges_factor(2) == pytest.approx(1 / np.sqrt(np.pi))
    assert hedges_factor(1e6) == pytest.approx(1, abs=1e-6)


def test_tukeys_p_stays_between_0_and_1():
    assert tukey_p(1e6, 3, 10) == 0.0
    assert tukey_p(0.0, 3, 10) == pytest.approx(1.0, abs=1e-12)


def test_factors_without_an_order_get_all_interaction_contrasts(study: MakeStudy, simulate: Simulate):
    factors = (Factor("depth", (1, 2), "log2"), Factor("size", (1, 2), "log2"), Factor("kind", ("a", "b", "c")))
    frame = simulate(factors, lambda cell: 0.1 * cell["depth"])
    (found,) = analyse(study(frame, factors)).responses
    keys = [effect.key for effect in found.effects if effect.key.startswith("interaction:")]
    assert keys == [f"interaction:{two}:{i}" for two in ("depth:kind", "kind:size") for i in (1, 2, 3)]
    family = {effect.family for effect in found.effects if effect.key.startswith("interaction:kind")}
    assert family == {"all interaction contrasts of kind:size (3 tests, Holm)"}


def test_a_declared_interaction_gets_its_contrasts_once(study: MakeStudy, oracle: Oracle):
    loaded = oracle("c01")
    factors = tuple(Factor(factor.name, factor.levels) for factor in loaded.factors)
    declared = Hypothesis(interaction=("depth", "size"))
    for primary in (declared, None):
        (found,) = analyse(study(loaded.frame, factors, paired=False, primary=primary)).responses
        labels = [effect.label for effect in found.effects if effect.key.startswith("interaction:")]
        assert len(labels) == len(set(labels)) == 36
