"""Where the differences between trials of one cell come from, and what a model leaves of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.types.estimates import EstimatedMean, Interval


@dataclass(frozen=True, slots=True)
class VarianceComponent:
    """A source of the differences between trials of the same cell."""

    name: str
    """``seed``, ``residual`` or ``examples``."""
    variance: float
    """In squared units of the response; below zero where the estimate is (the source cannot be told from none)."""
    sd: float
    """Its square root, 0 for a negative estimate."""
    df: float | None
    """Degrees of freedom of the mean square that it rests on; None for the binomial variance of the examples."""
    meaning: str


@dataclass(frozen=True, slots=True)
class VarianceBudget:
    """Where the noise of a response comes from, in its own unit."""

    components: tuple[VarianceComponent, ...]
    pairing_gain: float | None
    """Variance of the primary effect without the pairing over that with it: so many times more unpaired trials would
    be needed. None for independent trials."""
    mean_examples: float | None
    """Evaluated examples of a trial, where they are known."""
    population: str
    """What the findings generalise to, in a sentence."""
    pairing_gain_interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Clock:
    """What measured times are worth."""

    seconds: str
    """The times that are described: ``train_s``, or ``total_s`` where that is the response."""
    within_replicates: bool
    """Whether seeds are shared: what whole replicates have in common is then no part of the spread."""
    spread: float | None
    """SD of their natural logarithms within cells, whose trials do the same work. None where there are too few trials
    to tell."""
    slowest: float | None
    """Longest time of a trial over the median of its cell."""
    waited: float | None
    """Share of the training time in which the training thread did not have the processor, because other programs had
    it or data had not come; None on other devices than CPUs, for which the processor waits."""
    waited_by_level: Mapping[str, float] | None
    """The same at the two levels of one factor between which it differs most, by name and level; the lower one
    first."""
    waited_most: Mapping[str, float] | None
    """The same of the cell in which it is largest, by its levels."""


@dataclass(frozen=True, slots=True)
class Residuals:
    """What the model of the design leaves of the trials, on the analysis scale, in ascending order of the residual."""

    fitted: tuple[float, ...]
    residual: tuple[float, ...]
    quantile: tuple[float, ...]
    """The standard normal quantile of each residual's rank."""
    num: int
    """Residuals in all; of more than 1,000 the extremes and an even selection are kept."""


@dataclass(frozen=True, slots=True)
class RandomComponent:
    """One random effect of a mixed model."""

    group: str
    """What shares it: ``replicate``, ``dataset``, ``dataset:depth``."""
    num_groups: int
    variance: float
    """On the analysis scale, squared; exactly 0.0 in a singular fit."""
    sd: float
    lr_statistic: float
    """Restricted likelihood ratio against the model without it."""
    p: float
    """Of chi squared on 1 df, as in lmerTest's ``ranova``; conservative, because zero is the edge of what can be."""


@dataclass(frozen=True, slots=True)
class MixedModel:
    """A mixed model's random part and its means; its tests are in ``further_tests``."""

    formula: str
    """As R's lme4 writes it."""
    num_trials: int
    components: tuple[RandomComponent, ...]
    residual_variance: float
    intraclass_correlation: float | None
    """Part of the variance that trials of one group share; with one component only."""
    log_likelihood: float | None
    """Restricted, sum coding of the fixed effects; None with missing cells."""
    singular: bool
    """Whether a variance is estimated as exactly zero."""
    left_out: tuple[str, ...]
    """Random effects that these trials cannot tell from others or from the residual."""
    means: tuple[EstimatedMean, ...]
    """Of every level of every factor, unweighted over cells, and of every cell."""
