"""Numbers with their uncertainty: observed and estimated means, tests of whole terms, effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.types.plan import Level


Verdict = Literal["different", "equivalent", "undetermined"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True, slots=True)
class Cell:
    """Observed responses of one cell, or a marginal mean over the factors that are not in ``levels``."""

    levels: Mapping[str, Level]
    n: int
    mean: float | None
    sd: float | None
    """None with fewer than two trials."""
    interval: Interval | None
    se: float | None = None
    """Standard error of the mean, with the same method as the interval."""
    df: float | None = None


@dataclass(frozen=True, slots=True)
class EstimatedMean:
    """Mean of the cells that have some levels, by a model on the analysis scale."""

    levels: Mapping[str, Level]
    mean: float
    se: float
    df: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class TestRow:
    """One line of a test table."""

    __test__ = False  # the name is the field's, pytest shall not collect it

    term: str
    """Factors joined by ``:``, e.g. ``depth:regime``."""
    statistic: float | None
    df1: float | None
    df2: float | None
    p: float | None
    sum_sq: float | None = None
    p_adjusted: float | None = None
    partial_eta_sq: float | None = None
    partial_eta_sq_interval: Interval | None = None
    epsilon: float | None = None
    """Sphericity correction used (Greenhouse-Geisser), where the test has one."""
    note: str = ""
    partial_omega_sq: float | None = None
    """Less biased than partial eta squared; negative where F is below 1."""
    p_uncorrected: float | None = None
    """If sphericity held, where ``p`` is corrected for that it may not."""
    epsilon_hf: float | None = None
    """Huynh-Feldt's correction beside ``epsilon``; as published, so it may exceed 1."""
    p_hf: float | None = None
    partial_omega_sq_interval: Interval | None = None
    """The interval of the noncentral F at the F that partial omega squared implies, as in R's effectsize."""


@dataclass(frozen=True, slots=True)
class TestTable:
    """Tests that belong together."""

    __test__ = False

    key: str
    """Stable name, e.g. ``anova_type3``, ``rm_anova``."""
    title: str
    method: str
    """One sentence on model, coding and error term."""
    rows: tuple[TestRow, ...]
    statistic_name: str = "F"
    family: str = ""
    """The family over which ``p_adjusted`` was taken, with its size; empty where nothing was adjusted."""


@dataclass(frozen=True, slots=True)
class Classical:
    """The same estimate under the assumptions of R's emmeans: one variance for all cells.

    Independent trials: the pooled variance. Shared seeds with gaps: replicates as fixed blocks over all trials. Nested
    seeds: the variance of the per-seed values pooled over the whole plots. One trial per cell: the main-effects model.
    """

    method: str
    estimate: float
    se: float
    df: float
    statistic: float
    p: float
    interval: Interval
    p_holm: float | None = None
    """Adjusted over the same family as the effect's own p."""
    p_tukey: float | None = None
    """Adjusted by the studentized range; pairwise comparisons only."""
    equivalence_p: float | None = None
    """Larger of the two one-sided p values against +-margin, not adjusted."""


@dataclass(frozen=True, slots=True)
class Effect:
    """An estimate with its uncertainty: the answer to one hypothesis, or one contrast of a family."""

    key: str
    """Stable name, unique in the findings of a response."""
    label: str
    """As it is printed, e.g. ``gradual - none``."""
    role: Literal["primary", "further", "family"]
    """``family``: an exploratory contrast among all of its kind."""
    method: str
    estimate: float
    """On the analysis scale: response units, or log units with scale ``log``."""
    se: float | None
    df: float | None
    statistic: float | None
    p: float | None
    interval: Interval | None
    n: int
    """Replicates (paired) or trials (independent) behind it."""
    p_adjusted: float | None = None
    family: str = ""
    ratio: float | None = None
    """exp(estimate) with scale ``log``: the ratio of geometric means."""
    ratio_interval: Interval | None = None
    robust_p: float | None = None
    robust_method: str = ""
    """The second analysis, beside the one that decides: exact sign-flip (paired), pooled variance or classical F
    (independent). A conclusion is robust only if both agree."""
    equivalence_p: float | None = None
    """Larger of the two one-sided p values against +-margin."""
    verdict: Verdict | None = None
    sentence: str = ""
    """The effect in plain language, with its interval."""
    classical: Classical | None = None
    hedges_g: float | None = None
    """Paired: standardised by the spread of the per-seed values. Independent: by the pooled SD within cells, for
    differences between averages of cells only."""
    hedges_g_interval: Interval | None = None
    cliffs_delta: float | None = None
    """P(first > second) - P(first < second) for a random trial of each, where the effect compares two cells."""
    mixed: Classical | None = None
    """The same estimate from the mixed model, Satterthwaite's degrees of freedom; where there is one."""
    complete: Classical | None = None
    """The same t over the blocks that have every cell, where others count, too, that lack a cell without weight."""
