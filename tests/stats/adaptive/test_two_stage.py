from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student_t

from cnnbench.spec import Hypothesis, SeedsRule
from cnnbench.stats import analyse, look
from cnnbench.stats.adaptive.two_stage import seeds_for_half_width
from cnnbench.types import Factor, Look, Refusal

if TYPE_CHECKING:
    import pandas as pd

    from tests.stats.conftest import MakeResponse, MakeStudy, Simulate

REGIME = Factor("regime", ("none", "small"))
DEPTH = Factor("depth", (8, 16))
PRIMARY = Hypothesis(contrast="small - none", over="regime")
RULE = SeedsRule(until_half_width=0.01, pilot=5, max=40)


def effect(cell: dict[str, object]) -> float:
    return 0.6 + 0.02 * (cell["regime"] == "small")


def taken(study: MakeStudy, frame: pd.DataFrame, rule: SeedsRule = RULE, **changes: object) -> Look | Refusal:
    pilot = frame[frame["replicate"] < rule.pilot]
    return look(study(pilot, (REGIME,), primary=PRIMARY, two_stage=True, **changes), rule, "now")


def scores(frame: pd.DataFrame) -> np.ndarray:
    wide = frame.pivot_table(index="replicate", columns="regime", values="accuracy")
    return (wide["small"] - wide["none"]).to_numpy()


@pytest.mark.parametrize(
    ("sd", "num_pilot", "half_width", "expected"),
    [
        # qt(.975, 4) = 2.776445: (2.776445 * 0.02 / 0.01)^2 = 30.83; R: ceiling((qt(.975, 4) * .02 / .01)^2)
        (0.02, 5, 0.01, 31),
        # qt(.975, 9) = 2.262157
        (0.02, 10, 0.01, 21),
        (0.001, 5, 0.01, 5),
    ],
)
def test_the_number_of_seeds_is_stein_s(sd: float, num_pilot: int, half_width: float, expected: int):
    assert seeds_for_half_width(sd, num_pilot, half_width, 0.05) == expected


@given(
    sd=st.floats(1e-4, 1.0),
    num_pilot=st.integers(3, 30),
    half_width=st.floats(1e-3, 1.0),
    alpha=st.floats(0.01, 0.2),
)
def test_the_promise_is_kept_with_the_smallest_number_that_does(
    sd: float, num_pilot: int, half_width: float, alpha: float
):
    n = seeds_for_half_width(sd, num_pilot, half_width, alpha)

    t = student_t.isf(alpha / 2, num_pilot - 1)
    assert t * sd / n**0.5 <= half_width * (1 + 1e-12)
    assert n == num_pilot or t * sd / (n - 1) ** 0.5 > half_width


def test_the_look_rests_on_the_spread_of_the_per_seed_effect(study: MakeStudy, simulate: Simulate):
    frame = simulate((REGIME,), effect, n=5, sd=0.004, seed_sd=0.05)

    found = taken(study, frame)

    assert isinstance(found, Look)
    sd = scores(frame).std(ddof=1)
    assert found.sd == pytest.approx(sd)
    assert found.needed == found.replicates == max(5, ceil((student_t.isf(0.025, 4) * sd / 0.01) ** 2))
    assert (found.hypothesis, found.pilot, found.aimed, found.reached) == ("small - none", (0, 1, 2, 3, 4), 0.01, None)


def test_an_added_effect_does_not_change_the_number_of_seeds(study: MakeStudy, simulate: Simulate):
    frame = simulate((REGIME,), effect, n=5)
    moved = frame.assign(accuracy=frame["accuracy"] + 0.3 * (frame["regime"] == "small"))

    one, other = taken(study, frame), taken(study, moved)

    assert other == replace(one, sd=pytest.approx(one.sd))


def test_the_look_is_on_the_scale_of_the_analysis(study: MakeStudy, simulate: Simulate):
    frame = simulate((REGIME,), effect, n=5)

    found = taken(study, frame, scale="log")

    logs = scores(frame.assign(accuracy=np.log(frame["accuracy"])))
    assert (found.scale, found.sd) == ("log", pytest.approx(logs.std(ddof=1)))


def test_trials_of_several_machines_decide_nothing(study: MakeStudy, simulate: Simulate):
    frame = simulate((REGIME,), effect, n=5)
    frame.loc[0, "environment_key"] = "elsewhere"

    found = taken(study, frame)

    assert isinstance(found, Refusal)
    assert "2 environments" in found.why


def test_the_interval_is_stein_s(study: MakeStudy, simulate: Simulate):
    frame = simulate((REGIME,), effect, n=12, sd=0.01)
    decided = replace(taken(study, frame), replicates=12)

    findings = analyse(study(frame, (REGIME,), primary=PRIMARY, two_stage=True, look=decided))

    values = scores(frame)
    half = student_t.isf(0.025, 4) * values[:5].std(ddof=1) / 12**0.5
    found = findings.responses[0].effects[0]
    assert (found.role, found.df, found.n) == ("primary", 4, 12)
    assert (found.interval.low, found.interval.high) == pytest.approx((values.mean() - half, values.mean() + half))
    assert found.p == pytest.approx(2 * student_t.sf(abs(values.mean()) / half * student_t.isf(0.025, 4), 4))
    assert found.method.startswith("Stein's two-stage t over the per-seed values of 12 replicates")
    assert findings.look.reached == pytest.approx(half)


