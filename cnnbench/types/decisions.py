"""What was decided while a study ran, because its design says so.

A decision is stored when it is taken and never taken again: its numbers are those that it was taken on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cnnbench.types.plan import Level


@dataclass(frozen=True, slots=True)
class Look:
    """How many replicates a two-stage design runs, decided once, on the spread of its pilot."""

    taken_at: str
    """Time in UTC, ISO 8601."""
    response: str
    scale: Literal["raw", "log", "logit"]
    hypothesis: str
    """Label of the primary hypothesis."""
    alpha: float
    pilot: tuple[int, ...]
    """Replicates that the decision rests on: those of the pilot with every trial that the hypothesis needs."""
    sd: float
    """Standard deviation of the primary hypothesis's per-seed values over these replicates."""
    aimed: float
    """Half width of the 1 - alpha interval that the study promises, on the analysis scale."""
    needed: int
    """Complete replicates that the promise takes."""
    replicates: int
    """Replicates that are run: those needed and those that the pilot lost, at most the study's maximum."""
    capped: bool
    """Whether the maximum cut them, so that the promised width is not reached."""
    reached: float | None = None
    """Half width of the final interval; None until all is analysed."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a level came out of a stage."""

    level: Level
    n: int
    """Trials that were compared."""
    failed: int
    """Trials without a result: failed, or not finite. A level that has any cannot be chosen."""
    mean: float | None
    """On the analysis scale; None without trials."""
    sd: float | None
    """None below two trials."""
    share: float | None
    """How often it would be chosen, over resamples of the seeds; None with one seed."""
    p_best: float | None
    """p of "this level is the best": small where another one is clearly better. Adjusted over all others."""
    among_best: bool
    """Whether it cannot be told from the best at the study's alpha."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The level that a stage of a sequential design hands on."""

    taken_at: str
    """Time in UTC, ISO 8601."""
    factor: str
    level: Level
    held: Mapping[str, Level]
    """The levels of the other factors in this stage."""
    response: str
    scale: Literal["raw", "log", "logit"]
    higher_is_better: bool
    alpha: float
    tied: tuple[Level, ...]
    """Further levels with exactly the same mean."""
    optimism: float | None
    """By how much the chosen level's mean is too good for having been chosen, in resamples of the seeds."""
    standings: tuple[Standing, ...]


Decision = Look | Choice
