"""What the analysis concludes.

Every number a report prints stands in here, at full precision, so that terminal, HTML, CSV and JSON agree. What it is
made of is beside it: ``estimates``, ``noise`` and ``proofs``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.types.comparisons import ExampleComparison, RankComparison
    from cnnbench.types.decisions import Choice, Look
    from cnnbench.types.estimates import Cell, Effect, EstimatedMean, TestTable
    from cnnbench.types.noise import Clock, MixedModel, Residuals, VarianceBudget
    from cnnbench.types.plan import Exclusion, Factor, Level
    from cnnbench.types.proofs import Claim, NullRate, ReferenceCheck, SelfCheck


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
    clock: Clock | None = None
    """Where the response depends on time."""
    margin: float | None = None
    """The smallest effect of interest on the analysis scale; None where it was declared for another scale or unit."""


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
