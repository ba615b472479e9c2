"""Remarks beside the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cnnbench.spec import Hypothesis
from cnnbench.stats import analyse
from cnnbench.types import Factor

if TYPE_CHECKING:
    from cnnbench.stats import AnalysisInput
    from tests.stats.conftest import MakeStudy, Oracle, Simulate

REGIME = Factor("regime", ("none", "gradual"))
CONTRAST = Hypothesis(contrast="gradual - none", over="regime")


def notes_of(data: AnalysisInput) -> str:
    return " ".join(analyse(data).responses[0].notes)


def test_the_gain_from_pairing_is_told(study: MakeStudy, simulate: Simulate):
    frame = simulate((REGIME,), lambda _: 0.7, sd=0.002, seed_sd=0.05, n=6)
    notes = notes_of(study(frame, (REGIME,), primary=CONTRAST))
    by_regime = frame.pivot_table(index="replicate", columns="regime", values="accuracy")
    ratio = (by_regime.var().sum() / (by_regime["gradual"] - by_regime["none"]).var()) ** 0.5
    assert f"would be {ratio:.1f} times as large" in notes
    assert "correlate by 1.00" in notes
    assert "do not tell" not in notes
    alone = notes_of(study(simulate((REGIME,), lambda _: 0.7, sd=0.01, n=4), (REGIME,), primary=CONTRAST))
    assert "; so few replicates do not tell whether that is a gain." in alone


def test_unequal_spread_is_told_with_both_cells(study: MakeStudy, simulate: Simulate):
    frame = simulate((REGIME,), lambda _: 0.7)
    frame.loc[frame["regime"] == "gradual", "accuracy"] *= 10
    assert "times as large in regime gradual as in regime none" in notes_of(study(frame, (REGIME,), paired=False))


def test_incomplete_replicates_are_shown_with_fixed_blocks_beside(study: MakeStudy, simulate: Simulate):
    frame = simulate((REGIME,), lambda _: 0.7, n=6).drop(index=[0])
    found = analyse(study(frame, (REGIME,), primary=CONTRAST)).responses[0]
    assert found.effects[0].n == 5
    assert "left out: replicate 0" in found.effects[0].method
    assert any(note.startswith("Over all 11 trials, gaps included") for note in found.notes)


def test_two_trials_per_cell_are_called_too_few_for_a_variance(study: MakeStudy, simulate: Simulate):
    two = study(simulate((REGIME,), lambda _: 0.7, n=2), (REGIME,), primary=CONTRAST, paired=False)
    assert "hardly known" in notes_of(two)
    three = study(simulate((REGIME,), lambda _: 0.7, n=3), (REGIME,), primary=CONTRAST, paired=False)
    assert "hardly known" not in notes_of(three)


@pytest.mark.parametrize(
    ("paired", "text"), [(True, "run over the seeds' averages"), (False, "use the pooled variance")]
)
def test_marginal_means_say_which_error_they_use(study: MakeStudy, simulate: Simulate, text: str, *, paired: bool):
    assert text in notes_of(study(simulate((REGIME,), lambda _: 0.7), (REGIME,), paired=paired))


def test_an_effect_at_a_level_is_not_judged_by_a_term_that_averages_over_all(study: MakeStudy, simulate: Simulate):
    """The interaction is at size 64 only; the primary effect is at size 32."""
    factors = (Factor("depth", (8, 16)), Factor("size", (32, 64)), Factor("regime", ("none", "gradual")))

    def only_there(cell: dict[str, object]) -> float:
        return 0.7 + 0.05 * (cell == {"depth": 16, "size": 64, "regime": "gradual"})

    held = Hypothesis(contrast="gradual - none", over="regime", at={"size": 32})
    frame = simulate(factors, only_there, n=6, sd=0.005)
    notes = analyse(study(frame, factors, primary=held)).responses[0].notes
    average = analyse(study(frame, factors, primary=held.model_copy(update={"at": {}}))).responses[0].notes
    assert any("The primary effect differs between levels of depth" in note for note in average)
    assert not any("The primary effect differs" in note for note in notes)


def test_an_average_over_levels_that_differ_is_flagged(study: MakeStudy, simulate: Simulate):
    factors = (Factor("depth", (8, 16)), REGIME)
    frame = simulate(factors, lambda cell: 0.7 + 0.02 * (cell == {"depth": 16, "regime": "gradual"}), sd=0.001)
    notes = notes_of(study(frame, factors, primary=CONTRAST))
    assert "The primary effect differs between levels of depth (depth:regime, p < 0.001, exploratory)" in notes
    even = simulate(factors, lambda cell: 0.7 + 0.02 * (cell["regime"] == "gradual"), sd=0.001)
    assert "differs between levels" not in notes_of(study(even, factors, primary=CONTRAST))


def test_terms_on_which_both_omnibus_tests_disagree_are_named(study: MakeStudy, oracle: Oracle):
    loaded = oracle("c05")
    notes = notes_of(study(loaded.frame, loaded.factors, paired=False))
    assert "depth:size: the ANOVA-type statistic (p = 0.143) and the classical F (p < 0.001) disagree." in notes


def test_an_average_that_hides_its_levels_is_told_wherever_it_is_asked(study: MakeStudy, simulate: Simulate, response):
    """Gradual helps on one dataset and harms on the other."""
    dataset = Factor("dataset", ("x", "y"))
    turn = {"none": 0.0, "gradual": 0.1}
    frame = simulate(
        (dataset, REGIME),
        lambda cell: 0.5 + turn[cell["regime"]] * (1 if cell["dataset"] == "x" else -0.5),
        seed_sd=0.01,
    )
    frame["again"], frame["plain"] = frame["accuracy"], 0.5 + 0.01 * np.random.default_rng(0).normal(size=len(frame))
    own = study(
        frame,
        (dataset, REGIME),
        primary=CONTRAST,
        also=("again",),
        further=(Hypothesis(interaction=("dataset", "regime"), response="again"),),
        responses=(response(), response("again"), response("plain")),
    )
    first, second, third = (" ".join(found.notes) for found in analyse(own).responses)
    assert "The primary effect differs between levels of dataset (dataset:regime, p < 0.001, exploratory)" in first
    # Declared for this response, so not exploratory.
    assert "The effect gradual - none differs between levels of dataset (dataset:regime, p < 0.001): read it" in second
    assert "differs between levels" not in third
