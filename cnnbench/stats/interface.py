"""What the analysis needs to know: the only thing that a caller of this room builds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from cnnbench.spec import AnalysisSpec, Reference
    from cnnbench.types import Blocks, Exclusion, Factor, Level, Look, ResponseInfo, TrialFailure


@dataclass(frozen=True, slots=True)
class AnalysisInput:
    """The finished trials of a study with its analysis plan."""

    study: str
    question: str
    factors: tuple[Factor, ...]
    """With their levels in the study's order, levels without a single trial included."""
    trials: pd.DataFrame
    """One row per finished trial: ``trial_id``, one column per factor (its levels), ``replicate`` (int), one column per
    response, ``concurrent_trials`` (int) and ``environment_key`` (str); where it is known ``num_examples`` (int), the
    evaluated examples behind the trial's responses."""
    analysis: AnalysisSpec
    responses: tuple[ResponseInfo, ...]
    """The primary response first."""
    references: tuple[Reference, ...]
    paired: bool
    """Whether replicate k has the same seeds in every cell; replicates are then blocks of the analysis."""
    replicates: int
    """Planned trials per cell."""
    exclusions: tuple[Exclusion, ...]
    failures: tuple[TrialFailure, ...]
    pending: int
    """Planned trials that have not run."""
    confirmatory: bool
    """False where the analysis plan was changed after the first trial."""
    random: str | None = None
    """The factor whose levels are a sample of a population (datasets), or None where all factors are fixed."""
    nested_in: tuple[str, ...] = ()
    """Factors of which every replicate has trials at one level only, where `paired`: the design is a split plot."""
    replicate_names: Mapping[int, str] | None = None
    """How sentences call a replicate, where its number is not its name."""
    blocks: Blocks = "seeds"
    """What the replicates of a paired analysis are; the tests of one factor over datasets or examples are others."""
    binary: bool = False
    """Whether the response says right (1) or wrong (0)."""
    dataset_factor: str | None = None
    """The factor whose levels are datasets, where there is one."""
    control: Level | None = None
    """The level that the ranks of the others are compared with, where there is one."""
    two_stage: bool = False
    """Whether the spread of a pilot decides how many replicates there are."""
    look: Look | None = None
    """How it decided; None before that."""
