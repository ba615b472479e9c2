"""Marginal means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cnnbench.stats.effects.marginals import marginal_means

if TYPE_CHECKING:
    from tests.stats.conftest import Oracle, Same


@pytest.mark.parametrize("case", ["c01", "c03"])
def test_independent_marginal_means_equal_emmeans(oracle: Oracle, same: Same, case: str):
    loaded = oracle(case)
    means = marginal_means(loaded.cells(), 0.05)
    records = [({"depth": r["depth"]}, r) for r in loaded.r["emm_depth"]]
    records += [({"size": r["size"]}, r) for r in loaded.r["emm_size"]]
    assert [dict(mean.levels) for mean in means] == [levels for levels, _ in records]
    for mean, (_, record) in zip(means, records, strict=True):
        assert same(mean.mean, record["emmean"])
        assert same(mean.interval.low, record["ci_low"])
        assert same(mean.interval.high, record["ci_high"])


def test_a_mean_over_a_missing_cell_is_not_estimable_as_in_r(oracle: Oracle, same: Same):
    loaded = oracle("c04")
    means = {next(iter(mean.levels.items())): mean for mean in marginal_means(loaded.cells(), 0.05)}
    for factor in ("depth", "size"):
        for record in loaded.r["estimable_emm"][f"emm_{factor}"]:
            mean = means[factor, record[factor]]
            if record["emmean"] is None:
                assert (mean.mean, mean.interval) == (None, None)
            else:
                assert same(mean.mean, record["emmean"])
                assert same(mean.interval.low, record["ci_low"])


def test_with_one_trial_per_cell_they_are_those_of_the_additive_model_as_in_r(oracle: Oracle, same: Same):
    loaded = oracle("c09")
    for mean, record in zip(marginal_means(loaded.cells(), 0.05), loaded.r["additive_emm_depth"], strict=False):
        assert same(mean.mean, record["emmean"])
        assert same(mean.interval.low, record["ci_low"])


def test_paired_intervals_run_over_the_averages_of_the_seeds(oracle: Oracle):
    loaded = oracle("c07")
    data = loaded.cells(paired=True)
    first = marginal_means(data, 0.05)[0]
    per_seed = loaded.frame[loaded.frame["depth"] == 1].groupby("replicate")["accuracy"].mean()
    assert first.mean == pytest.approx(per_seed.mean(), rel=1e-12)
    half = 2.3646242515927853 * per_seed.std() / 8**0.5
    assert first.interval.high - first.mean == pytest.approx(half, rel=1e-9)
