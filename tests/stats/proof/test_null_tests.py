"""The tests on many studies at once are those of single studies."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cnnbench.spec import Hypothesis
from cnnbench.stats.engine import PrimaryTest, primary_test
from cnnbench.stats.proof.null_rate import _simulation
from cnnbench.types import Factor, Refusal

if TYPE_CHECKING:
    from tests.stats.conftest import MakeStudy, Simulate

DEPTH = Factor("depth", (8, 16, 32), "log2")
SIZE = Factor("size", (32, 64, 128), "log2")
SLOPE = Hypothesis(slope=("depth", "size"))
INTERACTION = Hypothesis(interaction=("depth", "size"))
PAIR = Hypothesis(contrast="8 - 32", over="depth")


def mean(cell: dict[str, Any]) -> float:
    return 0.6 + 0.02 * np.log2(cell["depth"]) + 0.001 * cell["size"] * np.log2(cell["depth"]) / 64


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("hypothesis", [SLOPE, INTERACTION, PAIR], ids=["slope", "interaction", "contrast"])
@pytest.mark.parametrize("design", ["complete", "failed", "missing", "one trial in a cell", "no spread", "one seed"])
def test_every_design_has_its_own_test(
    study: MakeStudy, simulate: Simulate, hypothesis: Hypothesis, design: str, *, paired: bool
):
    """The p of simulated studies equals the analysis of a study with the same moments or replicates."""
    frame = simulate((DEPTH, SIZE), mean, n=1 if design == "one seed" else 5, seed_sd=0.02)
    corner = (frame["depth"] == 8) & (frame["size"] == 32)
    if design == "failed":
        frame = frame[~(corner & (frame["replicate"] > 2))]
    elif design == "missing":
        frame = frame[~((frame["depth"] == 16) & (frame["size"] == 32))]
    elif design == "one trial in a cell":
        frame = frame[~(corner & (frame["replicate"] > 0))]
    elif design == "no spread":
        frame.loc[corner, "accuracy"] = 0.5
    found = primary_test(study(frame, (DEPTH, SIZE), primary=hypothesis, paired=paired))
    if isinstance(found, Refusal):
        assert design in {"one seed", "one trial in a cell"}
        return
    made = _simulation(found)
    assert not isinstance(made, Refusal), made
    outcome = made.observed()
    effect = found.draft.effect
    assert outcome.p_S[0] == pytest.approx(effect.p, rel=1e-8)
    if outcome.beside_p_S is not None:
        assert outcome.beside_p_S[0] == pytest.approx(effect.robust_p, rel=1e-8)
    if outcome.estimate_S is not None:
        assert effect.interval is not None
        half = (effect.interval.high - effect.interval.low) / 2
        assert outcome.half_width_S[0] == pytest.approx(half, rel=1e-8)
    drawn = made.draw(np.random.default_rng(1), 3).p_S
    assert len(set(drawn)) == 3
    assert ((drawn >= 0) & (drawn <= 1)).all()


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("hypothesis", [SLOPE, INTERACTION, PAIR], ids=["slope", "interaction", "contrast"])
def test_nothing_of_the_tested_effect_is_left_in_the_simulated_means(
    study: MakeStudy, simulate: Simulate, hypothesis: Hypothesis, *, paired: bool
):
    frame = simulate((DEPTH, SIZE), mean, n=4)
    frame = frame[~((frame["depth"] == 16) & (frame["size"] == 32))]
    found = primary_test(study(frame, (DEPTH, SIZE), primary=hypothesis, paired=paired))
    assert isinstance(found, PrimaryTest)
    made = _simulation(found)
    quiet = replace(made, model=replace(made.model, sd_M=np.where(found.cells.seen_M, 1e-9, np.nan)))
    loud = replace(made, model=replace(quiet.model, mean_M=found.cells.mean_M))
    rng = np.random.default_rng(2)
    without, with_it = (np.median(each.draw(rng, 200).p_S) for each in (quiet, loud))
    assert 0.2 < without < 0.9
    assert with_it < 1e-6
