"""Omnibus tests against R, and the traps that statsmodels sets."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.stats import f_oneway

from cnnbench.stats.omnibus.anova import omnibus
from cnnbench.stats.omnibus.term_tests import type2_ss, type3_ss
from cnnbench.stats.trials.cells import cell_data
from cnnbench.stats.trials.models import terms
from cnnbench.types import Factor

if TYPE_CHECKING:
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.types import Refusal, TestRow
    from tests.stats.conftest import Oracle, Same, Simulate

ORACLE = Path(__file__).parents[1] / "oracle"


def tables(data: CellData) -> tuple[dict[str, dict[str, TestRow]], list[Refusal]]:
    made, refusals = omnibus(data, 0.05)
    return {table.key: {row.term: row for row in table.rows} for table in made}, refusals


def assert_equals_r(rows: dict[str, TestRow], records: list[dict[str, Any]], same: Same) -> None:
    expected = {record["term"]: record for record in records if record["term"] not in {"(Intercept)", "Residuals"}}
    assert set(rows) == set(expected)
    residual_df = next(record["df"] for record in records if record["term"] == "Residuals")
    for term, record in expected.items():
        assert same(rows[term].sum_sq, record["sum_sq"])
        assert same(rows[term].statistic, record["F"])
        assert same(rows[term].p, record["p"])
        assert (rows[term].df1, rows[term].df2) == (record["df"], residual_df)


@pytest.mark.parametrize("case", ["c01", "c03", "c05"])
def test_type_3_equals_r(oracle: Oracle, same: Same, case: str):
    loaded = oracle(case)
    assert_equals_r(tables(loaded.cells())[0]["anova_type3"], loaded.r["anova_type3"], same)


@pytest.mark.parametrize("case", ["c01", "c03"])
def test_partial_omega_squared_equals_r(oracle: Oracle, same: Same, case: str):
    loaded = oracle(case)
    rows = tables(loaded.cells())[0]["anova_type3"]
    for term, expected in loaded.r["omega2_partial_type3"].items():
        assert same(rows[term].partial_omega_sq, expected)


@pytest.mark.parametrize("case", ["c03", "c05"])
def test_type_2_stands_beside_type_3_in_an_unbalanced_design_and_equals_r(oracle: Oracle, same: Same, case: str):
    loaded = oracle(case)
    assert_equals_r(tables(loaded.cells())[0]["anova_type2"], loaded.r["anova_type2"], same)


def test_type_2_sums_of_squares_of_a_balanced_design_equal_r_and_are_not_printed_twice(oracle: Oracle, same: Same):
    loaded = oracle("c01")
    data = loaded.cells()
    assert "anova_type2" not in tables(data)[0]
    for term, record in zip(terms(data.active), loaded.r["anova_type2"], strict=False):
        assert same(type2_ss(data, term, terms(data.active))[0], record["sum_sq"])


@pytest.mark.parametrize("case", ["c01", "c03"])
def test_main_effects_are_not_those_of_treatment_coding(oracle: Oracle, case: str):
    loaded = oracle(case)
    rows = tables(loaded.cells())[0]["anova_type3"]
    for record in loaded.r["TRAP_type3_with_treatment_coding"]:
        if record["term"] in {"depth", "size"}:
            assert abs(rows[record["term"]].statistic / record["F"] - 1) > 0.5


@pytest.mark.parametrize("case", ["c01", "c03", "c05"])
def test_partial_eta_squared_and_its_interval_equal_r(oracle: Oracle, same: Same, case: str):
    loaded = oracle(case)
    rows = tables(loaded.cells())[0]["anova_type3"]
    for record in loaded.r["effect_sizes_type3"]:
        row = rows[record["term"]]
        assert same(row.partial_eta_sq, record["eta2_partial"])
        assert same(row.partial_eta_sq_interval.low, record["eta2_ci95"][0])
        assert same(row.partial_eta_sq_interval.high, record["eta2_ci95"][1])


def test_a_missing_cell_costs_the_interaction_one_df_as_in_r(oracle: Oracle, same: Same):
    loaded = oracle("c04")
    made, refusals = tables(loaded.cells())
    assert list(made) == ["anova_type2"]
    assert_equals_r(made["anova_type2"], loaded.r["car_type2"], same)
    interaction, r = made["anova_type2"]["depth:size"], loaded.r["interaction_model_comparison"]
    assert same(interaction.statistic, r["F"])
    assert (interaction.df1, interaction.df2) == (r["df1"], r["df2"])
    assert interaction.note.startswith("8 of 9 df")
    assert "error" in loaded.r["car_type3"]
    assert [refusal.what for refusal in refusals] == ["type III analysis of variance"]


def test_main_effects_with_a_missing_cell_equal_rs_model_comparison(oracle: Oracle, same: Same):
    loaded = oracle("c04")
    rows = tables(loaded.cells())[0]["anova_type2"]
    for factor in ("depth", "size"):
        assert same(rows[factor].statistic, loaded.r["type2_main_effects_by_model_comparison"][factor]["F"])


def test_one_trial_per_cell_leaves_main_effects_and_one_structured_df_as_in_r(oracle: Oracle, same: Same):
    loaded = oracle("c09")
    made, refusals = tables(loaded.cells())
    assert_equals_r(made["additive_type2"], loaded.r["additive_anova_type2"], same)
    tukey, r = made["tukey_nonadditivity"]["depth:size"], loaded.r["tukey_one_df_nonadditivity"]
    assert same(tukey.statistic, r["F"])
    assert same(tukey.p, r["p"])
    assert (tukey.df1, tukey.df2) == (r["df1"], r["df2"])
    assert [refusal.what for refusal in refusals] == ["interaction tests"]
    assert "at least 2 replicates" in refusals[0].remedy


@pytest.mark.parametrize("name", ["AtmWtAg", "SiRstv", "SmLs01", "SmLs07"])
def test_one_way_f_has_nists_certified_digits(name: str):
    """SmLs07 has 13 constant leading digits: float64 itself keeps about 4 digits of F (uncentred fits keep 2)."""
    nist = next(s for s in json.loads((ORACLE / "nist_anova.json").read_text())["sets"] if s["name"] == name)
    groups = sorted(set(nist["group"]))
    group_N = np.array([groups.index(group) for group in nist["group"]])
    y_N = np.array([float(value) for value in nist["y"]])
    data = cell_data((Factor("group", tuple(groups)),), group_N, np.arange(len(y_N)), y_N, paired=False)
    row = tables(data)[0]["anova_type3"]["group"]
    certified = float(nist["f"])
    assert row.statistic == pytest.approx(certified, rel=4e-5 if name == "SmLs07" else 1e-10)
    scipys = f_oneway(*(y_N[group_N == group] for group in range(len(groups)))).statistic
    assert abs(row.statistic - certified) <= abs(scipys - certified) + 1e-14 * certified
    assert row.statistic == pytest.approx(exact_f([y_N[group_N == group] for group in range(len(groups))]), rel=1e-14)


def exact_f(groups: list[np.ndarray]) -> float:
    """Return F of the very floats, in rational arithmetic: what they lost when they were read cannot be found again."""
    values = [[Fraction(value) for value in group] for group in groups]
    num = sum(map(len, values))
    grand = sum(sum(group) for group in values) / num
    means = [sum(group) / len(group) for group in values]
    between = sum(len(group) * (mean - grand) ** 2 for group, mean in zip(values, means, strict=True))
    within = sum((value - mean) ** 2 for group, mean in zip(values, means, strict=True) for value in group)
    return float(between / (len(values) - 1) / (within / (num - len(values))))


def test_a_disconnected_grid_gets_no_main_effects():
    factors = (Factor("depth", (8, 18)), Factor("size", (32, 64)))
    cell_N = np.array([0, 0, 0, 3, 3, 3])
    data = cell_data(factors, cell_N, np.tile(np.arange(3), 2), np.array([1.0, 1.1, 1.2, 2.0, 2.1, 2.3]), paired=False)
    made, refusals = tables(data)
    assert "anova_type2" not in made
    refused = {refusal.what: refusal.why for refusal in refusals}
    assert "disconnected" in refused["test of depth"]
    assert "disconnected" in refused["test of size"]
    assert "missing" in refused["test of depth:size"]


def test_trials_that_never_differ_within_a_cell_are_refused():
    factors = (Factor("depth", (8, 18)),)
    data = cell_data(
        factors, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([0.5, 0.5, 0.7, 0.7]), paired=False
    )
    made, refusals = tables(data)
    assert made == {}
    assert refusals[0].what == "analysis of variance"


def test_three_factors_agree_with_a_direct_fit(simulate: Simulate):
    """Reference: full least squares on the trials with explicit sum-coded columns, without the detour over cells."""
    factors = (Factor("a", (1, 2)), Factor("b", (1, 2, 3)), Factor("c", (1, 2)))
    frame = simulate(factors, lambda cell: 0.1 * cell["a"] * cell["c"] + 0.05 * cell["b"], n=3, sd=0.05)
    frame = frame.drop(index=[0, 7, 20])
    index = [frame[f.name].to_numpy() - 1 for f in factors]
    data = cell_data(
        factors,
        np.ravel_multi_index(index, (2, 3, 2)),
        frame["replicate"].to_numpy(),
        frame["accuracy"].to_numpy(),
        paired=False,
    )
    code = {2: np.array([[1.0], [-1.0]]), 3: np.array([[1.0, 0], [0, 1], [-1, -1]])}
    blocks = {}
    for term in [(), *terms(data.active)]:
        columns = np.ones((len(frame), 1))
        for i in term:
            coded = code[data.shape[i]][index[i]]
            columns = (columns[:, :, None] * coded[:, None, :]).reshape(len(frame), -1)
        blocks[term] = columns

    def rss(included: list[Any]) -> float:
        x, y = np.hstack([blocks[t] for t in included]), frame["accuracy"].to_numpy()
        return float(((y - x @ np.linalg.lstsq(x, y, rcond=None)[0]) ** 2).sum())

    everything = list(blocks)
    for term in terms(data.active):
        expected = rss([t for t in everything if t != term]) - rss(everything)
        assert type3_ss(data, term) == pytest.approx(expected, rel=1e-8)
        without = [t for t in everything if not set(term) <= set(t)]
        assert type2_ss(data, term, terms(data.active))[0] == pytest.approx(
            rss(without) - rss([*without, term]), rel=1e-8
        )


def test_tukeys_test_is_defined_where_a_cell_is_missing():
    # The square of the fitted main-effects model as one more column, as one would do it in R.
    factors = (Factor("depth", (1, 2, 4)), Factor("size", (16, 32, 64)))
    cell_N = np.array([0, 1, 2, 3, 5, 6, 7, 8])
    y_N = np.array([0.61, 0.64, 0.66, 0.63, 0.69, 0.64, 0.68, 0.74])
    data = cell_data(factors, cell_N, np.zeros(8, dtype=np.int64), y_N, paired=False)
    row = tables(data)[0]["tukey_nonadditivity"]["depth:size"]
    columns = np.column_stack([np.eye(3)[cell_N // 3], np.eye(3)[cell_N % 3][:, 1:]])
    beta, rss, _, _ = np.linalg.lstsq(columns, y_N, rcond=None)
    with_square = np.column_stack([columns, (columns @ beta) ** 2])
    rest = float(np.linalg.lstsq(with_square, y_N, rcond=None)[1][0])
    assert row.statistic == pytest.approx((float(rss[0]) - rest) / (rest / 2), rel=1e-6)
    assert (row.df1, row.df2) == (1, 2)
