"""Counts of correct examples with the noise that the trials show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from cnnbench.stats.omnibus.quasi_binomial import Counts, quasi_binomial
from cnnbench.stats.trials.cells import cell_data
from cnnbench.types import Factor, Refusal

if TYPE_CHECKING:
    from cnnbench.stats.trials.cells import CellData
    from tests.stats.conftest import Oracle, Same

FACTORS = (Factor("depth", (1, 2)), Factor("size", (16, 32)))


def counted(correct_N: list[float], num: float = 100.0) -> tuple[CellData, Counts]:
    """Two trials in each of four cells."""
    cell_N, replicate_N = np.repeat(np.arange(4), 2), np.tile([0, 1], 4)
    share = cell_data(FACTORS, cell_N, replicate_N, np.array(correct_N) / num, paired=False)
    k = cell_data(FACTORS, cell_N, replicate_N, np.array(correct_N), paired=False)
    return share, Counts(k.y_KM + k.offset, np.full_like(k.y_KM, num))


@pytest.fixture(scope="module")
def near_ceiling(oracle: Oracle) -> tuple[CellData, Counts, dict]:
    case = oracle("c08")
    frame = case.frame
    index = [[factor.levels.index(level) for level in frame[factor.name]] for factor in case.factors]
    cell_N = np.ravel_multi_index(index, [3, 3])

    def table(column: str) -> CellData:
        values = frame[column].to_numpy(dtype=float)
        return cell_data(case.factors, cell_N, frame["replicate"].to_numpy(), values, paired=False)

    k, n = table("n_correct"), table("n_test")
    return table("accuracy"), Counts(k.y_KM + k.offset, n.y_KM + n.offset), case.r["binomial_glm"]


@pytest.mark.parametrize("kind", ["type3", "type2"])
def test_it_equals_r(near_ceiling: tuple[CellData, Counts, dict], same: Same, kind: str):
    data, counts, r = near_ceiling
    table = next(table for table in quasi_binomial(data, counts) if table.key == f"quasi_binomial_{kind}")
    records = [record for record in r[f"quasi_F_{kind}"] if record["term"] != "Residuals"]
    assert [row.term for row in table.rows] == [record["term"] for record in records]
    for row, record in zip(table.rows, records, strict=True):
        assert same(row.statistic, record["F"])
        assert same(row.p, record["p"])
        assert same(row.sum_sq, record["sum_sq"])


def test_the_noise_of_the_trials_counts_not_that_of_the_examples_alone(
    near_ceiling: tuple[CellData, Counts, dict],
):
    data, counts, r = near_ceiling
    table = quasi_binomial(data, counts)[0]
    trap = {record["term"]: record["p"] for record in r["TRAP_lr_type3_without_overdispersion"]}
    assert f"dispersion {r['dispersion']:.4g}" in table.method
    assert all(row.p > trap[row.term] for row in table.rows)


def test_a_missing_cell_leaves_type_2_with_the_degrees_of_freedom_that_are_there():
    cell_N, replicate_N = np.repeat(np.arange(5), 2), np.tile([0, 1], 5)
    factors = (Factor("depth", (1, 2, 3)), Factor("size", (16, 32)))
    correct_N = np.array([50, 52, 60, 63, 70, 69, 81, 80, 85, 88.0])
    share = cell_data(factors, cell_N, replicate_N, correct_N / 100, paired=False)
    k = cell_data(factors, cell_N, replicate_N, correct_N, paired=False)
    num_KM = np.where(np.isnan(k.y_KM), np.nan, 100.0)
    (table,) = quasi_binomial(share, Counts(k.y_KM + k.offset, num_KM))
    assert table.key == "quasi_binomial_type2"
    assert {row.term: row.df1 for row in table.rows} == {"depth": 2, "size": 1, "depth:size": 1}
    assert "1 of 2 df" in table.rows[-1].note


def test_a_level_with_every_example_right_has_the_deviance_of_the_limit():
    data, counts = counted([100, 100, 100, 100, 90, 92, 80, 85])
    by_term = {row.term: row for row in quasi_binomial(data, counts)[1].rows}
    right, wrong = np.array([182, 165]), np.array([18, 35])
    both, none = right.sum(), wrong.sum()

    def likelihood(k: np.ndarray, n: np.ndarray) -> float:
        return float((k * np.log(k / n) + (n - k) * np.log((n - k) / n)).sum())

    separate = likelihood(right, right + wrong)
    # without size, depth 1 still fits perfectly and depth 2 has one share
    together = likelihood(np.array([both]), np.array([both + none]))
    assert by_term["size"].sum_sq == pytest.approx(2 * (separate - together), rel=1e-6)
    assert by_term["depth:size"].sum_sq == pytest.approx(0, abs=1e-6)


def test_trials_that_do_not_differ_are_refused():
    found = quasi_binomial(*counted([50, 50, 60, 60, 70, 70, 80, 80]))
    assert isinstance(found, Refusal)
    assert "no noise" in found.why


def test_one_cell_with_every_example_right_is_borne():
    tables = quasi_binomial(*counted([100, 100, 97, 95, 90, 92, 80, 85]))
    assert [table.key for table in tables] == ["quasi_binomial_type3", "quasi_binomial_type2"]
    assert all(np.isfinite(row.p) for table in tables for row in table.rows if row.term != "depth:size")
