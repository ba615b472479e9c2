"""What a comparison over blocks finds: models ranked over datasets, predictions on the same examples, two runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.types.estimates import Effect, Interval
    from cnnbench.types.findings import Refusal
    from cnnbench.types.plan import Level

Blocks = Literal["seeds", "datasets", "examples"]
"""What the blocks of a paired analysis are."""


@dataclass(frozen=True, slots=True)
class LevelRank:
    """The mean rank of one level over all blocks; the best level of a block has rank 1, ties share their ranks."""

    level: Level
    mean_rank: float


@dataclass(frozen=True, slots=True)
class RankComparison:
    """The levels of a factor, ranked within each block."""

    factor: str
    blocks: Blocks
    num_blocks: int
    """Blocks that have every level; no other counts."""
    left_out: int
    """Blocks that lack a level."""
    higher_is_better: bool
    """The direction of the ranks: whether rank 1 is the highest value."""
    mean_ranks: tuple[LevelRank, ...]
    """In the order of the levels."""
    kendall_w: float
    """Agreement of the blocks: 1 where all rank the levels alike, 0 where their rankings cancel out."""
    critical_difference: float
    """Mean ranks at least this far apart differ (Nemenyi)."""
    level: float
    """Confidence level of the critical difference."""
    groups: tuple[tuple[Level, ...], ...]
    """Largest sets of levels, best first, whose mean ranks all lie within the critical difference."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How many examples one classifier has right."""

    name: Level
    correct: int
    n: int
    share: float
    interval: Interval
    """Wilson's."""


@dataclass(frozen=True, slots=True)
class ExamplePair:
    """Two classifiers on the same examples."""

    first: Level
    second: Level
    n10: int
    """Examples that only the first has right."""
    n01: int
    """Examples that only the second has right."""
    difference: float
    """Accuracy of the first minus that of the second."""
    interval: Interval | None
    """Paired bootstrap over examples, bias-corrected and accelerated; None where no example tells the two apart."""
    se: float
    """Of the difference: sqrt(n10 + n01 - (n10 - n01)^2 / n) / n."""
    wald_interval: Interval
    p_exact: float
    """McNemar's exact test, two-sided."""
    p_exact_holm: float
    chisq: float | None
    """McNemar's chi-square on 1 df; None where no example tells the two apart."""
    p_chisq: float | None
    chisq_corrected: float | None
    """The same with the continuity correction."""
    p_chisq_corrected: float | None


@dataclass(frozen=True, slots=True)
class ExampleComparison:
    """Classifiers on the same examples: says nothing about training them again."""

    num_examples: int
    accuracies: tuple[Accuracy, ...]
    cochran_q: float | None
    """None where no example tells any two apart."""
    cochran_df: int
    cochran_p: float | None
    pairs: tuple[ExamplePair, ...]
    family: str
    """The family over which ``p_exact_holm`` was taken, with its size."""


# ------------------------------------------------------------------------------------------------ runs


@dataclass(frozen=True, slots=True)
class Source:
    """One side of a comparison: a run folder, or a part of it."""

    name: str
    """``A``, ``B``, ..."""
    given: str
    """As it was typed, e.g. ``runs/entr:regime=none``."""
    study: str
    selected: Mapping[str, tuple[Level, ...]]
    """Levels by factor, as far as they were chosen."""
    num_trials: int
    """Finished trials among them."""


@dataclass(frozen=True, slots=True)
class ExampleGroup:
    """One trial of each source, evaluated on the same examples."""

    cell: Mapping[str, Level]
    """Levels of the factors that the sources were matched by."""
    replicate: int
    split: str
    """``test`` or ``validation``."""
    view: str
    """``plain`` or ``tta``."""
    trial_ids: tuple[str, ...]
    """By source."""
    found: ExampleComparison


@dataclass(frozen=True, slots=True)
class PlanDifference:
    """Something in which two documents differ."""

    path: str
    """Dotted, e.g. ``trial.model.depth``."""
    first: Any
    """None where the first has no such entry."""
    second: Any


@dataclass(frozen=True, slots=True)
class Retraining:
    """The same comparison over trained-again networks: one value per trial, by seeds."""

    first: str
    """Name of a source."""
    second: str
    response: str
    unit: str
    paired: bool
    """Whether matching trials share their seeds."""
    overall: Effect | None
    """First minus second, averaged over the cells that both have."""
    cells: tuple[Effect, ...]
    """First minus second in each of these cells, adjusted after Holm; empty with one cell."""
    plan: tuple[PlanDifference, ...]
    """What differs between the plans of the two runs; empty within one run."""
    environment: tuple[PlanDifference, ...]
    """What differs between the places where the compared trials ran."""
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that `cnnbench compare` finds; exploratory throughout."""

    alpha: float
    sources: tuple[Source, ...]
    groups: tuple[ExampleGroup, ...]
    """Per-example comparisons, trial by trial."""
    retraining: tuple[Retraining, ...]
    """One for each pair of sources."""
    notes: tuple[str, ...]
    refusals: tuple[Refusal, ...]
