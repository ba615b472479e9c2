"""What the analysis concludes.

Every number a report prints stands in here, at full precision, so that terminal, HTML, CSV and JSON agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

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

    Independent trials: the pooled variance. Shared seeds with gaps: replicates as fixed blocks over all trials. One
    trial per cell: the main-effects model.
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
    """Tests that decide nothing: Welch-James and HC3 beside the others, and the factors' simple effects."""


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
    look: Look | None = None
    """Of a two-stage design: how its number of replicates was decided."""
    stages: tuple[StageFindings, ...] = ()
    """Of a sequential design, in order."""
