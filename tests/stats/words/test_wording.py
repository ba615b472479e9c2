"""What the reader is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cnnbench.spec import Hypothesis
from cnnbench.stats import analyse
from cnnbench.stats.words.wording import decimals, fixed, number, p_text
from cnnbench.types import Factor, Interval

if TYPE_CHECKING:
    from tests.stats.conftest import MakeResponse, MakeStudy, Simulate

DEPTH = Factor("depth", (8, 16, 32), "log2")
REGIME = Factor("regime", ("none", "gradual"))
CONTRAST = Hypothesis(contrast="gradual - none", over="regime")


def gain(cell: dict[str, object]) -> float:
    return 0.7 + 0.021 * (cell["regime"] == "gradual")


@pytest.mark.parametrize(("p", "text"), [(0.0002, "p < 0.001"), (0.0123456, "p = 0.0123"), (None, "p not defined")])
def test_p_values_are_rounded_to_what_matters(p: float | None, text: str):
    assert p_text(p) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.00012345, "0.000123"), (1234.5, "1.23e+03"), (0.0, "0"), (3e-9, "3.00e-09")]
)
def test_numbers_have_three_digits(value: float, text: str):
    assert number(value) == text


@pytest.mark.parametrize(
    ("low", "high", "places"), [(1.18, 1.24, 2), (0.989, 0.998, 3), (-400.0, 900.0, 0), (1.0, 1.0, 3)]
)
def test_the_interval_decides_how_many_digits_are_printed(low: float, high: float, places: int):
    assert decimals(Interval(low, high)) == places


def test_the_headline_of_a_paired_ratio(study: MakeStudy, simulate: Simulate, response: MakeResponse):
    frame = simulate((DEPTH, REGIME), lambda _: 0.0, sd=0.01, seed_sd=0.1)
    frame["accuracy"] = np.exp(frame["accuracy"] + 0.19 * (frame["regime"] == "gradual"))
    infos = (response(long_name="Standardized accuracy", unit="s-0.5", bounded="positive"),)
    data = study(frame, (DEPTH, REGIME), primary=CONTRAST, scale="log", responses=infos, equivalence_margin=0.02)
    assert analyse(data).responses[0].headline == (
        "With regime gradual, standardized accuracy is 1.212 times that with none (95 % CI 1.200 to 1.224; paired over "
        "5 seeds; averaged over depth; p < 0.001). The effect differs from zero at alpha 0.05, in favour of gradual "
        "over none, and it exceeds a factor of 1.02, the smallest effect of interest. "
        "An exact sign-flip test beside it needs 6 seeds."
    )


def test_the_headline_of_independent_fractions(study: MakeStudy, simulate: Simulate):
    data = study(simulate((REGIME,), gain, sd=0.004), (REGIME,), primary=CONTRAST, paired=False)
    headline = analyse(data).responses[0].headline
    assert headline.startswith("With regime gradual, accuracy is 1.94 p")
    assert "percentage points higher than with none (95 % CI +" in headline
    assert "10 trials with independent seeds" in headline
    assert headline.endswith("The pooled-variance t test (p < 0.001) agrees.")


def test_lower_is_better_for_a_loss(study: MakeStudy, simulate: Simulate, response: MakeResponse):
    data = study(
        simulate((REGIME,), gain, sd=0.001), (REGIME,), primary=CONTRAST, responses=(response(higher_is_better=False),)
    )
    assert "in favour of none over gradual" in analyse(data).responses[0].headline


def test_a_trivial_difference_is_called_trivial(study: MakeStudy, simulate: Simulate):
    frame = simulate((REGIME,), gain, sd=0.0005, n=8)
    data = study(frame, (REGIME,), primary=CONTRAST, equivalence_margin=0.05)
    assert (
        "yet it lies within ±5 percentage points, the smallest effect of interest"
        in analyse(data).responses[0].headline
    )


def test_an_equivalence_is_claimed_with_its_own_test(study: MakeStudy, simulate: Simulate):
    frame = simulate((REGIME,), lambda _: 0.7, sd=0.001, n=8)
    headline = analyse(study(frame, (REGIME,), primary=CONTRAST, equivalence_margin=0.02)).responses[0].headline
    assert "The effect is equivalent to none: it lies within ±2 percentage points" in headline
    assert "(equivalence test, p < 0.001)" in headline


def test_an_undetermined_effect_says_how_many_seeds_are_missing(study: MakeStudy, simulate: Simulate):
    frame = simulate((REGIME,), lambda _: 0.7, sd=0.03)
    margin = analyse(study(frame, (REGIME,), primary=CONTRAST, equivalence_margin=0.02)).responses[0].headline
    assert "Undetermined: neither an effect nor equivalence within ±2 percentage points is shown" in margin
    assert "more seeds per cell (" in margin
    none = analyse(study(frame, (REGIME,), primary=CONTRAST)).responses[0].headline
    assert "No effect is shown, and its absence is not shown either" in none


def test_a_disagreement_of_both_analyses_is_told(study: MakeStudy, simulate: Simulate):
    frame = simulate((REGIME,), lambda _: 0.7, n=7, sd=1e-6)
    differences = [0.02, 0.019, 0.021, 0.02, 0.02, 0.018, -0.001]
    frame.loc[frame["regime"] == "gradual", "accuracy"] += differences
    found = analyse(study(frame, (REGIME,), primary=CONTRAST, alpha=0.01)).responses[0]
    effect = found.effects[0]
    assert effect.p < 0.01 < effect.robust_p
    assert found.headline.endswith("disagrees, so the conclusion depends on the method and is not robust.")


def test_a_changed_plan_makes_everything_exploratory(study: MakeStudy, simulate: Simulate):
    data = study(simulate((REGIME,), gain), (REGIME,), primary=CONTRAST, confirmatory=False)
    assert analyse(data).responses[0].headline.startswith("Exploratory, because the analysis plan was changed")


def test_without_a_hypothesis_the_omnibus_tests_lead(study: MakeStudy, simulate: Simulate):
    headline = analyse(study(simulate((DEPTH, REGIME), gain), (DEPTH, REGIME))).responses[0].headline
    assert headline.startswith("No hypothesis was declared for this response. Exploratory tests. Repeated-measures")
    assert "regime: F(1, 4) = " in headline


@pytest.mark.parametrize(
    ("slope", "order", "sentence"),
    [
        (("depth",), "log2", "Accuracy changes by +1.0000 percentage points per doubling of depth"),
        (("depth",), "linear", "Accuracy changes by +0."),
        (
            ("depth", "size"),
            "log2",
            "Each doubling of size changes the effect of one doubling of depth on accuracy by ",
        ),
    ],
)
def test_slopes_read_as_changes_per_step(
    study: MakeStudy, simulate: Simulate, slope: tuple[str, ...], order: str, sentence: str
):
    factors = (Factor("depth", (8, 16, 32), order), Factor("size", (32, 64), "log2"))
    frame = simulate(factors, lambda cell: 0.5 + 0.01 * np.log2(cell["depth"]), sd=1e-5)
    found = analyse(study(frame, factors, primary=Hypothesis(slope=slope))).responses[0]
    assert found.headline.startswith(sentence)


def test_a_simple_effect_names_the_level_it_is_confined_to(study: MakeStudy, simulate: Simulate):
    found = analyse(study(simulate((DEPTH, REGIME), gain, sd=0.001), (DEPTH, REGIME), primary=CONTRAST)).responses[0]
    simple = next(effect for effect in found.effects if effect.key == "simple:depth:16")
    assert simple.sentence.startswith("At depth 16, with regime gradual, accuracy is 2.")
    assert "Holm-adjusted p" in simple.sentence


def test_a_weighted_contrast_is_quoted(study: MakeStudy, simulate: Simulate):
    factor = Factor("regime", ("none", "gradual", "stepwise"))
    hypothesis = Hypothesis(contrast="0.5 gradual + 0.5 stepwise - none", over="regime")
    found = analyse(study(simulate((factor,), gain, sd=0.001), (factor,), primary=hypothesis)).responses[0]
    assert found.headline.startswith("The contrast 0.5 gradual + 0.5 stepwise - none of accuracy is +1.")


def test_no_factor_is_zero_and_no_tiny_number_is_lost():
    assert fixed(0.0369, 0, factor=True) == "0.0369"
    assert fixed(1e-12, 10) == "1.00e-12"
    assert fixed(0.0, 10) == "0"
    assert fixed(-0.3, 0) == "-0"
    assert fixed(1.25, 1, factor=True) == "1.2"
