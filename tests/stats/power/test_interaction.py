"""Simulated power of interactions: against R's noncentral F where that is exact, and against simulated trials."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cnnbench.spec import Hypothesis
from cnnbench.stats.omnibus.heteroscedastic import ats
from cnnbench.stats.omnibus.noncentral import f_power
from cnnbench.stats.omnibus.within import within_test
from cnnbench.stats.planning.asked import asked, planned_grid
from cnnbench.stats.power.interaction import (
    QUICK_STUDIES,
    IndependentSeeds,
    Shape,
    SharedSeeds,
    largest_difference,
    smallest_pattern,
)
from cnnbench.stats.trials.cells import cell_data, grid
from cnnbench.stats.trials.models import term_basis
from cnnbench.types import Factor

if TYPE_CHECKING:
    from cnnbench.stats.trials.cells import CellData
    from tests.stats.conftest import Oracle

DEPTH = Factor("depth", (8, 16, 32), "log2")
SIZE = Factor("size", (32, 64, 128), "log2")


def shape_of(*factors: Factor, names: tuple[str, ...] = ("depth", "size"), missing: int = 0) -> Shape:
    """Return the interaction of some factors on a grid whose last cells are not planned."""
    cells = grid(factors)
    planned = planned_grid(factors, cells[: len(cells) - missing])
    question = asked(planned, Hypothesis(interaction=names), None)
    seen_M = planned.seen_M
    shape = Shape(question.basis_MR[seen_M], question.contrasts_PM[:, seen_M], np.zeros(int(seen_M.sum())))
    return replace(shape, pattern_M=smallest_pattern(shape, np.eye(int(seen_M.sum()))))


def trials(y_KM: np.ndarray, factors: tuple[Factor, ...], *, paired: bool) -> CellData:
    num_cells = prod(len(factor.levels) for factor in factors)
    cell_N, replicate_N = np.tile(np.arange(num_cells), len(y_KM)), np.repeat(np.arange(len(y_KM)), num_cells)
    return cell_data(factors, cell_N, replicate_N, y_KM.ravel(), paired=paired)


@pytest.mark.parametrize("case", ["c01", "c03", "c05"])
def test_power_at_the_observed_means_is_that_of_r(oracle: Oracle, case: str):
    """R: pf(qf(0.95, df1, df2), df1, df2, ncp, lower = FALSE) with the interaction of the unweighted cell means."""
    loaded = oracle(case)
    data = loaded.cells()
    records = loaded.r["power_apriori_interaction_at_observed_means"]
    basis_MR = term_basis(data, (0, 1))
    shape = Shape(basis_MR, np.eye(len(basis_MR)), basis_MR @ (basis_MR.T @ data.mean_M))
    test = IndependentSeeds(shape, np.full(len(basis_MR), data.ss_within / data.df_within), 0.05, None, complete=True)
    assert len(records) == 6
    for record in records:
        assert basis_MR.shape[1] == record["df1"]
        assert test.classical(record["n_per_cell"], 1.0) == pytest.approx(record["power"], rel=1e-8)
        assert f_power(record["ncp"], record["df1"], record["df2"], 0.05) == pytest.approx(record["power"], rel=1e-8)


@pytest.mark.parametrize(("case", "df1", "df2"), [("c01", 9, 64), ("c03", 6, 35), ("c05", 6, 70)])
def test_power_from_an_observed_f_is_that_of_r(oracle: Oracle, case: str, df1: int, df2: int):
    record = oracle(case).r["power_post_hoc_interaction"]
    assert record["cohens_f2"] * df2 == pytest.approx(record["ncp_f2_times_df2"], rel=1e-12)
    assert f_power(record["ncp_f2_times_df2"], df1, df2, 0.05) == pytest.approx(record["power"], rel=1e-8)
    wider = record["cohens_f2"] * (df1 + df2 + 1)
    assert f_power(wider, df1, df2, 0.05) == pytest.approx(record["power_pwr_f2_test"], rel=1e-8)


@pytest.mark.parametrize(
    ("factors", "size"),
    [
        ((DEPTH, SIZE), 1 / 4),
        ((DEPTH, SIZE, Factor("data", ("a", "b"))), 2 / 4),
    ],
)
def test_the_smallest_pattern_is_one_difference_of_differences(factors: tuple[Factor, ...], size: float):
    shape = shape_of(*factors)
    assert largest_difference(shape, shape.pattern_M) == pytest.approx(1)
    assert shape.pattern_M @ shape.pattern_M == pytest.approx(size)
    assert shape.basis_MR @ (shape.basis_MR.T @ shape.pattern_M) == pytest.approx(shape.pattern_M)


def test_no_interaction_with_that_difference_is_smaller():
    shape = shape_of(DEPTH, SIZE)
    rng = np.random.default_rng(3)
    for _ in range(200):
        other_M = shape.basis_MR @ rng.normal(size=4)
        other_M = other_M / largest_difference(shape, other_M)
        assert other_M @ other_M >= shape.pattern_M @ shape.pattern_M - 1e-12


def test_the_pattern_lies_where_noise_is_largest():
    shape = shape_of(DEPTH, SIZE)
    variance_M = np.ones(9)
    variance_M[[4, 5, 7, 8]] = 9.0
    pattern_M = smallest_pattern(shape, np.diag(variance_M))
    assert abs((pattern_M[4] - pattern_M[5]) - (pattern_M[7] - pattern_M[8])) == pytest.approx(1)


def test_with_equal_spread_shared_seeds_have_the_power_of_the_uncorrected_f_at_most():
    """Greenhouse and Geisser's correction costs power where there is nothing to correct, less so with more seeds."""
    shape = shape_of(DEPTH, SIZE)
    test = SharedSeeds(shape, np.eye(4), 0.05, None)
    for seeds, effect, loss in ((6, 2.4, 0.25), (40, 0.9, 0.03)):
        exact = f_power(seeds * effect**2 / 4, 4, 4 * (seeds - 1), 0.05)
        assert exact - loss <= test.detect(seeds, effect) <= exact + 0.01


