"""REML against closed forms and against itself on random designs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnbench.stats.omnibus.reml import fit, separable


def balanced(seed: int, *, num_blocks: int, num_cells: int, sd: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y_KM = rng.normal(0, sd, (num_blocks, 1)) + rng.normal(0, 1, (num_blocks, num_cells))
    row_N, cell_N = np.indices(y_KM.shape).reshape(2, -1)
    return y_KM, row_N, cell_N


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    num_blocks=st.integers(3, 9),
    num_cells=st.integers(2, 6),
    sd=st.sampled_from([0.0, 0.3, 1.0, 30.0]),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_balanced_blocks_give_the_variances_of_the_anova(
    seed: int, num_blocks: int, num_cells: int, sd: float, scale: float
):
    """(MS between - MS residual) / cells, and zero where that is negative: then the residual holds all."""
    y_KM, row_N, cell_N = balanced(seed, num_blocks=num_blocks, num_cells=num_cells, sd=sd)
    model = fit(scale * y_KM.ravel(), cell_N, [row_N])
    block_K = y_KM.mean(axis=1)
    rest_KM = y_KM - y_KM.mean(axis=0) - block_K[:, None] + y_KM.mean()
    ms_block = num_cells * block_K.var(ddof=1)
    ss_rest, df_rest = (rest_KM**2).sum(), (num_blocks - 1) * (num_cells - 1)
    if ms_block > ss_rest / df_rest * (1 + 1e-6):
        wanted = (ms_block - ss_rest / df_rest) / num_cells, ss_rest / df_rest
    else:
        wanted = 0.0, (ss_rest + (num_blocks - 1) * ms_block) / (df_rest + num_blocks - 1)
    assert model.variance_C[0] / scale**2 == pytest.approx(wanted[0], rel=1e-6, abs=1e-9)
    assert model.residual / scale**2 == pytest.approx(wanted[1], rel=1e-6)
    within = np.zeros(num_cells)
    within[:2] = 1, -1
    value, se, df = model.satterthwaite(within)
    assert value / scale == pytest.approx(y_KM[:, 0].mean() - y_KM[:, 1].mean(), rel=1e-6, abs=1e-9)
    assert se / scale == pytest.approx((2 * wanted[1] / num_blocks) ** 0.5, rel=1e-6)
    assert df == pytest.approx(df_rest if wanted[0] else df_rest + num_blocks - 1, rel=1e-6)


def test_a_variance_is_exactly_zero_at_the_boundary():
    y_KM, row_N, cell_N = balanced(1, num_blocks=6, num_cells=4, sd=0.0)
    y_KM -= y_KM.mean(axis=1, keepdims=True)
    assert fit(y_KM.ravel(), cell_N, [row_N]).variance_C.tolist() == [0.0]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), sd=st.sampled_from([(0.0, 0.0), (1.0, 0.0), (0.5, 2.0)]))
def test_no_nearby_variances_are_more_likely(seed: int, sd: tuple[float, float]):
    rng = np.random.default_rng(seed)
    dataset_N, cell_N, _ = np.indices((6, 4, 3)).reshape(3, -1)
    kept_N = rng.random(len(cell_N)) > 0.3
    kept_N[cell_N == np.arange(len(cell_N)) % 4] = True
    dataset_N, cell_N = dataset_N[kept_N], cell_N[kept_N]
    groups = [np.unique(dataset_N, return_inverse=True)[1], np.unique(dataset_N * 4 + cell_N, return_inverse=True)[1]]
    y_N = rng.normal(size=len(cell_N))
    for group_N, each in zip(groups, sd, strict=True):
        y_N = y_N + rng.normal(0, each, group_N.max() + 1)[group_N]
    model = fit(y_N, cell_N, groups)
    for _ in range(20):
        tried_C = np.maximum(0, model.gamma_C * np.exp(rng.normal(0, 0.3, 2)) + rng.choice([0, 0.01], 2))
        assert model.likelihood.at(tried_C).deviance >= model.likelihood.at(model.gamma_C).deviance - 1e-7


def test_derivatives_are_those_of_the_deviance():
    rng = np.random.default_rng(5)
    cell_N, dataset_N = rng.integers(0, 3, 80), rng.integers(0, 6, 80)
    groups = [dataset_N, np.unique(dataset_N * 3 + cell_N, return_inverse=True)[1]]
    likelihood = fit(rng.normal(size=80), cell_N, groups).likelihood
    at = np.array([0.4, 1.3])
    slope_C, bend_CC = likelihood.derivatives(likelihood.at(at))
    for c, step in enumerate(1e-5 * np.eye(2)):
        up, down = likelihood.at(at + step), likelihood.at(at - step)
        assert slope_C[c] == pytest.approx((up.deviance - down.deviance) / 2e-5, rel=1e-5)
        change = (likelihood.derivatives(up)[0] - likelihood.derivatives(down)[0]) / 2e-5
        assert bend_CC[c] == pytest.approx(change, rel=1e-5)


def test_what_cannot_be_told_apart_is_not_fitted():
    dataset_N, cell_N = np.indices((5, 4)).reshape(2, -1)
    same_N = dataset_N[::-1].copy()
    residual_N = np.arange(20)
    assert separable(cell_N, [dataset_N, 4 - same_N[::-1], residual_N]) == [0]
    assert separable(cell_N, [cell_N]) == []
    assert separable(np.arange(20), [dataset_N]) == []
