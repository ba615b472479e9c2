"""An estimate with its uncertainty, whatever the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.stats import t as student_t

from cnnbench.stats.trials.cells import t_interval

if TYPE_CHECKING:
    from cnnbench.types import Interval


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


def equivalence_p(found: Estimate, margin: float) -> float:
    """Return the larger p of the two one-sided tests against -margin and +margin (Schuirmann 1987)."""
    below = student_t.sf((found.value + margin) / found.se, found.df)
    above = student_t.cdf((found.value - margin) / found.se, found.df)
    return float(max(below, above))
