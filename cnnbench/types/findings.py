"""What the analysis concludes.

Every number a report prints stands in here, at full precision, so that terminal, HTML, CSV and JSON agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.types.comparisons import ExampleComparison, RankComparison
    from cnnbench.types.decisions import Choice, Look
    from cnnbench.types.plan import Exclusion, Factor, Level

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


@dataclass(frozen=True, slots=True)
class OtherScale:
    """The same questions on another scale, beside the one that was declared: is a finding a matter of the scale?"""

    scale: Literal["raw", "log", "logit"]
    method: str
    """The transformation in words."""
    effect: Effect | None
    """The primary hypothesis there; None where there is none or it cannot be tested."""
    tests: tuple[TestTable, ...]
    sentence: str
    """What the two scales agree and disagree on."""


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
class Claim:
    """A published statement, held against this study."""

    source: str
    quote: str
    expected: Literal["positive", "negative", "none"]
    response: str
    effect: Effect | None
    verdict: Literal["confirmed", "refuted", "undetermined"]
    sentence: str


@dataclass(frozen=True, slots=True)
class ReferenceCheck:
    """A published number beside ours."""

    source: str
    quote: str
    response: str
    cell: Mapping[str, Level]
    published: float
    ours: Cell | None
    """None where this study has no such cell."""
    difference: float | None
    """Ours minus published."""
    interval: Interval | None
    p: float | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that was not computed because the number would mislead."""

    what: str
    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class DesignAudit:
    """What the design can bear, found before any test."""

    factors: tuple[Factor, ...]
    num_cells: int
    """Cells of the full grid."""
    num_trials: int
    """Trials in the analysis."""
    replicates: int
    """Planned replicates per cell."""
    min_n: int
    max_n: int
    missing: tuple[Mapping[str, Level], ...]
    """Cells without a single trial."""
    failed: int
    """Trials that failed."""
    pending: int
    """Planned trials that have not run."""
    paired: bool
    complete_replicates: tuple[int, ...]
    """Replicates that are present in every non-missing cell."""
    rank: int
    """Rank of the saturated cell-means model: the number of non-empty cells."""
    connected: bool
    sentences: tuple[str, ...]
    """The audit in words."""
    nested_in: tuple[str, ...] = ()
    """Factors of which every replicate has one level only: the whole plots of a split-plot design."""
    random: str | None = None
    """The factor whose levels stand for a population, where the analysis treats it so."""


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
class EstimatedMean:
    """Mean of the cells that have some levels, by a model on the analysis scale."""

    levels: Mapping[str, Level]
    mean: float
    se: float
    df: float
    interval: Interval


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


@dataclass(frozen=True, slots=True)
class ResponseFindings:
    """Everything that was found for one response."""

    response: str
    unit: str
    scale: Literal["raw", "log", "logit"]
    higher_is_better: bool | None
    headline: str
    """The finding in one paragraph of plain language: effect, interval, verdict."""
    audit: DesignAudit
    cells: tuple[Cell, ...]
    marginals: tuple[Cell, ...]
    """Marginal means (unweighted over cells) of every factor on its own."""
    tests: tuple[TestTable, ...]
    effects: tuple[Effect, ...]
    refusals: tuple[Refusal, ...]
    notes: tuple[str, ...]
    """Descriptions for the reader: disagreement of classical and robust, spread by cell, gain from pairing."""
    further_tests: tuple[TestTable, ...] = ()
    """Tests that decide nothing: Welch-James and HC3 beside the others, mixed model, the factors' simple effects."""
    mixed_model: MixedModel | None = None
    other_scale: OtherScale | None = None
    variance: VarianceBudget | None = None
    residuals: Residuals | None = None
    ranks: RankComparison | None = None
    """Mean ranks over blocks, where one factor is compared over at least 5 of them."""
    estimated_means: tuple[EstimatedMean, ...] = ()
    """Of every level and every cell, unweighted over cells, with one variance for all cells as in R's emmeans, on the
    analysis scale; those that the trials do not determine are left out."""
    further_effects: tuple[Effect, ...] = ()
    """Families that stand in no report: pairwise comparisons within levels of another factor, and interaction contrasts
    of ordered factors."""
    examples: ExampleComparison | None = None
    """Accuracies and pairs, where the response says which example is right."""


@dataclass(frozen=True, slots=True)
class NullRate:
    """False positives of the primary test, measured on simulated studies of the same design without an effect."""

    response: str
    effect: str
    """Label of the primary effect."""
    method: str
    """The test that was measured."""
    alpha: float
    studies: int
    rejected: int
    rate: float
    interval: Interval
    """Clopper and Pearson's, of the simulation."""
    verdict: Literal["as declared", "liberal", "conservative"]
    """``liberal`` above 1.2 alpha (6 % at 5 %), ``conservative`` below 0.6 alpha (3 %); of the pair where there is one.
    """
    coverage: float | None
    """Share of the intervals that held the truth; None for omnibus tests, which have none."""
    robust_rate: float | None
    """Rate of the test beside it, where that is simulated."""
    robust_method: str
    pair_rate: float | None
    """How often at least one of the primary slope and the omnibus interaction rejected, after their correction; None
    where the primary test stands alone."""
    pair_method: str
    """The omnibus test of the pair."""
    sentence: str


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """What this installation makes of trials whose answers are known."""

    reference: str
    """Who gave the answers."""
    cases: int
    figures: int
    worst_error: float
    """Largest relative error among the figures."""
    worst_figure: str
    failed: tuple[str, ...]
    """Figures beyond their tolerance."""
    certified_digits: float
    """Fewest correct digits of F over NIST's certified sets."""
    certified_sets: int
    sentence: str


@dataclass(frozen=True, slots=True)
class StageFindings:
    """A stage of a sequential design, analysed on its own."""

    name: str
    """The factor's name, or ``confirm``."""
    held: Mapping[str, Level]
    """Levels of the factors that it does not vary; in the stage ``confirm`` the selected setting."""
    replicates: tuple[int, ...]
    choice: Choice | None
    """None in the stage that confirms, and where nothing was chosen yet."""
    sentences: tuple[str, ...]
    """What was chosen, how sure that is, and what it does to the numbers."""
    responses: tuple[ResponseFindings, ...]
    """The primary response first; empty where no trial has finished."""


@dataclass(frozen=True, slots=True)
class Findings:
    """The analysis of a study."""

    study: str
    question: str
    alpha: float
    confirmatory: bool
    """False where the analysis plan was changed after the first trial: everything is exploratory then."""
    responses: tuple[ResponseFindings, ...]
    """The primary response first; in a sequential design those of its last stage that has trials."""
    exclusions: tuple[Exclusion, ...]
    references: tuple[ReferenceCheck, ...]
    claims: tuple[Claim, ...]
    versions: Mapping[str, str]
    """Versions of the libraries that computed this."""
    null_rate: NullRate | None = None
    """None where it was not measured; a refusal of the primary response says why."""
    self_check: SelfCheck | None = None
    """None where it was not run."""
    look: Look | None = None
    """Of a two-stage design: how its number of replicates was decided."""
    stages: tuple[StageFindings, ...] = ()
    """Of a sequential design, in order."""
