"""Which of several classifiers is right on which examples.

Shapes: N examples, T classifiers.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from math import sqrt
from typing import TYPE_CHECKING

from scipy.stats import binom, chi2, norm

from cnnbench.stats.examples.bootstrap import bootstrap_interval
from cnnbench.stats.multiplicity import holm
from cnnbench.types import Accuracy, ExampleComparison, ExamplePair, Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from cnnbench.types import Level

ABOUT_EXAMPLES = (
    "This concerns these trained networks on these examples; it says nothing about what training them again would give."
)


def compare_examples(names: Sequence[Level], correct_NT: NDArray[np.bool_], alpha: float) -> ExampleComparison:
    """Compare classifiers on the same examples; pairs are first minus second, in the order of ``names``."""
    num_examples = len(correct_NT)
    q, p = cochran_q(correct_NT)
    pairs = [
        compare_pair(names[a], names[b], correct_NT[:, a], correct_NT[:, b], alpha)
        for a, b in combinations(range(len(names)), 2)
    ]
    adjusted = holm([pair.p_exact for pair in pairs])
    size = f"{len(pairs)} test{'s' if len(pairs) > 1 else ''}"
    return ExampleComparison(
        num_examples=num_examples,
        accuracies=tuple(
            accuracy(name, int(correct), num_examples, alpha)
            for name, correct in zip(names, correct_NT.sum(axis=0), strict=True)
        ),
        cochran_q=q,
        cochran_df=len(names) - 1,
        cochran_p=p,
        pairs=tuple(replace(pair, p_exact_holm=p) for pair, p in zip(pairs, adjusted, strict=True)),
        family=f"all pairs ({size}, Holm)",
    )


def accuracy(name: Level, correct: int, n: int, alpha: float) -> Accuracy:
    """Return a share of right examples with Wilson's interval (Wilson 1927, JASA 22, 209-212)."""
    z2 = float(norm.isf(alpha / 2)) ** 2
    share = correct / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    low = 0.0 if correct == 0 else centre - half
    high = 1.0 if correct == n else centre + half
    return Accuracy(name, correct, n, share, Interval(low, high, 1 - alpha))


def cochran_q(correct_NT: NDArray[np.bool_]) -> tuple[float | None, float | None]:
    """Return Cochran's Q on T - 1 df and its p; None where no example tells any two classifiers apart.

    Q = (T - 1)(T sum C_t^2 - (sum C_t)^2) / (T sum R_i - sum R_i^2) with column and row sums C and R (Cochran 1950,
    Biometrika 37, 256-266).
    """
    num_classifiers = correct_NT.shape[1]
    column_T, row_N = correct_NT.sum(axis=0).astype(float), correct_NT.sum(axis=1).astype(float)
    spread = num_classifiers * row_N.sum() - (row_N**2).sum()
    if spread <= 0:
        return None, None
    between = num_classifiers * (column_T**2).sum() - column_T.sum() ** 2
    q = float((num_classifiers - 1) * between / spread)
    return q, float(chi2.sf(q, num_classifiers - 1))


def compare_pair(
    first: Level, second: Level, first_N: NDArray[np.bool_], second_N: NDArray[np.bool_], alpha: float
) -> ExamplePair:
    """Compare two classifiers by the examples that exactly one of them has right (McNemar 1947, Psychometrika 12).

    The exact p is that of a fair coin; chi-square is (n10 - n01)^2 / (n10 + n01), corrected with |n10 - n01| - 1 (not
    below 0). ``p_exact_holm`` is the unadjusted p until a family adjusts it.
    """
    n = len(first_N)
    n10, n01 = int((first_N & ~second_N).sum()), int((second_N & ~first_N).sum())
    discordant, difference = n10 + n01, (n10 - n01) / n
    exact = min(1.0, float(2 * binom.cdf(min(n10, n01), discordant, 0.5)))
    plain = (n10 - n01) ** 2 / discordant if discordant else None
    corrected = max(0, abs(n10 - n01) - 1) ** 2 / discordant if discordant else None
    se = sqrt(max(0.0, discordant - (n10 - n01) ** 2 / n)) / n
    half = float(norm.isf(alpha / 2)) * se
    return ExamplePair(
        first=first,
        second=second,
        n10=n10,
        n01=n01,
        difference=difference,
        interval=bootstrap_interval(n10, n01, n, alpha),
        se=se,
        wald_interval=Interval(difference - half, difference + half, 1 - alpha),
        p_exact=exact,
        p_exact_holm=exact,
        chisq=plain,
        p_chisq=None if plain is None else float(chi2.sf(plain, 1)),
        chisq_corrected=corrected,
        p_chisq_corrected=None if corrected is None else float(chi2.sf(corrected, 1)),
    )
