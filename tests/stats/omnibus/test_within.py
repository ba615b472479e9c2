"""Repeated measures: replicates with shared seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cnnbench.stats.omnibus.anova import omnibus
from cnnbench.stats.omnibus.within import within_test
from cnnbench.stats.trials.cells import cell_data
from cnnbench.stats.trials.models import term_name, terms
from cnnbench.types import Factor

if TYPE_CHECKING:
    from tests.stats.conftest import Oracle, Same


def test_it_equals_r_with_both_corrections(oracle: Oracle, same: Same):
    loaded = oracle("c07")
    data = loaded.cells(paired=True)
    r = {key: {row["term"]: row for row in rows} for key, rows in loaded.r["rm_anova"].items()}
    for term in terms(data.active):
        found, name = within_test(data, term), term_name(data.factors, term)
        plain, corrected = r["univariate"][name], r["sphericity_corrections"][name]
        assert same(found.sum_sq, plain["sum_sq"])
        assert same(found.f, plain["F"])
        assert (found.df1, found.df2) == (plain["df1"], plain["df2"])
        assert same(found.p, plain["p"])
        assert same(found.epsilon_gg, corrected["GG eps"])
        assert same(found.p_gg, corrected["Pr(>F[GG])"])
        assert same(found.epsilon_hf, corrected["HF eps"])
        assert same(found.p_hf, corrected["Pr(>F[HF])"])


def test_the_table_prints_the_greenhouse_geisser_line_of_afex(oracle: Oracle, same: Same):
    loaded = oracle("c07")
    (table,), refusals = omnibus(loaded.cells(paired=True), 0.05)
    assert table.key == "rm_anova"
    assert refusals == []
    for row, record in zip(table.rows, loaded.r["rm_anova"]["gg_table"], strict=True):
        assert row.term == record["term"]
        assert same(row.df1, record["df1"])
        assert same(row.df2, record["df2"])
        assert same(row.p, record["p"])
        assert same(row.partial_eta_sq, record["pes"])


def test_it_is_not_the_analysis_that_ignores_seeds(oracle: Oracle):
    loaded = oracle("c07")
    (table,), _ = omnibus(loaded.cells(paired=True), 0.05)
    naive = {record["term"]: record for record in loaded.r["naive_ignoring_seed_type3"]}
    for row in table.rows:
        assert row.statistic > 5 * naive[row.term]["F"]


def test_two_levels_give_the_square_of_the_paired_t(oracle: Oracle, same: Same):
    loaded = oracle("c15")
    found = within_test(loaded.cells(paired=True), (0,))
    assert same(found.f, loaded.r["paired_t"]["t"] ** 2)
    assert same(found.p_gg, loaded.r["paired_t"]["p"])


def test_replicates_with_a_gap_are_left_out():
    factors = (Factor("depth", (8, 18, 34)),)
    rng = np.random.default_rng(3)
    cell_N, replicate_N = np.tile(np.arange(3), 6), np.repeat(np.arange(6), 3)
    y_N = rng.normal(size=18)
    whole = cell_data(factors, cell_N[:15], replicate_N[:15], y_N[:15], paired=True)
    gap = cell_data(factors, cell_N[:17], replicate_N[:17], y_N[:17], paired=True)
    assert within_test(gap, (0,)).f == pytest.approx(within_test(whole, (0,)).f, rel=1e-10)


def test_a_cell_that_no_replicate_has_leaves_the_estimable_part():
    """A 3x3 grid without one corner: 3 of 4 interaction df, and main effects adjusted for each other."""
    factors = (Factor("depth", (8, 18, 34)), Factor("size", (32, 64, 128)))
    rng = np.random.default_rng(4)
    cell_N, replicate_N = np.tile(np.arange(8), 6), np.repeat(np.arange(6), 8)
    (table,), refusals = omnibus(cell_data(factors, cell_N, replicate_N, rng.normal(size=48), paired=True), 0.05)
    by_term = {row.term: row for row in table.rows}
    assert by_term["depth:size"].note.startswith("3 of 4 df")
    assert by_term["depth"].note.startswith("uncorrected df 2, 10")
    assert refusals == []


def test_huynh_feldt_is_undefined_with_too_few_replicates_for_the_df():
    factors = (Factor("depth", (8, 18, 34, 50, 101)),)
    rng = np.random.default_rng(5)
    data = cell_data(factors, np.tile(np.arange(5), 2), np.repeat([0, 1], 5), rng.normal(size=10), paired=True)
    found = within_test(data, (0,))
    assert found.epsilon_hf is None
    assert found.epsilon_gg == pytest.approx(0.25)


def test_one_complete_replicate_is_refused():
    factors = (Factor("depth", (8, 18)),)
    data = cell_data(factors, np.array([0, 1, 0]), np.array([0, 0, 1]), np.array([1.0, 2.0, 1.5]), paired=True)
    made, refusals = omnibus(data, 0.05)
    assert made == []
    assert "Only 1 replicate(s)" in refusals[0].why


def test_replicates_that_agree_exactly_are_refused():
    factors = (Factor("depth", (8, 18)),)
    data = cell_data(
        factors, np.tile([0, 1], 3), np.repeat([0, 1, 2], 2), np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), paired=True
    )
    made, refusals = omnibus(data, 0.05)
    assert made == []
    assert "same differences" in refusals[0].why
