"""A weighted sum of cell means with its uncertainty: contrasts, slopes and means alike.

Shapes: K replicates, M cells of the grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student_t

from cnnbench.stats.omnibus.additive import additive_error
from cnnbench.stats.trials.cells import block_word, blocks_word, more_blocks, t_interval
from cnnbench.stats.trials.models import design, orthonormal
from cnnbench.types import Refusal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.stats.trials.cells import CellData
    from cnnbench.types import Interval

FEWEST_FOR_SIGN_FLIP = 6
"""With 5 replicates the smallest two-sided p of the exact test is 2 / 2^5 = 0.0625."""
MOST_FOR_SIGN_FLIP = 32
"""Beyond, the enumeration takes long and the t test is hardly sensitive to the distribution."""
MOST_NAMED = 20
"""More incomplete replicates than this are counted, not named."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate, its standard error, and the second analysis beside it."""

    value: float
    se: float
    df: float
    n: int
    """Replicates (paired) or trials (independent) behind it."""
    n_per_cell: int
    """Replicates (paired), or the fewest trials in a cell that counts (independent)."""
    method: str
    robust_p: float | None
    robust_method: str

    @property
    def t(self) -> float:
        """Student's t against zero."""
        return self.value / self.se

    @property
    def p(self) -> float:
        """Two-sided p of `t`."""
        return two_sided_p(self.t, self.df)

    def interval(self, alpha: float) -> Interval:
        """Return the 1 - ``alpha`` interval."""
        return t_interval(self.value, self.se, self.df, alpha)


def two_sided_p(t: float, df: float) -> float:
    """Return the two-sided p value of Student's t."""
    return float(2 * student_t.sf(abs(t), df))


def estimate(
    data: CellData, weights_M: NDArray[np.float64], what: str, product_M: NDArray[np.float64] | None = None
) -> Estimate | Refusal:
    """Estimate ``sum of weights x cell means``, with the method that the design decides.

    Shared seeds: a one-sample t over the replicates' scores; nested seeds: Welch's over whole plots. Independent seeds:
    Welch-Satterthwaite. One trial per cell: the error of the main-effects model (with ``product_M`` in it, where the
    estimate is that column's slope). ``what`` names the estimate in a refusal.
    """
    used_M = np.abs(weights_M) > 1e-12
    if (used_M & ~data.seen_M).any():
        missing = data.cell_name(int(np.flatnonzero(used_M & ~data.seen_M)[0]))
        return Refusal(what, f"It needs a cell without trials ({missing}).", "Run that cell.")
    if data.nested:
        return split_plot(data, weights_M, what)
    if not data.replicated:
        return _additive(data, weights_M, what, product_M)
    if data.paired:
        return _paired(data, weights_M, what)
    return welch(data, weights_M, what)


def per_seed(data: CellData, weights_M: NDArray[np.float64]) -> tuple[NDArray[np.float64], tuple[int | str, ...]]:
    """Return the weighted sum of each replicate that has every cell it needs, and these replicates' labels."""
    used_M = np.abs(weights_M) > 1e-12
    complete_K = data.complete_rows(used_M)
    scores_K = data.y_KM[complete_K][:, used_M] @ weights_M[used_M] + data.offset * float(weights_M.sum())
    return scores_K, tuple(label for label, kept in zip(data.replicates, complete_K, strict=True) if kept)


def _paired(data: CellData, weights_M: NDArray[np.float64], what: str) -> Estimate | Refusal:
    scores_K, labels = per_seed(data, weights_M)
    n = len(scores_K)
    if n < 2:
        return Refusal(
            what,
            f"Only {n} {block_word(data)}(s) have a trial in every cell that it needs; at least 2 are needed.",
            more_blocks(data),
        )
    sd = float(scores_K.std(ddof=1))
    if sd <= data.tiny:
        return Refusal(
            what,
            f"All {n} {blocks_word(data)} give the same value, {scores_K.mean():.4g}, so there is no noise to test "
            "against.",
            "Check that replicates have different seeds.",
        )
    contrast = abs(float(weights_M.sum())) < 1e-9
    flip = sign_flip_p(scores_K) if contrast else None
    pilot_K = scores_K[np.isin(labels, data.pilot)]
    pilot_sd = float(pilot_K.std(ddof=1)) if len(pilot_K) > 1 else 0.0
    if pilot_sd > data.tiny:  # Stein 1945: the spread that decided n is the pilot's, and so is that of the interval
        sd, df = pilot_sd, len(pilot_K) - 1
        how = f"Stein's two-stage t over the per-seed values of {n} replicates, with the spread of the pilot's {df + 1}"
    else:
        df, how = n - 1, f"one-sample t over the per-{data.block} values of {n} {blocks_word(data)}"
    return Estimate(
        float(scores_K.mean()),
        sd / n**0.5,
        df,
        n,
        n,
        f"{how}{_left_out(data, np.isin(data.replicates, labels))}",
        flip,
        "exact sign-flip test" if flip is not None else "",
    )


