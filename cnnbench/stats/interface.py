"""What the analysis and the planning of seeds need to know: all that a caller of this room builds."""

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
    unplanned: int = 0
    """Finished trials of the same run that its plan, as it is now, does not hold."""
    remarks: tuple[str, ...] = ()
    """What a table says of itself: what was taken for granted, rows that look like copies."""


@dataclass(frozen=True, slots=True)
class AssumedNoise:
    """Noise as somebody assumes it, the same in every cell."""

    sd: float
    """Between seeds within a cell, on the analysis scale."""
    correlation: float = 0.0
    """Between cells of one seed where seeds are shared; below 1."""


@dataclass(frozen=True, slots=True)
class Pilot:
    """Finished trials of the same study or of a similar one."""

    name: str
    """As it is printed."""
    factors: tuple[Factor, ...]
    trials: pd.DataFrame
    """As in `AnalysisInput`, with its own factors and the study's response; ``total_s`` where times are known."""
    paired: bool
    """Whether its replicates share their seeds."""


@dataclass(frozen=True, slots=True)
class SeedQuestion:
    """How many seeds does the primary hypothesis of a study need?"""

    study: str
    factors: tuple[Factor, ...]
    cells: tuple[Mapping[str, Level], ...]
    """The planned ones."""
    analysis: AnalysisSpec
    responses: tuple[ResponseInfo, ...]
    """The primary response first."""
    paired: bool
    replicates: int
    """Planned seeds per cell."""
    noise: AssumedNoise | Pilot
    effect: float | None = None
    """To be detected, on the analysis scale; None: the study's smallest effect of interest, else the pilot's effect."""
    power: float = 0.8
