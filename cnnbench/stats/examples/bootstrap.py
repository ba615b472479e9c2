"""The paired bootstrap of a difference of accuracies, without simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import norm

from cnnbench.types import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray


def bootstrap_interval(n10: int, n01: int, n: int, alpha: float) -> Interval | None:
    """Return the BCa interval of (n10 - n01) / n, resampling the n examples; None where no example differs.

    An example counts +1 (the first alone is right), -1 (the second alone) or 0. The bootstrap distribution of the sum
    is therefore the n-fold convolution of three probabilities; it is computed as such, so that nothing depends on a
    seed or on a number of resamples. Bias correction and acceleration: Efron 1987, JASA 82, 171-185.
    """
    if n10 + n01 == 0:
        return None
    cumulative_V = np.cumsum(_sum_distribution(n10 / n, n01 / n, n))
    observed = n10 - n01
    below = cumulative_V[observed + n - 1] if observed + n > 0 else 0.0
    share = (below + cumulative_V[observed + n]) / 2
    bias = norm.ppf(share)
    mean = observed / n
    residuals = np.array([1 - mean, -1 - mean, -mean])
    counts = np.array([n10, n01, n - n10 - n01])
    spread = float(counts @ residuals**2)
    if spread <= 0:  # every example is one that the same classifier alone has right
        return Interval(mean, mean, 1 - alpha)
    acceleration = float(counts @ residuals**3) / (6 * spread**1.5)
    ends = bias + norm.ppf([alpha / 2, 1 - alpha / 2])
    levels = norm.cdf(bias + ends / (1 - acceleration * ends))
    low, high = (int(np.searchsorted(cumulative_V, level - 1e-9)) - n for level in levels)
    return Interval(min(low, n) / n, min(high, n) / n, 1 - alpha)


def _sum_distribution(plus: float, minus: float, n: int) -> NDArray[np.float64]:
    """Return the probabilities of the sums -n, ..., n of n draws of +1, -1 and 0, by their characteristic function."""
    angle = 2 * np.pi * np.arange(2 * n + 1) / (2 * n + 1)
    one = plus * np.exp(-1j * angle) + minus * np.exp(1j * angle) + (1 - plus - minus)
    share = np.fft.ifft(one**n).real  # sums 0, ..., n, then -n, ..., -1
    return np.clip(np.roll(share, n), 0.0, 1.0)