def test_declared_hypotheses_have_the_pilot_s_spread_and_exploratory_ones_that_of_all_trials(
    study: MakeStudy, simulate: Simulate
):
    frame = simulate((REGIME, DEPTH), effect, n=12)
    further = (Hypothesis(contrast="16 - 8", over="depth"),)
    data = study(frame, (REGIME, DEPTH), primary=PRIMARY, further=further, two_stage=True)
    pilot = replace(data, trials=frame[frame["replicate"] < 5])

    found = analyse(replace(data, look=replace(look(pilot, RULE, "now"), replicates=12))).responses[0]

    assert {effect.df for effect in found.effects if effect.role != "family"} == {4}
    assert {effect.df for effect in found.effects if effect.role == "family"} == {11}


@pytest.mark.parametrize(
    ("width", "most", "sentence"),
    [
        (0.05, 40, "The interval is ±"),
        (0.001, 12, "The study's maximum is 12, so the promised width is not reached"),
        (0.001, 10_000, "Seeds are missing (failed, or not run yet), so the promised width is not reached"),
    ],
)
def test_the_headline_says_whether_the_promise_is_kept(
    study: MakeStudy, simulate: Simulate, width: float, most: int, sentence: str
):
    frame = simulate((REGIME,), effect, n=12)
    decided = taken(study, frame, SeedsRule(until_half_width=width, pilot=5, max=most))

    headline = analyse(study(frame, (REGIME,), primary=PRIMARY, two_stage=True, look=decided)).responses[0].headline

    assert "Seeds were added by Stein's two-stage rule with one look: after 5 complete pilot seeds" in headline
    assert sentence in headline


def test_before_the_look_the_results_are_called_interim(study: MakeStudy, simulate: Simulate):
    frame = simulate((REGIME,), effect, n=3)

    findings = analyse(study(frame, (REGIME,), primary=PRIMARY, two_stage=True))

    assert "The number of seeds is not decided yet" in findings.responses[0].headline
    assert findings.look is None


def test_the_promise_belongs_to_the_response_of_the_primary_hypothesis(
    study: MakeStudy, simulate: Simulate, response: MakeResponse
):
    frame = simulate((REGIME,), effect, n=12)
    frame["loss"] = 2 - frame["accuracy"] ** 2
    own = Hypothesis(contrast="small - none", over="regime", response="loss")
    responses = (response(), response("loss", bounded="positive", higher_is_better=False))
    data = study(frame, (REGIME,), primary=own, responses=responses, two_stage=True)
    decided = look(replace(data, trials=frame[frame["replicate"] < 5]), RULE, "now")

    accuracy, loss = analyse(replace(data, look=decided)).responses

    assert decided.response == "loss"
    assert ("Stein" in accuracy.headline, "Stein" in loss.headline) == (False, True)


@pytest.mark.slow
def test_the_interval_covers_as_promised(study: MakeStudy, simulate: Simulate):
    """3,000 studies with a true effect of 0.02, whose per-seed SD is 1.24 times the half width that is promised."""
    rule = SeedsRule(until_half_width=0.01, pilot=5, max=100)
    covered = narrow = 0
    for seed in range(3000):
        frame = simulate((REGIME,), effect, n=100, sd=0.0088, seed=seed)
        decided = taken(study, frame, rule)
        own = frame[frame["replicate"] < decided.replicates]
        found = analyse(study(own, (REGIME,), primary=PRIMARY, two_stage=True, look=decided)).responses[0].effects[0]
        covered += found.interval.low <= 0.02 <= found.interval.high
        narrow += found.interval.high - found.interval.low <= 0.02 * (1 + 1e-9)
    assert narrow == 3000
    assert 0.94 <= covered / 3000 <= 0.96


@pytest.mark.slow
def test_looking_until_the_interval_is_narrow_covers_less():
    """20,000 series with an SD of twice the half width: Stein's rule, and the ordinary interval seed by seed."""
    rng, n0, most = np.random.default_rng(1), 5, 400
    t_n = student_t.isf(0.025, np.arange(n0, most + 1) - 1)
    stein = naive = 0
    for _ in range(20_000):
        values = rng.normal(0, 2.0, most)
        sd = values[:n0].std(ddof=1)
        n = min(most, seeds_for_half_width(float(sd), n0, 1.0, 0.05))
        stein += abs(values[:n].mean()) <= t_n[0] * sd / n**0.5
        n_N, sum_N, square_N = np.arange(1, most + 1), np.cumsum(values), np.cumsum(values**2)
        variance_N = (square_N - sum_N**2 / n_N)[n0 - 1 :] / (n_N[n0 - 1 :] - 1)
        half_N = t_n * np.sqrt(variance_N / n_N[n0 - 1 :])
        stop = int(np.argmax(half_N <= 1.0))
        naive += abs(sum_N[n0 - 1 + stop] / (n0 + stop)) <= half_N[stop]
    assert 0.94 <= stein / 20_000 <= 0.96
    assert naive / 20_000 < 0.93
