"""What the analysis needs to know: the only thing that a caller of this room builds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from cnnbench.spec import AnalysisSpec, Reference
    from cnnbench.types import Exclusion, Factor, Look, ResponseInfo, TrialFailure


@dataclass(frozen=True, slots=True)
class AnalysisInput:
    """The finished trials of a study with its analysis plan."""

    study: str
    question: str
    factors: tuple[Factor, ...]
    """With their levels in the study's order, levels without a single trial included."""
    trials: pd.DataFrame
    """One row per finished trial: ``trial_id``, one column per factor (its levels), ``replicate`` (int), one column per
    response, ``concurrent_trials`` (int) and ``environment_key`` (str)."""
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
    two_stage: bool = False
    """Whether the spread of a pilot decides how many replicates there are."""
    look: Look | None = None
    """How it decided; None before that."""
