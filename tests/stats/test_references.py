"""Published numbers and claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cnnbench.spec import Hypothesis, Reference
from cnnbench.stats import analyse
from cnnbench.types import Factor

if TYPE_CHECKING:
    from tests.stats.conftest import MakeStudy, Simulate

DEPTH = Factor("depth", (8, 16), "log2")
REGIME = Factor("regime", ("none", "gradual"))
FACTORS = (DEPTH, REGIME)


def number(value: float, **cell: object) -> Reference:
    return Reference(source="Wanger", response="accuracy", value=value, cell=cell)


def claim(expected: str) -> Reference:
    hypothesis = Hypothesis(contrast="gradual - none", over="regime")
    return Reference(source="Wanger", response="accuracy", claim=hypothesis, expected=expected)


def gain(cell: dict[str, object]) -> float:
    return 0.7 + 0.02 * (cell["regime"] == "gradual")


def test_a_published_number_is_held_against_the_seeds_averages(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, gain, sd=0.002, seed_sd=0.02)
    check = analyse(study(frame, FACTORS, references=(number(0.75, regime="none"),))).references[0]
    per_seed = frame[frame["regime"] == "none"].groupby("replicate")["accuracy"].mean()
    assert check.ours.mean == pytest.approx(per_seed.mean(), rel=1e-12)
    assert check.ours.n == 10
    assert check.difference == pytest.approx(per_seed.mean() - 0.75, rel=1e-9)
    half = 2.7764451051977987 * per_seed.std() / 5**0.5
    assert check.interval.high == pytest.approx(check.difference + half, rel=1e-9)
    assert check.sentence.startswith("Ours is 0.7")
    assert "published is 0.75" in check.sentence


def test_independent_trials_use_the_pooled_variance(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, gain, sd=0.01)
    check = analyse(study(frame, FACTORS, references=(number(0.7, depth=8, regime="none"),), paired=False)).references[
        0
    ]
    groups = frame.groupby(["depth", "regime"])["accuracy"]
    mse = groups.var().mean()
    assert check.difference == pytest.approx(groups.mean()[8, "none"] - 0.7, rel=1e-9)
    half = 2.119905299221011 * (mse / 5) ** 0.5
    assert check.interval.high - check.difference == pytest.approx(half, rel=1e-9)


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        (number(0.9, depth=50), "This study does not have depth 50, so it has no such cell."),
        (number(0.9, width=2), "This study has no factor width, so it has no such cell."),
        (
            Reference(source="W", response="kappa", value=0.9),
            "Not compared: this study does not record kappa.",
        ),
    ],
)
def test_a_number_without_a_counterpart_is_printed_alone(
    study: MakeStudy, simulate: Simulate, reference: Reference, sentence: str
):
    check = analyse(study(simulate(FACTORS, gain), FACTORS, references=(reference,))).references[0]
    assert (check.ours, check.difference, check.p) == (None, None, None)
    assert check.sentence == sentence


def test_one_trial_per_cell_is_compared_without_a_test(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, gain, n=1)
    check = analyse(study(frame, FACTORS, references=(number(0.7, depth=8, regime="none"),))).references[0]
    assert check.difference == pytest.approx(frame["accuracy"][0] - 0.7)
    assert (check.interval, check.p) == (None, None)
    assert "one trial per cell" in check.sentence


@pytest.mark.parametrize(
    ("expected", "size", "verdict"),
    [
        ("positive", 0.02, "confirmed"),
        ("positive", -0.02, "refuted"),
        ("positive", 0.0, "refuted"),
        ("negative", -0.02, "confirmed"),
        ("negative", 0.02, "refuted"),
        ("none", 0.0, "confirmed"),
        ("none", 0.02, "refuted"),
    ],
)
def test_a_claim_is_judged_by_direction_and_equivalence(
    study: MakeStudy, simulate: Simulate, expected: str, size: float, verdict: str
):
    frame = simulate(FACTORS, lambda cell: 0.7 + size * (cell["regime"] == "gradual"), sd=0.0005, n=6, seed=2)
    found = analyse(study(frame, FACTORS, references=(claim(expected),), equivalence_margin=0.01)).claims[0]
    assert found.verdict == verdict
    closing = {"confirmed": "This study confirms the claim.", "refuted": "This study refutes the claim."}[verdict]
    if verdict == "refuted" and size == 0:
        closing = "That is equivalent to none (within ±1 percentage points), so this study refutes the claim."
    assert found.sentence.endswith(closing)


@pytest.mark.parametrize("expected", ["positive", "negative", "none"])
def test_a_large_p_alone_decides_no_claim(study: MakeStudy, simulate: Simulate, expected: str):
    frame = simulate(FACTORS, lambda _: 0.7, sd=0.05)
    found = analyse(study(frame, FACTORS, references=(claim(expected),))).claims[0]
    assert found.effect.p > 0.05
    assert found.verdict == "undetermined"


def test_a_claim_that_cannot_be_tested_says_why(study: MakeStudy, simulate: Simulate):
    hypothesis = Hypothesis(contrast="gradual - none", over="regime")
    other = Reference(source="W", response="kappa", claim=hypothesis, expected="positive")
    mixed = simulate(FACTORS, gain)
    mixed.loc[0, "environment_key"] = "there"
    unrecorded = analyse(study(simulate(FACTORS, gain), FACTORS, references=(other,))).claims[0]
    assert unrecorded.sentence == "The claim cannot be tested: this study does not record kappa."
    apart = analyse(study(mixed, FACTORS, references=(claim("positive"), number(0.7))))
    assert "environments" in apart.claims[0].sentence
    assert "environments" in apart.references[0].sentence
    assert apart.references[0].p is None


def test_an_interaction_claim_has_no_direction(study: MakeStudy, simulate: Simulate):
    reference = Reference(
        source="W", response="accuracy", claim=Hypothesis(interaction=("depth", "regime")), expected="negative"
    )
    frame = simulate(FACTORS, lambda cell: 0.7 + 0.02 * (cell == {"depth": 8, "regime": "none"}), sd=0.001)
    assert analyse(study(frame, FACTORS, references=(reference,))).claims[0].verdict == "confirmed"


def consistent(expected: str = "positive") -> Reference:
    hypothesis = Hypothesis(contrast="gradual - none", over="regime")
    return Reference(source="W", response="accuracy", claim=hypothesis, expected=expected, each=("depth",))


def test_a_claim_of_consistency_is_confirmed_only_if_every_level_confirms_it(study: MakeStudy, simulate: Simulate):
    everywhere = simulate(FACTORS, gain, sd=0.002)
    at_one = simulate(FACTORS, lambda cell: 0.7 + 0.02 * (cell["regime"] == "gradual") * (cell["depth"] == 8), sd=0.002)

    held = analyse(study(everywhere, FACTORS, references=(consistent(),))).claims[0]
    half = analyse(study(at_one, FACTORS, references=(consistent(),))).claims[0]
    on_average = analyse(study(at_one, FACTORS, references=(claim("positive"),))).claims[0]

    assert held.verdict == "confirmed"
    assert "Asked of each level of depth: 2 of 2 confirm it. As all must, the largest p counts: p " in held.sentence
    assert on_average.verdict == "confirmed"
    assert half.verdict == "undetermined"
    assert "1 of 2 confirm it, 1 decide nothing (depth 16)." in half.sentence


def test_a_single_level_in_the_other_direction_refutes_a_claim_of_consistency(study: MakeStudy, simulate: Simulate):
    def mixed(cell: dict[str, object]) -> float:
        return 0.7 + (0.04 if cell["depth"] == 8 else -0.02) * (cell["regime"] == "gradual")

    found = analyse(study(simulate(FACTORS, mixed, sd=0.002), FACTORS, references=(consistent(),))).claims[0]

    assert found.verdict == "refuted"
    assert "1 refute it (depth 16)" in found.sentence


SCHEDULE = Factor("schedule", ("none", "warm-up", "cosine"))


def best(expected: str = "positive", each: tuple[str, ...] = (), contrast: str = "") -> Reference:
    hypothesis = Hypothesis(contrast=contrast or "cosine - 0.5 none - 0.5 warm-up", over="schedule")
    return Reference(source="W", response="accuracy", claim=hypothesis, expected=expected, each=each, best=not contrast)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(
    ("gains", "verdict", "said"),
    [
        ((0.0, 0.02, 0.06), "confirmed", "it is above in 2 of 2 comparisons. As all must, the largest p counts: p "),
        ((0.0, 0.08, 0.06), "refuted", "it is above in 1 of 2 comparisons, below in 1 (warm-up) (Holm)."),
        ((0.0, 0.06, 0.06), "undetermined", "it is above in 1 of 2 comparisons, undecided in 1 (warm-up)."),
        ((0.09, 0.08, 0.06), "refuted", "it is above in 0 of 2 comparisons, below in 2 (none; warm-up) (Holm)."),
    ],
    ids=["ahead", "behind one", "beside one", "last"],
)
def test_the_best_level_is_ahead_of_every_other_one(
    study: MakeStudy, simulate: Simulate, gains: tuple[float, ...], verdict: str, said: str, *, paired: bool
):
    factors = (DEPTH, SCHEDULE)
    by_level = dict(zip(SCHEDULE.levels, gains, strict=True))
    frame = simulate(factors, lambda cell: 0.7 + by_level[str(cell["schedule"])], sd=0.004, seed_sd=0.0)

    found = analyse(study(frame, factors, references=(best(),), paired=paired)).claims[0]

    assert found.verdict == verdict
    assert f"schedule cosine has to be above each of none and warm-up: {said}" in found.sentence
    if gains[0] == 0:  # what holding it against the mean of the others would have said
        mean = best(contrast="cosine - 0.5 none - 0.5 warm-up")
        assert analyse(study(frame, factors, references=(mean,), paired=paired)).claims[0].verdict == "confirmed"


def test_a_level_that_is_as_good_as_another_is_not_the_best(study: MakeStudy, simulate: Simulate):
    factors = (DEPTH, SCHEDULE)
    frame = simulate(factors, lambda cell: 0.7 + 0.06 * (cell["schedule"] != "none"), sd=0.004)

    found = analyse(study(frame, factors, references=(best(),), equivalence_margin=0.02)).claims[0]

    assert found.verdict == "refuted"
    assert "equivalent in 1 (warm-up) (Holm)" in found.sentence


def test_the_best_may_be_the_lowest(study: MakeStudy, simulate: Simulate):
    frame = simulate((SCHEDULE,), lambda cell: 0.7 - 0.06 * (cell["schedule"] == "cosine"), sd=0.004)
    verdicts = {sign: analyse(study(frame, (SCHEDULE,), references=(best(sign),))).claims[0].verdict for sign in SIGNS}
    assert verdicts == {"positive": "refuted", "negative": "confirmed"}


SIGNS = ("positive", "negative")


def test_the_best_everywhere_is_ahead_at_each_level(study: MakeStudy, simulate: Simulate):
    factors = (DEPTH, SCHEDULE)

    def gains(cell: dict[str, object]) -> float:
        return 0.7 + 0.06 * (cell["schedule"] == "cosine") + 0.06 * (cell == {"depth": 16, "schedule": "warm-up"})

    frame = simulate(factors, gains, sd=0.004)
    found = analyse(study(frame, factors, references=(best(each=("depth",)),))).claims[0]

    assert found.verdict == "undetermined"
    assert "it is above in 3 of 4 comparisons, undecided in 1 (warm-up at depth 16)." in found.sentence


def test_each_test_of_the_best_has_the_whole_alpha(study: MakeStudy, simulate: Simulate):
    frame = simulate((SCHEDULE,), lambda cell: 0.7 + 0.01 * (cell["schedule"] == "cosine"), sd=0.01, n=8)
    held = best()
    pairs = [
        Reference(
            source="W",
            response="accuracy",
            claim=Hypothesis(contrast=f"cosine - {other}", over="schedule"),
            expected="positive",
        )
        for other in ("none", "warm-up")
    ]

    whole, *alone = analyse(study(frame, (SCHEDULE,), references=(held, *pairs))).claims

    largest = max(claim.effect.p for claim in alone)
    strict, lenient = (
        analyse(study(frame, (SCHEDULE,), references=(held,), alpha=largest * by)).claims[0].verdict
        for by in (0.99, 1.01)
    )
    assert all(claim.effect.estimate > 0 for claim in alone)
    assert (strict, lenient) == ("undetermined", "confirmed")
    assert whole.effect.label == "cosine - 0.5 none - 0.5 warm-up"
    # What confirms it needs no adjustment: equivalence within a wide margin after one does not take it back.
    wide = analyse(study(frame, (SCHEDULE,), references=(held,), alpha=largest * 1.01, equivalence_margin=0.5)).claims
    assert wide[0].verdict == "confirmed"


def test_with_one_trial_per_cell_nothing_is_said_of_single_levels(study: MakeStudy, simulate: Simulate):
    factors = (DEPTH, SCHEDULE)
    frame = simulate(factors, lambda cell: 0.7 + 0.06 * (cell["schedule"] == "cosine"), sd=0.004, n=1)

    for held in (best(each=("depth",)), consistent_schedule()):
        found = analyse(study(frame, factors, references=(held,), replicates=1)).claims[0]
        assert found.verdict == "undetermined"
    assert "not tested in 4" in analyse(study(frame, factors, references=(best(each=("depth",)),))).claims[0].sentence


def consistent_schedule() -> Reference:
    hypothesis = Hypothesis(contrast="cosine - none", over="schedule")
    return Reference(source="W", response="accuracy", claim=hypothesis, expected="positive", each=("depth",))


def test_a_claim_about_one_level_is_tested_there(study: MakeStudy, simulate: Simulate):
    at_one = simulate(FACTORS, lambda cell: 0.7 + 0.02 * (cell["regime"] == "gradual") * (cell["depth"] == 8), sd=0.002)

    def held(depth: int) -> Reference:
        hypothesis = Hypothesis(contrast="gradual - none", over="regime", at={"depth": depth})
        return Reference(source="W", response="accuracy", claim=hypothesis, expected="positive")

    first, second, absent = analyse(study(at_one, FACTORS, references=(held(8), held(16), held(50)))).claims

    assert first.verdict == "confirmed"
    assert first.sentence.startswith("At depth 8, with regime gradual, accuracy is 1.9")
    assert second.verdict == "undetermined"
    assert absent.sentence == "The claim cannot be tested: No trial has depth 50. Run cells with that level."


def test_every_level_must_confirm_a_claim_of_consistency_with_the_whole_alpha(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda cell: 0.7 + 0.004 * (cell["regime"] == "gradual"), sd=0.003)
    levels = [frame[frame["depth"] == depth] for depth in (8, 16)]
    from scipy import stats

    largest = max(
        stats.ttest_rel(
            *(one[one["regime"] == r].sort_values("replicate")["accuracy"] for r in ("gradual", "none"))
        ).pvalue
        for one in levels
    )

    def verdict(alpha: float, margin: float | None = None) -> str:
        changes = {"alpha": alpha, "equivalence_margin": margin}
        return analyse(study(frame, FACTORS, references=(consistent(),), **changes)).claims[0].verdict

    assert largest < 0.25
    assert (verdict(0.99 * largest), verdict(1.01 * largest)) == ("undetermined", "confirmed")
    assert verdict(1.01 * largest, margin=0.5) == "confirmed"  # though equivalent within so wide a margin


def test_a_level_without_trials_confirms_nothing(study: MakeStudy, simulate: Simulate):
    factors = (Factor("depth", (8, 16, 32), "log2"), REGIME)
    frame = simulate(FACTORS, gain, sd=0.002)

    found = analyse(study(frame, factors, references=(consistent(),))).claims[0]

    assert found.verdict == "undetermined"
    assert "2 of 3 confirm it, 1 decide nothing (depth 32). Not tested: No trial has depth 32." in found.sentence
