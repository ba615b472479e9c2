"""A primary slope of two factors over independent trials shares alpha with the omnibus interaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cnnbench.spec import Hypothesis
from cnnbench.stats import analyse
from cnnbench.types import Factor

if TYPE_CHECKING:
    from tests.stats.conftest import MakeStudy, Oracle, Same, Simulate

FACTORS = (Factor("depth", (1, 2, 4, 8), "log2"), Factor("size", (16, 32, 64, 128), "log2"))
SLOPE = Hypothesis(slope=("depth", "size"))


def odd_cell(cell: dict[str, Any]) -> float:
    """One inner cell stands out, at a place where the slope hardly looks."""
    return 0.56 if (cell["depth"], cell["size"]) == (2, 64) else 0.5


def test_both_are_adjusted_over_the_pair_and_equal_r(oracle: Oracle, study: MakeStudy, same: Same):
    case = oracle("c05")
    found = analyse(study(case.frame, case.factors, primary=SLOPE, paired=False)).responses[0]
    slope, omnibus = found.effects[:2]
    r = case.r["heteroscedastic_tests"]["depth:size"]
    assert (slope.key, omnibus.key) == ("primary", "primary:omnibus")
    assert same(omnibus.statistic, r["ATS"])
    assert same(omnibus.p, r["ATS_p"])
    small, large = sorted([slope.p, omnibus.p])
    adjusted = sorted([slope.p_adjusted, omnibus.p_adjusted])
    assert adjusted == pytest.approx([min(1, 2 * small), min(1, max(2 * small, large))])
    assert slope.family == omnibus.family == "primary pair: slope and omnibus interaction (2 tests, Holm)"


def test_one_odd_cell_is_found_by_the_omnibus_test_and_told(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, odd_cell, sd=0.01)
    found = analyse(study(frame, FACTORS, primary=SLOPE, paired=False)).responses[0]
    slope, omnibus = found.effects[:2]
    assert slope.verdict == "undetermined"
    assert omnibus.verdict == "different"
    assert "differs from zero, though not along this slope" in found.headline


def test_shared_seeds_have_no_pair_for_the_slope_is_the_one_test(study: MakeStudy, simulate: Simulate):
    found = analyse(study(simulate(FACTORS, odd_cell), FACTORS, primary=SLOPE)).responses[0]
    assert found.effects[0].p_adjusted is None
    assert "primary:omnibus" not in {effect.key for effect in found.effects}


def test_equivalence_is_claimed_of_the_slope_alone(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda _: 0.5, sd=0.01)
    declared = study(frame, FACTORS, primary=SLOPE, paired=False, equivalence_margin=0.02)
    slope = analyse(declared).responses[0].effects[0]
    assert slope.verdict == "equivalent"
    assert slope.equivalence_p < 0.05


def test_without_correction_the_pair_is_named_and_not_adjusted(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda _: 0.5)
    found = analyse(study(frame, FACTORS, primary=SLOPE, paired=False, correction="none")).responses[0]
    assert [effect.p_adjusted for effect in found.effects[:2]] == [None, None]
    assert found.effects[0].family.endswith("(2 tests, not adjusted)")