def complete_only(data: CellData, weights_M: NDArray[np.float64]) -> Estimate | None:
    """Return the one-sample t over the blocks that have every cell of the grid that has trials.

    None where that is the estimate itself: every block that has the cells with weight has the others, too. A slope
    gives the middle of three levels no weight, so a block may lack that cell and still count in the estimate.
    """
    if not data.paired or data.nested or not data.replicated or data.pilot:
        return None
    complete_K = data.complete_rows(data.seen_M)
    if (complete_K == data.complete_rows(np.abs(weights_M) > 1e-12)).all():
        return None
    found = _paired(replace(data, y_KM=np.where(complete_K[:, None], data.y_KM, np.nan)), weights_M, "")
    return None if isinstance(found, Refusal) else found


def _left_out(data: CellData, complete_K: NDArray[np.bool_]) -> str:
    labels = [label for label, kept in zip(data.replicates, complete_K, strict=True) if not kept]
    if not labels:
        return ""
    named = (
        f"{block_word(data)} {', '.join(map(str, labels))}"
        if len(labels) <= MOST_NAMED
        else f"{len(labels)} {blocks_word(data)}"
    )
    return f"; incomplete and left out: {named}"


def split_plot(
    data: CellData, weights_M: NDArray[np.float64], what: str, *, equal_variances: bool = False
) -> Estimate | Refusal:
    """Estimate where replicates are nested in whole plots: one value per replicate, a weighted sum of its cells.

    The estimate is the sum over whole plots of factor x mean value, so plots count as the question says, however many
    replicates they have. Variance sum b^2 v / n with a variance for each plot, and Satterthwaite's degrees of freedom
    as for independent trials: replicates of different plots are as unrelated as these (Welch 1947, Biometrika 34,
    28-35). The variance pooled over all plots stands beside it, on replicates - plots degrees of freedom, which is the
    one-way analysis of the per-replicate values; it stands alone where a plot has one replicate or no spread.
    """
    plots = _plots(data, weights_M)
    counted = [plot for plot in plots if plot.factor]
    n = np.array([len(plot.score_K) for plot in counted])
    df = sum(max(0, len(plot.score_K) - 1) for plot in plots)
    if (n == 0).any() or df < 1:
        why = f"Only {n.sum()} replicate(s) in {len(n)} whole plot(s) have a trial in every cell that it needs."
        return Refusal(what, why, "Rerun the failed trials (`--retry-failed`) or add replicates to each whole plot.")
    squares = sum(plot.squares for plot in plots)
    if squares <= df * data.tiny**2:
        why = "The replicates of each whole plot give the same value, so there is no noise to test against."
        return Refusal(what, why, "Check that replicates have different seeds.")
    value = sum(plot.factor * float(plot.score_K.mean()) for plot in counted) + data.offset * float(weights_M.sum())
    part = np.array([plot.factor**2 for plot in counted]) / n
    where = f"the per-seed values of {n.sum()} replicates in {len(n)} whole plot{'s' if len(n) > 1 else ''}"
    without = _left_out(data, data.complete_rows(np.abs(weights_M) > 1e-12) | ~_within_plots(data, weights_M))
    pooled_t = Estimate(
        value,
        float(np.sqrt(squares / df * part.sum())),
        df,
        int(n.sum()),
        int(n.min()),
        f"t over {where}, variance pooled over whole plots{without}",
        None,
        "",
    )
    if equal_variances or any(plot.squares <= max(0, len(plot.score_K) - 1) * data.tiny**2 for plot in counted):
        return pooled_t
    part *= np.array([plot.squares for plot in counted]) / (n - 1)
    df_welch = float(part.sum() ** 2 / (part**2 / (n - 1)).sum())
    method = f"Welch-Satterthwaite t over {where}{without}"
    se = float(np.sqrt(part.sum()))
    return Estimate(
        value,
        se,
        df_welch,
        int(n.sum()),
        int(n.min()),
        method,
        pooled_t.p,
        "t test with the variance pooled over plots",
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Plot:
    """The replicates of one whole plot that have what a question needs."""

    factor: float
    """How much the plot's mean value counts; 0 for plots that only tell of the noise."""
    score_K: NDArray[np.float64]

    @property
    def squares(self) -> float:
        return float(((self.score_K - self.score_K.mean()) ** 2).sum()) if len(self.score_K) else 0.0


def _plots(data: CellData, weights_M: NDArray[np.float64]) -> list[_Plot]:
    """Return the per-replicate values by whole plot.

    Where the question weighs the cells within replicates alike in all plots, up to a factor, the plots that it leaves
    out are there, too, as they tell of the noise in the same value.
    """
    plot_M, plot_K = data.plot_M, data.plot_K
    rows = [weights_M[plot_M == plot] for plot in range(int(plot_M.max()) + 1)]
    unit_J = max(rows, key=lambda row_J: float(np.abs(row_J).sum()))
    unit_J = unit_J / np.abs(unit_J).sum()
    factors = [float(row_J @ unit_J) / float(unit_J @ unit_J) for row_J in rows]
    alike = all(np.allclose(row_J, b * unit_J, atol=1e-12) for row_J, b in zip(rows, factors, strict=True))
    plots = []
    for plot, (row_J, b) in enumerate(zip(rows, factors, strict=True)):
        used_J = np.abs(unit_J if alike else row_J) > 1e-12
        if not used_J.any():
            continue
        y_KJ = data.y_KM[plot_K == plot][:, plot_M == plot][:, used_J]
        y_KJ = y_KJ[np.isfinite(y_KJ).all(axis=1)]
        factor = (b if abs(b) > 1e-12 else 0.0) if alike else 1.0
        plots.append(_Plot(factor, y_KJ @ (unit_J if alike else row_J)[used_J]))
    return plots


def _within_plots(data: CellData, weights_M: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which replicates belong to a whole plot with a cell that counts."""
    return np.asarray(np.isin(data.plot_K, data.plot_M[np.abs(weights_M) > 1e-12]))


def sign_flip_p(scores_K: NDArray[np.float64]) -> float | None:
    """Return the exact two-sided p of the mean under all 2^K changes of sign (Fisher 1935, The Design of Experiments).

    Every sign pattern is counted, by splitting the scores into halves whose 2^(K/2) sums are enumerated and matched.
    None below 6 replicates, where p < 0.05 is out of reach, and above 32.
    """
    if not FEWEST_FOR_SIGN_FLIP <= len(scores_K) <= MOST_FOR_SIGN_FLIP:
        return None
    half = len(scores_K) // 2
    first, second = _signed_sums(scores_K[:half]), np.sort(_signed_sums(scores_K[half:]))
    threshold = abs(float(scores_K.sum())) - 1e-10 * float(np.abs(scores_K).sum())
    above = len(second) - np.searchsorted(second, threshold - first, side="left")
    below = np.searchsorted(second, -threshold - first, side="right")
    return min(1.0, float((above + below).sum()) / 2.0 ** len(scores_K))


def _signed_sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def welch(data: CellData, weights_M: NDArray[np.float64], what: str) -> Estimate | Refusal:
    """Estimate with a variance for each cell: variance sum c^2 v / n, degrees of freedom by Satterthwaite.

    df = (sum c^2 v / n)^2 / sum[(c^2 v / n)^2 / (n - 1)] (Satterthwaite 1946, Biometrics Bulletin 2, 110-114; Welch
    1947, Biometrika 34, 28-35). The pooled-variance t stands beside it; it stands alone where a cell's variance cannot
    be estimated.
    """
    classical = pooled(data, weights_M, what)
    if isinstance(classical, Refusal):
        return classical
    used_M = np.abs(weights_M) > 1e-12
    n, var = data.n_M[used_M], data.var_M[used_M]
    if (n < 2).any() or (var <= data.tiny**2).any():
        return classical
    part = weights_M[used_M] ** 2 * var / n
    variance = float(part.sum())
    df = variance**2 / float((part**2 / (n - 1)).sum())
    method = f"Welch-Satterthwaite t over {int(n.sum())} trials in {len(n)} cells"
    smallest = int(n.min())
    return Estimate(
        classical.value, variance**0.5, df, int(n.sum()), smallest, method, classical.p, "pooled-variance t test"
    )


def pooled(data: CellData, weights_M: NDArray[np.float64], what: str) -> Estimate | Refusal:
    """Estimate with the variance pooled over all cells, as in R's emmeans: variance MSE sum c^2 / n, df = N - cells."""
    if data.ss_within <= data.df_within * data.tiny**2:
        return Refusal(
            what,
            "Trials of the same cell do not differ at all, so there is no noise to hold it against.",
            "Check that replicates have different seeds.",
        )
    used_M = np.abs(weights_M) > 1e-12
    mse = data.ss_within / data.df_within
    return _with_error(
        data,
        weights_M,
        (mse, data.df_within),
        f"t with the pooled variance of all cells ({int(data.n_M[used_M].sum())} trials)",
    )


def _additive(
    data: CellData, weights_M: NDArray[np.float64], what: str, product_M: NDArray[np.float64] | None
) -> Estimate | Refusal:
    ss, df = additive_error(data, None if product_M is None else [product_M])
    if df < 1 or ss <= df * data.tiny**2:
        return Refusal(
            what,
            "With one trial per cell nothing is left to estimate the noise from.",
            "Run at least 2 replicates per cell.",
        )
    if abs(float(weights_M.sum())) < 1e-9:
        weights_M = additive_weights(data, weights_M, product_M)
    return _with_error(
        data, weights_M, (ss / df, df), "t with the residual of the main-effects model, as there is one trial per cell"
    )


def additive_weights(
    data: CellData, weights_M: NDArray[np.float64], product_M: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return the weights by which the main-effects model estimates a contrast of cells from all cells with a trial.

    Least squares projects the weights on the columns of the model. On a complete grid contrasts of marginal means and
    slopes stay as they are; where cells are missing, the cells that a plain average leaves out count, too.
    """
    basis = _main_effects(data)
    if product_M is not None:
        basis = orthonormal(np.column_stack([basis, product_M[data.seen_M]]))
    projected_M = np.zeros(len(weights_M))
    projected_M[data.seen_M] = basis @ (basis.T @ weights_M[data.seen_M])
    return projected_M


@lru_cache(maxsize=4)
def _main_effects(data: CellData) -> NDArray[np.float64]:
    """Return an orthonormal basis of the main-effects model in the cells with trials, which every contrast asks for."""
    return orthonormal(design(data, [(position,) for position in data.active]))


def _with_error(data: CellData, weights_M: NDArray[np.float64], error: tuple[float, int], method: str) -> Estimate:
    used_M = np.abs(weights_M) > 1e-12
    mse, df = error
    n_M = data.n_M[used_M]
    value = float(weights_M[used_M] @ data.mean_M[used_M]) + data.offset * float(weights_M.sum())
    se = float(np.sqrt(mse * (weights_M[used_M] ** 2 / n_M).sum()))
    return Estimate(value, se, df, int(n_M.sum()), int(n_M.min()), method, None, "")


def fixed_block(data: CellData, weights_M: NDArray[np.float64]) -> Estimate | None:
    """Estimate a contrast over all trials of a paired design, gaps included, with replicates as fixed blocks.

    Ordinary least squares of cells plus replicates, by the normal equations of the cells once the replicates are taken
    out (intra-block analysis: John & Williams 1995, Cyclic and Computer Generated Designs). Shown beside the per-seed t
    only, as its size reaches 31 % where seeds have slopes of their own. None where the contrast is not estimable or no
    noise is left.
    """
    y_KM = data.y_KM[np.isfinite(data.y_KM).any(axis=1)]
    seen_KM = np.isfinite(y_KM)
    n_K = seen_KM.sum(axis=1, keepdims=True)
    centred_KM = np.where(seen_KM, y_KM - np.nanmean(y_KM, axis=1, keepdims=True), 0.0)
    information_MM = np.diag(seen_KM.sum(axis=0)) - seen_KM.T @ (seen_KM / n_K)
    inverse_MM = np.linalg.pinv(information_MM, hermitian=True)
    beta_M = inverse_MM @ centred_KM.sum(axis=0)
    n = int(n_K.sum())
    df = n - len(n_K) - int(np.linalg.matrix_rank(information_MM, hermitian=True))
    fitted_KM = beta_M - (seen_KM @ beta_M)[:, None] / n_K
    ss = float(((centred_KM - fitted_KM)[seen_KM] ** 2).sum())
    estimable = np.allclose(weights_M @ inverse_MM @ information_MM, weights_M, atol=1e-8)
    if not estimable or df < 1 or ss <= df * data.tiny**2:
        return None
    se = float(np.sqrt(ss / df * (weights_M @ inverse_MM @ weights_M)))
    method = "least squares with replicates as fixed blocks"
    return Estimate(float(weights_M @ beta_M), se, df, n, int(data.n_M[data.seen_M].min()), method, None, "")


def equivalence_p(found: Estimate, margin: float) -> float:
    """Return the larger p of the two one-sided tests against -margin and +margin (Schuirmann 1987)."""
    below = student_t.sf((found.value + margin) / found.se, found.df)
    above = student_t.cdf((found.value - margin) / found.se, found.df)
    return float(max(below, above))
