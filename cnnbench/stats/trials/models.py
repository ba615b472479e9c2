"""Linear models of cell means: sum coding, rank, and sums of squares by model comparison.

A model on trials and the same model on cell means with weights n differ by the sum of squares within cells alone, so
everything here works on cells. That is exact, fast, and free of the statsmodels trap that tests a missing cell's
column as if it had been observed (statsmodels issues 5398, 8721, 8670).

Shapes: M cells of the grid, P columns of a model.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from statsmodels.regression.linear_model import WLS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from cnnbench.stats.trials.cells import CellData
    from cnnbench.types import Factor

Term = tuple[int, ...]
"""Positions of the factors of a main effect or an interaction."""


def sum_coding(num_levels: int) -> NDArray[np.float64]:
    """Return R's ``contr.sum``: shape (levels, levels - 1), each column sums to zero over the levels."""
    return np.vstack([np.eye(num_levels - 1), -np.ones((1, num_levels - 1))])


def terms(active: Sequence[int]) -> tuple[Term, ...]:
    """Return all main effects and interactions of the factors, main effects first."""
    return tuple(term for size in range(1, len(active) + 1) for term in combinations(active, size))


def term_name(factors: Sequence[Factor], term: Term) -> str:
    """Return a term as tables print it: ``depth:regime``."""
    return ":".join(factors[position].name for position in term)


def term_columns(shape: tuple[int, ...], term: Term) -> NDArray[np.float64]:
    """Return the sum-coded columns of a term in every cell of the grid, shape (M, df)."""
    return kronecker([sum_coding(size) if i in term else np.ones((size, 1)) for i, size in enumerate(shape)])


def kronecker(blocks: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the Kronecker product of all blocks, the last one varying fastest."""
    product: NDArray[Any] = np.ones((1, 1))
    for block in blocks:
        product = np.kron(product, block)
    return product


def design(data: CellData, included: Iterable[Term]) -> NDArray[np.float64]:
    """Return intercept and columns of the included terms for the cells that have trials."""
    ones = np.ones((len(data.n_M), 1))
    columns = np.hstack([ones, *(term_columns(data.shape, term) for term in included)])
    return columns[data.seen_M]


def rank(columns_MP: NDArray[np.float64]) -> int:
    """Return the numerical rank."""
    return int(np.linalg.matrix_rank(columns_MP))


def base_of(term: Term, among: Iterable[Term]) -> tuple[Term, ...]:
    """Return the terms that a type II test of ``term`` adjusts for: all that do not contain it."""
    return tuple(other for other in among if not set(term) <= set(other))


def lack_of_fit(data: CellData, columns_MP: NDArray[np.float64]) -> float:
    """Return the residual sum of squares of a model over that of the cell-means model.

    Weighted least squares of the cell means, weights n: RSS(model) = lack of fit + sum of squares within cells.
    """
    seen_M = data.seen_M
    fit = WLS(data.mean_M[seen_M], orthonormal(columns_MP), weights=data.n_M[seen_M].astype(float)).fit()
    return float(fit.ssr)


def orthonormal(columns_MP: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return an orthonormal basis of the space that the columns span."""
    left, singular, _ = np.linalg.svd(columns_MP, full_matrices=False)
    return left[:, singular > 1e-9 * max(1.0, float(np.abs(columns_MP).max()))]


def term_basis(data: CellData, term: Term) -> NDArray[np.float64]:
    """Return an orthonormal basis of what a term adds to the terms that do not contain it.

    Shape (cells with trials, df). On a complete grid these are the usual orthonormal contrasts; with missing cells only
    the estimable part remains, and the basis has fewer columns than the term has nominal degrees of freedom.
    """
    base = design(data, base_of(term, terms(data.active)))
    own = term_columns(data.shape, term)[data.seen_M]
    return orthonormal(own - base @ np.linalg.lstsq(base, own, rcond=None)[0])


def connected(data: CellData) -> bool:
    """Whether all main effects are estimable from the cells that have trials.

    The additive model must have full rank, 1 + sum(levels - 1); otherwise the grid falls apart into components that
    share no level, and levels of different components cannot be compared (Searle 1987, Linear Models for Unbalanced
    Data, section 5.3).
    """
    additive = design(data, [(position,) for position in data.active])
    return rank(additive) == int(additive.shape[1])
