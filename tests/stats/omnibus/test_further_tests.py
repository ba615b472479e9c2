"""Tests that stand beside those that decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from cnnbench.stats import analyse
from cnnbench.stats.omnibus.further_tests import further_tests
from cnnbench.stats.omnibus.within import within_test
from cnnbench.stats.trials.cells import cell_data
from cnnbench.types import Factor

if TYPE_CHECKING:
    from cnnbench.types import TestRow
    from tests.stats.conftest import Case, MakeStudy, Oracle, Same, Simulate


def simple_effects(case: Case, within: str) -> dict[str, TestRow]:
    tables, _ = further_tests(case.cells(), 0.05)
    return {row.term: row for table in tables if table.key == f"simple_effects:{within}" for row in table.rows}


def assert_equal_r(rows: dict[str, TestRow], records: list[dict[str, Any]], within: str, same: Same) -> None:
    assert list(rows) == [f"{record['term']} at {within} {record[within]}" for record in records]
    for row, record in zip(rows.values(), records, strict=True):
        assert same(row.statistic, record["F"])
        assert (row.df1, row.df2) == (record["df1"], record["df2"])
        assert same(row.p, record["p"])


@pytest.mark.parametrize("case", ["c01", "c03", "c05", "c04"])
def test_simple_effects_equal_r(oracle: Oracle, same: Same, case: str):
    loaded = oracle(case)
    assert_equal_r(simple_effects(loaded, "depth"), loaded.r["joint_tests_size_within_depth"], "depth", same)


@pytest.mark.parametrize("case", ["c01", "c04"])
def test_simple_effects_of_the_other_factor_equal_r(oracle: Oracle, same: Same, case: str):
    loaded = oracle(case)
    assert_equal_r(simple_effects(loaded, "size"), loaded.r["joint_tests_depth_within_size"], "size", same)


def test_simple_effects_are_adjusted_over_their_table_which_is_named(oracle: Oracle):
    tables, _ = further_tests(oracle("c01").cells(), 0.05)
    table = next(table for table in tables if table.key == "simple_effects:depth")
    assert table.family == "simple effects within depth (4 tests, Holm)"
    largest = max(table.rows, key=lambda row: row.p)
    assert largest.p_adjusted == largest.p
    assert min(row.p_adjusted for row in table.rows) == pytest.approx(4 * min(row.p for row in table.rows))


def test_a_missing_cell_takes_a_degree_of_freedom_from_its_level_alone(oracle: Oracle):
    rows = simple_effects(oracle("c04"), "depth")
    assert [row.note for row in rows.values()] == ["", "", "", "2 of 3 df; the rest lies in missing cells"]


def test_simple_effects_of_shared_seeds_are_repeated_measures_within_the_level(oracle: Oracle):
    data = oracle("c07").cells(paired=True)
    tables, refusals = further_tests(data, 0.05)
    assert ([table.key for table in tables], refusals) == (["simple_effects:depth", "simple_effects:size"], [])
    alone = within_test(data.at_level(0, 1), (1,))
    row = tables[0].rows[1]
    assert (row.term, row.statistic, row.p) == ("size at depth 2", alone.f, alone.p_gg)


def test_with_three_factors_the_interaction_of_two_is_tested_within_the_third(simulate: Simulate, study: MakeStudy):
    factors = (Factor("a", (1, 2)), Factor("b", (1, 2)), Factor("c", ("x", "y")))
    frame = simulate(factors, lambda cell: 0.1 * cell["a"])
    (found,) = analyse(study(frame, factors, paired=False)).responses
    table = next(table for table in found.further_tests if table.key == "simple_effects:c")
    assert [row.term for row in table.rows][:3] == ["a at c x", "b at c x", "a:b at c x"]


def test_independent_trials_get_welch_james_and_hc3_beside_the_classical_f(oracle: Oracle):
    tables, refusals = further_tests(oracle("c03").cells(), 0.05)
    assert [table.key for table in tables][:2] == ["welch_james", "anova_hc3"]
    assert [[row.term for row in table.rows] for table in tables[:2]] == [["depth", "size", "depth:size"]] * 2
    assert refusals == []


def test_with_a_missing_cell_they_test_the_interaction_alone(oracle: Oracle):
    tables, _ = further_tests(oracle("c04").cells(), 0.05)
    assert [row.term for row in tables[0].rows + tables[1].rows] == ["depth:size", "depth:size"]
    assert tables[1].rows[0].note == "8 of 9 df; the rest lies in missing cells"


def test_with_a_missing_cell_a_cell_without_spread_is_named_and_refused():
    factors = (Factor("depth", (8, 18)), Factor("size", (16, 32)))
    y_N = np.array([1.0, 1.1, 2.0, 2.0, 3.0, 3.2])
    data = cell_data(factors, np.repeat([0, 1, 2], 2), np.arange(6), y_N, paired=False)
    tables, (refusal,) = further_tests(data, 0.05)
    assert "welch_james" not in [table.key for table in tables]
    assert "the trials do not differ at all in depth 8, size 32" in refusal.why


def test_one_trial_per_cell_bears_none_of_them(oracle: Oracle):
    assert further_tests(oracle("c09").cells(), 0.05) == ([], [])


def test_main_effects_within_a_level_need_a_connected_part(simulate: Simulate, study: MakeStudy):
    factors = (Factor("a", (1, 2)), Factor("b", (1, 2)), Factor("c", ("x", "y")))
    frame = simulate(factors, lambda cell: 0.1 * cell["a"])
    frame = frame[(frame["c"] == "y") | (frame["a"] == frame["b"])]
    (found,) = analyse(study(frame, factors, paired=False)).responses
    table = next(table for table in found.further_tests if table.key == "simple_effects:c")
    assert [row.term for row in table.rows] == ["a at c y", "b at c y", "a:b at c y"]