def test_with_missing_cells_the_simulated_f_is_the_noncentral_f():
    shape = shape_of(DEPTH, SIZE, missing=1)
    test = IndependentSeeds(shape, np.full(8, 2.0), 0.05, None, complete=False)
    for seeds, effect in ((3, 4.0), (8, 2.5), (30, 1.0)):
        assert test.detect(seeds, effect) == pytest.approx(test.classical(seeds, effect), abs=0.015)


def test_without_an_effect_the_tests_reject_at_most_as_often_as_alpha_says():
    shape = shape_of(DEPTH, SIZE)
    independent = IndependentSeeds(shape, np.geomspace(1, 36, 9), 0.05, None, complete=True)
    assert independent.detect(5, 0.0) <= 0.06
    assert SharedSeeds(shape, np.diag([1.0, 2.0, 4.0, 8.0]), 0.05, None).detect(5, 0.0) <= 0.06


@pytest.mark.parametrize("seeds", [3, 5, 12])
def test_drawn_scores_are_those_of_simulated_trials_with_shared_seeds(seeds: int):
    """Fewer seeds than contrasts, as many, and more: the same mean, and the same rate of rejection."""
    rng = np.random.default_rng(seeds)
    root = rng.normal(size=(9, 9))
    shape = shape_of(DEPTH, SIZE)
    covariance_RR = shape.basis_MR.T @ root @ root.T @ shape.basis_MR
    test = SharedSeeds(shape, covariance_RR, 0.05, None)
    effect = 4 * test.unit / seeds**0.5
    hits = 0
    for _ in range(1000):
        y_KM = rng.normal(size=(seeds, 9)) @ root.T + effect * shape.pattern_M
        hits += within_test(trials(y_KM, (DEPTH, SIZE), paired=True), (0, 1)).p_gg < 0.05
    assert test.detect(seeds, effect) == pytest.approx(hits / 1000, abs=0.05)
    halves = np.concatenate([half_SRQ for _, half_SRQ in test._studies(seeds)])
    mean_RR = (halves @ halves.swapaxes(1, 2)).mean(axis=0)
    assert mean_RR == pytest.approx(covariance_RR, abs=0.05 * float(np.trace(covariance_RR)))


@pytest.mark.parametrize("seeds", [2, 5])
def test_drawn_means_and_variances_are_those_of_simulated_trials_with_independent_seeds(seeds: int):
    rng = np.random.default_rng(seeds)
    sd_M = np.geomspace(1, 4, 9)
    test = IndependentSeeds(shape_of(DEPTH, SIZE), sd_M**2, 0.05, None, complete=True)
    effect = 4 * test.unit / seeds**0.5
    hits = 0
    for _ in range(1000):
        y_KM = rng.normal(size=(seeds, 9)) * sd_M + effect * test.shape.pattern_M
        hits += ats(trials(y_KM, (DEPTH, SIZE), paired=False), (0, 1)).p < 0.05
    assert test.detect(seeds, effect) == pytest.approx(hits / 1000, abs=0.05)


def both_kinds() -> list[SharedSeeds | IndependentSeeds]:
    shape = shape_of(DEPTH, SIZE)
    return [
        SharedSeeds(shape, np.diag([1.0, 1.5, 2.0, 4.0]), 0.05, 12.0),
        IndependentSeeds(shape, np.geomspace(1, 4, 9), 0.05, 20.0, complete=True),
    ]


@pytest.mark.parametrize("test", both_kinds())
def test_power_grows_with_effect_margin_and_seeds_and_falls_with_noise(test: SharedSeeds | IndependentSeeds):
    chance = 0.02
    unit = test.unit
    for figure, sizes in ((test.detect, (0.5, 1, 2, 4)), (test.equivalence, (0.5, 1, 2, 4))):
        by_size = [figure(6, size * unit) for size in sizes]
        by_seeds = [figure(seeds, 2 * unit) for seeds in (2, 4, 8, 16, 64)]
        for powers in (by_size, by_seeds):
            assert all(later >= earlier - chance for earlier, later in pairwise(powers))
            assert powers[-1] > powers[0]
    assert test.louder(2).detect(6, 2 * unit) < test.detect(6, 2 * unit)
    assert test.louder(2).equivalence(8, 1.5 * unit) < test.equivalence(8, 1.5 * unit)
    assert (test.louder(2).studies, test.louder(2).unit) == (QUICK_STUDIES, 2 * unit)


@pytest.mark.parametrize("test", both_kinds())
def test_the_same_question_has_the_same_answer(test: SharedSeeds | IndependentSeeds):
    assert test.detect(7, test.unit) == test.detect(7, test.unit)
    assert test.equivalence(7, 3 * test.unit) == test.equivalence(7, 3 * test.unit)


def test_only_the_ratio_of_effect_and_noise_counts():
    for test in both_kinds():
        twice = test.louder(3.0)
        assert twice.detect(9, 3 * test.unit) == pytest.approx(
            replace(test, studies=QUICK_STUDIES).detect(9, test.unit)
        )
