"""The ANOVA-type statistic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cnnbench.stats.omnibus.anova import omnibus
from cnnbench.stats.omnibus.heteroscedastic import ats, ats_obstacle, hc3, welch_james
from cnnbench.stats.trials.cells import cell_data
from cnnbench.stats.trials.models import term_name, terms
from cnnbench.types import Factor

if TYPE_CHECKING:
    from tests.stats.conftest import Oracle, Same


@pytest.mark.parametrize("case", ["c01", "c03", "c05"])
def test_it_equals_r(oracle: Oracle, same: Same, case: str):
    loaded = oracle(case)
    data = loaded.cells()
    for term in terms(data.active):
        found, r = ats(data, term), loaded.r["heteroscedastic_tests"][term_name(data.factors, term)]
        assert same(found.statistic, r["ATS"])
        assert same(found.df1, r["ATS_df1"])
        assert same(found.df2, r["ATS_df2"])
        assert same(found.p, r["ATS_p"])


def test_it_leads_the_tables_of_independent_trials(oracle: Oracle):
    made, refusals = omnibus(oracle("c05").cells(), 0.05)
    assert [table.key for table in made] == ["ats", "anova_type3", "anova_type2"]
    assert refusals == []


def test_a_cell_with_one_trial_is_named_and_refused():
    data = cell_data(
        (Factor("depth", (8, 18)),), np.array([0, 0, 0, 1]), np.arange(4), np.array([1.0, 1.1, 1.3, 2.0]), paired=False
    )
    made, refusals = omnibus(data, 0.05)
    assert [table.key for table in made] == ["anova_type3"]
    assert "depth 18 has only one trial" in refusals[0].why


def test_a_cell_without_spread_is_named_and_refused():
    y_N = np.array([1.0, 1.1, 1.3, 2.0, 2.0, 2.0])
    data = cell_data((Factor("depth", (8, 18)),), np.repeat([0, 1], 3), np.arange(6), y_N, paired=False)
    assert ats_obstacle(data) == "the trials do not differ at all in depth 18"


@pytest.mark.parametrize("case", ["c01", "c03", "c05"])
def test_welch_james_and_hc3_equal_r(oracle: Oracle, same: Same, case: str):
    loaded = oracle(case)
    data = loaded.cells()
    hc3_by_term = {record["term"]: record for record in loaded.r["anova_type3_hc3"]}
    for term in terms(data.active):
        name = term_name(data.factors, term)
        ours, r = welch_james(data, term), loaded.r["heteroscedastic_tests"][name]
        assert same(ours.statistic, r["WJ_F"])
        assert (ours.df1, same(ours.df2, r["WJ_df2"])) == (r["WJ_df1"], True)
        assert same(ours.p, r["WJ_p"])
        ours, r = hc3(data, term), hc3_by_term[name]
        assert same(ours.statistic, r["F"])
        assert (ours.df1, ours.df2) == (r["df"], hc3_by_term["Residuals"]["df"])
        assert same(ours.p, r["p"])


def test_hc3_of_the_interaction_equals_r_with_a_missing_cell(oracle: Oracle, same: Same):
    loaded = oracle("c04")
    ours, r = hc3(loaded.cells(), (0, 1)), loaded.r["interaction_hc3"]
    assert same(ours.statistic, r["F"])
    assert (ours.df1, ours.df2) == (r["df1"], r["df2"])
    assert same(ours.p, r["p"])
