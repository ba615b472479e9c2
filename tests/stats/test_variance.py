"""Where the noise comes from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from cnnbench.spec import Hypothesis
from cnnbench.stats import analyse
from cnnbench.types import Factor

if TYPE_CHECKING:
    from cnnbench.types import VarianceBudget
    from tests.stats.conftest import MakeResponse, MakeStudy, Oracle, Simulate

FACTORS = (Factor("depth", (1, 2, 4), "log2"), Factor("size", (16, 32), "log2"))


def budget_of(data: object) -> VarianceBudget:
    found = analyse(data).responses[0].variance
    assert found is not None
    return found


def test_shared_seeds_have_a_seed_and_a_residual_component(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda _: 0.5, n=400, sd=0.01, seed_sd=0.03)
    budget = budget_of(study(frame, FACTORS, primary=Hypothesis(slope=("depth",)), replicates=400))
    seed, residual = budget.components
    assert (seed.name, residual.name) == ("seed", "residual")
    assert seed.sd == pytest.approx(0.03, rel=0.1)
    assert residual.sd == pytest.approx(0.01, rel=0.05)
    assert (seed.df, residual.df) == (399, 399 * 5)
    assert budget.pairing_gain == pytest.approx(1 + 0.03**2 / 0.01**2, rel=0.2)
    assert budget.pairing_gain_interval.low < 10 < budget.pairing_gain_interval.high
    assert budget.pairing_gain_interval.low > 7
    assert budget.mean_examples is None


def test_the_components_equal_those_of_r(oracle: Oracle, study: MakeStudy):
    case = oracle("c07")
    budget = budget_of(study(case.frame, case.factors, replicates=8))
    mean_square = {row["term"]: row["sum_sq"] / row["df"] for row in case.r["fixed_block_type3"]}
    assert budget.components[1].variance == pytest.approx(mean_square["Residuals"], rel=1e-8)
    expected = (mean_square["seed"] - mean_square["Residuals"]) / 9
    assert budget.components[0].variance == pytest.approx(expected, rel=1e-8)


def test_a_negative_estimate_stays_visible_and_has_no_sd(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda _: 0.5, n=4, sd=0.01)
    frame["accuracy"] -= frame.groupby("replicate")["accuracy"].transform("mean")  # seeds more alike than chance
    seed = budget_of(study(frame, FACTORS, replicates=4)).components[0]
    assert seed.variance < 0
    assert seed.sd == 0


def test_examples_alone_give_the_binomial_variance(study: MakeStudy, response: MakeResponse):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        [
            {"depth": depth, "replicate": k, "accuracy": rng.binomial(200, 0.8) / 200}
            for depth in (1, 2)
            for k in range(300)
        ]
    )
    frame["trial_id"] = [f"trial{i}" for i in range(len(frame))]
    frame["concurrent_trials"], frame["environment_key"], frame["num_examples"] = 1, "here", 200
    declared = study(frame, (Factor("depth", (1, 2)),), paired=False, responses=(response(share_of_examples=True),))
    between, examples = budget_of(declared).components
    assert examples.variance == pytest.approx(0.8 * 0.2 / 200, rel=0.02)
    assert between.variance == pytest.approx(examples.variance, rel=0.2)
    assert examples.df is None
    assert budget_of(declared).mean_examples == 200


def test_adding_a_constant_changes_no_component(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda _: 0.5, seed_sd=0.02)
    shifted = frame.assign(accuracy=frame["accuracy"] + 0.25)
    first, second = (budget_of(study(one, FACTORS)).components for one in (frame, shifted))
    for one, same in zip(first, second, strict=True):
        assert one.variance == pytest.approx(same.variance, rel=1e-9)
        assert replace(one, variance=0.0, sd=0.0) == replace(same, variance=0.0, sd=0.0)


def test_one_trial_per_cell_has_no_budget(study: MakeStudy, simulate: Simulate):
    frame = simulate(FACTORS, lambda cell: cell["depth"] / 10, n=1)
    assert analyse(study(frame, FACTORS, replicates=1)).responses[0].variance is None


def test_the_gain_of_seeds_that_have_nothing_in_common_is_one_within_its_interval(study: MakeStudy, simulate: Simulate):
    """Nominally in 95 % of studies; the two variances are taken for independent, which they are not quite."""
    inside, large = 0, 0
    for seed in range(200):
        frame = simulate(FACTORS, lambda _: 0.5, n=5, sd=0.01, seed=seed)
        budget = budget_of(study(frame, FACTORS, primary=Hypothesis(slope=("depth",))))
        inside += budget.pairing_gain_interval.low < 1 < budget.pairing_gain_interval.high
        large += budget.pairing_gain > 1.78
    assert inside >= 180
    assert large > 20  # so a figure alone would be read as a gain
